"""Total variation of slices solved: scaled, settled without iteration where it can be, in the precision it takes."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from kotowari.priors.functional.tv_iteration import Solution, Stop, iterate_slices, wide
from kotowari.priors.functional.tv_slices import Differences

__all__ = ["runs_compiled", "solve_slices"]

_ROUNDING = 0.5  # gaps below half a unit of rounding of every entry of the total variation are noise

Method = Callable[[Tensor, Tensor, Tensor, Differences, Stop], Solution]


def solve_slices(
    y: Tensor, start: Tensor, step: Tensor, differences: Differences, *, gap: float, max_steps: int
) -> Solution:
    r"""Solve :math:`\min_x \tau\,\mathrm{TV}(x) + \tfrac12 \|x - y\|^2` for each slice to a relative duality gap.

    Single precision runs as far as it carries; slices that its rounding keeps from the gap go on in double precision
    from where they stand, so the gap holds for the slice before it is rounded to single precision.

    Parameters
    ----------
    y
        Shape ``(slice, part, *space)``, contiguous.
    start
        A dual to start from, shape ``(slice, part, axis, *space)``.
    step
        :math:`\tau` of each slice, 0 or more, float64, shape ``(slice,)``.
    differences
        The differences that total variation sums up.
    gap
        Bar for the duality gap divided by the dual value.
    max_steps
        Step limit, in either precision.
    """
    corner = y.flatten(2)[:, :, 0].reshape(*y.shape[:2], *[1] * (y.ndim - 2))
    centre = corner + (y - corner).mean(tuple(range(2, y.ndim)), keepdim=True)  # exact for constant slices
    _, exponent = torch.frexp((y - centre).abs().flatten(1).amax(1))
    scale = torch.ldexp(torch.ones_like(step), exponent)  # a power of two, so that scaling rounds nothing
    unit = wide(scale, y).to(y.dtype)
    scaled, scaled_step = (y - centre) / unit, step / scale
    start = differences.inside(start / wide(unit, start))
    solution = _solve_scaled(scaled, start, scaled_step, differences, gap, max_steps)
    x = torch.where(wide(step, y) > 0, solution.x * unit + centre, y)
    return solution._replace(x=x, dual=solution.dual * wide(unit, start))


def runs_compiled(x: Tensor) -> bool:
    """Whether there are compiled kernels for this tensor: it lies in the memory of the CPU, and numba is installed."""
    return x.device.type == "cpu" and _has_numba()


def _solve_scaled(
    y: Tensor, start: Tensor, step: Tensor, differences: Differences, gap: float, max_steps: int
) -> Solution:
    """Settle the slices that need no iteration, and iterate on the others, in double precision where it is needed."""
    flat = differences.flattening(y)
    is_flat = differences.magnitude(flat).flatten(1).amax(1) <= step
    solution = Solution(
        x=torch.where(wide(is_flat, y), 0.0, y),
        dual=torch.where(wide(is_flat, flat), flat, 0.0),
        gap=torch.zeros_like(step),
        n_steps=torch.zeros_like(step, dtype=torch.long),
        finite=torch.ones_like(is_flat),
    )
    method: Method = iterate_slices
    if runs_compiled(y):
        from kotowari.priors.functional.tv_kernels import sweep_slices

        method = sweep_slices
    left = (~is_flat & (step != 0)).nonzero().flatten()
    if y.dtype == torch.float32 and len(left):
        rounding = _ROUNDING * torch.finfo(y.dtype).eps * sum(differences.weights) * step
        floor = (rounding * y.abs().flatten(1).sum(1).double())[left]
        part = method(y[left], start[left], step[left], differences, Stop(gap, max_steps, floor))
        solution = _merged(solution, left, part)
        left = left[(part.gap > gap) & (part.n_steps < max_steps) & part.finite]
        start = solution.dual
    if len(left):
        none = torch.zeros_like(step[left])
        doubled = y[left].double(), start[left].double()
        part = method(*doubled, step[left], differences, Stop(gap, max_steps, none))
        solution = _merged(solution, left, part._replace(n_steps=part.n_steps + solution.n_steps[left]))
    return solution


def _merged(solution: Solution, chosen: Tensor, part: Solution) -> Solution:
    members = zip(solution, part, strict=True)
    return Solution(*(whole.index_copy(0, chosen, piece.to(whole.dtype)) for whole, piece in members))


@cache
def _has_numba() -> bool:
    return find_spec("numba") is not None
