"""Tables of numbers and of labels: csv, tsv, txt (plain or gzipped) and parquet, samples by name."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from kotowari.core.errors import InputError
from kotowari.formats.delimited import MISSING, DelimitedRows, plain_suffix
from kotowari.formats.memory import require_fits
from kotowari.formats.parquet import ParquetRows, read_parquet, write_parquet
from kotowari.formats.rows import Rows, require_names
from kotowari.formats.text import write_encoded

__all__ = ["open_table", "read_annotations", "read_table", "require_numeric_table", "write_table"]

Orientation = Literal["samples", "genes"]

_DELIMITED = (".csv", ".tsv", ".txt")
_ROWS = 256  # read at a time
# leading zeros, or more than 15 digits, speak for an identifier, which a number would not keep
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d{0,14})(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,2})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)


def read_table(
    path: Path, *, index: bool = True, orientation: Orientation = "samples", limit_gb: float | None = None
) -> pd.DataFrame:
    """Return a table of numbers, samples in rows, features in columns.

    Missing values (empty, NA, N/A, NaN, null) come back as NaN; :func:`require_numeric_table` finds them.

    Parameters
    ----------
    path
        A csv, tsv, txt (also .gz) or parquet file with a header.
    index
        Whether the first column holds names; without it rows are named by their number from 0.
    orientation
        What the rows of the file are; a file of genes is turned round.
    limit_gb
        Largest size to read, in units of 10^9 bytes as float64; None stands for half of this machine's memory.

    Returns
    -------
    DataFrame
        Shape ``(sample, feature)``, float64; names are text without spaces around them.

    Raises
    ------
    InputError
        When the file cannot be read or is empty, a cell is not a number, a row is short or long, a name is missing or
        stands twice, or the table is too large; the sentence names row and column.
    """
    rows = open_table(Path(path), index=index)
    by_samples = orientation == "samples"
    row_words, column_words = ("sample names", "feature names") if by_samples else ("feature names", "sample names")
    require_names(rows.columns, what=column_words, where=str(path))
    require_fits(rows, limit_gb=limit_gb)
    names, values = _whole(rows)
    require_names(names, what=row_words, where=str(path))
    frame = pd.DataFrame(values, index=names, columns=rows.columns)
    return frame if by_samples else frame.T


def read_annotations(path: Path) -> pd.DataFrame:
    """Return a table of labels: one row a sample, columns of any kind.

    A column of a text file becomes numbers when every cell in it is one; what a number would not keep, such as leading
    zeros, stays text. Missing values are NaN.

    Parameters
    ----------
    path
        A csv, tsv, txt (also .gz) or parquet file with a header; the first column holds the sample names.

    Raises
    ------
    InputError
        When the file cannot be read or is empty, a row is short or long, or a name is missing or stands twice.
    """
    path = Path(path)
    rows = open_table(path)
    require_names(rows.columns, what="column names", where=str(path))
    if isinstance(rows, DelimitedRows):
        lines = list(rows.cells())
        columns = zip(*(cells for _, _, cells in lines), strict=True)
        named = {name: _column(cells) for name, cells in zip(rows.columns, columns, strict=True)}
        frame = pd.DataFrame(named, index=[name for _, name, _ in lines])
    else:
        frame = read_parquet(path).set_axis(rows.columns, axis=1)
    require_names(list(frame.index), what="sample names", where=str(path))
    return frame


def write_table(path: Path, frame: pd.DataFrame, *, index: bool = True) -> None:
    """Replace the file at ``path`` by ``frame`` in one step; the suffix names the format.

    Numbers are written with as many digits as they need to be read back unchanged; missing values as empty cells.

    Parameters
    ----------
    path
        A name that ends in csv, tsv, txt (also .gz; txt is written with tabs) or parquet.
    frame
        The table.
    index
        Whether its row names are written.

    Raises
    ------
    InputError
        When the suffix names no format.
    RunFolderError
        When the file cannot be written.
    """
    path = Path(path)
    if _require_format(path) == ".parquet":
        write_parquet(path, frame, index=index)
        return
    separator = "," if plain_suffix(path) == ".csv" else "\t"
    write_encoded(path, frame.to_csv(sep=separator, index=index, lineterminator="\n"))


def require_numeric_table(frame: pd.DataFrame, *, where: str, allow_missing: bool = False) -> None:
    """Raise :class:`InputError` at the first cell that no computation can use.

    Parameters
    ----------
    frame
        Shape ``(sample, feature)``.
    where
        The table's name, first word of the sentence.
    allow_missing
        Whether NaN may stand; infinite values never may.

    Raises
    ------
    InputError
        When a cell holds text, is missing or is infinite; names the first, by row, and tells how many there are.
    """
    for j, kind in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            _refuse_text(frame, j, where)
    values = frame.to_numpy(dtype=float, na_value=np.nan)
    if not allow_missing:
        _refuse(frame, np.isnan(values), "missing", "Fill it in, or leave out its row or column", where)
    _refuse(frame, np.isinf(values), "infinite", "Correct it, or leave it empty if it is not known", where)


def open_table(path: Path, *, index: bool = True) -> Rows:
    """Open a csv, tsv, txt (also .gz) or parquet file for reading by rows."""
    if _require_format(path) == ".parquet":
        return ParquetRows(path, index=index)
    return DelimitedRows(path, index=index)


def _require_format(path: Path) -> str:
    suffix = path.suffix.lower() if path.suffix.lower() == ".parquet" else plain_suffix(path)
    if suffix != ".parquet" and suffix not in _DELIMITED:
        raise InputError(
            f"{path}: is no table that can be read or written here. The name must end in csv, tsv or txt "
            "(also with .gz), or in parquet."
        )
    return suffix


def _whole(rows: Rows) -> tuple[list[str], Any]:
    names: list[str] = []
    values = np.empty((rows.bound(), len(rows.columns)))
    for block, part in rows.blocks(_ROWS, np.float64):
        values[len(names) : len(names) + len(block)] = part
        names += block
    return names, values[: len(names)]


def _column(cells: Sequence[str]) -> Any:
    texts = [cell.strip() for cell in cells]
    present = [text for text in texts if text not in MISSING]
    if not all(_NUMBER.fullmatch(text) for text in present):
        return np.array([np.nan if text in MISSING else text for text in texts], dtype=object)
    if len(present) == len(texts) and all(_INTEGER.fullmatch(text) for text in texts):
        return np.array([int(text) for text in texts])
    return np.array([np.nan if text in MISSING else float(text) for text in texts])


def _refuse_text(frame: pd.DataFrame, j: int, where: str) -> None:
    column = frame.iloc[:, j]
    i = next((i for i, value in enumerate(column) if isinstance(value, str)), 0)
    raise InputError(
        f"{where}: row {str(frame.index[i])!r}, column {str(frame.columns[j])!r}: {column.iloc[i]!r} is not a number. "
        "Every column must hold numbers alone."
    )


def _refuse(frame: pd.DataFrame, wrong: Any, word: str, remedy: str, where: str) -> None:
    count = int(wrong.sum())
    if not count:
        return
    i, j = divmod(int(wrong.argmax()), wrong.shape[1])
    values = "1 value is" if count == 1 else f"{count} values are"
    raise InputError(
        f"{where}: {values} {word}, first in row {str(frame.index[i])!r}, column {str(frame.columns[j])!r}. {remedy}."
    )
