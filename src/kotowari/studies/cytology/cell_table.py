"""Position, shape and stain of every cell, as a table."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial import ConvexHull
from skimage.measure import regionprops

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.cytology.stain import find_stain, is_colour, optical_density, require_image
from kotowari.studies.cytology.stain_vectors import find_stain_vectors, stain_amounts

__all__ = ["cells_of"]

FloatArray = npt.NDArray[np.float64]
_CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}


def cells_of(
    labels: npt.NDArray[np.integer],
    image: npt.ArrayLike,
    confidence: npt.ArrayLike | None = None,
    um_per_pixel: float | None = None,
) -> pd.DataFrame:
    r"""Measure every cell of one image.

    Columns: ``label``; ``row column`` of the centroid, px (0 = centre of the first pixel), ``row_um column_um``;
    ``area_px area_um2``; ``equivalent_diameter_px``; ``eccentricity`` and ``orientation`` (rad, from the row axis,
    anticlockwise) of the ellipse of equal second moments; ``solidity``, area over the area of the convex hull;
    ``perimeter_px``; for each channel ``mean_<channel>`` and ``sum_<channel>`` of the intensity, and in bright-field
    images ``density_<channel>`` and ``sum_density_<channel>`` of the optical density; ``stain_share``, the share of
    the first (nuclear) of two stains in a bright-field colour image; ``touches_border``; ``confidence``. NaN where a
    column does not apply (no scale, no confidence, fewer than two stains).

    Parameters
    ----------
    labels
        Shape ``(height, width)``, 0 = background.
    image
        Shape ``(height, width, channel)``, channel 1 or 3, 0 to 1.
    confidence
        Shape ``(cell,)``, in the order of the labels.
    um_per_pixel
        Side of a pixel, um, above 0.

    Returns
    -------
    DataFrame
        One row a cell, sorted by label; without rows when there is no cell.

    Raises
    ------
    ShapeError
        When image, labels and confidence do not fit each other.
    InputError
        When the scale is not above 0, or labels are no whole numbers.

    Shapes are those of scikit-image's region properties but for the solidity, whose hull is drawn around the corners
    of the pixels instead of their centres: ten times as fast, and 1 for a rectangle.
    """
    values = require_image(image, "cells_of")
    found = np.asarray(labels)
    if found.dtype.kind not in "iu" or found.min(initial=0) < 0:
        raise InputError("cells_of: labels must be whole numbers, 0 or more.")
    if found.shape != values.shape[:2]:
        raise ShapeError.mismatch("cells_of", "labels", values.shape[:2], found.shape)
    if um_per_pixel is not None and not um_per_pixel > 0:
        raise InputError(f"cells_of: um_per_pixel must be above 0, got {um_per_pixel}.")
    table = _shapes(found)
    if confidence is not None and np.shape(confidence) != (len(table),):
        raise ShapeError.mismatch("cells_of", "confidence", (len(table),), np.shape(confidence))
    scale = float("nan") if um_per_pixel is None else um_per_pixel
    table.insert(3, "row_um", table["row"] * scale)
    table.insert(4, "column_um", table["column"] * scale)
    table.insert(6, "area_um2", table["area_px"] * scale**2)
    for name, column in _stains(found, values, table["label"].to_numpy()).items():
        table[name] = column
    table["touches_border"] = np.isin(table["label"], _border_labels(found))
    table["confidence"] = np.nan if confidence is None else np.asarray(confidence, dtype=np.float64)
    return table


def _shapes(labels: npt.NDArray[np.integer]) -> pd.DataFrame:
    regions = regionprops(labels)
    rows = [
        (
            cell.label,
            *cell.centroid,
            cell.area,
            cell.equivalent_diameter_area,
            cell.eccentricity,
            cell.orientation,
            cell.area / _hull_area(cell.image),
            cell.perimeter,
        )
        for cell in regions
    ]
    names = [
        "label", "row", "column", "area_px", "equivalent_diameter_px", "eccentricity", "orientation", "solidity",
        "perimeter_px",
    ]  # fmt: skip
    table = pd.DataFrame(np.array(rows, dtype=np.float64).reshape(-1, len(names)), columns=names)
    return table.astype({"label": np.int64})


def _hull_area(mask: npt.NDArray[np.bool_]) -> float:
    """Area of the convex hull of the pixels' corners, px."""
    rows = np.flatnonzero(mask.any(1))
    inside = mask[rows]
    first, last = inside.argmax(1), mask.shape[1] - inside[:, ::-1].argmax(1)
    corners = [np.column_stack([rows + step, edge]) for step in (0, 1) for edge in (first, last)]
    return float(ConvexHull(np.concatenate(corners)).volume)


def _stains(
    labels: npt.NDArray[np.integer], image: npt.NDArray[np.float32], names: npt.NDArray[np.int64]
) -> dict[str, FloatArray]:
    inside = np.flatnonzero(labels)
    owner = np.searchsorted(names, labels.ravel()[inside])
    counts = np.bincount(owner, minlength=len(names))

    def sums(values: npt.NDArray[np.float32]) -> FloatArray:
        return np.bincount(owner, weights=values.ravel()[inside], minlength=len(names)).astype(np.float64)

    columns: dict[str, FloatArray] = {}
    channels = _CHANNELS[image.shape[-1]]
    for place, channel in enumerate(channels):
        total = sums(image[..., place])
        columns[f"mean_{channel}"], columns[f"sum_{channel}"] = total / counts, total
    bright_field = find_stain(image).kind == "bright-field"
    density = optical_density(image) if bright_field else None
    for place, channel in enumerate(channels):
        total = np.full(len(names), np.nan) if density is None else sums(density[..., place])
        columns[f"density_{channel}"], columns[f"sum_density_{channel}"] = total / counts, total
    columns["stain_share"] = np.full(len(names), np.nan)
    if density is not None and is_colour(image):
        try:
            amounts = stain_amounts(density, find_stain_vectors(density))
        except DesignError:  # too little stain to tell two apart: the column stays empty, as documented
            return columns
        first, both = sums(amounts[..., 0]), sums(amounts.sum(-1))
        columns["stain_share"] = np.divide(first, both, out=np.full(len(names), np.nan), where=both > 0)
    return columns


def _border_labels(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    return np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
