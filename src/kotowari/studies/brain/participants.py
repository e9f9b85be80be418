"""Who takes part: participants.tsv matched with the volumes, row by row, or told precisely why not."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import InputError
from kotowari.formats.bids import read_participants
from kotowari.studies.brain.volume_files import Layout, VolumeFile, find_volumes

__all__ = ["Cohort", "participants_path", "read_cohort"]


@dataclass(frozen=True, eq=False)
class Cohort:
    """Participants in the order of their volumes.

    Parameters
    ----------
    table
        One row a participant, labels without ``sub-`` in the index.
    paths
        One file a row.
    where
        Name of the table, first word of sentences.
    notes
        What a reader should know: who was left out.
    """

    table: pd.DataFrame
    paths: tuple[Path, ...]
    where: str
    notes: tuple[str, ...]

    @property
    def subjects(self) -> tuple[str, ...]:
        """Labels in the order of the rows."""
        return tuple(str(name) for name in self.table.index)

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """Return a column of numbers, shape ``(participant,)``; NaN where a value is missing.

        Raises
        ------
        InputError
            When there is no such column, or a cell holds something else than a finite number; names participant and
            column.
        """
        column = self.column(name)
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
        wrong = ~np.isfinite(numbers) & column.notna().to_numpy()
        if wrong.any():
            i = int(wrong.argmax())
            raise InputError(
                f"{self.where}: participant {self.subjects[i]!r}, column {name!r}: {column.iloc[i]!r} is not a number "
                f"({int(wrong.sum())} such cells). Write a number with a decimal point, or n/a if it is not known."
            )
        return numbers

    def labels(self, name: str) -> npt.NDArray[np.str_]:
        """Return a column of labels as text, such as site or sex, shape ``(participant,)``.

        Raises
        ------
        InputError
            When there is no such column, or a participant has no label.
        """
        column = self.column(name)
        if column.isna().any():
            nameless = [self.subjects[i] for i in np.flatnonzero(column.isna().to_numpy())]
            raise InputError(f"{self.where}: {name} is missing for {few(nameless)}. Every participant needs one.")
        if pd.api.types.is_float_dtype(column) and (column == column.round()).all():
            column = column.astype(np.int64)
        return column.astype(str).to_numpy(dtype=np.str_)

    def column(self, name: str) -> pd.Series:
        """Return a column as it was read; refused where there is none of this name."""
        if name not in self.table.columns:
            there = few(self.table.columns, 20) or "none"
            raise InputError(f"{self.where}: has no column {name!r}. There are: {there}.")
        return self.table[name]


def read_cohort(
    source: Path,
    participants: Path | None = None,
    *,
    layout: Layout = "auto",
    pattern: str | None = None,
    session: str | None = None,
    unmatched: Literal["refuse", "drop"] = "refuse",
) -> Cohort:
    """Find the volumes and match them with the table of participants.

    A participant is told by ``sub-<label>`` in the name of file or folder; without it, by the file's name without the
    prefix of SPM or CAT, which must be a ``participant_id`` or begin with one and a mark that is no letter or digit;
    else by a folder of that name. The longest name that fits is taken.

    Parameters
    ----------
    source
        A folder of volumes, or a table of their paths; see :func:`kotowari.studies.brain.volume_files.find_volumes`.
    participants
        The table of participants; None stands for ``participants.tsv`` in the folder, or for the table of paths itself.
    layout, pattern
        How the volumes lie, and which are meant.
    session
        Label of the session that is meant; needed where a participant has several.
    unmatched
        Whether volumes without a row and rows without a volume are refused, or left out and noted.

    Returns
    -------
    Cohort
        In the order of the table of participants.

    Raises
    ------
    InputError
        When a file or table cannot be read, a volume belongs to no participant, a participant has no volume or several.
    """
    source = Path(source)
    files = _of_session(find_volumes(source, layout=layout, pattern=pattern), session, source)
    path = participants_path(source, participants)
    table = read_participants(path)
    owners, strangers = _owners(files, table)
    absent = [str(name) for name in table.index if name not in owners]
    _require_one_each(owners, path)
    notes = _notes(path, source, strangers, absent, table, unmatched)
    kept = table.loc[[name for name in table.index if name in owners]]
    if not len(kept):
        raise InputError(
            f"{path}: no participant has a volume below {source} (participants {few(table.index)}; files "
            f"{few(file.path.name for file in files)}). Name the files by participant_id, or give a table of paths."
        )
    kept = kept.drop(columns=[name for name in ("path", "session") if path == source and name in kept.columns])
    return Cohort(kept, tuple(owners[str(name)][0].path for name in kept.index), path.name, notes)


def participants_path(source: Path, participants: Path | None) -> Path:
    """Return the table of participants: the one named, the table of paths itself, or the one beside the volumes.

    Raises
    ------
    InputError
        When none is named, and neither the folder of the volumes nor the two above it hold a ``participants.tsv``.
    """
    if participants is not None:
        return Path(participants)
    if source.is_file():
        return source
    for folder in (source, *source.parents[:2]):  # derivatives lie one or two folders below the data set
        if (folder / "participants.tsv").is_file():
            return folder / "participants.tsv"
    raise InputError(f"{source}: has no participants.tsv, nor have the two folders above it. Name the table.")


def _of_session(files: Sequence[VolumeFile], session: str | None, source: Path) -> list[VolumeFile]:
    if session is None:
        return list(files)
    label = session.removeprefix("ses-")
    chosen = [file for file in files if file.session == label]
    if not chosen:
        there = sorted({file.session for file in files if file.session})
        raise InputError(f"{source}: has no volume of session {label!r}. There are: {few(there, 20) or 'none'}.")
    return chosen


def _owners(files: Sequence[VolumeFile], table: pd.DataFrame) -> tuple[dict[str, list[VolumeFile]], list[VolumeFile]]:
    """Return the files of each participant, and those of nobody."""
    names = {str(name) for name in table.index}
    by_length = sorted(names, key=len, reverse=True)
    owners: dict[str, list[VolumeFile]] = defaultdict(list)
    strangers = []
    for file in files:
        owner = file.participant if file.participant in names else _owner_by_hints(file, by_length)
        if owner is None:
            strangers.append(file)
        else:
            owners[owner].append(file)
    return dict(owners), strangers


def _owner_by_hints(file: VolumeFile, by_length: Sequence[str]) -> str | None:
    if file.participant:
        return None  # the name says whose it is, and that is nobody in the table
    for hint in file.hints:
        for name in by_length:
            if hint == name or (hint.startswith(name) and not hint[len(name)].isalnum()):
                return name
    return None


def _require_one_each(owners: dict[str, list[VolumeFile]], path: Path) -> None:
    several = {name: files for name, files in owners.items() if len(files) > 1}
    if not several:
        return
    name, files = next(iter(several.items()))
    sessions = sorted({file.session for file in files if file.session})
    remedy = f"Choose a session ({few(sessions)})" if len(sessions) == len(files) else "Narrow the pattern"
    told = [f"{file.path.name} (line {file.row})" if file.row else file.path.name for file in files]
    raise InputError(
        f"{path}: {len(several)} participants have several volumes; {name!r} has {few(told)}. {remedy}, so that each "
        "participant has one."
    )


def _notes(
    path: Path,
    source: Path,
    strangers: Sequence[VolumeFile],
    absent: Sequence[str],
    table: pd.DataFrame,
    unmatched: Literal["refuse", "drop"],
) -> tuple[str, ...]:
    """Refuse, or tell, what has no partner on the other side."""
    lines = dict(zip(table.index, table.attrs["lines"], strict=True))
    sentences = []
    if strangers:
        whose = [
            f"{file.path.relative_to(source) if file.path.is_relative_to(source) else file.path.name}"
            + (f" (sub-{file.participant})" if file.participant else "")
            for file in strangers
        ]
        sentences.append(f"{len(strangers)} volumes belong to no row of {path.name}: {few(whose)}.")
    if absent:
        rows = [f"{name} (line {lines[name]})" for name in absent]
        sentences.append(f"{len(absent)} of {len(table)} rows of {path.name} have no volume: {few(rows)}.")
    if sentences and unmatched == "refuse":
        raise InputError(f"{path}: {' '.join(sentences)} Add what is missing, or leave both out with unmatched: drop.")
    return tuple(f"{sentence[:-1]}; left out." for sentence in sentences)
