"""How far a coefficient would move with other samples: bootstrap of all networks, interval and band for every edge."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.jobs import Arrays
from kotowari.core.progress import Advance
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.model.edges.refits import RefitTable, run_refits, unit_of_rows
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler

__all__ = ["EdgeIntervals", "bootstrap_edges"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Cells = npt.NDArray[np.int64]
Names = npt.NDArray[np.object_]

_DEFAULT_PLACES = np.linspace(0.1, 0.9, 9)
_ENDS = ("percentile_low", "percentile_high", "basic_low", "basic_high", "band_low", "band_high")


@dataclass(frozen=True, eq=False)
class EdgeIntervals:
    """Coefficients of edges at places on the modulator, with intervals; units of the target per unit of the regulator.

    Attributes
    ----------
    regulator, target
        Names of the ends of every edge, shape ``(edge,)``, in the order of target, then regulator.
    places
        Shape ``(place, modulator)``.
    estimate
        Coefficients of the networks of all samples, shape ``(edge, place)``; 0 without the edge, NaN where the target
        has no network.
    percentile_low, percentile_high
        Quantiles of the bootstrapped coefficients, shape ``(edge, place)``; for one place at a time. NaN, as all ends
        are, where too few bootstraps have a network.
    basic_low, basic_high
        Twice the estimate less the other quantile; for one place at a time.
    band_low, band_high
        Estimate and c bootstrap standard deviations to either side, c the quantile of the largest deviation at any
        place: covers all places of an edge at once. It does not cover all edges at once.
    n_fitted
        Bootstraps with a network of the target there, shape ``(edge, place)``.
    share_nonzero
        Share of the bootstraps with a network of the target in which the edge is not zero at one place at least, shape
        ``(edge,)``.
    n_bootstraps
        Bootstraps drawn.
    level
        Of intervals and band.
    """

    regulator: Names
    target: Names
    places: Floats
    estimate: Floats
    percentile_low: Floats
    percentile_high: Floats
    basic_low: Floats
    basic_high: Floats
    band_low: Floats
    band_high: Floats
    n_fitted: npt.NDArray[np.int64]
    share_nonzero: Floats
    n_bootstraps: int
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row an edge and place: names, ``modulator`` (numbered if two), estimate, all ends, counts."""
        n_edges, n_places = self.estimate.shape
        names = ["modulator"] if self.places.shape[1] == 1 else [f"modulator_{k}" for k in range(self.places.shape[1])]
        content: dict[str, npt.NDArray[Any]] = {
            "regulator": np.repeat(self.regulator, n_places),
            "target": np.repeat(self.target, n_places),
        }
        content |= {name: np.tile(self.places[:, k], n_edges) for k, name in enumerate(names)}
        content |= {name: getattr(self, name).ravel() for name in ("estimate", *_ENDS, "n_fitted")}
        content["share_nonzero"] = np.repeat(self.share_nonzero, n_places)
        return pd.DataFrame(content)


def bootstrap_edges(
    profiler: NetworkProfiler,
    X: Any,
    modulator: npt.ArrayLike,
    *,
    regulators: Sequence[Any] | None = None,
    targets: Sequence[Any] | None = None,
    edges: Sequence[tuple[str, str]] | None = None,
    places: npt.ArrayLike | None = None,
    n_bootstraps: int = 200,
    level: float = 0.95,
    least_fitted: float = 0.8,
    groups: npt.ArrayLike | None = None,
    random_state: int = 0,
    shards: Path | None = None,
    workers: int = 1,
    advance: Advance | None = None,
    cluster: Any = None,
) -> EdgeIntervals:
    r"""Draw samples with replacement, estimate all networks anew, and see how the coefficients move.

    .. math::
        [q_{\alpha/2},\, q_{1-\alpha/2}], \qquad [2\hat\beta - q_{1-\alpha/2},\, 2\hat\beta - q_{\alpha/2}], \qquad
        \hat\beta(m) \pm c\, s(m), \quad
        c = q_{1-\alpha}\Big(\max_m \frac{|\beta^*(m) - \hat\beta(m)|}{s(m)}\Big)

    with quantiles q and standard deviation s over the bootstraps. Bandwidth, penalties and weights are chosen anew in
    each.

    The intervals say how much the penalised estimate would move with other samples. They are no confidence intervals
    of the true coefficient: the estimate is shrunk, smoothed over the kernel, and was chosen by the same samples, and
    for coefficients that are truly 0 the bootstrap of such estimates is not consistent. A sample that is drawn twice
    counts as two, so that the criterion takes the samples for more than they are, and an edge is found somewhat more
    often than in new samples. Read ``share_nonzero`` beside the interval, and take the selection frequency for the
    question whether there is an edge.

    Parameters
    ----------
    profiler
        Unfitted; it is cloned. Its folder, cluster and threads are not used.
    X, modulator, regulators, targets
        As in :meth:`NetworkProfiler.fit`.
    edges
        Pairs of regulator and target; None takes the edges that any sample has when all samples are fitted.
    places
        Values of the modulator, shape ``(place,)`` or ``(place, modulator)``. None takes its nine quantiles from 10 to
        90 %; of two modulators, those of the first at the median of the second.
    n_bootstraps
        B, 2 or more; 200 and above for a report.
    level
        Above 0 and below 1.
    least_fitted
        Share of the bootstraps that must have a network at a place, above 0 up to 1, for an interval to be given.
        Nothing is extrapolated: a bootstrap has none where no drawn sample lies beyond.
    groups
        Shape ``(sample,)``, such as patients: drawn as wholes.
    random_state
        Seed of the draws.
    shards
        Folder that keeps finished refits, as in :func:`selection_frequency`; the refits do not depend on ``edges``.
        None keeps nothing.
    workers
        Processes; needs ``shards``. The result does not depend on it.
    advance
        Called once a finished refit, 1 + B times.
    cluster
        None, or who runs them in place of processes of this machine, as in :func:`kotowari.core.map_jobs`; needs
        ``shards``.

    Raises
    ------
    InputError, ShapeError
        As in :meth:`NetworkProfiler.fit`, or when an option is out of range or an edge is not possible.
    DesignError
        When there are fewer than 6 groups.

    Warns
    -----
    UserWarning
        When the profiler chooses by cross-validation: copies of one sample then stand on both sides, and too weak a
        penalty, or too narrow a kernel, looks best.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile), and Davison and
    Hinkley 1997, section 5.2 (basic); Montiel Olea and Plagborg-Møller 2019, J. Appl. Econometrics 34:1-17 (the band);
    Chatterjee and Lahiri 2011, J. Am. Stat. Assoc. 106:608-625 (no consistency at 0).
    """
    _require_options(n_bootstraps, level, least_fitted)
    table = RefitTable.of(profiler, X, modulator, regulators, targets)
    units, where = unit_of_rows(groups, len(table.values)), _places(table, places)
    wanted = None if edges is None else _wanted(table, edges)
    _require_groups(units)
    _warn_of_copies(table.profiler)
    every = np.arange(len(units))
    jobs: dict[str, tuple[Any, ...]] = {table.key("whole", where): (table, every, where, True)}
    for number in range(n_bootstraps):
        rows = _drawn_rows(units, np.random.default_rng(derive_seed(random_state, "edge bootstrap", number)))
        jobs[table.key(f"bootstrap-{number:04d}", rows, where)] = (table, rows, where, False)
    results = run_refits(_coefficients, jobs, shards=shards, workers=workers, advance=advance, cluster=cluster)
    whole, *draws = results.values()
    cells = whole["edges"] if wanted is None else wanted
    return _summarised(table, cells, where, (whole, draws), (level, least_fitted))


def _require_options(n_bootstraps: int, level: float, least_fitted: float) -> None:
    rules = {
        "n_bootstraps must be 2 or more": n_bootstraps >= 2,
        "level must lie between 0 and 1": 0 < level < 1,
        "least_fitted must lie above 0 and at most at 1": 0 < least_fitted <= 1,
    }
    if broken := [rule for rule, kept in rules.items() if not kept]:
        raise InputError(f"bootstrap_edges: {broken[0]}.")


def _require_groups(units: Rows) -> None:
    if units.max() + 1 < 6:
        raise DesignError(f"bootstrap_edges: {units.max() + 1} groups are too few to be drawn from. Bring 6 or more.")


def _warn_of_copies(profiler: NetworkProfiler) -> None:
    chosen = [
        name for name in ("criterion", "bandwidth") if isinstance(own := getattr(profiler, name), str) and own == "cv"
    ]
    if chosen:
        warnings.warn(
            f"bootstrap_edges: the {' and the '.join(chosen)} are chosen by cross-validation, in which copies of a "
            "drawn sample stand on both sides. Take bandwidth='effective' or a number, and criterion='waicc'.",
            UserWarning,
            stacklevel=3,
        )


def _places(table: RefitTable, places: npt.ArrayLike | None) -> Floats:
    if places is None:
        where = np.repeat(np.median(table.modulator, axis=0)[None], len(_DEFAULT_PLACES), axis=0)
        where[:, 0] = np.quantile(table.modulator[:, 0], _DEFAULT_PLACES)
        return np.unique(where, axis=0)
    where = np.array(places, dtype=np.float64)
    where = where[:, None] if where.ndim == 1 else where
    if where.ndim != 2 or not len(where) or where.shape[1] != table.modulator.shape[1]:
        raise ShapeError.mismatch("bootstrap_edges", "places", ("place", table.modulator.shape[1]), where.shape)
    outside = (where < table.modulator.min(0)) | (where > table.modulator.max(0)) | ~np.isfinite(where)
    if outside.any():
        raise InputError(
            f"bootstrap_edges: place {where[outside.any(1)][0].tolist()} lies beyond the modulator of the samples; "
            "nothing is extrapolated."
        )
    return where


def _wanted(table: RefitTable, edges: Sequence[tuple[str, str]]) -> Cells:
    pairs = [(str(regulator), str(target)) for regulator, target in edges]
    if not pairs or len(set(pairs)) < len(pairs):
        raise InputError("edges: name one pair of regulator and target or more, each once.")
    if own := [regulator for regulator, target in pairs if regulator == target]:
        raise InputError(f"edges: {own[0]} is no regulator of itself.")
    sources = table.positions("regulators", [regulator for regulator, _ in pairs])
    ends = table.positions("targets", [target for _, target in pairs])
    return np.sort(ends * len(table.regulators) + sources)


def _drawn_rows(units: Rows, rng: np.random.Generator) -> Rows:
    """Draw units with replacement and return their rows, the rows of a unit once for each time that it was drawn."""
    n_units = int(units.max()) + 1
    times = np.bincount(rng.integers(n_units, size=n_units), minlength=n_units)
    return np.repeat(np.arange(len(units)), times[units])


def _coefficients(table: RefitTable, rows: Rows, places: Floats, whole: bool) -> Arrays:
    """Return the coefficients at the places, and with ``whole`` the cells of the edges of all samples."""
    values, modulator = table.values[rows], table.modulator[rows]
    inside = np.flatnonzero(((places >= modulator.min(0)) & (places <= modulator.max(0))).all(1))
    fitted = np.zeros((len(places), len(table.targets)), dtype=np.bool_)
    # coefficients() solves at the places whatever the nodes; a bootstrap's samples need no networks of their own
    profiler = table.fit(values, modulator, **({} if whole or modulator.shape[1] > 1 else {"n_nodes": 2}))
    empty = np.empty(0, dtype=np.int64)
    arrays: Arrays = {"place": empty, "cell": empty, "coefficient": np.empty(0)}
    if len(inside):
        stack = profiler.coefficients(places[inside])
        known = np.ones((len(inside), len(stack.targets)), dtype=np.bool_) if stack.fitted is None else stack.fitted
        fitted[np.ix_(inside, table.positions("targets", stack.targets))] = known
        arrays["place"] = np.repeat(inside, np.diff(stack.starts))
        arrays["cell"] = table.edge_cells(stack)[stack.entry_edge]
        arrays["coefficient"] = stack.entry_value.astype(np.float64)
    arrays["edges"] = np.unique(table.edge_cells(table.networks_of(profiler))) if whole else empty
    return arrays | {"fitted": fitted}


class _Entries(NamedTuple):
    """Coefficients of several refits that belong to wanted edges, sorted by edge."""

    edge: Rows
    refit: Rows
    place: Rows
    coefficient: Floats

    @classmethod
    def of(cls, refits: Sequence[Arrays], cells: Cells) -> "_Entries":
        number = np.repeat(np.arange(len(refits)), [len(refit["cell"]) for refit in refits])
        cell, place, coefficient = (
            np.concatenate([refit[name] for refit in refits]) for name in ("cell", "place", "coefficient")
        )
        kept = np.flatnonzero(np.isin(cell, cells))
        edge = np.searchsorted(cells, cell[kept])
        order = np.argsort(edge, kind="stable")
        kept = kept[order]
        return cls(edge[order], number[kept], place[kept], coefficient[kept])

    def dense(self, first: int, last: int, n_refits: int, n_places: int) -> Floats:
        """Return edges ``first`` up to ``last``, shape ``(refit, edge, place)``."""
        part = slice(*np.searchsorted(self.edge, [first, last]))
        block = np.zeros((n_refits, last - first, n_places))
        block[self.refit[part], self.edge[part] - first, self.place[part]] = self.coefficient[part]
        return block


def _summarised(
    table: RefitTable,
    cells: Cells,
    places: Floats,
    refits: tuple[Arrays, Sequence[Arrays]],
    options: tuple[float, float],
) -> EdgeIntervals:
    whole, draws = refits
    level, least_fitted = options
    n_places, n_draws = len(places), len(draws)
    shape = (len(cells), n_places)
    estimates, drawn = _Entries.of([whole], cells), _Entries.of(draws, cells)
    ends = {name: np.full(shape, np.nan) for name in ("estimate", *_ENDS)}
    n_fitted, share_nonzero = np.zeros(shape, dtype=np.int64), np.full(len(cells), np.nan)
    targets, first_edges = np.unique(cells // len(table.regulators), return_index=True)
    for target, first, last in zip(targets, first_edges, np.append(first_edges, len(cells))[1:], strict=True):
        edges = slice(first, last)
        estimate = estimates.dense(first, last, 1, n_places)[0]
        known = np.array([draw["fitted"][:, target] for draw in draws])
        block = drawn.dense(first, last, n_draws, n_places)
        n_fitted[edges] = known.sum(0)
        if known.any():
            share_nonzero[edges] = (block[known.any(1)] != 0).any(2).mean(0)
        usable = whole["fitted"][:, target] & (known.sum(0) >= max(2, least_fitted * n_draws))
        ends["estimate"][edges] = np.where(whole["fitted"][:, target], estimate, np.nan)
        for place in np.flatnonzero(usable):
            low, high = np.quantile(block[known[:, place], :, place], [(1 - level) / 2, (1 + level) / 2], axis=0)
            ends["percentile_low"][edges, place], ends["percentile_high"][edges, place] = low, high
            ends["basic_low"][edges, place] = 2 * estimate[:, place] - high
            ends["basic_high"][edges, place] = 2 * estimate[:, place] - low
        reach = _band(estimate[:, usable], block[:, :, usable], known[:, usable], level)
        ends["band_low"][edges, usable], ends["band_high"][edges, usable] = (
            estimate[:, usable] - reach,
            estimate[:, usable] + reach,
        )
    regulator, end = table.names(cells)
    return EdgeIntervals(
        regulator=regulator,
        target=end,
        places=places,
        **ends,
        n_fitted=n_fitted,
        share_nonzero=share_nonzero,
        n_bootstraps=n_draws,
        level=level,
    )


def _band(estimate: Floats, block: Floats, known: npt.NDArray[np.bool_], level: float) -> Floats:
    """Return half the width of the simultaneous band, shape ``(edge, place)``.

    Bootstraps with a network at all usable places count. Where no bootstrap moves, the band has no width.
    """
    complete = block[known.all(1)]
    if len(complete) < 2 or not estimate.shape[1]:
        return np.full(estimate.shape, np.nan)
    deviation = complete.std(0, ddof=1)
    unit = np.where(deviation > 0, deviation, np.inf)
    largest = (np.abs(complete - estimate) / unit).max(2)
    reach: Floats = np.quantile(largest, level, axis=0, method="higher")[:, None] * deviation
    return reach
