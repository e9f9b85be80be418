"""Random arrays for the laws, and the bar that rounding alone stays under."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["noise", "tolerance"]


def noise(shape: Sequence[int], dtype: torch.dtype, rng: torch.Generator) -> Tensor:
    """Draw standard normal numbers, real or complex, on the device of ``rng``."""
    return torch.randn(tuple(shape), dtype=dtype, generator=rng, device=rng.device)


def tolerance(dtype: torch.dtype, size: int) -> float:
    """Return the relative error that sums of ``size`` rounded terms may have: ten roundings, growing as a walk does."""
    return float(10 * torch.finfo(dtype).eps * max(size, 1) ** 0.5)
