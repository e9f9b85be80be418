"""Accelerated proximal gradient descent, known as FISTA, with adaptive restart."""

from typing import NamedTuple

import torch
from torch import Tensor

from kotowari.solvers.inner_product import inner_product
from kotowari.solvers.protocols import Gradient, Prox, Step, per_sample

__all__ = ["FistaState", "fista_start", "fista_step"]


class FistaState(NamedTuple):
    """One iterate.

    ``x`` and the extrapolated point ``z`` have shape ``(batch, *domain)``; the momentum counter ``t``, 1 at the start
    and after a restart, has shape ``(batch,)``.
    """

    x: Tensor
    z: Tensor
    t: Tensor


def fista_start(x: Tensor) -> FistaState:
    """Return the state before the first step."""
    return FistaState(x, x, x.new_ones(len(x), dtype=x.real.dtype))


def fista_step(state: FistaState, gradient: Gradient, prox: Prox, step: Step, *, restart: bool = True) -> FistaState:
    r"""Take one step of FISTA on :math:`f + g`.

    .. math::
        x^+ = \mathrm{prox}_{\tau g}(z - \tau \nabla f(z)), \quad
        t^+ = \tfrac12 \big(1 + \sqrt{1 + 4 t^2}\big), \quad
        z^+ = x^+ + \tfrac{t - 1}{t^+}(x^+ - x)

    For convex f and g and :math:`0 < \tau \le 1/L`, the objective of step k without restarts is at most
    :math:`2 \|x_0 - x^*\|^2 / \tau (k+1)^2` above its minimum.

    Parameters
    ----------
    state
        The iterate.
    gradient
        Gradient of f, or a network in its place: ``(batch, *domain)`` to the same shape.
    prox
        Proximal map of g, or a denoiser in its place.
    step
        :math:`\tau` above 0: a number, or one for each sample, shape ``(batch,)``.
    restart
        Whether a sample whose momentum points uphill, :math:`\langle z - x^+, x^+ - x \rangle > 0`, starts its momentum
        afresh: :math:`t^+ = 1`, :math:`z^+ = x^+`.

    Source: Beck and Teboulle 2009, SIAM J. Imaging Sci. 2(1), eqs. 4.1-4.3 and theorem 4.4; restart: O'Donoghue and
    Candes 2015, Found. Comput. Math. 15, section 3.2, gradient scheme, for each sample by itself.
    """
    z = state.z
    x = prox(z - per_sample(step, z) * gradient(z), step)
    t = (1 + (1 + 4 * state.t.square()).sqrt()) / 2
    momentum = (state.t - 1) / t
    if restart:
        uphill = inner_product(z - x, x - state.x) > 0
        t, momentum = torch.where(uphill, 1.0, t), torch.where(uphill, 0.0, momentum)
    return FistaState(x, x + per_sample(momentum, x) * (x - state.x), t)
