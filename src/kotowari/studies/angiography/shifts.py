"""How far the table or the patient moved from frame to frame: one rigid shift each."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from kotowari.core.errors import InputError, ShapeError

__all__ = ["estimate_shifts", "undo_shifts"]

FloatArray = npt.NDArray[np.float32]
Shifts = npt.NDArray[np.float64]

_CENTRE = 0.7  # of the field, on each side
_DETAIL_PX = (1.0, 6.0)
_PER_PX = 10
_LEAST_SIDE = 16


def estimate_shifts(frames: FloatArray, field: npt.NDArray[np.bool_]) -> Shifts:
    """Estimate the shift of each frame against the median of the run, to a tenth of a pixel.

    Cross-correlation of detail between 1 and 6 px in the middle 70 % of the field, which leaves out the shutter and
    most of the diaphragm. Heart and breathing move parts against each other, which one shift cannot tell: it is for a
    table that moves or a patient who turns. Report it before it is used.

    Parameters
    ----------
    frames
        Log attenuation, shape ``(time, height, width)``.
    field
        Shape ``(height, width)``, 23 px or more on each side.

    Returns
    -------
    ndarray
        Shape ``(time, 2)``: rows down and columns to the right, in px, by which a frame lies off the median.

    Raises
    ------
    ShapeError, InputError
        When shapes do not fit, or the field is too small.

    Source: Guizar-Sicairos et al. 2008, Opt. Lett. 33:156-158, as scikit-image has it.
    """
    if frames.ndim != 3 or field.shape != frames.shape[1:]:
        raise ShapeError.mismatch("estimate_shifts", "frames", ("time", *field.shape), frames.shape)
    middle = tuple(_middle(np.flatnonzero(field.any(axis))) for axis in (1, 0))
    window = np.outer(*(np.hanning(part.stop - part.start + 2)[1:-1] for part in middle))
    reference = _detail(np.median(frames[:, *middle], axis=0)) * window
    found = [
        phase_cross_correlation(
            _detail(frame[middle]) * window, reference, upsample_factor=_PER_PX, normalization=None
        )[0]
        for frame in frames
    ]
    return np.array(found, np.float64)


def undo_shifts(frames: FloatArray, shifts: Shifts) -> FloatArray:
    """Move every frame back by its shift, by linear interpolation; the rim repeats.

    Parameters
    ----------
    frames
        Shape ``(time, height, width)``.
    shifts
        Shape ``(time, 2)``, as :func:`estimate_shifts` returns them.
    """
    if shifts.shape != (len(frames), 2):
        raise ShapeError.mismatch("undo_shifts", "shifts", (len(frames), 2), shifts.shape)
    moved = np.empty_like(frames)
    for frame, shift, target in zip(frames, shifts, moved, strict=True):
        ndimage.shift(frame, -shift, output=target, order=1, mode="nearest")
    return moved


def _middle(lines: npt.NDArray[np.intp]) -> slice:
    if lines.size == 0:
        raise InputError("estimate_shifts: the field of view is empty.")
    margin = round((1 - _CENTRE) / 2 * lines.size)
    middle = slice(int(lines[0]) + margin, int(lines[-1]) + 1 - margin)
    if middle.stop - middle.start < _LEAST_SIDE:
        raise InputError(f"estimate_shifts: the field of view is too small, {lines.size} px on one side.")
    return middle


def _detail(picture: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    fine, coarse = (ndimage.gaussian_filter(picture, width) for width in _DETAIL_PX)
    detail: npt.NDArray[np.floating] = fine - coarse
    return detail
