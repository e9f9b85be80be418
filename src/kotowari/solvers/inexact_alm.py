"""The inexact augmented Lagrangian method that splits data into two parts, with a penalty that grows."""

from typing import NamedTuple

import torch
from torch import Tensor

from kotowari.solvers.inner_product import length
from kotowari.solvers.protocols import Prox, per_sample

__all__ = ["InexactAlmState", "inexact_alm_residual", "inexact_alm_start", "inexact_alm_step"]

_START = 1.25  # times 1 / |D|_2
_MOST = 1e7  # times the first penalty


class InexactAlmState(NamedTuple):
    """One iterate.

    ``low_rank``, ``sparse`` and ``multiplier`` have the shape of the data, ``(batch, ...)``; ``penalty`` and
    ``most``, where it stops to grow, have shape ``(batch,)``.
    """

    low_rank: Tensor
    sparse: Tensor
    multiplier: Tensor
    penalty: Tensor
    most: Tensor


def inexact_alm_start(data: Tensor, spectral_norm: Tensor, dual_norm: Tensor) -> InexactAlmState:
    r"""Return the state before the first step: :math:`\mu = 1.25 / \|D\|_2`, :math:`Y = D / J(D)`.

    Parameters
    ----------
    data
        D, shape ``(batch, ...)``.
    spectral_norm
        :math:`\|D\|_2`, shape ``(batch,)``.
    dual_norm
        J(D), shape ``(batch,)``: the least number by which D has to be divided to be a subgradient of both penalties at
        0; :math:`\max(\|D\|_2, \|D\|_\infty / \lambda)` for nuclear norm and :math:`\lambda` times absolute sum.

    Source: Lin, Chen and Ma 2010, arXiv 1009.5055, algorithm 5.
    """
    tiny = torch.finfo(spectral_norm.dtype).tiny ** 0.5  # data of zeros
    penalty = _START / spectral_norm.clamp_min(tiny)
    multiplier = data / per_sample(dual_norm.clamp_min(tiny), data)
    return InexactAlmState(torch.zeros_like(data), torch.zeros_like(data), multiplier, penalty, _MOST * penalty)


def inexact_alm_step(
    state: InexactAlmState, data: Tensor, low_rank_prox: Prox, sparse_prox: Prox, growth: float = 1.5
) -> InexactAlmState:
    r"""Take one step towards :math:`\min f(L) + g(S)` with :math:`L + S = D`.

    .. math::
        L^+ = \mathrm{prox}_{f/\mu}(D - S + Y/\mu), \quad
        S^+ = \mathrm{prox}_{g/\mu}(D - L^+ + Y/\mu), \quad
        Y^+ = Y + \mu (D - L^+ - S^+), \quad
        \mu^+ = \rho \mu

    The residual falls about as fast as the penalty grows. A growth :math:`\rho` nearer to 1 takes more steps and comes
    nearer to the minimum; at 1 it is ADMM.

    Parameters
    ----------
    state
        The iterate; see :func:`inexact_alm_start`.
    data
        D, shape ``(batch, ...)``.
    low_rank_prox, sparse_prox
        Proximal maps of f and g.
    growth
        :math:`\rho`, 1 or more.

    Source: Lin, Chen and Ma 2010, arXiv 1009.5055, algorithm 5.
    """
    penalty = state.penalty
    pull = state.multiplier / per_sample(penalty, data)
    low_rank = low_rank_prox(data - state.sparse + pull, 1 / penalty)
    sparse = sparse_prox(data - low_rank + pull, 1 / penalty)
    multiplier = per_sample(penalty, data) * (pull + data - low_rank - sparse)
    return InexactAlmState(low_rank, sparse, multiplier, torch.minimum(growth * penalty, state.most), state.most)


def inexact_alm_residual(state: InexactAlmState, data: Tensor) -> Tensor:
    r"""Return :math:`\|D - L - S\| / \|D\|` for each sample, shape ``(batch,)``; 0 for data of zeros."""
    size = length(data)
    residual: Tensor = length(data - state.low_rank - state.sparse) / torch.where(size > 0, size, 1.0)
    return residual
