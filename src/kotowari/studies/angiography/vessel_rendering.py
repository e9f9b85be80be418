"""Tubes seen from the side: how much contrast lies behind every pixel, drawn from moving centrelines; compiled."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from kotowari.studies.angiography.vessel_tree import VesselTree

__all__ = ["draw_tubes", "fork_reach"]

FloatArray = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.int64]

_Window = tuple[int, int, int, int]

_FORK_REACH = 2.5


class _Tubes(NamedTuple):
    """Tubes as in :func:`draw_tubes`."""

    points: FloatArray
    radius: FloatArray
    dose: FloatArray
    branch: IndexArray
    reach: FloatArray


class _Canvas(NamedTuple):
    """What is drawn; ``scratch`` holds the branch at work."""

    total: FloatImage
    mask: BoolImage
    thickest: FloatImage
    scratch: FloatImage


def fork_reach(tree: VesselTree) -> FloatArray:
    """Return how far from its start each branch is one with its parent, shape ``(branch,)``: 2.5 of its radii."""
    ends = np.append(tree.starts[1:], len(tree.branch)) - 1
    at_fork = np.where(tree.parents < 0, 0.0, tree.radius[ends[tree.parents]])
    return _FORK_REACH * at_fork


def draw_tubes(
    points: FloatArray,
    radius: FloatArray,
    dose: FloatArray,
    branch: IndexArray,
    reach: FloatArray,
    *,
    shape: tuple[int, int],
    least_dose: float,
) -> tuple[FloatImage, BoolImage, FloatImage]:
    r"""Project tubes filled with contrast.

    .. math:: a(x) = \mu(s)\, \overline{2 \sqrt{r(s)^2 - d(x)^2}}

    with the distance d of a pixel to the centreline and the mean over the breadth of the pixel. Along one branch the
    nearest tube counts; branches that cross add up, except near the fork where they spring from each other.

    Parameters
    ----------
    points
        Shape ``(point, 2)``: row and column.
    radius
        Shape ``(point,)``, in pixels, above 0.
    dose
        Shape ``(point,)``: attenuation per pixel of way through the tube.
    branch
        Shape ``(point,)``, never falling: points of one number are joined in order.
    reach
        Shape ``(branch,)``, in pixels: how far from its first point a branch does not add to what is there.
    shape
        Height and width.
    least_dose
        A tube with less counts as empty in the mask.

    Returns
    -------
    attenuation
        Shape ``shape``, float32.
    mask
        Pixels whose centre lies in a tube that is not empty.
    radius
        Of the thickest tube that holds the pixel's centre, filled or empty; 0 outside.
    """
    canvas = _Canvas(
        np.zeros(shape, dtype=np.float32),
        np.zeros(shape, dtype=np.bool_),
        np.zeros(shape, dtype=np.float32),
        np.zeros(shape, dtype=np.float32),
    )
    _draw(_Tubes(points, radius, dose, branch, reach), float(least_dose), canvas)
    return canvas.total, canvas.mask, canvas.thickest


@njit(cache=True, nogil=True)
def _chord_integral(offset: float, radius: float) -> float:
    """Integral of 2 sqrt(r^2 - u^2) from 0 to ``offset``."""
    u = min(max(offset, -radius), radius)
    return u * math.sqrt(max(radius * radius - u * u, 0.0)) + radius * radius * math.asin(u / radius)


@njit(cache=True, nogil=True)
def _draw(tubes: _Tubes, least_dose: float, canvas: _Canvas) -> None:
    n, first = len(tubes.points), 0
    while first < n:
        last = first
        window = (canvas.total.shape[0], -1, canvas.total.shape[1], -1)
        while last + 1 < n and tubes.branch[last + 1] == tubes.branch[first]:
            window = _draw_piece(tubes, last, least_dose, canvas, window)
            last += 1
        _settle(canvas, window, tubes.points[first], tubes.reach[tubes.branch[first]])
        first = last + 1


@njit(cache=True, nogil=True)
def _draw_piece(tubes: _Tubes, at: int, least_dose: float, canvas: _Canvas, window: _Window) -> _Window:
    """Draw the tube from point ``at`` to the next into ``scratch``; return the window widened by what it touched."""
    radius, dose = tubes.radius, tubes.dose
    y0, x0 = tubes.points[at]
    dy, dx = tubes.points[at + 1, 0] - y0, tubes.points[at + 1, 1] - x0
    squared = max(dy * dy + dx * dx, 1e-12)
    broad = max(radius[at], radius[at + 1]) + 1.0
    top = max(0, math.ceil(min(y0, y0 + dy) - broad))
    bottom = min(canvas.total.shape[0] - 1, math.floor(max(y0, y0 + dy) + broad))
    left = max(0, math.ceil(min(x0, x0 + dx) - broad))
    right = min(canvas.total.shape[1] - 1, math.floor(max(x0, x0 + dx) + broad))
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            along = min(max(((y - y0) * dy + (x - x0) * dx) / squared, 0.0), 1.0)
            away = math.hypot(y - y0 - along * dy, x - x0 - along * dx)
            r = radius[at] + along * (radius[at + 1] - radius[at])
            if away >= r + 0.5:
                continue
            mu = dose[at] + along * (dose[at + 1] - dose[at])
            depth = mu * (_chord_integral(away + 0.5, r) - _chord_integral(away - 0.5, r))
            canvas.scratch[y, x] = max(canvas.scratch[y, x], depth)
            if away <= r:
                canvas.thickest[y, x] = max(canvas.thickest[y, x], r)
                canvas.mask[y, x] |= mu >= least_dose
    return min(window[0], top), max(window[1], bottom), min(window[2], left), max(window[3], right)


@njit(cache=True, nogil=True)
def _settle(canvas: _Canvas, window: _Window, start: FloatArray, near: float) -> None:
    """Take a finished branch from ``scratch``: added to what is there, or the larger of both near its start."""
    for y in range(window[0], window[1] + 1):
        for x in range(window[2], window[3] + 1):
            depth = canvas.scratch[y, x]
            if depth == 0.0:
                continue
            if math.hypot(y - start[0], x - start[1]) < near:
                canvas.total[y, x] = max(canvas.total[y, x], depth)
            else:
                canvas.total[y, x] += depth
            canvas.scratch[y, x] = 0.0
