"""What goes into the cytology study: images with stain and quality, masks that only score, who belongs together."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from skimage.measure import label

from kotowari.core.checks import few, require_unique
from kotowari.core.errors import DesignError, InputError
from kotowari.core.files import fingerprint, write_bytes
from kotowari.core.jobs import Arrays, pack_arrays
from kotowari.formats.image import read_pages
from kotowari.formats.label_image import read_labels
from kotowari.studies.cytology.config import Config, Data
from kotowari.studies.cytology.image_files import ImageFile, find_images
from kotowari.studies.cytology.quality import blurred, joined_slides, look_at
from kotowari.studies.cytology.stain import find_stain

__all__ = [
    "Kind",
    "describe_images",
    "files_of",
    "image_table",
    "input_fingerprints",
    "keep_pages",
    "kind_name",
    "kinds_of",
    "read_file",
    "read_objects",
]

_SMALLEST = 32
_PAGED = 3
_UNSURE, _RARE = 0.5, 0.1
_MOST_SATURATED = 0.05
_FEWEST_GROUPS = 2


@dataclass(frozen=True)
class Kind:
    """Images that one detector learns from.

    Parameters
    ----------
    stain, polarity
        As in :class:`kotowari.studies.cytology.stain.Stain`.
    rows
        Of the images, in the table of the run.
    """

    stain: str
    polarity: str
    rows: npt.NDArray[np.intp]

    @property
    def name(self) -> str:
        """Such as ``fluorescence, bright cells``."""
        return kind_name(self.stain, self.polarity)

    @property
    def word(self) -> str:
        """The same for names of files."""
        return f"{self.stain}-{self.polarity}"


def kind_name(stain: str, polarity: str) -> str:
    """Return the words for a stain and a polarity."""
    return f"{stain}, {polarity} cells"


def files_of(config: Config) -> list[ImageFile]:
    """Return the image files; none for simulated images."""
    data = config.data
    if data.images == "phantom":
        return []
    files = find_images(Path(data.images), masks=data.masks, slide=data.slide)
    require_unique([file.name for file in files], what="names of images", where=str(data.images))
    return files


def input_fingerprints(config: Config) -> list[dict[str, Any]]:
    """Return name, sha256 and size of the table, and of all images and all masks together: names may be patients'."""
    files = files_of(config)
    found: list[dict[str, Any]] = []
    source = config.data.images
    if isinstance(source, Path) and source.is_file() and files[0].path != source:
        found.append(fingerprint(source))
    for word, paths in {
        "images": [file.path for file in files],
        "masks": [file.mask for file in files if file.mask is not None],
    }.items():
        own = [fingerprint(path) for path in paths]
        if own:
            sums = "".join(str(entry["sha256"]) for entry in own)
            total = sum(int(entry["bytes"]) for entry in own)
            digest = hashlib.sha256(sums.encode()).hexdigest()
            found.append({"name": f"{len(own)} {word}", "sha256": digest, "bytes": total})
    return found


def read_file(file: ImageFile, data: Data, folder: Path) -> Arrays:
    """Read one file, look at each of its pages, and keep them as ``<name>.npz`` in ``folder`` for the whole run.

    Returns
    -------
    dict
        As of :func:`keep_pages`; ``um_per_pixel``, NaN where unknown; ``notes``.

    Raises
    ------
    InputError
        When the file or its mask cannot be read, or the mask has another size or number of pages.
    """
    pages = read_pages(file.path, channel=data.channel)
    labels = None if file.mask is None else read_objects(file.mask)
    wanted = pages.values.shape[:3]
    if labels is not None and labels.shape != wanted:
        raise InputError(
            f"{file.mask}: holds {_size(labels.shape)}, its image {file.path.name} {_size(wanted)}. Give each image a "
            "mask of its own size, or take this one away."
        )
    edge = data.um_per_pixel if data.um_per_pixel is not None else pages.um_per_pixel
    return keep_pages(folder / f"{file.name}.npz", list(pages.values), pages.full_scale, labels, data) | {
        "um_per_pixel": np.array(np.nan if edge is None else edge),
        "notes": np.array(list(pages.notes), dtype=np.str_),
    }


def read_objects(path: Path) -> npt.NDArray[np.int32]:
    """Read a label image, shape ``(page, height, width)``; 0 is background.

    A page with one number beside 0, such as a mask of 0 and 255, is cut into its connected parts (8 neighbours).

    Raises
    ------
    InputError
        When the file is no label image, or its labels do not fit 32 bits.
    """
    stored = read_labels(path)
    if int(stored.max()) > np.iinfo(np.int32).max:
        raise InputError(f"{path}: has labels above {np.iinfo(np.int32).max:,}. Number the objects from 1.")
    pages = stored if stored.ndim == _PAGED else stored[None]
    return np.stack([_parted(page) for page in pages]).astype(np.int32)


def keep_pages(
    path: Path,
    pages: Sequence[npt.NDArray[Any]],
    full_scale: float,
    labels: Iterable[npt.NDArray[np.integer]] | None,
    data: Data,
) -> Arrays:
    """Write pages and their masks where :class:`ImageStore` finds them, and describe them.

    Parameters
    ----------
    path
        The npz file.
    pages
        Each ``(height, width, channel)``, in units of ``full_scale``.
    full_scale
        Value of the upper end of the scale.
    labels
        Masks of the pages; None without.
    data
        What the user says of the stain.

    Returns
    -------
    dict
        ``shape`` (page, 3), where three equal channels count as one; ``has_mask``; and the columns of
        :func:`describe_images`.
    """
    kept: Arrays = {"full_scale": np.array(full_scale, np.float32)}
    pages = [page[..., : _n_channels(page)] for page in pages]
    kept |= {f"page-{k}": page for k, page in enumerate(pages)}
    kept |= {f"labels-{k}": page for k, page in enumerate(() if labels is None else labels)}
    write_bytes(path, pack_arrays(kept))
    unit = [page.astype(np.float32) / np.float32(full_scale) for page in pages]
    return {
        "shape": np.array([page.shape for page in pages]),
        "has_mask": np.full(len(pages), labels is not None),
        **describe_images(unit, data),
    }


def describe_images(images: list[npt.NDArray[np.float32]], data: Data) -> Arrays:
    """Return stain and quality of images as columns: ``stain polarity sure constant saturated focus thumbnail``."""
    seen = [look_at(image) for image in images]
    stains = []
    for image, quality in zip(images, seen, strict=True):
        own = None if quality.is_constant else find_stain(image)
        stain = data.stain if data.stain != "auto" else "" if own is None else own.kind
        polarity = data.polarity if data.polarity != "auto" else "" if own is None else own.polarity
        told = data.stain != "auto" and data.polarity != "auto"
        stains.append((stain, polarity, 1.0 if told else 0.0 if own is None else own.sure))
    return {
        "stain": np.array([own[0] for own in stains], dtype=np.str_),
        "polarity": np.array([own[1] for own in stains], dtype=np.str_),
        "sure": np.array([own[2] for own in stains], dtype=np.float64),
        "constant": np.array([quality.is_constant for quality in seen]),
        "saturated": np.array([quality.saturated for quality in seen]),
        "focus": np.array([quality.focus for quality in seen]),
        "thumbnail": np.stack([quality.thumbnail for quality in seen]),
    }


def image_table(
    files: list[ImageFile], parts: dict[str, Arrays], *, apart: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """Return one row an image, and what a user should know of them.

    Parameters
    ----------
    files
        Of the run, or of simulated images.
    parts
        What :func:`read_file` or :func:`keep_pages` said of each, by the name of the file.
    apart
        Whether pages of a file without a named slide are slides of their own.

    Returns
    -------
    DataFrame, list of str
        Columns ``image file page slide group height width channels um_per_pixel stain polarity sure focus saturated
        flags left_out has_mask``; notes.
    """
    rows, thumbnails, notes = [], [], []
    for file in files:
        part = parts[file.name]
        notes += [f"{file.name}: {note}" for note in part.get("notes", np.empty(0)).tolist()]
        for page in range(len(part["constant"])):
            rows.append(_row(file, part, page, apart=apart))
            thumbnails.append(part["thumbnail"][page])
    table = pd.DataFrame(rows)
    table["group"], copies = joined_slides(table["slide"].to_numpy(str), np.stack(thumbnails))
    unsure = _join_the_others(table)
    table["left_out"] = _reasons_to_leave_out(table)
    table["flags"] = _flags(table, unsure)
    return table, notes + _notes(table, copies)


def kinds_of(table: pd.DataFrame) -> list[Kind]:
    """Return the kinds of images that take part, the most frequent first."""
    used = table[table["left_out"] == ""]
    sizes = used.groupby(["stain", "polarity"], sort=True).size().sort_values(ascending=False, kind="stable")
    return [
        Kind(str(stain), str(polarity), np.flatnonzero(_is_used(table, stain, polarity)))
        for stain, polarity in sizes.index
    ]


def _is_used(table: pd.DataFrame, stain: str, polarity: str) -> npt.NDArray[np.bool_]:
    own = (table["left_out"] == "") & (table["stain"] == stain) & (table["polarity"] == polarity)
    return own.to_numpy(bool)


def _row(file: ImageFile, part: Arrays, page: int, *, apart: bool) -> dict[str, Any]:
    name = file.name if len(part["constant"]) == 1 else f"{file.name}-page-{page + 1}"
    height, width, channels = (int(n) for n in part["shape"][page])
    return {
        "image": name,
        "file": file.name,
        "page": page,
        "slide": file.slide or (name if apart else file.name),
        "group": 0,
        "height": height,
        "width": width,
        "channels": channels,
        "um_per_pixel": float(part.get("um_per_pixel", np.array(np.nan))),
        "stain": str(part["stain"][page]),
        "polarity": str(part["polarity"][page]),
        "sure": float(part["sure"][page]),
        "focus": float(part["focus"][page]),
        "saturated": float(part["saturated"][page]),
        "flags": "one value" if part["constant"][page] else "",
        "left_out": "",
        "has_mask": bool(part["has_mask"][page]),
    }


def _reasons_to_leave_out(table: pd.DataFrame) -> list[str]:
    """Say why an image takes no part; empty where it does.

    Raises
    ------
    DesignError
        When too few are left to learn from some and judge others.
    """
    small = (table[["height", "width"]].min(axis=1) < _SMALLEST).to_numpy()
    constant = (table["flags"] == "one value").to_numpy()
    why = np.where(constant, "one value", np.where(small, f"smaller than {_SMALLEST} pixels", "")).astype(object)
    taken = table[why == ""]
    n_groups = taken.groupby(["stain", "polarity"])["group"].nunique()
    enough = {kind for kind, n in n_groups.items() if n >= _FEWEST_GROUPS}
    if not enough:
        raise DesignError(_too_few(table, why))
    for row in taken.index:
        if (table.loc[row, "stain"], table.loc[row, "polarity"]) not in enough:
            why[row] = "of the only slide of its kind"
    return [str(reason) for reason in why]


def _too_few(table: pd.DataFrame, why: npt.NDArray[Any]) -> str:
    n, n_used = len(table), int((why == "").sum())
    what = "image" if n == 1 else "images"
    said = f"data.images: {n} {what}"
    if n_used < n:
        said += f", of which {n - n_used} cannot be used ({few(dict.fromkeys(why[why != '']))})"
    elif n > 1:
        said += " of one slide (pages of a file belong together unless data.pages is apart), or each of another kind"
    return (
        f"{said}: a detector is judged on slides that it never saw, so two or more of one stain are needed. Bring more "
        "images, or use a finished run on these by `kotowari apply`."
    )


def _join_the_others(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Give images of an unsure or a rare stain that of the others of their polarity; returns which ones were unsure.

    One stain is the rule. Where two stand together, each has a tenth of all votes or more.
    """
    seen = table[table["stain"] != ""]
    votes = seen.groupby(["stain", "polarity"], sort=True)["sure"].sum()
    unsure = np.zeros(len(table), np.bool_)
    for row in seen.index:
        stain, polarity = table.loc[row, "stain"], table.loc[row, "polarity"]
        of_polarity = votes[votes.index.get_level_values("polarity") == polarity]
        leading = str(of_polarity.idxmax()[0])
        is_rare = votes[stain, polarity] < _RARE * votes.sum()
        unsure[row] = table.loc[row, "sure"] < _UNSURE or (is_rare and stain != leading)
        if unsure[row]:
            table.loc[row, "stain"] = leading
    return unsure


def _flags(table: pd.DataFrame, unsure: npt.NDArray[np.bool_]) -> list[str]:
    flags = [[flag] if flag else [] for flag in table["flags"]]
    for kind in kinds_of(table):
        for row in kind.rows[blurred(table["focus"].to_numpy()[kind.rows])]:
            flags[row].append("out of focus")
    for row in np.flatnonzero(table["saturated"] > _MOST_SATURATED):
        flags[row].append("saturated")
    for row in np.flatnonzero(unsure & (table["left_out"] == "").to_numpy()):
        flags[row].append("stain unsure")
    return ["; ".join(own) for own in flags]


def _notes(table: pd.DataFrame, copies: list[tuple[int, int]]) -> list[str]:
    notes = []
    kinds = kinds_of(table)
    if len(kinds) > 1:
        counted = " and ".join(f"{len(kind.rows)} of {kind.name}" for kind in kinds)
        notes.append(f"Images of {len(kinds)} kinds stand together ({counted}): each has a detector of its own.")
    if copies:
        pairs = few((f"{table['image'][a]} and {table['image'][b]}" for a, b in copies), 3)
        notes.append(f"{len(copies)} pairs of images of different slides are near copies ({pairs}): kept in one fold.")
    for reason, own in table[table["left_out"] != ""].groupby("left_out", sort=True):
        notes.append(f"{len(own)} images were left out ({reason}): {few(own['image'], 3)}.")
    for flag in ("out of focus", "saturated", "stain unsure"):
        own = table[table["flags"].str.contains(flag)]
        if len(own):
            notes.append(f"{len(own)} images were flagged as {flag}, and kept: {few(own['image'], 3)}.")
    n_masks = int(table["has_mask"].sum())
    if 0 < n_masks < len(table):
        notes.append(f"{n_masks} of {len(table)} images have a mask; scores speak of these.")
    return notes


def _parted(page: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return label(page > 0, connectivity=2) if len(np.unique(page[page > 0])) == 1 else page


def _n_channels(page: npt.NDArray[Any]) -> int:
    return 1 if (page == page[..., :1]).all() else page.shape[2]


def _size(shape: tuple[int, ...]) -> str:
    pages = "" if shape[0] == 1 else f"{shape[0]} pages of "
    return f"{pages}{shape[2]} x {shape[1]} pixels"
