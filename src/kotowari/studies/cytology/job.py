"""One run of the cytology study, as its stages see it: configuration, images and what earlier stages left behind."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.files import read_json
from kotowari.core.job import Job
from kotowari.core.jobs import Arrays, load_arrays
from kotowari.core.options import validated
from kotowari.core.runfolder import RunFolder
from kotowari.studies.cytology.config import Config
from kotowari.studies.cytology.data import Kind, kinds_of
from kotowari.studies.cytology.image_store import ImageStore
from kotowari.studies.cytology.model.detector import CellDetector
from kotowari.trust.folds import Fold, splits_from_json

__all__ = ["FINAL", "OURS", "CytologyJob", "Part", "open_job"]

OURS = "cell detector (kotowari)"
FINAL = "final"
_COLOURS = 3


@dataclass(frozen=True, eq=False)
class Part:
    """One fold of one kind of images.

    Parameters
    ----------
    name
        Of the results of everything that is fitted on it.
    kind, fold
        Whose images, and which of them are learned from and judged.
    """

    name: str
    kind: Kind
    fold: Fold


class CytologyJob(Job[Config]):
    """What the stages of the cytology study share; see :class:`kotowari.core.job.Job`."""

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row an image; see :func:`kotowari.studies.cytology.data.image_table`."""
        words = dict.fromkeys(("image", "file", "slide", "stain", "polarity", "flags", "left_out"), str)
        return pd.read_csv(
            self.path / "tables" / "images.csv", dtype=words, keep_default_na=False, na_values=[""]
        ).fillna(dict.fromkeys(words, ""))

    @cached_property
    def notes(self) -> list[str]:
        """What a user should know of the images."""
        return [str(note) for note in self.kept("notes")["notes"]]

    @cached_property
    def kinds(self) -> list[Kind]:
        """Kinds of images, each with a detector of its own."""
        return kinds_of(self.table)

    @cached_property
    def store(self) -> ImageStore:
        """The images and their masks."""
        channels = self.table["channels"].to_numpy(np.int64).copy()
        for kind in self.kinds:
            n_coloured = int((channels[kind.rows] > 1).sum())
            channels[kind.rows] = _COLOURS if 2 * n_coloured > len(kind.rows) else 1
        places = zip(self.table["file"], self.table["page"], strict=True)
        return ImageStore(
            self.shards("images"), tuple((str(file), int(page)) for file, page in places), tuple(channels.tolist())
        )

    @cached_property
    def groups(self) -> npt.NDArray[np.intp]:
        """Slide of every image, as numbers; slides that share a near copy have one number."""
        return self.table["group"].to_numpy(np.intp)

    @cached_property
    def has_truth(self) -> npt.NDArray[np.bool_]:
        """Which images have a mask, or simulated cells."""
        return self.table["has_mask"].to_numpy(bool)

    def is_scored(self, kind: Kind) -> bool:
        """Whether accuracy can be spoken of: masks of two slides or more."""
        rows = kind.rows[self.has_truth[kind.rows]]
        return len(np.unique(self.groups[rows])) > 1

    def name_of(self, row: int) -> str:
        """Name of an image in all results."""
        return str(self.table["image"].iloc[row])

    @cached_property
    def folds(self) -> list[Fold]:
        """Folds kind after kind, as written by the stage `split`; they cover every image that takes part once."""
        return splits_from_json(read_json(self.path / "splits.json"))

    def parts(self, kind: Kind) -> list[Part]:
        """Return the folds of a kind."""
        own = [fold for fold in self.folds if np.isin(fold.test, kind.rows).all()]
        return [Part(f"{kind.word}-fold-{k}", kind, fold) for k, fold in enumerate(own)]

    @property
    def all_parts(self) -> list[Part]:
        """The folds of all kinds."""
        return [part for kind in self.kinds for part in self.parts(kind)]

    def shard(self, batch: str, name: str) -> Arrays:
        """Return what one fit of a batch left."""
        return load_arrays(self.shards(batch) / f"{name}.npz")

    def detector_folder(self, kind: Kind) -> Path:
        """Where the final detector of a kind is kept."""
        return self.path / "model" / kind.word

    def detector(self, kind: Kind) -> CellDetector:
        """Return the final detector of a kind."""
        return CellDetector.load(self.detector_folder(kind))

    def found(self, batch: str, kind: Kind, prefix: str = "") -> dict[int, Arrays]:
        """Return what finders of a batch, one a fold, found in the images kept aside: row to its arrays."""
        found: dict[int, dict[str, npt.NDArray[Any]]] = {}
        for part in self.parts(kind):
            shard = self.shard(batch, f"{prefix}{part.name}")
            for row in part.fold.test.tolist():
                ending = f"-{row}"
                found[row] = {name.removesuffix(ending): own for name, own in shard.items() if name.endswith(ending)}
        return dict(sorted(found.items()))

    @property
    def cell_table(self) -> pd.DataFrame:
        """All cells, as the stage `reasons` wrote them."""
        return pd.read_csv(self.path / "tables" / "cells.csv", dtype={"image": str, "kind": str})

    def cells(self, kind: Kind) -> dict[int, Arrays]:
        """Return what our detectors found in images that they never saw: ``labels confidence foreground cut``."""
        return self.found("fit", kind)


def open_job(folder: RunFolder) -> CytologyJob:
    """Open the job of a run folder."""
    return CytologyJob(validated(Config, folder.record["config"], where=str(folder.path / "run.json")), folder)
