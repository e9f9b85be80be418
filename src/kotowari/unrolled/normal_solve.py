"""The linear system inside ADMM, half-quadratic splitting and Douglas-Rachford, differentiable in all that it holds."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kotowari.operators.linear import LinearOperator
from kotowari.solvers.conjugate_gradient import conjugate_gradient
from kotowari.solvers.protocols import Step

__all__ = ["solve_normal"]


def solve_normal(
    operator: LinearOperator, right: Tensor, shift: Step, *, tol: float = 1e-6, max_steps: int = 200
) -> Tensor:
    r"""Solve :math:`(A^H A + \rho I) x = b` for each sample, by conjugate gradients.

    Its backward pass solves the same system once more; nothing of the iteration is kept. Gradients reach b,
    :math:`\rho` and the parameters of A.

    Parameters
    ----------
    operator
        A.
    right
        b, shape ``(batch, *operator.domain)``.
    shift
        :math:`\rho` above 0: a number, or a tensor that broadcasts against ``right``.
    tol, max_steps
        Relative residual at which to stop, and the step limit.

    Returns
    -------
    Tensor
        x, shape of ``right``.

    Raises
    ------
    ConvergenceError
        When the residual does not fall below ``tol``; a larger shift makes the system easier.
    """

    def normal(x: Tensor) -> Tensor:
        return operator.adjoint(operator(x)) + shift * x

    def inverse(b: Tensor) -> Tensor:
        with torch.no_grad():
            return conjugate_gradient(normal, b, torch.zeros_like(b), tol=tol, max_steps=max_steps).or_raise().state.x

    solution = inverse(right.detach())
    if not torch.is_grad_enabled():
        return solution
    # the residual is nothing in value, and carries dx = M^-1 (db - dM x)
    residual = right - normal(solution)
    return solution + _apply_inverse(residual, inverse)


class _Inverse(torch.autograd.Function):
    """Stands for the inverse of a self-adjoint map on a residual that is nothing in value."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, inverse: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.inverse = inverse
        return torch.zeros_like(residual)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.inverse(gradient), None


# torch's own apply has no types
_apply_inverse: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor] = _Inverse.apply
