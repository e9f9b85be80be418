"""Compiled search for the penalties of every target: paths of lambda, values of gamma, rounds of adaptive weights."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kotowari.solvers.elastic_net_kernel import begin, degrees_of_freedom, mean_square, solve
from kotowari.solvers.elastic_net_workspace import Workspace, compiled, inlined
from kotowari.studies.genenet.model.criterion import criterion_value

__all__ = [
    "ADAPTIVE_FLOOR",
    "COLUMNS",
    "CONSTANT_TARGET",
    "FITTED",
    "TOO_FEW_NEIGHBOURS",
    "FoldMoments",
    "Search",
    "search_by_criterion",
    "search_by_folds",
]

Floats = npt.NDArray[np.float64]

FITTED, TOO_FEW_NEIGHBOURS, CONSTANT_TARGET = 0, 1, 2
COLUMNS = ("status", "penalty", "ridge", "criterion", "df", "rounds", "gap", "mean_square")
ADAPTIVE_FLOOR = 1e-3

_NOTHING = 1e-12  # a correlation below is rounding
_STATUS, _PENALTY, _RIDGE, _CRITERION, _DF, _ROUNDS, _GAP, _MEAN_SQUARE = range(8)


class Search(NamedTuple):
    """What is tried for every target.

    Attributes
    ----------
    ratios
        Lambda over the smallest that makes all coefficients 0, falling from 1, shape ``(2, lambda)``: of the first
        round, and of those with adaptive weights.
    ridges
        Gamma, 0 or more, shape ``(gamma,)``.
    max_rounds
        Most rounds of adaptive weights, 1 or more; the first has equal weights.
    bic
        Whether BIC takes the place of AICc.
    tol, max_steps
        As in :func:`kotowari.solvers.elastic_net.elastic_net`.
    """

    ratios: Floats
    ridges: Floats
    max_rounds: int
    bic: bool
    tol: float
    max_steps: int


class FoldMoments(NamedTuple):
    """Moments of every fold's training samples, standardised, and of the samples left out, as sums.

    Attributes
    ----------
    gram, cross, mean, deviation
        As in :class:`kotowari.studies.genenet.model.moments.LocalMoments`, with the fold as first axis.
    left_sums, left_first, left_squares, left_mass
        Sums over the samples left out: shapes ``(fold, regulator + target, regulator)``,
        ``(fold, regulator + target)``, ``(fold, target)`` and ``(fold,)``.
    """

    gram: Floats
    cross: Floats
    mean: Floats
    deviation: Floats
    left_sums: Floats
    left_first: Floats
    left_squares: Floats
    left_mass: Floats


@compiled
def search_by_criterion(
    moments: Any, factors: Floats, search: Search, coefficients: Floats, results: Floats, work: Workspace
) -> None:
    r"""Choose the penalties of every target at one place by the modified weighted AICc, or BIC.

    For every gamma a path of lambda is followed, and the least criterion kept; then weights
    :math:`w_j = 1 / (|\beta_j| + 10^{-3})` start the next round, as long as the criterion falls.

    Parameters
    ----------
    moments
        (gram, cross, whether each target varies, effective number of samples).
    factors
        Penalty factors, infinite for an edge that must not be, shape ``(target, regulator)``.
    search
        What is tried.
    coefficients
        Written: shape ``(target, regulator)``, on the standardised scale.
    results
        Written: shape ``(target, 8)``, columns as in ``COLUMNS``.
    work
        Memory of this thread.

    Source: Shimamura et al. 2011, PLoS ONE 6:e20804, recursive elastic net.
    """
    gram, cross, varies, n_effective = moments
    found, trial, mine = np.zeros(8), np.zeros(cross.shape[1]), np.zeros(cross.shape[1])
    for target in range(len(cross)):
        best = coefficients[target]
        best[:] = 0.0
        mine[:] = factors[target]
        results[target] = 0.0
        results[target, _CRITERION] = np.inf
        if not varies[target]:
            results[target, _STATUS] = CONSTANT_TARGET
            continue
        for step in range(search.max_rounds):
            _search_paths((gram, cross[target], mine, n_effective), search, step, trial, found, work)
            if not found[_CRITERION] < results[target, _CRITERION]:
                break
            best[:] = trial
            results[target] = found
            results[target, _ROUNDS] = step + 1
            if not _adapt(factors[target], best, mine):
                break
        if results[target, _CRITERION] == np.inf:
            results[target, _STATUS] = TOO_FEW_NEIGHBOURS


@inlined
def _search_paths(problem: Any, search: Search, step: int, best: Floats, found: Floats, work: Workspace) -> None:
    """Write coefficients and results of the least criterion over all lambda and gamma; infinite where there is none."""
    gram, cross, factors, n_effective = problem
    found[:] = 0.0
    found[_CRITERION] = np.inf
    best[:] = 0.0
    b = np.zeros(len(cross))
    top = _largest_penalty(cross, factors)
    for ridge in search.ridges:
        b[:] = 0.0
        begin(gram, cross, 1.0, b, work)
        for ratio in search.ratios[min(step, 1)]:
            l1 = max(top * ratio, _NOTHING)
            gap = solve(gram, cross, (1.0, l1, ridge, search.tol, search.max_steps), factors, b, work)
            df = degrees_of_freedom(gram, ridge, work)
            if n_effective <= df + 2.0:
                break
            square = mean_square(work)
            value = criterion_value(search.bic, square, df, n_effective)
            if value < found[_CRITERION]:
                best[:] = b
                found[_PENALTY], found[_RIDGE], found[_CRITERION] = l1, ridge, value
                found[_DF], found[_GAP], found[_MEAN_SQUARE] = df, gap, square
            if top <= _NOTHING:
                break


@compiled
def search_by_folds(
    moments: Any, factors: Floats, search: Search, coefficients: Floats, results: Floats, work: Workspace
) -> None:
    """Choose the penalties of every target at one place by cross-validation; the criterion is the mean squared error.

    Every fold has adaptive weights of its own, from its own coefficients, so that the samples left out stay unseen.
    The lambdas are those of all samples. Parameters as in :func:`search_by_criterion`, but for the last of the
    moments, which is :class:`FoldMoments`.
    """
    gram, cross, varies, folds = moments
    n_folds, n_regulators = len(folds.left_mass), cross.shape[1]
    shape = (len(search.ridges), search.ratios.shape[1])
    kept, errors = np.zeros((n_folds, *shape, n_regulators)), np.zeros(shape)
    mine, own = np.zeros(n_regulators), np.zeros((n_folds, n_regulators))
    trial = np.zeros(n_regulators)
    for target in range(len(cross)):
        coefficients[target] = 0.0
        results[target] = 0.0
        results[target, _CRITERION] = np.inf
        if not varies[target]:
            results[target, _STATUS] = CONSTANT_TARGET
            continue
        mine[:] = factors[target]
        own[:] = mine
        for step in range(search.max_rounds):
            top = _largest_penalty(cross[target], mine)
            errors[:] = 0.0
            for fold in range(n_folds):
                _follow_fold(folds, (fold, target, step, top), own[fold], search, (kept[fold], errors), work)
            place = int(errors.argmin())
            ridge, last = place // shape[1], place % shape[1]
            if not errors[ridge, last] < results[target, _CRITERION]:
                break
            results[target, _CRITERION], results[target, _ROUNDS] = errors[ridge, last], step + 1
            chosen = (ridge, last, step)
            _refit((gram, cross[target], mine, top), search, chosen, trial, results[target], work)
            coefficients[target] = trial
            if not _adapt(factors[target], trial, mine):
                break
            for fold in range(n_folds):
                _adapt(factors[target], kept[fold, ridge, last], own[fold])


@inlined
def _follow_fold(
    folds: FoldMoments, which: Any, factors: Floats, search: Search, written: Any, work: Workspace
) -> None:
    """Follow all paths on the training samples of a fold; keep coefficients, add the squared errors of the others."""
    fold, target, step, top = which
    kept, errors = written
    b, ratios = np.zeros(len(factors)), search.ratios[min(step, 1)]
    gram, cross = folds.gram[fold], folds.cross[fold, target]
    for ridge in range(len(search.ridges)):
        b[:] = 0.0
        begin(gram, cross, 1.0, b, work)
        for place in range(len(ratios)):
            l1 = max(top * ratios[place], _NOTHING)
            penalty = (1.0, l1, search.ridges[ridge], search.tol, search.max_steps)
            solve(gram, cross, penalty, factors, b, work)
            kept[ridge, place] = b
            errors[ridge, place] += _left_error(folds, fold, target, b)


@inlined
def _left_error(folds: FoldMoments, fold: int, target: int, b: Floats) -> float:
    """Return the weighted sum of squared errors of a fold's model on the samples left out, in squared raw units."""
    n_regulators = len(b)
    row = n_regulators + target
    mean, deviation = folds.mean[fold], folds.deviation[fold]
    sums, first = folds.left_sums[fold], folds.left_first[fold]
    intercept, linear, crossed, bent = mean[row], 0.0, 0.0, 0.0
    for j in range(n_regulators):
        if b[j] != 0.0:
            raw = b[j] * deviation[row] / deviation[j]
            intercept -= raw * mean[j]
            linear += raw * first[j]
            crossed += raw * sums[row, j]
            for k in range(n_regulators):
                if b[k] != 0.0:
                    bent += raw * sums[j, k] * b[k] * deviation[row] / deviation[k]
    constant = intercept * (intercept * folds.left_mass[fold] - 2.0 * first[row] + 2.0 * linear)
    return float(folds.left_squares[fold, target] - 2.0 * crossed + bent + constant)


@inlined
def _refit(problem: Any, search: Search, chosen: Any, b: Floats, found: Floats, work: Workspace) -> None:
    """Follow the chosen path on all samples down to the chosen lambda."""
    gram, cross, factors, top = problem
    ridge, ratios = search.ridges[chosen[0]], search.ratios[min(chosen[2], 1)]
    b[:] = 0.0
    begin(gram, cross, 1.0, b, work)
    for ratio in ratios[: chosen[1] + 1]:
        l1 = max(top * ratio, _NOTHING)
        found[_GAP] = solve(gram, cross, (1.0, l1, ridge, search.tol, search.max_steps), factors, b, work)
        found[_PENALTY] = l1
    found[_RIDGE], found[_DF] = ridge, degrees_of_freedom(gram, ridge, work)
    found[_MEAN_SQUARE] = mean_square(work)


@inlined
def _largest_penalty(cross: Floats, factors: Floats) -> float:
    """Return the smallest lambda that makes all coefficients 0."""
    top = 0.0
    for j in range(len(cross)):
        top = max(top, abs(cross[j]) / factors[j])
    return top


@inlined
def _adapt(factors: Floats, b: Floats, adapted: Floats) -> bool:
    """Write the factors of the next round; False when all coefficients are 0, which leaves nothing to adapt."""
    some = False
    for j in range(len(b)):
        adapted[j] = factors[j] / (abs(b[j]) + ADAPTIVE_FLOOR)
        some = some or b[j] != 0.0
    return some
