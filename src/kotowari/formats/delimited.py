"""Tables as text, cells parted by commas or tabs: every cell accounted for, every fault named by row and column."""

import csv
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.formats.rows import Block
from kotowari.formats.text import opened_text

__all__ = ["MISSING", "DelimitedRows", "plain_suffix"]

MISSING = frozenset({"", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null"})

_CHUNK = 1 << 20


def plain_suffix(path: Path) -> str:
    """Return the suffix in lower case; of a packed file, the one before ``.gz``.

    Examples
    --------
    >>> plain_suffix(Path("expression.CSV.gz"))
    '.csv'
    """
    path = path.with_suffix("") if path.suffix == ".gz" else path
    return path.suffix.lower()


class DelimitedRows:
    """A csv, tsv or txt file, plain or gzipped; implements :class:`kotowari.formats.rows.Rows`.

    Cells are parted by commas in csv and by tabs in tsv; in txt by tabs if the header holds one, else by commas. Spaces
    around names are dropped and blank lines passed over. A header that is one name short, as R writes it, is taken to
    have no word above the row names.

    Parameters
    ----------
    path
        The file.
    index
        Whether the first column holds the names of the rows; without it rows are named by their number from 0.

    Attributes
    ----------
    path
        The file.
    columns
        Names of the columns after the row names, in order.

    Raises
    ------
    InputError
        When the file cannot be read, is empty, has one column only or a header only.
    """

    def __init__(self, path: Path, *, index: bool = True) -> None:
        self.path = path
        self._index = index
        self._separator = _separator(path)
        top = [cells for _, cells in islice(self._split(), 2)]
        if not top:
            raise InputError(f"{path}: is empty. A table needs a header and at least one row.")
        if len(top) == 1:
            raise InputError(f"{path}: has a header but no rows.")
        header, first = top
        # an empty last cell speaks for a stray separator at the line's end, not for a header of R
        if index and len(first) == len(header) + 1 and first[-1].strip():
            header = ["", *header]
        self._width = len(header)
        names = [name.strip() for name in header]
        self.columns = names[1:] if index else names
        if not self.columns:
            word = "tabs" if self._separator == "\t" else "commas"
            raise InputError(
                f"{path}: has one column only. Name the rows in the first column, and part the cells by {word}."
            )

    def count(self) -> int:
        """Return the number of rows."""
        return sum(1 for _ in self.cells())

    def bound(self) -> int:
        """Return the number of lines below the header, which the rows cannot exceed."""
        ends, last = 0, ""
        with opened_text(self.path) as file:
            while chunk := file.read(_CHUNK):
                ends += chunk.count("\n") + chunk.count("\r") - chunk.count("\r\n")
                last = chunk[-1]
        return ends - (last in "\r\n")

    def cells(self) -> Iterator[tuple[int, str, list[str]]]:
        """Yield line number, row name and the cells as text.

        Raises
        ------
        InputError
            When a row has more or fewer cells than the header, or has no name.
        """
        for number, (line, cells) in enumerate(islice(self._split(), 1, None)):
            name = cells[0].strip() if self._index else str(number)
            if len(cells) != self._width:
                raise InputError(
                    f"{self.path}: row {name!r} (line {line}) has {len(cells)} cells where the header has "
                    f"{self._width}. Give every row one cell a column, empty where a value is missing."
                )
            if not name:
                raise InputError(f"{self.path}: line {line} has no row name in its first cell. Fill it in.")
            yield line, name, cells[1:] if self._index else cells

    def blocks(self, size: int, dtype: npt.DTypeLike) -> Iterator[Block]:
        """Yield names and values of up to ``size`` rows at a time, shape ``(row, column)``; missing values are NaN.

        Raises
        ------
        InputError
            When a cell is neither a number nor one of :data:`MISSING`, beside the faults that :meth:`cells` finds.
        """
        names: list[str] = []
        values = np.empty((size, len(self.columns)), dtype=dtype)
        for line, name, cells in self.cells():
            values[len(names)] = self._numbers(line, name, cells)
            names.append(name)
            if len(names) == size:
                yield names, values
                names, values = [], np.empty_like(values)
        if names:
            yield names, values[: len(names)]

    def _split(self) -> Iterator[tuple[int, list[str]]]:
        with opened_text(self.path) as file:
            reader = csv.reader(file, delimiter=self._separator)
            try:
                for cells in reader:
                    if cells:
                        yield reader.line_num, cells
            except csv.Error as error:
                raise InputError(
                    f"{self.path}: line {reader.line_num} cannot be parted into cells ({error}). "
                    "Look for a quotation mark that is not closed."
                ) from error

    def _numbers(self, line: int, name: str, cells: list[str]) -> npt.NDArray[np.float64]:
        if "_" not in "".join(cells):  # Python would read 1_000 as a number
            with suppress(ValueError):
                return np.asarray(cells, dtype=np.float64)
        return np.array([self._number(line, name, j, cell.strip()) for j, cell in enumerate(cells)])

    def _number(self, line: int, name: str, j: int, cell: str) -> float:
        if cell in MISSING:
            return np.nan
        with suppress(ValueError):
            if "_" not in cell:
                return float(cell)
        raise InputError(
            f"{self.path}: row {name!r} (line {line}), column {self.columns[j]!r}: {cell!r} is not a number. "
            "Write a number with a decimal point, or leave the cell empty if the value is missing."
        )


def _separator(path: Path) -> str:
    if plain_suffix(path) != ".txt":
        return "\t" if plain_suffix(path) == ".tsv" else ","
    with opened_text(path) as file:
        return "\t" if "\t" in file.readline() else ","
