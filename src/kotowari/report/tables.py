"""CSV files of a run folder as tables of the page: the first rows, with numbers made readable."""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kotowari.core.page import Table
from kotowari.report.numerals import DASH, MINUS, decimals_for, fixed, p_value, significant

__all__ = ["MAX_ROWS", "TableView", "is_plain_name", "read_table"]

MAX_ROWS = 200
_MAX_CELL = 300
_P_COLUMN = re.compile(r"(^|[ _.-])(p|q|fdr|padj|p[ _-]?values?|q[ _-]?values?)($|[ _.-])", re.IGNORECASE)
_ABSENT = {"", "nan", "none", "na", "null"}


@dataclass(frozen=True)
class TableView:
    """A table as the page shows it.

    Parameters
    ----------
    columns
        Heading of each column, and whether it holds numbers.
    rows
        Cells as text.
    total
        How many rows the file holds.
    missing
        Why the table cannot be shown; empty when it is shown.
    """

    file: str
    title: str
    caption: str
    section: str
    columns: tuple[tuple[str, bool], ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    total: int = 0
    missing: str = ""


def read_table(table: Table, folder: Path) -> TableView:
    """Read the first rows of ``folder/<file>``; what cannot be read is said in the view, not raised."""
    words = (table.file, table.title, table.caption, table.section)
    if not is_plain_name(table.file):
        return TableView(*words, missing="its name leads out of the run folder")
    try:
        with (folder / table.file).open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            shown: list[list[str]] = []
            total = 0
            for row in filter(None, reader):  # a blank line is no row
                total += 1
                if total <= min(table.rows, MAX_ROWS):
                    shown.append([*row, *[""] * (len(header) - len(row))][: len(header)])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return TableView(*words, missing=f"it cannot be read ({getattr(error, 'strerror', None) or error})")
    columns = [_column(name, [row[i] for row in shown]) for i, name in enumerate(header)]
    return TableView(
        *words,
        columns=tuple((name.replace("_", " "), numeric) for name, (numeric, _) in zip(header, columns, strict=True)),
        rows=tuple(zip(*(cells for _, cells in columns), strict=True)),
        total=total,
    )


def is_plain_name(name: str) -> bool:
    """Tell whether ``name`` is a file name alone, without a way to another folder."""
    return name not in {"", ".", ".."} and not {"/", "\\", "\0"} & set(name)


def _column(name: str, cells: Sequence[str]) -> tuple[bool, list[str]]:
    """Return whether a column holds numbers, and its cells ready to print."""
    numbers = [_number(cell) for cell in cells]
    known = [number for number in numbers if number is not None and math.isfinite(number)]
    if any(n is None and c.strip().lower() not in _ABSENT for n, c in zip(numbers, cells, strict=True)) or not known:
        return False, [_cut(cell) if cell.strip() else DASH for cell in cells]
    if _P_COLUMN.search(name):
        return True, [p_value(number) for number in numbers]
    if all(re.fullmatch(r"\s*[+-]?\d+\s*", cell) for cell in cells if cell.strip().lower() not in _ABSENT):
        return True, [DASH if n is None else c.strip().replace("-", MINUS) for n, c in zip(numbers, cells, strict=True)]
    decimals = decimals_for([], known)
    return True, [_decimal(number, decimals) for number in numbers]


def _decimal(number: float | None, decimals: int) -> str:
    if number is None or (number != 0 and abs(number) < 0.5 * 10**-decimals) or abs(number) >= 1e6:
        return significant(number, 2)
    return fixed(number, decimals)


def _number(cell: str) -> float | None:
    text = cell.strip()
    if text.lower() in _ABSENT:
        return None
    try:
        return float(text) if re.fullmatch(r"[-+0-9.eEinfINF]+", text) else None
    except ValueError:
        return None


def _cut(cell: str) -> str:
    return cell if len(cell) <= _MAX_CELL else f"{cell[:_MAX_CELL]} …"
