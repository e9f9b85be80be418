"""Folds that keep a person on one side: stratified by the target, grouped, equal for equal seeds."""

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.seeds import derive_seed

__all__ = ["Fold", "duplicated_rows", "grouped_folds", "hold_out", "splits_from_json", "splits_to_json"]

IndexArray = npt.NDArray[np.intp]
_QUANTILE_STRATA = 5


@dataclass(frozen=True)
class Fold:
    """Which rows are learned from and which are kept aside.

    Parameters
    ----------
    train, test
        Row numbers from 0, rising; no row and no group stands in both.
    """

    train: IndexArray
    test: IndexArray


def grouped_folds(
    y: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    n_splits: int = 5,
    n_repeats: int = 1,
    continuous: bool | None = None,
    random_state: int,
) -> list[Fold]:
    """Split rows into folds; every class stands in every test part, and no group is torn apart.

    Groups go to the fold that has the fewest samples of their rarest class, largest groups first, so the counts of a
    class differ by at most one between folds where every sample is its own group. A continuous target is cut into up to
    five strata by the group means. The assignment is our own; it does not search for the best balance of mixed groups.

    Parameters
    ----------
    y
        Shape ``(sample,)``: classes of any kind, or a continuous target.
    groups
        Shape ``(sample,)``, such as patients; None makes every sample its own group.
    n_splits
        Folds a repeat, 2 or more.
    n_repeats
        How often all samples are split anew, 1 or more.
    continuous
        True cuts ``y`` into quantiles, False takes its values as classes, None decides: floats with a fraction are
        continuous.
    random_state
        Seed; equal seeds give equal folds.

    Returns
    -------
    list of Fold
        ``n_repeats * n_splits`` folds, one repeat after the other.

    Raises
    ------
    DesignError
        When there are fewer groups than folds, one class only, or a class with too few groups for its place in every
        fold.

    Examples
    --------
    >>> folds = grouped_folds(["a", "b"] * 6, n_splits=3, random_state=0)
    >>> [fold.test.size for fold in folds]
    [4, 4, 4]
    """
    if n_splits < 2 or n_repeats < 1:
        raise InputError(
            f"grouped_folds: n_splits must be 2 or more and n_repeats 1 or more, got {n_splits} and {n_repeats}."
        )
    table = _GroupTable.of(y, groups, continuous=continuous, n_parts=n_splits)
    table.require_parts(n_splits)
    folds: list[Fold] = []
    for repeat in range(n_repeats):
        rng = np.random.default_rng(derive_seed(random_state, "folds", repeat))
        part_of_group = _assign(table.counts, n_splits, rng)
        part = part_of_group[table.group_of_row]
        folds += [Fold(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(n_splits)]
    for number, fold in enumerate(folds):
        table.require_classes(fold, f"fold {number % n_splits} of {n_splits}", "Use fewer folds")
    return folds


def hold_out(
    y: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    fraction: float = 0.2,
    continuous: bool | None = None,
    random_state: int,
) -> Fold:
    """Keep about ``fraction`` of every class aside; no group is torn apart.

    Parameters
    ----------
    y, groups, continuous, random_state
        As in :func:`grouped_folds`.
    fraction
        Above 0 and below 1. Every class gives at least one group to either side.

    Raises
    ------
    DesignError
        When a class has fewer than two groups, or no split leaves every class on both sides.
    """
    if not 0 < fraction < 1:
        raise InputError(f"hold_out: fraction must lie between 0 and 1, got {fraction}.")
    table = _GroupTable.of(y, groups, continuous=continuous, n_parts=2)
    table.require_parts(2)
    rng = np.random.default_rng(derive_seed(random_state, "hold-out"))
    held = _held_groups(table.counts, fraction, rng)[table.group_of_row]
    fold = Fold(np.flatnonzero(~held), np.flatnonzero(held))
    table.require_classes(fold, "the hold-out", "Choose a fraction nearer to one half")
    return fold


def duplicated_rows(X: Any, groups: npt.ArrayLike | None = None) -> list[tuple[int, ...]]:
    """Find rows that are equal, value by value, although their groups differ.

    Equal rows of one group never meet across a fold and are not reported. Nearly equal rows are not found.

    Parameters
    ----------
    X
        Shape ``(sample, ...)``, numbers.
    groups
        Shape ``(sample,)``; None makes every row its own group.

    Returns
    -------
    list of tuple of int
        Row numbers of each set of equal rows, rising.
    """
    rows = np.asarray(X)
    owners = _row_groups(groups, len(rows))
    homes: dict[bytes, list[int]] = {}
    for number, row in enumerate(rows):
        values = np.ascontiguousarray(row, dtype=np.float64) + 0.0  # +0.0 makes -0.0 equal to 0.0
        homes.setdefault(hashlib.blake2b(values.tobytes(), digest_size=16).digest(), []).append(number)
    return [tuple(same) for same in homes.values() if len({owners[row] for row in same}) > 1]


def splits_to_json(folds: Sequence[Fold]) -> dict[str, Any]:
    """Return the folds as plain numbers with a hash, ready for ``splits.json``."""
    rows = [{"train": fold.train.tolist(), "test": fold.test.tolist()} for fold in folds]
    return {"schema": 1, "folds": rows, "sha256": _hash(rows)}


def splits_from_json(record: Mapping[str, Any]) -> list[Fold]:
    """Read back what :func:`splits_to_json` gave.

    Raises
    ------
    InputError
        When the folds do not fit their hash, so that no run goes on with folds that someone has edited.
    """
    rows = record["folds"]
    if record["sha256"] != _hash(rows):
        raise InputError("splits.json: the folds do not fit their sha256. Put the old file back, or start a new run.")
    return [Fold(np.array(row["train"], dtype=np.intp), np.array(row["test"], dtype=np.intp)) for row in rows]


@dataclass(frozen=True)
class _GroupTable:
    """How many samples of each class a group holds."""

    classes: list[str]
    class_of_row: IndexArray
    group_of_row: IndexArray
    counts: npt.NDArray[np.int64]  # (group, class)
    continuous: bool

    @classmethod
    def of(
        cls, y: npt.ArrayLike, groups: npt.ArrayLike | None, *, continuous: bool | None, n_parts: int
    ) -> "_GroupTable":
        target = np.asarray(y)
        if target.ndim != 1:
            raise ShapeError.mismatch("folds", "y", ("sample",), target.shape)
        if pd.isna(target).any():
            row = int(np.flatnonzero(pd.isna(target))[0])
            raise InputError(f"folds: the target of row {row} is missing. Drop the rows without a target first.")
        owners = _row_groups(groups, len(target))
        group_of_row, names = pd.factorize(np.array(owners, dtype=object))
        is_float = bool(np.issubdtype(target.dtype, np.floating))
        if continuous is None:
            continuous = is_float and bool((target != np.round(target)).any())
        if continuous:
            strata = _quantile_strata(target.astype(np.float64), group_of_row, len(names), n_parts)
            labels = [f"quantile {stratum}" for stratum in range(int(strata.max()) + 1)]
            class_of_row = strata[group_of_row]
        else:
            class_of_row, values = pd.factorize(target, sort=True)
            labels = [str(value) for value in values]
        counts = np.zeros((len(names), len(labels)), dtype=np.int64)
        np.add.at(counts, (group_of_row, class_of_row), 1)
        return cls(labels, class_of_row, group_of_row, counts, continuous)

    def require_parts(self, n_parts: int) -> None:
        n_groups = len(self.counts)
        if n_groups < n_parts:
            noun = "samples" if n_groups == self.counts.sum() else "groups"
            raise DesignError(f"{n_groups} {noun} cannot fill {n_parts} folds. Lower the folds to {n_groups} or fewer.")
        if self.continuous:
            return
        if len(self.classes) < 2:
            raise DesignError(f"All samples belong to the class {few(self.classes)}: there is nothing to tell apart.")
        for name, samples, n in zip(self.classes, self.counts.sum(0), (self.counts > 0).sum(0), strict=True):
            if samples == 1:
                raise DesignError(
                    f"The class {name!r} has one sample, which cannot be both learned and tested. "
                    "Leave the class out, join it with another, or bring more samples of it."
                )
            if n == 1:
                raise DesignError(
                    f"The class {name!r} comes from one group only, which cannot be both learned and tested. "
                    "Leave the class out, or bring more groups of it."
                )
            if n < n_parts:
                raise DesignError(
                    f"The class {name!r} has {n} groups, fewer than the {n_parts} folds. Lower the folds to {n}."
                )

    def require_classes(self, fold: Fold, where: str, advice: str) -> None:
        if self.continuous:
            return
        for side, rows in (("training", fold.train), ("test", fold.test)):
            missing = sorted(set(range(len(self.classes))) - set(self.class_of_row[rows].tolist()))
            if missing:
                raise DesignError(
                    f"The groups hold several classes each, and the {side} part of {where} would lack "
                    f"{few(self.classes[k] for k in missing)}. {advice}, or another seed."
                )


def _row_groups(groups: npt.ArrayLike | None, n_rows: int) -> list[Hashable]:
    if groups is None:
        return list(range(n_rows))
    owners = np.asarray(groups)
    if owners.shape != (n_rows,):
        raise ShapeError.mismatch("folds", "groups", (n_rows,), owners.shape)
    if pd.isna(owners).any():
        row = int(np.flatnonzero(pd.isna(owners))[0])
        raise InputError(f"folds: the group of row {row} is missing. Give every row its group, or no groups at all.")
    return list(owners.tolist())


def _quantile_strata(
    target: npt.NDArray[np.float64], group_of_row: IndexArray, n_groups: int, n_parts: int
) -> IndexArray:
    means = np.bincount(group_of_row, weights=target, minlength=n_groups) / np.bincount(
        group_of_row, minlength=n_groups
    )
    n_strata = max(1, min(_QUANTILE_STRATA, n_groups // n_parts))
    rank = np.empty(n_groups, dtype=np.intp)
    rank[np.argsort(means, kind="stable")] = np.arange(n_groups)
    return rank * n_strata // n_groups


def _placing_order(counts: npt.NDArray[np.int64], rng: np.random.Generator) -> tuple[IndexArray, IndexArray]:
    """Return the groups, those of the rarest class first, and the rarest class of each."""
    rarity = np.argsort(np.argsort((counts > 0).sum(0), kind="stable"), kind="stable")
    rarest = np.where(counts > 0, rarity, counts.shape[1]).argmin(1)
    shuffled = rng.permutation(len(counts))
    size, n_classes = counts.sum(1), (counts > 0).sum(1)
    # groups of many classes and large groups come first: they are the hardest to place evenly
    keys = (-size[shuffled], -n_classes[shuffled], rarity[rarest[shuffled]])
    return shuffled[np.lexsort(keys)], rarest


def _assign(counts: npt.NDArray[np.int64], n_parts: int, rng: np.random.Generator) -> IndexArray:
    order, rarest = _placing_order(counts, rng)
    filled = np.zeros((n_parts, counts.shape[1]), dtype=np.int64)
    part = np.empty(len(counts), dtype=np.intp)
    for group in order:
        others = filled[:, counts[group] > 0].sum(1)
        part[group] = np.lexsort((filled.sum(1), others, filled[:, rarest[group]]))[0]
        filled[part[group]] += counts[group]
    return part


def _held_groups(counts: npt.NDArray[np.int64], fraction: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    order, rarest = _placing_order(counts, rng)
    held = np.zeros(len(counts), dtype=np.bool_)
    for klass in np.argsort((counts > 0).sum(0), kind="stable"):
        wanted = max(1.0, fraction * counts[:, klass].sum())
        free = [group for group in order if rarest[group] == klass]
        has = np.flatnonzero(counts[:, klass])
        for group in free:
            now, more = counts[held, klass].sum(), counts[group, klass]
            leaves_one = held[has].sum() < len(has) - 1
            if leaves_one and abs(now + more - wanted) < abs(now - wanted):
                held[group] = True
        if free and not held[has].any() and len(has) > 1:
            held[min(free, key=lambda group: int(counts[group].sum()))] = True
    return held


def _hash(rows: list[dict[str, list[int]]]) -> str:
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()
