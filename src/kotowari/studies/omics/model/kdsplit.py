"""Splitting points in two by a coordinate, compiled: the step that trees and bisections share."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["tree_levels", "tree_order"]


@njit(cache=True)
def tree_levels(points: int, leaf: int) -> int:
    """Return how often ``points`` are halved until a part holds at most ``leaf`` of them."""
    levels = 0
    while (points >> levels) > leaf:
        levels += 1
    return levels


@njit(cache=True)
def tree_order(points: npt.NDArray[Any], order: npt.NDArray[np.int64], levels: int) -> None:
    """Rearrange ``order`` in place into a balanced k-d tree.

    Part k of level l holds ``order[n k / 2^l : n (k + 1) / 2^l]``; every part is halved across its longer side.

    Parameters
    ----------
    points
        Shape ``(point, 2)``, finite.
    order
        Shape ``(point,)``: a permutation; one that is nearly a tree already is rearranged faster.
    levels
        Number of halvings, 0 or more, with ``2^levels`` at most the number of points.
    """
    n = len(points)
    for level in range(levels):
        parts = 1 << level
        for part in range(parts):
            begin, end = n * part // parts, n * (part + 1) // parts
            _halve(points, order, begin, end, n * (2 * part + 1) // (2 * parts))


@njit(cache=True)
def _halve(points: Any, order: Any, begin: int, end: int, middle: int) -> None:
    """Quickselect by the wider coordinate: what stands before ``middle`` is not above what stands behind."""
    axis = _wider_axis(points, order, begin, end)
    first, last = begin, end - 1
    while first < last:
        pivot = points[order[(first + last) // 2], axis]
        i, j = first, last
        while i <= j:
            while points[order[i], axis] < pivot:
                i += 1
            while points[order[j], axis] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            last = j
        elif middle >= i:
            first = i
        else:
            return


@njit(cache=True)
def _wider_axis(points: Any, order: Any, begin: int, end: int) -> int:
    low_0 = high_0 = points[order[begin], 0]
    low_1 = high_1 = points[order[begin], 1]
    for i in range(begin + 1, end):
        value_0, value_1 = points[order[i], 0], points[order[i], 1]
        low_0, high_0 = min(low_0, value_0), max(high_0, value_0)
        low_1, high_1 = min(low_1, value_1), max(high_1, value_1)
    return 0 if high_0 - low_0 >= high_1 - low_1 else 1
