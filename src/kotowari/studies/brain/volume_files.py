"""The volumes of a study found: a tree of BIDS derivatives, outputs of SPM12 or CAT12, or a table of paths."""

import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from kotowari.core.errors import InputError
from kotowari.formats.bids import index_bids
from kotowari.formats.delimited import DelimitedRows
from kotowari.formats.rows import require_names

__all__ = ["Layout", "VolumeFile", "find_volumes"]

Layout = Literal["auto", "bids", "spm", "table"]

_BIDS = "*_space-*_label-GM_*probseg.nii*"
# modulated (m), warped (w) grey matter (c1 of SPM12, p1 of CAT12)
_SPM = ("mwc1*.nii*", "mwp1*.nii*")
_DEEPEST = 6
_SUBJECT = re.compile(r"(?:^|_)sub-([A-Za-z0-9]+)")
_SESSION = re.compile(r"(?:^|_)ses-([A-Za-z0-9]+)")
_PREFIX = re.compile(r"^m0?w[cp]\d")
_SUFFIX = re.compile(r"\.nii(\.gz)?$")


@dataclass(frozen=True)
class VolumeFile:
    """A volume, and what its place and name tell of whose it is.

    Parameters
    ----------
    path
        The file.
    participant
        Label without ``sub-``; empty where only :attr:`hints` can tell.
    session
        Label without ``ses-``; may be empty.
    hints
        Words that may hold the participant's name: of the file, then of its folders, from the nearest.
    row
        Line of the table that names the file; 0 where there is none.
    """

    path: Path
    participant: str
    session: str = ""
    hints: tuple[str, ...] = ()
    row: int = 0


def find_volumes(source: Path, *, layout: Layout = "auto", pattern: str | None = None) -> list[VolumeFile]:
    """Return the volumes of a study, in the order of their paths or of the table.

    Parameters
    ----------
    source
        A folder, or a table (tsv, csv, txt) with the columns ``participant_id`` and ``path``; paths in it are relative
        to it.
    layout
        ``"bids"``: ``sub-*/[ses-*/]anat/``; ``"spm"``: any folders up to six deep, such as those of SPM12 and the
        ``mri`` folder of CAT12; ``"auto"``: a file is a table, and a folder is BIDS where that finds something.
    pattern
        Names of files with ``*`` and ``?``; None stands for grey matter (BIDS ``*_space-*_label-GM_*probseg.nii*``, SPM
        and CAT ``mwc1*.nii*`` or ``mwp1*.nii*``).

    Raises
    ------
    InputError
        When nothing is found, or a folder or table cannot be read.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(f"{source}: is not there. Check the path.")
    if layout == "table" or (layout == "auto" and source.is_file()):
        return _from_table(source)
    if source.is_file():
        raise InputError(f"{source}: is a file, where the layout {layout!r} asks for a folder.")
    found = _from_bids(source, pattern or _BIDS) if layout in ("auto", "bids") else []
    if not found and layout in ("auto", "spm"):
        found = _from_spm(source, (pattern,) if pattern else _SPM)
    if not found:
        looked = {"bids": (pattern or _BIDS,), "spm": (pattern,) if pattern else _SPM}
        names = [name for kind in ("bids", "spm") if layout in ("auto", kind) for name in looked[kind]]
        raise InputError(
            f"{source}: holds no volume named {' or '.join(dict.fromkeys(names))}. Give the top folder of the volumes, "
            "or a pattern that fits their names."
        )
    return found


def _from_bids(root: Path, pattern: str) -> list[VolumeFile]:
    return [VolumeFile(file.path, file.participant, file.session) for file in index_bids(root, pattern)]


def _from_spm(root: Path, patterns: tuple[str, ...]) -> list[VolumeFile]:
    paths = sorted(path for path in _walk(root, _DEEPEST) if any(fnmatchcase(path.name, name) for name in patterns))
    kinds = {name for path in paths for name in _SPM if fnmatchcase(path.name, name)}
    if len(kinds) > 1:
        raise InputError(
            f"{root}: holds outputs of SPM12 (mwc1) and of CAT12 (mwp1). Choose one by the pattern 'mwc1*.nii*' or "
            "'mwp1*.nii*'."
        )
    return [_named(root, path) for path in paths]


def _walk(folder: Path, depth: int) -> list[Path]:
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror}). Check its rights.") from error
    paths = [Path(entry.path) for entry in entries if entry.is_file()]
    if depth > 0:
        # a link to a folder above would be walked for ever
        folders = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        paths += [path for inner in folders for path in _walk(Path(inner), depth - 1)]
    return paths


def _named(root: Path, path: Path) -> VolumeFile:
    stem = _PREFIX.sub("", _SUFFIX.sub("", path.name))
    parents = path.relative_to(root).parts[:-1][::-1]
    subject = next((hit[1] for word in (stem, *parents) if (hit := _SUBJECT.search(word))), "")
    session = next((hit[1] for word in (stem, *parents) if (hit := _SESSION.search(word))), "")
    return VolumeFile(path, subject, session, (stem, *parents))


def _from_table(path: Path) -> list[VolumeFile]:
    table = DelimitedRows(path, index=False)
    require_names(table.columns, what="column names", where=str(path))
    absent = [name for name in ("participant_id", "path") if name not in table.columns]
    if absent:
        raise InputError(f"{path}: has no column {' and no column '.join(absent)}. A table of volumes needs both.")
    who, where = table.columns.index("participant_id"), table.columns.index("path")
    session = table.columns.index("session") if "session" in table.columns else None
    files = []
    for line, _, cells in table.cells():
        if not cells[who].strip() or not cells[where].strip():
            raise InputError(f"{path}: line {line} has no participant_id or no path. Fill it in.")
        file = path.parent / cells[where].strip()
        if not file.is_file():
            raise InputError(f"{path}: line {line}: {file} is not there. Paths are relative to the table.")
        label = "" if session is None else cells[session].strip().removeprefix("ses-")
        files.append(VolumeFile(file, cells[who].strip().removeprefix("sub-"), label, row=line))
    return files
