"""Which edges are stronger, or change more, than chance gives anywhere: all networks refitted on permuted genes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.cluster import Cluster, as_cluster
from kotowari.core.errors import DesignError, InputError
from kotowari.core.jobs import Arrays
from kotowari.core.progress import Advance
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.guard import permute_within_bins
from kotowari.studies.genenet.model.edges.p_values import FoundEdges, family_wise_p, pooled_p_of_found, q_of_found
from kotowari.studies.genenet.model.edges.refits import RefitTable, refits_at_once, run_refits, unit_of_rows
from kotowari.studies.genenet.model.edges.statistic import Statistic, edge_statistic
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.trust.permutation import QValues, sequential_p, smallest_p_sentence

__all__ = ["EdgePermutation", "edge_permutation"]

Floats = npt.NDArray[np.float64]
Cells = npt.NDArray[np.int64]
Names = npt.NDArray[np.object_]

_SAMPLES_A_BIN, _FEWEST_SAMPLES, _FEWEST_BINS = 10, 5, 5


@dataclass(frozen=True, eq=False)
class EdgePermutation:
    """p values of all edges that were found; a possible edge that was not found has p = 1.

    Attributes
    ----------
    regulator, target
        Names of the ends of every edge found, shape ``(edge,)``; largest statistic first.
    value
        The statistic, above 0.
    p
        Family-wise: held against the largest value of any edge in each refit.
    pooled_p
        Of the single edge, held against the values of all possible edges in all refits.
    q
        After Benjamini and Hochberg from ``pooled_p`` over all possible edges; its ``q`` is None where the refits are
        too few.
    maxima
        Largest value of each refit that counts, shape ``(refit,)``.
    n_possible
        Possible edges: regulators times targets, without a gene's to itself.
    n_bins
        Bins of the modulator that genes were permuted in; of two modulators, so many of each.
    statistic
        ``"strength"`` or ``"change"``.
    stopped_early
        Whether the drawing ended because even the strongest edge was exceeded often enough.
    """

    regulator: Names
    target: Names
    value: Floats
    p: Floats
    pooled_p: Floats
    q: QValues
    maxima: Floats
    n_possible: int
    n_bins: int
    statistic: Statistic
    stopped_early: bool

    @property
    def n_refits(self) -> int:
        """Refits on permuted genes that stand behind every p."""
        return len(self.maxima)

    def sentence(self) -> str:
        """Say what the null was, how many refits stand behind p, and what they allow."""
        stopped = " Drawing stopped early: even the strongest edge was exceeded often." if self.stopped_early else ""
        return (
            f"Every gene was permuted on its own within {self.n_bins} bins of the modulator, which keeps its course "
            f"along the modulator, and all networks were refitted. {smallest_p_sentence(self.n_refits)}{stopped} "
            f"{self.q.sentence}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return ``regulator``, ``target``, the statistic under its name, ``p``, ``pooled_p``, ``q``, ``n_refits``.

        ``q`` is NaN where the refits are too few for it.
        """
        content = {
            "regulator": self.regulator,
            "target": self.target,
            self.statistic: self.value,
            "p": self.p,
            "pooled_p": self.pooled_p,
            "q": np.full(len(self.p), np.nan) if self.q.q is None else self.q.q,
            "n_refits": self.n_refits,
        }
        return pd.DataFrame(content)


def edge_permutation(
    profiler: NetworkProfiler,
    X: Any,
    modulator: npt.ArrayLike,
    *,
    regulators: Sequence[Any] | None = None,
    targets: Sequence[Any] | None = None,
    statistic: Statistic = "strength",
    n_permutations: int = 199,
    n_exceeding: int = 10,
    n_bins: int | None = None,
    path_length: Literal[1, 2] = 2,
    groups: npt.ArrayLike | None = None,
    random_state: int = 0,
    shards: Path | None = None,
    workers: int = 1,
    advance: Advance | None = None,
    cluster: Any = None,
) -> EdgePermutation:
    r"""Hold every edge against networks of the same genes, permuted each on its own among samples of like modulator.

    .. math:: p_e = \frac{1 + \#\{b : \max_k T_{bk} \ge T_e\}}{1 + B}, \quad
        p_e = h / l_e \text{ where the } h\text{-th exceedance came at refit } l_e

    The chance that any unrelated edge has p below a level is at most that level, where samples of one bin are alike.
    Drawing stops when even the strongest edge was exceeded h times. Bandwidth, penalties and weights are chosen anew in
    every refit.

    What the null keeps: the values of every gene, and its own course along the modulator up to the width of a bin. Two
    genes that only follow the modulator therefore get no small p. What it breaks: every relation of two genes among
    samples of like modulator, be it regulation, a common cause, composition of the tissue, or arithmetic: genes that
    the modulator was computed from are related given its value, and belong neither to the regulators nor to the
    targets. What it does not reach: with too few bins, genes vary along the modulator within a bin; permuting breaks
    that shared course too, and edges that it alone makes get small p. With too many, little is permuted: the means of a
    bin of s samples stay, and with them about 1/s of every true relation, so that edges are harder to find. In 60
    simulated tables (60 samples, 10 regulators, 2 targets, about half of the variance along the modulator, no relation)
    some edge had p <= 0.2 in 15 % with the default, 17 % with three bins and 75 % with one.

    Pooled p rest on one null for all edges. Where some genes follow the modulator closely and others do not, their
    nulls differ, and pooled p of the former are too small; family-wise p are right all the same.

    Parameters
    ----------
    profiler
        Unfitted; it is cloned. Its folder, cluster and threads are not used.
    X, modulator, regulators, targets
        As in :meth:`NetworkProfiler.fit`. Samples must be independent given the modulator.
    statistic
        ``"strength"``: mean absolute coefficient, genes in standard deviations. ``"change"``: change of the regulatory
        effect from the 5th to the 95th percentile of the samples. See
        :func:`kotowari.studies.genenet.model.edges.statistic.edge_statistic`.
    n_permutations
        B, 1 or more; 199 reaches p = 0.005.
    n_exceeding
        h, 1 or more; above ``n_permutations`` there is no early stop.
    n_bins
        Bins of equally many samples, five samples or more in each; of two modulators, so many of the first and within
        each of these of the second. None makes bins of ten samples, or five bins of fewer: 1/10 of a relation stays,
        and the modulator varies less within a bin than within a kernel, of which the profiler's default holds thirty
        effective samples or more.
    path_length
        Longest path of a regulatory effect.
    groups
        Shape ``(sample,)``, such as patients: every sample must have its own.
    random_state
        Seed of the permutations.
    shards
        Folder that keeps finished refits, as in :func:`selection_frequency`. There they keep both statistics, so that
        the other one, or more permutations, cost no refit again. None keeps nothing.
    workers
        Processes, and so many refits are made at once; needs ``shards``. The result does not depend on it: refits
        beyond the stop are not counted.
    advance
        Called once a finished refit, at most 1 + B times.
    cluster
        None, or who runs them in place of processes of this machine, as in :func:`kotowari.core.map_jobs`; needs
        ``shards``.

    Raises
    ------
    InputError, ShapeError
        As in :meth:`NetworkProfiler.fit`, or when an option is out of range.
    DesignError
        When a group holds several samples: permuted one by one they would make the null too narrow.

    Source: Westfall and Young 1993, Resampling-Based Multiple Testing (single-step maximum); Besag and Clifford 1991,
    Biometrika 78:301-304 (early stop). The null is our own.
    """
    if statistic not in get_args(Statistic) or n_permutations < 1 or n_exceeding < 1:
        raise InputError(
            "edge_permutation: needs statistic strength or change, and n_permutations and n_exceeding of 1 or more, "
            f"got {statistic!r}, {n_permutations} and {n_exceeding}."
        )
    table = RefitTable.of(profiler, X, modulator, regulators, targets)
    _require_lone_samples(groups, len(table.values))
    n_bins = _default_bins(table.modulator) if n_bins is None else n_bins
    wanted: tuple[Statistic, ...] = (statistic,) if shards is None else get_args(Statistic)
    draws: list[FoundEdges] = []
    with as_cluster(cluster, n_workers=workers) as opened:
        plan = _Plan(table, n_bins, wanted, path_length, random_state, shards, workers, advance, opened)
        results = plan.results(1 + n_permutations)
        observed = next(results)
        cell, value = observed[f"{statistic}_cell"], observed[f"{statistic}_value"]
        strongest = sequential_p(
            float(value.max(initial=0.0)),
            _maxima(results, statistic, draws),
            n_exceeding=n_exceeding,
            max_draws=n_permutations,
        )
    maxima = np.array([draw.largest for draw in draws])
    order = np.lexsort((cell, -value))
    cell, value = cell[order], value[order]
    regulator, target = table.names(cell)
    pooled = pooled_p_of_found(value, draws, table.n_possible)
    return EdgePermutation(
        regulator=regulator,
        target=target,
        value=value,
        p=family_wise_p(value, maxima, n_exceeding=n_exceeding, max_draws=n_permutations),
        pooled_p=pooled,
        q=q_of_found(pooled, table.n_possible, len(draws)),
        maxima=maxima,
        n_possible=table.n_possible,
        n_bins=n_bins,
        statistic=statistic,
        stopped_early=strongest.n_draws < n_permutations,
    )


@dataclass(frozen=True, eq=False)
class _Plan:
    """What makes a refit: number 0 is the table as it is, the others are permuted."""

    table: RefitTable
    n_bins: int
    statistics: tuple[Statistic, ...]
    path_length: Literal[1, 2]
    random_state: int
    shards: Path | None
    workers: int
    advance: Advance | None
    cluster: Cluster | None

    def results(self, n_refits: int) -> Iterator[Arrays]:
        """Yield one refit after the other; as many as there are workers are made at once."""
        first = 0
        while first < n_refits:
            jobs = dict([self._job(first)])
            wave = refits_at_once(*jobs, shards=self.shards, workers=self.workers, cluster=self.cluster)
            jobs |= dict(map(self._job, range(first + 1, min(first + wave, n_refits))))
            first += len(jobs)
            yield from run_refits(
                _refit, jobs, shards=self.shards, workers=self.workers, advance=self.advance, cluster=self.cluster
            ).values()

    def _job(self, number: int) -> tuple[str, tuple[Any, ...]]:
        seed = derive_seed(self.random_state, "edge permutation", number)
        own = (seed, self.n_bins) if number else ()
        key = self.table.key(f"permutation-{number:05d}", *own, self.path_length, repr(self.statistics))
        return key, (self.table, number, seed, self.n_bins, self.statistics, self.path_length)


def _maxima(results: Iterator[Arrays], statistic: Statistic, draws: list[FoundEdges]) -> Iterator[float]:
    """Yield the largest value of one refit after the other, and append all its values to ``draws``.

    What was made beyond the last one asked for is not appended.
    """
    for result in results:
        draws.append(FoundEdges(result[f"{statistic}_cell"], result[f"{statistic}_value"]))
        yield draws[-1].largest


def _refit(
    table: RefitTable,
    number: int,
    seed: int,
    n_bins: int,
    statistics: tuple[Statistic, ...],
    path_length: Literal[1, 2],
) -> Arrays:
    values = table.values
    if number:
        values = _permuted(values, table.modulator, n_bins, np.random.default_rng(seed))
    stack = table.networks_of(table.fit(values, table.modulator))
    arrays: Arrays = {}
    for name in statistics:
        found = edge_statistic(table, values, stack, name, path_length=path_length)
        arrays[f"{name}_cell"], arrays[f"{name}_value"] = found
    return arrays


def _permuted(values: Floats, modulator: Floats, n_bins: int, rng: np.random.Generator) -> Floats:
    if modulator.shape[1] == 1:
        return permute_within_bins(values, modulator[:, 0], n_bins, rng)
    mixed = values.copy()
    for members in np.array_split(np.argsort(modulator[:, 0], kind="stable"), n_bins):
        mixed[members] = permute_within_bins(values[members], modulator[members, 1], n_bins, rng)
    return mixed


def _default_bins(modulator: Floats) -> int:
    n_samples, n_axes = modulator.shape
    wide, narrow = (int((n_samples / size) ** (1 / n_axes)) for size in (_SAMPLES_A_BIN, _FEWEST_SAMPLES))
    return max(wide, min(narrow, _FEWEST_BINS))


def _require_lone_samples(groups: npt.ArrayLike | None, n_samples: int) -> None:
    counts = np.bincount(unit_of_rows(groups, n_samples))
    if (counts > 1).any():
        raise DesignError(
            f"edge_permutation: {int((counts > 1).sum())} groups hold several samples, which are not independent; "
            "permuted one by one they would make the null too narrow. Keep one sample of each group."
        )
