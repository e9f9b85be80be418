"""Soft thresholding of real and complex numbers, which remembers nothing but its result."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kotowari.core.errors import InputError

__all__ = ["soft_threshold"]


def soft_threshold(x: Tensor, threshold: float | Tensor) -> Tensor:
    r"""Return ``x`` with every magnitude made smaller by ``threshold``, or zero.

    .. math:: x \max(1 - t/|x|, 0)

    For the gradient only the result is kept (and a threshold that is a tensor): its sign, and its support, are those
    of ``x``, and :math:`|x| = |\mathrm{result}| + t` there.

    Parameters
    ----------
    x
        Any shape, real or complex.
    threshold
        0 or more (not checked inside a tensor), in units of ``x``: a number, or a real tensor that broadcasts to the
        shape of ``x``; it may require a gradient.

    Returns
    -------
    Tensor
        Shape and dtype of ``x``.

    Raises
    ------
    InputError
        When a number below 0 is given.

    Source: Donoho 1995, IEEE Trans. Inf. Theory 41(3), eq. 3. The gradient from the result alone is our own.

    Examples
    --------
    >>> import torch
    >>> soft_threshold(torch.tensor([-3.0, 0.5, 2.0]), 1.0)
    tensor([-2., 0., 1.])
    """
    if not isinstance(threshold, Tensor):
        if not threshold >= 0:
            raise InputError(f"soft_threshold: threshold must be 0 or more, got {threshold}.")
        threshold = torch.tensor(threshold, dtype=x.real.dtype, device=x.device)
    out: Tensor = _SoftThreshold.apply(x, threshold.to(x.real.dtype))  # type: ignore[no-untyped-call]  # torch's apply
    return out


class _SoftThreshold(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: Tensor) -> Tensor:
        if x.is_complex():
            magnitude = x.abs()
            shrunk = (magnitude - threshold).clamp_min_(0.0)
            out = x * shrunk.div_(magnitude.clamp_min_(torch.finfo(magnitude.dtype).tiny))
        else:
            clipped = torch.clamp(x, -threshold, threshold)
            out = torch.sub(x, clipped, out=clipped)
        ctx.save_for_backward(out, threshold)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        out, threshold = ctx.saved_tensors
        through_x = through_threshold = None
        along = (out.sgn().conj() * grad).real if out.is_complex() else None
        if ctx.needs_input_grad[0]:
            support = (out != 0) | (threshold == 0)  # without a threshold it is the identity, at zero too
            if along is None:
                through_x = grad * support
            else:
                kept = out.abs()
                size = (kept + threshold).clamp_min_(torch.finfo(kept.dtype).tiny)
                across = torch.where(threshold == 0, 1.0, kept / size)
                through_x = grad * across + out.sgn() * (along * (1.0 - across))
        if ctx.needs_input_grad[1]:
            pull = grad * out.sgn() if along is None else along
            through_threshold = -pull.sum_to_size(threshold.shape)
        return through_x, through_threshold
