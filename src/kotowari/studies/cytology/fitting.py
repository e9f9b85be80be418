"""What is fitted in a process of its own: a finder of foregrounds, and the cells that it leads to. Arrays come back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.studies.cytology.image_store import ImageStore
from kotowari.studies.cytology.model.detector import CellDetector
from kotowari.studies.cytology.model.instances import InstanceOptions, Instances, find_instances
from kotowari.studies.cytology.scores import (
    IOU_LEVELS,
    ImageScores,
    foreground_average_precision,
    score_image,
)
from kotowari.training.devices import one_thread

__all__ = [
    "FindTask",
    "Finder",
    "Found",
    "find_cells",
    "find_rows",
    "fit_and_find",
    "packed_scores",
    "unpacked_scores",
]

FloatImage = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
Rows = npt.NDArray[np.intp]


class Finder(Protocol):
    """Whatever makes a map of how much each pixel looks like a cell, and knows where to cut it.

    Attributes
    ----------
    name
        Of the method, in words.
    """

    name: str

    def fit(self, images: Sequence[FloatImage], groups: Any = None) -> Self:
        """Learn from images of shape ``(height, width, channel)`` in [0, 1], without labels."""

    def foreground(self, image: FloatImage) -> FloatImage:
        """Return the map, ``(height, width)``; larger = more cell."""

    def cut(self, foreground: FloatImage) -> float:
        """Return the threshold on that map."""


@dataclass(frozen=True)
class Found:
    """What a finder makes of one image.

    Parameters
    ----------
    foreground
        Shape ``(height, width)``.
    cut
        Threshold on it.
    instances
        Cells by the instance stage that all methods share.
    """

    foreground: FloatImage
    cut: float
    instances: Instances


@dataclass(frozen=True, eq=False)
class FindTask:
    """What a finder learns from and judges.

    Parameters
    ----------
    store
        All images.
    finder
        Not fitted yet.
    train, test
        Rows to learn from, and rows to find cells in.
    groups
        Slide of every row of the store.
    options
        Of the instance stage.
    folder
        Keeps the fitted finder; None keeps none.
    with_maps
        Whether the foregrounds are returned.
    """

    store: ImageStore
    finder: Any
    train: Rows
    test: Rows
    groups: npt.NDArray[Any]
    options: InstanceOptions
    folder: Path | None = None
    with_maps: bool = False


def find_cells(finder: Finder, image: FloatImage, options: InstanceOptions) -> Found:
    """Return the foreground, its cut and the cells of one image; the same steps whatever the method."""
    foreground = np.asarray(finder.foreground(image), np.float32)
    cut = float(finder.cut(foreground))
    return Found(foreground, cut, find_instances(foreground, cut, options))


def fit_and_find(task: FindTask) -> Arrays:
    """Fit a finder, and find cells in images kept aside.

    Returns
    -------
    dict
        As of :func:`find_rows`; and ``loss``, ``objective`` and ``optimum`` of a finder that tells its training.
    """
    with one_thread():
        finder = task.finder.fit(task.store.images(task.train), groups=task.groups[task.train])
        if task.folder is not None:
            finder.save(task.folder)
        found = find_rows(task.store, finder, task.test, task.options, with_maps=task.with_maps)
        return found | _training(finder)


def find_rows(
    store: ImageStore, finder: Finder, rows: Iterable[int], options: InstanceOptions, *, with_maps: bool = False
) -> Arrays:
    """Find cells in some images.

    Returns
    -------
    dict
        For every row r ``labels-r``, ``confidence-r``, ``cut-r``; ``foreground-r`` where maps were asked for; and
        ``scores-r`` (:func:`packed_scores`) where there is a mask.
    """
    told: Arrays = {}
    for row in (int(row) for row in rows):
        found = find_cells(finder, store.image(row), options)
        told[f"labels-{row}"] = _packed_labels(found.instances.labels)
        told[f"confidence-{row}"] = found.instances.confidence
        told[f"cut-{row}"] = np.array(found.cut)
        if with_maps:
            told[f"foreground-{row}"] = found.foreground.astype(np.float16)
        truth = store.truth(row)
        if truth is not None:
            scores = score_image(truth, found.instances.labels)
            told[f"scores-{row}"] = packed_scores(scores, foreground_average_precision(found.foreground, truth))
    return told


def packed_scores(scores: ImageScores, foreground_ap: float) -> npt.NDArray[np.float64]:
    """Return the scores of an image as one row of numbers; see :func:`unpacked_scores`."""
    tp, *others = (getattr(scores, name) for name in _FIELDS)
    return np.array([*tp, *others, foreground_ap], np.float64)


def unpacked_scores(row: npt.NDArray[np.float64]) -> tuple[ImageScores, float]:
    """Return the scores of an image, and the average precision of its foreground, from a row of numbers."""
    n = len(IOU_LEVELS)
    values = dict(zip(_FIELDS[1:], row[n:].tolist(), strict=False))
    whole = {name: values[name] if name in _REAL else round(values[name]) for name in _FIELDS[1:]}
    return ImageScores(tp=tuple(round(hit) for hit in row[:n].tolist()), **whole), float(row[-1])


def _training(finder: Finder) -> Arrays:
    """Return how the loss of a detector fell, and how near to the convex optimum it ended, NaN where it has none."""
    if not isinstance(finder, CellDetector) or not finder.history_.train_loss:
        return {}
    history = finder.history_
    return {
        "loss": np.array(history.train_loss, np.float64),
        "objective": np.array(history.objective, np.float64),
        "optimum": np.array(history.optimum, np.float64),
    }


def _packed_labels(labels: Labels) -> npt.NDArray[np.unsignedinteger]:
    """Return labels in two bytes a pixel where they fit."""
    return labels.astype(np.uint16 if labels.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32)


_FIELDS = ("tp", "n_truth", "n_found", "matched_iou", "shared", "true_pixels", "found_pixels", "hausdorff_95")
_REAL = frozenset({"matched_iou", "hausdorff_95"})
