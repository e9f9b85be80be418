"""Losses on targets that may be mixtures."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["class_weights", "squared_error", "weighted_cross_entropy"]


def class_weights(labels: npt.NDArray[np.integer], n_classes: int) -> Tensor:
    r"""Return :math:`n / (C n_c)`, so that every class counts alike; shape ``(n_classes,)``, 0 for absent classes."""
    counts = np.bincount(labels, minlength=n_classes)
    weights = np.divide(len(labels), n_classes * counts, out=np.zeros(n_classes), where=counts > 0)
    return torch.tensor(weights, dtype=torch.float32)


def weighted_cross_entropy(weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the cross entropy of scores against class shares, both ``(batch, class)``, by class weight."""

    def loss(scores: Tensor, shares: Tensor) -> Tensor:
        return functional.cross_entropy(scores, shares, weight=weights.to(scores))

    return loss


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared difference of ``(batch, output)`` arrays."""
    return functional.mse_loss(outputs, targets)
