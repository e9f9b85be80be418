"""The iteration behind the total variation prox, on slices: any device, any number of axes."""

from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from kotowari.core.outcome import Status
from kotowari.priors.functional.tv_slices import Differences
from kotowari.solvers.iterate import iterate

__all__ = [
    "CHECK_EVERY",
    "FIRST_STEP",
    "RELAXATION",
    "Solution",
    "Stop",
    "duality_gap",
    "iterate_slices",
    "next_step",
    "relative",
    "wide",
]

CHECK_EVERY = 10
FIRST_STEP = 0.5
RELAXATION = 1.9  # below 2, the bound of the theory

_LAST_STEP = 1e-4
_CONVEXITY = 0.5  # the data term has modulus 1; half of it needs the fewest steps from gaps of 1e-3 to 1e-7


class Solution(NamedTuple):
    """Where the slices stand.

    Shapes ``(slice, part, *space)``, ``(slice, part, axis, *space)`` and thrice ``(slice,)``; ``gap`` is the duality
    gap divided by the dual value, in float64.
    """

    x: Tensor
    dual: Tensor
    gap: Tensor
    n_steps: Tensor
    finite: Tensor


class Stop(NamedTuple):
    """When a slice stops: at the relative ``gap``, at ``max_steps``, or where the gap itself is at its ``floor``."""

    gap: float
    max_steps: int
    floor: Tensor


class _State(NamedTuple):
    x: Tensor
    dual: Tensor
    primal_step: float
    number: int


def duality_gap(y: Tensor, x: Tensor, p: Tensor, step: Tensor, differences: Differences) -> tuple[Tensor, Tensor]:
    r"""Return duality gap and dual value of each slice, shape ``(slice,)``, float64, for p with :math:`|p_i| \le \tau`.

    .. math:: \text{gap} = \sum_i (\tau |(Dx)_i| - \langle (Dx)_i, p_i \rangle) + \tfrac12 \|x - y + D^T p\|^2, \quad
        \text{dual} = \langle y, D^T p \rangle - \tfrac12 \|D^T p\|^2

    Nothing large cancels in this form of primal value less dual value, so it holds its own in single precision.
    """
    edges, flow = differences.apply(x), differences.adjoint(p)
    variation = _total(differences.magnitude(edges))
    slack = step * variation - _total(edges * p)
    return slack + 0.5 * _total((x - y + flow).square()), _total((y - 0.5 * flow) * flow)


def relative(distance: Tensor, value: Tensor) -> Tensor:
    """Return gap / dual value: 0 where both are 0, and a huge number where the dual value is not above 0."""
    tiny, huge = torch.finfo(value.dtype).tiny, torch.finfo(value.dtype).max
    return (distance / value.clamp_min(tiny)).clamp(max=huge)


def next_step(step: float) -> float:
    """Return the primal step that follows: they fall about as 2 over their number, then stay at 0.0001."""
    return max(_LAST_STEP, step / sqrt(1.0 + 2.0 * _CONVEXITY * step))


def iterate_slices(y: Tensor, start: Tensor, step: Tensor, differences: Differences, stop: Stop) -> Solution:
    r"""Run the iteration in torch, slice by slice until the gap is reached.

    .. math::
        x' = \frac{x - \sigma D^T p + \sigma y}{1 + \sigma}, \quad
        p' = \Pi_\tau\Big(p + \frac{1}{\sigma\|D\|^2} D(2x' - x)\Big), \quad
        (x, p) \leftarrow (x, p) + \rho\,(x' - x,\ p' - p), \quad
        \sigma \leftarrow \sigma / \sqrt{1 + 2\gamma\sigma}

    It is the primal-dual method with the step rule for strongly convex terms and :math:`\gamma = 1/2` (Chambolle and
    Pock 2011, J. Math. Imaging Vis. 40, algorithms 1 and 2), over-relaxed by :math:`\rho = 1.9` (Condat 2013, J. Optim.
    Theory Appl. 158, algorithm 3.2). The two together are our own: from 0.0001 on :math:`\sigma` stays, and Condat's
    theorem holds; what stops it is the duality gap, which needs no theory. Every tenth iteration is not relaxed, so
    that p is feasible where the gap is taken. Three times fewer iterations than accelerated projection on the dual.
    """
    dual_step = 1.0 / differences.squared_norm
    bound = wide(step, start).to(y.dtype)

    def advance(state: _State) -> _State:
        primal_step, number = state.primal_step, state.number + 1
        following = next_step(primal_step)
        new = (state.x + primal_step * (y - differences.adjoint(state.dual))) / (1.0 + primal_step)
        dual = state.dual + dual_step / primal_step * differences.apply(2.0 * new - state.x)
        dual = dual * (bound / torch.maximum(bound, differences.magnitude(dual)))
        if number % CHECK_EVERY == 0 or number == stop.max_steps:
            return _State(new, dual, following, number)
        x, dual = (old + RELAXATION * (end - old) for old, end in ((state.x, new), (state.dual, dual)))
        return _State(x, dual, following, number)

    def measure(new: _State, _: _State) -> Tensor:
        distance, value = duality_gap(y, new.x, new.dual, step, differences)
        return torch.where(distance <= stop.floor, 0.0, relative(distance, value))

    first = _State(y - differences.adjoint(start), start, FIRST_STEP, 0)
    outcome = iterate(first, advance, measure, tol=stop.gap, max_steps=stop.max_steps, check_every=CHECK_EVERY)
    x, dual, *_ = outcome.state
    reached = relative(*duality_gap(y, x, dual, step, differences))
    finite = torch.tensor([status is not Status.NON_FINITE for status in outcome.statuses], device=y.device)
    return Solution(x, dual, reached, torch.tensor(outcome.n_steps, device=y.device), finite)


def _total(terms: Tensor) -> Tensor:
    return terms.flatten(1).sum(1, dtype=torch.float64)


def wide(value: Tensor, like: Tensor) -> Tensor:
    """Return one number a slice with as many axes as ``like``, so that it multiplies it."""
    return value.reshape(-1, *[1] * (like.ndim - 1))
