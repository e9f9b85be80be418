"""Many features of few subjects in as many numbers as there are subjects."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["same_products"]

FloatArray = npt.NDArray[np.float64]
_TILE = 1 << 16  # features in one product


def same_products(X: npt.NDArray[Any]) -> FloatArray:
    r"""Return coordinates with the inner products of X: ``(subject, feature) -> (subject, min(subject, feature))``.

    .. math:: Z = U \Lambda^{1/2}, \quad X X^\top = U \Lambda U^\top

    Z is X turned, and axes in which nobody differs left out. Ridge, least squares, partial least squares and principal
    components see features through these products alone, so they say of Z what they say of X, to rounding, at the
    price of a table of subjects by subjects. What treats each feature by itself (ComBat, unit variance) does not.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(5, 1000))
    >>> Z = same_products(X)
    >>> Z.shape, bool(np.allclose(Z @ Z.T, X @ X.T))
    ((5, 5), True)
    """
    flat = X.reshape(len(X), -1)
    if flat.shape[1] <= len(flat):
        return np.asarray(flat, dtype=np.float64)
    products = np.zeros((len(flat), len(flat)))
    for start in range(0, flat.shape[1], _TILE):
        tile = flat[:, start : start + _TILE].astype(np.float64)
        products += tile @ tile.T
    values, vectors = np.linalg.eigh(products)
    order = np.argsort(-values, kind="stable")
    scale = np.sqrt(np.maximum(values[order], 0.0))
    # the sign of an eigenvector is free; this one does not hang on the library
    vectors = vectors[:, order] * np.where(vectors[:, order].sum(0) < 0, -1.0, 1.0)
    return np.asarray(vectors * scale)
