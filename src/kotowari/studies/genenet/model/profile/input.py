"""What comes in at the door of the profiler: a table, names of genes, penalty factors."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import check_array

from kotowari.core.checks import few, require_unique
from kotowari.core.errors import DesignError, InputError, ShapeError

__all__ = [
    "ExpressionTable",
    "expression_table",
    "gene_positions",
    "penalty_factors",
    "require_finite",
    "require_same_genes",
    "require_varying",
]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_FEWEST_SAMPLES = 6
_ROUNDING = 1e-12


class ExpressionTable(NamedTuple):
    """Values of shape ``(sample, gene)`` with their names; names of an array are its positions."""

    values: Floats
    samples: tuple[str, ...]
    genes: tuple[str, ...]


def expression_table(X: Any, *, training: bool = True) -> ExpressionTable:
    """Return a DataFrame or array as numbers and names; missing values may stand in genes that are not used.

    Raises
    ------
    InputError, DesignError
        When the table is no table of numbers, a name stands twice, or there are too few samples to train on.
    TypeError
        When it is sparse.
    """
    if isinstance(X, pd.DataFrame):
        samples, genes = tuple(map(str, X.index)), tuple(map(str, X.columns))
        require_unique(genes, what="gene names", where="X")
        require_unique(samples, what="sample names", where="X")
    else:
        samples = genes = ()
    try:
        values = np.asarray(check_array(X, dtype=np.float64, ensure_all_finite=False, input_name="X"))
    except ValueError as error:
        raise InputError(f"X: {error}") from error
    samples = samples or tuple(map(str, range(values.shape[0])))
    genes = genes or tuple(map(str, range(values.shape[1])))
    if training and len(values) < _FEWEST_SAMPLES:
        raise DesignError(f"X: {len(values)} samples are too few for networks. Bring {_FEWEST_SAMPLES} or more.")
    return ExpressionTable(values, samples, genes)


def gene_positions(names: Sequence[Any] | None, genes: Sequence[str], *, what: str) -> Indices:
    """Return the columns of named genes; all of them for None.

    Raises
    ------
    InputError
        When a name is not in the table, tells which; when one stands twice, or there is none.
    """
    if names is None:
        return np.arange(len(genes))
    if isinstance(names, str):
        raise InputError(f"{what}: expected a list of gene names, got the text {names!r}.")
    chosen = [str(name) for name in names]
    if not chosen:
        raise InputError(f"{what}: there are none. Name one gene or more.")
    require_unique(chosen, what="names", where=what)
    place = {gene: column for column, gene in enumerate(genes)}
    absent = [name for name in chosen if name not in place]
    if absent:
        raise InputError(
            f"{what}: {len(absent)} of {len(chosen)} are not in the table ({few(absent)}). Leave them out, or check "
            "how the table names its genes."
        )
    return np.array([place[name] for name in chosen])


def require_finite(table: ExpressionTable, columns: Indices) -> None:
    """Raise :class:`InputError` at the first missing or infinite value of some genes, by name, and count the others."""
    wrong = ~np.isfinite(table.values[:, columns])
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"X: gene {table.genes[columns[column]]} of sample {table.samples[row]} is missing or infinite (NaN, inf), "
            f"and so are {int(wrong.sum()) - 1} other values. Fill them in, or leave out these genes or samples."
        )


def require_varying(table: ExpressionTable, columns: Indices, *, what: str) -> None:
    """Raise :class:`InputError` that names genes with the same value in all samples."""
    values = table.values[:, columns]
    constant = np.ptp(values, axis=0) <= _ROUNDING * np.abs(values).max(0)
    if constant.any():
        names = few(table.genes[column] for column in columns[constant])
        raise InputError(f"{what}: {int(constant.sum())} are constant ({names}). Leave them out.")


def require_same_genes(table: ExpressionTable, genes: Sequence[str], *, by: str) -> None:
    """Raise :class:`InputError` when a new table has not the genes of training, in their order."""
    if len(table.genes) != len(genes):
        raise InputError(
            f"X has {len(table.genes)} features, but {by} is expecting {len(genes)} features as input: the genes of "
            "training, in their order."
        )
    numbered = tuple(map(str, range(len(genes))))
    if table.genes != tuple(genes) and numbered not in {table.genes, tuple(genes)}:
        wrong = next(k for k, name in enumerate(genes) if table.genes[k] != name)
        raise InputError(
            f"{by}: the genes are not those of training in their order; gene {wrong} is {table.genes[wrong]}, and was "
            f"{genes[wrong]}."
        )


def penalty_factors(factors: Any, n_targets: int, n_regulators: int) -> Floats:
    """Return factors as shape ``(1, regulator)`` or ``(target, regulator)``, checked; 1 for None."""
    if factors is None:
        return np.ones((1, n_regulators))
    table = np.atleast_2d(np.array(factors, dtype=np.float64))
    if table.shape not in {(1, n_regulators), (n_targets, n_regulators)}:
        raise ShapeError.mismatch("NetworkProfiler", "penalty_factors", (n_targets, n_regulators), table.shape)
    if not (table > 0).all():
        raise InputError("penalty_factors must be above 0: small for edges that are known, infinite to leave one out.")
    return table
