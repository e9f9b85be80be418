"""The first step of an image network: every pixel centred and weighted by constants of the training images."""

from typing import final

import torch
from torch import Tensor, nn

__all__ = ["InputScaling"]


@final
class InputScaling(nn.Module):
    r"""Centre and weight each pixel, :math:`z = (x - m) \cdot g`; both constants are saved with the network.

    Parameters
    ----------
    mean, gain
        Shape ``(channel, height, width)``; input units and 1 / input units. A gain of 0 silences a pixel.
    """

    mean: Tensor
    gain: Tensor

    def __init__(self, mean: Tensor, gain: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("gain", gain)

    @classmethod
    def identity(cls, shape: tuple[int, int, int]) -> "InputScaling":
        """Leave every pixel as it is."""
        return cls(torch.zeros(shape), torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channel, height, width)`` to the same shape."""
        return (x - self.mean) * self.gain
