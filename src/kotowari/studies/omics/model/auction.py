"""One pixel for every gene at nearly the least shift: a bisection to start with, an auction to finish; compiled."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["auction", "bisection", "lower_bound"]

_BLOCK = 8


@njit(cache=True)
def bisection(points: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.int64]:
    """Return a pixel for every point, all different, by halving points and frame together.

    Every rectangle of pixels is halved across its longer side. Points go to the half they stand in, and over the line
    only when the pixels of one half do not suffice; the nearest to the line go first. The last point of a rectangle
    takes its nearest pixel there.

    Parameters
    ----------
    points
        Shape ``(point, 2)`` in pixels; at most ``height * width`` of them.
    height, width
        Sides of the frame in pixels, 1 or more.

    Returns
    -------
    ndarray
        Shape ``(point,)``: ``row * width + column``.
    """
    order, cells = np.arange(len(points)), np.empty(len(points), np.int64)
    stack = np.empty((4 * (int(math.log2(height * width)) + 2), 6), np.int64)
    stack[0] = np.array([0, len(points), 0, height, 0, width])
    top = 1
    while top > 0:
        top -= 1
        begin, end, first, last, left, right = stack[top]
        if end - begin == 1:
            row = min(max(int(points[order[begin], 0]), first), last - 1)
            column = min(max(int(points[order[begin], 1]), left), right - 1)
            cells[order[begin]] = row * width + column
        elif end - begin > 1:
            down = last - first >= right - left
            low, high, other = (first, last, right - left) if down else (left, right, last - first)
            line = (low + high) // 2
            rank = points[order[begin:end], 0 if down else 1]
            order[begin:end] = order[begin:end][np.argsort(rank, kind="mergesort")]
            room, rest = (line - low) * other, (high - line) * other
            cut = begin + min(max(int((rank < line).sum()), end - begin - rest), room)
            stack[top] = stack[top + 1] = np.array([begin, cut, first, last, left, right])
            stack[top + 1, 0], stack[top + 1, 1] = cut, end
            stack[top, 3 if down else 5] = line
            stack[top + 1, 2 if down else 4] = line
            top += 2
    return cells


@njit(cache=True)
def auction(
    points: npt.NDArray[np.float64], height: int, width: int, increment: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    r"""Return a pixel for every point, all different, at a mean squared shift within ``increment`` of the least.

    A point without a pixel bids for the one of least squared distance plus price, up to the value of the second best
    and the increment; the former owner must bid again. Pixels that nobody asked for keep the price 0, so in the end

    .. math:: \text{cost} \le \text{least cost} + \text{increment}.

    The best pixels are searched exactly, ring by ring, by blocks of 8 x 8 whose lowest price is kept.

    Parameters
    ----------
    points
        Shape ``(point, 2)`` in pixels; pixel (i, j) has its centre at (i + 1/2, j + 1/2).
    height, width
        Sides of the frame in pixels, 1 or more; as many pixels as points, or more.
    increment
        Squared pixels, above 0; the time grows as it falls.

    Returns
    -------
    tuple
        Pixels, shape ``(point,)``, as ``row * width + column``; and prices, shape ``(height, width)``, 0 or more.

    Source: Bertsekas 1988, Annals of Operations Research 14 (increments, bids); the search by rings is our own.
    """
    price = np.zeros((height, width))
    floor = np.zeros((_blocks(height), _blocks(width)))
    owner = np.full(height * width, -1)
    cells = np.empty(len(points), np.int64)
    waiting = np.arange(len(points))[::-1].copy()
    top = len(points)
    while top > 0:
        point = waiting[top - 1]
        best, second, cell = _two_best(points[point, 0] - 0.5, points[point, 1] - 0.5, price, floor)
        row, column = cell // width, cell % width
        price[row, column] += increment + (0.0 if second == np.inf else second - best)
        floor[row // _BLOCK, column // _BLOCK] = _lowest(price, row // _BLOCK, column // _BLOCK)
        cells[point] = cell
        if owner[cell] < 0:
            top -= 1
        else:
            waiting[top - 1] = owner[cell]
        owner[cell] = point
    return cells, price


@njit(cache=True)
def lower_bound(points: npt.NDArray[np.float64], price: npt.NDArray[np.float64]) -> float:
    """Return a mean squared shift that no assignment without collisions can undercut: the dual value of the prices."""
    height, width = price.shape
    floor = np.empty((_blocks(height), _blocks(width)))
    for row in range(len(floor)):
        for column in range(floor.shape[1]):
            floor[row, column] = _lowest(price, row, column)
    total = -price.sum()
    for point in range(len(points)):
        total += _two_best(points[point, 0] - 0.5, points[point, 1] - 0.5, price, floor)[0]
    return float(total / len(points))


@njit(cache=True)
def _blocks(side: int) -> int:
    return (side + _BLOCK - 1) // _BLOCK


@njit(cache=True)
def _lowest(price: Any, row: int, column: int) -> float:
    lowest = np.inf
    for i in range(row * _BLOCK, min(price.shape[0], (row + 1) * _BLOCK)):
        for j in range(column * _BLOCK, min(price.shape[1], (column + 1) * _BLOCK)):
            lowest = min(lowest, price[i, j])
    return float(lowest)


@njit(cache=True)
def _two_best(down: float, right: float, price: Any, floor: Any) -> Any:
    """Return the least squared distance plus price, the second least, and the cell of the least."""
    height, width = price.shape
    rows, columns = floor.shape
    home_row = min(max(int(down) // _BLOCK, 0), rows - 1)
    home_column = min(max(int(right) // _BLOCK, 0), columns - 1)
    found = (np.inf, np.inf, -1)
    reach, reachable = 0, True
    while reachable and reach <= max(rows, columns):
        reachable = reach == 0
        for row in range(max(0, home_row - reach), min(rows, home_row + reach + 1)):
            from_rows = _gap(down, row * _BLOCK, min(height, (row + 1) * _BLOCK) - 1) ** 2
            rim = abs(row - home_row) == reach
            for column in range(home_column - reach, home_column + reach + 1, 1 if rim else 2 * reach):
                if 0 <= column < columns:
                    near = from_rows + _gap(right, column * _BLOCK, min(width, (column + 1) * _BLOCK) - 1) ** 2
                    reachable = reachable or near < found[1]
                    if near + floor[row, column] < found[1]:
                        found = _scan(down, right, price, row * _BLOCK, column * _BLOCK, found)
        reach += 1
    return found


@njit(cache=True)
def _gap(place: float, low: int, high: int) -> float:
    return max(0.0, low - place, place - high)


@njit(cache=True)
def _scan(down: float, right: float, price: Any, first: int, left: int, found: Any) -> Any:
    best, second, cell = found
    for i in range(first, min(price.shape[0], first + _BLOCK)):
        from_row = (i - down) ** 2
        for j in range(left, min(price.shape[1], left + _BLOCK)):
            value = from_row + (j - right) ** 2 + price[i, j]
            if value < best:
                best, second, cell = value, best, i * price.shape[1] + j
            elif value < second:
                second = value
    return best, second, cell
