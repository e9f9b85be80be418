"""The compiled kernel of the elastic net: one target, from second moments alone, with its duality gap."""

from typing import Any

import numpy as np

from kotowari.solvers.elastic_net_newton import append_row, settle
from kotowari.solvers.elastic_net_workspace import (
    ACTIVE,
    FACTORED,
    FIT,
    RESIDUAL,
    SQUARES,
    Floats,
    Workspace,
    inlined,
)

__all__ = ["begin", "degrees_of_freedom", "follow_path", "mean_square", "solve"]

_MOST_NEW = 32


@inlined
def begin(gram: Floats, cross: Floats, square: float, b: Floats, work: Workspace) -> None:
    """Take b as the start on a new gram, cross or l2: list its active regulators, forget the factor."""
    active = 0
    for j in range(len(b)):
        if b[j] != 0.0:
            work.active[active] = j
            active += 1
    work.counts[ACTIVE] = active
    work.counts[FACTORED] = 0
    _take_gradient(gram, cross, square, b, work)


@inlined
def solve(gram: Floats, cross: Floats, penalty: Any, factors: Floats, b: Floats, work: Workspace) -> float:
    """Minimise from b, in place; return the relative duality gap. After ``begin``, or after ``solve`` at another l1.

    ``penalty`` is (square, l1, l2, tol, max_steps).
    """
    square, l1, l2, tol, max_steps = penalty
    gap = _relative_gap(square, l1, l2, factors, b, work)
    for _ in range(max_steps):
        if gap <= tol:
            break
        size = _choose_working_set(gram, l1, l2, factors, work)
        _pack(gram, (l1, l2), factors, b, size, work)
        settle(size, tol, work)
        _unpack(b, size, work)
        _take_gradient(gram, cross, square, b, work)
        gap = _relative_gap(square, l1, l2, factors, b, work)
    return gap


@inlined
def follow_path(
    gram: Floats, cross: Floats, penalties: Any, factors: Floats, coefficients: Floats, work: Workspace
) -> Any:
    """Solve for a path of penalties, warm. ``penalties`` is (square, l1, l2, tol, max_steps), l1 and l2 arrays."""
    square, l1, l2, tol, max_steps = penalties
    gaps = np.empty(len(l1))
    b = np.zeros(len(cross))
    begin(gram, cross, square, b, work)
    for step in range(len(l1)):
        if step > 0 and l2[step] != l2[step - 1]:
            work.counts[FACTORED] = 0
        gaps[step] = solve(gram, cross, (square, l1[step], l2[step], tol, max_steps), factors, b, work)
        coefficients[step] = b
    return gaps


@inlined
def mean_square(work: Workspace) -> float:
    """Return the mean squared residual of the last fit, under the weights of the moments."""
    return float(max(work.sums[RESIDUAL], 0.0))


@inlined
def degrees_of_freedom(gram: Floats, l2: float, work: Workspace) -> float:
    """Return the trace of (gram + l2)^-1 gram on the active regulators of the last fit, at the l2 of that fit."""
    active = work.counts[ACTIVE]
    if l2 == 0.0:
        return float(active)
    for place in range(work.counts[FACTORED], active):
        j = work.active[place]
        for k in range(place):
            work.newton[k] = gram[j, work.active[k]]
        append_row(place, gram[j, j] + l2, work.inverse, work.newton, work.image)
    work.counts[FACTORED] = active
    total = 0.0
    for k in range(active * (active + 1) // 2):
        total += work.inverse[k] * work.inverse[k]
    return float(active - l2 * total)


@inlined
def _take_gradient(gram: Floats, cross: Floats, square: float, b: Floats, work: Workspace) -> None:
    gradient, active, n_active = work.gradient, work.active, work.counts[ACTIVE]
    gradient[:] = cross
    for i in range(0, n_active - 3, 4):  # four rows at a time: a gradient that is loaded and stored less often
        j, k, m, n = active[i], active[i + 1], active[i + 2], active[i + 3]
        bj, bk, bm, bn = b[j], b[k], b[m], b[n]
        for h in range(len(gradient)):
            gradient[h] -= bj * gram[j, h] + bk * gram[k, h] + bm * gram[m, h] + bn * gram[n, h]
    for i in range(n_active - n_active % 4, n_active):
        j = active[i]
        bj = b[j]
        for h in range(len(gradient)):
            gradient[h] -= bj * gram[j, h]
    fit = squares = rest = 0.0
    for i in range(n_active):
        j = active[i]
        fit += cross[j] * b[j]
        squares += b[j] * b[j]
        rest += b[j] * gradient[j]
    work.sums[FIT], work.sums[SQUARES], work.sums[RESIDUAL] = fit, squares, square - fit - rest


@inlined
def _relative_gap(square: float, l1: float, l2: float, factors: Floats, b: Floats, work: Workspace) -> float:
    """Return (primal - dual) / primal; the dual point is the residual, scaled into the feasible set."""
    steepest = 0.0
    for k in range(len(b)):
        steepest = max(steepest, abs(work.gradient[k] - l2 * b[k]) / factors[k])
    absolute = 0.0
    for i in range(work.counts[ACTIVE]):
        j = work.active[i]
        absolute += factors[j] * abs(b[j])
    smooth = work.sums[RESIDUAL] + l2 * work.sums[SQUARES]
    primal = 0.5 * smooth + l1 * absolute
    inner = square - work.sums[FIT]
    if primal <= 0.0:
        return 0.0
    scale = max(inner / smooth, 0.0) if smooth > 0.0 else 0.0
    if scale * steepest > l1:
        scale = l1 / steepest
    return float((primal - scale * inner + 0.5 * scale * scale * smooth) / primal)


@inlined
def _choose_working_set(gram: Floats, l1: float, l2: float, factors: Floats, work: Workspace) -> int:
    """List the active regulators and those whose slope exceeds their price, not too many at once."""
    active, working = work.counts[ACTIVE], work.working
    for i in range(active):
        working[i] = work.active[i]
        work.listed[working[i]] = True
    bar, size, most = l1, _list_steep(gram, l1, l2, factors, work), active + max(_MOST_NEW, active)
    steepest = _steepest_idle(factors, work) if size > most else 0.0
    while size > most and bar < 0.999 * steepest:
        bar = 0.5 * (bar + steepest)
        size = _list_steep(gram, bar, l2, factors, work)
    for i in range(active):
        work.listed[work.active[i]] = False
    return size


@inlined
def _list_steep(gram: Floats, bar: float, l2: float, factors: Floats, work: Workspace) -> int:
    size = int(work.counts[ACTIVE])
    for k in range(len(factors)):
        if abs(work.gradient[k]) > bar * factors[k] and not work.listed[k] and gram[k, k] + l2 > 0.0:
            work.working[size] = k
            size += 1
    return size


@inlined
def _steepest_idle(factors: Floats, work: Workspace) -> float:
    steepest = 0.0
    for k in range(len(factors)):
        if not work.listed[k]:
            steepest = max(steepest, abs(work.gradient[k]) / factors[k])
    return steepest


@inlined
def _pack(gram: Floats, penalty: Any, factors: Floats, b: Floats, size: int, work: Workspace) -> None:
    """Gather the working set; the active regulators come first, in the order of the factor."""
    l1, l2 = penalty
    working = work.working
    for i in range(size):
        j = working[i]
        start = i * size
        for k in range(size):
            work.curvature[start + k] = gram[j, working[k]]
        work.curvature[start + i] += l2
        work.value[i] = b[j]
        work.slope[i] = work.gradient[j] - l2 * b[j]
        work.price[i] = l1 * factors[j]
        work.order[i] = i


@inlined
def _unpack(b: Floats, size: int, work: Workspace) -> None:
    for i in range(size):
        b[work.working[i]] = work.value[i]
    for i in range(work.counts[ACTIVE]):
        work.active[i] = work.working[work.order[i]]
