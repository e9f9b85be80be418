"""What is asked of the brains: targets, in whom, with which covariates beside; refused at the door where impossible."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError
from kotowari.studies.brain.config import Config
from kotowari.studies.brain.model.regression_targets import Target
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.studies.brain.model.target_coding import TargetKind, TargetTransform
from kotowari.studies.brain.participants import Cohort

__all__ = ["LOG_SUFFIX", "Question", "covariates_of", "external_rows", "questions_of"]

BoolArray = npt.NDArray[np.bool_]

LOG_SUFFIX = " (log scale)"
_FEWEST = 10  # subjects in whom a target is asked


@dataclass(frozen=True, eq=False)
class Question:
    """One target, in whom it is asked, and what is known of all rows beside.

    Parameters
    ----------
    target
        Of the internal subjects that count.
    external
        The same of the sites kept aside; None where none of their subjects counts.
    subjects
        Of all rows; the covariates are those of the study without the target itself.
    in_patients
        Whether patients alone count.
    """

    target: Target
    external: Target | None
    subjects: Subjects
    in_patients: bool

    @property
    def name(self) -> str:
        """As in tables."""
        return self.target.name


def questions_of(config: Config, cohort: Cohort) -> list[Question]:
    """Return what is asked, in the order of the configuration.

    Raises
    ------
    InputError
        When a column is missing or holds something else than numbers, or a site to be kept aside is not there.
    DesignError
        When a target is constant, nobody or hardly anybody has it, or nobody is left inside.
    """
    return [_question(config, cohort, asked) for asked in _asked(config, cohort)]


@dataclass(frozen=True)
class _Asked:
    """A line of the configuration: name, columns, kind, scale, and whether of patients alone."""

    name: str
    columns: tuple[str, ...]
    kind: TargetKind
    in_patients: bool
    transform: TargetTransform = "none"


def _asked(config: Config, cohort: Cohort) -> Iterator[_Asked]:
    targets = config.targets
    for within, names in ((False, targets.everyone), (True, targets.patients)):
        for name in names:
            yield _Asked(name, (name,), "number", within)
            if name in targets.logarithm:
                _require_positive(cohort, name, _patients(config, cohort) if within else None)
                yield _Asked(f"{name}{LOG_SUFFIX}", (name,), "number", within, "log")
    for name in targets.classes:
        yield _Asked(name, (name,), "class", False)
    for pair in targets.survival:
        time, event = pair.split(":")
        yield _Asked(time, (time, event), "survival", True)
    if targets.together:
        yield _Asked(" and ".join(targets.together), targets.together, "several", True)


def _question(config: Config, cohort: Cohort, asked: _Asked) -> Question:
    outside, values = external_rows(config, cohort), _values(cohort, asked)
    counts = ~np.asarray(pd.isna(values)).reshape(len(values), -1).any(1)
    if asked.in_patients:
        counts &= _patients(config, cohort)
    inside, beyond = counts & ~outside, counts & outside
    if inside.sum() < _FEWEST:
        whom = "internal patients" if asked.in_patients else "internal subjects"
        raise DesignError(
            f"{cohort.where}: {asked.name} is known of {inside.sum()} {whom}, and {_FEWEST} are needed. Ask another "
            "target, or bring more subjects."
        )
    target = Target.of(asked.name, values, kind=asked.kind, within=inside, transform=asked.transform)
    external = _external_target(target, values, beyond) if beyond.sum() > 1 else None
    return Question(target, external, _subjects(config, cohort, asked.columns), asked.in_patients)


def _values(cohort: Cohort, asked: _Asked) -> Any:
    """Return the columns of a target, missing values among them: ``(subject,)``, or ``(subject, column)``."""
    if asked.kind == "class":
        return cohort.column(asked.columns[0]).to_numpy(dtype=object)
    values = np.column_stack([cohort.numbers(column) for column in asked.columns])
    return values[:, 0] if asked.kind == "number" else values


def _external_target(target: Target, values: Any, beyond: BoolArray) -> Target | None:
    """Return the target of the sites kept aside in the coding of the internal one; None where it does not vary."""
    own = values[beyond]
    if target.kind == "class" and not set(own.tolist()) <= set(target.classes):
        return None
    flat = own[:, 0] if target.kind in {"several", "survival"} else own
    if len(np.unique(flat.astype(str))) < 2:
        return None
    return Target.of(target.name, values, kind=target.kind, within=beyond, transform=target.transform)


def _subjects(config: Config, cohort: Cohort, targets: tuple[str, ...]) -> Subjects:
    names = tuple(name for name in config.cohort.covariates if name not in targets)
    site, group = config.cohort.site, config.cohort.group
    return Subjects.of(
        len(cohort.table),
        sites=None if site is None else cohort.labels(site),
        covariates=covariates_of(cohort, names),
        groups=None if group is None else cohort.labels(group),
    )


def covariates_of(cohort: Cohort, names: tuple[str, ...]) -> pd.DataFrame | None:
    """Return columns as numbers where they hold numbers, else as labels; None for no column.

    Raises
    ------
    InputError
        When a column or a value is missing.
    """
    if not names:
        return None
    # indexed by participant, so that a refusal can name one
    return pd.DataFrame({name: _covariate(cohort, name) for name in names}, index=list(cohort.subjects))


def _covariate(cohort: Cohort, name: str) -> npt.NDArray[Any]:
    """Return a covariate as numbers where it holds numbers, else as labels; a missing one is refused."""
    column = cohort.column(name)
    if column.isna().any():
        absent = [str(label) for label in cohort.table.index[column.isna()]]
        raise InputError(
            f"{cohort.where}: the covariate {name} is missing for {few(absent)}. Fill it in, leave these participants "
            "out, or take the column out of cohort.covariates."
        )
    return cohort.numbers(name) if pd.api.types.is_numeric_dtype(column) else cohort.labels(name)


def _patients(config: Config, cohort: Cohort) -> BoolArray:
    column = config.cohort.diagnosis
    if column is None:
        return np.zeros(len(cohort.table), dtype=bool)
    labels = cohort.labels(column)
    found = labels == config.cohort.patients
    if not found.any():
        raise InputError(
            f"{cohort.where}: no participant has {config.cohort.patients!r} in {column}; there are "
            f"{few(np.unique(labels))}. Set cohort.patients to what it says of patients."
        )
    return np.asarray(found)


def external_rows(config: Config, cohort: Cohort) -> BoolArray:
    """Mark the subjects of sites kept aside."""
    column = config.cohort.site
    if column is None or not config.cohort.external_sites:
        return np.zeros(len(cohort.table), dtype=bool)
    labels = cohort.labels(column)
    unknown = sorted(set(config.cohort.external_sites) - set(labels))
    if unknown:
        raise InputError(
            f"{cohort.where}: cohort.external_sites names {few(unknown)}, which {column} does not hold; there are "
            f"{few(np.unique(labels))}. Name some of these, or none by []."
        )
    found = np.isin(labels, config.cohort.external_sites)
    if found.all():
        raise DesignError(f"{cohort.where}: all sites are kept aside, so nobody is left to learn from. Name fewer.")
    return np.asarray(found)


def _require_positive(cohort: Cohort, name: str, within: BoolArray | None) -> None:
    values = cohort.numbers(name)
    wrong = (values <= 0) & (np.ones(len(values), bool) if within is None else within)
    if wrong.any():
        worst = [cohort.subjects[k] for k in np.flatnonzero(wrong)]
        raise InputError(
            f"{cohort.where}: {name} is 0 or below for {few(worst)}, which has no logarithm. Take it out of "
            "targets.logarithm, or mark these participants otherwise."
        )
