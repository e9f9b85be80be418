"""Networks of many samples on one list of edges: what a dense tensor would hold, without its zeros."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError, InputError, ShapeError

__all__ = ["SparseNetworks"]

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]

_MOST_DENSE_BYTES = 2_000_000_000


@dataclass(frozen=True)
class SparseNetworks:
    """Edge values of every sample on the union of the samples' edges; an edge outside the list is 0.

    Has ``shape`` and ``len`` of the dense array that it stands for, and rows can be taken by index, so that
    scikit-learn's splitters and cross-validation work on it.

    Parameters
    ----------
    values
        Shape ``(sample, edge)``, finite.
    edges
        Shape ``(edge, mode)``: index of each edge along every mode, such as regulator and target; no edge twice.
    mode_shape
        Length of every mode, such as ``(n_regulators, n_targets)``.

    Raises
    ------
    ShapeError
        When the arrays do not fit together.
    InputError
        When an edge lies outside the networks or stands twice.
    """

    values: FloatArray
    edges: IntArray
    mode_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        edges, n_modes = np.asarray(self.edges), len(self.mode_shape)
        if edges.ndim != 2 or edges.shape[1] != n_modes:
            raise ShapeError.mismatch("SparseNetworks", "edges", ("edge", n_modes), edges.shape)
        if np.ndim(self.values) != 2 or np.shape(self.values)[1] != len(edges):
            raise ShapeError.mismatch("SparseNetworks", "values", ("sample", len(edges)), np.shape(self.values))
        outside = np.flatnonzero(((edges < 0) | (edges >= np.array(self.mode_shape))).any(1))
        if len(outside):
            place = tuple(int(index) for index in edges[outside[0]])
            raise InputError(f"SparseNetworks: edge {outside[0]} lies at {place}, outside {tuple(self.mode_shape)}.")
        places = np.sort(self.places)
        if (places[1:] == places[:-1]).any():
            raise InputError("SparseNetworks: an edge stands twice in the list. Add the values of equal edges up.")

    @classmethod
    def from_dense(cls, X: npt.ArrayLike) -> Self:
        """Keep the edges that are not 0 in every sample; ``X`` of shape ``(sample, I1, .., IK)``."""
        dense = np.asarray(X)
        edges = np.argwhere((dense != 0).any(0))
        return cls(dense[(slice(None), *edges.T)], edges, dense.shape[1:])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dense array, ``(sample, I1, .., IK)``."""
        return (len(self.values), *self.mode_shape)

    @property
    def places(self) -> IntArray:
        """Number of every edge in the flattened dense network, shape ``(edge,)``."""
        places: IntArray = np.ravel_multi_index(tuple(np.asarray(self.edges).T), self.mode_shape).astype(np.int64)
        return places

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> Self:
        """Take samples by index, mask or slice; one number gives one sample."""
        return type(self)(self.values[np.atleast_1d(np.arange(len(self))[rows])], self.edges, self.mode_shape)

    def to_dense(self) -> FloatArray:
        """Return the array of shape ``(sample, I1, .., IK)``.

        Raises
        ------
        DesignError
            When it would take more than 2 GB.
        """
        if (n_bytes := int(np.prod(self.shape, dtype=object)) * self.values.itemsize) > _MOST_DENSE_BYTES:
            raise DesignError(f"to_dense: {self.shape} would take {n_bytes / 1e9:.3g} GB. Stay sparse, or take fewer.")
        dense = np.zeros((len(self), int(np.prod(self.mode_shape))), dtype=self.values.dtype)
        dense[:, self.places] = self.values
        return dense.reshape(self.shape)

    def on_edges(self, edges: IntArray) -> Self:
        """Return the same networks on a list of edges that holds all of their own."""
        wider = np.ravel_multi_index(tuple(edges.T), self.mode_shape)
        order = np.argsort(wider)
        spot = np.searchsorted(wider[order], self.places)
        if (spot >= len(wider)).any() or (wider[order][np.minimum(spot, len(wider) - 1)] != self.places).any():
            raise InputError("on_edges: the list lacks edges of the networks. Take the union of both lists.")
        values = np.zeros((len(self), len(edges)), dtype=self.values.dtype)
        values[:, order[spot]] = self.values
        return type(self)(values, edges, self.mode_shape)

    def with_edges_of(self, edges: IntArray) -> Self:
        """Return the same networks on the union of their edges and ``edges``; the given edges come first."""
        first = np.ravel_multi_index(tuple(edges.T), self.mode_shape)
        new = np.setdiff1d(self.places, first)
        more = np.stack(np.unravel_index(new, self.mode_shape), 1)
        return self.on_edges(np.concatenate([edges, more]) if len(new) else edges)
