"""Kernel principal components with a Gaussian, without ever holding the kernel."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["gaussian_components"]

_BLOCK_BYTES = 32 << 20
_SKETCH = 16
_PASSES = 6


def gaussian_components(
    vectors: npt.NDArray[np.float32], *, width: float, random_state: int = 0
) -> npt.NDArray[np.float64]:
    r"""Return the first two kernel principal components.

    .. math:: K_{ij} = \exp(-\|v_i - v_j\|^2 / 2 \sigma^2), \quad \text{places} = U \sqrt\Lambda
        \ \text{of the centred kernel}

    Block Krylov iteration from a random start; the kernel is computed block by block in every pass. The sign makes the
    largest entry of a component positive.

    Parameters
    ----------
    vectors
        Shape ``(point, entry)``, 2 points or more.
    width
        :math:`\sigma`, above 0, in units of the vectors.
    random_state
        0 or more.

    Returns
    -------
    ndarray
        Shape ``(point, 2)``.

    Source: Schölkopf, Smola and Müller 1998, Neural Computation 10; Musco and Musco 2015, NeurIPS 28, algorithm 2.
    """
    n = len(vectors)
    start = np.random.default_rng(random_state).standard_normal((n, min(n, _SKETCH)))
    apply = _centred_kernel(vectors, width)
    blocks = [np.linalg.qr(start)[0]]
    for _ in range(_PASSES):
        blocks.append(np.linalg.qr(apply(blocks[-1]))[0])
    basis = np.linalg.qr(np.hstack(blocks))[0]
    values, small = np.linalg.eigh(basis.T @ apply(basis))
    components = (basis @ small[:, :-3:-1]) * np.sqrt(np.maximum(values[:-3:-1], 0))
    largest = components[np.abs(components).argmax(0), range(components.shape[1])]
    return np.asarray(components * np.where(largest < 0, -1.0, 1.0))


def _centred_kernel(vectors: npt.NDArray[np.float32], width: float) -> Callable[[Any], npt.NDArray[np.float64]]:
    squares = np.einsum("ij,ij->i", vectors, vectors)
    size = max(1, _BLOCK_BYTES // (4 * len(vectors)))

    def apply(columns: Any) -> npt.NDArray[np.float64]:
        columns = np.asarray(columns - columns.mean(0), dtype=np.float32)
        result = np.empty(columns.shape)
        for begin in range(0, len(vectors), size):
            part = slice(begin, begin + size)
            squared = squares[part, None] + squares - 2 * (vectors[part] @ vectors.T)
            result[part] = np.exp(np.maximum(squared, 0) * np.float32(-0.5 / width**2)) @ columns
        return np.asarray(result - result.mean(0))

    return apply
