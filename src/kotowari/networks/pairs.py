"""Products of a few pairs of features: the smallest network part that can see two genes act together."""

from typing import final

import torch
from torch import Tensor, nn

from kotowari.core.errors import ShapeError
from kotowari.networks.heads import LocatedHead

__all__ = ["PairedHead"]


@final
class PairedHead(nn.Module):
    r"""A position-wise linear map plus weighted products of chosen pairs of features.

    .. math:: s_c = b_c + \sum_i w_{ci} f_i + \sum_{(i, j)} v_{cij}\, r_{ij} f_i f_j

    :math:`f` are the flattened feature maps and :math:`r_{ij}` fixed scales. A product belongs to two places, so a
    class map gives each of them half; its mean over space plus the bias is the output, as for the linear heads.

    Parameters
    ----------
    in_channels, n_outputs, shape
        As in :class:`kotowari.networks.LocatedHead`.
    pairs
        Indices into the flattened feature maps, shape ``(pair, 2)``, 0 up to their number; may be empty.
    scales
        :math:`r_{ij}`, shape ``(pair,)``, which brings the products to one spread.

    Raises
    ------
    ShapeError
        When pairs and scales differ in length, or a pair names a feature that is not there.

    Source: the idea of a screened, sparse quadratic term is our own.
    """

    pairs: Tensor
    scales: Tensor

    def __init__(self, in_channels: int, n_outputs: int, shape: tuple[int, int], pairs: Tensor, scales: Tensor) -> None:
        super().__init__()
        if pairs.shape != (len(scales), 2):
            raise ShapeError.mismatch("PairedHead", "pairs", (len(scales), 2), pairs.shape)
        n_features = in_channels * shape[0] * shape[1]
        if ((pairs < 0) | (pairs >= n_features)).any():
            found = f"{int(pairs.min())} to {int(pairs.max())}"
            raise ShapeError(f"PairedHead: pairs must name features from 0 to {n_features - 1}, got {found}.")
        self.located = LocatedHead(in_channels, n_outputs, shape)
        self.register_buffer("pairs", pairs)
        self.register_buffer("scales", scales)
        self.pair_weight = nn.Parameter(torch.zeros(n_outputs, len(scales)))

    def reset_parameters(self) -> None:
        """Silence the products, as at birth; the linear part resets itself."""
        nn.init.zeros_(self.pair_weight)

    @property
    def bias(self) -> Tensor:
        """What every sample is given, whatever its features; shape ``(n_outputs,)``."""
        return self.located.bias

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, in_channels, height, width) -> (batch, n_outputs)``."""
        linear: Tensor = self.located(features)
        return linear + self._products(features) @ self.pair_weight.T

    def class_maps(self, features: Tensor) -> Tensor:
        """``(batch, in_channels, height, width) -> (batch, n_outputs, height, width)``, in output units."""
        maps = self.located.class_maps(features)
        height, width = features.shape[-2:]
        half = 0.5 * height * width * torch.einsum("bp,cp->bcp", self._products(features), self.pair_weight)
        flat = maps.flatten(2)
        for side in (0, 1):
            place = (self.pairs[:, side] % (height * width)).expand_as(half)
            flat = flat.scatter_add(2, place, half)
        return flat.view_as(maps)

    def _products(self, features: Tensor) -> Tensor:
        flat = features.flatten(1)
        return flat[:, self.pairs[:, 0]] * flat[:, self.pairs[:, 1]] * self.scales
