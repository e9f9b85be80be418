"""Columns of the annotations that the genenet study reads: modulators, response, covariates."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError
from kotowari.formats.labelled import class_labels, numbers_of, require_column, task_of
from kotowari.studies.genenet.config import Config, ResponseKind
from kotowari.studies.genenet.survival_columns import survival_of

__all__ = ["asked_columns", "circularity", "covariates_of", "modulators_of", "response_of"]

FloatArray = npt.NDArray[np.float64]
Columns = Mapping[str, pd.Series]

_FEW_NUMBERS = 10


def asked_columns(
    annotations: pd.DataFrame, config: Config, *, where: str, response: bool = True
) -> dict[str, pd.Series]:
    """Return the columns that are named, by role: ``modulator``, ``second``, ``response``, ``time``, ``event``."""
    named = config.prediction.response if response and config.prediction.response != "modulator" else None
    time, event = config.prediction.survival_columns or (None, None) if response else (None, None)
    asked = {
        "modulator": (config.modulator.column, "modulator.column"),
        "second": (config.modulator.second, "modulator.second"),
        "response": (named, "prediction.response"),
        "time": (time, "prediction.survival"),
        "event": (event, "prediction.survival"),
    }
    return {
        role: require_column(annotations, name, key=key, where=where)
        for role, (name, key) in asked.items()
        if name is not None
    }


def modulators_of(
    columns: Columns, *, where: str, may_be_constant: bool = False
) -> tuple[dict[str, FloatArray], list[str]]:
    """Return the modulators that are columns, by role, and what there is to say of ties.

    Raises
    ------
    InputError
        When a value is not a number.
    DesignError
        When a modulator has one value, unless it may.
    """
    axes = {
        role: numbers_of(
            columns[role],
            where=where,
            word="modulator",
            remedy="Mend it, or leave it empty, which leaves the sample out.",
            useless=None if may_be_constant else "networks have nothing to vary along",
        )
        for role in ("modulator", "second")
        if role in columns
    }
    notes = []
    for role, values in axes.items():
        counts = np.unique(values, return_counts=True)[1]
        if tied := int(counts[counts > 1].sum()):
            notes.append(
                f"{tied} of {len(values)} samples share their {columns[role].name} with another; samples whose "
                "modulators are equal have the same network."
            )
    return axes, notes


def response_of(
    columns: Columns, modulator: FloatArray | None, config: Config, *, where: str
) -> tuple[npt.NDArray[Any] | None, ResponseKind | None, str | None]:
    """Return what is to be predicted, the task, and its name; ``modulator`` is returned where it is the response."""
    if config.prediction.response == "modulator":
        return modulator, "regression", "modulator"
    if "time" in columns:
        return survival_of(columns["time"], columns["event"], where=where), "survival", config.prediction.outcome
    if "response" not in columns:
        return None, None, None
    labels = columns["response"]
    task = task_of(labels, config.prediction.task)
    if task == "classification":
        return class_labels(labels), task, str(labels.name)
    values = numbers_of(
        labels,
        where=where,
        word="response",
        remedy="Mend it, or set prediction.task to classification.",
        useless="there is nothing to predict",
    )
    return values, task, str(labels.name)


def covariates_of(
    annotations: pd.DataFrame, groups: npt.NDArray[Any] | None, config: Config, *, where: str
) -> tuple[pd.DataFrame | None, list[str]]:
    """Return what is to be regressed out of the genes, and which column of few whole numbers is taken as a number.

    Parameters
    ----------
    annotations
        One row a sample.
    groups
        Owner of each sample; None skips the test that a category has two.
    config
        ``data.adjust`` names the columns.
    where
        Name of the annotations, for the sentences.

    Raises
    ------
    InputError
        When a column is not there, is part of the response, or lacks a value; names the sample.
    DesignError
        When all samples of a category have one owner, so that a fold that keeps it aside has never seen it.
    """
    if not config.data.adjust:
        return None, []
    told = {config.prediction.response, *(config.prediction.survival_columns or ())}.intersection(config.data.adjust)
    if told:
        raise InputError(
            f"data.adjust: {min(map(str, told))} is the response. It is not known of new samples, so it may not be "
            "regressed out of the genes."
        )
    names = list(dict.fromkeys(config.data.adjust))
    frame = pd.DataFrame(
        {name: require_column(annotations, name, key="data.adjust", where=where) for name in names},
        index=annotations.index,
    )
    notes = []
    for name, column in frame.items():
        if column.isna().any():
            raise InputError(
                f"{where}: {name} is empty for {few(column.index[column.isna()])}. What is regressed out must be known "
                "of every sample."
            )
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            if column.nunique() <= _FEW_NUMBERS and bool((column == column.round()).all()):
                notes.append(
                    f"{name} has {column.nunique()} whole numbers and is regressed out as a number. Write words in "
                    "place of numbers where they are categories."
                )
        elif groups is not None:
            owners = pd.Series(groups, index=column.index).groupby(class_labels(column)).nunique()
            if (owners < 2).any():
                raise DesignError(
                    f"{where}: {name} has categories of one owner ({few(owners.index[owners < 2])}), which no training "
                    "sample has while that owner is kept aside. Join them with others, or leave them out."
                )
    return frame, notes


def circularity(
    columns: Columns, axes: Mapping[str, FloatArray], y: npt.NDArray[Any] | None, config: Config
) -> tuple[bool, list[str]]:
    """Return whether the response is a modulator, as asked for or in another form, and the sentence on the latter."""
    if config.prediction.response == "modulator":
        return True, []
    notes = [
        f"The response {config.prediction.outcome} is the modulator {columns[role].name} in another form: it "
        "follows from its order alone, and networks along that modulator hand the answer over."
        for role, values in axes.items()
        if y is not None and any(_follows(part, values) for part in _parts_of(y))
    ]
    return bool(notes), notes


def _parts_of(y: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return what a modulator may be another form of: classes, values, or time and event of survival."""
    return [y] if y.ndim == 1 else [y[:, 0], y[:, 1].astype(np.intp)]


def _follows(y: npt.NDArray[Any], modulator: FloatArray) -> bool:
    """Return whether values rise or fall with the modulator throughout, or classes are cut out of it."""
    if y.dtype.kind == "f":
        ranks, own = (pd.Series(values).rank().to_numpy() for values in (y, modulator))
        return bool(np.array_equal(ranks, own) or np.array_equal(ranks, len(y) + 1 - own))
    table = pd.DataFrame({"y": y, "m": modulator})
    ends = table.groupby("y")["m"].agg(["min", "max"]).sort_values("min")
    return len(ends) > 1 and bool((ends["max"].to_numpy()[:-1] < ends["min"].to_numpy()[1:]).all())
