"""Networks of many samples as arrays: which edges there are, and what each sample gives them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from kotowari.core.checks import few
from kotowari.core.errors import InputError, ShapeError
from kotowari.formats.rows import require_names

__all__ = [
    "StackArrays",
    "checked_axes",
    "checked_fitted",
    "checked_intercepts",
    "checked_modulator",
    "sparse_layout",
]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]

_CELLS_AN_ENTRY = 8  # a table of all possible edges is quicker than sorting while it is about as large as the entries


@dataclass(frozen=True, eq=False, repr=False)
class StackArrays:
    """The arrays behind a :class:`NetworkStack`; edges in the order of target, then regulator.

    Attributes
    ----------
    samples, regulators, targets
        Names, each once.
    modulator
        Shape ``(sample,)``, or ``(sample, modulator)`` for several; None where the networks know of none.
    edge_regulator, edge_target
        Shape ``(edge,)``, int32: positions in ``regulators`` and ``targets`` of every edge that any sample has.
    starts
        Shape ``(sample + 1,)``, int64: where the entries of each sample begin, and where the last one's end.
    entry_edge
        Shape ``(entry,)``, int32: number of the edge, rising within a sample.
    entry_value
        Shape ``(entry,)``, float32, never 0.
    intercepts
        Shape ``(sample, target)``, float32, in units of the target; None where there are none.
    fitted
        Shape ``(sample, target)``: False where no network could be estimated, which is another thing than a network
        without edges; None where all could.
    quantity
        What the values are, such as ``"coefficient"``.
    description
        How the networks were made and cut, in a sentence.
    """

    samples: tuple[str, ...]
    regulators: tuple[str, ...]
    targets: tuple[str, ...]
    modulator: FloatArray | None
    edge_regulator: IndexArray
    edge_target: IndexArray
    starts: npt.NDArray[np.int64]
    entry_edge: IndexArray
    entry_value: npt.NDArray[np.float32]
    intercepts: npt.NDArray[np.float32] | None
    fitted: BoolArray | None
    quantity: str
    description: str

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if isinstance(array := getattr(self, name), np.ndarray):
                array.flags.writeable = False

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.samples)} samples, {len(self.regulators)} regulators, "
            f"{len(self.targets)} targets, {self.n_edges} edges; {self.quantity}, {self.n_bytes / 1e6:.3g} MB)"
        )

    @property
    def n_edges(self) -> int:
        """Edges that any sample has."""
        return len(self.edge_regulator)

    @property
    def n_entries(self) -> int:
        """Edges of all samples together."""
        return len(self.entry_edge)

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays; the names come on top."""
        held = (getattr(self, name) for name in self.__dataclass_fields__)
        return sum(array.nbytes for array in held if isinstance(array, np.ndarray))

    @cached_property
    def values(self) -> sparse.csr_array:
        """The values as a sparse matrix ``(sample, edge)``, float32, on the same memory where the types allow."""
        shape = (len(self.samples), self.n_edges)
        matrix = sparse.csr_array((self.entry_value, self.entry_edge, self.starts), shape=shape)
        matrix.has_canonical_format = True
        return matrix

    def edge_names(self, side: str) -> npt.NDArray[np.object_]:
        """Return the name of the gene on one side of every edge; ``side`` is ``"regulators"`` or ``"targets"``."""
        names = np.array(self.regulators if side == "regulators" else self.targets, dtype=object)
        return names[self.edge_regulator if side == "regulators" else self.edge_target]

    def n_fitted(self, rows: npt.NDArray[np.intp] | None = None) -> npt.NDArray[np.int64]:
        """Count for every target the samples, or those of ``rows``, that have a network."""
        chosen = np.arange(len(self.samples)) if rows is None else rows
        if self.fitted is None:
            return np.full(len(self.targets), len(chosen), dtype=np.int64)
        counts: npt.NDArray[np.int64] = self.fitted[chosen].sum(0, dtype=np.int64)
        return counts

    def positions(self, axis: str, names: Any) -> npt.NDArray[np.intp]:
        """Return where names stand among ``"samples"``, ``"regulators"`` or ``"targets"``; None stands for all.

        Raises
        ------
        InputError
            When a name is not there; tells which.
        """
        held: tuple[str, ...] = getattr(self, axis)
        if names is None:
            return np.arange(len(held))
        wanted = [names] if isinstance(names, str) else [str(name) for name in names]
        place = {name: k for k, name in enumerate(held)}
        unknown = [name for name in wanted if name not in place]
        if unknown:
            raise InputError(
                f"The networks have no {axis} called {few(unknown)}. They have {len(held)}, such as {few(held, 3)}."
            )
        return np.array([place[name] for name in wanted], dtype=np.intp)


def sparse_layout(
    sample: npt.ArrayLike, regulator: npt.ArrayLike, target: npt.ArrayLike, value: npt.ArrayLike, shape: tuple[int, ...]
) -> dict[str, npt.NDArray[Any]]:
    """Sort entries by sample and edge, number the edges, and check that every entry can be meant.

    Parameters
    ----------
    sample, regulator, target
        Shape ``(entry,)``, integers.
    value
        Shape ``(entry,)``, finite; entries of 0 are no edges and are left out.
    shape
        Number of samples, regulators and targets.

    Returns
    -------
    dict of arrays
        ``edge_regulator``, ``edge_target``, ``starts``, ``entry_edge``, ``entry_value`` of :class:`StackArrays`.
    """
    values = np.asarray(value)
    columns = [np.asarray(column) for column in (sample, regulator, target)]
    for name, column, length in zip(("sample", "regulator", "target"), columns, shape, strict=True):
        _require_range(name, column, values.shape, length)
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(f"NetworkStack: the coefficient of entry {first} is not finite. Leave such entries out.")
    if values.size and np.abs(values).max() > np.finfo(np.float32).max:
        raise InputError("NetworkStack: a coefficient is too large for float32. Bring the table to a usual scale.")
    values = values.astype(np.float32)
    n_samples, n_regulators, n_targets = shape
    cell = columns[2].astype(np.int64) * n_regulators + columns[1]
    row = columns[0].astype(np.int64)
    if (values == 0).any():
        kept = values != 0
        cell, row, values = cell[kept], row[kept], values[kept]
    cells, edge = _numbered(cell, n_regulators * n_targets)
    place = row * max(len(cells), 1) + edge
    if (np.diff(place) <= 0).any():
        order = np.argsort(place, kind="stable")
        place, row, edge, values = place[order], row[order], edge[order], values[order]
        _require_distinct(np.flatnonzero(np.diff(place) == 0), row, cells[edge], n_regulators)
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_samples))]).astype(np.int64)
    return {
        "edge_regulator": (cells % n_regulators).astype(np.int32),
        "edge_target": (cells // n_regulators).astype(np.int32),
        "starts": starts,
        "entry_edge": edge.astype(np.int32),
        "entry_value": np.ascontiguousarray(values),
    }


def checked_axes(
    samples: Any, regulators: Any, targets: Any
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the names of the three axes as text, each once and none empty."""
    axes = []
    for what, names in (("samples", samples), ("regulators", regulators), ("targets", targets)):
        texts = tuple(str(name) for name in names)
        if not texts:
            raise InputError(f"NetworkStack: there are no {what}.")
        require_names(texts, what=what, where="NetworkStack")
        axes.append(texts)
    return axes[0], axes[1], axes[2]


def checked_modulator(modulator: npt.ArrayLike | None, n_samples: int) -> FloatArray | None:
    """Return the modulator as floats, one row a sample, finite."""
    if modulator is None:
        return None
    values = np.array(modulator, dtype=np.float64)
    if values.ndim not in (1, 2) or len(values) != n_samples:
        raise ShapeError.mismatch("NetworkStack", "modulator", (n_samples, "modulator if several"), values.shape)
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise InputError(f"NetworkStack: the modulator of sample {row} is missing. Drop samples without one first.")
    return values


def checked_fitted(fitted: npt.ArrayLike | None, shape: tuple[int, int]) -> BoolArray | None:
    """Return the mask of fitted networks, ``(sample, target)``; None where all are."""
    if fitted is None:
        return None
    known = np.array(fitted)
    if known.shape != shape:
        raise ShapeError.mismatch("NetworkStack", "fitted", shape, known.shape)
    if known.dtype != np.bool_:
        raise InputError(f"NetworkStack: fitted must be boolean, got {known.dtype}.")
    return None if known.all() else known


def checked_intercepts(
    intercepts: npt.ArrayLike | None, shape: tuple[int, int], fitted: BoolArray | None
) -> npt.NDArray[np.float32] | None:
    """Return the intercepts as float32, ``(sample, target)``, finite wherever a network was fitted."""
    if intercepts is None:
        return None
    values = np.array(intercepts, dtype=np.float32)
    if values.shape != shape:
        raise ShapeError.mismatch("NetworkStack", "intercepts", shape, values.shape)
    if not np.isfinite(values if fitted is None else values[fitted]).all():
        raise InputError("NetworkStack: an intercept is not finite. Mark fits that could not be made as not fitted.")
    return values


def _require_range(name: str, column: npt.NDArray[Any], shape: tuple[int, ...], n: int) -> None:
    if len(shape) != 1 or column.shape != shape:
        raise ShapeError.mismatch("NetworkStack", name, ("entry",) if len(shape) != 1 else shape, column.shape)
    if column.size and (column.dtype.kind not in "iu" or column.min() < 0 or column.max() >= n):
        raise InputError(f"NetworkStack: {name} must hold positions of {name}s, 0 to {n - 1}.")


def _numbered(cell: npt.NDArray[np.int64], n_cells: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Return the distinct cells, rising, and for each entry the position of its own among them."""
    if n_cells > _CELLS_AN_ENTRY * len(cell):
        return np.unique(cell, return_inverse=True)
    taken = np.zeros(n_cells, dtype=np.bool_)
    taken[cell] = True
    number = np.cumsum(taken, dtype=np.int32) - np.int32(1)
    return np.flatnonzero(taken), number[cell]


def _require_distinct(
    again: npt.NDArray[np.intp], row: npt.NDArray[np.int64], cell: npt.NDArray[np.int64], n_regulators: int
) -> None:
    if again.size:
        first = again[0]
        raise InputError(
            f"NetworkStack: {again.size} edges stand twice in a sample, such as regulator {cell[first] % n_regulators} "
            f"to target {cell[first] // n_regulators} in sample {row[first]}. Give every edge once."
        )
