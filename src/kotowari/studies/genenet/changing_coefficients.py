"""Which coefficients change along the modulator, and not only seem to: networks refitted on rebuilt targets."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.cluster import Cluster, as_cluster
from kotowari.core.errors import DesignError, InputError
from kotowari.core.jobs import Arrays
from kotowari.core.progress import Advance
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.constant_null import ConstantNull, split_roles
from kotowari.studies.genenet.model.edges.p_values import (
    FoundEdges,
    family_wise_p,
    own_p,
    pooled_p_of_found,
    q_of_found,
)
from kotowari.studies.genenet.model.edges.refits import RefitTable, refits_at_once, run_refits, unit_of_rows
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.studies.genenet.model.stack.stack import NetworkStack
from kotowari.trust.permutation import QValues, sequential_p, smallest_p_sentence

__all__ = ["VaryingEdges", "varying_edges"]

Floats = npt.NDArray[np.float64]
Cells = npt.NDArray[np.int64]
Names = npt.NDArray[np.object_]
Units = npt.NDArray[np.intp]

_FEWEST_UNITS = 10  # 2^10 patterns of signs; fewer, and draws repeat each other


@dataclass(frozen=True, eq=False)
class VaryingEdges:
    """p values for the question whether a coefficient changes; an edge that was not found has p = 1.

    Attributes
    ----------
    regulator, target
        Names of the ends of every edge whose coefficient changes at all, shape ``(edge,)``; largest change first.
    low, high
        5th and 95th percentile over the samples of the coefficient, in standard deviations of the target for one of
        the regulator.
    value
        Their difference, above 0.
    p
        Family-wise: held against the largest change of any edge in each refit.
    own_p
        Of the single edge, held against its own change in the refits; not corrected for the number of edges.
    pooled_p
        Held against the change of all possible edges in all refits; for ``q``, not for a single edge.
    q
        After Benjamini and Hochberg from ``pooled_p`` over all possible edges; its ``q`` is None where the refits are
        too few.
    maxima
        Largest change in each refit that counts, shape ``(refit,)``.
    n_possible
        Possible edges: regulators times targets, without a gene's to itself and without those that are excluded.
    n_units
        Owners, or samples, that had a random sign of their own.
    stopped_early
        Whether the drawing ended because even the strongest edge was exceeded often enough.
    """

    regulator: Names
    target: Names
    low: Floats
    high: Floats
    value: Floats
    p: Floats
    own_p: Floats
    pooled_p: Floats
    q: QValues
    maxima: Floats
    n_possible: int
    n_units: int
    stopped_early: bool

    @property
    def n_refits(self) -> int:
        """Refits on rebuilt targets that stand behind every p."""
        return len(self.maxima)

    def sentence(self) -> str:
        """Say what the null was, how many refits stand behind p, and what they allow."""
        stopped = " Drawing stopped early: even the strongest edge was exceeded often." if self.stopped_early else ""
        return (
            "Every target was rebuilt from its own course along the modulator, one network for all samples, and its "
            f"residuals with {self.n_units} random signs, and all networks were refitted: regulators stay as they are, "
            f"and no coefficient changes. {smallest_p_sentence(self.n_refits)}{stopped} {self.q.sentence}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row an edge, largest change first.

        Columns: ``regulator``, ``target``, ``low``, ``high``, ``change``, ``p``, ``own_p``, ``pooled_p``, ``q`` (NaN
        where the refits are too few for it), ``n_refits``.
        """
        content = {
            "regulator": self.regulator,
            "target": self.target,
            "low": self.low,
            "high": self.high,
            "change": self.value,
            "p": self.p,
            "own_p": self.own_p,
            "pooled_p": self.pooled_p,
            "q": np.full(len(self.p), np.nan) if self.q.q is None else self.q.q,
            "n_refits": self.n_refits,
        }
        return pd.DataFrame(content)


def varying_edges(
    profiler: NetworkProfiler,
    X: Any,
    modulator: npt.ArrayLike,
    *,
    regulators: Sequence[Any] | None = None,
    targets: Sequence[Any] | None = None,
    n_draws: int = 199,
    n_exceeding: int = 10,
    groups: npt.ArrayLike | None = None,
    random_state: int = 0,
    shards: Path | None = None,
    workers: int = 1,
    advance: Advance | None = None,
    cluster: Any = None,
) -> VaryingEdges:
    r"""Hold the change of every coefficient against networks of the same genes in which no coefficient changes.

    .. math::
        T_{jk} = \frac{s_j}{s_k} \big(\mathrm{high}_a\, \beta_{jka} - \mathrm{low}_a\, \beta_{jka}\big), \qquad
        p_e = \frac{1 + \#\{b : \max_k T_{bk} \ge T_e\}}{1 + B}

    with the standard deviation s of a gene over all samples, the 95th and the 5th percentile over the samples in which
    the target has a network, and targets of refit b as
    :class:`kotowari.studies.genenet.constant_null.ConstantNull` rebuilds them: own course along the modulator, plus one
    network for all samples, plus own residuals, each sample's with a random sign. Drawing stops when even the
    strongest edge was exceeded h times. Bandwidth, penalties and weights are chosen anew in every refit.

    What the null keeps: all regulators as they are, so that their means, variances and correlations, which make even a
    constant coefficient seem to change under penalty and kernel, change along the modulator as in the table; the course
    of every target; strong edges that are constant; the size of the residuals sample by sample; and what targets have
    in common, since a sample has one sign for all of them. A gene that is both regulator and target keeps its values
    as a regulator. What it breaks: change of coefficients, and nothing else that it was meant to break; being random,
    signs also make skewed residuals symmetric. What it does not reach: a course that turns more often than five knots
    allow; a coefficient that bends with the level of the regulator, which looks like change where that level follows
    the modulator; a hidden gene whose relation to the regulator changes; and sign flips know no dependence between
    samples other than that within ``groups``. The test is no test for the presence of an edge: one that is strong and
    constant should have a large p. It is asymptotic, not exact as a permutation of exchangeable samples would be.

    Of the three p, the family-wise one is for claims. The own p is for one edge that was named beforehand. The pooled
    one counts how many constant edges reach so far, which is what q needs, but the coefficients of strong and of
    correlated edges waver more than those of others, so that it is too small for these. Beside coefficients that do
    change, those of correlated regulators may seem to, which the own p does not know.

    Simulated, 200 tables of a kind: 80 samples, 8 regulators, 4 targets, all coefficients constant; means, variances
    and correlations of the regulators follow the modulator, or the noise is skewed and its variance does, or both; also
    owners of two samples each. Some edge had p <= 0.05 in 0 to 4.5 % of a kind, so that p is on the large side,
    and the own p of a constant edge was as small in 2.3 to 3.6 %. Of the changing edges of :func:`simulate_networks`
    (three tables, 30 regulators, 8 targets, three edges each, 39 draws) 30 to 38 % had p <= 0.05 with 200 samples and
    67 % with 400, and no constant one or other pair; :func:`edge_permutation` marks all constant ones.

    Parameters
    ----------
    profiler
        Unfitted; it is cloned. Its folder, cluster and threads are not used.
    X, modulator, regulators, targets
        As in :meth:`NetworkProfiler.fit`.
    n_draws
        B, 1 or more; 199 reaches p = 0.005.
    n_exceeding
        h, 1 or more; above ``n_draws`` there is no early stop.
    groups
        Shape ``(sample,)``, such as patients: the samples of a group share their sign, which keeps their dependence.
    random_state
        Seed of the signs.
    shards
        Folder that keeps finished refits, as in :func:`selection_frequency`, so that more draws cost no refit again.
        None keeps nothing.
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
        When there are fewer than ten groups, or too few samples for the courses of the genes (21; 48 with two
        modulators).

    Source: Wu 1986, Annals of Statistics 14:1261-1295, and Mammen 1993, Annals of Statistics 21:255-285 (wild
    bootstrap); Davidson and Flachaire 2008, J. Econometrics 146:162-169 (random signs, residuals over one less the
    leverage); Cameron, Gelbach and Miller 2008, Rev. Econ. Stat. 90:414-427 (one sign a group); Westfall and Young
    1993, Resampling-Based Multiple Testing (single-step maximum); Besag and Clifford 1991, Biometrika 78:301-304
    (early stop). The use for networks along a modulator, the null and the statistic are our own.
    """
    if n_draws < 1 or n_exceeding < 1:
        raise InputError(f"varying_edges: needs n_draws and n_exceeding of 1 or more, got {n_draws} and {n_exceeding}.")
    table = RefitTable.of(profiler, X, modulator, regulators, targets)
    units = _units(groups, len(table.values))
    roles = split_roles(table)
    n_possible = int(np.isfinite(np.asarray(roles.profiler.penalty_factors)).sum())
    draws: list[FoundEdges] = []
    with as_cluster(cluster, n_workers=workers) as opened:
        plan = _Plan(roles, units, random_state, shards, workers, advance, opened)
        found = plan.observe()
        observed = FoundEdges(found["cell"], found["value"])
        strongest = sequential_p(
            observed.largest,
            _maxima(plan.draws(ConstantNull(found["constant"], found["residual"]), n_draws), draws),
            n_exceeding=n_exceeding,
            max_draws=n_draws,
        )
    maxima = np.array([draw.largest for draw in draws])
    order = np.lexsort((observed.cell, -observed.value))
    pooled = pooled_p_of_found(observed.value[order], draws, n_possible)
    regulator, target = table.names(observed.cell[order])
    return VaryingEdges(
        regulator=regulator,
        target=target,
        low=found["low"][order],
        high=found["high"][order],
        value=observed.value[order],
        p=family_wise_p(observed.value[order], maxima, n_exceeding=n_exceeding, max_draws=n_draws),
        own_p=own_p(observed, draws)[order],
        pooled_p=pooled,
        q=q_of_found(pooled, n_possible, len(draws)),
        maxima=maxima,
        n_possible=n_possible,
        n_units=int(units.max()) + 1,
        stopped_early=strongest.n_draws < n_draws,
    )


@dataclass(frozen=True, eq=False)
class _Plan:
    """What makes a refit: the first is of the table as it is, the others have rebuilt targets."""

    roles: RefitTable
    units: Units
    random_state: int
    shards: Path | None
    workers: int
    advance: Advance | None
    cluster: Cluster | None

    def observe(self) -> Arrays:
        """Return the refit of the table as it is, with what the others are made of."""
        (found,) = self._run(_observe, {self.roles.key("varying-00000"): (self.roles,)})
        return found

    def draws(self, null: ConstantNull, n_draws: int) -> Iterator[Arrays]:
        """Yield one refit after the other; as many as there are workers are made at once."""
        first = 1
        while first <= n_draws:
            wave = refits_at_once(self._key(first), shards=self.shards, workers=self.workers, cluster=self.cluster)
            numbers = range(first, min(first + wave - 1, n_draws) + 1)
            first += len(numbers)
            jobs = {self._key(number): (self.roles, null, self.units, self._seed(number)) for number in numbers}
            yield from self._run(_redraw, jobs)

    def _seed(self, number: int) -> int:
        return derive_seed(self.random_state, "varying edges", number)

    def _key(self, number: int) -> str:
        return self.roles.key(f"varying-{number:05d}", self._seed(number), self.units)

    def _run(self, function: Callable[..., Arrays], jobs: dict[str, tuple[Any, ...]]) -> list[Arrays]:
        kept = run_refits(
            function, jobs, shards=self.shards, workers=self.workers, advance=self.advance, cluster=self.cluster
        )
        return list(kept.values())


def _maxima(results: Iterator[Arrays], draws: list[FoundEdges]) -> Iterator[float]:
    """Yield the largest change of one refit after the other, and append all its changes to ``draws``.

    What was made beyond the last one asked for is not appended.
    """
    for result in results:
        draws.append(FoundEdges(result["cell"], result["value"]))
        yield draws[-1].largest


def _observe(roles: RefitTable) -> Arrays:
    fitted = roles.fit(roles.values, roles.modulator)
    stack = roles.networks_of(fitted)
    null = ConstantNull.of(roles, fitted, stack)
    return _changes(roles, stack) | {"constant": null.constant, "residual": null.residual}


def _redraw(roles: RefitTable, null: ConstantNull, units: Units, seed: int) -> Arrays:
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], int(units.max()) + 1)[units]
    values = np.hstack([roles.values[:, : len(roles.regulators)], null.targets(signs)])
    changes = _changes(roles, roles.networks_of(roles.fit(values, roles.modulator)))
    return {name: changes[name] for name in ("cell", "value")}


def _changes(roles: RefitTable, stack: NetworkStack) -> Arrays:
    """Return the edges whose coefficient changes, cells rising; units are those of the genes as they were measured."""
    table = stack.change_along_modulator("percentile")
    regulator = roles.positions("regulators", table["regulator"].tolist())
    target = roles.positions("targets", table["target"].tolist())
    source, end = np.split(roles.values.std(0), [len(roles.regulators)])
    scale = source[regulator] / end[target]
    cell = target * len(roles.regulators) + regulator
    value = scale * table["change"].to_numpy(np.float64)
    kept = np.flatnonzero(value > 0)
    kept = kept[np.argsort(cell[kept])]
    low, high = (scale * table[name].to_numpy(np.float64) for name in ("low", "high"))
    return {"cell": cell[kept], "value": value[kept], "low": low[kept], "high": high[kept]}


def _units(groups: npt.ArrayLike | None, n_samples: int) -> Units:
    units = unit_of_rows(groups, n_samples)
    if (n_units := int(units.max()) + 1) < _FEWEST_UNITS:
        raise DesignError(
            f"varying_edges: {n_units} groups are too few to draw a sign for each. Bring {_FEWEST_UNITS} or more."
        )
    return units
