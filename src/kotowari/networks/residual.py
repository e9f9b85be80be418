"""A small residual network for images whose positions have names."""

from math import ceil
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from kotowari.core.errors import ShapeError
from kotowari.networks.pairs import PairedHead
from kotowari.networks.scaling import InputScaling

__all__ = ["ResidualNetwork"]

_GRID = 8  # positions along the longer side of the last feature maps


@final
class ResidualNetwork(nn.Module):
    r"""Two residual blocks beside the untouched pixels, read out by one weight a channel and position.

    A photograph may be shifted, an image of genes may not: its positions are genes. So nothing is averaged over space;
    the last feature maps hold, beside the convolved ones, all pixels themselves (folded into channels), and the head
    has its own weight everywhere. With the convolutions silenced it is multinomial logistic regression on the pixels.

    There is no normalisation layer: each of them makes the output jump near the mean image, where integrated gradients
    begin, and two short blocks that start as their shortcuts train without.

    Parameters
    ----------
    scaling
        First step, fitted on the training images; its ``mean`` tells the input shape ``(channel, height, width)``.
    n_outputs
        Number of scores, 1 or more.
    width
        Channels of the first convolution, 1 or more; the blocks have twice and four times as many.
    dropout
        Share of features left out in training, 0 up to but not including 1.
    pairs
        Pixels whose products are offered to the head, as flat indices ``(pair, 2)`` into ``(channel, height, width)``,
        and the scale ``(pair,)`` of each product. None for no products.

    Raises
    ------
    ShapeError
        When a pair names a pixel that is not there.

    Source: our own arrangement of He et al. 2016, CVPR (residual blocks) and Zhang et al. 2019, ICLR (blocks that start
    at zero in place of normalisation).
    """

    def __init__(
        self,
        scaling: InputScaling,
        n_outputs: int,
        *,
        width: int = 8,
        dropout: float = 0.3,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        channels, height, rows = scaling.mean.shape
        cell = max(2, 2 * round(max(height, rows) / (2 * _GRID)))
        grid = (ceil(height / cell), ceil(rows / cell))
        self.body = _PixelsAndBlocks(scaling, cell, grid, width)
        n_features = 4 * width + channels * cell**2
        pixels, scales = pairs or (torch.zeros((0, 2), dtype=torch.long), torch.zeros(0))
        self.dropout = nn.Dropout(dropout)
        placed = _folded_index(pixels, (channels, height, rows), cell, grid) + 4 * width * grid[0] * grid[1]
        self.head = PairedHead(n_features, n_outputs, grid, placed, scales)
        with torch.no_grad():
            weight = self.head.located.linear.weight.view(n_outputs, n_features, -1)
            weight[:, 4 * width :] = 0.0  # the pixels' own path starts silent, as logistic regression does

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channel, height, width) -> (batch, n_outputs)``."""
        scores: Tensor = self.head(self.dropout(self.body(x)))
        return scores


class _PixelsAndBlocks(nn.Module):
    """Convolved features and, behind them, the scaled pixels folded into channels."""

    def __init__(self, scaling: InputScaling, cell: int, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        channels = scaling.mean.shape[0]
        self.scaling = scaling
        self.cell, self.padded = cell, (grid[0] * cell, grid[1] * cell)
        patch = cell // 2
        self.stem = nn.Conv2d(channels, width, patch, stride=patch)
        self.blocks = nn.Sequential(_Block(width, 2 * width, stride=2), _Block(2 * width, 4 * width, stride=1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = functional.pad(self.scaling(x), (0, self.padded[1] - width, 0, self.padded[0] - height))
        convolved = self.blocks(self.stem(x).relu())
        return torch.cat([convolved, functional.pixel_unshuffle(x, self.cell)], dim=1)


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; the second starts at zero, so that the block starts as its shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.second.weight)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = (self.second(self.first(x).relu()) + self.shortcut(self.pool(x))).relu()
        return summed


def _folded_index(flat: Tensor, shape: tuple[int, int, int], cell: int, grid: tuple[int, int]) -> Tensor:
    """Where the pixel ``flat`` of ``shape`` stands after ``pixel_unshuffle``, as a flat index of its output."""
    outside = flat[(flat < 0) | (flat >= shape[0] * shape[1] * shape[2])]
    if len(outside):
        raise ShapeError(f"ResidualNetwork: pairs name pixel {int(outside[0])}, but images have the shape {shape}.")
    channel, row, column = flat // (shape[1] * shape[2]), flat // shape[2] % shape[1], flat % shape[2]
    folded = (channel * cell + row % cell) * cell + column % cell
    return (folded * grid[0] + row // cell) * grid[1] + column // cell
