"""Would the same edges be found in half of the samples? Selection on complementary pairs of half samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import DesignError, InputError
from kotowari.core.jobs import Arrays
from kotowari.core.progress import Advance
from kotowari.core.seeds import derive_seed
from kotowari.formats.memory import require_bytes
from kotowari.studies.genenet.model.edges.false_selections import FalseSelections, false_selection_bounds
from kotowari.studies.genenet.model.edges.refits import RefitTable, run_refits, unit_of_rows
from kotowari.studies.genenet.model.edges.statistic import edge_statistic
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.trust.stability import Stability, selection_stability

__all__ = ["SelectionFrequency", "selection_frequency"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Names = npt.NDArray[np.object_]
Criterion = Literal["edge", "change"]

_FEWEST_UNITS = 12  # halves of 6, the fewest that networks can be estimated from


@dataclass(frozen=True, eq=False)
class SelectionFrequency:
    """How often every edge was selected on half of the samples; edges that never were are left out.

    Attributes
    ----------
    regulator, target
        Names of the ends of every edge ever selected, shape ``(edge,)``; highest frequency first.
    frequency
        Share of all halves that selected the edge, above 0 up to 1.
    simultaneous
        Share of the pairs that selected it in both halves.
    selected
        Which half selected which edge, shape ``(half, edge)``; rows 2k and 2k + 1 are a pair.
    n_pairs
        Pairs of halves.
    n_possible
        Possible edges: regulators times targets, without a gene's to itself.
    mean_selected
        q, edges that a half selects on average.
    rule
        What selected means, in words.
    """

    regulator: Names
    target: Names
    frequency: Floats
    simultaneous: Floats
    selected: npt.NDArray[np.bool_]
    n_pairs: int
    n_possible: int
    mean_selected: float
    rule: str

    def false_selections(self, threshold: float = 0.75) -> FalseSelections:
        """Bound how many of the edges selected in ``threshold`` (above 0.5) of the halves or more are false.

        The bounds take the samples as independent, given their modulator, and speak of the choice of edges, not of
        their direction: an edge that only stands for another, correlated regulator may be stable.
        """
        return false_selection_bounds(
            self.frequency,
            threshold=threshold,
            mean_selected=self.mean_selected,
            n_possible=self.n_possible,
            n_pairs=self.n_pairs,
        )

    def stability(self) -> Stability:
        """Return the Nogueira index over all halves and all possible edges.

        Raises
        ------
        InputError
            When the table of halves and possible edges would not fit into memory.
        """
        require_bytes(
            9 * self.selected.shape[0] * self.n_possible,
            what="The selections of all possible edges",
            remedy="Take fewer targets, regulators or pairs",
        )
        every = np.zeros((len(self.selected), self.n_possible), dtype=np.bool_)
        every[:, : self.selected.shape[1]] = self.selected
        return selection_stability(every)

    def to_frame(self) -> pd.DataFrame:
        """Return ``regulator``, ``target``, ``frequency``, ``simultaneous``; highest frequency first."""
        return pd.DataFrame(
            {
                "regulator": self.regulator,
                "target": self.target,
                "frequency": self.frequency,
                "simultaneous": self.simultaneous,
            }
        )


def selection_frequency(
    profiler: NetworkProfiler,
    X: Any,
    modulator: npt.ArrayLike,
    *,
    regulators: Sequence[Any] | None = None,
    targets: Sequence[Any] | None = None,
    n_pairs: int = 50,
    statistic: Criterion = "edge",
    n_top: int | None = None,
    least_share: float = 0.1,
    path_length: Literal[1, 2] = 2,
    groups: npt.ArrayLike | None = None,
    random_state: int = 0,
    shards: Path | None = None,
    workers: int = 1,
    advance: Advance | None = None,
    cluster: Any = None,
) -> SelectionFrequency:
    """Estimate all networks on both halves of many splits of the samples, and count the selected edges.

    A split draws one of each two samples that are neighbours on the modulator (the first, of two), so that both halves
    cover it alike; of an odd number, one sample takes no part. Everything that the profiler chooses, the bandwidth
    among it, is chosen anew on every half: an effective number of samples that is given as a number is the same on half
    of the samples, and so means a wider kernel.

    Parameters
    ----------
    profiler
        Unfitted; it is cloned. Its folder, cluster and threads are not used.
    X, modulator, regulators, targets
        As in :meth:`NetworkProfiler.fit`.
    n_pairs
        B, 1 or more; each is two refits. 50 for a report.
    statistic
        ``"edge"``: by the mean absolute coefficient, genes in standard deviations. ``"change"``: by the change of the
        regulatory effect from the 5th to the 95th percentile of the samples. See
        :func:`kotowari.studies.genenet.model.edges.statistic.edge_statistic`.
    n_top
        Select this many edges with the largest statistic above 0 (ties in the order of target, then regulator). None
        selects, for ``"edge"``, the edges that are not zero in at least ``least_share`` of the samples in which their
        target has a network, and for ``"change"``, those that change at all.
    least_share
        0 (in any sample) to 1; only for ``"edge"`` without ``n_top``.
    path_length
        Longest path of a regulatory effect.
    groups
        Shape ``(sample,)``, such as patients: never torn. They are paired by the mean of their modulator.
    random_state
        Seed of the splits.
    shards
        Folder that keeps finished refits under names that hold a digest of all that they depend on, so that a killed
        run goes on, and other data are never mistaken for these. None keeps nothing.
    workers
        Processes; needs ``shards``. The result does not depend on it.
    advance
        Called once a finished refit.
    cluster
        None, or who runs them in place of processes of this machine, as in :func:`kotowari.core.map_jobs`; needs
        ``shards``.

    Raises
    ------
    InputError, ShapeError
        As in :meth:`NetworkProfiler.fit`, or when an option is out of range.
    DesignError
        When there are fewer than 12 samples or groups.

    Source: Shah and Samworth 2013, J. R. Stat. Soc. B 75:55-80 (complementary pairs); the pairing along the modulator
    is our own.
    """
    _require_options(n_pairs, statistic, n_top, least_share)
    table = RefitTable.of(profiler, X, modulator, regulators, targets)
    units, rule = unit_of_rows(groups, len(table.values)), _Rule(statistic, n_top, least_share, path_length)
    jobs: dict[str, tuple[Any, ...]] = {}
    for pair in range(n_pairs):
        rng = np.random.default_rng(derive_seed(random_state, "edge selection", pair))
        for half, rows in zip("ab", complementary_halves(table.modulator[:, 0], units, rng), strict=True):
            jobs[table.key(f"pair-{pair:03d}{half}", rows, repr(rule))] = (table, rows, rule)
    results = run_refits(_select, jobs, shards=shards, workers=workers, advance=advance, cluster=cluster)
    return _counted(table, [result["cell"] for result in results.values()], rule)


def complementary_halves(modulator: Floats, units: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Split the units into two halves, one of each two neighbours on the modulator to either side.

    Parameters
    ----------
    modulator
        Shape ``(sample,)``.
    units
        Number of the unit of every sample, from 0.
    rng
        Draws the sides, the unit left out of an odd number, and the order of ties.

    Returns
    -------
    array, array
        Rows, rising.

    Raises
    ------
    DesignError
        When there are fewer than 12 units.
    """
    n_units = int(units.max()) + 1
    if n_units < _FEWEST_UNITS:
        raise DesignError(
            f"selection_frequency: {n_units} samples or groups are too few to be halved. Bring {_FEWEST_UNITS} or more."
        )
    mean = np.bincount(units, modulator) / np.bincount(units)
    kept = np.sort(rng.permutation(n_units)[: n_units - n_units % 2])
    order = kept[np.lexsort((rng.random(len(kept)), mean[kept]))]
    couples = rng.permuted(order.reshape(-1, 2), axis=1)
    first, second = (np.flatnonzero(np.isin(units, side)) for side in couples.T)
    return first, second


class _Rule(NamedTuple):
    statistic: Criterion
    n_top: int | None
    least_share: float
    path_length: Literal[1, 2]

    def describe(self) -> str:
        by = "change of the regulatory effect" if self.statistic == "change" else "mean absolute coefficient"
        if self.n_top is not None:
            return f"among the {self.n_top} edges of the largest {by}"
        if self.statistic == "change":
            return "a regulatory effect that changes between the 5th and the 95th percentile of the samples"
        return f"not zero in {100 * self.least_share:g} % of the fitted samples or more, and in one at least"


def _require_options(n_pairs: int, statistic: str, n_top: int | None, least_share: float) -> None:
    rules = {
        "n_pairs must be 1 or more": n_pairs >= 1,
        "statistic must be edge or change": statistic in get_args(Criterion),
        "n_top must be 1 or more, or None": n_top is None or n_top >= 1,
        "least_share must lie between 0 and 1": 0 <= least_share <= 1,
    }
    if broken := [rule for rule, kept in rules.items() if not kept]:
        raise InputError(f"selection_frequency: {broken[0]}.")


def _select(table: RefitTable, rows: Rows, rule: _Rule) -> Arrays:
    values = table.values[rows]
    stack = table.networks_of(table.fit(values, table.modulator[rows]))
    if rule.statistic == "edge" and rule.n_top is None:
        n_samples = np.bincount(stack.entry_edge, minlength=stack.n_edges)
        wide = n_samples >= rule.least_share * stack.n_fitted()[stack.edge_target]
        return {"cell": np.sort(table.edge_cells(stack)[wide])}
    name: Literal["strength", "change"] = "strength" if rule.statistic == "edge" else "change"
    cell, value = edge_statistic(table, values, stack, name, path_length=rule.path_length)
    top = np.argsort(-value, kind="stable")[: rule.n_top]
    return {"cell": np.sort(cell[top])}


def _counted(table: RefitTable, halves: Sequence[npt.NDArray[np.int64]], rule: _Rule) -> SelectionFrequency:
    cells = np.unique(np.concatenate(halves))
    selected = np.array([np.isin(cells, half) for half in halves])
    both = selected[::2] & selected[1::2]
    order = np.lexsort((cells, -selected.sum(0)))
    regulator, target = table.names(cells[order])
    return SelectionFrequency(
        regulator=regulator,
        target=target,
        frequency=selected.mean(0)[order],
        simultaneous=both.mean(0)[order],
        selected=selected[:, order],
        n_pairs=len(halves) // 2,
        n_possible=table.n_possible,
        mean_selected=float(selected.sum(1).mean()),
        rule=rule.describe(),
    )
