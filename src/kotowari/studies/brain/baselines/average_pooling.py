"""Means over cubes: what an encoder of as many blocks does without having learned anything."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.brain.baselines.voxels import masked_error, masked_volumes, whole_mask

__all__ = ["AveragePooling"]

FloatArray = npt.NDArray[np.float64]
Volumes = npt.NDArray[np.float32]


class AveragePooling(TransformerMixin, BaseEstimator):
    """The mean of the mask's voxels in every cube of ``2**n_blocks`` voxels an edge; nothing is learned.

    The matched trivial null of an encoder of ``n_blocks`` halvings: the same box and the same padding as
    :class:`kotowari.networks.Autoencoder3d`, so the same cubes. Cubes without a voxel of the mask have no feature.

    Parameters
    ----------
    n_blocks
        Halvings of each axis, 1 or more.
    mask
        Voxels that count, shape ``(x, y, z)``; None for all.

    Attributes
    ----------
    cubes_
        Number of the cube of each voxel of the mask, shape ``(voxel,)``.
    counts_
        Voxels of the mask in each cube, shape ``(feature,)``.
    grid_
        Cubes along each axis of the padded box.

    Examples
    --------
    >>> AveragePooling(1).fit_transform(np.ones((2, 4, 4, 4))).shape
    (2, 8)
    """

    def __init__(self, n_blocks: int = 3, *, mask: npt.ArrayLike | None = None) -> None:
        self.n_blocks = n_blocks
        self.mask = mask

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Lay the cubes over the box of volumes of shape ``(subject, x, y, z)``."""
        if self.n_blocks < 1:
            raise InputError(f"AveragePooling: n_blocks must be 1 or more, got {self.n_blocks}.")
        self.mask_ = whole_mask(self.mask, tuple(np.shape(X)[1:]))
        edge, places, grid = 1 << self.n_blocks, [], []
        for positions in np.nonzero(self.mask_):
            side = int(np.ptp(positions)) + 1
            length = max(2, -(-side // edge)) * edge
            places.append(positions - positions.min() + (length - side) // 2)
            grid.append(length // edge)
        self.grid_ = tuple(grid)
        self._places = np.stack(places, axis=1)
        numbers = np.ravel_multi_index(tuple((self._places // edge).T), self.grid_)
        self._kept, self.cubes_ = np.unique(numbers, return_inverse=True)
        self.counts_ = np.bincount(self.cubes_)
        self.n_features_ = len(self.counts_)
        return self

    def transform(self, X: Any) -> Volumes:
        """Return the means, ``(subject, x, y, z) -> (subject, feature)``."""
        check_is_fitted(self, "cubes_")
        features = np.empty((len(X), self.n_features_), np.float32)
        for row in range(len(X)):
            (volume,) = masked_volumes(X[row : row + 1], self.mask_)
            features[row] = np.bincount(self.cubes_, volume[self.mask_], self.n_features_) / self.counts_
        return features

    def inverse_transform(self, features: npt.ArrayLike) -> Volumes:
        """Spread the means over the voxels by trilinear interpolation between cubes that hold some of the mask."""
        check_is_fitted(self, "cubes_")
        given = np.asarray(features, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != self.n_features_:
            raise ShapeError.mismatch("AveragePooling", "features", ("subject", self.n_features_), given.shape)
        cells = np.zeros((len(given), int(np.prod(self.grid_))))
        cells[:, self._kept] = given
        filled = np.zeros(cells.shape[1])
        filled[self._kept] = 1.0
        position = (self._places + 0.5) / (1 << self.n_blocks) - 0.5
        low = np.clip(np.floor(position).astype(np.intp), 0, np.array(self.grid_) - 2)
        share = np.clip(position - low, 0.0, 1.0)
        total, weight = np.zeros((len(given), len(position))), np.zeros(len(position))
        for corner in np.ndindex(2, 2, 2):
            part = np.prod(np.where(np.array(corner), share, 1 - share), axis=1)
            number = np.ravel_multi_index(tuple((low + corner).T), self.grid_)
            total += cells[:, number] * part
            weight += filled[number] * part
        volumes = np.zeros((len(given), *self.mask_.shape), np.float32)
        volumes[:, self.mask_] = total / weight
        return volumes

    def errors(self, X: Any) -> FloatArray:
        """Return the mean absolute error of pooling and spreading, in the mask, ``(subject,)``."""
        return masked_error(X, self.inverse_transform(self.transform(X)), self.mask_)

    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002
        """Return minus the mean of :meth:`errors`."""
        return -float(self.errors(X).mean())
