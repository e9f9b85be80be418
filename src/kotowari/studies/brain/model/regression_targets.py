"""What is to be predicted, in whom, and how these subjects are split."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.brain.model.target_coding import TargetKind, TargetTransform, checked_target
from kotowari.trust.folds import Fold, grouped_folds

__all__ = ["Target", "leave_site_out", "target_folds"]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Target:
    """A target and the subjects in whom it is predicted; made by :meth:`of`.

    Parameters
    ----------
    name
        As in tables.
    kind
        ``"number"``, ``"class"``, ``"survival"`` or ``"several"``.
    values
        Of all rows of the table, as from :func:`checked_target`; NaN in rows that do not count.
    rows
        Row numbers that count, rising.
    transform
        Scale on which numbers are learned.
    classes
        The two classes; empty for other kinds.
    """

    name: str
    kind: TargetKind
    values: FloatArray
    rows: IndexArray
    transform: TargetTransform = "none"
    classes: tuple[Any, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        values: Any,
        *,
        kind: TargetKind = "number",
        within: npt.ArrayLike | None = None,
        transform: TargetTransform = "none",
    ) -> Self:
        """Check a target.

        Parameters
        ----------
        name
            As in tables.
        values
            One row a subject of the whole table.
        kind, transform
            As in :class:`LatentRegression`.
        within
            True for the subjects that count, shape ``(subject,)``. A dose is regressed in patients only: controls at
            dose 0 would turn the question into one of diagnosis. None takes all.

        Raises
        ------
        InputError
            When a subject that counts has no value, or nobody counts.
        DesignError
            When the target is constant among them.
        """
        given = np.asarray(values)
        chosen = np.ones(len(given), bool) if within is None else np.asarray(within, dtype=bool)
        if chosen.shape != given.shape[:1]:
            raise ShapeError.mismatch(name, "within", given.shape[:1], chosen.shape)
        rows = np.flatnonzero(chosen)
        if not len(rows):
            raise InputError(f"{name}: nobody is among the subjects that count. Mark some.")
        known, classes = checked_target(given[rows], kind, name=name)
        full = np.full((len(given), *known.shape[1:]), np.nan)
        full[rows] = known
        return cls(name, kind, full, rows, transform, classes)

    @property
    def strata(self) -> npt.NDArray[Any]:
        """What folds are stratified by, one entry a row that counts: number, class, or whether the event came."""
        values = self.values[self.rows]
        return {"survival": lambda: values[:, 1], "several": lambda: values[:, 0]}.get(self.kind, lambda: values)()


def target_folds(
    target: Target,
    *,
    groups: npt.ArrayLike | None = None,
    sites: npt.ArrayLike | None = None,
    n_splits: int = 5,
    n_repeats: int = 1,
    random_state: int,
) -> list[Fold]:
    """Split the subjects that count, stratified by target; row numbers are those of the whole table.

    Parameters
    ----------
    target
        What is predicted.
    groups
        Owner of every row of the table.
    sites
        Site of every row. Given, each fold has its share of every site and, within, of the classes or of the upper and
        lower half of the numbers, so that harmonising finds every site among the training rows.
    n_splits, n_repeats, random_state
        As in :func:`kotowari.trust.folds.grouped_folds`.

    Raises
    ------
    DesignError
        When a class, or a half of a site, has fewer groups than there are folds.
    """
    owners = None if groups is None else np.asarray(groups)[target.rows]
    strata, continuous = target.strata, target.kind in {"number", "several"}
    if sites is not None:
        halves = strata > np.median(strata) if continuous else strata
        places = np.asarray(sites).astype(np.str_)[target.rows]
        strata = np.array([f"{place}, {float(half):g}" for place, half in zip(places, halves, strict=True)])
        continuous = False
    elif not continuous:
        strata = strata.astype(np.intp)
    folds = grouped_folds(
        strata,
        groups=owners,
        n_splits=n_splits,
        n_repeats=n_repeats,
        continuous=continuous,
        random_state=random_state,
    )
    return [Fold(target.rows[fold.train], target.rows[fold.test]) for fold in folds]


def leave_site_out(target: Target, sites: npt.ArrayLike, *, groups: npt.ArrayLike | None = None) -> list[Fold]:
    """Keep each site aside once, in the order of their labels.

    Raises
    ------
    DesignError
        When there is one site, or an owner has rows at two sites.
    """
    places = np.asarray(sites).astype(np.str_)[target.rows]
    names = np.unique(places)
    if len(names) < 2:
        raise DesignError(f"{target.name}: all subjects come from site {names[0]}; there is none to leave out.")
    if groups is not None:
        owners = np.asarray(groups)[target.rows]
        pairs = {(str(owner), str(place)) for owner, place in zip(owners, places, strict=True)}
        if len(pairs) > len(np.unique(owners)):
            raise DesignError(f"{target.name}: an owner of rows was seen at two sites, which cannot be kept apart.")
    return [Fold(target.rows[places != name], target.rows[places == name]) for name in names]
