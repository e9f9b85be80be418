"""The derivative of the total variation prox, applied to a vector by conjugate gradients on the dual."""

from typing import NamedTuple

import torch
from torch import Tensor

from kotowari.priors.functional.tv_slices import Differences
from kotowari.priors.functional.tv_solve import runs_compiled
from kotowari.solvers.iterate import iterate

__all__ = ["descend_slices", "jacobian_product"]

_CHECK_EVERY = 5


class _Search(NamedTuple):
    flow: Tensor
    residual: Tensor
    direction: Tensor
    energy: Tensor


def jacobian_product(
    v: Tensor, y: Tensor, dual: Tensor, step: Tensor, differences: Differences, *, tol: float, max_steps: int
) -> Tensor:
    r"""Return J v, J being the Jacobian of the prox at y; it is symmetric, so this is v J too.

    Where the solution u has an edge, :math:`Du \ne 0`, its magnitude is smooth; elsewhere :math:`Du = 0` stays. So

    .. math:: J v = \arg\min_w \tfrac12 \|w - v\|^2
        + \tfrac12 \sum_{\text{edges}} \tfrac{\tau}{|Du|_i} |P_i (Dw)_i|^2
        \quad\text{with } Dw = 0 \text{ off the edges},

    :math:`P_i` being the projection across :math:`(Du)_i`. The dual of this quadratic problem,
    :math:`\min_q \tfrac12 \|v - D^T q\|^2 + \tfrac12 \sum_{\text{edges}} \tfrac{|Du|_i}{\tau} |q_i|^2` over q with
    :math:`P_i q_i = q_i` at the edges, has no constraint left, and :math:`J v = v - D^T q`. Conjugate gradients solve
    it, preconditioned by the diagonal. They lower the dual objective at every step from :math:`\tfrac12 \|v\|^2`, its
    value at 0, so :math:`\|Jv\| \le \|v\|` however early they stop; what rounding adds is scaled away.

    An entry is an edge where :math:`|p + Du/\|D\|^2| > \tau`, which decides it on either side with the dual at hand.
    In the anisotropic case P is 0 and J averages over regions of equal value. On a kink, where an edge is about to
    appear, it is the Jacobian of one side. Our own construction.

    Parameters
    ----------
    v, y
        Shape ``(slice, part, *space)``, double precision.
    dual
        The dual p of the solution, shape ``(slice, part, axis, *space)``.
    step
        :math:`\tau` of each slice, above 0, shape ``(slice,)``.
    differences
        The differences that total variation sums up.
    tol
        Bar for the preconditioned residual, relative to its start.
    max_steps
        Step limit; a product that reaches it is returned as it is.
    """
    bound = step.reshape(-1, *[1] * (dual.ndim - 1))
    moved = dual + differences.apply(y - differences.adjoint(dual)) / differences.squared_norm
    magnitude = differences.magnitude(moved)
    edge = magnitude > bound
    stiffness = torch.where(edge, (magnitude / bound - 1.0) * differences.squared_norm, 0.0)
    normal = torch.where(edge, moved / magnitude, 0.0)
    residual = differences.across(differences.apply(v), normal)
    solve = descend_slices
    if runs_compiled(v):
        from kotowari.priors.functional.tv_kernels import descend_lines

        solve = descend_lines
    flow = solve(residual, normal, stiffness, differences, tol, max_steps)
    product = v - differences.adjoint(flow)
    return product * _shrinkage(product, v)


def descend_slices(
    residual: Tensor, normal: Tensor, stiffness: Tensor, differences: Differences, tol: float, max_steps: int
) -> Tensor:
    r"""Return q with :math:`P D D^T q + S q = r` for each slice by preconditioned conjugate gradients from 0, in torch.

    Parameters
    ----------
    residual
        The right side r, already projected by P, shape ``(slice, part, axis, *space)``.
    normal
        Unit vectors along which P takes out a part, or 0 where it takes out nothing; same shape.
    stiffness
        The diagonal S, 0 or more, the joined axes of length 1.
    differences
        The differences D.
    tol, max_steps
        Bar for the preconditioned residual relative to its start, and step limit.
    """
    diagonal = stiffness + differences.mean_diagonal

    def advance(state: _Search) -> _Search:
        image = differences.apply(differences.adjoint(state.direction))
        image = differences.across(image, normal) + stiffness * state.direction
        length = _ratio(state.energy, _inner(state.direction, image), residual)
        rest = state.residual - length * image
        scaled = rest / diagonal
        energy = _inner(rest, scaled)
        direction = scaled + _ratio(energy, state.energy, residual) * state.direction
        return _Search(state.flow + length * state.direction, rest, direction, energy)

    scaled = residual / diagonal
    first = _Search(torch.zeros_like(residual), residual, scaled, _inner(residual, scaled))
    smallest = first.energy.clamp_min(torch.finfo(residual.dtype).tiny)
    found = iterate(
        first,
        advance,
        lambda new, _: (new.energy / smallest).sqrt(),
        tol=tol,
        max_steps=max_steps,
        check_every=_CHECK_EVERY,
    )
    return found.state.flow


def _inner(left: Tensor, right: Tensor) -> Tensor:
    return (left * right).flatten(1).sum(1)


def _ratio(above: Tensor, below: Tensor, like: Tensor) -> Tensor:
    """Return the quotient of two numbers a slice, and 0 where both are 0, so that it multiplies ``like``."""
    quotient = torch.where(below > 0, above / below, 0.0)
    return quotient.reshape(-1, *[1] * (like.ndim - 1))


def _shrinkage(product: Tensor, v: Tensor) -> Tensor:
    """Return the factor of 1 or less that keeps ``product`` from being longer than ``v``."""
    longest, length = v.flatten(1).norm(dim=1), product.flatten(1).norm(dim=1)
    factor = torch.where(length > longest, longest / length, 1.0)
    return factor.reshape(-1, *[1] * (v.ndim - 1))
