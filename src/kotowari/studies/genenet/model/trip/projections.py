"""Networks as tensors that are projected along every mode, dense or on a list of edges."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from kotowari.core.errors import DesignError

__all__ = ["DenseTensor", "EdgeTensor", "NetworkTensor", "complete_basis", "hosvd"]

# above this length of a mode, the full eigenvalue problem costs more than the few vectors asked for
_MOST_EIGH = 1500


class NetworkTensor(ABC):
    r"""One network a sample, :math:`X_i \in \mathbb{R}^{I_1 \times \dots \times I_K}`.

    Attributes
    ----------
    values
        Shape ``(sample, edge)``: the entries that may differ from 0.
    mode_shape
        ``(I1, .., IK)``.
    """

    values: Tensor
    mode_shape: tuple[int, ...]
    _squared_norm: Tensor | None = None

    @abstractmethod
    def project(self, projections: Sequence[Tensor]) -> Tensor:
        r"""Return :math:`\bar X_i = X_i \times_1 C_1' \dots \times_K C_K'`, shape ``(sample, J1, .., JK)``."""

    @abstractmethod
    def lift(self, core: Tensor, projections: Sequence[Tensor]) -> Tensor:
        r"""Return :math:`\bar X_i \times_1 C_1 \dots \times_K C_K` at the edges, shape ``(sample, edge)``."""

    @abstractmethod
    def unfolded(self, mode: int) -> Any:
        """Return the matrix of shape ``(I_mode, sample x the other modes)``, a numpy or a sparse array."""

    @abstractmethod
    def with_values(self, values: Tensor) -> Self:
        """Return other networks on the same edges."""

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, index: npt.NDArray[np.intp]) -> Self:
        """Return some of the samples."""
        return self.with_values(self.values[torch.as_tensor(index, device=self.values.device)])

    def combined(self, weights: Tensor) -> Self:
        """Return weighted sums of the networks, ``weights`` of shape ``(sum, sample)``."""
        return self.with_values(weights.to(self.values) @ self.values)

    def gram(self, other: Self) -> Tensor:
        """Return the inner products with other networks on the same edges, float64, ``(sample, other sample)``."""
        return (self.values @ other.values.T).double()

    def squared_norm(self) -> Tensor:
        """Return the sum of all squared entries; computed once, the values must not be changed in place."""
        if self._squared_norm is None:
            self._squared_norm = self.values.square().sum()
        return self._squared_norm


class DenseTensor(NetworkTensor):
    """Networks of which every entry is kept.

    Parameters
    ----------
    values
        Shape ``(sample, I1 x .. x IK)``, the last mode fastest.
    mode_shape
        ``(I1, .., IK)``.
    """

    def __init__(self, values: Tensor, mode_shape: tuple[int, ...]) -> None:
        self.values, self.mode_shape = values, mode_shape

    def project(self, projections: Sequence[Tensor]) -> Tensor:
        """Contract one mode after the other, the last first: it lies together in memory."""
        core = self.values.reshape(-1, *self.mode_shape)
        for mode in reversed(range(len(projections))):
            core = _mode_product(core, projections[mode].T, mode)
        return core

    def lift(self, core: Tensor, projections: Sequence[Tensor]) -> Tensor:
        """Expand one mode after the other."""
        for mode, projection in enumerate(projections):
            core = _mode_product(core, projection, mode)
        return core.reshape(len(core), -1)

    def unfolded(self, mode: int) -> Any:
        """Return a dense matrix."""
        whole = self.values.reshape(-1, *self.mode_shape)
        return whole.movedim(mode + 1, 0).reshape(self.mode_shape[mode], -1).double().cpu().numpy()

    def with_values(self, values: Tensor) -> Self:
        """Return other networks of the same shape."""
        return type(self)(values, self.mode_shape)


class EdgeTensor(NetworkTensor):
    r"""Networks on a list of edges; the dense tensor is never formed.

    .. math:: \mathrm{vec}(\bar X) = V K, \quad K_{e\cdot} = C_1[r_e, \cdot] \otimes C_2[c_e, \cdot] \otimes \dots

    The gradient for the projections is gathered edge by edge (scatter-add), by differentiation of the indexing.

    Parameters
    ----------
    values
        V, shape ``(sample, edge)``.
    edges
        Shape ``(edge, mode)``, int64.
    mode_shape
        ``(I1, .., IK)``.
    """

    def __init__(self, values: Tensor, edges: Tensor, mode_shape: tuple[int, ...]) -> None:
        self.values, self.edges, self.mode_shape = values, edges, mode_shape

    def project(self, projections: Sequence[Tensor]) -> Tensor:
        """Multiply the edge values by K."""
        return (self.values @ self._kernel(projections)).reshape(-1, *(c.shape[1] for c in projections))

    def lift(self, core: Tensor, projections: Sequence[Tensor]) -> Tensor:
        """Multiply the core by the transpose of K."""
        return core.reshape(len(core), -1) @ self._kernel(projections).T

    def unfolded(self, mode: int) -> Any:
        """Return a sparse matrix with one entry a sample and edge."""
        edges, n_samples = self.edges.cpu().numpy(), len(self)
        others = np.delete(edges, mode, axis=1)
        shape = tuple(np.delete(np.array(self.mode_shape), mode))
        _, fibre = np.unique(np.ravel_multi_index(tuple(others.T), shape), return_inverse=True)
        n_fibres = int(fibre.max(initial=-1)) + 1
        columns = (np.arange(n_samples)[:, None] * n_fibres + fibre).ravel()
        rows = np.broadcast_to(edges[:, mode], (n_samples, len(edges))).ravel()
        entries = self.values.double().cpu().numpy().ravel()
        return csr_array((entries, (rows, columns)), shape=(self.mode_shape[mode], n_samples * n_fibres))

    def with_values(self, values: Tensor) -> Self:
        """Return other networks on the same edges."""
        return type(self)(values, self.edges, self.mode_shape)

    def _kernel(self, projections: Sequence[Tensor]) -> Tensor:
        kernel = torch.ones(len(self.edges), 1, dtype=projections[0].dtype, device=projections[0].device)
        for mode, projection in enumerate(projections):
            factor = projection.index_select(0, self.edges[:, mode])
            kernel = (kernel[:, :, None] * factor[:, None, :]).reshape(len(kernel), -1)
        return kernel


def hosvd(tensor: NetworkTensor, core_shape: Sequence[int]) -> list[Tensor]:
    """Return the leading left singular vectors of every unfolding, each of shape ``(I, J)``.

    Columns fall in singular value; the largest entry of a column is positive. Computed in float64, returned in the
    number format of the tensor.

    Raises
    ------
    DesignError
        When the core is larger than the networks along a mode.

    Source: De Lathauwer, De Moor and Vandewalle 2000, SIAM J. Matrix Anal. Appl. 21:1253-1278.
    """
    for length, n_directions in zip(tensor.mode_shape, core_shape, strict=True):
        if not 1 <= n_directions <= length:
            raise DesignError(f"A core of {tuple(core_shape)} does not fit networks of {tensor.mode_shape}.")
    return [
        torch.as_tensor(_leading(tensor.unfolded(mode), n_directions)).to(tensor.values)
        for mode, n_directions in enumerate(core_shape)
    ]


def complete_basis(first: Tensor, fallback: Tensor, n_columns: int) -> Tensor:
    """Return orthonormal columns that begin with ``first`` and go on with what ``fallback`` adds to its span.

    Parameters
    ----------
    first
        Orthonormal, shape ``(rows, at most n_columns)``.
    fallback
        Orthonormal, shape ``(rows, n_columns)`` or wider.
    n_columns
        Columns wanted.
    """
    rest = fallback - first @ (first.T @ fallback)
    u, _, _ = torch.linalg.svd(rest, full_matrices=False)
    return torch.cat([first, _fixed_signs(u[:, : n_columns - first.shape[1]])], 1)


def _mode_product(tensor: Tensor, matrix: Tensor, mode: int) -> Tensor:
    return torch.movedim(torch.movedim(tensor, mode + 1, -1) @ matrix.T, -1, mode + 1)


def _leading(matrix: Any, n_vectors: int) -> npt.NDArray[np.float64]:
    """Return the leading left singular vectors, largest first, with fixed signs."""
    length = matrix.shape[0]
    if length <= _MOST_EIGH or n_vectors >= length - 1:
        gram = matrix @ matrix.T
        _, vectors = np.linalg.eigh(gram if isinstance(gram, np.ndarray) else gram.toarray())
        leading = vectors[:, ::-1][:, :n_vectors]
    else:
        operator = LinearOperator((length, length), matvec=lambda v: matrix @ (matrix.T @ v), dtype=np.float64)
        # a fixed first vector, so that the answer depends on the networks alone
        values, vectors = eigsh(operator, k=n_vectors, v0=np.ones(length))
        leading = vectors[:, np.argsort(-values)]
    fixed: npt.NDArray[np.float64] = _fixed_signs(torch.as_tensor(leading.copy())).numpy()
    return fixed


def _fixed_signs(columns: Tensor) -> Tensor:
    largest = columns.gather(0, columns.abs().argmax(0, keepdim=True))
    return columns * torch.where(largest < 0, -1.0, 1.0).to(columns)
