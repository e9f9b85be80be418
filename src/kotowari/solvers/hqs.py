"""Half-quadratic splitting with a growing penalty."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from kotowari.solvers.admm import Solve
from kotowari.solvers.protocols import LinearMap, Prox

__all__ = ["HqsState", "hqs_start", "hqs_step"]


class HqsState(NamedTuple):
    """One iterate.

    ``x`` has shape ``(batch, *domain)``; ``split`` holds one tensor a block, in the shape of the output of the block's
    map; ``penalty`` has shape ``(batch,)``.
    """

    x: Tensor
    split: tuple[Tensor, ...]
    penalty: Tensor


def hqs_start(x: Tensor, forwards: Sequence[LinearMap], penalty: float) -> HqsState:
    """Return the state before the first step: each block at the image of ``x``; ``penalty`` above 0."""
    return HqsState(x, tuple(forward(x) for forward in forwards), x.new_full((len(x),), penalty, dtype=x.real.dtype))


def hqs_step(
    state: HqsState,
    solve: Solve,
    proxes: Sequence[Prox],
    forwards: Sequence[LinearMap],
    *,
    growth: float = 1.0,
    limit: float = float("inf"),
) -> HqsState:
    r"""Take one step of half-quadratic splitting on :math:`f(x) + \sum_i g_i(A_i x)`.

    .. math::
        z_i^+ = \mathrm{prox}_{g_i/\beta}(A_i x), \quad
        x^+ = \arg\min_x f(x) + \tfrac\beta2 \sum_i \|A_i x - z_i^+\|^2, \quad
        \beta^+ = \min(\text{growth} \cdot \beta, \text{limit})

    With a fixed penalty it descends on :math:`f(x) + \sum_i g_i(z_i) + \tfrac\beta2 \|A_i x - z_i\|^2`, whose minimiser
    comes to that of the problem only as :math:`\beta` grows. It needs no convex :math:`g_i`, and then finds a local
    answer that depends on the schedule.

    Parameters
    ----------
    state
        The iterate.
    solve
        ``solve(targets, penalty)`` minimises :math:`f(x) + \tfrac\beta2 \sum_i \|A_i x - v_i\|^2`, one target v a
        block.
    proxes
        Proximal maps of the :math:`g_i`, or denoisers in their place, one a block.
    forwards
        The maps :math:`A_i`, one a block.
    growth
        Factor on the penalty after each step, 1 or more. A learned penalty a step is put in by
        ``state._replace(penalty=...)``.
    limit
        Largest penalty.

    Source: Geman and Yang 1995, IEEE Trans. Image Process. 4(7), for the splitting; the geometric schedule as in Wang,
    Yang, Yin and Zhang 2008, SIAM J. Imaging Sci. 1(3).
    """
    split = tuple(prox(forward(state.x), 1 / state.penalty) for prox, forward in zip(proxes, forwards, strict=True))
    x = solve(split, state.penalty)
    return HqsState(x, split, (growth * state.penalty).clamp_max(limit))
