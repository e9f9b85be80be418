"""Rows of ``metrics.json`` as groups to be read side by side: ours, comparators, nulls, chance."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from kotowari.core.runfolder import Metric
from kotowari.report.intervals_svg import Axis, draw_axis, draw_interval, draw_marker
from kotowari.report.numerals import count, decimals_for, fixed, p_value

__all__ = ["ROLES", "FoldRow", "ScoreGroup", "ScoreRow", "score_groups"]

ROLES = ("ours", "comparator", "trivial null", "untrained", "chance")
_SMALLER_IS_BETTER = {"loss", "error", "brier", "mse", "rmse", "mae", "deviance", "perplexity"}
_ACRONYMS = {"auc", "auroc", "roc", "pr", "ap", "f1", "r2", "mse", "rmse", "mae", "mcc", "psnr", "ssim"}


@dataclass(frozen=True)
class ScoreRow:
    """One model in a group; everything but ``plot`` and ``marker`` is plain text."""

    model: str
    role: str
    value: str
    interval: str
    p: str
    n: str
    is_best_comparator: bool
    is_fold_mean: bool
    plot: Markup
    marker: Markup


@dataclass(frozen=True)
class FoldRow:
    """What one model reached in each outer fold."""

    model: str
    role: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class ScoreGroup:
    """All models on one target under one metric.

    Parameters
    ----------
    target, metric
        What was predicted, and how it was scored, in words.
    larger_is_better
        Which way is up.
    rows
        In the order of :data:`ROLES`; comparators best first.
    axis
        The numbers below the intervals.
    folds, fold_rows
        Numbers of the outer folds, and the values in them; empty where no row names a fold.
    refits
        How many refits stand behind the p values; empty where none does.
    """

    target: str
    metric: str
    larger_is_better: bool
    rows: tuple[ScoreRow, ...]
    axis: Markup
    folds: tuple[int, ...]
    fold_rows: tuple[FoldRow, ...]
    refits: tuple[int, ...]

    @property
    def floors(self) -> tuple[str, ...]:
        """Sentences on the smallest p that so many refits allow."""
        return tuple(f"With {count(n)} refits p cannot fall below {p_value(1 / (n + 1))}." for n in self.refits)

    def first(self, role: str) -> ScoreRow | None:
        """Return the first row of a role that has one."""
        return next((row for row in self.rows if row.role == role), None)


@dataclass(frozen=True)
class _Entry:
    """One model with its figure over all folds and its figure in each."""

    model: str
    role: str
    whole: Metric | None
    folds: dict[int, float | None]

    @property
    def known(self) -> list[float]:
        """Values of the folds that have one."""
        return [value for value in self.folds.values() if value is not None]

    @property
    def value(self) -> float | None:
        """The figure over all folds, or the mean of the folds where the study gave none."""
        if self.whole is not None:
            return self.whole.value
        return fmean(self.known) if self.known else None

    @property
    def ends(self) -> tuple[float, ...]:
        """Ends of the 95 % interval; empty unless both are known."""
        if self.whole is None or self.whole.low is None or self.whole.high is None:
            return ()
        return (self.whole.low, self.whole.high)


def score_groups(metrics: Sequence[Metric]) -> tuple[ScoreGroup, ...]:
    """Group rows by target, then metric, each in the order of first appearance."""
    targets = dict.fromkeys(row.target for row in metrics)
    pairs = dict.fromkeys((row.target, row.metric) for row in metrics)
    ordered = [pair for target in targets for pair in pairs if pair[0] == target]
    return tuple(_group([row for row in metrics if (row.target, row.metric) == pair]) for pair in ordered)


def _group(metrics: Sequence[Metric]) -> ScoreGroup:
    words = metrics[0].metric.replace("_", " ").replace("-", " ").split()
    larger_is_better = not _SMALLER_IS_BETTER & set(re.findall(r"[a-z]+", metrics[0].metric.lower()))
    entries = _ordered(_entries(metrics), larger_is_better)
    axis = _axis(entries)
    decimals = decimals_for(
        [entry.ends[1] - entry.ends[0] for entry in entries if entry.ends],
        [entry.value for entry in entries if entry.value is not None],
    )
    best = next((entry for entry in entries if entry.role == "comparator" and entry.value is not None), None)
    rows = [_row(entry, axis, decimals, best=best) for entry in entries]
    folds = sorted({fold for entry in entries for fold in entry.folds})
    refits = {entry.whole.n_null for entry in entries if entry.whole is not None and entry.whole.p is not None}
    return ScoreGroup(
        target=metrics[0].target,
        metric=" ".join(word.upper() if word.lower() in _ACRONYMS else word for word in words),
        larger_is_better=larger_is_better,
        rows=tuple(rows),
        axis=draw_axis(axis),
        folds=tuple(folds),
        fold_rows=tuple(
            FoldRow(entry.model, entry.role, tuple(fixed(entry.folds.get(fold), decimals) for fold in folds))
            for entry in entries
            if entry.folds
        ),
        refits=tuple(sorted(n for n in refits if n is not None)),
    )


def _entries(metrics: Iterable[Metric]) -> list[_Entry]:
    entries: dict[tuple[str, str], _Entry] = {}
    for row in metrics:
        key = (row.role, row.model)
        entry = entries.get(key) or _Entry(row.model, row.role, None, {})
        if row.fold is None:
            entry = _Entry(row.model, row.role, row, entry.folds)
        else:
            entry.folds[row.fold] = row.value
        entries[key] = entry
    return list(entries.values())


def _ordered(entries: Iterable[_Entry], larger_is_better: bool) -> list[_Entry]:
    def place(entry: _Entry) -> tuple[int, float]:
        # Only comparators are sorted by score: to sort our own would be to choose after looking.
        if entry.role != "comparator":
            return ROLES.index(entry.role), 0.0
        if entry.value is None:
            return ROLES.index(entry.role), float("inf")
        return ROLES.index(entry.role), -entry.value if larger_is_better else entry.value

    return sorted(entries, key=place)


def _axis(entries: Iterable[_Entry]) -> Axis:
    values: list[float] = []
    chance: float | None = None
    for entry in entries:
        values += [*entry.ends, *entry.known, *([] if entry.value is None else [entry.value])]
        if entry.role == "chance" and chance is None:
            chance = entry.value
    return Axis.around(values, chance)


def _row(entry: _Entry, axis: Axis, decimals: int, *, best: _Entry | None) -> ScoreRow:
    p = entry.whole.p if entry.whole else None
    n = entry.whole.n if entry.whole else None
    ends = [fixed(end, decimals) for end in entry.ends]
    return ScoreRow(
        model=entry.model,
        role=entry.role,
        value=fixed(entry.value, decimals),
        interval=f"[{', '.join(ends)}]" if ends else "",
        p=p_value(p, entry.whole.n_null if entry.whole else None),
        n=fixed(n, 0) if n is None else count(n),
        is_best_comparator=entry is best,
        is_fold_mean=entry.whole is None and entry.value is not None,
        plot=draw_interval(axis, entry.role, entry.value, ends=entry.ends, folds=entry.known),
        marker=draw_marker(entry.role),
    )
