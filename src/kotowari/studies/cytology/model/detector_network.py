"""The network of the cell detector: a dual-frame U-Net on pixels folded two by two."""

from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from kotowari.networks.unet import UNet

__all__ = ["FoldedUNet", "map_image"]

FloatImage = npt.NDArray[np.float32]

_TILE = 1536  # px; a larger image goes through in pieces
_MARGIN = 144  # px; farther than the network reaches, and a multiple of every pooling


@final
class FoldedUNet(nn.Module):
    """A dual-frame U-Net that works at half the resolution: each 2 x 2 pixels are channels of one position.

    Four times as fast as the same U-Net on the pixels, with as sharp an output, since each of the 2 x 2 has a channel
    of its own there too.

    Parameters
    ----------
    channels
        Of the image.
    width
        Channels of the first level, 1 or more.
    depth
        Poolings, 1 or more.

    Source: Shi et al. 2016, CVPR (sub-pixel convolution); :class:`kotowari.networks.unet.UNet`.
    """

    def __init__(self, channels: int, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.net = UNet(2, 4 * channels, 4, width=width, depth=depth, dual_frame=True)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channel, height, width) -> (batch, 1, height, width)``, any real number (a logit)."""
        height, width = x.shape[2:]
        even = functional.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        folded = functional.pixel_unshuffle(even, 2).contiguous(memory_format=torch.channels_last)
        return functional.pixel_shuffle(self.net(folded), 2)[..., :height, :width]


@torch.inference_mode()
def map_image(network: nn.Module, image: FloatImage, device: str = "cpu", tile: int = _TILE) -> FloatImage:
    """Run a network over one image, in overlapping tiles where it is large.

    Parameters
    ----------
    network
        In eval mode; maps ``(1, channel, height, width)`` to ``(1, output, height, width)``.
    image
        Shape ``(channel, height, width)``.
    device
        Where the network is.
    tile
        Longest side that goes through in one piece, a multiple of 16.

    Returns
    -------
    ndarray
        Shape ``(output, height, width)``, float32.
    """
    height, width = image.shape[1:]
    rows = []
    for top in range(0, height, tile):
        row = []
        for left in range(0, width, tile):
            low, high = max(top - _MARGIN, 0), max(left - _MARGIN, 0)
            piece = torch.as_tensor(
                np.ascontiguousarray(image[:, low : top + tile + _MARGIN, high : left + tile + _MARGIN])
            )
            found = network(piece[None].to(device))[0]
            row.append(found[:, top - low : top - low + tile, left - high : left - high + tile].float().cpu())
        rows.append(torch.cat(row, 2))
    mapped: FloatImage = torch.cat(rows, 1).numpy()
    return mapped
