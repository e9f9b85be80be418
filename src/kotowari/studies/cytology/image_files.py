"""The images of a study found: a folder or a table of paths, with their masks and whose slides they are."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from kotowari.core.checks import few
from kotowari.core.errors import InputError
from kotowari.formats.delimited import DelimitedRows
from kotowari.formats.rows import require_names

__all__ = ["SUFFIXES", "ImageFile", "find_images"]

SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg"})
_TABLES = frozenset({".csv", ".tsv", ".txt"})


@dataclass(frozen=True)
class ImageFile:
    """A file of one image or more pages, and what its place, name or row of the table tells.

    Parameters
    ----------
    path
        The file.
    name
        Its name in all results, of letters, digits, dots and dashes; no two files have the same.
    slide
        Slide or subject that it belongs to; empty where that is not known, then the file stands by itself.
    mask
        Label image that scores it; None without one.
    """

    path: Path
    name: str
    slide: str = ""
    mask: Path | None = None


def find_images(source: Path, *, masks: Path | None = None, slide: str | None = None) -> list[ImageFile]:
    """Return the files of a study, in the order of their paths or of the table.

    Parameters
    ----------
    source
        One file, a folder (with the folders in it), or a table with the column ``path`` and, where known, ``slide`` and
        ``mask``; paths in it are relative to the table.
    masks
        Folder of label images, each named as its image with any ending; it may lie inside ``source``.
    slide
        Regular expression searched in a file's name without ending; its first group names the slide.

    Raises
    ------
    InputError
        When nothing is there, the table lacks a column or a file, a pattern fits no name, or no mask fits an image.
    """
    if source.is_dir():
        files = _from_folder(source, masks)
    elif source.suffix.lower() in _TABLES and source.is_file():
        files = _from_table(source)
    elif source.suffix.lower() in SUFFIXES and source.is_file():
        files = [ImageFile(source, _word(source.stem))]
    else:
        fault = "is neither an image nor a table of paths" if source.exists() else "is not there"
        raise InputError(f"{source}: {fault}. Name a folder of TIFF, PNG or JPEG images, or a CSV with a column path.")
    if slide is not None:
        files = [replace(file, slide=_slide_of(file.path, slide)) for file in files]
    return files if masks is None else _with_masks(files, masks)


def _from_folder(folder: Path, masks: Path | None) -> list[ImageFile]:
    apart = None if masks is None else masks.resolve()
    paths = sorted(path for path in folder.rglob("*") if _is_image(path) and not _lies_in(path, apart))
    if not paths:
        raise InputError(f"{folder}: holds no TIFF, PNG or JPEG image. Name the folder that does.")
    words = [_word(path.relative_to(folder).with_suffix("").as_posix()) for path in paths]
    return _named(paths, words)


def _named(paths: list[Path], words: list[str]) -> list[ImageFile]:
    """Give each file its word; those that share one get their ending, and a number where that is not enough."""
    told = [
        word if words.count(word) == 1 else f"{word}-{path.suffix[1:].lower()}"
        for path, word in zip(paths, words, strict=True)
    ]
    numbered = [name if told.count(name) == 1 else f"{name}-{told[:k].count(name) + 1}" for k, name in enumerate(told)]
    return [ImageFile(path, name) for path, name in zip(paths, numbered, strict=True)]


def _from_table(table: Path) -> list[ImageFile]:
    rows = DelimitedRows(table, index=False)
    require_names(rows.columns, what="column names", where=str(table))
    if "path" not in rows.columns:
        raise InputError(f"{table}: has no column path. A table of images needs it; slide and mask are optional.")
    column: dict[str, int] = {
        name: rows.columns.index(name) for name in ("path", "slide", "mask") if name in rows.columns
    }
    paths: list[Path] = []
    beside: list[dict[str, str]] = []
    for line, _, cells in rows.cells():
        own: dict[str, str] = {name: cells[place].strip() for name, place in column.items()}
        for name in ("path", "mask"):
            if own.get(name) and not (table.parent / own[name]).is_file():
                raise InputError(f"{table}: line {line}: {own[name]} is not there. Paths are relative to the table.")
        if not own["path"] or ("slide" in own and not own["slide"]):
            raise InputError(f"{table}: line {line} has no {'slide' if own['path'] else 'path'}. Fill it in.")
        paths.append(table.parent / own["path"])
        beside.append(own)
    if len(set(paths)) < len(paths):
        repeated = next(path for path in paths if paths.count(path) > 1)
        raise InputError(f"{table}: {repeated.name} stands twice. Name every image once.")
    files = _named(paths, [_word(path.stem) for path in paths])
    return [
        replace(file, slide=own.get("slide", ""), mask=table.parent / own["mask"] if own.get("mask") else None)
        for file, own in zip(files, beside, strict=True)
    ]


def _slide_of(path: Path, pattern: str) -> str:
    found = re.search(pattern, path.stem)
    if found is None or not found[1]:
        raise InputError(f"{path}: data.slide ({pattern!r}) finds no slide in this name. Change the pattern.")
    return str(found[1])


def _with_masks(files: list[ImageFile], folder: Path) -> list[ImageFile]:
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder. Set data.masks to the folder of the label images.")
    there: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if _is_image(path)):
        there.setdefault(path.stem, []).append(path)
    for file in files:
        own = there.get(file.path.stem, [])
        if len(own) > 1 or (own and sum(other.path.stem == file.path.stem for other in files) > 1):
            raise InputError(
                f"{folder}: {few(path.name for path in own)} could be the mask of more than one image, or one image "
                f"has several. List path and mask in a CSV instead."
            )
    found = [replace(file, mask=there[file.path.stem][0]) if file.path.stem in there else file for file in files]
    if not any(file.mask for file in found):
        raise InputError(
            f"{folder}: holds no mask named as an image, such as {files[0].path.stem}.png. Name masks as their images."
        )
    return found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _lies_in(path: Path, folder: Path | None) -> bool:
    return folder is not None and folder in path.resolve().parents


def _word(name: str) -> str:
    return "-".join(re.findall(r"[\w.]+", name)) or "image"
