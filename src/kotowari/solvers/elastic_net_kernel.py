"""The compiled kernel of the elastic net: paths of penalties, from second moments alone, each with its duality gap."""

from typing import Any

from kotowari.solvers.elastic_net_newton import append_row, settle
from kotowari.solvers.elastic_net_workspace import (
    ACTIVE,
    DF,
    FACTORED,
    FIT,
    GAP,
    LISTED,
    MEAN_SQUARE,
    RESIDUAL,
    SQUARES,
    Floats,
    Rule,
    Workspace,
    compiled,
    inlined,
)

__all__ = ["follow_paths"]

_MOST_NEW = 32


@compiled
def follow_paths(
    moments: Any, penalties: Any, rule: Rule, coefficients: Floats, statistics: Floats, work: Workspace
) -> None:
    """Solve for a path of penalties of every target, each fit started from the one before. Nothing is checked.

    It is compiled once for all who need elastic nets, which is dear, and so they call it from Python.

    Parameters
    ----------
    moments
        (gram, cross, square), shapes ``(regulator, regulator)``, ``(target, regulator)`` and ``(target,)``.
    penalties
        (l1, l2, factors), shapes ``(target, penalty)`` twice, and ``(target, regulator)`` or ``(1, regulator)``.
    rule
        When a fit is done, and a path.
    coefficients
        Shape ``(target, penalty, regulator)``; the first penalty's are the start, and all are written.
    statistics
        Written: gap, degrees of freedom and mean squared residual, shape ``(target, penalty, 3)``. What lies behind
        the end of a path, and degrees that are not counted, stay as they were.
    work
        Memory of this thread.
    """
    gram, cross, square = moments
    l1, l2, factors = penalties
    for target in range(len(cross)):
        mine = factors[target if len(factors) > 1 else 0]
        _begin(gram, cross[target], square[target], coefficients[target, 0], work)
        for step in range(l1.shape[1]):
            b, ridge = coefficients[target, step], l2[target, step]
            if step > 0:
                _carry(coefficients[target, step - 1], b)
                if ridge != l2[target, step - 1]:
                    work.counts[FACTORED] = 0
            penalty = (square[target], l1[target, step], ridge)
            statistics[target, step, GAP] = _solve((gram, cross[target]), penalty, mine, rule, b, work)
            statistics[target, step, MEAN_SQUARE] = max(work.sums[RESIDUAL], 0.0)
            if rule.counts_df:
                df = _degrees_of_freedom(gram, ridge, work)
                statistics[target, step, DF] = df
                if df >= rule.most_df:
                    break


@inlined
def _begin(gram: Floats, cross: Floats, square: float, b: Floats, work: Workspace) -> None:
    """Take b as the start: list its active regulators, forget the factor."""
    active = 0
    for j in range(len(b)):
        if b[j] != 0.0:
            work.active[active] = j
            active += 1
    work.counts[ACTIVE] = active
    work.counts[FACTORED] = 0
    _take_gradient(gram, cross, square, b, work)


@inlined
def _carry(before: Floats, b: Floats) -> None:
    for j in range(len(b)):
        b[j] = before[j]


@inlined
def _solve(moments: Any, penalty: Any, factors: Floats, rule: Rule, b: Floats, work: Workspace) -> float:
    """Minimise from b, in place; return the relative duality gap. ``penalty`` is (square, l1, l2)."""
    gram, cross = moments
    square, l1, l2 = penalty
    steepest = _list_steep(gram, (l1, l2), factors, b, work)
    gap = _relative_gap(penalty, factors, b, steepest, work)
    for _ in range(rule.max_steps):
        if gap <= rule.tol:
            break
        size = _choose_working_set(gram, (l1, l2, steepest), factors, b, work)
        _pack(gram, (l1, l2), factors, b, size, work)
        settle(size, rule.tol, work)
        _unpack(b, size, work)
        _take_gradient(gram, cross, square, b, work)
        steepest = _list_steep(gram, (l1, l2), factors, b, work)
        gap = _relative_gap(penalty, factors, b, steepest, work)
    return gap


@inlined
def _degrees_of_freedom(gram: Floats, l2: float, work: Workspace) -> float:
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
    for h in range(len(gradient)):
        gradient[h] = cross[h]
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
def _list_steep(gram: Floats, bars: Any, factors: Floats, b: Floats, work: Workspace) -> float:
    """List the idle regulators whose slope exceeds their price, behind the active ones; return the steepest over price.

    ``bars`` is (bar, l2), and price the bar times the penalty factor.
    """
    bar, l2 = bars
    size, steepest = work.counts[ACTIVE], 0.0
    for k in range(len(b)):
        if abs(work.gradient[k]) > bar * factors[k] and b[k] == 0.0:
            steepest = max(steepest, abs(work.gradient[k]) / factors[k])
            if gram[k, k] + l2 > 0.0:
                work.working[size] = k
                size += 1
    work.counts[LISTED] = size
    return float(steepest)


@inlined
def _relative_gap(penalty: Any, factors: Floats, b: Floats, steepest: float, work: Workspace) -> float:
    """Return (primal - dual) / primal; the dual point is the residual, scaled into the feasible set.

    ``steepest`` is that of the idle regulators, 0 where none is above its price.
    """
    square, l1, l2 = penalty
    absolute = 0.0
    for i in range(work.counts[ACTIVE]):
        j = work.active[i]
        absolute += factors[j] * abs(b[j])
        steepest = max(steepest, abs(work.gradient[j] - l2 * b[j]) / factors[j])
    smooth = work.sums[RESIDUAL] + l2 * work.sums[SQUARES]
    primal = 0.5 * smooth + l1 * absolute
    inner = square - work.sums[FIT]
    if primal <= 0.0:
        return 0.0
    scale = max(inner / smooth, 0.0) if smooth > 0.0 else 0.0
    if scale * max(steepest, l1) > l1:
        scale = l1 / max(steepest, l1)
    return float((primal - scale * inner + 0.5 * scale * scale * smooth) / primal)


@inlined
def _choose_working_set(gram: Floats, penalty: Any, factors: Floats, b: Floats, work: Workspace) -> int:
    """Put the active regulators before those listed, of which there may not be too many at once; return how many."""
    bar, l2, steepest = penalty
    active = work.counts[ACTIVE]
    most = active + max(_MOST_NEW, active)
    while work.counts[LISTED] > most and bar < 0.999 * steepest:
        bar = 0.5 * (bar + steepest)
        _list_steep(gram, (bar, l2), factors, b, work)
    for i in range(active):
        work.working[i] = work.active[i]
    return int(work.counts[LISTED])


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
