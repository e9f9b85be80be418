"""What goes into the omics study: a table of genes, a target, owners of samples, gene sets; all checked at the door."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError
from kotowari.core.files import fingerprint
from kotowari.datasets.packaged import load_reactome, load_tcga_colorectal, packaged_files
from kotowari.formats.gmt import read_gmt
from kotowari.formats.labelled import (
    LabelledSamples,
    Task,
    class_labels,
    constant_features,
    left_out,
    numbers_of,
    owners_of,
    read_labelled,
    read_values,
    require_column,
    require_rows_for,
    task_of,
)
from kotowari.formats.rows import require_file
from kotowari.formats.tables import require_numeric_table
from kotowari.studies.omics.config import Data
from kotowari.trust.enrichment import over_representation
from kotowari.trust.leakage import require_distinct_rows

__all__ = ["Samples", "read_gene_sets", "read_inputs", "read_samples", "read_table_alone", "require_gene_sets"]

_TARGET = {
    "word": "target",
    "remedy": "Mend it, or set data.task to classification.",
    "useless": "there is nothing to predict",
}


@dataclass(frozen=True)
class Samples(LabelledSamples):
    """A checked table and what is to be predicted from it.

    Parameters
    ----------
    X
        Samples x genes, float32, log scale.
    y
        Class labels as text, or values; shape ``(sample,)``.
    groups
        Owner of each sample, shape ``(sample,)``.
    task
        Classification or regression.
    target
        Name of the target.
    source
        Where the table comes from.
    notes
        What a reader should know: samples left out, constant genes.
    """

    X: pd.DataFrame
    y: npt.NDArray[Any]
    groups: npt.NDArray[Any]
    task: Task
    target: str
    source: str
    notes: tuple[str, ...]


def read_samples(data: Data) -> Samples:
    """Read and check everything that the configuration names.

    Raises
    ------
    InputError
        When a file, row, column or label cannot be used; the sentence names it.
    DesignError
        When one sample stands twice under two owners, or there are too few samples.
    """
    X, annotations, source = _table_and_annotations(data)
    where = source if data.labels is None else data.labels.name
    annotations = require_rows_for(annotations, X, where=where)
    labels = require_column(annotations, data.target, key="data.target", where=where)
    known = labels.notna().to_numpy()
    notes = _notes(X, known, data.target)
    X, annotations, labels = X[known], annotations[known], labels[known]
    if len(X) < 2:
        raise DesignError(f"{source}: only {len(X)} samples have a {data.target}; nothing can be learned from them.")
    require_numeric_table(X, where=source, allow_missing=data.missing == "zero")
    groups = X.index.to_numpy() if data.group is None else owners_of(annotations, data.group, where=where)
    require_distinct_rows(X, groups, names=X.index)
    task = task_of(labels, data.task)
    y = class_labels(labels) if task == "classification" else numbers_of(labels, where=where, **_TARGET)
    return Samples(X.astype(np.float32), y, groups, task, data.target, source, notes)


def read_table_alone(path: Path, data: Data) -> pd.DataFrame:
    """Read a table of new samples, laid out as the one of the run."""
    X = read_values(path, orientation=data.orientation)
    require_numeric_table(X, where=path.name, allow_missing=data.missing == "zero")
    return X.astype(np.float32)


def read_gene_sets(data: Data) -> Mapping[str, Any] | None:
    """Read the gene sets, or return None where none are asked for."""
    if data.gene_sets is None:
        return None
    return load_reactome() if data.gene_sets == "reactome" else read_gmt(Path(data.gene_sets))


def read_inputs(data: Data) -> list[dict[str, str | int]]:
    """Return name, sha256 and size of every file that the run reads."""
    paths = [data.table, data.labels, data.gene_sets]
    files = [packaged_files()[path] if isinstance(path, str) else path for path in paths if path is not None]
    for path in files:
        require_file(path)
    return [fingerprint(path) for path in files]


def require_gene_sets(sets: Mapping[str, Any] | None, genes: Sequence[str]) -> None:
    """Refuse gene sets of which none can be asked, before anything is fitted.

    Raises
    ------
    InputError
        When no gene of the sets was measured, or no set has a fitting size.
    """
    if sets is None:
        return
    try:
        over_representation([], genes, sets)
    except InputError as error:
        raise InputError(f"data.gene_sets: {error} Without gene sets (null) the run asks no pathways.") from error


def _table_and_annotations(data: Data) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    if isinstance(data.table, str):
        packaged = load_tcga_colorectal()
        return packaged.X, packaged.annotations, packaged.name
    X, annotations = read_labelled(
        data.table, data.labels, orientation=data.orientation, key="data.labels", label=data.target, groups=data.group
    )
    return X, annotations, data.table.name


def _notes(X: pd.DataFrame, known: npt.NDArray[np.bool_], target: str) -> tuple[str, ...]:
    notes = list(left_out(known, target))
    constant = constant_features(X)
    if constant:
        notes.append(f"{len(constant)} genes have one value in all samples and can carry nothing ({few(constant)}).")
    missing = int(X.isna().sum().sum())
    if missing:
        notes.append(f"{missing} missing values were taken as the lowest value of their gene.")
    return tuple(notes)
