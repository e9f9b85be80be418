"""What goes into the genenet study: expression, a modulator, genes that regulate and are regulated, a response."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError
from kotowari.core.files import fingerprint
from kotowari.datasets.packaged import load_tcga_colorectal, packaged_files
from kotowari.formats.h5ad import read_h5ad
from kotowari.formats.labelled import (
    LabelledSamples,
    constant_features,
    left_out,
    owners_of,
    read_labelled,
    read_values,
    require_rows_for,
)
from kotowari.formats.rows import require_file
from kotowari.formats.tables import read_annotations, require_numeric_table
from kotowari.studies.genenet.columns import asked_columns, circularity, covariates_of, modulators_of, response_of
from kotowari.studies.genenet.config import Config, ResponseKind
from kotowari.studies.genenet.named_genes import named_regulators, named_signature, named_targets
from kotowari.trust.leakage import require_distinct_rows

__all__ = [
    "NewTable",
    "Samples",
    "fill_missing",
    "read_inputs",
    "read_new_table",
    "read_samples",
    "targets_by_variance",
    "varying_genes",
    "without_signature",
]

FloatArray = npt.NDArray[np.float64]
Genes = tuple[str, ...]

_FEWEST_SAMPLES = 20
_LARGEST_LOG = 100.0  # log2 of a count stays far below


@dataclass(frozen=True)
class Samples(LabelledSamples):
    """A checked table, and what networks are estimated along, among and for.

    Attributes
    ----------
    X
        Samples x genes, float64, log scale; no gene is constant. Missing values stand only where ``data.missing`` is
        lowest: :func:`fill_missing` fills them inside the fold.
    modulator, second
        Shape ``(sample,)``; ``modulator`` is None where it is the score of the signature, which is fitted inside the
        fold, ``second`` where there is none.
    signature_up, signature_down
        Genes of the signature that the table holds; empty where a column is the modulator.
    y, task, response
        Class labels as text or values, shape ``(sample,)``, or times and events, shape ``(sample, 2)``; what they are
        for, and their name. All are None without a response; where the response is the score of the signature, ``y``
        alone is None.
    circular
        Whether the response is the modulator, by name or in another form: the guard then applies.
    groups
        Owner of each sample, shape ``(sample,)``.
    covariates
        What is regressed out of the genes, a row a sample; None for nothing.
    regulators
        Names in the table.
    targets
        Names in the table; None where :func:`targets_by_variance` chooses them inside the fold.
    source
        Where the table comes from.
    notes
        What a reader should know, a sentence each: what was left out, and what looks odd.
    """

    X: pd.DataFrame
    modulator: FloatArray | None
    second: FloatArray | None
    signature_up: Genes
    signature_down: Genes
    y: npt.NDArray[Any] | None
    task: ResponseKind | None
    response: str | None
    circular: bool
    groups: npt.NDArray[Any]
    covariates: pd.DataFrame | None
    regulators: Genes
    targets: Genes | None
    source: str
    notes: Genes


@dataclass(frozen=True)
class NewTable:
    """New samples for a finished run, with the columns that the run needs of them; None where it needs none."""

    X: pd.DataFrame
    modulator: FloatArray | None
    second: FloatArray | None
    covariates: pd.DataFrame | None


def read_samples(config: Config) -> Samples:
    """Read and check everything that the configuration names.

    Samples without a modulator or response are left out, and so are genes with one value; the notes tell which.

    Raises
    ------
    InputError
        When a file, row, column or gene cannot be used; the sentence names it.
    DesignError
        When fewer than 20 samples are left, the modulator is constant, one sample stands twice under two owners, a
        category to be regressed out has one owner, or fewer than 10 events were seen.
    """
    X, annotations, source, where = _table(config)
    columns = asked_columns(annotations, config, where=where)
    known = {role: column.notna().to_numpy() for role, column in columns.items()}
    rows = np.logical_and.reduce([np.ones(len(X), dtype=np.bool_), *known.values()])
    X, annotations, columns = X[rows], annotations[rows], {role: column[rows] for role, column in columns.items()}
    if len(X) < _FEWEST_SAMPLES:
        raise DesignError(
            f"{source}: {len(X)} samples have all that is asked of them; networks need {_FEWEST_SAMPLES} or more."
        )
    groups = X.index.to_numpy() if config.data.group is None else owners_of(annotations, config.data.group, where=where)
    require_distinct_rows(X, groups, names=X.index)
    constant = constant_features(X)
    X = X.drop(columns=constant)
    genes = [str(gene) for gene in X.columns]
    signature, on_signature = named_signature(genes, constant, config)
    regulators, on_regulators = named_regulators(genes, constant, config)
    targets, on_targets = named_targets(genes, constant, config)
    axes, on_axes = modulators_of(columns, where=where)
    y, task, response = response_of(columns, axes.get("modulator"), config, where=where)
    covariates, on_covariates = covariates_of(annotations, groups, config, where=where)
    circular, on_circularity = circularity(columns, axes, y, config)
    left = [note for role, own in known.items() for note in left_out(own, str(columns[role].name))]
    samples = Samples(
        X=X,
        modulator=axes.get("modulator"),
        second=axes.get("second"),
        signature_up=signature.up,
        signature_down=signature.down,
        y=y,
        task=task,
        response=response,
        circular=circular,
        groups=groups,
        covariates=covariates,
        regulators=regulators,
        targets=targets,
        source=source,
        notes=(
            *left,
            *_notes_on_table(X, constant),
            *on_signature,
            *on_regulators,
            *on_targets,
            *on_axes,
            *on_covariates,
            *on_circularity,
        ),
    )
    if config.prediction.response == "modulator":
        without_signature(regulators, samples, what="data.regulators")
        without_signature(genes if targets is None else targets, samples, what="data.targets")
    return samples


def read_inputs(config: Config) -> list[dict[str, str | int]]:
    """Return name, sha256 and size of every file that the run reads, those of the package too."""
    data, modulator = config.data, config.modulator
    signature = modulator.signature if modulator.column is None else None
    named = [data.table, data.annotations, data.regulators, data.targets, signature]
    packaged = packaged_files()
    files = [packaged[name] if isinstance(name, str) else name for name in named if name not in (None, "variable")]
    for path in files:
        require_file(path)
    return [fingerprint(path) for path in files]


def read_new_table(path: Path, config: Config, annotations: Path | None = None) -> NewTable:
    """Read new samples, laid out as the table of the run.

    Parameters
    ----------
    path
        The table; its genes are not compared with those of the run here.
    config
        Options of the run.
    annotations
        Table that holds the modulator and the covariates of the new samples, where the run has such columns; None for
        an h5ad file takes its own.

    Raises
    ------
    InputError
        When a file cannot be used, or a sample lacks a modulator or covariate; the sentence names it.
    """
    wanted = [config.modulator.column, config.modulator.second, *config.data.adjust]
    needed = [name for name in wanted if name is not None]
    if needed and annotations is None and path.suffix != ".h5ad":
        raise InputError(
            f"{path.name}: the run needs {few(needed)} of each sample. Name the table of annotations that holds it."
        )
    if needed and annotations is None:
        X, held = read_h5ad(path)
    else:
        X = read_values(path, orientation=config.data.orientation)
        held = pd.DataFrame(index=X.index) if annotations is None else read_annotations(annotations)
    require_numeric_table(X, where=path.name, allow_missing=config.data.missing == "lowest")
    where = path.name if annotations is None else annotations.name
    held = require_rows_for(held, X, where=where)
    columns = asked_columns(held, config, where=where, response=False)
    for column in columns.values():
        if column.isna().any():
            raise InputError(f"{where}: {column.name} is empty for {few(column.index[column.isna()])}. Fill it in.")
    axes, _ = modulators_of(columns, where=where, may_be_constant=True)
    covariates, _ = covariates_of(held, None, config, where=where)
    return NewTable(X.astype(np.float64), axes.get("modulator"), axes.get("second"), covariates)


def fill_missing(X: pd.DataFrame, X_train: pd.DataFrame) -> pd.DataFrame:
    """Return the table with each missing value replaced by the lowest value of its gene in the training rows.

    A gene that no training row knows takes the lowest value of the whole training table.
    """
    lowest = X_train.min()
    return X.fillna(lowest.fillna(lowest.min()))


def targets_by_variance(X_train: pd.DataFrame, n: int, *, exclude: Iterable[str] = ()) -> Genes:
    """Return the names of the ``n`` genes of largest variance, largest first; of equals, the first in the table.

    Fewer come back where the table has fewer that vary.

    Parameters
    ----------
    X_train
        Training rows alone, ``(sample, gene)``.
    n
        1 or more.
    exclude
        Genes that may not be chosen, such as those of the signature.

    Raises
    ------
    DesignError
        When no gene is left.
    """
    left = X_train.drop(columns=sorted({*exclude, *constant_features(X_train)} & set(X_train.columns)))
    order = np.argsort(-left.var(ddof=0).to_numpy(), kind="stable")[:n]
    if not len(order):
        raise DesignError("data.targets: no gene varies in the training samples that may be a target. Name some.")
    return tuple(str(gene) for gene in left.columns[order])


def varying_genes(genes: Sequence[str], X_train: pd.DataFrame) -> Genes:
    """Return those genes that have more than one value in the training rows; a rare one may not."""
    constant = set(constant_features(X_train[list(genes)]))
    return tuple(gene for gene in genes if gene not in constant)


def without_signature(genes: Sequence[str], samples: Samples, *, what: str = "genes") -> Genes:
    """Return the genes that are not part of the signature, which may not predict the score that is made of them.

    Raises
    ------
    DesignError
        When none is left.
    """
    kept = tuple(gene for gene in genes if gene not in {*samples.signature_up, *samples.signature_down})
    if not kept:
        raise DesignError(
            f"{what}: all {len(genes)} belong to the signature, and its own genes may not predict its score. "
            "Name others."
        )
    return kept


def _table(config: Config) -> tuple[pd.DataFrame, pd.DataFrame, str, str]:
    """Return values, annotations in the same order, and the names of both for sentences."""
    data = config.data
    where = ""
    if isinstance(data.table, str):
        packaged = load_tcga_colorectal()
        X, annotations, source = packaged.X, packaged.annotations, packaged.name
    elif data.annotations is None and data.table.suffix != ".h5ad":
        if data.group is not None:
            raise InputError(
                f"data.group: there is no table of annotations that could hold {data.group!r}. Name one by "
                "data.annotations, or set data.group to null where every sample is its own."
            )
        X, source = read_values(data.table, orientation=data.orientation), data.table.name
        annotations = pd.DataFrame(index=X.index)
    else:
        X, annotations = read_labelled(
            data.table, data.annotations, orientation=data.orientation, key="data.annotations", groups=data.group
        )
        source, where = data.table.name, "" if data.annotations is None else data.annotations.name
    annotations = require_rows_for(annotations, X, where=where or source)
    require_numeric_table(X, where=source, allow_missing=data.missing == "lowest")
    return X.astype(np.float64), annotations, source, where or source


def _notes_on_table(X: pd.DataFrame, constant: Sequence[str]) -> list[str]:
    notes = []
    if constant:
        notes.append(f"{len(constant)} genes have one value in all samples and were left out ({few(constant)}).")
    if missing := int(X.isna().sum().sum()):
        notes.append(f"{missing} missing values are taken as the lowest value of their gene in the training samples.")
    if (largest := float(X.max().max())) > _LARGEST_LOG:
        notes.append(f"The largest value is {largest:.4g}, so this is hardly a log scale. Take log2(x + 1) of counts.")
    return notes
