"""What a user takes away: masks of each image, a table of cells with the reason for each, counts, and COCO."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import mean

from kotowari.core.jobs import Arrays
from kotowari.core.page import write_table
from kotowari.formats.coco import write_coco
from kotowari.formats.label_image import write_label_png, write_label_tiff
from kotowari.studies.cytology.cell_table import cells_of

__all__ = ["ResultFiles"]

FloatImage = npt.NDArray[np.float32]
Labels = npt.NDArray[np.integer]
_LARGEST_PNG = 65_535
_CLEAR = 2.0


class ResultFiles:
    """Collects what is found image by image; masks are written at once, tables and COCO at the end.

    Parameters
    ----------
    folder
        For ``<image>-cells.tif`` and ``<image>-cells.png``: 0 is background, every other number a cell.

    Attributes
    ----------
    counts
        One row an image, in the order in which they came.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: list[dict[str, Any]] = []
        self._cells: list[pd.DataFrame] = []
        self._found: list[tuple[str, Labels, npt.NDArray[np.float32]]] = []

    def skip(self, name: str, flags: str) -> None:
        """Note an image in which no cell was sought; ``flags`` say why."""
        self.counts.append({"image": name, "kind": "", "cells": pd.NA, "flags": flags})

    def add(self, name: str, kind: str, image: FloatImage, found: Arrays, um_per_pixel: float, flags: str) -> None:
        """Write the masks of an image, and keep its cells.

        Parameters
        ----------
        name, kind
            Of the image.
        image
            Shape ``(height, width, channel)``.
        found
            ``labels``, ``confidence``, ``foreground`` and ``cut``.
        um_per_pixel
            Edge of a pixel, NaN where unknown.
        flags
            What is wrong with the image, empty where nothing is.
        """
        labels = found["labels"]
        edge = um_per_pixel if np.isfinite(um_per_pixel) else None
        write_label_tiff(self.folder / f"{name}-cells.tif", labels, um_per_pixel=edge)
        if labels.max(initial=0) <= _LARGEST_PNG:  # a PNG holds no more
            write_label_png(self.folder / f"{name}-cells.png", labels)
        table = cells_of(labels, image, found["confidence"], edge)
        table.insert(0, "image", name)
        self._cells.append(_with_reasons(table, found).assign(kind=kind))
        self._found.append((name, labels, found["confidence"]))
        self.counts.append({"image": name, "kind": kind, "cells": len(table), "flags": flags})

    def write(self, tables: Path, coco: Path) -> None:
        """Write ``cells.csv``, ``counts.csv`` and COCO; all are there, with their columns, where no cell was found."""
        cells = pd.concat(self._cells, ignore_index=True) if self._cells else pd.DataFrame(columns=["image", "label"])
        write_table(tables / "cells.csv", cells)
        write_table(tables / "counts.csv", pd.DataFrame(self.counts, columns=["image", "kind", "cells", "flags"]))
        names, labels, confidence = zip(*self._found, strict=True) if self._found else ((), (), ())
        write_coco(coco, names, labels, confidence, category="cell", description="cells found without annotation")


def _with_reasons(table: pd.DataFrame, found: Arrays) -> pd.DataFrame:
    """Put beside each cell how sure it is, how far it stands above the cut, and that in words."""
    n = len(table)
    cut = float(found["cut"])
    numbers = np.arange(1, n + 1)
    strength = np.asarray(mean(found["foreground"].astype(np.float64), found["labels"], numbers)) if n else np.empty(0)
    share = strength / max(cut, 1e-12)
    told = table.assign(contrast=strength, contrast_over_cut=share)
    words = [
        f"foreground {own:.3g} against a cut of {cut:.3g}, {'clearly' if times >= _CLEAR else 'just'} above it"
        for own, times in zip(strength, share, strict=True)
    ]
    first = ["image", "label", "why", "confidence", "contrast", "contrast_over_cut"]
    told["why"] = np.array(words, dtype=object)
    return told[[*first, *(name for name in told if name not in first)]]
