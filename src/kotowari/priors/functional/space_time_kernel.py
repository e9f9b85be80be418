"""Compiled loops over blocks of rows of a run: one step of its sparse part and of the dual of its total variation."""

from typing import Any

import numpy as np
from numba import njit

__all__ = ["move_dual", "move_primal", "price_rows"]

# whoever calls has made sure that all entries are finite
_FAST = {"reassoc", "contract", "arcp", "nsz", "nnan"}
_compiled = njit(cache=True, fastmath=_FAST, error_model="numpy", nogil=True)
# inlined, since sums in free order would differ between a fresh and a stored compilation
_part = njit(fastmath=_FAST, error_model="numpy", nogil=True, forceinline=True)


@_compiled
def move_primal(work: Any, sparse: Any, dual: Any, inside: Any, rows: Any, numbers: Any) -> None:
    r"""Write the next sparse part of a block of rows over the one before last, and ``out`` for its Gram matrix.

    With V = D - L, :math:`S^+ = \mathrm{prox}_{\mu(\lambda \|\cdot\|_1 + \iota_{\ge 0} + \gamma \|\cdot\|_2)}(V - \mu
    \nabla^* p)`. What comes out is :math:`D - S^+ - \beta (S^+ - S)`, or :math:`V - S^+` if ``beta`` is below 0.

    Parameters
    ----------
    work
        D, L and a spare array, ``(frame, row, column)`` of the block, and ``out`` of the same shape, in double.
    sparse
        S of the step before last, and of the last step; ``(frame, row, column)``, whole.
    dual
        The dual along columns, rows and frames, whole, in parts of its bounds. What points over an edge is 0.
    inside
        1 inside the field and 0 outside, ``(row, column)``.
    rows
        First row of the block, and the row behind its last one.
    numbers
        In the dtype of the work: the thresholds of l1, space, time and group times mu, beta, and the unit, the number
        of units in 1, the rounding and the largest number of stored sparse entries.
    """
    data, low, raw, out = work
    older, newer = sparse
    begin, end = rows
    bar, space, time, group, beta, unit, per_unit, half, top = numbers
    then = unit * beta
    now = unit + then  # sums of stored numbers before they are floats would wrap around
    width = older.shape[2]
    scale = np.empty(width, raw.dtype)
    for y in range(begin, end):
        _threshold(work, dual, inside[y], (y, y - begin), (bar, space, time, scale))
        for x in range(width):
            length = np.sqrt(scale[x])
            scale[x] = (length - group) / length if length > group else bar * 0
        for t in range(len(older)):
            last, new, d, o = newer[t, y], older[t, y], data[t, y - begin], out[t, y - begin]
            low_rank, r, ins = low[t, y - begin], raw[t, y - begin], inside[y]
            for x in range(width):
                new[x] = min(r[x] * scale[x] * per_unit + half, top)
            if beta < 0:
                for x in range(width):
                    o[x] = (d[x] - low_rank[x] - unit * new[x]) * ins[x]
            else:
                for x in range(width):
                    o[x] = d[x] - now * new[x] + then * last[x]


@_part
def _threshold(work: Any, dual: Any, ins: Any, row: Any, numbers: Any) -> None:
    """Write what variation, l1 and sign leave of a row in all frames, and its sums of squares over time."""
    data, low, raw, _ = work
    y, in_block = row
    along_x, along_y, along_t = dual
    bar, space, time, squares = numbers
    zero = bar * 0
    squares[:] = 0
    for t in range(len(data)):
        px, py, pt = along_x[t, y], along_y[t, y], along_t[t, y]
        up, before = along_y[t, y - 1], along_t[t - 1, y]  # those of -1 point over an edge
        d, low_rank, r = data[t, in_block], low[t, in_block], raw[t, in_block]
        for x in range(len(r)):
            r[x] = space * ((up[x] - py[x]) - px[x]) + time * (before[x] - pt[x])
        for x in range(1, len(r)):
            r[x] += space * px[x - 1]
        for x in range(len(r)):
            new = max(d[x] - low_rank[x] - bar - r[x], zero) * ins[x]
            r[x] = new
            squares[x] += new * new


@_compiled
def move_dual(sparse: Any, dual: Any, inside: Any, rows: Any, numbers: Any) -> None:
    r"""Advance the dual in a block of rows, :math:`p^+ = \mathrm{clip}(p + \sigma \nabla(2 S^+ - S), \pm 1)`.

    Parameters
    ----------
    sparse, dual, inside, rows
        As :func:`move_primal` left them.
    numbers
        In the dtype of the work: the step along space and along time, each by its bound and in units of the sparse
        part, and the unit, the number of units in 1 and the rounding of stored dual entries.
    """
    newer, older = sparse
    along_x, along_y, along_t = dual
    begin, end = rows
    space, time, unit, per_unit, half = numbers
    two = space / space + space / space
    one = space / space
    n_frames, height, width = newer.shape
    bar = np.empty(width, numbers.dtype)
    for t in range(n_frames):
        for y in range(begin, end):
            new, old, ins = newer[t, y], older[t, y], inside[y]
            for x in range(width):
                bar[x] = two * new[x] - old[x]
            p = along_x[t, y]
            for x in range(width - 1):
                v = unit * p[x] + space * (bar[x + 1] - bar[x]) * ins[x] * ins[x + 1]
                v = min(max(v, -one), one)
                p[x] = v * per_unit + (half if v > 0 else -half)
            if y + 1 < height:
                p, ahead, behind, there = along_y[t, y], newer[t, y + 1], older[t, y + 1], inside[y + 1]
                for x in range(width):
                    v = unit * p[x] + space * (two * ahead[x] - behind[x] - bar[x]) * ins[x] * there[x]
                    v = min(max(v, -one), one)
                    p[x] = v * per_unit + (half if v > 0 else -half)
            if t + 1 < n_frames:
                p, ahead, behind = along_t[t, y], newer[t + 1, y], older[t + 1, y]
                for x in range(width):
                    v = unit * p[x] + time * (two * ahead[x] - behind[x] - bar[x])
                    v = min(max(v, -one), one)
                    p[x] = v * per_unit + (half if v > 0 else -half)


@_compiled
def price_rows(sparse: Any, inside: Any, rows: Any, unit: float, totals: Any) -> None:
    """Write sum, variation along space, variation along time and sum of pixel lengths of a block into ``totals``."""
    begin, end = rows
    n_frames, height, width = sparse.shape
    lengths = np.empty(width, np.float64)
    amount, space, time, length = 0.0, 0.0, 0.0, 0.0
    for y in range(begin, end):
        ins = inside[y]
        lengths[:] = 0
        for t in range(n_frames):
            here = sparse[t, y]
            for x in range(width):
                value = np.float64(here[x])
                amount += value
                lengths[x] += value * value
            for x in range(width - 1):
                space += np.abs(np.float64(here[x + 1]) - np.float64(here[x])) * ins[x] * ins[x + 1]
            if y + 1 < height:
                ahead, there = sparse[t, y + 1], inside[y + 1]
                for x in range(width):
                    space += np.abs(np.float64(ahead[x]) - np.float64(here[x])) * ins[x] * there[x]
            if t + 1 < n_frames:
                ahead = sparse[t + 1, y]
                for x in range(width):
                    time += np.abs(np.float64(ahead[x]) - np.float64(here[x]))
        for x in range(width):
            length += np.sqrt(lengths[x])
    totals[0], totals[1], totals[2], totals[3] = amount * unit, space * unit, time * unit, length * unit
