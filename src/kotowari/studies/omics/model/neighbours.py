"""Exact nearest neighbours of genes by blocks of matrix products, and distances as Euclidean ones."""

from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError

__all__ = ["METRICS", "gene_distances", "gene_vectors", "nearest_neighbours"]

METRICS = ("cosine", "correlation", "euclidean")

_BLOCK_BYTES = 32 << 20


def gene_vectors(profiles: npt.NDArray[Any], metric: str) -> npt.NDArray[np.float32]:
    r"""Return vectors whose Euclidean distances order the genes as ``metric`` does.

    Profiles of unit length have :math:`\|a - b\|^2 = 2 (1 - \cos(a, b))`; for the correlation they are centred first.
    The common mean is taken off in the end: it changes no distance, and single precision then suffices.

    Parameters
    ----------
    profiles
        Shape ``(gene, sample)``; no row is constant.
    metric
        One of ``METRICS``.

    Raises
    ------
    InputError
        When the metric is none of these.
    """
    if metric not in METRICS:
        raise InputError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}.")
    vectors = np.array(profiles, dtype=np.float64)
    if metric == "correlation":
        vectors -= vectors.mean(1, keepdims=True)
    if metric != "euclidean":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors - vectors.mean(0), dtype=np.float32)


def gene_distances(squared: npt.NDArray[np.float64], metric: str) -> npt.NDArray[np.float64]:
    """Turn squared distances of :func:`gene_vectors` into distances of ``metric``, 0 or more."""
    return np.sqrt(squared) if metric == "euclidean" else squared / 2


def nearest_neighbours(
    vectors: npt.NDArray[np.float32], count: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Return the nearest other points of every point, nearest first, and their squared Euclidean distances.

    Exact but for the rounding of single precision; time grows with the square of the points, memory does not.

    Parameters
    ----------
    vectors
        Shape ``(point, entry)``; centred, for the sake of precision.
    count
        Neighbours of a point, 1 up to the number of points less one.

    Returns
    -------
    tuple of ndarray
        Indices and squared distances, both of shape ``(point, count)``.
    """
    n = len(vectors)
    squares = np.einsum("ij,ij->i", vectors, vectors)
    indices, squared = np.empty((n, count), np.int32), np.empty((n, count))
    size = max(1, _BLOCK_BYTES // (4 * n))
    for begin in range(0, n, size):
        rows = np.arange(begin, min(n, begin + size))
        gaps = vectors[rows] @ vectors.T
        gaps *= -2
        gaps += squares
        gaps[rows - begin, rows] = np.inf
        nearest = np.argpartition(gaps, count - 1, axis=1)[:, :count]
        found = np.take_along_axis(gaps, nearest, axis=1).astype(np.float64) + squares[rows, None]
        rank = np.lexsort((nearest, found), axis=-1)
        indices[rows] = np.take_along_axis(nearest, rank, axis=1)
        squared[rows] = np.maximum(np.take_along_axis(found, rank, axis=1), 0)
    return indices, squared
