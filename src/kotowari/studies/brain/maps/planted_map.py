"""How well a map finds what was planted: by voxel, by region, and in millimetres."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import center_of_mass, label

from kotowari.core.errors import InputError, ShapeError
from kotowari.trust.planted import planted_scores

__all__ = ["centre_distance", "planted_map_scores", "planted_regions"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)


def planted_map_scores(
    values: npt.NDArray[Any],
    truth: BoolArray,
    mask: BoolArray,
    *,
    voxel_mm: float | tuple[float, float, float],
    labels: npt.NDArray[np.integer[Any]] | None = None,
) -> dict[str, float]:
    """Score the size of a map's values against the planted truth.

    Parameters
    ----------
    values
        Shape of the box; signs do not count.
    truth
        Planted voxels, shape of the box; neither all voxels of the mask nor none.
    mask
        Voxels that count, shape of the box.
    voxel_mm
        Edges of a voxel: one number, or three.
    labels
        Regions, shape of the box, 0 for none.

    Returns
    -------
    dict
        ``voxel_auc`` (chance 0.5), ``voxel_ap`` and its chance level ``voxel_prevalence``, ``centre_distance_mm``; with
        labels ``region_ap`` and ``region_prevalence``, NaN where regions are all planted or none is.

    Raises
    ------
    ShapeError
        When shapes differ.
    InputError
        When the truth is empty or whole, or the map not finite in the mask.
    """
    for name, array in {"values": values, "truth": truth}.items():
        if array.shape != mask.shape:
            raise ShapeError.mismatch("planted_map_scores", name, mask.shape, array.shape)
    sizes = np.where(mask, np.abs(values), 0.0)
    by_voxel = planted_scores(sizes[mask], truth[mask])
    found = {
        "voxel_auc": by_voxel["auroc"],
        "voxel_ap": by_voxel["average_precision"],
        "voxel_prevalence": by_voxel["prevalence"],
        "centre_distance_mm": centre_distance(sizes, truth & mask, voxel_mm=voxel_mm),
    }
    if labels is not None:
        planted, strength = planted_regions(sizes, truth, np.where(mask, labels, 0))
        told = bool(planted.any() and not planted.all())
        by_region = planted_scores(strength, planted) if told else {}
        found["region_ap"] = by_region.get("average_precision", np.nan)
        found["region_prevalence"] = float(planted.mean())
    return found


def planted_regions(
    values: npt.NDArray[Any], truth: BoolArray, labels: npt.NDArray[np.integer[Any]]
) -> tuple[BoolArray, FloatArray]:
    """Return which regions are planted in half of their voxels or more, and the mean of the map in each.

    Regions come in the rising order of their labels, shape ``(region,)`` each.
    """
    _, codes = np.unique(labels[labels > 0], return_inverse=True)
    n_voxels = np.bincount(codes)
    share = np.bincount(codes, truth[labels > 0]) / n_voxels
    means: FloatArray = np.bincount(codes, values[labels > 0]) / n_voxels
    return share >= 0.5, means


def centre_distance(
    values: npt.NDArray[Any], truth: BoolArray, *, voxel_mm: float | tuple[float, float, float]
) -> float:
    """Return the mean distance from the centre of each planted place to that of the nearest found place, in mm.

    Places are sets of voxels that touch. As many of the strongest voxels are taken as were planted, and of the places
    they form the strongest, by the sum of their values: as many as were planted. A constant map has no place: NaN.

    Parameters
    ----------
    values
        0 or more, shape of the box.
    truth
        Planted voxels, shape of the box.
    voxel_mm
        Edges of a voxel: one number, or three.
    """
    if not truth.any():
        raise InputError("centre_distance: nothing was planted.")
    edges = np.broadcast_to(np.asarray(voxel_mm, dtype=np.float64), 3)
    planted, n_planted = label(truth, _NEIGHBOURS)
    n_voxels = int(truth.sum())
    border = np.partition(values.ravel(), -n_voxels)[-n_voxels]
    # parts tied at the border come in as a whole, unless the tie is the map's lowest value
    found = (values >= border) & (values > values.min())
    places, n_places = label(found, _NEIGHBOURS)
    if not n_places:
        return float("nan")
    weight = np.bincount(places.ravel(), values.ravel())[1:]
    kept = 1 + np.argsort(-weight, kind="stable")[:n_planted]
    centres = np.atleast_2d(center_of_mass(values, places, kept)) * edges
    wanted = np.atleast_2d(center_of_mass(truth, planted, np.arange(1, n_planted + 1))) * edges
    return float(np.linalg.norm(wanted[:, None] - centres, axis=2).min(1).mean())
