"""The first step of an image network: every pixel centred and weighted by constants of the training images."""

from typing import final

import torch
from torch import Tensor, nn

from kotowari.core.errors import ShapeError

__all__ = ["InputScaling", "require_sides"]


@final
class InputScaling(nn.Module):
    r"""Centre and weight each pixel, :math:`z = (x - m) \cdot g`; both constants are saved with the network.

    Parameters
    ----------
    mean, gain
        Shape ``(channel, height, width)``; input units and 1 / input units. A gain of 0 silences a pixel.

    Raises
    ------
    ShapeError
        When mean and gain, or an image and the mean, differ in shape: torch would silently repeat the smaller one.
    """

    mean: Tensor
    gain: Tensor

    def __init__(self, mean: Tensor, gain: Tensor) -> None:
        super().__init__()
        if mean.shape != gain.shape:
            raise ShapeError.mismatch("InputScaling", "gain", mean.shape, gain.shape)
        self.register_buffer("mean", mean)
        self.register_buffer("gain", gain)

    @classmethod
    def identity(cls, shape: tuple[int, int, int]) -> "InputScaling":
        """Leave every pixel as it is."""
        return cls(torch.zeros(shape), torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channel, height, width)`` to the same shape."""
        if x.shape[1:] != self.mean.shape:
            raise ShapeError.mismatch("InputScaling", "images", ("batch", *self.mean.shape), x.shape)
        return (x - self.mean) * self.gain


def require_sides(network: nn.Module, scaling: InputScaling, least: int) -> None:
    """Raise :class:`ShapeError` when images have fewer than ``least`` pixels along a side."""
    height, width = scaling.mean.shape[1:]
    if min(height, width) < least:
        raise ShapeError(
            f"{type(network).__name__}: images need {least} pixels or more a side, got {height} x {width}. "
            "Choose a larger frame or another network."
        )
