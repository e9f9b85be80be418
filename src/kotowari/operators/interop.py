"""Operators as other libraries want them: deepinv's physics, SciPy's linear operators, dense matrices."""

from math import prod
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from torch import Tensor, nn

from kotowari.core.checks import require_extra
from kotowari.core.errors import CapabilityError, InputError
from kotowari.operators.layout import device_of
from kotowari.operators.linear import LinearOperator

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse.linalg import LinearOperator as ScipyOperator

__all__ = ["DeepinvView", "to_dense", "to_scipy"]


@final
class DeepinvView(nn.Module):
    """An operator under the names that deepinv's physics use, ``A`` and ``A_adjoint``.

    For all of deepinv, hand both on: ``deepinv.physics.LinearPhysics(A=view.A, A_adjoint=view.A_adjoint)``. Its images
    have the axes ``(batch, channel, *space)``; the axes that are not the operator's domain are batch axes here.

    Parameters
    ----------
    operator
        Any operator; a module of the view, so that both move and are trained together.
    """

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__()
        self.operator = operator

    def A(self, x: Tensor) -> Tensor:  # noqa: N802  # deepinv's name
        """Apply the operator: ``(..., *domain) -> (..., *codomain)``."""
        out: Tensor = self.operator(x)
        return out

    def A_adjoint(self, y: Tensor) -> Tensor:  # noqa: N802  # deepinv's name
        """Apply its adjoint: ``(..., *codomain) -> (..., *domain)``."""
        return self.operator.adjoint(y)

    def forward(self, x: Tensor) -> Tensor:
        """Return :meth:`A`; a physics without noise."""
        return self.A(x)


@torch.no_grad()
def to_dense(operator: LinearOperator, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return the matrix of an operator, shape ``(prod(codomain), prod(domain))``, on the operator's device.

    Parameters
    ----------
    operator
        A small one: all columns are computed at once.
    dtype
        Of the unit vectors it is applied to; the matrix is complex when their images are.

    Raises
    ------
    CapabilityError
        When the operator is linear over the reals only.

    Examples
    --------
    >>> from kotowari.operators.difference import FiniteDifference
    >>> to_dense(FiniteDifference((3,)))
    tensor([[-1.,  1.,  0.],
            [ 0., -1.,  1.],
            [ 0.,  0.,  0.]], dtype=torch.float64)
    """
    _require_complex_linear(operator, by="to_dense")
    size = prod(operator.domain)
    basis = torch.eye(size, dtype=dtype, device=device_of(operator))
    columns: Tensor = operator(basis.reshape(size, *operator.domain))
    return columns.reshape(size, -1).T


def to_scipy(operator: LinearOperator, dtype: torch.dtype = torch.float64) -> "ScipyOperator":
    """Return an operator as a SciPy one between flattened arrays, for ``lsqr``, ``svds`` and their like.

    It has ``matvec``, ``rmatvec``, ``matmat`` and ``rmatmat``; columns are handed over as one batch. Gradients do not
    pass.

    Parameters
    ----------
    operator
        Any operator that is linear over the complex numbers, on any device.
    dtype
        Of the arrays handed to the operator: float32, float64, complex64 or complex128. A complex array is handed over
        as such, in the same precision.

    Raises
    ------
    CapabilityError
        When the operator is linear over the reals only.
    InputError
        When ``dtype`` is real and the operator makes real arrays complex.
    MissingExtraError
        When SciPy is not installed.
    """
    _require_complex_linear(operator, by="to_scipy")
    linalg = require_extra("scipy.sparse.linalg", extra="images", by="to_scipy")
    device = device_of(operator)
    with torch.no_grad():
        image = operator(torch.zeros(operator.domain, dtype=dtype, device=device))
    if image.is_complex() and not dtype.is_complex:
        raise InputError(f"to_scipy: {operator} makes real arrays complex. Ask for {dtype.to_complex()}.")

    @torch.no_grad()
    def columns(of: LinearOperator, matrix: "NDArray[np.inexact]") -> "NDArray[np.inexact]":
        rows = torch.tensor(np.ascontiguousarray(matrix.T))  # a copy, for SciPy also hands over read-only arrays
        rows = rows.to(device, dtype.to_complex() if rows.is_complex() else dtype)
        images: Tensor = of(rows.reshape(-1, *of.domain))
        out: NDArray[np.inexact] = images.reshape(len(rows), -1).T.numpy(force=True)
        return out

    def column(of: LinearOperator, vector: "NDArray[np.inexact]") -> "NDArray[np.inexact]":
        return columns(of, vector.reshape(-1, 1)).ravel()

    scipy_operator: ScipyOperator = linalg.LinearOperator(
        shape=(prod(operator.codomain), prod(operator.domain)),
        matvec=lambda vector: column(operator, vector),
        rmatvec=lambda vector: column(operator.H, vector),
        matmat=lambda matrix: columns(operator, matrix),
        rmatmat=lambda matrix: columns(operator.H, matrix),
        dtype=image.numpy(force=True).dtype,
    )
    return scipy_operator


def _require_complex_linear(operator: LinearOperator, *, by: str) -> None:
    if operator.real_linear:
        raise CapabilityError(
            f"{by}: {operator} is linear over the reals only, so it has no matrix of complex numbers."
        )
