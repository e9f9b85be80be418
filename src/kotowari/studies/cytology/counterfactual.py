"""Cells taken out of an image one by one: that one should no longer be found, and no other should change."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, distance_transform_edt, mean

from kotowari.core.jobs import Arrays
from kotowari.studies.cytology.fitting import find_cells
from kotowari.studies.cytology.image_store import ImageStore
from kotowari.studies.cytology.model.detector import CellDetector
from kotowari.studies.cytology.model.instances import InstanceOptions
from kotowari.training.devices import one_thread

__all__ = ["remove_cells", "without_cell"]

FloatImage = npt.NDArray[np.float32]
Labels = npt.NDArray[np.integer]
_MARGIN = 3


def remove_cells(
    store: ImageStore,
    detector: Path,
    options: InstanceOptions,
    labels: Mapping[int, Labels],
    chosen: Mapping[int, list[int]],
) -> Arrays:
    """Take cells out of images one at a time, and find cells anew.

    Parameters
    ----------
    store
        All images.
    detector
        Folder of one that never saw these images.
    options
        Of the instance stage.
    labels
        Row to the cells found.
    chosen
        Row to the labels to take out.

    Returns
    -------
    dict
        One entry a cell taken out: ``row``; ``label``; ``gone``, whether no cell is found on more than half of its
        place; ``change``, the mean over the other cells of the change of their mean foreground, relative to it; NaN
        where there is no other. ``near`` is the same of the cells within 32 pixels alone.
    """
    told: list[tuple[float, ...]] = []
    with one_thread():
        finder = CellDetector.load(detector)
        for row, numbers in chosen.items():
            image, cells = store.image(row), labels[row]
            before = finder.foreground(image)
            for number in numbers:
                found = find_cells(finder, without_cell(image, cells, number), options)
                own = cells == number
                gone = float((found.instances.labels[own] > 0).mean() <= 0.5)
                others = np.setdiff1d(np.unique(cells), [0, number])
                change = _changes(before, found.foreground, cells, others)
                near = np.intersect1d(others, np.unique(cells[distance_transform_edt(~own) <= 32]))
                told.append((row, number, gone, _mean(change), _mean(change[np.isin(others, near)])))
    columns = np.array(told, np.float64).reshape(-1, 5).T
    return dict(zip(("row", "label", "gone", "change", "near"), columns, strict=True))


def without_cell(image: FloatImage, cells: Labels, number: int) -> FloatImage:
    """Return the image with one cell replaced by the background nearest to each of its pixels.

    The pixels of other cells stay as they are, and are not taken for background.

    Parameters
    ----------
    image
        Shape ``(height, width, channel)``.
    cells
        Shape ``(height, width)``, labels.
    number
        The cell.
    """
    hole = binary_dilation(cells == number, iterations=_MARGIN) & ((cells == 0) | (cells == number))
    known = ~hole & ~binary_dilation(cells > 0, iterations=_MARGIN)
    if not known.any():
        known = ~hole & (cells == 0)
    filled = image.copy()
    if known.any():
        _, (rows, columns) = distance_transform_edt(~known, return_indices=True)
        filled[hole] = image[rows[hole], columns[hole]]
    return filled


def _changes(
    before: FloatImage, after: FloatImage, cells: Labels, others: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    if not len(others):
        return np.empty(0)
    old, new = (np.asarray(mean(values, cells, others), np.float64) for values in (before, after))
    changes: npt.NDArray[np.float64] = np.abs(new - old) / np.maximum(np.abs(old), 1e-12)
    return changes


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else np.nan
