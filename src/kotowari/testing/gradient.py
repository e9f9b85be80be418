"""Laws of gradients as assertions: right where there is one, finite everywhere."""

from collections.abc import Callable

import torch
from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.testing.noise import noise, tolerance

__all__ = ["assert_finite_gradient", "assert_gradient"]

_REACH = 1e-5  # of a difference, in units of x: about the cube root of the machine epsilon of float64


def assert_gradient(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    rng: torch.Generator,
    n_directions: int = 4,
    tol: float = 1e-6,
) -> None:
    r"""Compare the gradient of ``function`` at x with central differences in float64.

    Along random directions d, and along the gradient itself, :math:`\mathrm{Re}\langle \nabla f, d\rangle` must equal
    :math:`(f(x + hd) - f(x - hd))/2h` to ``tol`` of :math:`\|\nabla f\|\|d\|`. A function with many outputs is first
    weighted with random numbers and summed. A point near a kink of the function is not told from a wrong gradient.

    Parameters
    ----------
    function
        Differentiable near x; real or complex output of any shape.
    x
        float64 or complex128.
    rng
        Source of directions and weights.
    n_directions
        Random directions to try, 1 or more.
    tol
        Bar, relative.

    Raises
    ------
    InputError
        When x has less than double precision: differences would be too coarse to tell.
    AssertionError
        Says by how much gradient and differences disagree, or that x has no gradient.
    """
    if x.dtype not in {torch.float64, torch.complex128}:
        raise InputError(f"assert_gradient: x must be float64 or complex128, got {x.dtype}.")
    weights: list[Tensor] = []

    def scalar(point: Tensor) -> Tensor:
        out = function(point)
        if not weights:
            weights.append(noise(out.shape, out.dtype, rng))
        return (weights[0].conj() * out).real.sum()

    gradient = _gradient(scalar, x)
    size = float(x.norm()) or 1.0
    directions = [noise(x.shape, x.dtype, rng) for _ in range(n_directions)]
    if bool(gradient.norm() > 0):
        directions.append(gradient)
    for direction in directions:
        step = direction * (_REACH * size / direction.norm())
        with torch.no_grad():
            ahead, behind = scalar(x + step), scalar(x - step)
        expected, found = float((gradient.conj() * step).real.sum()), 0.5 * float(ahead - behind)
        rounding = tolerance(x.dtype, x.numel()) * float(ahead.abs() + behind.abs())
        bar = tol * float(gradient.norm() * step.norm()) + rounding
        if not abs(found - expected) <= bar:
            raise AssertionError(
                f"The gradient is wrong: along a short step it promises a change of {expected:.8g}, "
                f"and the change is {found:.8g} (bar {bar:.2g})."
            )


def assert_finite_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Check that output and gradient of ``function`` at x are finite, in the dtype of x.

    Raises
    ------
    AssertionError
        Says how many entries are NaN or infinite, or that x has no gradient.
    """

    def scalar(point: Tensor) -> Tensor:
        out = function(point)
        _require_finite("output", out)
        return out.real.sum()

    _require_finite("gradient", _gradient(scalar, x))


def _gradient(scalar: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.enable_grad():
        variable = x.detach().clone().requires_grad_()
        out = scalar(variable)
        if not out.requires_grad:
            raise AssertionError("The output does not depend on x in a way that autograd sees.")
        (gradient,) = torch.autograd.grad(out, variable)
    return gradient


def _require_finite(what: str, numbers: Tensor) -> None:
    bad = int((~numbers.isfinite()).sum())
    if bad:
        raise AssertionError(f"{bad} of {numbers.numel()} entries of the {what} are NaN or infinite.")
