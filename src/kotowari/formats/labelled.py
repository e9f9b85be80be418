"""A table of values beside the annotations of its samples: aligned by name, their columns made fit for use."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError
from kotowari.formats.h5ad import read_h5ad
from kotowari.formats.tables import Orientation, read_annotations, read_table

__all__ = [
    "LabelledSamples",
    "Task",
    "class_labels",
    "constant_features",
    "left_out",
    "numbers_of",
    "owners_of",
    "read_labelled",
    "read_values",
    "require_column",
    "require_rows_for",
    "task_of",
]

Task = Literal["classification", "regression"]

_MOST_CLASSES = 20


class LabelledSamples:
    """What checked tables with something to predict share; the studies add their own fields.

    Attributes
    ----------
    X
        Shape ``(sample, feature)``.
    y
        Class labels as text, or values, shape ``(sample,)``; None where nothing is to be predicted.
    task
        What ``y`` is for.
    """

    X: pd.DataFrame
    y: Any
    task: Any

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class labels in the order of the scores; empty without classes."""
        return tuple(np.unique(self.y).tolist()) if self.task == "classification" else ()

    @cached_property
    def codes(self) -> npt.NDArray[np.int64]:
        """Number of each sample's class, shape ``(sample,)``; zeros without classes, where a score has the number 0."""
        if not self.classes:
            return np.zeros(len(self.X), np.int64)
        return np.asarray(np.searchsorted(np.array(self.classes), self.y), dtype=np.int64)

    @property
    def genes(self) -> list[str]:
        """Names of the genes in the order of the table."""
        return [str(gene) for gene in self.X.columns]


def read_values(path: Path, *, orientation: Orientation = "samples") -> pd.DataFrame:
    """Return the values of a table in any format, shape ``(sample, feature)``; an h5ad file has samples in rows."""
    return read_h5ad(path)[0] if path.suffix == ".h5ad" else read_table(path, orientation=orientation)


def read_labelled(
    path: Path,
    annotations: Path | None,
    *,
    orientation: Orientation = "samples",
    key: str,
    label: str | None = None,
    groups: str | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the values of a table and its annotations, whose rows are not yet aligned.

    Parameters
    ----------
    path
        A csv, tsv, txt, parquet or h5ad file.
    annotations
        Table of annotations; None takes those that an h5ad file holds.
    orientation
        What the rows of the table are.
    key
        Name of the option that names the annotations, for the sentence.
    label, groups
        Columns of an h5ad file that the caller needs; checked before any value is read.

    Raises
    ------
    InputError
        When a file cannot be read, or neither ``annotations`` nor the table itself holds annotations.
    """
    if annotations is not None:
        return read_values(path, orientation=orientation), read_annotations(annotations)
    if path.suffix != ".h5ad":
        raise InputError(f"{path.name}: {key} names no table of annotations. Add it to the configuration.")
    return read_h5ad(path, label=label, groups=groups)


def require_rows_for(annotations: pd.DataFrame, X: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Return the annotations in the order of the table's rows, or refuse when a sample has none."""
    absent = X.index.difference(annotations.index)
    if len(absent) == len(X) and X.columns.isin(annotations.index).any():
        raise InputError(
            f"{where}: its samples ({few(annotations.index)}) are the columns of the table, whose rows are "
            f"{few(X.index)}. Set data.orientation to genes."
        )
    if len(absent):
        raise InputError(
            f"{where}: has no row for {len(absent)} of {len(X)} samples of the table ({few(absent)}). "
            "Add the rows, or take the samples out of the table; an empty label leaves a sample out."
        )
    return annotations.loc[X.index]


def require_column(annotations: pd.DataFrame, name: str, *, key: str, where: str, advice: str = "") -> pd.Series:
    """Return a column by the name that the option ``key`` gives, or say which there are."""
    if name not in annotations.columns:
        told = f" {advice}" if advice else ""
        raise InputError(f"{key}: {where} has no column {name!r}. There are: {few(annotations.columns, 12)}.{told}")
    return annotations[name]


def owners_of(annotations: pd.DataFrame, name: str, *, where: str) -> npt.NDArray[Any]:
    """Return who owns each sample, as text; every sample needs an owner. The option is ``data.group``."""
    advice = "Set data.group to null where every sample is its own."
    owners = require_column(annotations, name, key="data.group", where=where, advice=advice)
    if owners.isna().any():
        raise InputError(
            f"{where}: {name} is empty for {few(owners.index[owners.isna()])}. Every sample needs an owner."
        )
    return owners.astype(str).to_numpy()


def left_out(known: npt.NDArray[np.bool_], name: str) -> tuple[str, ...]:
    """Return the sentence on samples that have no value of a column, or nothing where all have one."""
    if known.all():
        return ()
    return (f"{int((~known).sum())} of {len(known)} samples have no {name} and were left out.",)


def constant_features(X: pd.DataFrame) -> list[str]:
    """Return the features that have one value in all samples where they are known, or none at all."""
    lowest, highest = X.min(), X.max()
    return [str(name) for name in X.columns[((lowest == highest) | lowest.isna()).to_numpy()]]


def task_of(labels: pd.Series, asked: str = "auto") -> Task:
    """Return the task that labels stand for: text, or up to 20 whole numbers, are classes, unless one was asked for.

    Examples
    --------
    >>> task_of(pd.Series([0.5, 1.5])), task_of(pd.Series([0, 1]))
    ('regression', 'classification')
    """
    if asked in ("classification", "regression"):
        return "classification" if asked == "classification" else "regression"
    numbers = pd.to_numeric(labels, errors="coerce")
    few_whole_numbers = bool((numbers == numbers.round()).all()) and labels.nunique() <= _MOST_CLASSES
    return "classification" if numbers.isna().any() or few_whole_numbers else "regression"


def class_labels(labels: pd.Series) -> npt.NDArray[Any]:
    """Return labels as text; whole numbers that a missing label made floats are whole again."""
    if pd.api.types.is_float_dtype(labels) and (labels == labels.round()).all():
        labels = labels.astype(np.int64)
    return labels.astype(str).to_numpy()


def numbers_of(
    column: pd.Series, *, where: str, word: str, remedy: str, useless: str | None = None
) -> npt.NDArray[np.float64]:
    """Return a column as numbers.

    Parameters
    ----------
    column
        Values of any kind, none missing; named.
    where
        The table's name, first word of the sentence.
    word
        What the column is: ``"target"``.
    remedy
        What to do about a value that is no number.
    useless
        What a column with one value cannot serve for; None lets it pass.

    Raises
    ------
    InputError
        When a value is not a finite number; names the first sample.
    DesignError
        When all values are the same and ``useless`` tells why that will not do.
    """
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        sample = column.index[wrong][0]
        raise InputError(
            f"{where}: sample {sample!r} has the {word} {str(column[sample])!r}, which is not a number. {remedy}"
        )
    if useless is not None and numbers.nunique() < 2:
        raise DesignError(f"{where}: {column.name} has one value in all samples; {useless}.")
    return np.asarray(numbers, dtype=np.float64)
