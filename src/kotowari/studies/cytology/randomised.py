"""Foregrounds of one image by trained and by untrained networks, and whether background and foreground add up."""

from pathlib import Path

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.studies.cytology.image_store import ImageStore
from kotowari.studies.cytology.model.detector import CellDetector
from kotowari.training.devices import one_thread

__all__ = ["control_foregrounds"]


def control_foregrounds(store: ImageStore, folders: list[Path], row: int, seeds: list[int]) -> Arrays:
    """Return the maps of one image by detectors that never saw it.

    Parameters
    ----------
    store
        All images.
    folders
        Of trained detectors that differ in their seed alone; the first is that of the run.
    row
        The image.
    seeds
        Of untrained networks of the same shape.

    Returns
    -------
    dict
        ``trained`` (of all but the first), ``untrained``: ``(map, height, width)``; ``completeness``: the largest
        difference between the image and the sum of its layers, one a trained detector.
    """
    image = store.image(row)
    with one_thread():
        trained = [CellDetector.load(folder) for folder in folders]
        untrained = [trained[0].untrained(seed) for seed in seeds]
        gaps = []
        for detector in trained:
            gaps.append(float(np.abs(image - (detector.background(image) + detector.sparse(image))).max()))
        return {
            "trained": np.stack([detector.foreground(image) for detector in trained[1:]]),
            "untrained": np.stack([detector.foreground(image) for detector in untrained]),
            "completeness": np.array(gaps),
        }
