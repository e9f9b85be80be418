r"""Matrices with orthonormal columns: tangent vectors, retractions, and comparison of the subspaces they span.

For :math:`C \in \mathbb{R}^{I \times J}` with :math:`C'C = I` the tangent vectors are those :math:`\xi` with
:math:`C'\xi + \xi'C = 0`. A retraction leads back to orthonormal columns, :math:`R_C(\xi) = C + \xi + O(|\xi|^2)`.

Source: Absil, Mahony and Sepulchre 2008, Optimization Algorithms on Matrix Manifolds, chapters 3 and 4;
Wen and Yin 2013, Math. Program. 142:397-434, eq. 19 (Cayley).
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from kotowari.core.errors import ShapeError

__all__ = [
    "RETRACTIONS",
    "orthonormal_columns",
    "retract_cayley",
    "retract_polar",
    "retract_qr",
    "riemannian_gradient",
    "subspace_agreement",
]


def orthonormal_columns(a: Tensor) -> Tensor:
    """Return Q of the thin QR decomposition with a positive diagonal of R, which makes it unique; differentiable.

    ``(rows, columns) -> (rows, columns)``, rows not fewer than columns, full column rank.
    """
    q, r = torch.linalg.qr(a)
    unique: Tensor = q * _signs(torch.diagonal(r))
    return unique


def riemannian_gradient(c: Tensor, gradient: Tensor) -> Tensor:
    r"""Bring a gradient into the tangent space, :math:`\xi = G - C\,\mathrm{sym}(C'G)`."""
    inner = c.T @ gradient
    return gradient - c @ ((inner + inner.T) / 2)


def retract_qr(c: Tensor, xi: Tensor) -> Tensor:
    r"""Follow the tangent vector by :math:`\mathrm{qf}(C + \xi)`."""
    return orthonormal_columns(c + xi)


def retract_polar(c: Tensor, xi: Tensor) -> Tensor:
    r"""Follow the tangent vector by the orthonormal factor of :math:`C + \xi`, the nearest point."""
    u, _, vh = torch.linalg.svd(c + xi, full_matrices=False)
    nearest: Tensor = u @ vh
    return nearest


def retract_cayley(c: Tensor, xi: Tensor) -> Tensor:
    r"""Follow the tangent vector by the Cayley transform, with one solve of size twice the columns.

    .. math:: C(t) = C - t\,U (I + \tfrac t2 V'U)^{-1} V'C, \quad U = [G, C],\; V = [C, -G]

    at :math:`t = -1` and :math:`G = (I - \tfrac12 CC')\xi`; with :math:`G = \xi` the curve would start in another
    direction whenever :math:`C'\xi \ne 0`.
    """
    half = xi - c @ (c.T @ xi) / 2
    u, v = torch.cat([half, c], 1), torch.cat([c, -half], 1)
    system = torch.eye(u.shape[1], dtype=c.dtype, device=c.device) - v.T @ u / 2
    moved: Tensor = c + u @ torch.linalg.solve(system, v.T @ c)
    return moved


def subspace_agreement(a: Tensor, b: Tensor) -> float:
    r"""Return :math:`|A'B|_F^2 / J`: 1 for equal subspaces, 0 for orthogonal ones; blind to rotations and signs.

    Parameters
    ----------
    a, b
        Orthonormal columns, shape ``(rows, J)`` both.

    Raises
    ------
    ShapeError
        When the shapes differ.

    Examples
    --------
    >>> subspace_agreement(torch.eye(3)[:, :2], torch.eye(3)[:, [2, 1]])
    0.5
    """
    if a.shape != b.shape:
        raise ShapeError.mismatch("subspace_agreement", "b", a.shape, b.shape)
    return float((a.T @ b).square().sum() / a.shape[1])


RETRACTIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "qr": retract_qr,
    "polar": retract_polar,
    "cayley": retract_cayley,
}


def _signs(diagonal: Tensor) -> Tensor:
    return torch.where(diagonal < 0, -1.0, 1.0).to(diagonal.dtype)
