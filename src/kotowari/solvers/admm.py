"""The alternating direction method of multipliers, ADMM, in scaled form."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kotowari.solvers.balance import rebalance
from kotowari.solvers.inner_product import length
from kotowari.solvers.protocols import LinearMap, Prox, Step, per_sample

__all__ = [
    "AdmmState",
    "BalancedAdmmState",
    "Solve",
    "admm_start",
    "admm_step",
    "balanced_admm_start",
    "balanced_admm_step",
]

Solve = Callable[[tuple[Tensor, ...], Step], Tensor]

_FAR_APART = 3.0  # residuals this far apart call for another penalty


class AdmmState(NamedTuple):
    """One iterate.

    ``x`` has shape ``(batch, *domain)``; ``split`` and the scaled ``dual`` hold one tensor a block, in the shape of the
    output of the block's map.
    """

    x: Tensor
    split: tuple[Tensor, ...]
    dual: tuple[Tensor, ...]


class BalancedAdmmState(NamedTuple):
    """One iterate with its penalty.

    ``penalty`` and the ``factor`` of its next change, 1 or more, have shape ``(batch,)``.
    """

    admm: AdmmState
    penalty: Tensor
    factor: Tensor


def admm_start(x: Tensor, forwards: Sequence[LinearMap]) -> AdmmState:
    """Return the state before the first step: each block at the image of ``x``, its dual at 0."""
    split = tuple(forward(x) for forward in forwards)
    return AdmmState(x, split, tuple(torch.zeros_like(block) for block in split))


def admm_step(
    state: AdmmState, solve: Solve, proxes: Sequence[Prox], forwards: Sequence[LinearMap], penalty: Step
) -> AdmmState:
    r"""Take one step of ADMM on :math:`f(x) + \sum_i g_i(A_i x)`.

    .. math::
        x^+ = \arg\min_x f(x) + \tfrac\rho2 \sum_i \|A_i x - z_i + u_i\|^2, \quad
        z_i^+ = \mathrm{prox}_{g_i/\rho}(A_i x^+ + u_i), \quad
        u_i^+ = u_i + A_i x^+ - z_i^+

    Converges for convex f and :math:`g_i` and every :math:`\rho > 0`.

    Parameters
    ----------
    state
        The iterate.
    solve
        ``solve(targets, penalty)`` minimises :math:`f(x) + \tfrac\rho2 \sum_i \|A_i x - v_i\|^2`, one target v a block.
    proxes
        Proximal maps of the :math:`g_i`, or denoisers in their place, one a block.
    forwards
        The maps :math:`A_i`, one a block.
    penalty
        :math:`\rho` above 0: a number, or one for each sample, shape ``(batch,)``. Whoever changes it between steps
        multiplies the dual by old over new; :func:`balanced_admm_step` does.

    Source: Boyd, Parikh, Chu, Peleato and Eckstein 2011, Found. Trends Mach. Learn. 3(1), eqs. 3.5-3.7.
    """
    x = solve(tuple(z - u for z, u in zip(state.split, state.dual, strict=True)), penalty)
    reached = tuple(forward(x) + u for forward, u in zip(forwards, state.dual, strict=True))
    split = tuple(prox(point, 1 / penalty) for prox, point in zip(proxes, reached, strict=True))
    return AdmmState(x, split, tuple(point - z for point, z in zip(reached, split, strict=True)))


def balanced_admm_start(x: Tensor, forwards: Sequence[LinearMap], penalty: float = 1.0) -> BalancedAdmmState:
    """Return the state before the first step of :func:`balanced_admm_step`; ``penalty`` above 0."""
    one = x.new_ones(len(x), dtype=x.real.dtype)
    return BalancedAdmmState(admm_start(x, forwards), penalty * one, 2 * one)


def balanced_admm_step(
    state: BalancedAdmmState,
    solve: Solve,
    proxes: Sequence[Prox],
    forwards: Sequence[LinearMap],
    adjoints: Sequence[LinearMap],
) -> BalancedAdmmState:
    r"""Take one step of ADMM, then bring the penalty of each sample nearer to equal residuals.

    With the primal residual :math:`r = A x^+ - z^+` and the dual one :math:`s = \rho A^H (z^+ - z)`, the penalty is
    raised by the factor where :math:`\|r\| > 3 \|s\|`, lowered by it where :math:`\|s\| > 3 \|r\|`, and the scaled
    dual follows. Changes fade as :func:`~kotowari.solvers.balance.rebalance` tells. Parameters as in :func:`admm_step`;
    ``adjoints`` are those of the maps, one a block.

    Source: Boyd et al. 2011, eq. 3.13, with 3 in place of the customary 10, since the changes fade.
    """
    old, penalty = state.admm, state.penalty
    new = admm_step(old, solve, proxes, forwards, penalty)
    primal = _total_length([u - before for u, before in zip(new.dual, old.dual, strict=True)])
    moved = [z - before for z, before in zip(new.split, old.split, strict=True)]
    pulled = torch.stack([adjoint(block) for adjoint, block in zip(adjoints, moved, strict=True)]).sum(0)
    change, factor = rebalance(primal, penalty * length(pulled), state.factor, apart=_FAR_APART)
    scaled = tuple(u / per_sample(change, u) for u in new.dual)
    return BalancedAdmmState(new._replace(dual=scaled), penalty * change, factor)


def _total_length(blocks: Sequence[Tensor]) -> Tensor:
    return torch.stack([length(block).square() for block in blocks]).sum(0).sqrt()
