"""Conjugate gradients for Hermitian positive definite maps."""

from typing import NamedTuple

import torch
from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.core.outcome import Outcome
from kotowari.solvers.inner_product import inner_product, length, ratio
from kotowari.solvers.iterate import iterate
from kotowari.solvers.protocols import LinearMap, per_sample

__all__ = [
    "ConjugateGradientState",
    "conjugate_gradient",
    "conjugate_gradient_start",
    "conjugate_gradient_step",
]


class ConjugateGradientState(NamedTuple):
    r"""One iterate.

    ``x``, ``residual`` and ``direction`` have shape ``(batch, *domain)``. ``squared_residual`` is
    :math:`\|r\|^2`; ``curvature`` is the cosine between the last direction and its image, below 0 only where the map
    is not positive; both have shape ``(batch,)``.
    """

    x: Tensor
    residual: Tensor
    direction: Tensor
    squared_residual: Tensor
    curvature: Tensor


def conjugate_gradient_start(x: Tensor, normal: LinearMap, b: Tensor) -> ConjugateGradientState:
    """Return the state before the first step."""
    residual = b - normal(x)
    size = inner_product(residual, residual)
    return ConjugateGradientState(x, residual, residual, size, torch.ones_like(size))


def conjugate_gradient_step(state: ConjugateGradientState, normal: LinearMap) -> ConjugateGradientState:
    r"""Take one step of conjugate gradients on :math:`M x = b`.

    .. math::
        \alpha = \frac{\|r\|^2}{\langle p, M p \rangle}, \quad x^+ = x + \alpha p, \quad r^+ = r - \alpha M p, \quad
        p^+ = r^+ + \frac{\|r^+\|^2}{\|r\|^2} p

    A sample whose direction has no positive curvature rests: :math:`\alpha = 0`.

    Source: Hestenes and Stiefel 1952, J. Res. Natl. Bur. Stand. 49(6), section 3.
    """
    direction, size = state.direction, state.squared_residual
    image = normal(direction)
    bend = inner_product(direction, image)
    alpha = torch.where(bend > 0, size / bend.where(bend > 0, 1), 0)
    x = state.x + per_sample(alpha, direction) * direction
    residual = state.residual - per_sample(alpha, image) * image
    new_size = inner_product(residual, residual)
    beta = per_sample(ratio(new_size, size), direction)
    curvature = bend / (length(direction) * length(image)).clamp_min(torch.finfo(bend.dtype).tiny)
    return ConjugateGradientState(x, residual, residual + beta * direction, new_size, curvature)


def conjugate_gradient(
    normal: LinearMap, b: Tensor, x0: Tensor | None = None, *, tol: float = 1e-6, max_steps: int = 1000
) -> Outcome[ConjugateGradientState]:
    r"""Solve :math:`M x = b` for each sample of a batch.

    Parameters
    ----------
    normal
        The map M, Hermitian and positive definite: ``(batch, *domain)`` to the same shape. It may differ from sample to
        sample. A semi-definite one serves when b lies in its range.
    b
        Shape ``(batch, *domain)``, real or complex.
    x0
        Where to start, shape of b; 0 without it.
    tol
        Bar for :math:`\|b - M x\| / \|b\|`, by the recurrence.
    max_steps
        Step limit, 1 or more. In exact arithmetic, as many steps as M has distinct eigenvalues are enough.

    Returns
    -------
    Outcome
        ``outcome.state.x`` is the answer; the trace holds the relative residuals.

    Raises
    ------
    InputError
        When a direction of negative curvature shows that the map is not positive definite.
    """
    start = conjugate_gradient_start(torch.zeros_like(b) if x0 is None else x0, normal, b)
    size = length(b)
    scale = size.where(size > 0, start.squared_residual.sqrt())
    # rounding alone can turn the curvature of a semi-definite map slightly negative
    bar = -(float(torch.finfo(scale.dtype).eps) ** 0.5)

    def residual(new: ConjugateGradientState, _old: ConjugateGradientState) -> Tensor:
        negative = (new.curvature < bar).nonzero().flatten().tolist()
        if negative:
            raise InputError(
                f"conjugate_gradient: the map is not positive definite: in sample {negative[0]}, a direction and its "
                f"image have the cosine {float(new.curvature[negative[0]]):.3g}. Check its sign and its adjoint."
            )
        return ratio(new.squared_residual.sqrt(), scale)

    return iterate(start, lambda state: conjugate_gradient_step(state, normal), residual, tol=tol, max_steps=max_steps)
