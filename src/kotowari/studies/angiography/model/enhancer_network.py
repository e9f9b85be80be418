"""The network that enhances vessels: local contrast, then a fast U-Net."""

from typing import final

import torch
from torch import Tensor, nn

from kotowari.networks.fast_unet import FastUNet
from kotowari.studies.angiography.model.enhancer_input import LocalContrast

__all__ = ["VesselNetwork"]


@final
class VesselNetwork(nn.Module):
    """Frames and their field of view in, scores (logits) of "vessel" out.

    Parameters
    ----------
    n_frames
        Neighbouring frames that are seen together, odd; each is brought to its own local contrast.
    widths
        Channels of the levels of :class:`kotowari.networks.fast_unet.FastUNet`.
    sigma
        Width of the surroundings that a pixel is compared with, in pixels.
    """

    def __init__(self, n_frames: int, widths: tuple[int, ...], sigma: float) -> None:
        super().__init__()
        self.n_frames = n_frames
        self.contrast = LocalContrast(sigma)
        self.net = FastUNet(n_frames, 1, widths=widths)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, n_frames + 1, height, width) -> (batch, 1, height, width)``; the last channel is the field."""
        frames, field = x[:, :-1], x[:, -1:]
        seen = torch.cat([self.contrast(frames[:, [k]], field) for k in range(self.n_frames)], 1)
        scores: Tensor = self.net(seen)
        return scores
