"""Inner product and length of each sample of a batch."""

from torch import Tensor

__all__ = ["inner_product", "length", "ratio"]


def inner_product(x: Tensor, y: Tensor) -> Tensor:
    """Return the real part of the inner product of each sample, ``(batch, ...) -> (batch,)``, real.

    Each sample is summed by itself, so its number does not depend on which others stand in the batch.

    Examples
    --------
    >>> import torch
    >>> inner_product(torch.tensor([[1j, 2.0]]), torch.tensor([[1j, 3.0]]))
    tensor([7.])
    """
    product = x.conj() * y
    return (product.real if product.is_complex() else product).reshape(len(product), -1).sum(1)


def length(x: Tensor) -> Tensor:
    """Return the Euclidean length of each sample, ``(batch, ...) -> (batch,)``, real."""
    return inner_product(x, x).sqrt()


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Return ``part / whole``, and 0 where both are 0; for numbers of 0 or more."""
    return part / whole.where((whole > 0) | (part > 0), 1)
