"""Low rank plus sparse by the inexact augmented Lagrangian method, in one pass over the data a step."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.outcome import Outcome
from kotowari.priors.functional.column_blocks import ColumnBlocks, LowRankSparse
from kotowari.priors.functional.gram_spectrum import LARGEST_GRAM
from kotowari.priors.functional.singular_values import singular_value_threshold, singular_values
from kotowari.priors.functional.soft_threshold import soft_threshold
from kotowari.solvers.inexact_alm import InexactAlmState, inexact_alm_residual, inexact_alm_start, inexact_alm_step
from kotowari.solvers.iterate import iterate
from kotowari.solvers.protocols import Step, per_sample

__all__ = ["LowRankSparse", "require_finite", "robust_pca"]


@torch.no_grad()
def robust_pca(
    x: Tensor, weight: float | None = None, tol: float | None = None, max_steps: int = 200, *, growth: float = 1.5
) -> Outcome[LowRankSparse]:
    r"""Split matrices into low rank plus sparse, :math:`\min_{L + S = X} \|L\|_* + \lambda \|S\|_1`.

    The parts carry no gradient; :class:`~kotowari.priors.low_rank_sparse.LowRankPlusSparse` gives that of the minimum.

    Parameters
    ----------
    x
        Shape ``(batch, m, n)``, or ``(m, n)`` for a batch of one; real or complex.
    weight
        :math:`\lambda` above 0; :math:`1/\sqrt{\max(m, n)}` if left out.
    tol
        Bar for :math:`\|X - L - S\| / \|X\|`, 0 or more; 1e-7 in double and 1e-6 in single precision if left out.
    max_steps
        Step limit, 1 or more.
    growth
        Of the penalty in each step, from 1. How near to its minimum the objective comes depends on it, not on ``tol``:
        some 1e-4 to 1e-2 relative at 1.5, some 1e-4 at 1.05 in five times the steps.

    Returns
    -------
    Outcome
        Its state holds ``low_rank``, ``sparse`` and ``multiplier``, each ``(batch, m, n)``.

    Raises
    ------
    ShapeError
        When ``x`` is no matrix.
    InputError
        When ``x`` is not finite, or the weight is not above 0.

    Source: Candes, Li, Ma and Wright 2011, J. ACM 58(3), eq. 1.1 and theorem 1.1 (the weight); Lin, Chen and Ma 2010,
    arXiv 1009.5055, algorithm 5 (the method).

    Examples
    --------
    >>> import torch
    >>> found = robust_pca(torch.ones(20, 30) + 5 * torch.eye(20, 30)).state
    >>> found.sparse[0, :2, :3].round()
    tensor([[5., 0., 0.],
            [0., 5., 0.]])
    """
    if x.ndim == 2:
        x = x[None]
    if x.ndim != 3:
        raise ShapeError.mismatch("robust_pca", "input", ("batch", "m", "n"), x.shape)
    require_finite("robust_pca", x)
    if weight is None:
        weight = 1.0 / max(x.shape[1:]) ** 0.5
    if not weight > 0:
        raise InputError(f"robust_pca: weight must be above 0, got {weight}.")
    if tol is None:
        tol = 1e-7 if x.real.dtype == torch.float64 else 1e-6
    if not tol >= 0 or max_steps < 1 or not growth >= 1:
        raise InputError(
            f"robust_pca: tol = {tol} must be 0 or more, max_steps = {max_steps} and growth = {growth} 1 or more."
        )
    if min(x.shape[1:]) > LARGEST_GRAM or x.dtype not in {torch.float32, torch.float64}:
        return _solve_by_steps(x, weight, growth, tol, max_steps)
    return _in_blocks(x, partial(ColumnBlocks, weight=weight, growth=growth), tol, max_steps)


def require_finite(who: str, x: Tensor) -> None:
    """Raise :class:`InputError` when an entry is NaN or infinite."""
    if not bool(x.isfinite().all()):
        raise InputError(f"{who}: the input holds NaN or infinite entries. Fill or drop them first.")


def _in_blocks(
    x: Tensor, blocks: Callable[[Tensor], ColumnBlocks], tol: float, max_steps: int
) -> Outcome[LowRankSparse]:
    """Solve sample by sample: each has its own penalty, and stops by itself."""
    tall = x.shape[1] > x.shape[2]
    solved = [blocks(sample.mT if tall else sample).solve(tol, max_steps) for sample in x]
    parts = (torch.stack([outcome.state[part] for outcome in solved]) for part in range(3))
    state = LowRankSparse(*(part.mT if tall else part for part in parts))
    longest = max(len(outcome.trace) for outcome in solved)
    rows = zip(
        *(outcome.trace + outcome.trace[-1:] * (longest - len(outcome.trace)) for outcome in solved), strict=True
    )
    trace = tuple(tuple(number for (number,) in row) for row in rows)
    statuses = tuple(outcome.statuses[0] for outcome in solved)
    return Outcome(state, statuses, tuple(outcome.n_steps[0] for outcome in solved), trace)


def _solve_by_steps(x: Tensor, weight: float, growth: float, tol: float, max_steps: int) -> Outcome[LowRankSparse]:
    """Solve all samples at once by whole-array steps: for complex data, and for short sides that are too long."""

    def low_rank_prox(x: Tensor, step: Step) -> Tensor:
        return singular_value_threshold(x, step)

    def sparse_prox(x: Tensor, step: Step) -> Tensor:
        return soft_threshold(x, weight * per_sample(step, x))

    def step(state: InexactAlmState) -> InexactAlmState:
        return inexact_alm_step(state, x, low_rank_prox, sparse_prox, growth)

    def measure(new: InexactAlmState, _: InexactAlmState) -> Tensor:
        return inexact_alm_residual(new, x)

    norm = singular_values(x)[:, 0]
    start = inexact_alm_start(x, norm, torch.maximum(norm, x.abs().flatten(1).amax(1) / weight))
    found = iterate(start, step, measure, tol=tol, max_steps=max_steps)
    return Outcome(LowRankSparse(*found.state[:3]), found.statuses, found.n_steps, found.trace)
