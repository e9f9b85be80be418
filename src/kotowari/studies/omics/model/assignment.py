"""Genes to pixels: the pixel they stand in, or one for every gene at the least shift."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.omics.model.auction import auction, bisection, lower_bound
from kotowari.studies.omics.model.frame import Shape, require_shape

__all__ = ["ASSIGNMENTS", "Assigned", "assign_pixels"]

ASSIGNMENTS = ("bisect", "lsa", "bin")

_LSA_BYTES = 1 << 30
_FIRST_INCREMENT = 0.05
_PROVEN = 1.10
_NEGLIGIBLE = 1e-3


class Assigned(NamedTuple):
    """Pixels of genes, and how near the optimum they are proven to be.

    Attributes
    ----------
    pixels
        Shape ``(gene, 2)``: row and column from 0.
    shift
        Mean squared distance from a gene's place to the centre of its pixel, in squared pixels.
    bound
        No assignment of the same kind (with or without collisions) has a smaller shift than this.
    """

    pixels: npt.NDArray[np.int64]
    shift: float
    bound: float


def assign_pixels(places: npt.NDArray[np.float64], shape: Shape, *, assignment: str = "bisect") -> Assigned:
    """Give every gene a pixel; deterministic.

    ``"bisect"``
        All different. A bisection of genes and frame gives the scale of the shift, an auction follows and is repeated
        with finer bids until its own dual bound proves the shift within 1.1 times the least (or 0.001 squared pixels).
    ``"lsa"``
        All different, least shift, by SciPy's linear sum assignment; the dense cost matrix may take 1 GiB.
    ``"bin"``
        The pixel that a gene stands in, as DeepInsight does; several genes may share it.

    Parameters
    ----------
    places
        Shape ``(gene, 2)``: down and right in pixels, from 0 up to the shape; pixel (i, j) has its centre at
        (i + 1/2, j + 1/2).
    shape
        Height and width in pixels.
    assignment
        One of the above.

    Raises
    ------
    InputError
        When the name is none of these, the frame is too small, or the cost matrix too large.
    ShapeError
        When the places are not pairs.

    Examples
    --------
    >>> assign_pixels(np.array([[0.4, 0.5], [0.6, 0.5]]), (2, 1)).pixels.tolist()
    [[0, 0], [1, 0]]
    """
    points = np.ascontiguousarray(places, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ShapeError.mismatch("assign_pixels", "places", ("gene", 2), points.shape)
    height, width = require_shape(shape)
    if assignment not in ASSIGNMENTS:
        raise InputError(f"assignment must be one of {', '.join(ASSIGNMENTS)}, got {assignment!r}.")
    if assignment == "bin":
        pixels = np.clip(np.floor(points).astype(np.int64), 0, (height - 1, width - 1))
        shift = _shift(points, pixels)
        return Assigned(pixels, shift, shift)
    _require_room(len(points), height, width)
    return _optimal(points, (height, width)) if assignment == "lsa" else _near_optimal(points, (height, width))


def _near_optimal(points: npt.NDArray[np.float64], shape: Shape) -> Assigned:
    pixels = _as_pixels(bisection(points, *shape), shape)
    best = Assigned(pixels, _shift(points, pixels), 0.0)
    increment = _FIRST_INCREMENT * best.shift
    while best.shift > _PROVEN * best.bound + _NEGLIGIBLE:
        cells, price = auction(points, *shape, increment)
        pixels = _as_pixels(cells, shape)
        found = Assigned(pixels, _shift(points, pixels), max(best.bound, lower_bound(points, price)))
        best = found if found.shift < best.shift else best._replace(bound=found.bound)
        increment /= 4
    return best


def _optimal(points: npt.NDArray[np.float64], shape: Shape) -> Assigned:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    height, width = shape
    size = 8 * len(points) * height * width
    if size > _LSA_BYTES:
        raise InputError(
            f"assignment='lsa' needs a cost matrix of {size / 2**30:.1f} GiB for {len(points)} genes on "
            f"{height} x {width} pixels, more than the {_LSA_BYTES / 2**30:.0f} GiB it may take. "
            "Use assignment='bisect', or a smaller frame."
        )
    centres = np.indices(shape).reshape(2, -1).T + 0.5
    _, cells = linear_sum_assignment(cdist(points, centres, "sqeuclidean"))
    pixels = _as_pixels(cells, shape)
    shift = _shift(points, pixels)
    return Assigned(pixels, shift, shift)


def _require_room(genes: int, height: int, width: int) -> None:
    if genes > height * width:
        side = int(np.ceil(np.sqrt(genes)))
        raise InputError(
            f"{genes} genes do not fit into {height} x {width} = {height * width} pixels without collisions. "
            f"The smallest square that holds them is {side} x {side}; or use assignment='bin'."
        )


def _as_pixels(cells: Any, shape: Shape) -> npt.NDArray[np.int64]:
    return np.stack(np.divmod(np.asarray(cells, dtype=np.int64), shape[1]), axis=1)


def _shift(points: npt.NDArray[np.float64], pixels: npt.NDArray[np.int64]) -> float:
    return float(((points - pixels - 0.5) ** 2).sum(1).mean()) if len(points) else 0.0
