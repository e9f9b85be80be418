"""A table larger than memory, read block by block."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import require_unique
from kotowari.core.errors import InputError
from kotowari.formats.h5ad import H5adRows
from kotowari.formats.memory import dense_bytes, require_fits
from kotowari.formats.rows import Rows, require_names
from kotowari.formats.tables import open_table

__all__ = ["TableBlocks", "estimate_bytes", "require_fits_memory"]


class TableBlocks:
    """Blocks of samples from a csv, tsv, txt (also .gz), parquet or h5ad file; may be gone through again and again.

    Memory stays near one block where the file allows it. Of a parquet file one group of rows is held: 1,024 rows or
    about a million values as :func:`kotowari.formats.write_table` makes them, often all rows as others do. Of a sparse
    h5ad stored by columns all is held, sparse.
    Missing values are NaN.

    Parameters
    ----------
    path
        The file; samples in rows.
    rows
        Samples in one block, 1 or more.
    layer
        Layer of an h5ad file; None stands for X.

    Attributes
    ----------
    path
        The file.
    names
        Feature names, in the order of the columns.

    Raises
    ------
    InputError
        When the file cannot be read, a feature name is missing or stands twice; on the way, when a sample name stands
        twice or a cell is not a number.
    """

    def __init__(self, path: Path, *, rows: int = 1024, layer: str | None = None) -> None:
        if rows < 1:
            raise InputError(f"TableBlocks: rows must be 1 or more, got {rows}.")
        self.path = Path(path)
        self._rows = rows
        self._table = _open(self.path, layer)
        self.names = tuple(self._table.columns)
        require_names(self.names, what="feature names", where=str(path))

    @cached_property
    def n_rows(self) -> int:
        """Number of samples; a text file is read through once for it."""
        return self._table.count()

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], npt.NDArray[np.float32]]]:
        """Yield sample names and values, shape ``(sample, feature)``; a block may be smaller than asked for."""
        seen: set[str] = set()
        for names, values in self._table.blocks(self._rows, np.float32):
            repeated = [name for name in names if name in seen]
            require_unique([*names, *repeated], what="sample names", where=str(self.path))
            seen.update(names)
            yield tuple(names), values.astype(np.float32, copy=False)


def estimate_bytes(path: Path, *, layer: str | None = None) -> int:
    """Return the bytes that the whole table would take as float64; for a text file an upper bound, from its lines."""
    return dense_bytes(_open(Path(path), layer))


def require_fits_memory(path: Path, *, layer: str | None = None, limit_gb: float | None = None) -> None:
    """Raise :class:`InputError` with the size when the whole table would exceed the limit.

    Parameters
    ----------
    path
        A csv, tsv, txt (also .gz), parquet or h5ad file.
    layer
        Layer of an h5ad file; None stands for X.
    limit_gb
        Limit in units of 10^9 bytes; None stands for half of this machine's memory.
    """
    require_fits(_open(Path(path), layer), limit_gb=limit_gb)


def _open(path: Path, layer: str | None) -> Rows:
    if path.suffix.lower() == ".h5ad":
        return H5adRows(path, layer=layer)
    if layer is not None:
        raise InputError(f"{path}: only h5ad files have layers. Leave out the layer {layer!r}.")
    return open_table(path)
