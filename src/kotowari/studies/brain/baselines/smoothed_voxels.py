"""Voxels after smoothing: the features of most published brain regressions."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from kotowari.core.errors import InputError
from kotowari.studies.brain.baselines.voxels import masked_volumes, whole_mask

__all__ = ["SmoothedVoxels"]

_SD_PER_FWHM = 1 / np.sqrt(8 * np.log(2))


class SmoothedVoxels(TransformerMixin, BaseEstimator):
    """Voxels of the mask after smoothing by a Gaussian; nothing is learned.

    What lies outside of the mask counts as 0, as in SPM after masking.

    Parameters
    ----------
    fwhm_mm
        Full width at half maximum, 0 or more; 0 smooths nothing.
    voxel_mm
        Edges of a voxel: one number, or three.
    mask
        Voxels that count, shape ``(x, y, z)``; None for all.

    Examples
    --------
    >>> SmoothedVoxels(8, voxel_mm=8).fit_transform(np.ones((2, 4, 4, 4))).shape
    (2, 64)
    """

    def __init__(
        self,
        fwhm_mm: float = 8.0,
        *,
        voxel_mm: float | tuple[float, float, float] = 1.5,
        mask: npt.ArrayLike | None = None,
    ) -> None:
        self.fwhm_mm = fwhm_mm
        self.voxel_mm = voxel_mm
        self.mask = mask

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Check the options against volumes of shape ``(subject, x, y, z)``."""
        edges = np.broadcast_to(np.asarray(self.voxel_mm, dtype=np.float64), 3)
        if self.fwhm_mm < 0 or not (edges > 0).all():
            raise InputError(
                f"SmoothedVoxels: fwhm_mm must be 0 or more and voxel_mm above 0, got {self.fwhm_mm}, {self.voxel_mm}."
            )
        self.mask_ = whole_mask(self.mask, tuple(np.shape(X)[1:]))
        self.sd_voxels_ = self.fwhm_mm * _SD_PER_FWHM / edges
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """Return the voxels, ``(subject, x, y, z) -> (subject, voxel)``, one volume in memory beside the result."""
        check_is_fitted(self, "mask_")
        features = np.empty((len(X), int(self.mask_.sum())), np.float32)
        for row in range(len(X)):
            (volume,) = masked_volumes(X[row : row + 1], self.mask_)
            if self.fwhm_mm > 0:
                volume = gaussian_filter(volume, self.sd_voxels_, mode="constant")
            features[row] = volume[self.mask_]
        return features
