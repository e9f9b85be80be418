"""From a map of genes to the frame of an image: turned to the smallest rectangle, scaled to pixels."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, cKDTree

from kotowari.core.errors import InputError

__all__ = ["Shape", "collision_free_side", "pixel_places", "rectangle_rotation", "spaced_shape"]

Shape = tuple[int, int]

# A share of free pixels lets genes keep near their places.
_FREE = 1.05


def rectangle_rotation(places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the rotation that lays the smallest rectangle around the points along the axes, longer side across.

    The smallest rectangle has a side along an edge of the convex hull, so every edge is tried; of equal ones the first
    is taken. Points on one line are laid along the columns; points in one place are left alone.

    Parameters
    ----------
    places
        Shape ``(point, 2)``, finite.

    Returns
    -------
    ndarray
        Shape ``(2, 2)``, determinant 1; rotated points are ``places @ rotation.T``, as (down, right).

    Source: Freeman and Shapira 1975, Communications of the ACM 18; Sharma et al. 2019, Scientific Reports 9.
    """
    centred = places - places.mean(0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    if spread[0] <= 1e-12 * max(1.0, float(np.abs(places).max())):
        return np.eye(2)
    if len(spread) < 2 or spread[1] <= 1e-9 * spread[0]:
        return _with_right(directions[0])
    corners = centred[ConvexHull(centred / spread[0]).vertices]
    edges = np.roll(corners, -1, axis=0) - corners
    best = min((_with_right(edge) for edge in edges), key=lambda rotation: _area(corners, rotation))
    down, right = np.ptp(corners @ best.T, axis=0)
    return best if right >= down else np.array([[0.0, 1.0], [-1.0, 0.0]]) @ best


def pixel_places(places: npt.NDArray[np.float64], shape: Shape) -> npt.NDArray[np.float64]:
    """Return the points turned by :func:`rectangle_rotation` and scaled to fill the frame.

    The longer side of the rectangle lies along the longer side of the frame; either axis is scaled alone. A side
    without width lies in the middle. Pixel (i, j) covers ``[i, i + 1) x [j, j + 1)``.

    Parameters
    ----------
    places
        Shape ``(point, 2)``, finite.
    shape
        Height and width in pixels, 1 or more.

    Returns
    -------
    ndarray
        Shape ``(point, 2)``: down and right, in pixels, from 0 to just below the shape.

    Raises
    ------
    InputError
        When the shape is not two whole numbers of 1 or more.
    """
    height, width = require_shape(shape)
    turned = places @ rectangle_rotation(places).T
    if height > width:
        turned = turned[:, ::-1] * (1.0, -1.0)
    low, side = turned.min(0), np.ptp(turned, axis=0)
    flat = side <= 1e-9 * max(side.max(), np.finfo(float).tiny)
    share = np.where(flat, 0.5, (turned - low) / np.where(flat, 1.0, side))
    return np.asarray(np.clip(share * (height, width), 0, np.nextafter((height, width), 0.0)))


def spaced_shape(places: npt.NDArray[np.float64], *, limit: int) -> Shape:
    r"""Return DeepInsight's frame: the two genes that stand nearest just fall into different pixels.

    .. math:: A = \lceil \sqrt 2\, a / d_{\min} \rceil, \quad B = \lceil \sqrt 2\, b / d_{\min} \rceil

    for the sides a, b of the rectangle and the smallest distance above zero, scaled down when the longer exceeds the
    limit, which is the rule for most real maps.

    Parameters
    ----------
    places
        Shape ``(point, 2)``, finite.
    limit
        Largest side in pixels, 1 or more.

    Source: Sharma et al. 2019, Scientific Reports 9, methods; distances by a k-d tree, not by all pairs.
    """
    if limit < 1:
        raise InputError(f"The largest side of a frame must be 1 or more pixels, got {limit}.")
    distinct = np.unique(places, axis=0)
    if len(distinct) < 2:
        return 1, 1
    smallest = float(cKDTree(distinct).query(distinct, k=2)[0][:, 1].min())
    sides = np.ptp(places @ rectangle_rotation(places).T, axis=0) * math.sqrt(2) / smallest
    shrink = min(1.0, limit / float(sides.max()))
    height, width = (min(limit, max(1, math.ceil(side * shrink))) for side in sides)
    return height, width


def collision_free_side(genes: int) -> int:
    """Return the side of the smallest square frame with a pixel for every gene and 5 % to spare.

    Examples
    --------
    >>> collision_free_side(3899)
    64
    """
    return math.ceil(math.sqrt(_FREE * genes))


def require_shape(shape: Any) -> Shape:
    """Return height and width as two whole numbers of 1 or more, or raise :class:`InputError`."""
    sides = np.asarray(shape)
    if sides.shape != (2,) or not np.issubdtype(sides.dtype, np.integer) or sides.min() < 1:
        raise InputError(f"shape must be height and width, two whole numbers of 1 or more, got {shape!r}.")
    return int(sides[0]), int(sides[1])


def _with_right(direction: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the rotation that turns ``direction`` to the right: (0, 1)."""
    down, right = direction / np.linalg.norm(direction)
    return np.array([[right, -down], [down, right]])


def _area(corners: npt.NDArray[np.float64], rotation: npt.NDArray[np.float64]) -> float:
    # rounded, so that rectangles that are equal but for the last digits do not trade places
    return float(np.format_float_scientific(np.ptp(corners @ rotation.T, axis=0).prod(), precision=10))
