"""What goes into the omics study: a table of genes, a target, owners of samples, gene sets; all checked at the door."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError
from kotowari.core.files import fingerprint
from kotowari.datasets.packaged import load_reactome, load_tcga_colorectal, packaged_files
from kotowari.formats.gmt import read_gmt
from kotowari.formats.h5ad import read_h5ad
from kotowari.formats.rows import require_file
from kotowari.formats.tables import read_annotations, read_table, require_numeric_table
from kotowari.studies.omics.config import Data
from kotowari.trust.enrichment import over_representation
from kotowari.trust.leakage import require_distinct_rows

__all__ = ["Samples", "read_gene_sets", "read_inputs", "read_samples", "read_table_alone", "require_gene_sets"]

_MOST_CLASSES = 20

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Samples:
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

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class labels in the order of the scores; empty for a regression."""
        return tuple(np.unique(self.y).tolist()) if self.task == "classification" else ()

    @cached_property
    def codes(self) -> npt.NDArray[np.int64]:
        """Number of each sample's class, shape ``(sample,)``; zeros for a regression, whose score has the number 0."""
        if self.task == "regression":
            return np.zeros(len(self.y), np.int64)
        return np.searchsorted(np.array(self.classes), self.y)

    @property
    def genes(self) -> list[str]:
        """Names of the genes in the order of the table."""
        return [str(gene) for gene in self.X.columns]


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
    annotations = _aligned(annotations, X, where)
    labels = _column(annotations, data.target, "data.target", where)
    known = labels.notna().to_numpy()
    notes = _notes(X, known, data.target)
    X, annotations, labels = X[known], annotations[known], labels[known]
    if len(X) < 2:
        raise DesignError(f"{source}: only {len(X)} samples have a {data.target}; nothing can be learned from them.")
    require_numeric_table(X, where=source, allow_missing=data.missing == "zero")
    groups = X.index.to_numpy() if data.group is None else _owners(annotations, data.group, where)
    require_distinct_rows(X, groups, names=X.index)
    task = _task(labels, data.task)
    y = _class_names(labels) if task == "classification" else _values(labels, where)
    return Samples(X.astype(np.float32), y, groups, task, data.target, source, notes)


def read_table_alone(path: Path, data: Data) -> pd.DataFrame:
    """Read a table of new samples, laid out as the one of the run."""
    X = read_h5ad(path)[0] if path.suffix == ".h5ad" else read_table(path, orientation=data.orientation)
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
    if data.table.suffix == ".h5ad" and data.labels is None:
        X, annotations = read_h5ad(data.table, label=data.target, groups=data.group)
        return X, annotations, data.table.name
    X = (
        read_h5ad(data.table)[0]
        if data.table.suffix == ".h5ad"
        else read_table(data.table, orientation=data.orientation)
    )
    if data.labels is None:
        raise InputError(f"{data.table.name}: data.labels names no table of annotations. Add it to the configuration.")
    return X, read_annotations(data.labels), data.table.name


def _aligned(annotations: pd.DataFrame, X: pd.DataFrame, where: str) -> pd.DataFrame:
    absent = X.index.difference(annotations.index)
    if len(absent):
        raise InputError(
            f"{where}: has no row for {len(absent)} of {len(X)} samples of the table ({few(absent)}). "
            "Add the rows, or take the samples out of the table; an empty label leaves a sample out."
        )
    return annotations.loc[X.index]


def _column(annotations: pd.DataFrame, name: str, key: str, where: str, advice: str = "") -> pd.Series:
    if name not in annotations.columns:
        raise InputError(f"{key}: {where} has no column {name!r}. There are: {few(annotations.columns, 12)}.{advice}")
    return annotations[name]


def _owners(annotations: pd.DataFrame, name: str, where: str) -> npt.NDArray[Any]:
    advice = " Set data.group to null where every sample is its own."
    owners = _column(annotations, name, "data.group", where, advice)
    if owners.isna().any():
        raise InputError(
            f"{where}: {name} is empty for {few(owners.index[owners.isna()])}. Every sample needs an owner."
        )
    return owners.astype(str).to_numpy()


def _task(labels: pd.Series, asked: str) -> Task:
    if asked in ("classification", "regression"):
        return "classification" if asked == "classification" else "regression"
    numbers = pd.to_numeric(labels, errors="coerce")
    few_whole_numbers = bool((numbers == numbers.round()).all()) and labels.nunique() <= _MOST_CLASSES
    return "classification" if numbers.isna().any() or few_whole_numbers else "regression"


def _class_names(labels: pd.Series) -> npt.NDArray[Any]:
    if pd.api.types.is_float_dtype(labels) and (labels == labels.round()).all():
        labels = labels.astype(np.int64)  # a missing label made floats of whole numbers
    return labels.astype(str).to_numpy()


def _values(labels: pd.Series, where: str) -> npt.NDArray[np.float64]:
    numbers = pd.to_numeric(labels, errors="coerce")
    if numbers.isna().any():
        sample = labels.index[numbers.isna()][0]
        raise InputError(
            f"{where}: sample {sample!r} has the target {labels[sample]!r}, which is not a number. "
            "Mend it, or set data.task to classification."
        )
    if numbers.nunique() < 2:
        raise DesignError(f"{where}: {labels.name} has one value in all samples; there is nothing to predict.")
    return numbers.to_numpy(np.float64)


def _notes(X: pd.DataFrame, known: npt.NDArray[np.bool_], target: str) -> tuple[str, ...]:
    notes = []
    if not known.all():
        notes.append(f"{int((~known).sum())} of {len(known)} samples have no {target} and were left out.")
    constant = X.columns[(X.max() == X.min()).to_numpy()]
    if len(constant):
        notes.append(f"{len(constant)} genes have one value in all samples and can carry nothing ({few(constant)}).")
    missing = int(X.isna().sum().sum())
    if missing:
        notes.append(f"{missing} missing values were taken as the lowest value of their gene.")
    return tuple(notes)
