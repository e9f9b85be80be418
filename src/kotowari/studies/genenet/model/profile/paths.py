"""The search for the penalties of every target: paths of lambda, values of gamma, rounds of adaptive weights."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kotowari.solvers.elastic_net_kernel import follow_paths
from kotowari.solvers.elastic_net_workspace import DF, GAP, MEAN_SQUARE, Rule, Workspace, compiled
from kotowari.studies.genenet.model.profile.criterion import criterion_values

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
_BATCH_BYTES = 4_000_000  # of coefficients: what a core keeps at hand
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
        As in :class:`kotowari.studies.genenet.model.profile.moments.LocalMoments`, with the fold as first axis.
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
    _clear(coefficients, results)
    for going in _batches(varies, cross.shape[1], search):
        mine = factors[going]
        for step in range(search.max_rounds):
            best, found = _least_criterion((gram, cross[going], mine, n_effective), search, step, work)
            better = found[:, _CRITERION] < results[going, _CRITERION]
            going, best = going[better], best[better]
            coefficients[going], results[going] = best, found[better]
            some = best.any(1)  # all coefficients 0 leave nothing to adapt
            going = going[some]
            if not len(going):
                break
            mine = _adapted(factors[going], best[some])
    results[results[:, _CRITERION] == np.inf, _STATUS] = TOO_FEW_NEIGHBOURS
    results[~varies, _STATUS] = CONSTANT_TARGET


def _clear(coefficients: Floats, results: Floats) -> None:
    coefficients[:] = 0.0
    results[:] = 0.0
    results[:, _CRITERION] = np.inf


def _batches(varies: npt.NDArray[np.bool_], n_regulators: int, search: Search) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the targets that vary, as many at once as have room for their paths."""
    wanted = np.flatnonzero(varies)
    size = max(1, _BATCH_BYTES // (8 * search.ratios.shape[1] * n_regulators))
    for first in range(0, len(wanted), size):
        yield wanted[first : first + size]


def _least_criterion(problem: Any, search: Search, step: int, work: Workspace) -> tuple[Floats, Floats]:
    """Return coefficients and results of the least criterion over all lambda and gamma; infinite where there is none.

    Shapes ``(target, regulator)`` and ``(target, 8)``.
    """
    gram, cross, factors, n_effective = problem
    l1, rows = _penalties(_largest_penalties(cross, factors), search, step), np.arange(len(cross))
    best, found = np.zeros(cross.shape), np.zeros((len(cross), len(COLUMNS)))
    found[:, _CRITERION], found[:, _ROUNDS] = np.inf, step + 1
    rule = Rule(search.tol, search.max_steps, counts_df=True, most_df=n_effective - 2.0)
    for ridge in search.ridges:
        paths, statistics = _followed((gram, cross), (l1, ridge, factors), rule, work)
        values = criterion_values(search.bic, statistics[:, :, MEAN_SQUARE], statistics[:, :, DF], n_effective)
        place = values.argmin(1)
        better = np.flatnonzero(values[rows, place] < found[:, _CRITERION])
        last = place[better]
        best[better] = paths[better, last]
        found[better, _PENALTY], found[better, _RIDGE] = l1[better, last], ridge
        found[better, _CRITERION] = values[better, last]
        columns = [_DF, _GAP, _MEAN_SQUARE]
        found[better[:, None], columns] = statistics[better, last][:, [DF, GAP, MEAN_SQUARE]]
    return best, found


def _followed(moments: Any, penalties: Any, rule: Rule, work: Workspace) -> tuple[Floats, Floats]:
    """Return paths from 0, ``(target, lambda, regulator)``, with infinite statistics where they ended early."""
    gram, cross = moments
    l1, ridge, factors = penalties
    paths, statistics = np.empty((*l1.shape, cross.shape[1])), np.full((*l1.shape, 3), np.inf)
    paths[:, 0] = 0.0
    penalties = l1, np.full(l1.shape, ridge), np.ascontiguousarray(factors)
    follow_paths((gram, cross, np.ones(len(cross))), penalties, rule, paths, statistics, work)
    return paths, statistics


def search_by_folds(
    moments: Any, factors: Floats, search: Search, coefficients: Floats, results: Floats, work: Workspace
) -> None:
    """Choose the penalties of every target at one place by cross-validation; the criterion is the mean squared error.

    Every fold has adaptive weights of its own, from its own coefficients, so that the samples left out stay unseen.
    The lambdas are those of all samples. Parameters as in :func:`search_by_criterion`, but for the last of the
    moments, which is :class:`FoldMoments`.
    """
    gram, cross, varies, folds = moments
    folds = FoldMoments(*(np.ascontiguousarray(part) for part in folds))
    n_folds, rule = len(folds.left_mass), Rule(search.tol, search.max_steps, counts_df=False, most_df=np.inf)
    _clear(coefficients, results)
    for going in _batches(varies, cross.shape[1] * n_folds * len(search.ridges), search):
        mine = factors[going]
        own = np.repeat(mine[None], n_folds, axis=0)
        for step in range(search.max_rounds):
            l1 = _penalties(_largest_penalties(cross[going], mine), search, step)
            kept, errors = _follow_folds(folds, (going, l1, own), search, rule, work)
            flat = errors.swapaxes(0, 1).reshape(len(going), -1)
            place = flat.argmin(1)
            better = np.flatnonzero(flat.min(1) < results[going, _CRITERION])
            ridge, last = np.divmod(place[better], l1.shape[1])
            going = going[better]
            results[going, _CRITERION], results[going, _ROUNDS] = flat.min(1)[better], step + 1
            chosen = (l1[better, last], search.ridges[ridge])
            _refit((gram, cross, going), chosen, mine[better], rule, (coefficients, results), work)
            some = coefficients[going].any(1)
            going, better, ridge, last = going[some], better[some], ridge[some], last[some]
            if not len(going):
                break
            mine = _adapted(factors[going], coefficients[going])
            own = _adapted(factors[going], kept[:, ridge, better, last])
    results[~varies, _STATUS] = CONSTANT_TARGET


def _follow_folds(folds: FoldMoments, which: Any, search: Search, rule: Rule, work: Workspace) -> tuple[Floats, Floats]:
    """Follow all paths on the training samples of every fold.

    Returns coefficients, shape ``(fold, gamma, target, lambda, regulator)``, and the squared errors of the samples left
    out, added up over the folds, shape ``(gamma, target, lambda)``.
    """
    targets, l1, own = which
    n_folds, n_ridges = len(own), len(search.ridges)
    kept = np.empty((n_folds, n_ridges, *l1.shape, own.shape[2]))
    errors = np.zeros((n_ridges, *l1.shape))
    for fold in range(n_folds):
        moments = folds.gram[fold], folds.cross[fold, targets]
        left = folds.left_sums[fold], folds.left_first[fold], folds.left_squares[fold], folds.left_mass[fold]
        for place, ridge in enumerate(search.ridges):
            kept[fold, place], _ = _followed(moments, (l1, ridge, own[fold]), rule, work)
            scale = folds.mean[fold], folds.deviation[fold]
            _add_left_errors(left, scale, targets, kept[fold, place], errors[place], work)
    return kept, errors


@compiled
def _add_left_errors(
    left: Any, scale: Any, targets: npt.NDArray[np.intp], paths: Floats, errors: Floats, work: Workspace
) -> None:
    """Add the weighted sums of squared errors of a fold's models on the samples left out, in squared raw units."""
    sums, first, squares, mass = left
    mean, deviation = scale
    n_regulators, active, raw = paths.shape[2], work.working, work.value
    for i in range(paths.shape[0]):
        row = n_regulators + targets[i]
        for step in range(paths.shape[1]):
            n_active = 0
            for j in range(n_regulators):
                if paths[i, step, j] != 0.0:
                    active[n_active], raw[n_active] = j, paths[i, step, j] * deviation[row] / deviation[j]
                    n_active += 1
            intercept, linear, crossed, bent = mean[row], 0.0, 0.0, 0.0
            for one in range(n_active):
                j, share = active[one], raw[one]
                intercept -= share * mean[j]
                linear += share * first[j]
                crossed += share * sums[row, j]
                for other in range(n_active):
                    bent += share * raw[other] * sums[j, active[other]]
            constant = intercept * (intercept * mass - 2.0 * first[row] + 2.0 * linear)
            errors[i, step] += squares[targets[i]] - 2.0 * crossed + bent + constant


def _refit(problem: Any, chosen: Any, factors: Floats, rule: Rule, written: Any, work: Workspace) -> None:
    """Fit some targets on all samples at the penalties chosen."""
    gram, cross, targets = problem
    l1, l2 = chosen
    coefficients, results = written
    fits, statistics = np.zeros((len(targets), 1, cross.shape[1])), np.empty((len(targets), 1, 3))
    moments, counted = (gram, cross[targets], np.ones(len(targets))), rule._replace(counts_df=True)
    follow_paths(moments, (l1[:, None], l2[:, None], factors), counted, fits, statistics, work)
    coefficients[targets] = fits[:, 0]
    results[targets, _PENALTY], results[targets, _RIDGE] = l1, l2
    results[targets[:, None], [_DF, _GAP, _MEAN_SQUARE]] = statistics[:, 0][:, [DF, GAP, MEAN_SQUARE]]


def _penalties(top: Floats, search: Search, step: int) -> Floats:
    """Return lambda, shape ``(target, lambda)``."""
    return np.asarray(np.maximum(top[:, None] * search.ratios[min(step, 1)], _NOTHING))


def _largest_penalties(cross: Floats, factors: Floats) -> Floats:
    """Return for each target the smallest lambda that makes all coefficients 0."""
    return np.asarray((np.abs(cross) / factors).max(1))


def _adapted(factors: Floats, coefficients: Floats) -> Floats:
    """Return the factors of the next round."""
    return np.asarray(factors / (np.abs(coefficients) + ADAPTIVE_FLOOR))
