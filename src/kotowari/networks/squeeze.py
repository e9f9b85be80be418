"""A SqueezeNet-like network, small enough to be trained from scratch."""

from typing import final

import torch
from torch import Tensor, nn

from kotowari.networks.heads import AverageHead
from kotowari.networks.scaling import InputScaling, require_sides

__all__ = ["SqueezeNetwork"]

_SMALLEST_SIDE = 16


@final
class SqueezeNetwork(nn.Module):
    r"""Fire modules and a mean over space, the network behind DeepFeature's class activation maps.

    The mean makes the output blind to *where* a pattern lies, which in an image of genes is to be blind to which genes
    it is made of; it is here because the published method uses it, and as a comparison.

    Parameters
    ----------
    scaling
        First step; its ``mean`` tells the input shape ``(channel, height, width)``, 16 pixels or more a side.
    n_outputs
        Number of scores, 1 or more.
    width
        Channels of the first convolution, a multiple of 4.

    Raises
    ------
    ShapeError
        When the images are smaller.

    Source: Iandola et al. 2016, arXiv:1602.07360; fewer modules, and group norm in place of none.
    """

    def __init__(self, scaling: InputScaling, n_outputs: int, *, width: int = 16) -> None:
        super().__init__()
        require_sides(self, scaling, _SMALLEST_SIDE)
        self.body = nn.Sequential(
            scaling,
            nn.Conv2d(scaling.mean.shape[0], width, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(4, width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            _Fire(width, width // 4, width),
            _Fire(2 * width, width // 4, width),
            nn.MaxPool2d(2),
            _Fire(2 * width, width // 2, 2 * width),
        )
        self.head = AverageHead(4 * width, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channel, height, width) -> (batch, n_outputs)``."""
        scores: Tensor = self.head(self.body(x))
        return scores


class _Fire(nn.Module):
    """Squeeze to few channels, expand by 1 x 1 and 3 x 3; gives ``2 * expand`` channels."""

    def __init__(self, in_channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.one = nn.Conv2d(squeeze, expand, 1)
        self.three = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.norm = nn.GroupNorm(4, 2 * expand)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze(x).relu()
        expanded: Tensor = self.norm(torch.cat([self.one(squeezed), self.three(squeezed)], dim=1)).relu()
        return expanded
