"""The elastic net of every sample and target beside scikit-learn, celer, skglm and glmnet, at one accuracy.

Ours solves all fits; the others a random part of them, each at the loosest tolerance that reaches the accuracy. All run
once a round, one after the other, and a ratio is the median over rounds of CPU times of one thread, by the fit.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from genenet_peers import Coefficients, Problem, fit_peers, path_peers
from harness import Figures
from kotowari.solvers.elastic_net import elastic_net, elastic_net_path
from kotowari.studies.genenet.model.profile.moments import WeightedMoments, subtract_means

__all__ = ["fit_all", "fits", "follow_all", "paths", "weak_fits"]

Floats = npt.NDArray[np.float64]

_GAP = 1e-6  # of the objective, relative, for everybody
_TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
_THRESHOLDS = (1e-7, 1e-8, 1e-9, 1e-10, 1e-11)  # glmnet's are of another kind
_PENALTIES = 30


def fits(quick: bool) -> Figures:
    """Measure ``enet_vs_loop``, ``enet_vs_multitarget`` and ``enet_max_gap`` at a tenth of the largest penalty."""
    return _measured_fits("enet", 0.1, quick=quick, rounds=1 if quick else 5)


def weak_fits(quick: bool) -> Figures:
    """Measure ``weak_vs_loop``: the same at 0.03 of the largest penalty, where descent is slow."""
    return _measured_fits("weak", 0.03, quick=quick, rounds=1 if quick else 3)


def paths(quick: bool) -> Figures:
    """Measure ``path_vs_sklearn`` and ``path_vs_glmnet``: 30 penalties down to a tenth of the largest."""
    problem = Problem.made(quick=quick, share=1.0)
    falls, n_rows = np.geomspace(1, 0.1, _PENALTIES), 6 if quick else 24
    first, n_targets = (len(problem.weights) - n_rows) // 2, problem.Y.shape[1]
    rows = slice(first, first + n_rows)
    l1, l2 = (np.repeat(falls[:, None] * whole, n_targets, axis=1) for whole in (problem.l1, problem.l2))
    rng = np.random.default_rng(1)
    some = 3 if quick else 10
    chosen = [(a, int(k)) for a in range(rows.start, rows.stop, 4) for k in rng.choice(n_targets, some, False)]
    answers: dict[str, Any] = {}

    def ours() -> float:
        begin = time.process_time()
        answers["ours"] = follow_all(problem.X, problem.Y, problem.weights[rows], l1, l2, out=answers.get("ours"))
        return (time.process_time() - begin) / (n_rows * n_targets)

    entries = {"ours": ours}
    for name, make in path_peers().items():
        entries[name] = _loosest(name, make(problem, falls), chosen, problem.path_excess(falls), answers)
    ours()
    figures: Figures = dict.fromkeys(("path_vs_sklearn", "path_vs_glmnet"))
    figures |= _raced("path", entries, rounds=1 if quick else 5)
    gaps = [
        problem.certified_gaps(row, answers["ours"][row - first, :, step], l1[step], l2[step]).max()
        for row in range(rows.start, rows.stop)
        for step in range(_PENALTIES)
    ]
    return figures | {"path_max_gap": float(max(gaps)), "path_n_paths": n_rows * n_targets}


def fit_all(X: Floats, Y: Floats, weights: Floats, l1: Floats, l2: Floats) -> Floats:
    """Return the elastic nets of all rows of weights, each started from the row before, ``(row, target, regulator)``.

    Parameters
    ----------
    X, Y
        Shapes ``(sample, regulator)`` and ``(sample, target)``.
    weights
        Shape ``(row, sample)``; rows sum to 1, and neighbours are alike.
    l1, l2
        Shape ``(target,)``.
    """
    found = np.empty((len(weights), Y.shape[1], X.shape[1]))
    for place, (gram, cross, square) in _centred_moments(X, Y, weights):
        start = found[place - 1] if place else None
        found[place], _ = elastic_net(gram, cross, square, l1, l2, start=start, tol=_GAP)
    return found


def follow_all(X: Floats, Y: Floats, weights: Floats, l1: Floats, l2: Floats, out: Floats | None = None) -> Floats:
    """Return paths of elastic nets, ``(row, target, penalty, regulator)``; ``l1``, ``l2`` are ``(penalty, target)``.

    ``out`` takes the answer, so that a repeated call does not wait for fresh memory.
    """
    found = np.empty((len(weights), Y.shape[1], len(l1), X.shape[1])) if out is None else out
    for place, moments in _centred_moments(X, Y, weights):
        found[place], _ = elastic_net_path(*moments, l1.T, l2.T, tol=_GAP)
    return found


def _measured_fits(key: str, share: float, *, quick: bool, rounds: int) -> Figures:
    problem = Problem.made(quick=quick, share=share)
    n_samples, n_targets = len(problem.X), problem.Y.shape[1]
    rng, n_pairs = np.random.default_rng(1), 16 if quick else 100
    pairs = [(int(rng.integers(n_samples)), int(rng.integers(n_targets))) for _ in range(n_pairs)]
    rows = [int(row) for row in np.linspace(0, n_samples - 1, 2 if quick else 6)]
    blocks = [(row, target) for row in rows for target in range(n_targets)]
    l1, l2 = np.full(n_targets, problem.l1), np.full(n_targets, problem.l2)
    answers: dict[str, Any] = {}

    def ours() -> float:
        begin = time.process_time()
        answers["ours"] = fit_all(problem.X, problem.Y, problem.weights, l1, l2)
        return (time.process_time() - begin) / (n_samples * n_targets)

    def excess(coefficients: Coefficients) -> float:
        part = dict(list(coefficients.items())[:: max(1, len(coefficients) // n_pairs)])
        return problem.excess(part, problem.l1, problem.l2)

    entries = {"ours": ours}
    for name, (make, units) in fit_peers(quick).items():
        entries[name] = _loosest(name, make(problem), blocks if units == "rows" else pairs, excess, answers)
    ours()  # compiles
    figures = _raced(key, entries, rounds=rounds)
    judged = [problem.certified_gaps(row, found, l1, l2) for row, found in enumerate(answers["ours"])]
    mine = {pair: answers["ours"][pair] for pair in pairs}
    return figures | {
        f"{key}_max_gap": float(np.max(judged)),
        f"{key}_max_excess_sampled": problem.excess(mine, problem.l1, problem.l2),
        f"{key}_n_fits": n_samples * n_targets,
        f"{key}_nonzeros": float((answers["ours"] != 0).sum(2).mean()),
        **{f"{key}_{name}_excess": value for name, value in answers.items() if isinstance(value, float)},
    }


def _centred_moments(X: Floats, Y: Floats, weights: Floats) -> Any:
    """Yield the place and (gram, cross, square) of every row of weights, the intercept profiled out."""
    n_regulators = X.shape[1]
    moments = WeightedMoments(X, Y, weights)
    first, squares = moments.first(), moments.squares()
    for place, sums in moments.blocks():
        subtract_means(sums, first[place])
        yield place, (sums[:n_regulators], sums[n_regulators:], squares[place] - first[place, n_regulators:] ** 2)


def _raced(key: str, entries: Mapping[str, Callable[[], float]], *, rounds: int) -> Figures:
    """Let all run once a round, in an order that turns; return times and the ratios of the others' to ours."""
    times: dict[str, list[float]] = {name: [] for name in entries}
    names = list(entries)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            times[name].append(entries[name]())
    figures: Figures = {}
    for name, own in times.items():
        figures[f"{key}_{name}_ms"] = 1e3 * statistics.median(own)
        if name != "ours":
            ratios = [theirs / mine for theirs, mine in zip(own, times["ours"], strict=True)]
            figures[f"{key}_vs_{name}"] = statistics.median(ratios)
            figures[f"{key}_vs_{name}_lowest"] = min(ratios)
    return figures


def _loosest(
    name: str,
    make: Callable[[float], Callable[[Sequence[tuple[int, int]]], tuple[Coefficients, float]]],
    pairs: Sequence[tuple[int, int]],
    excess: Callable[[Coefficients], float],
    answers: dict[str, Any],
) -> Callable[[], float]:
    """Return a peer at the loosest tolerance that reaches the accuracy, as a function that gives seconds by the fit."""
    for tol in _THRESHOLDS if "glmnet" in name else _TOLERANCES:
        solve = make(tol)
        answers[name] = excess(solve(pairs)[0])
        if answers[name] <= _GAP:
            break
    return lambda: solve(pairs)[1] / len(pairs)
