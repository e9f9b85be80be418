"""A map smoothed within the mask: what single voxels of it say is too fine to be trusted."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from kotowari.core.errors import InputError

__all__ = ["smooth_map"]

_SD_PER_FWHM = 1 / np.sqrt(8 * np.log(2))


def smooth_map(
    values: npt.NDArray[Any], mask: npt.NDArray[np.bool_], *, voxel_mm: tuple[float, float, float], fwhm_mm: float
) -> npt.NDArray[np.float32]:
    """Smooth signed maps by a Gaussian; what lies outside of the mask counts as 0.

    The gradient of a ridge on features is spread over all voxels that stand in for each other, with a sign that changes
    from one to the next. On planted brains of 8 mm its average precision rose with the width, up to about 20 mm, where
    it passed that of the smoothed mass-univariate map.

    Parameters
    ----------
    values
        Shape ``(..., *box)``.
    mask
        Shape of the box.
    voxel_mm
        Edges of a voxel.
    fwhm_mm
        Full width at half maximum, 0 or more.
    """
    if not fwhm_mm >= 0:
        raise InputError(f"smooth_map: fwhm_mm must be 0 or more, got {fwhm_mm}.")
    sd = [0.0] * (values.ndim - 3) + [fwhm_mm * _SD_PER_FWHM / edge for edge in voxel_mm]
    smooth = gaussian_filter(np.where(mask, values, 0.0).astype(np.float64), sd, mode="constant")
    return np.where(mask, smooth, 0.0).astype(np.float32)
