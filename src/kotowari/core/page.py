"""What a study puts into its report, besides numbers: words, figures and tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import pandas as pd

from kotowari.core.files import read_json, write_bytes, write_json

__all__ = ["Figure", "Page", "Table", "write_table"]


@dataclass(frozen=True)
class Figure:
    """A picture in ``figures/``.

    Parameters
    ----------
    file
        Name of a PNG in ``figures/``.
    title, caption
        A heading, and what the reader sees and should think of it.
    section
        Where it stands: ``result``, ``reason``, ``trust``, ``pathways``, ``patients``.
    """

    file: str
    title: str
    caption: str
    section: str


@dataclass(frozen=True)
class Table:
    """A table in ``tables/``, shown in the report up to a number of rows.

    Parameters
    ----------
    file
        Name of a CSV in ``tables/``.
    title, caption
        A heading, and how to read the columns.
    section
        As in :class:`Figure`.
    rows
        How many rows the report shows; the file holds all.
    """

    file: str
    title: str
    caption: str
    section: str
    rows: int = 15


@dataclass(frozen=True)
class Page:
    """The words of a report.

    Parameters
    ----------
    title
        What was done, in a line.
    question
        The question that the run answers.
    answers
        The answer in sentences, the most important first, with their figures.
    data
        Facts on what went in, as pairs of name and value.
    limits
        What the result does not say.
    reading
        How to read the report, a sentence each.
    """

    title: str
    question: str
    answers: Sequence[str]
    data: Sequence[tuple[str, str]]
    limits: Sequence[str]
    reading: Sequence[str]
    figures: Sequence[Figure] = field(default=())
    tables: Sequence[Table] = field(default=())

    def save(self, folder: Path) -> None:
        """Write ``page.json`` into the run folder."""
        write_json(folder / "page.json", asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read back what :meth:`save` wrote."""
        words = read_json(folder / "page.json")
        words["data"] = [(name, value) for name, value in words["data"]]
        words["figures"] = [Figure(**figure) for figure in words["figures"]]
        words["tables"] = [Table(**table) for table in words["tables"]]
        return cls(**words)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV (UTF-8, no index) in one step."""
    write_bytes(path, table.to_csv(index=False).encode())
