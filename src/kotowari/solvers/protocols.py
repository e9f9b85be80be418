"""What a solver's step takes: callables, so that a learned network can stand wherever a gradient or a prox can."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

__all__ = ["Gradient", "LinearMap", "Prox", "Step", "per_sample"]

Step = float | Tensor
Gradient = Callable[[Tensor], Tensor]
LinearMap = Callable[[Tensor], Tensor]


class Prox(Protocol):
    """Maps ``x`` of shape ``(batch, ...)`` and a step above 0 to the minimiser of ``step * g(u) + 0.5 |u - x|^2``."""

    def __call__(self, x: Tensor, step: Step) -> Tensor:  # noqa: D102
        ...


def per_sample(value: Step, like: Tensor) -> Step:
    """Return ``value`` so that it multiplies ``like``, shape ``(batch, ...)``, sample by sample.

    A number and a tensor without axes pass; a tensor of shape ``(batch,)`` gets trailing axes of length 1; a tensor
    with as many axes as ``like`` passes (one value an entry).

    Examples
    --------
    >>> import torch
    >>> per_sample(torch.ones(2), torch.zeros(2, 3, 4)).shape
    torch.Size([2, 1, 1])
    """
    if isinstance(value, Tensor) and value.ndim == 1 and like.ndim > 1:
        return value.reshape(-1, *[1] * (like.ndim - 1))
    return value
