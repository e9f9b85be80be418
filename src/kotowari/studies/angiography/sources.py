"""Which recordings a folder or table holds, of whom, and where their masks lie; names of files stay in this room."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError
from kotowari.formats.rows import require_file
from kotowari.formats.tables import read_annotations
from kotowari.studies.angiography.config import Data

__all__ = ["IMAGES", "VIDEOS", "Recording", "find_recordings"]

IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
VIDEOS = (".avi", ".mp4", ".mov", ".mkv")
_COLUMNS = ("patient", "mask", "frame")
_PREAMBLE = 128  # bytes before the letters DICM


@dataclass(frozen=True)
class Recording:
    """One run or single frame before it is read.

    Parameters
    ----------
    name
        What it is called in all results, such as ``run-003``; a file's name may be a patient's.
    patient
        Owner of the recording, such as ``patient-02``; recordings of one are never split.
    paths
        Its file, or the images of a sequence in their order.
    mask
        Vessel mask for scoring, or None.
    mask_frame
        Frame, from 0, that the mask was drawn on; None for the picture of most contrast, or a mask of all frames.
    """

    name: str
    patient: str
    paths: tuple[Path, ...]
    mask: Path | None = None
    mask_frame: int | None = None


def find_recordings(data: Data) -> tuple[Recording, ...]:
    """Find every recording of a folder, file or table, in natural order of their names.

    In a folder, each DICOM file, npz, video and image is a recording; a folder inside it that holds images, and no
    other folder, is one run.

    Raises
    ------
    InputError
        When there is none, a file is missing, or a name cannot be told apart.
    DesignError
        When one recording stands twice.
    """
    source = Path(data.runs)
    if source.is_dir():
        found = [*_in_folder(source, data)]
        if not found:
            raise InputError(
                f"{source}: holds no recording that matches data.pattern {data.pattern!r}. Name a folder of DICOM XA, "
                "npz, video or image files."
            )
    elif source.suffix.lower() in {".csv", ".tsv"}:
        found = [*_of_table(source)]
    else:
        require_file(source)
        found = [((source,), _patient_of(source, data), None, None)]
    return _named(found)


Found = tuple[tuple[Path, ...], str, Path | None, int | None]


def _in_folder(folder: Path, data: Data) -> Iterator[Found]:
    entries = sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=_natural)
    files = [entry for entry in entries if entry.is_file()]
    masks = {_without_suffix(file, data.mask_suffix): file for file in files if _is_mask(file, data.mask_suffix)}
    for entry in entries:
        if not fnmatch(entry.name, data.pattern):
            continue
        if entry.is_dir():
            images = sorted((file for file in entry.iterdir() if file.suffix.lower() in IMAGES), key=_natural)
            if images:
                yield tuple(images), _patient_of(entry, data), masks.get(entry.name), None
        elif entry not in masks.values() and _is_recording(entry):
            yield (entry,), _patient_of(entry, data), masks.get(entry.stem), None


def _of_table(path: Path) -> Iterator[Found]:
    table = read_annotations(path)
    unknown = [str(column) for column in table.columns if column not in _COLUMNS]
    if unknown:
        raise InputError(
            f"{path.name}: has unknown columns ({few(unknown)}). Its first column is the path; patient, mask and frame "
            "may follow."
        )
    for own, row in zip(table.index, table.to_dict("records"), strict=True):
        where = f"{path.name}, row {own}"
        patient, mask, frame = (row.get(column) for column in _COLUMNS)
        yield (
            _files_of(path.parent / str(own), where),
            str(patient) if _is_given(patient) else Path(str(own)).name,
            path.parent / str(mask) if _is_given(mask) else None,
            _frame_number(frame, where) if _is_given(frame) else None,
        )


def _files_of(path: Path, where: str) -> tuple[Path, ...]:
    if path.is_dir():
        images = sorted((file for file in path.iterdir() if file.suffix.lower() in IMAGES), key=_natural)
        if not images:
            raise InputError(f"{where}: {path} holds no images. Name a run's folder of images, or its file.")
        return tuple(images)
    require_file(path)
    return (path,)


def _frame_number(value: object, where: str) -> int:
    try:
        number = int(float(str(value)))
    except ValueError:
        number = -1
    if number < 0:
        raise InputError(f"{where}: frame {value!r} is no number of a frame. Count frames from 0.")
    return number


def _named(found: Sequence[Found]) -> tuple[Recording, ...]:
    """Give neutral names in order; the owners' names become numbers too."""
    first = [paths[0].resolve() for paths, *_ in found]
    twice = [path for path in first if first.count(path) > 1]
    if twice:
        raise DesignError(f"{twice[0].name}: stands twice among the recordings. Name it once.")
    owners = {owner: f"patient-{k:02d}" for k, owner in enumerate(_distinct(owner for _, owner, *_ in found), start=1)}
    width = max(3, len(str(len(found))))
    return tuple(
        Recording(f"run-{k:0{width}d}", owners[owner], paths, mask, frame)
        for k, (paths, owner, mask, frame) in enumerate(found, start=1)
    )


def _patient_of(path: Path, data: Data) -> str:
    if data.patient_pattern is None:
        return path.name
    try:
        match = re.search(data.patient_pattern, path.name)
    except re.error as error:
        raise InputError(f"data.patient_pattern: is no regular expression ({error.msg}).") from error
    if match is None or not match.groups():
        raise InputError(
            f"data.patient_pattern: {data.patient_pattern!r} finds no group in {path.name!r}. Put the patient's part "
            "of the name into parentheses."
        )
    return match.group(1)


def _is_recording(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in IMAGES or suffix in VIDEOS or suffix == ".npz" or _is_dicom(path)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix.lower() in {".dcm", ".dicom"} or file.read(_PREAMBLE + 4)[_PREAMBLE:] == b"DICM"


def _is_mask(path: Path, suffix: str | None) -> bool:
    return suffix is not None and path.stem.endswith(suffix) and path.suffix.lower() in IMAGES


def _without_suffix(path: Path, suffix: str | None) -> str:
    return path.stem.removesuffix(suffix or "")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key by which frame2 stands before frame10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name) if part]


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _is_given(value: object) -> bool:
    return value is not None and value == value and str(value).strip() != ""  # NaN is not itself
