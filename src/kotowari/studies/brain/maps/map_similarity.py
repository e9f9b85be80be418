"""How alike two maps are, as they stand and without their broad shape."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import gaussian_filter

from kotowari.core.errors import InputError, ShapeError
from kotowari.trust.randomisation import similarity

__all__ = ["high_passed", "similarity_table"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
_SD_PER_FWHM = 1 / np.sqrt(8 * np.log(2))


def high_passed(
    values: npt.NDArray[Any], mask: BoolArray, *, voxel_mm: float | tuple[float, float, float], fwhm_mm: float = 24.0
) -> FloatArray:
    """Take the broad shape out of a map: what a Gaussian of ``fwhm_mm`` leaves of it.

    The Gaussian averages voxels of the mask only.

    Parameters
    ----------
    values
        Shape ``(..., *box)``.
    mask
        Voxels that count, shape of the box.
    voxel_mm
        Edges of a voxel: one number, or three.
    fwhm_mm
        Full width at half maximum, above 0.

    Returns
    -------
    array
        Shape of ``values``, 0 outside of the mask.
    """
    if values.shape[-3:] != mask.shape:
        raise ShapeError.mismatch("high_passed", "values", ("...", *mask.shape), values.shape)
    edges = np.broadcast_to(np.asarray(voxel_mm, dtype=np.float64), 3)
    if fwhm_mm <= 0 or not (edges > 0).all():
        raise InputError(f"high_passed: fwhm_mm and voxel_mm must be above 0, got {fwhm_mm} and {voxel_mm}.")
    sd = fwhm_mm * _SD_PER_FWHM / edges
    weight = gaussian_filter(mask.astype(np.float64), sd, mode="constant")
    fine = np.zeros(values.shape)
    for index in np.ndindex(values.shape[:-3]):
        inside = np.where(mask, values[index], 0.0)
        broad = gaussian_filter(inside, sd, mode="constant") / np.where(mask, weight, 1.0)
        fine[index] = np.where(mask, inside - broad, 0.0)
    return fine


def similarity_table(
    values: npt.NDArray[Any],
    controls: Mapping[str, npt.NDArray[Any]],
    mask: BoolArray,
    *,
    voxel_mm: float | tuple[float, float, float],
    fwhm_mm: float = 24.0,
    top_share: float = 0.05,
) -> pd.DataFrame:
    """Compare a map with its controls by the size of its values in the mask.

    Maps are alike by the edges and the broad shape of the brain alone; so they are compared once more after
    :func:`high_passed`.

    Parameters
    ----------
    values
        Shape of the box.
    controls
        Name to a control, shape ``(*box)``, or to several, ``(control, *box)``, whose figures are averaged.
    mask, voxel_mm, fwhm_mm
        As in :func:`high_passed`.
    top_share
        As in :func:`kotowari.trust.randomisation.similarity`.

    Returns
    -------
    DataFrame
        One row a control: ``control``, ``n_maps``, ``spearman``, ``top_overlap``, ``spearman_high_pass``,
        ``top_overlap_high_pass``.
    """
    fine = high_passed(np.abs(values), mask, voxel_mm=voxel_mm, fwhm_mm=fwhm_mm)[mask]
    rows = []
    for name, given in controls.items():
        maps = given.reshape(-1, *mask.shape)
        plain = [similarity(values[mask], other[mask], top_share=top_share) for other in maps]
        own = high_passed(np.abs(maps), mask, voxel_mm=voxel_mm, fwhm_mm=fwhm_mm)
        sharp = [similarity(fine, other[mask], top_share=top_share) for other in own]
        rows.append(
            {
                "control": name,
                "n_maps": len(maps),
                "spearman": np.mean([found.spearman for found in plain]),
                "top_overlap": np.mean([found.top_overlap for found in plain]),
                "spearman_high_pass": np.mean([found.spearman for found in sharp]),
                "top_overlap_high_pass": np.mean([found.top_overlap for found in sharp]),
            }
        )
    return pd.DataFrame(rows)
