"""A few frames continued in time, forth and back, with noise that does not repeat."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_tv_chambolle

from kotowari.core.errors import InputError
from kotowari.studies.angiography.implant_noise import NoiseCurve

__all__ = ["Continuation", "forth_and_back"]

FloatFrames = npt.NDArray[np.float32]

_TV_WEIGHT = 1.2
_TV_STEPS = 25
_GRAIN_PX = 1.0


def forth_and_back(n_there: int, n_wanted: int) -> npt.NDArray[np.int64]:
    """Return which frame stands at each time: 0, 1, ..., n - 1, n - 2, ..., 1, 0, 1, ...

    Examples
    --------
    >>> forth_and_back(3, 8).tolist()
    [0, 1, 2, 1, 0, 1, 2, 1]
    """
    if n_there < 1 or n_wanted < 1:
        raise InputError(f"forth_and_back: needs one frame or more on both sides, got {n_there} and {n_wanted}.")
    if n_there == 1:
        return np.zeros(n_wanted, dtype=np.int64)
    phase = np.arange(n_wanted) % (2 * n_there - 2)
    return np.minimum(phase, 2 * n_there - 2 - phase).astype(np.int64)


class Continuation:
    r"""Real frames played forth and back; whenever one comes again, its noise is another.

    Few pictures repeated exactly would be of low rank together with their noise, which no real run is. So a frame that
    comes again is

    .. math:: Y' = G + w\,(Y - G)

    with its smooth part G by total variation (edges stay; the noise is made even first) and a random field w of mean 0,
    variance 1 and a grain of a pixel: a wild bootstrap, which keeps the strength of the noise at every place. The first
    pass is left as it was.

    Parameters
    ----------
    frames
        Shape ``(time, height, width)``, log attenuation without contrast.
    noise
        As estimated from them.

    Source: Wu 1986, Ann. Stat. 14:1261-1295, sec. 7 (weights of mean 0 and variance 1 on residuals). The rest is ours.
    """

    def __init__(self, frames: FloatFrames, noise: NoiseCurve) -> None:
        self.frames = frames
        self._noise = noise
        self._smooth: dict[int, FloatFrames] = {}

    def play(self, n_frames: int, rng: np.random.Generator) -> FloatFrames:
        """Return ``n_frames`` frames, float32, shape ``(n_frames, height, width)``."""
        played = np.empty((n_frames, *self.frames.shape[1:]), dtype=np.float32)
        for number, source in enumerate(forth_and_back(len(self.frames), n_frames)):
            frame = self.frames[source]
            if number >= len(self.frames):
                smooth = self._smoothed(int(source))
                weight = gaussian_filter(rng.standard_normal(frame.shape, dtype=np.float32), _GRAIN_PX, mode="wrap")
                frame = smooth + (frame - smooth) * (weight / weight.std())
            played[number] = frame
        return played

    def _smoothed(self, number: int) -> FloatFrames:
        if number not in self._smooth:
            frame = self.frames[number]
            sd = gaussian_filter(self._noise.at(frame), 2.0)
            even = denoise_tv_chambolle(frame / sd, weight=_TV_WEIGHT, max_num_iter=_TV_STEPS)
            self._smooth[number] = (even * sd).astype(np.float32)
        return self._smooth[number]
