"""Parquet tables: columns of numbers, read by batches of rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError, KotowariError
from kotowari.core.files import write_bytes
from kotowari.formats.memory import require_bytes
from kotowari.formats.rows import Block, require_file, require_names

__all__ = ["ParquetRows", "read_parquet", "write_parquet"]

# a reader holds one group of rows at a time, and the file's own directory grows with the number of groups
_GROUP_ROWS, _GROUP_CELLS = 1024, 1 << 20
_TOGETHER = 500  # columns


class ParquetRows:
    """A parquet file of numbers, read by its groups of rows; implements :class:`kotowari.formats.rows.Rows`.

    The row names are the index that pandas stored, else the first column.

    Parameters
    ----------
    path
        The file.
    index
        Whether there are row names; without them rows are named by their number from 0.

    Raises
    ------
    InputError
        When the file cannot be read, has no row or no column of values, or a column name is missing or stands twice.
    """

    def __init__(self, path: Path, *, index: bool = True) -> None:
        self.path = path
        with _opened(path) as file:
            names = list(file.schema_arrow.names)
            self._count = int(file.metadata.num_rows)
            position = _index_position(file.schema_arrow) if index else None
        require_names(names, what="column names", where=str(path))
        self._index = None if position is None else names[position]
        self._stored = [name for name in names if name != self._index]
        self.columns = [name.strip() for name in self._stored]
        if not self._count or not self.columns:
            raise InputError(
                f"{path}: has {self._count} rows and {len(self.columns)} columns beside the row names. "
                "A table needs one of each at least."
            )

    def count(self) -> int:
        """Return the number of rows."""
        return self._count

    def bound(self) -> int:
        """Return the number of rows, which the file tells."""
        return self._count

    def blocks(self, size: int, dtype: npt.DTypeLike) -> Iterator[Block]:
        """Yield names and values of up to ``size`` rows at a time, shape ``(row, column)``; missing values are NaN.

        Raises
        ------
        InputError
            When a column holds something else than numbers, a row has no name, or a group of rows is too large.
        """
        start = 0
        with _opened(self.path) as file:
            for group in range(file.num_row_groups):
                names, values = self._group(file, group, start, np.dtype(dtype))
                start += len(names)
                for first in range(0, len(names), size):
                    yield names[first : first + size], values[first : first + size]

    def _group(self, file: Any, group: int, start: int, dtype: np.dtype[Any]) -> Block:
        """Read one group of rows, a few columns at a time, since every column under way costs memory of its own."""
        count = int(file.metadata.row_group(group).num_rows)
        require_bytes(
            count * len(self.columns) * dtype.itemsize,
            what=f"{self.path}: the {count} rows that the file keeps together, as one array,",
            remedy="Write the file again with smaller groups of rows (row_group_size=1024)",
        )
        names = self._names(file, group, start, count)
        values = np.empty((count, len(self.columns)), dtype=dtype)
        float64 = _arrow(self.path).float64()
        for first in range(0, len(self.columns), _TOGETHER):
            stored = self._stored[first : first + _TOGETHER]
            table = file.read_row_group(group, columns=stored, use_threads=False)
            for j, name in enumerate(stored, start=first):
                column = _column(table, name)
                if not _is_number(column.type):
                    raise self._not_a_number(names, j, column, start)
                # unsafe: whole numbers above 2**53 are rounded rather than refused
                values[:, j] = column.cast(float64, safe=False).to_numpy()
        return names, values

    def _names(self, file: Any, group: int, start: int, count: int) -> list[str]:
        if self._index is None:
            return [str(start + i) for i in range(count)]
        table = file.read_row_group(group, columns=[self._index], use_threads=False)
        names = _row_names(_column(table, self._index))
        if "" in names:
            raise InputError(
                f"{self.path}: row {start + names.index('') + 1} (counted from 1) has no name. Fill it in."
            )
        return names

    def _not_a_number(self, names: list[str], j: int, column: Any, start: int) -> InputError:
        cells = column.to_pylist()
        i = next((i for i, cell in enumerate(cells) if cell is not None), 0)
        return InputError(
            f"{self.path}: row {names[i]!r} (row {start + i + 1}), column {self.columns[j]!r}: {cells[i]!r} is not a "
            f"number; the column is stored as {column.type}. Store it as numbers, or leave it out."
        )


def read_parquet(path: Path) -> pd.DataFrame:
    """Return the whole table, row names as text in the index; columns of any type."""
    with _opened(path) as file:
        position = _index_position(file.schema_arrow)
        table = file.read()
    names = _row_names(table.column(position))
    # without the metadata, since pandas would put its stored index back in place of ours
    frame: pd.DataFrame = table.remove_column(position).replace_schema_metadata(None).to_pandas()
    return frame.set_axis(names, axis=0)


def write_parquet(path: Path, frame: pd.DataFrame, *, index: bool = True) -> None:
    """Replace the file at ``path`` by ``frame`` in one step; the index is stored the way pandas stores it."""
    parquet = require_extra("pyarrow.parquet", extra="omics", by=f"Writing {path.name}")
    arrow = _arrow(path)
    table = arrow.Table.from_pandas(frame.set_axis(frame.columns.astype(str), axis=1), preserve_index=index)
    buffer = BytesIO()
    group = max(_GROUP_ROWS, _GROUP_CELLS // len(table.schema.names))
    parquet.write_table(table, buffer, row_group_size=group, use_dictionary=False, write_statistics=False)
    write_bytes(path, buffer.getvalue())


def _arrow(path: Path) -> Any:
    return require_extra("pyarrow", extra="omics", by=f"Working with {path.name}")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    parquet = require_extra("pyarrow.parquet", extra="omics", by=f"Reading {path.name}")
    require_file(path)
    try:
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            yield file
    except KotowariError:
        raise
    except (OSError, ValueError, _arrow(path).ArrowException) as error:
        raise InputError(f"{path}: is not a whole parquet file ({str(error).splitlines()[0]}).") from error


def _index_position(schema: Any) -> int:
    stored = (schema.pandas_metadata or {}).get("index_columns", [])
    named = [schema.names.index(name) for name in stored if isinstance(name, str) and name in schema.names]
    return named[0] if named else 0


def _row_names(column: Any) -> list[str]:
    return ["" if name is None else str(name).strip() for name in column.to_pylist()]


def _column(table: Any, name: str) -> Any:
    # asked for HLA, Arrow hands over HLA.A as well, which it takes for a part of it
    return table.column(table.schema.get_all_field_indices(name)[0])


def _is_number(kind: Any) -> bool:
    """Tell whether values of an Arrow type are numbers; truth values count as 0 and 1, an empty column as missing."""
    types = require_extra("pyarrow.types", extra="omics", by="Reading parquet")
    checks = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(check(kind) for check in checks)
