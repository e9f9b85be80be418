"""When two residuals drift apart, a penalty or a step is changed, each time by less."""

import torch
from torch import Tensor

__all__ = ["rebalance"]

_CALMING = 0.9


def rebalance(first: Tensor, second: Tensor, factor: Tensor, *, apart: float) -> tuple[Tensor, Tensor]:
    """Return by what to multiply a number that grows with the first residual, and the factor of the next change.

    That is ``factor`` where the first residual is more than ``apart`` times the second, one over it the other way
    round, else 1. Each change takes a tenth of what the factor has above 1, so that the sum of all changes is finite
    and a method converges as with fixed numbers; from a factor of 2, they amount to some 3500. All shapes are
    ``(batch,)``.

    Source: He, Yang and Wang 2000, J. Optim. Theory Appl. 106, for the finite sum; the geometric form is our choice.
    """
    higher, lower = first > apart * second, second > apart * first
    change = torch.where(higher, factor, torch.where(lower, 1 / factor, 1.0))
    return change, torch.where(higher | lower, 1 + _CALMING * (factor - 1), factor)
