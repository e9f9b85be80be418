"""The networks of a block of targets at every place of the modulator: plain arrays in, plain arrays out."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.core.progress import Advance
from kotowari.solvers.elastic_net_workspace import Workspace, workspace
from kotowari.studies.genenet.model.profile.criterion import Criterion
from kotowari.studies.genenet.model.profile.moments import LocalMoments, WeightedMoments, standardise
from kotowari.studies.genenet.model.profile.paths import (
    COLUMNS,
    FITTED,
    TOO_FEW_NEIGHBOURS,
    FoldMoments,
    Search,
    search_by_criterion,
    search_by_folds,
)
from kotowari.studies.genenet.model.profile.weights import Kernel, effective_samples, root_sum

__all__ = ["LEAST_EFFECTIVE", "Block", "OneNetwork", "ProfileTask", "fit_block", "one_network"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

LEAST_EFFECTIVE = 2.0

_TARGETS_A_JOB = 32


class Block(NamedTuple):
    """Targets that are fitted together with one kernel: positions in ``task.targets``."""

    kernel: Kernel
    targets: Indices


@dataclass(frozen=True, eq=False)
class ProfileTask:
    """Everything that the fits of all targets need.

    Attributes
    ----------
    values
        Shape ``(sample, gene)``, finite.
    regulators, targets
        Columns of ``values``.
    modulator
        Shape ``(sample, modulator)``.
    places
        Where on the modulators' axes networks are wanted, shape ``(place, modulator)``.
    factors
        Penalty factors, shape ``(target, regulator)`` or ``(1, regulator)``, infinite where no edge may be. An edge of
        a gene to itself is never fitted.
    search, criterion
        What is tried, and what chooses.
    folds
        Number of the fold of every sample, for the criterion ``"cv"``.
    pooling
        Share of one network for all samples in the network of every place, 0 to 1.
    """

    values: Floats
    regulators: Indices
    targets: Indices
    modulator: Floats
    places: Floats
    factors: Floats
    search: Search
    criterion: Criterion
    folds: npt.NDArray[np.int64] | None
    pooling: float = 0.0

    def at(self, places: Floats) -> Self:
        """Return the same task at other places."""
        return replace(self, places=places)

    def among(self, samples: npt.NDArray[np.bool_]) -> Self:
        """Return the task on some of the samples, at the same places."""
        folds = None if self.folds is None else self.folds[samples]
        return replace(self, values=self.values[samples], modulator=self.modulator[samples], folds=folds)

    def block_factors(self, targets: Indices) -> Floats:
        """Return penalty factors ``(target, regulator)`` of a block, infinite for a gene's edge to itself."""
        factors = self.factors[targets] if len(self.factors) > 1 else np.repeat(self.factors, len(targets), axis=0)
        return np.where(self.targets[targets, None] == self.regulators, np.inf, factors)


class OneNetwork(NamedTuple):
    """One network for all samples: coefficients ``(target, regulator)``, raw scale; relative duality gaps."""

    coefficients: Floats
    gaps: Floats

    def rows(self, rows: slice) -> "OneNetwork":
        """Return it for some of the targets."""
        return OneNetwork(self.coefficients[rows], self.gaps[rows])


class _Scaled(NamedTuple):
    """A block's genes at mean 0 and deviation 1 over all samples, so that local variances lose no digits."""

    moments: WeightedMoments
    mean: Floats
    deviation: Floats


class _Fit(NamedTuple):
    place: int
    first: int
    entries: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]
    intercepts: Floats
    results: Floats


def fit_block(task: ProfileTask, block: Block, *, n_jobs: int = 1, advance: Advance | None = None) -> Arrays:
    r"""Return the networks of a block of targets at every place.

    With a pooling p above 0 they are drawn towards one network for all samples, :math:`\beta^0`, found by the same
    search with equal weights; intercepts follow, so that a network fits the weighted means of its place:

    .. math:: \beta(m_a) = (1 - p)\, \hat\beta(m_a) + p\, \beta^0, \qquad
        \beta_0(m_a) = \bar t_a - \sum_j \beta_j(m_a)\, \bar r_{ja}

    The result depends on the task and the block alone, not on the threads.

    Parameters
    ----------
    task, block
        What is fitted.
    n_jobs
        Threads, 1 or more.
    advance
        Called with the number of finished fits.

    Returns
    -------
    dict
        One entry an edge and place: ``place``, ``regulator``, ``target`` (int32; target: position in the task) and
        ``coefficient`` (float32, units of the target per unit of the regulator). Of shape ``(place, target)``:
        ``intercept``, NaN where no network could be fitted, and those of :data:`COLUMNS` (``penalty`` and ``ridge``
        refer to genes of standard deviation 1 and to weights that sum to 1). Of shape ``(place,)``:
        ``effective_samples`` after Kish. And ``block``: the targets. With pooling, penalties, criterion, degrees of
        freedom and mean square are those of :math:`\hat\beta`, the gap is the larger one of both networks.
    """
    kernel_weights = block.kernel.weights(task.modulator, task.places)
    n_effective = effective_samples(kernel_weights)
    shape = (len(task.places), len(block.targets))
    results = np.zeros((*shape, len(COLUMNS)))
    results[:, :, COLUMNS.index("status")] = TOO_FEW_NEIGHBOURS
    results[:, :, COLUMNS.index("criterion")] = np.inf
    intercepts = np.full(shape, np.nan)
    entries: list[tuple[npt.NDArray[Any], ...]] = []
    near = np.flatnonzero(n_effective > LEAST_EFFECTIVE)
    if advance is not None:
        advance((len(n_effective) - len(near)) * shape[1])
    weights = kernel_weights[near]
    sizes = root_sum(weights) if task.criterion == "paper" else n_effective[near]
    one = one_network(task, block.targets) if task.pooling > 0 and len(near) else None
    jobs = _jobs(task, block.targets, weights / weights.sum(1, keepdims=True), sizes, one)
    for fit in _run(jobs, len(task.regulators), n_jobs):
        rows = slice(fit.first, fit.first + len(fit.results))
        results[near[fit.place], rows], intercepts[near[fit.place], rows] = fit.results, fit.intercepts
        target, regulator, coefficient = fit.entries
        entries.append(
            (np.full(len(target), near[fit.place]), regulator, block.targets[fit.first + target], coefficient)
        )
        if advance is not None:
            advance(len(fit.results))
    return _packed(entries, block, n_effective, intercepts, results)


def one_network(task: ProfileTask, targets: Indices) -> OneNetwork:
    """Return the one network of all samples, every sample with the same weight, by the same search.

    Parameters
    ----------
    task
        Its places and pooling are not used.
    targets
        Positions in ``task.targets``.
    """
    n_samples, shape = len(task.values), (len(targets), len(task.regulators))
    one = OneNetwork(np.zeros(shape), np.zeros(len(targets)))
    jobs = _jobs(task, targets, np.full((1, n_samples), 1 / n_samples), np.array([float(n_samples)]), None)
    for fit in _run(jobs, len(task.regulators), 1):
        target, regulator, coefficient = fit.entries
        one.coefficients[fit.first + target, regulator] = coefficient
        one.gaps[fit.first : fit.first + len(fit.results)] = fit.results[:, COLUMNS.index("gap")]
    return one


def _packed(
    entries: list[tuple[npt.NDArray[Any], ...]],
    block: Block,
    n_effective: Floats,
    intercepts: Floats,
    results: Floats,
) -> Arrays:
    names = ("place", "regulator", "target", "coefficient")
    columns = zip(*entries, strict=True) if entries else ((np.empty(0),) for _ in names)
    kinds = (np.int32, np.int32, np.int32, np.float32)
    arrays: Arrays = {
        name: np.concatenate(parts).astype(kind) for name, kind, parts in zip(names, kinds, columns, strict=True)
    }
    few = results[:, :, COLUMNS.index("status")] == TOO_FEW_NEIGHBOURS
    arrays["intercept"] = np.where(few, np.nan, intercepts).astype(np.float32)
    for column, name in enumerate(COLUMNS):
        kind = np.int16 if name in {"status", "rounds"} else np.float32
        arrays[name] = results[:, :, column].astype(kind)
    return arrays | {"effective_samples": n_effective, "block": block.targets.astype(np.int32)}


def _jobs(
    task: ProfileTask, targets: Indices, weights: Floats, sizes: Floats, one: OneNetwork | None
) -> Iterator[Callable[[Workspace], _Fit]]:
    """Yield one call a place and slice of targets; the sums are made on the way, while earlier calls are under way."""
    if not len(weights):
        return
    genes = np.concatenate([task.regulators, task.targets[targets]])
    values = task.values[:, genes]
    mean, deviation = values.mean(0), values.std(0)
    deviation[deviation == 0] = 1.0
    values = (values - mean) / deviation
    n_regulators = len(task.regulators)
    scaled = _Scaled(WeightedMoments(values[:, :n_regulators], values[:, n_regulators:], weights), mean, deviation)
    factors = task.block_factors(targets)
    for place, (local, folds) in enumerate(_local_moments(scaled.moments, task.folds)):
        for first in range(0, len(targets), _TARGETS_A_JOB):
            rows = slice(first, first + _TARGETS_A_JOB)
            part = _slice(local, rows, n_regulators), None if folds is None else _slice_folds(folds, rows, n_regulators)
            shared = None if one is None else one.rows(rows)
            yield _call(task, scaled, part, (place, first, float(sizes[place]), factors[rows]), shared)


def _call(
    task: ProfileTask,
    scaled: _Scaled,
    part: tuple[LocalMoments, FoldMoments | None],
    job: tuple[int, int, float, Floats],
    one: OneNetwork | None,
) -> Callable[[Workspace], _Fit]:
    local, folds = part
    place, first, size, factors = job

    def fit(work: Workspace) -> _Fit:
        coefficients, results = np.empty(local.cross.shape), np.empty((len(local.cross), len(COLUMNS)))
        n_regulators = local.cross.shape[1]
        moments = (local.gram, local.cross, local.deviation[n_regulators:] > 0)
        if folds is None:
            search_by_criterion((*moments, size), factors, task.search, coefficients, results, work)
        else:
            search_by_folds((*moments, folds), factors, task.search, coefficients, results, work)
        genes = np.r_[:n_regulators, n_regulators + first : n_regulators + first + len(coefficients)]
        mean, deviation = scaled.mean[genes], scaled.deviation[genes]
        target, regulator = np.nonzero(coefficients)
        unit = deviation * local.deviation
        raw = coefficients[target, regulator] * unit[n_regulators + target] / unit[regulator]
        if one is not None:
            target, regulator, raw = _pooled((target, regulator, raw), results, one, task.pooling)
        centre = mean + deviation * local.mean
        fitted = np.bincount(target, raw * centre[regulator], minlength=len(coefficients))
        return _Fit(place, first, (target, regulator, raw), centre[n_regulators:] - fitted, results)

    return fit


def _pooled(entries: tuple[Indices, Indices, Floats], results: Floats, one: OneNetwork, share: float) -> Any:
    """Return the entries of networks drawn towards the one network, where there is a network; raise their gaps."""
    target, regulator, raw = entries
    fitted = results[:, COLUMNS.index("status")] == FITTED
    mixed = share * one.coefficients * fitted[:, None]
    mixed[target, regulator] += (1 - share) * raw
    gaps = results[:, COLUMNS.index("gap")]
    gaps[fitted] = np.maximum(gaps, one.gaps)[fitted]
    target, regulator = np.nonzero(mixed)
    return target, regulator, mixed[target, regulator]


def _local_moments(
    moments: WeightedMoments, folds: npt.NDArray[np.int64] | None
) -> Iterator[tuple[LocalMoments, FoldMoments | None]]:
    if folds is None:
        first, squares = moments.first(), moments.squares()
        for place, sums in moments.blocks():
            yield standardise(sums, first[place], squares[place]), None
        return
    parts = [moments.among(folds == fold) for fold in range(int(folds.max()) + 1)]
    firsts, squares_of = np.array([p.first() for p in parts]), np.array([p.squares() for p in parts])
    masses = np.array([p.weights.sum(1) for p in parts])
    for place, batch in enumerate(zip(*(p.blocks() for p in parts), strict=True)):
        sums = np.array([part for _, part in batch])
        first, squares, mass = firsts[:, place], squares_of[:, place], masses[:, place]
        whole = standardise(sums.sum(0), first.sum(0), squares.sum(0), mass.sum())
        kept = [
            standardise(
                sums.sum(0) - sums[k], first.sum(0) - first[k], squares.sum(0) - squares[k], mass.sum() - mass[k]
            )
            for k in range(len(parts))
        ]
        gram, cross, mean, deviation = (np.array(column) for column in zip(*kept, strict=True))
        yield whole, FoldMoments(gram, cross, mean, deviation, sums, first, squares, mass)


def _slice(local: LocalMoments, rows: slice, n_regulators: int) -> LocalMoments:
    genes = _genes(len(local.mean), rows, n_regulators)
    return LocalMoments(
        np.ascontiguousarray(local.gram),
        np.ascontiguousarray(local.cross[rows]),
        local.mean[genes],
        local.deviation[genes],
    )


def _slice_folds(folds: FoldMoments, rows: slice, n_regulators: int) -> FoldMoments:
    genes = _genes(folds.mean.shape[1], rows, n_regulators)
    return FoldMoments(
        np.ascontiguousarray(folds.gram),
        np.ascontiguousarray(folds.cross[:, rows]),
        folds.mean[:, genes],
        folds.deviation[:, genes],
        folds.left_sums[:, genes],
        folds.left_first[:, genes],
        np.ascontiguousarray(folds.left_squares[:, rows]),
        folds.left_mass,
    )


def _genes(n_genes: int, rows: slice, n_regulators: int) -> Indices:
    """Return the positions of all regulators and some targets."""
    return np.concatenate([np.arange(n_regulators), np.arange(n_regulators, n_genes)[rows]])


def _run(jobs: Iterator[Callable[[Workspace], _Fit]], n_regulators: int, n_jobs: int) -> Iterator[_Fit]:
    """Call the jobs on threads, each with a workspace of its own; results in the order of the jobs."""
    if n_jobs == 1:
        work = workspace(n_regulators)
        for job in jobs:
            yield job(work)
        return
    spare: SimpleQueue[Workspace] = SimpleQueue()
    for _ in range(n_jobs):
        spare.put(workspace(n_regulators))

    def call(job: Callable[[Workspace], _Fit]) -> _Fit:
        work = spare.get()
        try:
            return job(work)
        finally:
            spare.put(work)

    waiting: deque[Future[_Fit]] = deque()
    with ThreadPoolExecutor(n_jobs) as pool:
        for job in jobs:
            waiting.append(pool.submit(call, job))
            if len(waiting) > 2 * n_jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
