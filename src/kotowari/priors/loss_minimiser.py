"""The least value that a low-rank and sparse loss can take, and its proximal point, with a certified gap."""

from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.core.outcome import Status
from kotowari.operators.difference import FiniteDifference
from kotowari.priors.functional.singular_values import nuclear_norm, singular_value_threshold
from kotowari.priors.groups import GroupL2
from kotowari.solvers.iterate import iterate
from kotowari.solvers.pdhg import PdhgState, pdhg_step
from kotowari.solvers.protocols import Step

__all__ = ["Minimum", "as_rows", "minimise_low_rank_sparse"]

_LOOK_EVERY = 5


class Minimum(NamedTuple):
    """Where a minimisation ended.

    Attributes
    ----------
    sparse
        The best S found, shape of the data.
    objective
        The loss there.
    bound
        No S has a loss below this (the dual objective).
    status
        Why the iteration stopped.
    """

    sparse: Tensor
    objective: float
    bound: float
    status: Status

    @property
    def gap(self) -> float:
        """How far the loss may still lie above the least, relative to the loss; 0 when the loss is 0."""
        return (self.objective - self.bound) / self.objective if self.objective > 0 else 0.0


@torch.no_grad()
def minimise_low_rank_sparse(
    data: Tensor,
    weight: float,
    tv_weight: float,
    *,
    near: Tensor | None = None,
    mu: float = float("inf"),
    tol: float = 1e-3,
    max_steps: int = 2000,
) -> Minimum:
    r"""Minimise a low-rank and sparse loss over S, all images together.

    .. math::
        \min_S \|D - S\|_* + \lambda \sum_{i} \|S_i\|_2 + \lambda_{TV} \sum_k \|D_k S\|_1
        + \tfrac{1}{2\mu} \|S - S_0\|^2

    The matrix in the nuclear norm has one row an image; i runs over the pixels of all images, and the norm inside over
    channels. The primal-dual gap is computed at the iterates (with duals scaled into their constraint where there is no
    quadratic term), so that ``bound`` holds whether or not the iteration has converged.

    Parameters
    ----------
    data
        D, shape ``(batch, channel, *space)``.
    weight, tv_weight
        :math:`\lambda` and :math:`\lambda_{TV}`, 0 or more.
    near, mu
        :math:`S_0`, shape of the data, and :math:`\mu` above 0. Without ``near`` there is no quadratic term.
    tol
        When to stop: the gap relative to the loss; or, with ``near``, relative to what the loss at ``near`` may
        fall by, so that a share of 1 - tol or more of that fall has been reached.
    max_steps
        Step limit.

    Source: Chambolle and Pock 2011, J. Math. Imaging Vis. 40, algorithm 1; the problem is that of Candes et al. 2011,
    J. ACM 58(3), with total variation, and its dual bound is written out by us.
    """
    if near is not None and not mu > 0:
        raise InputError(f"minimise_low_rank_sparse: mu must be above 0, got {mu}.")
    problem = _Problem(data, weight, tv_weight, near, mu if near is not None else float("inf"))
    start = problem.start()
    best = _Best(start.x, problem.primal(start.x), problem.bound(start.duals))
    first = best.objective

    def gap(new: PdhgState, _old: PdhgState) -> Tensor:
        best.look(new.x, problem.primal(new.x), problem.bound(new.duals))
        whole = best.objective if near is None else first - best.bound
        return torch.tensor([(best.objective - best.bound) / max(whole, torch.finfo(torch.float32).tiny)])

    outcome = iterate(start, problem.step, gap, tol=tol, max_steps=max_steps, check_every=_LOOK_EVERY)
    return Minimum(best.x, best.objective, best.bound, outcome.status)


def as_rows(x: Tensor) -> Tensor:
    """Return the matrix with one row an image: ``(batch, ...) -> (batch, entries)``."""
    return x.flatten(1)


class _Best:
    """The least objective and the highest bound seen."""

    def __init__(self, x: Tensor, objective: float, bound: float) -> None:
        self.x, self.objective, self.bound = x, objective, bound

    def look(self, x: Tensor, objective: float, bound: float) -> None:
        if objective < self.objective:
            self.x, self.objective = x, objective
        self.bound = max(self.bound, bound)


class _Problem:
    """The maps of the splitting: duals of the nuclear norm and of total variation, the rest in the primal prox."""

    def __init__(self, data: Tensor, weight: float, tv_weight: float, near: Tensor | None, mu: float) -> None:
        self.data, self.tv_weight, self.near, self.mu = data, tv_weight, near, mu
        self.weight = weight
        self.sparse = GroupL2(1, weight)
        self.differences = FiniteDifference(data.shape[1:], range(1, data.ndim - 1))
        norm = sqrt(1.0 + (self.differences.norm() ** 2 if tv_weight else 0.0))
        balance = self._balance()
        self.primal_step, self.dual_step = balance / norm, 1.0 / (balance * norm)

    def _balance(self) -> float:
        """Size of the primal unknown over that of the dual, so that neither waits for the other."""
        spread = (self.data - self.data.mean(0)).norm()
        size = max(float(spread), 1e-2 * float(self.data.norm()), torch.finfo(torch.float32).tiny)
        return size / sqrt(len(self.data))

    def start(self) -> PdhgState:
        x = torch.zeros_like(self.data) if self.near is None else self.near
        low_rank = self._spectrum_to_one(self.data - x)
        duals = (low_rank,) if not self.tv_weight else (low_rank, torch.zeros_like(self.differences(x)))
        return PdhgState(x, x, duals)

    def step(self, state: PdhgState) -> PdhgState:
        n_duals = len(state.duals)
        return pdhg_step(
            state,
            self._prox,
            (self._low_rank_dual, self._tv_dual)[:n_duals],
            (torch.neg, self.differences)[:n_duals],
            (torch.neg, self.differences.adjoint)[:n_duals],
            primal_step=self.primal_step,
            dual_step=self.dual_step,
        )

    def primal(self, x: Tensor) -> float:
        total = nuclear_norm(as_rows(self.data - x)) + self.sparse.value(x).sum()
        if self.tv_weight:
            total = total + self.tv_weight * self.differences(x).abs().sum()
        if self.near is not None:
            total = total + (x - self.near).square().sum() / (2 * self.mu)
        return float(total)

    def bound(self, duals: tuple[Tensor, ...]) -> float:
        """Return the dual objective, after scaling the duals into their constraint where there is one."""
        slope = duals[0] if len(duals) == 1 else duals[0] - self.differences.adjoint(duals[1])
        constant = float((duals[0] * self.data).sum())
        if self.near is None:
            largest = float(torch.linalg.vector_norm(slope, dim=1).max())
            return constant * min(1.0, self.weight / largest if largest > 0 else 1.0)
        least = self.sparse.prox(self.near + self.mu * slope, self.mu)
        inner = self.sparse.value(least).sum() + (least - self.near).square().sum() / (2 * self.mu)
        return constant + float(inner - (slope * least).sum())

    def _prox(self, x: Tensor, step: Step) -> Tensor:
        if self.near is None:
            return self.sparse.prox(x, step)
        both = 1.0 / (1.0 / step + 1.0 / self.mu)
        return self.sparse.prox(both * (x / step + self.near / self.mu), both)

    def _low_rank_dual(self, x: Tensor, step: Step) -> Tensor:
        return self._spectrum_to_one(x + step * self.data)

    def _tv_dual(self, x: Tensor, step: Step) -> Tensor:  # noqa: ARG002  # a projection, whatever the step
        return x.clamp(-self.tv_weight, self.tv_weight)

    def _spectrum_to_one(self, x: Tensor) -> Tensor:
        """Cut singular values above 1 down to 1."""
        return x - singular_value_threshold(as_rows(x), 1.0).view_as(x)
