"""What every table of numbers offers, whichever file it lies in: names, and blocks of rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import few, require_unique
from kotowari.core.errors import InputError

__all__ = ["Block", "Rows", "require_file", "require_names"]

Block = tuple[list[str], npt.NDArray[np.floating[Any]]]


class Rows(Protocol):
    """A table of numbers in a file, read row by row; the names of rows and columns are as they stand there.

    Attributes
    ----------
    path
        The file.
    columns
        Names of the columns of numbers, in order.
    """

    path: Path
    columns: list[str]

    def count(self) -> int:
        """Return the number of rows; a text file is read through for it."""
        ...

    def bound(self) -> int:
        """Return a number that the rows cannot exceed, as cheaply as the format allows."""
        ...

    def blocks(self, size: int, dtype: npt.DTypeLike) -> Iterator[Block]:
        """Yield names and values of up to ``size`` rows at a time, shape ``(row, column)``; missing values are NaN."""
        ...


def require_names(names: Sequence[str], *, what: str, where: str) -> None:
    """Raise :class:`InputError` when a name is empty or stands twice.

    Parameters
    ----------
    names
        Names in the order of the file.
    what
        What they name, in the plural: ``"sample names"``.
    where
        The file or table, first word of the sentence.
    """
    nameless = [number for number, name in enumerate(names, start=1) if not name]
    if nameless:
        raise InputError(
            f"{where}: {len(nameless)} {what} are empty (number {few(nameless)}, counted from 1). Fill them in."
        )
    require_unique(names, what=what, where=where)


def require_file(path: Path) -> None:
    """Raise :class:`InputError` when there is no file at ``path``."""
    if not path.is_file():
        fault = "is a folder, not a file" if path.is_dir() else "is not there"
        raise InputError(f"{path}: {fault}. Check the path.")
