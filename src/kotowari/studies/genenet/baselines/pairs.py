"""What every comparator needs: the columns of regulators and targets, and a stack cut to a stated size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few, require_unique
from kotowari.core.errors import DesignError, InputError
from kotowari.formats.memory import require_bytes
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["GenePairs", "gene_pairs", "stack_of"]

FloatArray = npt.NDArray[np.float64]

_FEWEST_SAMPLES = 4
_ENTRY_BYTES = 60
_ROUNDING = 1e-12  # of the largest value: what a column of equal numbers varies by after its mean is taken off


@dataclass(frozen=True)
class GenePairs:
    """The two sides of a network as arrays.

    Attributes
    ----------
    samples, regulators, targets
        Names.
    x, y
        Expression of regulators and targets, shape ``(sample, regulator)`` and ``(sample, target)``.
    own
        Shape ``(regulator, target)``: True where both are one gene; such a pair is no edge.
    """

    samples: tuple[str, ...]
    regulators: tuple[str, ...]
    targets: tuple[str, ...]
    x: FloatArray
    y: FloatArray
    own: npt.NDArray[np.bool_]

    @property
    def n_pairs(self) -> int:
        """Possible edges of one sample."""
        return int(self.own.size - self.own.sum())


def gene_pairs(
    who: str, X: pd.DataFrame, regulators: Sequence[str] | None, targets: Sequence[str] | None, *, varying: bool = True
) -> GenePairs:
    """Take the named columns out of a table and check them.

    Parameters
    ----------
    who
        Whose complaint it would be.
    X
        Shape ``(sample, gene)``, numbers; names in index and columns.
    regulators, targets
        Gene names; None takes all columns.
    varying
        Whether constant genes are refused.

    Raises
    ------
    InputError
        When a name is not in the table or stands twice, a value is missing, or a gene is constant; tells which.
    DesignError
        When there are fewer than four samples.
    """
    table = X.set_axis(X.columns.astype(str), axis=1)
    require_unique(table.columns, what="gene names", where=f"{who}: the table")
    sides: dict[str, tuple[str, ...]] = {}
    for side, names in (("regulators", regulators), ("targets", targets)):
        chosen = tuple(str(name) for name in (table.columns if names is None else names))
        require_unique(chosen, what=side, where=who)
        if not chosen:
            raise InputError(f"{who}: there are no {side}.")
        if absent := [name for name in chosen if name not in table.columns]:
            raise InputError(f"{who}: {len(absent)} {side} are not in the table ({few(absent)}). Leave them out.")
        sides[side] = chosen
    if varying and len(table) < _FEWEST_SAMPLES:
        raise DesignError(
            f"{who}: {len(table)} samples are too few for a correlation. Bring {_FEWEST_SAMPLES} or more."
        )
    regulator_names, target_names = sides["regulators"], sides["targets"]
    return GenePairs(
        tuple(str(name) for name in table.index),
        regulator_names,
        target_names,
        _checked_values(who, table[list(regulator_names)], varying=varying),
        _checked_values(who, table[list(target_names)], varying=varying),
        np.array(regulator_names, dtype=object)[:, None] == np.array(target_names, dtype=object),
    )


def stack_of(
    pairs: GenePairs,
    networks: Iterable[FloatArray],
    *,
    modulator: npt.ArrayLike | None,
    top: int | None,
    quantity: str,
    description: str,
    n_bound: int | None = None,
) -> NetworkStack:
    """Keep the entries of dense networks that are not 0, made one at a time, as a stack.

    Parameters
    ----------
    pairs
        The two sides.
    networks
        One array ``(regulator, target)`` a sample; pairs of a gene with itself are left out.
    modulator
        As in :meth:`NetworkStack.from_arrays`.
    top
        Keep this many entries of the largest absolute value in each sample, 1 or more; None keeps all.
    quantity, description
        As in :meth:`NetworkStack.from_arrays`; the cut is added to the description.
    n_bound
        Most entries a sample that the networks can hold; None stands for every pair.

    Raises
    ------
    InputError
        When ``top`` is below 1, or the entries that may be kept would not fit into half of this machine's memory.
    """
    if top is not None and top < 1:
        raise InputError(f"top must be 1 or more edges a sample, or None for all, got {top}.")
    most = min(top or pairs.n_pairs, pairs.n_pairs if n_bound is None else n_bound)
    require_bytes(
        len(pairs.samples) * most * _ENTRY_BYTES,
        what=f"{most} edges in each of {len(pairs.samples)} samples",
        remedy="Keep fewer by top, or name fewer regulators and targets",
    )
    parts = []
    for row, network in enumerate(networks):
        values = np.where(pairs.own, 0.0, network).ravel()
        cells = np.flatnonzero(values)
        if top is not None and top < len(cells):
            cells = cells[np.argpartition(-np.abs(values[cells]), top - 1)[:top]]
        parts.append((np.full(len(cells), row, dtype=np.int32), cells, values[cells]))
    sample, cell, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    cut = "" if top is None else f" The {top} edges of largest absolute value of each sample."
    return NetworkStack.from_arrays(
        sample,
        cell // len(pairs.targets),
        cell % len(pairs.targets),
        value,
        samples=pairs.samples,
        regulators=pairs.regulators,
        targets=pairs.targets,
        modulator=modulator,
        quantity=quantity,
        description=description + cut,
    )


def _checked_values(who: str, table: pd.DataFrame, *, varying: bool) -> FloatArray:
    values = table.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(
            f"{who}: {table.columns[column]} of sample {table.index[row]} is missing or infinite. Fill it in, or drop "
            "the gene."
        )
    flat = np.ptp(values, axis=0) <= _ROUNDING * np.abs(values).max(0)
    if varying and flat.any():
        raise InputError(f"{who}: {flat.sum()} genes are constant ({few(table.columns[flat])}). Drop them first.")
    return values
