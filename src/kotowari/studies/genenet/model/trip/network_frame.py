"""What the training networks fix for all later ones: shape, mean and scale."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.genenet.model.trip.projections import DenseTensor, EdgeTensor, NetworkTensor
from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks

__all__ = ["NetworkFrame", "Networks", "as_networks"]

FloatArray = npt.NDArray[np.float64]
Networks = npt.NDArray[Any] | SparseNetworks


@dataclass(frozen=True)
class NetworkFrame:
    """Shape, mean and scale of the training networks.

    Attributes
    ----------
    mode_shape
        ``(I1, .., IK)``.
    mean
        Mean training network: shape ``(I1 x .. x IK,)``, or ``(edge,)`` where the networks were sparse.
    scale
        One standard deviation over all entries of all centred networks, zeros of sparse ones included.
    edges
        Shape ``(edge, mode)``; None where the networks were dense.
    """

    mode_shape: tuple[int, ...]
    mean: FloatArray
    scale: float
    edges: npt.NDArray[np.int64] | None

    @classmethod
    def of(cls, X: Networks) -> Self:
        """Measure training networks.

        Raises
        ------
        DesignError
            When all samples have the same network.
        """
        values, edges = (X.values, X.edges) if isinstance(X, SparseNetworks) else (X.reshape(len(X), -1), None)
        mean = values.mean(0, dtype=np.float64)
        total = sum(float(np.square(row - mean).sum()) for row in values)
        if not total > 0:
            raise DesignError("X: all samples have the same network, so nothing in it can tell them apart.")
        return cls(tuple(X.shape[1:]), mean, float(np.sqrt(total / np.prod([float(n) for n in X.shape]))), edges)

    def centred(self, *stacks: Networks, dtype: torch.dtype, device: str = "cpu") -> list[NetworkTensor]:
        """Subtract the mean and divide by the scale; all stacks come back on one list of edges.

        Raises
        ------
        ShapeError
            When networks have another shape than those of the training.
        InputError
            When dense networks come where sparse ones were trained on, or the other way round.
        """
        for stack in stacks:
            if tuple(stack.shape[1:]) != self.mode_shape:
                raise ShapeError.mismatch("X", "networks", ("sample", *self.mode_shape), stack.shape)
            if isinstance(stack, SparseNetworks) != (self.edges is not None):
                trained = "dense arrays" if self.edges is None else "SparseNetworks"
                raise InputError(f"X: the model was fitted on {trained}. Convert X by to_dense() or from_dense().")
        if self.edges is None:
            dense = [self._scaled(np.asarray(stack).reshape(len(stack), -1), self.mean) for stack in stacks]
            return [DenseTensor(values.to(device, dtype), self.mode_shape) for values in dense]
        edges = self.edges
        for stack in stacks:
            if isinstance(stack, SparseNetworks) and not np.array_equal(stack.edges, edges):
                edges = stack.with_edges_of(edges).edges
        mean = np.concatenate([self.mean, np.zeros(len(edges) - len(self.mean))])
        places = torch.as_tensor(edges, device=device)
        sparse = [_on_edges(stack, edges) for stack in stacks if isinstance(stack, SparseNetworks)]
        return [EdgeTensor(self._scaled(v, mean).to(device, dtype), places, self.mode_shape) for v in sparse]

    def mean_network(self) -> Networks:
        """Return the mean training network as one sample."""
        if self.edges is None:
            return self.mean.reshape(1, *self.mode_shape)
        return SparseNetworks(self.mean[None], self.edges, self.mode_shape)

    def _scaled(self, values: npt.NDArray[Any], mean: FloatArray) -> torch.Tensor:
        return torch.from_numpy((values - mean) / self.scale)


def as_networks(X: Any, *, who: str = "X") -> Networks:
    """Return networks as a numeric array or as :class:`SparseNetworks`, or say what is wrong with them.

    Raises
    ------
    ShapeError
        When there are fewer than two modes beside the samples, or an empty axis.
    InputError
        When entries are no numbers, or NaN or infinite.
    """
    networks: Networks = X if isinstance(X, SparseNetworks) else np.asarray(X)
    values, edges = (networks.values, networks.edges) if isinstance(networks, SparseNetworks) else (networks, None)
    if values.dtype.kind not in "biuf":
        raise InputError(f"{who}: entries must be real numbers, got an array of type {values.dtype}.")
    if len(networks.shape) < 3 or 0 in networks.shape:
        raise ShapeError(
            f"{who} must have shape (sample, I1, I2, ..) with two modes or more and no empty axis, "
            f"got {tuple(networks.shape)}. A table (sample, feature) holds no networks: reshape it first."
        )
    if not np.isfinite(values).all():
        first = np.argwhere(~np.isfinite(values))[0]
        place = first[1:] if edges is None else edges[first[1]]
        raise InputError(
            f"{who}: sample {first[0]} is NaN or infinite at edge {tuple(int(i) for i in place)}. "
            "Give a value, 0 for an absent edge, or leave the sample out."
        )
    return networks


def _on_edges(stack: SparseNetworks, edges: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    return stack.values if np.array_equal(stack.edges, edges) else stack.on_edges(edges).values
