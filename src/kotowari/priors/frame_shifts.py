"""How far the frames of a run are shifted against each other, and the frames put back."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from kotowari.core.errors import DesignError, InputError, ShapeError

__all__ = ["find_shifts", "shifted_back"]

Array = npt.NDArray[Any]

_SMALLEST = 8  # pixels along a side below which there is nothing to correlate


def find_shifts(
    frames: Array, field: npt.NDArray[np.bool_] | None = None, *, central: float = 0.6, n_parts: int = 10
) -> Array:
    r"""Return by how many rows and columns each frame is displaced from the median over time, by phase correlation.

    .. math:: \hat\delta = \arg\max_\delta \Big|\sum_k w_k \frac{\hat f_k \overline{\hat g_k}}{|\hat f_k \overline{\hat
        g_k}|} e^{2 \pi i k \cdot \delta}\Big|

    over whole pixels, and then over parts of a pixel around the best; w leaves out the highest frequencies, where
    noise has the say. Only the centre of the field is looked at, under a Hann window, since the diaphragm comes in from
    its edge. Whatever else moves, such as the heart, is part of the answer: these are shifts of the whole frame.

    Parameters
    ----------
    frames
        Shape ``(frame, height, width)``, finite.
    field
        Pixels that count, ``(height, width)``; its bounding box is what the centre is taken from.
    central
        How much of each side of the box is looked at; above 0, at most 1.
    n_parts
        Into how many parts a pixel is cut; 1 for shifts by whole pixels.

    Returns
    -------
    Array
        Shape ``(frame, 2)``, float64, in pixels: rows, then columns.

    Raises
    ------
    ShapeError
        When ``frames`` and ``field`` do not fit.
    InputError
        When a number is out of range.
    DesignError
        When the centre has fewer than 8 pixels along a side.

    Source: Kuglin and Hines 1975, Proc. Int. Conf. Cybern. Soc.; Guizar-Sicairos, Thurman and Fienup 2008,
    Opt. Lett. 33(2) (parts of a pixel by a small Fourier sum). The window and w are ours.
    """
    if frames.ndim != 3 or (field is not None and field.shape != frames.shape[1:]):
        raise ShapeError.mismatch(
            "find_shifts", "frames", ("frame", *(("height", "width") if field is None else field.shape)), frames.shape
        )
    if not 0 < central <= 1 or n_parts < 1:
        raise InputError(f"find_shifts: central = {central} must be above 0 and at most 1, n_parts = {n_parts} >= 1.")
    box = _central_box(np.ones(frames.shape[1:], np.bool_) if field is None else field, central)
    centre = frames[(slice(None), *box)].astype(np.float64)
    window = np.outer(np.hanning(centre.shape[1] + 2)[1:-1], np.hanning(centre.shape[2] + 2)[1:-1])
    reference = _spectrum(np.median(centre, axis=0), window)
    return np.array([_shift(_spectrum(frame, window), reference, n_parts) for frame in centre])


def shifted_back(frames: Array, shifts: Array) -> Array:
    """Return frames with their shifts undone, by linear interpolation; what comes in from outside repeats the edge.

    Parameters
    ----------
    frames
        Shape ``(frame, height, width)``.
    shifts
        Shape ``(frame, 2)``; see :func:`find_shifts`.

    Raises
    ------
    ShapeError
        When they do not fit.
    """
    if shifts.shape != (len(frames), 2):
        raise ShapeError.mismatch("shifted_back", "shifts", (len(frames), 2), shifts.shape)
    moved = [ndimage.shift(f, -s, order=1, mode="nearest") for f, s in zip(frames, shifts, strict=True)]
    return np.stack(moved)


def _central_box(field: npt.NDArray[np.bool_], central: float) -> tuple[slice, slice]:
    sides: list[slice] = []
    for axis in (1, 0):
        filled = np.flatnonzero(field.any(axis))
        length = int(central * (filled[-1] + 1 - filled[0])) if len(filled) else 0
        if length < _SMALLEST:
            raise DesignError(f"find_shifts: the centre of the field is {length} pixels long. It takes {_SMALLEST}.")
        begin = int(filled[0]) + (int(filled[-1] + 1 - filled[0]) - length) // 2
        sides.append(slice(begin, begin + length))
    return sides[0], sides[1]


def _spectrum(frame: Array, window: Array) -> Array:
    mean = float((frame * window).sum() / window.sum())
    return np.asarray(np.fft.fft2((frame - mean) * window))


def _shift(spectrum: Array, reference: Array, n_parts: int) -> Array:
    cross = spectrum * reference.conj()
    along, across = (np.fft.fftfreq(n) for n in cross.shape)
    low = np.exp(-((along[:, None] ** 2 + across**2) / (2 * 0.12**2)))
    phase = low * cross / np.maximum(np.abs(cross), np.finfo(np.float64).tiny)
    peak = np.unravel_index(int(np.argmax(np.fft.ifft2(phase).real)), cross.shape)
    whole = np.array([(p + n // 2) % n - n // 2 for p, n in zip(peak, cross.shape, strict=True)], np.float64)
    if n_parts == 1:
        return whole
    near = np.arange(-n_parts, n_parts + 1) / n_parts
    rows = np.exp(2j * np.pi * np.outer(whole[0] + near, along))
    columns = np.exp(2j * np.pi * np.outer(across, whole[1] + near))
    best = np.unravel_index(int(np.argmax((rows @ phase @ columns).real)), (len(near), len(near)))
    return np.asarray(whole + near[list(best)])
