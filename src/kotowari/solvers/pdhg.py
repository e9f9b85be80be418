"""Primal-dual hybrid gradient: the methods of Chambolle and Pock, and of Condat and Vu."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kotowari.solvers.balance import rebalance
from kotowari.solvers.inner_product import length
from kotowari.solvers.protocols import Gradient, LinearMap, Prox, Step, per_sample

__all__ = [
    "BalancedPdhgState",
    "PdhgState",
    "balanced_pdhg_start",
    "balanced_pdhg_step",
    "condat_vu_step",
    "pdhg_start",
    "pdhg_step",
]

_FAR_APART = 3.0


class PdhgState(NamedTuple):
    """One iterate.

    ``x`` and the extrapolated point ``ahead`` have shape ``(batch, *domain)``; ``duals`` holds one tensor a dual term,
    in the shape of the output of its operator.
    """

    x: Tensor
    ahead: Tensor
    duals: tuple[Tensor, ...]


class BalancedPdhgState(NamedTuple):
    """One iterate with its steps.

    ``primal_step``, ``dual_step`` and the ``factor`` of their next change, 1 or more, have shape ``(batch,)``.
    """

    pdhg: PdhgState
    primal_step: Tensor
    dual_step: Tensor
    factor: Tensor


def pdhg_start(x: Tensor, forwards: Sequence[LinearMap]) -> PdhgState:
    """Return the state before the first step, with all duals at 0."""
    return PdhgState(x, x, tuple(torch.zeros_like(forward(x)) for forward in forwards))


def pdhg_step(
    state: PdhgState,
    prox: Prox,
    conjugate_proxes: Sequence[Prox],
    forwards: Sequence[LinearMap],
    adjoints: Sequence[LinearMap],
    *,
    primal_step: Step,
    dual_step: Step,
) -> PdhgState:
    r"""Take one step of the method of Chambolle and Pock on :math:`g(x) + \sum_i h_i(A_i x)`.

    .. math::
        y_i^+ = \mathrm{prox}_{\sigma h_i^*}(y_i + \sigma A_i \bar x), \quad
        x^+ = \mathrm{prox}_{\tau g}\big(x - \tau \sum_i A_i^H y_i^+\big), \quad
        \bar x^+ = 2 x^+ - x

    Converges for convex g and :math:`h_i` when :math:`\tau \sigma \|A\|^2 \le 1` with
    :math:`\|A\|^2 \le \sum_i \|A_i\|^2`.

    Parameters
    ----------
    state
        The iterate.
    prox
        Proximal map of g, or a denoiser in its place.
    conjugate_proxes
        Proximal maps of the conjugates :math:`h_i^*`, one a dual term.
    forwards, adjoints
        The maps :math:`A_i` and :math:`A_i^H`, one a dual term.
    primal_step, dual_step
        :math:`\tau` and :math:`\sigma` above 0: a number, or one for each sample, shape ``(batch,)``.

    Source: Chambolle and Pock 2011, J. Math. Imaging Vis. 40, algorithm 1 with theta = 1 and theorem 1; the dual terms
    stand in one product space.
    """
    duals = _dual_step(state, conjugate_proxes, forwards, dual_step)
    return _primal_step(state, duals, _pulled_back(duals, adjoints, state.x), prox, primal_step)


def condat_vu_step(
    state: PdhgState,
    gradient: Gradient,
    prox: Prox,
    conjugate_proxes: Sequence[Prox],
    forwards: Sequence[LinearMap],
    adjoints: Sequence[LinearMap],
    *,
    primal_step: Step,
    dual_step: Step,
) -> PdhgState:
    r"""Take one step of the method of Condat and Vu on :math:`f(x) + g(x) + \sum_i h_i(A_i x)` with a smooth f.

    .. math::
        y_i^+ = \mathrm{prox}_{\sigma h_i^*}(y_i + \sigma A_i \bar x), \quad
        x^+ = \mathrm{prox}_{\tau g}\big(x - \tau \nabla f(x) - \tau \sum_i A_i^H y_i^+\big), \quad
        \bar x^+ = 2 x^+ - x

    Converges for convex terms when :math:`1/\tau - \sigma \|A\|^2 \ge L/2`, L a Lipschitz constant of the gradient.
    Parameters as in :func:`pdhg_step`; ``gradient`` is that of f, or a network in its place.

    Source: Condat 2013, J. Optim. Theory Appl. 158, algorithm 3.1 and theorem 3.1, begun with the dual half-step, so
    that it is :func:`pdhg_step` where f = 0; Vu 2013, Adv. Comput. Math. 38.
    """
    duals = _dual_step(state, conjugate_proxes, forwards, dual_step)
    slope = gradient(state.x) + _pulled_back(duals, adjoints, state.x)
    return _primal_step(state, duals, slope, prox, primal_step)


def balanced_pdhg_start(
    x: Tensor, forwards: Sequence[LinearMap], *, squared_norm: float, lipschitz: float
) -> BalancedPdhgState:
    """Return the state before the first step of :func:`balanced_pdhg_step`, with equal shares of its bound."""
    one = x.new_ones(len(x), dtype=x.real.dtype)
    dual_step = one * (lipschitz / (2 * squared_norm) if lipschitz > 0 else squared_norm**-0.5)
    primal_step = 1 / (lipschitz / 2 + squared_norm * dual_step)
    return BalancedPdhgState(pdhg_start(x, forwards), primal_step, dual_step, 2 * one)


def balanced_pdhg_step(
    state: BalancedPdhgState,
    gradient: Gradient,
    prox: Prox,
    conjugate_proxes: Sequence[Prox],
    forwards: Sequence[LinearMap],
    adjoints: Sequence[LinearMap],
    *,
    squared_norm: float,
    lipschitz: float,
) -> BalancedPdhgState:
    r"""Take one step of the method of Condat and Vu, then bring the steps of each sample nearer to equal residuals.

    The residuals are :math:`\|x^+ - x\|^2 / \tau` and :math:`\|y^+ - y\|^2 / \sigma`, whose sum falls in every step;
    where the root of one is more than three times that of the other, its step grows, at the cost of the other's, along
    the bound :math:`1/\tau - \sigma \|A\|^2 = L/2`. Below :math:`\sigma \|A\|^2 = L/2` the dual step does not fall,
    since the primal one would hardly gain. Changes fade as :func:`~kotowari.solvers.balance.rebalance` tells.

    Parameters as in :func:`condat_vu_step`; ``squared_norm`` above 0 is :math:`\|A\|^2` and ``lipschitz`` of 0 or more
    is L, or bounds of them.

    Source: Goldstein, Li, Yuan, Esser and Baraniuk 2013, arXiv:1305.0546, for balanced residuals that fade; with these
    residuals and with a smooth term it is our construction.
    """
    old = state.pdhg
    new = condat_vu_step(
        old,
        gradient,
        prox,
        conjugate_proxes,
        forwards,
        adjoints,
        primal_step=state.primal_step,
        dual_step=state.dual_step,
    )
    moved = torch.stack([length(y - before).square() for y, before in zip(new.duals, old.duals, strict=True)]).sum(0)
    dual, primal = (moved / state.dual_step).sqrt(), length(new.x - old.x) / state.primal_step.sqrt()
    change, factor = rebalance(dual, primal, state.factor, apart=_FAR_APART)
    dual_step = (state.dual_step * change).clamp_min(lipschitz / (2 * squared_norm))
    return BalancedPdhgState(new, 1 / (lipschitz / 2 + squared_norm * dual_step), dual_step, factor)


def _dual_step(
    state: PdhgState, conjugate_proxes: Sequence[Prox], forwards: Sequence[LinearMap], step: Step
) -> tuple[Tensor, ...]:
    return tuple(
        prox(y + per_sample(step, y) * forward(state.ahead), step)
        for y, prox, forward in zip(state.duals, conjugate_proxes, forwards, strict=True)
    )


def _pulled_back(duals: Sequence[Tensor], adjoints: Sequence[LinearMap], like: Tensor) -> Tensor:
    total = torch.zeros_like(like)
    for y, adjoint in zip(duals, adjoints, strict=True):
        total = total + adjoint(y)
    return total


def _primal_step(state: PdhgState, duals: tuple[Tensor, ...], slope: Tensor, prox: Prox, step: Step) -> PdhgState:
    x = prox(state.x - per_sample(step, slope) * slope, step)
    return PdhgState(x, 2 * x - state.x, duals)
