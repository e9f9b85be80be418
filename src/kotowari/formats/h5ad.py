"""Annotated tables of AnnData (.h5ad): values by sample and gene, dense or sparse, with the labels beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few, require_extra
from kotowari.core.errors import InputError, KotowariError
from kotowari.core.files import write_bytes
from kotowari.formats.memory import require_fits
from kotowari.formats.rows import Block, require_file, require_names

__all__ = ["H5adRows", "read_h5ad", "write_h5ad"]


class H5adRows:
    """The values of an h5ad file, read from disk by rows; implements :class:`kotowari.formats.rows.Rows`.

    A sparse table stored by columns is held in memory, sparse, since its rows cannot be read alone.

    Parameters
    ----------
    path
        The file.
    layer
        Name of a layer; None stands for X.

    Attributes
    ----------
    obs
        The table of annotations, one row a sample, sample names as text in the index.

    Raises
    ------
    InputError
        When the file cannot be read as h5ad, has no such layer, or a name is missing or stands twice.
    """

    def __init__(self, path: Path, *, layer: str | None = None) -> None:
        self.path = path
        self._layer = layer
        with self._values() as (file, values):
            self.obs = _annotations(path, file["obs"])
            self.columns = [str(name).strip() for name in _annotations(path, file["var"]).index]
            shape = tuple(values.shape)
        self.obs.index = pd.Index([str(name).strip() for name in self.obs.index], name=self.obs.index.name)
        require_names(self.columns, what="gene names", where=str(path))
        require_names(list(self.obs.index), what="sample names", where=str(path))
        if shape != (len(self.obs), len(self.columns)) or not all(shape):
            raise InputError(
                f"{path}: values of shape {shape} stand beside {len(self.obs)} samples and {len(self.columns)} genes. "
                "All three must agree, and none may be empty."
            )

    def count(self) -> int:
        """Return the number of samples."""
        return len(self.obs)

    def bound(self) -> int:
        """Return the number of samples."""
        return len(self.obs)

    def blocks(self, size: int, dtype: npt.DTypeLike) -> Iterator[Block]:
        """Yield names and values of up to ``size`` samples at a time, shape ``(row, column)``."""
        names = list(self.obs.index)
        with self._values() as (_, values):
            for start in range(0, len(names), size):
                part = values[start : start + size]
                dense = part if isinstance(part, np.ndarray) else part.toarray()
                yield names[start : start + size], dense.astype(dtype, copy=False)

    @contextmanager
    def _values(self) -> Iterator[tuple[Any, Any]]:
        """Yield the open file, and its values as something that gives rows when sliced."""
        h5py = require_extra("h5py", extra="omics", by=f"Reading {self.path.name}")
        require_file(self.path)
        try:
            with h5py.File(self.path, "r") as file:
                stored = self._stored(file)
                if isinstance(stored, h5py.Dataset):
                    yield file, stored
                    return
                if stored.attrs.get("encoding-type") not in ("csr_matrix", "csc_matrix"):
                    raise InputError(
                        f"{self.path}: its values are no array, dense or sparse. Write it again by anndata."
                    )
                sparse = _anndata_io(self.path).sparse_dataset(stored)
                yield file, sparse if sparse.format == "csr" else sparse.to_memory().tocsr()
        except KotowariError:
            raise
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:  # what h5py raises for damaged files
            raise InputError(f"{self.path}: is not a whole h5ad file ({error}).") from error

    def _stored(self, file: Any) -> Any:
        missing = [name for name in ("obs", "var") if name not in file]
        if missing:
            raise InputError(f"{self.path}: is HDF5 but not h5ad (it has no {' and no '.join(missing)}).")
        layers = list(file.get("layers", {}))
        if self._layer is None and "X" not in file:
            raise InputError(f"{self.path}: has no X. Name a layer; there are: {few(layers, 20) or 'none'}.")
        if self._layer is not None and self._layer not in layers:
            raise InputError(
                f"{self.path}: has no layer {self._layer!r}. There are: {few(layers, 20) or 'none'}. "
                "Without a layer, X is read."
            )
        return file["X"] if self._layer is None else file["layers"][self._layer]


def read_h5ad(
    path: Path,
    *,
    layer: str | None = None,
    label: str | None = None,
    groups: str | None = None,
    limit_gb: float | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the values and the annotations of an h5ad file.

    Missing values stay missing; :func:`kotowari.formats.require_numeric_table` finds them.

    Parameters
    ----------
    path
        The file.
    layer
        Name of a layer; None stands for X.
    label, groups
        Columns of ``obs`` that the caller needs; checked before any value is read.
    limit_gb
        Largest size to read, in units of 10^9 bytes as float64; None stands for half of this machine's memory.

    Returns
    -------
    X
        Shape ``(sample, gene)``, float32, a sparse table made dense; names as text.
    obs
        The whole table of annotations, rows as in ``X``.

    Raises
    ------
    InputError
        When the file cannot be read, a named column or layer is not in it, a name stands twice, or it is too large.
    """
    rows = H5adRows(Path(path), layer=layer)
    for column in (label, groups):
        if column is not None and column not in rows.obs.columns:
            raise InputError(f"{path}: obs has no column {column!r}. There are: {few(rows.obs.columns, 20) or 'none'}.")
    require_fits(rows, limit_gb=limit_gb)
    _, values = next(rows.blocks(rows.count(), np.float32))
    return pd.DataFrame(values, index=rows.obs.index, columns=rows.columns), rows.obs


def write_h5ad(path: Path, frame: pd.DataFrame, obs: pd.DataFrame) -> None:
    """Replace the file at ``path`` by values and annotations in one step.

    Parameters
    ----------
    path
        The file.
    frame
        Shape ``(sample, gene)``; stored as it is, dense.
    obs
        Annotations; one row for each row of ``frame``, in its order.

    Raises
    ------
    InputError
        When the rows of ``obs`` are not those of ``frame``.
    """
    if not frame.index.equals(obs.index):
        raise InputError(f"{path}: the rows of obs are not the samples of the table. Give both in the same order.")
    h5py = require_extra("h5py", extra="omics", by=f"Writing {path.name}")
    anndata = require_extra("anndata", extra="omics", by=f"Writing {path.name}")
    names = pd.DataFrame(index=frame.columns.astype(str))
    table = anndata.AnnData(frame.to_numpy(), obs=obs.set_axis(obs.index.astype(str)), var=names)
    table.strings_to_categoricals()  # text with gaps in it can be stored as categories only
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        _anndata_io(path).write_elem(file, "/", table)
    write_bytes(path, buffer.getvalue())


def _annotations(path: Path, group: Any) -> pd.DataFrame:
    elements = _anndata_io(path)
    try:
        frame: pd.DataFrame = elements.read_elem(group)
    except Exception as error:  # anndata has no public name for its fault of an encoding that it does not know
        raise InputError(f"{path}: {group.name} cannot be read by the installed anndata ({error}).") from error
    return frame


def _anndata_io(path: Path) -> Any:
    return require_extra("anndata.io", extra="omics", by=f"Working with {path.name}")
