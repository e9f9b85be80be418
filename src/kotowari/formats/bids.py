"""BIDS derivatives: the anatomical files of each participant found fast, and participants.tsv read with its units."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from kotowari.core.errors import InputError
from kotowari.formats.delimited import MISSING, DelimitedRows
from kotowari.formats.rows import require_names

__all__ = ["BidsFile", "index_bids", "read_participants"]

_ENTITY = re.compile(r"(?:^|_)(sub|ses)-([A-Za-z0-9]+)(?=_)")
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d{0,14})(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,2})?", re.ASCII)
_NOT_AVAILABLE = MISSING | {"n/a"}  # the word of BIDS, "Common principles: tabular files"


@dataclass(frozen=True)
class BidsFile:
    """One anatomical file.

    Parameters
    ----------
    participant
        Label behind ``sub-``.
    session
        Label behind ``ses-``; empty where the tree has no sessions.
    path
        The file.
    """

    participant: str
    session: str
    path: Path


def index_bids(root: Path, pattern: str) -> list[BidsFile]:
    """Return the files ``sub-*/[ses-*/]anat/<pattern>``, by participant, session and name.

    Only these folders are looked into, each once, and no file is opened.

    Parameters
    ----------
    root
        Top of a BIDS tree, such as a folder of ``derivatives``.
    pattern
        Name of a file with ``*`` and ``?``; upper and lower case differ.

    Raises
    ------
    InputError
        When the folder cannot be read, or a file's name tells another participant or session than its folder.
    """
    root = Path(root)
    return [
        _checked(BidsFile(subject[4:], session[4:], path))
        for subject, folder in _folders(root, "sub-")
        for session, parent in [("", folder), *_folders(folder, "ses-")]
        for path in _files(parent / "anat", pattern)
    ]


def read_participants(path: Path) -> pd.DataFrame:
    """Return participants.tsv: one row a participant, its labels without ``sub-`` in the index.

    A column becomes numbers when every cell in it is one; what a number would not keep, such as leading zeros, stays
    text. ``n/a``, as BIDS has it, and the other words for a missing value become NaN.

    Parameters
    ----------
    path
        A tsv, csv or txt file (also .gz) with a column ``participant_id``.

    Returns
    -------
    DataFrame
        Shape ``(participant, column)``; ``attrs["lines"]`` holds the line of each row in the file.

    Raises
    ------
    InputError
        When the file cannot be read, has no such column, a row is short or long, or a name is missing or stands twice.
    """
    path = Path(path)
    rows = DelimitedRows(path, index=False)
    require_names(rows.columns, what="column names", where=str(path))
    if "participant_id" not in rows.columns:
        raise InputError(f"{path}: has no column participant_id. Name the column of the participants so.")
    lines = list(rows.cells())
    columns = dict(zip(rows.columns, zip(*(cells for _, _, cells in lines), strict=True), strict=True))
    names = [cell.strip().removeprefix("sub-") for cell in columns.pop("participant_id")]
    _require_unique_rows(path, names, [line for line, _, _ in lines])
    frame = pd.DataFrame(
        {name: _column(cells) for name, cells in columns.items()}, index=pd.Index(names, name="participant_id")
    )
    frame.attrs["lines"] = [line for line, _, _ in lines]
    return frame


def _folders(parent: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for name, is_folder in _listing(parent):
        if is_folder and name.startswith(prefix):
            yield name, parent / name


def _files(parent: Path, pattern: str) -> list[Path]:
    if not parent.is_dir():
        return []
    return [parent / name for name, is_folder in _listing(parent) if not is_folder and fnmatchcase(name, pattern)]


def _listing(folder: Path) -> list[tuple[str, bool]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror}). Check the path.") from error


def _checked(file: BidsFile) -> BidsFile:
    told = dict(_ENTITY.findall(file.path.name))
    for entity, label in (("sub", file.participant), ("ses", file.session)):
        if told.get(entity, "") != label:
            raise InputError(
                f"{file.path}: its name tells {entity}-{told.get(entity, '(none)')}, its folder {entity}-"
                f"{label or '(none)'}. Move or rename it."
            )
    return file


def _require_unique_rows(path: Path, names: list[str], lines: list[int]) -> None:
    first: dict[str, int] = {}
    for name, line in zip(names, lines, strict=True):
        if not name:
            raise InputError(f"{path}: line {line} has no participant_id. Fill it in.")
        if name in first:
            raise InputError(
                f"{path}: participant {name!r} stands in line {first[name]} and in line {line}. Keep one row each."
            )
        first[name] = line


def _column(cells: tuple[str, ...]) -> list[float] | list[str | float]:
    texts = [cell.strip() for cell in cells]
    if all(_NUMBER.fullmatch(text) for text in texts if text not in _NOT_AVAILABLE):
        return [np.nan if text in _NOT_AVAILABLE else float(text) for text in texts]
    return [np.nan if text in _NOT_AVAILABLE else text for text in texts]
