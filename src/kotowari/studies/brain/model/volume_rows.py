"""A file of volumes that fills row by row and survives a kill."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from kotowari.core.errors import InputError, RunFolderError
from kotowari.core.files import fingerprint
from kotowari.studies.brain.model.volume_reader import HalfArray, Row

__all__ = ["VolumeRows"]


class VolumeRows:
    """Volumes as float16 in one file, with a journal beside of the rows that are whole.

    A row enters the journal after its values are on the disk, so that a killed process leaves nothing half-written
    behind that anyone would believe.

    Parameters
    ----------
    path
        The file, ``.npy``; what an earlier process left in it and in its journal is gone on with.
    shape
        ``(row, x, y, z)``.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path = path
        self._journal = path.with_suffix(".jsonl")
        if not path.is_file():
            self._journal.unlink(missing_ok=True)
            open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
        self._offset = int(open_memmap(path, mode="r").offset)

    def standing(self, paths: Sequence[Path]) -> dict[int, Row]:
        """Return the rows of the journal whose files are what they were."""
        if not self._journal.is_file():
            return {}
        rows = {}
        for line in self._journal.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, TypeError):  # a killed process may leave a torn line
                row = Row(**json.loads(line))
                if row.number < len(paths) and _is_unchanged(row, paths[row.number]):
                    rows[row.number] = row
        return rows

    def write(self, number: int, values: HalfArray) -> None:
        """Put a row onto the disk; several threads may do so at once."""
        try:
            with self.path.open("r+b") as file:
                file.seek(self._offset + number * values.nbytes)
                file.write(values.data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._refused(error) from error

    def note(self, row: Row) -> None:
        """Enter a row that was written into the journal."""
        try:
            with self._journal.open("a", encoding="utf-8") as file:
                # the line's end first, so that a torn line before costs itself alone
                file.write(f"\n{json.dumps(asdict(row))}")
        except OSError as error:
            raise self._refused(error) from error

    def values(self, number: int) -> HalfArray:
        """Return one row, mapped from the file for as long as the result lives."""
        row: HalfArray = open_memmap(self.path, mode="r")[number]
        return row

    def _refused(self, error: OSError) -> RunFolderError:
        return RunFolderError(
            f"{self.path}: cannot be written ({error.strerror}). Free space and start again; the rows in it are kept."
        )


def _is_unchanged(row: Row, path: Path) -> bool:
    with suppress(InputError):
        return fingerprint(path)["sha256"] == row.sha256
    return False
