"""How noisy a real picture is at each level of attenuation, and what an absorbing implant adds to that."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

from kotowari.core.errors import ShapeError

__all__ = ["NoiseCurve", "estimate_noise"]

FloatArray = npt.NDArray[np.float64]
FloatFrames = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

_N_LEVELS = 12
_MOST_PIXELS = 12_000
_SD_PER_MAD = 1.4826
_FLOOR = 1e-4
_NEIGHBOURHOOD = 7


@dataclass(frozen=True, eq=False)
class NoiseCurve:
    """Standard deviation of the noise by attenuation.

    Attributes
    ----------
    attenuation
        Shape ``(level,)``, rising.
    sd
        Shape ``(level,)``, above 0; constant beyond the ends.
    """

    attenuation: FloatArray
    sd: FloatArray

    def at(self, attenuation: FloatFrames) -> FloatFrames:
        """Return the standard deviation at each pixel, same shape."""
        return np.interp(attenuation, self.attenuation, self.sd).astype(np.float32)

    def added(self, before: FloatFrames, more: FloatFrames, rng: np.random.Generator) -> FloatFrames:
        r"""Draw the noise by which a darker pixel is noisier than it was.

        .. math:: \mathcal N\big(0,\ \max(0,\ \sigma^2(Y + a) - \sigma^2(Y))\big)

        White, though the noise of the picture may not be.

        Parameters
        ----------
        before
            Attenuation Y of the picture.
        more
            Attenuation a that is put in, same shape.
        rng
            Stream of the noise.
        """
        variance = self.at(before + more) ** 2 - self.at(before) ** 2
        drawn: FloatFrames = np.sqrt(np.maximum(variance, 0)) * rng.standard_normal(before.shape, dtype=np.float32)
        return drawn


def estimate_noise(frames: FloatFrames, field: BoolImage | None = None) -> NoiseCurve:
    """Estimate the noise of attenuation by its level, from real frames.

    From the differences of neighbouring frames, or in a single picture from the Laplacian that is blind to planes. In
    each of 12 levels of equal size the median of the absolute values counts, so that moving or sharp edges count
    little; what noise lies in large grains is missed in a single picture.

    Parameters
    ----------
    frames
        Shape ``(time, height, width)`` or ``(height, width)``, log attenuation.
    field
        Shape ``(height, width)``: where to look; None for everywhere.

    Raises
    ------
    ShapeError
        When the arrays do not fit.

    Source: Immerkaer 1996, Comput. Vis. Image Underst. 64:300-302 (the Laplacian, its norm of 6), with a median for the
    mean.
    """
    run = frames[None] if frames.ndim == 2 else frames
    if run.ndim != 3:
        raise ShapeError.mismatch("estimate_noise", "frames", ("time", "height", "width"), frames.shape)
    if field is not None and field.shape != run.shape[1:]:
        raise ShapeError.mismatch("estimate_noise", "field", run.shape[1:], field.shape)
    if len(run) > 1:
        change = (run[1:] - run[:-1]) / np.float32(np.sqrt(2))
        level = (run[1:] + run[:-1]) / 2
        inside = np.broadcast_to(np.bool_(True) if field is None else field, change.shape)
    else:
        picture = run[0]
        rows = picture[:-2] - 2 * picture[1:-1] + picture[2:]
        change = (rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]) / 6
        # of the neighbourhood: pixels sorted by their own noise would seem to have less of it
        level = uniform_filter(picture, _NEIGHBOURHOOD)[1:-1, 1:-1]
        inside = np.ones(level.shape, dtype=np.bool_) if field is None else field[1:-1, 1:-1]
    values, levels = np.abs(change[inside]), level[inside]
    every = max(1, len(values) // _MOST_PIXELS)
    values, levels = values[::every], levels[::every]
    groups = np.array_split(np.argsort(levels, kind="stable"), min(_N_LEVELS, max(1, len(levels) // 50)))
    middle = np.array([np.median(levels[group]) for group in groups], dtype=np.float64)
    sd = np.array([max(_SD_PER_MAD * np.median(values[group]), _FLOOR) for group in groups], dtype=np.float64)
    kept = np.concatenate([[True], np.diff(middle) > 0])
    return NoiseCurve(middle[kept], sd[kept])
