"""Where an X-ray picture shows anything: the field of view inside shutter and collimator."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import convex_hull_image

from kotowari.core.errors import InputError, ShapeError

__all__ = ["field_of_view", "require_in_field"]

BoolImage = npt.NDArray[np.bool_]
FloatImage = npt.NDArray[np.float64]

_SAMPLED_FRAMES = 24
_RUN_FRAMES = 3
_DARK = 0.12  # of the bright level: what a shutter may be at most
_TOLERANCE = 0.03  # of the bright level: how far a shutter may vary around its own level
_LEAST_SHUTTER = 0.0005  # of the picture
_REACH = 0.2  # of the picture: how far inwards a collimator is looked for
_EDGE_LOG_STEP = 0.25
_EDGE_SHARE = 90.0  # percent of the pixels along an edge that must show the step
_MARGIN = 2
_OPENING = 3
_STEP_PX = 4


def field_of_view(intensity: npt.NDArray[Any]) -> BoolImage:
    """Find the field of view: a convex region without shutter, collimator and pixels that never leave an extreme.

    Works on the median over at most 24 frames spread over the run, so a passing catheter or a flash does not count. A
    shutter is a dark, level region joined to the border of the picture; a collimator is a straight drop of intensity
    along nine tenths of a row or column in the outer fifth. The field is convex by construction of the machine, so dark
    anatomy at its rim is given back by the convex hull. Two pixels at the rim are left out. Our own construction.

    Parameters
    ----------
    intensity
        Shape ``(time, height, width)`` or ``(height, width)``, 0 or more, bright where much light came.

    Returns
    -------
    ndarray
        bool, shape ``(height, width)``; everything where nothing of the kind is found.

    Raises
    ------
    ShapeError
        When the array is neither a picture nor a run.
    """
    frames = intensity[None] if intensity.ndim == 2 else intensity
    if frames.ndim != 3 or frames.size == 0:
        raise ShapeError.mismatch("field_of_view", "intensity", ("time", "height", "width"), intensity.shape)
    chosen = np.unique(np.linspace(0, len(frames) - 1, _SAMPLED_FRAMES).round().astype(np.intp))
    sample = frames[chosen]
    middle = np.median(sample, axis=0).astype(np.float64)
    field = ~_shutter(middle)
    if not field.any():
        return np.ones(middle.shape, np.bool_)
    if not field.all():
        field = _convex(field)
    field &= _inside_collimator(middle, field)
    if len(sample) >= _RUN_FRAMES:
        field &= ~_never_leaves_an_extreme(sample)
    return field


def require_in_field(by: str, what: str, frames: npt.NDArray[np.generic], field: BoolImage) -> None:
    """Refuse frames, or maps of frames, that do not fit their field of view, and a field of nothing.

    Parameters
    ----------
    by, what
        Who asks, and for what; first words of the sentence.
    frames
        Shape ``(time, height, width)``.
    field
        Shape ``(height, width)``.
    """
    if frames.ndim != 3 or field.shape != frames.shape[1:]:
        raise ShapeError.mismatch(by, what, ("time", *field.shape), frames.shape)
    if not field.any():
        raise InputError(f"{by}: the field of view is empty.")


def _shutter(middle: FloatImage) -> BoolImage:
    """Return dark, level pixels that hang together with the border of the picture."""
    bright = np.percentile(middle, 95)
    border = np.concatenate([middle[0], middle[-1], middle[:, 0], middle[:, -1]])
    dark_border = border[border <= _DARK * bright]
    if dark_border.size == 0:
        return np.zeros(middle.shape, np.bool_)
    level = np.median(dark_border) + _TOLERANCE * bright
    smooth = ndimage.median_filter(middle, 3)
    labels, n_regions = ndimage.label(smooth <= level)
    sizes = np.bincount(labels.ravel(), minlength=n_regions + 1)
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    kept = [k for k in touching if k and sizes[k] >= _LEAST_SHUTTER * middle.size]
    outside: BoolImage = np.isin(labels, kept)
    return outside


def _convex(field: BoolImage) -> BoolImage:
    """Return the hull of the largest region, without specks, less a margin towards the shutter."""
    solid = ndimage.binary_opening(np.pad(field, _OPENING, mode="edge"), iterations=_OPENING)
    solid = solid[_OPENING:-_OPENING, _OPENING:-_OPENING]
    labels, n_regions = ndimage.label(solid if solid.any() else field)
    largest = labels == 1 + np.argmax(ndimage.sum_labels(labels > 0, labels, np.arange(1, n_regions + 1)))
    hull = convex_hull_image(largest)
    shrunk: BoolImage = ndimage.binary_erosion(hull, iterations=_MARGIN, border_value=1)
    return shrunk


def _inside_collimator(middle: FloatImage, field: BoolImage) -> BoolImage:
    """Return the rectangle between the innermost straight drops of intensity on each of the four sides."""
    log = np.log1p(middle)
    rows, columns = np.flatnonzero(field.any(1)), np.flatnonzero(field.any(0))
    inside = np.zeros_like(field)
    top, bottom = _first_edge(log, field, rows), _first_edge(log[::-1], field[::-1], _mirrored(rows, len(log)))
    left = _first_edge(log.T, field.T, columns)
    right = _first_edge(log.T[::-1], field.T[::-1], _mirrored(columns, log.shape[1]))
    inside[top : len(log) - bottom, left : log.shape[1] - right] = True
    return inside


def _mirrored(lines: npt.NDArray[np.intp], n_lines: int) -> npt.NDArray[np.intp]:
    mirrored: npt.NDArray[np.intp] = n_lines - 1 - lines[::-1]
    return mirrored


def _first_edge(log: FloatImage, field: BoolImage, lines: npt.NDArray[np.intp]) -> int:
    """Return the number of rows to cut from the top of a picture, 0 without a collimator there."""
    cut = 0
    for row in lines[_STEP_PX : int(_REACH * len(lines))]:
        if row + _STEP_PX >= len(log):
            break
        both = field[row - _STEP_PX] & field[row + _STEP_PX]
        if both.sum() < 0.3 * field.sum(1).max():
            continue
        step = log[row + _STEP_PX, both] - log[row - _STEP_PX, both]
        if np.percentile(step, 100 - _EDGE_SHARE) > _EDGE_LOG_STEP:
            cut = int(row) + 1
    return cut


def _never_leaves_an_extreme(sample: npt.NDArray[Any]) -> BoolImage:
    low, high = sample.min(axis=0), sample.max(axis=0)
    stuck: BoolImage = (high <= sample.min()) | (low >= sample.max())
    return stuck
