"""What the network sees of a frame: its contrast against the surroundings, whatever the display did to it."""

from math import ceil
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["LocalContrast"]

_RANGE = 6.0
_LEAST_SHARE = 0.5


@final
class LocalContrast(nn.Module):
    r"""Attenuation less its surroundings, over the local spread.

    .. math:: z = \frac{y - \bar y}{\max(s, s_0 / 2)}, \quad \bar y = \frac{G_\sigma * (m y)}{G_\sigma * m}, \quad
        s^2 = \frac{G_{2\sigma} * (m (y - \bar y)^2)}{G_{2\sigma} * m}

    where m is 1 inside the field of view, :math:`s_0` is the spread over the whole field, and the result is clipped to
    :math:`\pm 6`. A factor or an offset on y changes nothing, so attenuation and displays without a logarithm look
    alike. Outside of the field the result is 0. Gaussians are computed on a coarser grid.

    Parameters
    ----------
    sigma
        Width of the surroundings in pixels, 1 or more.
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma
        self.cell = max(1, int(sigma / 3))

    def forward(self, frames: Tensor, field: Tensor) -> Tensor:
        """``(batch, 1, height, width)`` with ``field`` of 0 and 1 in a shape that broadcasts to it."""
        weight = field.to(frames.dtype).expand_as(frames)
        # an offset as large as that of a logarithm would cost the digits that the squares below need
        inside = weight.mean((2, 3), keepdim=True).clamp_min(1e-6)
        frames = frames - (frames * weight).mean((2, 3), keepdim=True) / inside
        high = (frames - self._mean(frames, weight, 1.0)) * weight
        local = self._mean(high.square(), weight, 2.0)
        whole = high.square().sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp_min(1)
        spread = torch.maximum(local, _LEAST_SHARE**2 * whole).clamp_min(1e-12).sqrt()
        return (high / spread).clamp(-_RANGE, _RANGE)

    def _mean(self, values: Tensor, weight: Tensor, factor: float) -> Tensor:
        height, width = values.shape[2:]
        both = torch.cat([values * weight, weight])
        coarse = functional.avg_pool2d(both, self.cell, ceil_mode=True, count_include_pad=False)
        coarse = _gaussian(coarse, factor * self.sigma / self.cell)
        mean = coarse[: len(values)] / coarse[len(values) :].clamp_min(1e-6)
        fine = functional.interpolate(mean, scale_factor=self.cell, mode="bilinear", align_corners=False)
        return fine[..., :height, :width]


def _gaussian(x: Tensor, sigma: float) -> Tensor:
    reach = ceil(3 * sigma)
    places = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (places / sigma) ** 2)
    kernel = kernel / kernel.sum()
    x = functional.conv2d(x, kernel[None, None, :, None], padding=(reach, 0))
    return functional.conv2d(x, kernel[None, None, None, :], padding=(0, reach))
