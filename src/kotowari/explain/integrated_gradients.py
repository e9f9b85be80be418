"""Integrated gradients: relevance that adds up, with the proof of it beside each sample."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError
from kotowari.explain.completeness import completeness_gap
from kotowari.explain.hooks import undisturbed
from kotowari.explain.scores import as_reference, as_targets, block_scores, blocks, score_gradient

__all__ = ["Attribution", "integrated_gradients"]


class Attribution(NamedTuple):
    """Relevance and how well it adds up.

    Attributes
    ----------
    values
        Shape of the input, in score units.
    gap
        Relative completeness gap, shape ``(batch,)``; see :func:`completeness_gap`.
    n_points
        Points on the path that each sample was given, shape ``(batch,)``.
    """

    values: Tensor
    gap: Tensor
    n_points: Tensor


def integrated_gradients(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    *,
    reference: Tensor | None = None,
    tol: float = 1e-3,
    min_points: int = 16,
    max_points: int = 256,
    batch_size: int = 64,
) -> Attribution:
    r"""Return the gradient averaged on the straight line from a reference to the input, times the way.

    .. math:: a_i = (x_i - x_{0i}) \, \frac1n \sum_{j=1}^{n}
        \frac{\partial f_c}{\partial x_i}\Big(x_0 + \tfrac{j - 1/2}{n} (x - x_0)\Big)

    The points of a sample are doubled from ``min_points`` until its completeness gap is below ``tol``, or the next
    doubling would pass ``max_points``; the gap that was reached is returned, never hidden. The model never sees more
    than ``batch_size`` inputs at once, however many points there are. Leaves ``x``, ``model`` and every ``.grad`` as
    they were; nothing is rescaled.

    Parameters
    ----------
    model
        Maps ``x`` to scores, shape ``(batch, class)``, or to one number a sample, ``(batch, 1)`` or ``(batch,)``.
    x
        Shape ``(batch, ...)``, floating and finite.
    target
        Class index, 0 or more: one for all, or one a sample, shape ``(batch,)``. 0 where there is one output.
    reference
        What no relevance means: one input, shape ``x.shape[1:]``, or one a sample, shape of ``x``. Zeros if None.
    tol
        Completeness gap to reach, above 0.
    min_points, max_points
        First and largest number of points on the line, 1 or more.
    batch_size
        Inputs that the model sees at once, 1 or more.

    Returns
    -------
    Attribution
        Values in the shape of ``x`` and in score units, with gap and points a sample.

    Raises
    ------
    InputError
        When ``x`` is empty or not finite, a target is no class of the model, or an option is out of range.
    ShapeError
        When the reference has another shape.
    CapabilityError
        When no differentiable path leads from ``x`` to the score.

    Source: Sundararajan et al. 2017, ICML, eqs. 1 and 3; the midpoint rule and the doubling are ours.

    Examples
    --------
    >>> model = nn.Linear(3, 1)
    >>> values, gap, n_points = integrated_gradients(model, torch.ones(2, 3), target=0)
    >>> torch.allclose(values, model.weight.expand(2, 3)), n_points.tolist()
    (True, [16, 16])
    """
    if tol <= 0 or not 1 <= min_points <= max_points:
        raise InputError(
            "integrated_gradients: needs tol > 0 and 1 <= min_points <= max_points, "
            f"got {tol}, {min_points} and {max_points}."
        )
    targets, references = as_targets(target, x), as_reference(reference, x)
    ladder = list(_doublings(min_points, max_points))
    with undisturbed(model):
        parts = [
            _integrate(model, block, base, chosen, ladder, tol)
            for block, base, chosen in blocks(x, references, targets, batch_size=batch_size)
        ]
    values, gap, n_points = (torch.cat(column) for column in zip(*parts, strict=True))
    return Attribution(values, gap, n_points)


def _doublings(first: int, last: int) -> Iterator[int]:
    while first <= last:
        yield first
        first *= 2


def _integrate(
    model: nn.Module, x: Tensor, reference: Tensor, targets: Tensor, ladder: list[int], tol: float
) -> Attribution:
    change = block_scores(model, x, targets) - block_scores(model, reference, targets)
    values, gap = torch.zeros_like(x), torch.full_like(change, torch.inf, dtype=torch.float64)
    n_points = torch.zeros_like(targets)
    for count in ladder:
        rows = (~(gap < tol)).nonzero().flatten()  # a gap that is not a number has not been reached either
        if len(rows) == 0:
            break
        start, way = reference[rows], x[rows] - reference[rows]
        values[rows] = way * _mean_gradient(model, start, way, targets[rows], count, len(x))
        gap[rows] = completeness_gap(values[rows], change[rows])
        n_points[rows] = count
    return Attribution(values, gap, n_points)


def _mean_gradient(
    model: nn.Module, start: Tensor, way: Tensor, targets: Tensor, n_points: int, capacity: int
) -> Tensor:
    """Average the gradient over the midpoints of the line, with at most ``capacity`` inputs in hand at once."""
    total = torch.zeros_like(start)
    positions = (torch.arange(n_points, dtype=start.dtype, device=start.device) + 0.5) / n_points
    for group in torch.split(positions, max(1, capacity // len(start))):
        along = group.reshape(-1, *[1] * start.ndim)
        points = (start + along * way).flatten(0, 1)
        gradient = score_gradient(model, points, targets.repeat(len(group)))
        total += gradient.reshape(len(group), *start.shape).sum(0)
    return total / n_points
