"""The proximal map of total variation, with a certified duality gap and a derivative that costs one linear solve."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kotowari.core.errors import ConvergenceError, InputError, ShapeError
from kotowari.core.outcome import Outcome, Status
from kotowari.priors.functional.tv_iteration import Solution
from kotowari.priors.functional.tv_jacobian import jacobian_product
from kotowari.priors.functional.tv_slices import Differences, Folding
from kotowari.priors.functional.tv_solve import solve_slices
from kotowari.solvers.protocols import Step

__all__ = ["TVState", "tv_prox", "tv_prox_outcome"]

_BACKWARD_GAP, _BACKWARD_TOL = 1e-6, 1e-3  # single precision carries to this gap


class TVState(NamedTuple):
    """Where a total variation prox stands.

    Attributes
    ----------
    x
        The image, shape and dtype of the input.
    dual
        :math:`p` with :math:`x = y - D^T p` at the solution, shape ``(batch, axis, ...)``: hand it on to start from it.
    gap
        Duality gap divided by the dual value, the largest among the images of a sample; float64, shape ``(batch,)``.
    """

    x: Tensor
    dual: Tensor
    gap: Tensor


def tv_prox(
    x: Tensor,
    step: Step,
    *,
    axes: Sequence[int] = (-2, -1),
    weights: Sequence[float] | None = None,
    isotropic: bool = True,
    gap: float = 1e-4,
    max_steps: int = 5000,
    dual: Tensor | None = None,
) -> Tensor:
    r"""Return the image nearest to ``x`` at a price on its edges, sample by sample.

    .. math:: \arg\min_u \tau \sum_i |(Du)_i| + \tfrac12 \|u - x\|^2

    D holds forward differences along ``axes`` with Neumann ends, :math:`(D_k u)_i = w_k (u_{i+1} - u_i)`, and 0 at the
    end; :math:`|\cdot|` joins the axes (isotropic) or sums over them, and joins real and imaginary part in both cases.
    Every other axis but the first counts independent images. Each image stops on its own, so that it does not depend
    on what else stands in the batch.

    The answer comes with its proof: iteration ends when primal and dual value of the image differ by at most ``gap``
    relative to the dual value, both summed in double precision. Single precision carries to gaps of about 1e-6; images
    that need more go on in double precision and are rounded to single afterwards. Where numba is installed, arrays on
    the CPU run through compiled kernels; otherwise, and on other devices, the same iteration runs in torch: equal
    results up to rounding. The method is told at :func:`kotowari.priors.functional.tv_iteration.iterate_slices`.

    Differentiable in ``x`` and ``step`` (once). Backward brings the solution to a gap of 1e-6, or to ``gap`` if that is
    less, then solves one linear system in double precision to a residual of :math:`\min(10^{-3}, \sqrt{\text{gap}})`,
    told at :func:`~kotowari.priors.functional.tv_jacobian.jacobian_product`. Gradients are off by 1 to 3 %; a smaller
    ``gap`` makes them finer (1e-8: about 0.1 %). The gradient of the step,
    :math:`(\langle v, u\rangle - \langle Jv, x\rangle)/\tau`, comes along. No gradient gets longer on its way back to
    ``x``.

    Parameters
    ----------
    x
        Shape ``(batch, ...)``, real or complex, single or double precision; any finite range.
    step
        :math:`\tau` of 0 or more, in units of ``x`` times distance: a number, or one for each sample, ``(batch,)``.
    axes
        Axes of the image, not the first one; e.g. ``(-1,)`` for signals, ``(-3, -2, -1)`` for volumes.
    weights
        :math:`w_k` above 0, one for each axis, 1 by default; the inverse of the distance between neighbours.
    isotropic
        Whether edges count by their length, or by the sum over the axes.
    gap
        Bar for the relative duality gap, above 0. The image is then off the solution by at most
        :math:`\sqrt{2\,\text{gap} \cdot \text{dual value}}`.
    max_steps
        Limit of iterations, in either precision.
    dual
        Where to start, the dual of an earlier :func:`tv_prox_outcome` of the same shape; None starts from 0.

    Returns
    -------
    Tensor
        Shape and dtype of ``x``.

    Raises
    ------
    ConvergenceError
        When an image does not reach the gap, or holds NaN or infinity. Backward does not raise: it takes the dual as
        close as it came.
    InputError
        When ``x`` is of another dtype, or ``step``, ``weights``, ``gap`` or ``max_steps`` is out of range.
    ShapeError
        When ``axes``, ``weights``, ``step`` or ``dual`` does not fit ``x``.

    Examples
    --------
    >>> tv_prox(torch.tensor([[0.0, 0.0, 4.0, 4.0]]), 1.0, axes=(-1,), gap=1e-12)
    tensor([[0.5000, 0.5000, 3.5000, 3.5000]])
    """
    problem = _Problem.of(x, axes, weights, isotropic=isotropic, stop=(gap, max_steps))
    start = None if dual is None else problem.folding.fold_dual(dual.detach())
    image: Tensor = _Prox.apply(x, _per_sample(step, x), problem, start)  # type: ignore[no-untyped-call]  # torch's apply
    return image


@torch.no_grad()
def tv_prox_outcome(
    x: Tensor,
    step: Step,
    *,
    axes: Sequence[int] = (-2, -1),
    weights: Sequence[float] | None = None,
    isotropic: bool = True,
    gap: float = 1e-4,
    max_steps: int = 5000,
    dual: Tensor | None = None,
) -> Outcome[TVState]:
    """Return what :func:`tv_prox` returns, with the dual, the gap reached and why it stopped; not differentiable.

    Parameters as there. A gap that is not reached is told in the outcome, never raised.
    """
    problem = _Problem.of(x, axes, weights, isotropic=isotropic, stop=(gap, max_steps))
    start = None if dual is None else problem.folding.fold_dual(dual)
    return problem.outcome(problem.solve(problem.folding.fold(x), start, _per_sample(step, x)))


@dataclass(frozen=True)
class _Problem:
    """What is minimised, and when the iteration stops."""

    folding: Folding
    differences: Differences
    gap: float
    max_steps: int

    @classmethod
    def of(
        cls,
        x: Tensor,
        axes: Sequence[int],
        weights: Sequence[float] | None,
        *,
        isotropic: bool,
        stop: tuple[float, int],
    ) -> "_Problem":
        gap, max_steps = stop
        if not (gap > 0 and isfinite(gap)) or max_steps < 1:
            raise InputError(f"tv_prox: gap must be above 0 and max_steps 1 or more, got {gap} and {max_steps}.")
        weights = [1.0] * len(axes) if weights is None else weights
        if len(weights) != len(axes):
            raise ShapeError(
                f"tv_prox: {len(weights)} weights were given for the axes {tuple(axes)}. Give one for each."
            )
        return cls(Folding.of(x, axes), Differences(tuple(map(float, weights)), isotropic), gap, max_steps)

    def solve(self, y: Tensor, start: Tensor | None, step: Tensor, *, gap: float | None = None) -> Solution:
        """Solve for the slices ``y``; ``step`` has shape ``(batch,)``."""
        if start is None:
            start = y.new_zeros((*y.shape[:2], len(self.differences.weights), *y.shape[2:]))
        return solve_slices(
            y,
            start.to(y.dtype),
            self.folding.per_slice(step),
            self.differences,
            gap=self.gap if gap is None else gap,
            max_steps=self.max_steps,
        )

    def outcome(self, solution: Solution) -> Outcome[TVState]:
        gap = self.folding.per_sample(solution.gap)
        bad = ~self.folding.per_sample(solution.finite).all(1) | gap.isnan().any(1)
        met = (gap <= self.gap).all(1)
        statuses = tuple(
            Status.NON_FINITE if is_bad else Status.CONVERGED if is_met else Status.MAX_STEPS
            for is_bad, is_met in zip(bad.tolist(), met.tolist(), strict=True)
        )
        state = TVState(self.folding.unfold(solution.x), self.folding.unfold_dual(solution.dual), gap.amax(1))
        n_steps = tuple(self.folding.per_sample(solution.n_steps).amax(1).tolist())
        return Outcome(state, statuses, n_steps, (tuple(state.gap.tolist()),))

    def require_solved(self, solution: Solution) -> None:
        """Raise ConvergenceError when a slice is not at its gap."""
        if not bool((solution.finite & solution.gap.isfinite()).all()):
            raise ConvergenceError("tv_prox: the input holds NaN or infinite numbers, or overflows. Clean it first.")
        if not bool((solution.gap <= self.gap).all()):
            n_left = int((solution.gap > self.gap).sum())
            raise ConvergenceError(
                f"tv_prox: {n_left} of {len(solution.gap)} images stopped after {self.max_steps} steps at relative "
                f"duality gaps up to {float(solution.gap.max()):.2g}, above gap = {self.gap:g}. Raise max_steps, or "
                "loosen gap."
            )


class _Prox(torch.autograd.Function):
    """The map with its derivative by hand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, problem: _Problem, start: Tensor | None) -> Tensor:
        solution = problem.solve(problem.folding.fold(x.detach()), start, step.detach())
        problem.require_solved(solution)
        ctx.problem = problem
        ctx.save_for_backward(x, step, solution.dual)
        return problem.folding.unfold(solution.x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, step, dual = ctx.saved_tensors
        problem: _Problem = ctx.problem
        folding, differences = problem.folding, problem.differences
        y, upstream = folding.fold(x).double(), folding.fold(v).double()
        y = y - y.mean(tuple(range(2, y.ndim)), keepdim=True)  # a constant passes through J, and only costs digits
        gap = min(problem.gap, _BACKWARD_GAP)
        dual = problem.solve(y.float() if gap == _BACKWARD_GAP else y, dual, step, gap=gap).dual.double()
        is_priced = folding.per_slice(step) > 0
        per_slice = torch.where(is_priced, folding.per_slice(step), 1.0)
        product = jacobian_product(
            upstream,
            y,
            dual,
            per_slice,
            differences,
            tol=min(problem.gap**0.5, _BACKWARD_TOL),
            max_steps=problem.max_steps,
        )
        product = torch.where(is_priced.reshape(-1, *[1] * (y.ndim - 1)), product, upstream)
        if not ctx.needs_input_grad[1]:
            return folding.unfold(product).to(x.dtype), None, None, None
        change = _inner(upstream, y - differences.adjoint(dual)) - _inner(product, y)
        slope = torch.where(is_priced, change / per_slice, _slope_at_zero(upstream, y, differences))
        return folding.unfold(product).to(x.dtype), folding.per_sample(slope).sum(1), None, None


def _slope_at_zero(v: Tensor, y: Tensor, differences: Differences) -> Tensor:
    """Return the derivative of the prox in its step at 0, from above, along ``v``."""
    edges = differences.apply(y)
    magnitude = differences.magnitude(edges)
    return -_inner(v, differences.adjoint(torch.where(magnitude > 0, edges / magnitude, 0.0)))


def _inner(left: Tensor, right: Tensor) -> Tensor:
    return (left * right).flatten(1).sum(1)


def _per_sample(step: Step, x: Tensor) -> Tensor:
    """Return the step of each sample, shape ``(batch,)``, double precision."""
    numbers = torch.as_tensor(step, dtype=torch.float64, device=x.device)
    if not bool(((numbers >= 0) & numbers.isfinite()).all()):
        raise InputError(f"tv_prox: step must be 0 or more, and finite, got {step}.")
    if numbers.numel() == 1:
        return numbers.reshape(1).expand(len(x))
    if numbers.numel() != len(x) or len(numbers) != len(x):
        raise ShapeError.mismatch("tv_prox", "step", (len(x),), numbers.shape)
    return numbers.reshape(-1)
