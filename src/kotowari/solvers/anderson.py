"""Anderson acceleration of a fixed-point iteration."""

from typing import NamedTuple

import torch
from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.core.outcome import Outcome
from kotowari.solvers.inner_product import length, ratio
from kotowari.solvers.iterate import iterate
from kotowari.solvers.protocols import LinearMap

__all__ = ["AndersonState", "anderson_start", "anderson_step", "fixed_point"]


class AndersonState(NamedTuple):
    """One iterate.

    ``x`` and its ``image`` under the map have shape ``(batch, *domain)``. ``image_moves`` and ``residual_moves`` are
    the last differences of images and of residuals, shape ``(batch, memory, *domain)``, 0 where none has been made yet;
    ``n_steps`` counts the steps.
    """

    x: Tensor
    image: Tensor
    image_moves: Tensor
    residual_moves: Tensor
    n_steps: int


def anderson_start(x: Tensor, mapping: LinearMap, memory: int) -> AndersonState:
    """Return the state before the first step; ``memory`` of 0 or more is the number of differences to remember."""
    empty = x.new_zeros((len(x), memory, *x.shape[1:]))
    return AndersonState(x, mapping(x), empty, empty, 0)


def anderson_step(state: AndersonState, mapping: LinearMap) -> AndersonState:
    r"""Take one step of type-II Anderson acceleration towards :math:`x = T(x)`.

    With the residual :math:`r = T(x) - x` and the differences :math:`\Delta r_j`, :math:`\Delta T_j` of the last steps,

    .. math::
        \gamma = \arg\min_\gamma \big\|r - \sum_j \gamma_j \Delta r_j\big\|, \quad
        x^+ = T(x) - \sum_j \gamma_j \Delta T_j

    Each sample has its own small least-squares problem. Its columns are scaled to length 1, and directions whose
    singular value is below the square root of the machine epsilon are damped. Without memory it is the plain iteration.

    Source: Walker and Ni 2011, SIAM J. Numer. Anal. 49(4), algorithm AA in its unconstrained form (section 2), without
    mixing. The damping is our choice.
    """
    residual = state.image - state.x
    x = state.image - _combined(state.image_moves, _weights(state.residual_moves, residual))
    image = mapping(x)
    if not state.image_moves.shape[1]:
        return AndersonState(x, image, state.image_moves, state.residual_moves, state.n_steps + 1)
    slot = torch.arange(state.image_moves.shape[1], device=x.device) == state.n_steps % state.image_moves.shape[1]
    slot = slot.reshape(1, -1, *[1] * (x.ndim - 1))
    image_moves = torch.where(slot, (image - state.image).unsqueeze(1), state.image_moves)
    residual_moves = torch.where(slot, (image - x - residual).unsqueeze(1), state.residual_moves)
    return AndersonState(x, image, image_moves, residual_moves, state.n_steps + 1)


def fixed_point(
    mapping: LinearMap, x0: Tensor, *, tol: float = 1e-6, max_steps: int = 100, memory: int = 5
) -> Outcome[AndersonState]:
    r"""Solve :math:`x = T(x)` for each sample of a batch, by Anderson acceleration.

    Parameters
    ----------
    mapping
        The map T, which need not be linear: ``(batch, *domain)`` to the same shape.
    x0
        Where to start, shape ``(batch, *domain)``, real or complex.
    tol
        Bar for :math:`\|T(x) - x\| / \|T(x)\|`.
    max_steps
        Step limit, 1 or more; each step applies the map once.
    memory
        Number of earlier steps to learn from, 0 or more. For a linear map of n unknowns, a memory of n finds the answer
        in n + 1 steps.

    Returns
    -------
    Outcome
        ``outcome.state.x`` is the answer.

    Raises
    ------
    InputError
        When ``memory`` is negative.
    """
    if memory < 0:
        raise InputError(f"fixed_point: memory must be 0 or more, got {memory}.")

    def residual(new: AndersonState, _old: AndersonState) -> Tensor:
        return ratio(length(new.image - new.x), length(new.image))

    start = anderson_start(x0, mapping, memory)
    return iterate(start, lambda state: anderson_step(state, mapping), residual, tol=tol, max_steps=max_steps)


def _weights(moves: Tensor, residual: Tensor) -> Tensor:
    """Solve the damped least squares of each sample: ``(batch, memory, ...), (batch, ...) -> (batch, memory)``."""
    columns = moves.flatten(2).mT
    n_columns = columns.shape[2]
    lengths: Tensor = torch.linalg.vector_norm(columns, dim=1)
    sizes = lengths.where(lengths > 0, 1)
    damping = torch.finfo(columns.dtype).eps ** 0.5 * torch.eye(n_columns, dtype=columns.dtype, device=columns.device)
    # the damping as further rows: normal equations would square the condition number
    padded = torch.cat([columns / sizes.unsqueeze(1), damping.expand(len(columns), -1, -1)], dim=1)
    target = torch.cat([residual.flatten(1), residual.new_zeros(len(residual), n_columns)], dim=1)
    basis, triangle = torch.linalg.qr(padded)
    projected = basis.mH @ target.unsqueeze(2)
    solution: Tensor = torch.linalg.solve_triangular(triangle, projected, upper=True)
    return solution.squeeze(2) / sizes


def _combined(moves: Tensor, weights: Tensor) -> Tensor:
    return (weights.reshape(*weights.shape, *[1] * (moves.ndim - 2)) * moves).sum(1)
