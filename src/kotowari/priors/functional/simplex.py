"""Nearest points of the simplex and of the L1 ball, exact by sorting."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kotowari.core.errors import InputError, ShapeError
from kotowari.solvers.protocols import per_sample

__all__ = ["project_l1_ball", "project_simplex"]


def project_simplex(x: Tensor, total: float | Tensor = 1.0, dim: int = -1) -> Tensor:
    r"""Return the nearest point with entries of 0 or more that sum to ``total`` along ``dim``.

    .. math:: \max(x_i - \theta, 0) \quad\text{with } \theta \text{ such that } \sum_i = \text{total}

    Its gradient takes the mean over the support away from the incoming one; only the result is kept for it.

    Parameters
    ----------
    x
        Real, any shape.
    total
        Above 0 (not checked inside a tensor): a number, or a tensor that broadcasts to the shape of ``x`` with ``dim``
        of length 1; it may require a gradient.
    dim
        The axis along which the entries sum to ``total``.

    Raises
    ------
    InputError
        When ``x`` is not real, or a number of 0 or less is given as ``total``.

    Source: Held, Wolfe and Crowder 1974, Math. Program. 6(1), 62-88; the threshold is found in double precision.

    Examples
    --------
    >>> import torch
    >>> project_simplex(torch.tensor([0.2, 1.2, -3.0]))
    tensor([0., 1., 0.])
    """
    if not x.is_floating_point():
        raise InputError(f"project_simplex: x must hold real floats, got {x.dtype}.")
    _require_above_zero("project_simplex", "total", total)
    moved = x.movedim(dim, -1)
    if isinstance(total, Tensor):
        size = torch.broadcast_to(total.to(x.dtype), x.movedim(dim, -1)[..., :1].movedim(-1, dim).shape).movedim(
            dim, -1
        )
    else:
        size = torch.full_like(moved[..., :1], total)
    out: Tensor = _Simplex.apply(moved, size)  # type: ignore[no-untyped-call]  # torch's apply
    return out.movedim(-1, dim)


def project_l1_ball(x: Tensor, radius: float | Tensor) -> Tensor:
    r"""Return the nearest sample with :math:`\sum_i |x_i|` of at most ``radius``.

    Samples inside come back as they are; of the others the magnitudes go to the simplex, the signs or phases stay.

    Parameters
    ----------
    x
        Shape ``(batch, ...)``, real or complex; a sample is all that its axes after the first hold.
    radius
        Above 0 (not checked inside a tensor): a number, or one for each sample, shape ``(batch,)``; it may require a
        gradient.

    Raises
    ------
    ShapeError
        When ``x`` has no axis after the batch.
    InputError
        When a radius of 0 or less is given as a number.

    Source: Duchi, Shalev-Shwartz, Singer and Chandra 2008, ICML, section 4.

    Examples
    --------
    >>> import torch
    >>> project_l1_ball(torch.tensor([[3.0, -1.0], [0.1, 0.2]]), 2.0)
    tensor([[2.0000, -0.0000],
            [0.1000, 0.2000]])
    """
    if x.ndim < 2:
        raise ShapeError.mismatch("project_l1_ball", "input", ("batch", "..."), x.shape)
    _require_above_zero("project_l1_ball", "radius", radius)
    magnitude = x.abs().flatten(1)
    bound = per_sample(radius, magnitude)
    outside = magnitude.detach().sum(1, dtype=torch.float64, keepdim=True) > bound
    shrunk = project_simplex(magnitude, bound).reshape(x.shape)
    return torch.where(outside.reshape(-1, *[1] * (x.ndim - 1)), x.sgn() * shrunk, x)


class _Simplex(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, total: Tensor) -> Tensor:
        shift = x.amax(-1, keepdim=True)  # the threshold is then found among small numbers
        ordered = (x - shift).to(torch.float64).sort(-1, descending=True).values
        ranks = torch.arange(1, x.shape[-1] + 1, dtype=torch.float64, device=x.device)
        thresholds = ordered.cumsum(-1).sub_(total).div_(ranks)
        n_kept = (ordered > thresholds).sum(-1, keepdim=True).clamp_min(1)
        threshold = thresholds.gather(-1, n_kept - 1)
        out = (x - shift - threshold).clamp_min(0.0).to(x.dtype)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (out,) = ctx.saved_tensors
        support = out > 0
        mean = (grad * support).sum(-1, keepdim=True) / support.sum(-1, keepdim=True).clamp_min(1)
        return (grad - mean) * support, mean


def _require_above_zero(who: str, what: str, number: float | Tensor) -> None:
    if not isinstance(number, Tensor) and not number > 0:
        raise InputError(f"{who}: {what} must be above 0, got {number}.")
