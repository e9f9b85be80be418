"""Proximal gradient descent, known as ISTA."""

from typing import NamedTuple

from torch import Tensor

from kotowari.solvers.protocols import Gradient, Prox, Step, per_sample

__all__ = ["IstaState", "ista_start", "ista_step"]


class IstaState(NamedTuple):
    """One iterate: ``x`` of shape ``(batch, *domain)``."""

    x: Tensor


def ista_start(x: Tensor) -> IstaState:
    """Return the state before the first step."""
    return IstaState(x)


def ista_step(state: IstaState, gradient: Gradient, prox: Prox, step: Step) -> IstaState:
    r"""Take one step of proximal gradient descent on :math:`f + g`.

    .. math:: x^+ = \mathrm{prox}_{\tau g}(x - \tau \nabla f(x))

    Converges for convex f and g when :math:`0 < \tau < 2/L`, L a Lipschitz constant of the gradient; the objective
    never grows when :math:`\tau \le 1/L`.

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

    Source: Beck and Teboulle 2009, SIAM J. Imaging Sci. 2(1), eqs. 2.6 and 3.1.
    """
    x = state.x
    return IstaState(prox(x - per_sample(step, x) * gradient(x), step))
