"""Linear equations as a hard constraint."""

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kotowari.core.errors import ConvergenceError, InputError, ShapeError
from kotowari.operators.linear import LinearOperator
from kotowari.priors.indicators import Indicator, rounding
from kotowari.priors.quadratic import fitted_point
from kotowari.priors.weight import adopt, told
from kotowari.solvers.conjugate_gradient import conjugate_gradient_start, conjugate_gradient_step
from kotowari.solvers.inner_product import length, ratio
from kotowari.solvers.iterate import iterate

__all__ = ["AffineSet"]

_ROUNDINGS = 10  # the residual aimed at, in machine epsilons


@final
class AffineSet(Indicator):
    r"""All x with :math:`Ax = b`: data that are to be met exactly; real or complex.

    .. math:: P(x) = x + A^H (A A^H)^{+} (b - Ax)

    A sample counts as in the set when its residual is at most :math:`30\sqrt n` machine epsilons of
    :math:`\|b\| + \|Ax\|`. The projection takes one step where :math:`A A^H = c I` is known; else
    :math:`A A^H z = b - Ax` is solved by conjugate gradients to a residual of 10 machine epsilons of that size, twice,
    as the first solution leaves its own rounding behind. Differentiable in x, ``target`` and what the operator
    learns, once, at the price of one such solve.

    Parameters
    ----------
    operator
        A; x has shape ``(batch, *operator.domain)``.
    target
        b, shape ``operator.codomain`` for all samples, or ``(batch, *operator.codomain)``.
    max_steps
        Limit of the conjugate gradients, 1 or more.

    Raises
    ------
    ShapeError
        When the target does not fit the operator, or the batch.
    InputError
        When the target is complex and Ax is real.
    ConvergenceError
        When the equations have no solution, or the limit is reached before they are met.

    Source: Bauschke and Combettes 2017, Convex Analysis and Monotone Operator Theory in Hilbert Spaces, chapter 29. The
    derivative of the solve is our own construction.
    """

    target: Tensor

    def __init__(self, operator: LinearOperator, target: Tensor, *, max_steps: int = 1000) -> None:
        super().__init__()
        if target.shape[target.ndim - len(operator.codomain) :] != operator.codomain or target.ndim not in {
            len(operator.codomain),
            len(operator.codomain) + 1,
        }:
            raise ShapeError.mismatch("AffineSet", "target", ("batch", *operator.codomain), target.shape)
        if max_steps < 1:
            raise InputError(f"AffineSet: max_steps must be 1 or more, got {max_steps}.")
        self.operator, self.max_steps = operator, max_steps
        adopt(self, "target", target)

    def _project(self, x: Tensor) -> Tensor:
        if self.operator.coisometry is not None:
            return x + self.operator.adjoint(self._residual(x)) / self.operator.coisometry
        for _ in range(2):  # the second round is short, and takes away what rounding left of a long way
            residual = self._residual(x)
            x = x + self.operator.adjoint(self._solve(residual, self._size(residual).detach()))
        return x

    def _inside(self, x: Tensor) -> Tensor:
        residual = self._residual(x)
        return length(residual) <= rounding(x) * self._size(residual)

    def _size(self, residual: Tensor) -> Tensor:
        """Return the size of both sides of the equation, which its rounding is measured by."""
        image = self.target - residual
        return (length(self.target.expand_as(residual)) + length(image)).to(residual.real.dtype)

    def _residual(self, x: Tensor) -> Tensor:
        if x.ndim != len(self.operator.domain) + 1:
            raise ShapeError.mismatch(self, "input", ("batch", *self.operator.domain), x.shape)
        image: Tensor = self.operator(x)
        return fitted_point(self, self.target, image, "target") - image

    def _solve(self, residual: Tensor, scale: Tensor) -> Tensor:
        """Return z with A A^H z = residual, with its derivative."""
        solution = self._conjugate_gradients(residual.detach(), scale)
        if not torch.is_grad_enabled():
            return solution
        # what is left over is 0 up to rounding, but carries the derivative of both sides of the equation
        left_over = residual - self._gram(solution)
        if not left_over.requires_grad:
            return solution
        carrier: Tensor = _InverseGradient.apply(left_over, self)  # type: ignore[no-untyped-call]  # torch's apply
        return solution + carrier

    @torch.no_grad()
    def _conjugate_gradients(self, right: Tensor, scale: Tensor) -> Tensor:
        outcome = iterate(
            conjugate_gradient_start(torch.zeros_like(right), self._gram, right),
            lambda state: conjugate_gradient_step(state, self._gram),
            lambda new, _old: ratio(new.squared_residual.sqrt(), scale),
            tol=_ROUNDINGS * torch.finfo(right.dtype).eps,
            max_steps=self.max_steps,
        )
        if not outcome.converged:
            raise ConvergenceError(
                f"{self}: A A^H z = b - A x was not solved in {self.max_steps} steps. Either no x meets the equations, "
                "or they are nearly dependent. Penalise with SquaredL2(weight, target) @ A, or raise max_steps."
            )
        return outcome.state.x

    def _gram(self, z: Tensor) -> Tensor:
        image: Tensor = self.operator(self.operator.adjoint(z))
        return image

    def extra_repr(self) -> str:
        """Say the operator and the shape of the target."""
        return f"{self.operator!r}, target={told(self.target)}"


class _InverseGradient(torch.autograd.Function):
    """Returns zeros, and gives the upstream gradient solved by A A^H, which is its own adjoint."""

    @staticmethod
    def forward(ctx: Any, left_over: Tensor, owner: AffineSet) -> Tensor:
        ctx.owner = owner
        return torch.zeros_like(left_over)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.owner._conjugate_gradients(gradient, length(gradient)), None
