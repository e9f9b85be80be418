"""Changes of a run that must, or must not, change what is found in it."""

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError

__all__ = ["shuffle_frames", "with_gain_and_offset"]

FloatArray = npt.NDArray[np.float32]


def shuffle_frames(frames: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Put the frames of a run in random order.

    A low-rank part must stay the same, frame by frame; what uses the order of time must get worse, else it is idle.

    Parameters
    ----------
    frames
        Shape ``(time, height, width)``.
    rng
        Source of the order.

    Returns
    -------
    tuple
        The frames, and ``order``: frame ``k`` now is frame ``order[k]`` of before. ``result[np.argsort(order)]`` goes
        back.
    """
    order = rng.permutation(len(frames))
    return frames[order], order


def with_gain_and_offset(frames: FloatArray, levels: float, gain: float = 1.0, offset: float = 0.0) -> FloatArray:
    r"""Return the log attenuation that a detector with another gain and offset would have given.

    .. math:: Y' = -\log\frac{g I + o + 1}{I_{max} + 1}, \quad I = (I_{max} + 1) e^{-Y} - 1

    A gain alone nearly only adds a constant; an offset, such as stray light, flattens dark places. Values are not
    clipped at full scale, so attenuation may fall below 0; dark ones stop at intensity 0.

    Parameters
    ----------
    frames
        Log attenuation Y, shape ``(time, height, width)``.
    levels
        :math:`I_{max}` in grey levels, above 0.
    gain
        g, above 0.
    offset
        o in grey levels.

    Examples
    --------
    >>> bool(np.allclose(with_gain_and_offset(np.full((1, 2, 2), 0.5, np.float32), 255.0), 0.5))
    True
    """
    if not (gain > 0 and levels > 0):
        raise InputError(f"with_gain_and_offset: gain = {gain} and levels = {levels} must be above 0.")
    intensity = (levels + 1) * np.exp(-frames.astype(np.float64)) - 1
    changed = np.maximum(gain * intensity + offset, 0)
    attenuation: FloatArray = (np.log(levels + 1) - np.log1p(changed)).astype(np.float32)
    return attenuation
