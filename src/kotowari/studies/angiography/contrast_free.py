"""Which frames of a run were taken before contrast came."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, gaussian_filter, grey_dilation, grey_opening

from kotowari.core.errors import ShapeError

__all__ = ["find_contrast_free"]

FloatArray = npt.NDArray[np.float64]
FloatFrames = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

_WORKING_SIDE = 160
_SMOOTHING = 1.2
_BREADTH = 0.035
_REACH = 0.09
_FIRST = 3
_CAUTION = 3
_LEAST_RISE = 5e-4
_LEAST_RATIO = 3.0


def find_contrast_free(frames: FloatFrames, field: BoolImage | None = None) -> npt.NDArray[np.bool_]:
    """Guess which frames at the beginning of a run hold no contrast.

    Narrow dark structure in each frame is what its white top-hat shows; new is what exceeds all that the first three
    frames showed within 4.5 % of the shorter side, so that a beating heart, ribs and a catheter are not new. The mean
    of what is new is level before contrast comes and then rises: a level followed by a slope is fitted to it up to
    where it has reached four fifths of its height, and frames are taken up to shortly before the bend. Where the rise
    is less than 5e-4 or thrice the level, no contrast is seen and all frames are taken. It is a guess, to be looked at
    and overruled: a run without contrast whose tissue moves far loses frames, and contrast in the first three frames,
    or contrast that is very faint, is not seen at all. Our own construction.

    Parameters
    ----------
    frames
        Shape ``(time, height, width)``, log attenuation (vessels bright).
    field
        Shape ``(height, width)``: field of view; None for everything.

    Returns
    -------
    array
        bool, shape ``(time,)``: True at the beginning.

    Raises
    ------
    ShapeError
        When the arrays do not fit.
    """
    if frames.ndim != 3 or not len(frames):
        raise ShapeError.mismatch("find_contrast_free", "frames", ("time", "height", "width"), frames.shape)
    if field is not None and field.shape != frames.shape[1:]:
        raise ShapeError.mismatch("find_contrast_free", "field", frames.shape[1:], field.shape)
    number = np.arange(len(frames))
    new = _new_structure(frames, np.ones(frames.shape[1:], dtype=np.bool_) if field is None else field)
    height = float(np.percentile(new, 95))
    last = int(np.argmax(new >= 0.8 * height))
    if last < _FIRST + 2:
        return number < max(1, min(_FIRST, last) - _CAUTION) if height >= _LEAST_RISE else number >= 0
    bend, level = _bend(new[: last + 1])
    if height - level < max(_LEAST_RISE, _LEAST_RATIO * level):
        return number >= 0
    return number < max(1, bend - _CAUTION - bend // 8)


def _new_structure(frames: FloatFrames, field: BoolImage) -> FloatArray:
    step = max(1, min(field.shape) // _WORKING_SIDE)
    inside = binary_erosion(field, iterations=2 * step)[::step, ::step]
    side = min(inside.shape)
    breadth, reach = (max(3, 2 * round(share * side / 2) + 1) for share in (2 * _BREADTH, _REACH))
    hats = []
    for frame in frames:
        picture = gaussian_filter(frame, _SMOOTHING * step)[::step, ::step]
        hats.append((picture - grey_opening(picture, size=(breadth, breadth)))[inside])
    known = np.zeros(inside.shape, dtype=np.float32)
    known[inside] = np.max(hats[:_FIRST], axis=0)
    known = grey_dilation(known, size=(reach, reach))[inside]
    return np.array([np.maximum(hat - known, 0).mean(dtype=np.float64) for hat in hats])


def _bend(values: FloatArray) -> tuple[int, float]:
    """Fit a level and then a slope from it; return the last frame of the level, and the level."""
    best = (np.inf, 0, 0.0)
    time = np.arange(len(values), dtype=np.float64)
    used = slice(_FIRST, None)  # the first frames are 0 by construction
    for bend in range(_FIRST, len(values) - 1):
        design = np.column_stack([np.ones(len(values)), np.maximum(time - bend, 0)])[used]
        fit, *_ = np.linalg.lstsq(design, values[used], rcond=None)
        error = float(((values[used] - design @ fit) ** 2).sum())
        if error < best[0]:
            best = (error, bend, float(fit[0]))
    return best[1], max(best[2], 0.0)
