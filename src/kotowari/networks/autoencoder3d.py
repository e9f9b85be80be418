"""A three-dimensional convolutional autoencoder for volumes of any size."""

from typing import Any, Literal, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.networks.slabwise import (
    convolve_from_one,
    double_relu_to_one,
    norm_relu_convolve,
    norm_relu_pool,
    works_in_slabs,
)

__all__ = ["Autoencoder3d", "Stem"]

Stem = Literal["plain", "strided"]


@final
class Autoencoder3d(nn.Module):
    r"""Blocks of two convolutions and a pool, and their mirror image; every layer has the same number of channels.

    Encoder, per block: (convolution of 3 voxels an axis, batch norm, ReLU) twice, then the maximum of 2 voxels an axis.
    Decoder, per block: transposed convolution of 2 voxels with a stride of 2, ReLU, convolution, batch norm, ReLU; the
    last convolution leads to one channel and stands alone. 3 blocks of 16 channels have 55,697 parameters.

    Volumes are continued by zeros on both sides up to a multiple of ``2**n_blocks``, and the output is cropped at the
    same places, so that it always lies on the input's grid; where the sides are multiples already, nothing is added.
    No feature map has fewer than two positions an axis: convolutions in bfloat16 whose stride leads onto an axis of
    one position are wrong on some processors (pytorch/pytorch#169688).

    Parameters
    ----------
    n_blocks
        Halvings of each axis, 1 or more.
    n_channels
        Channels of every layer, 1 or more.
    stem
        ``"strided"``: the first convolution has a stride of 2 and stands in for the first pool, and the last layer is
        one transposed convolution of 4 voxels, so that no layer of all channels is computed on the full grid.
    variational
        Learn mean and log variance of each feature; in train mode :meth:`forward` decodes a draw, in eval mode the
        mean.

    Raises
    ------
    InputError
        When one of them is out of range.

    Source: Yamaguchi et al. 2021, Front. Neurosci. 15:652987 (blocks of two convolutions and one pool, no diagnosis).
    Kernel size, norms, decoder, padding and both options are ours: the paper releases no code.

    Examples
    --------
    >>> network = Autoencoder3d(2, 4)
    >>> network(torch.zeros(1, 1, 13, 9, 11)).shape, network.feature_shape((13, 9, 11))
    (torch.Size([1, 1, 13, 9, 11]), (4, 4, 3, 3))
    """

    def __init__(
        self, n_blocks: int = 3, n_channels: int = 16, *, stem: Stem = "plain", variational: bool = False
    ) -> None:
        super().__init__()
        bounds = {
            "n_blocks": (n_blocks, n_blocks >= 1),
            "n_channels": (n_channels, n_channels >= 1),
            "stem": (stem, stem in {"plain", "strided"}),
        }
        for name, (value, fits) in bounds.items():
            if not fits:
                raise InputError(f"Autoencoder3d: {name} = {value!r} is out of range. See its description.")
        self.n_blocks, self.n_channels, self.stem, self.variational = n_blocks, n_channels, stem, variational
        strided = stem == "strided"
        self.encoders = nn.ModuleList(
            _Halving(1 if block == 0 else n_channels, n_channels, strided=strided and block == 0)
            for block in range(n_blocks)
        )
        self.spread = nn.Conv3d(n_channels, 2 * n_channels, 1) if variational else None
        self.decoders = nn.ModuleList(_Doubling(n_channels) for _ in range(n_blocks - 1))
        self.head = _strided_head(n_channels) if strided else _PlainHead(n_channels)

    def feature_shape(self, space: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return the shape of one volume's features, ``(channel, *coarse space)``, for volumes of shape ``space``."""
        depth, height, width = (length >> self.n_blocks for length in self._padded_space(space))
        return self.n_channels, depth, height, width

    def encode(self, x: Tensor) -> Tensor:
        """``(batch, 1, depth, height, width) -> (batch, channel, *coarse space)``; their mean if variational.

        Raises
        ------
        ShapeError
            When the input has another number of axes or channels, or an empty axis.
        """
        features = self._encoded(x)
        return features if self.spread is None else self.spread(features).chunk(2, dim=1)[0]

    def extremes(self, x: Tensor) -> Tensor:
        """Return the largest and the smallest value of each coarse voxel before the last rectifier.

        ``(batch, 1, depth, height, width) -> (batch, 2 * channel, *coarse space)``, the largest first: rectified, they
        are what :meth:`encode` gives.

        Raises
        ------
        CapabilityError
            When the last block pools nothing, or the network is variational.
        """
        *first, last = self.encoders
        layers = list(cast("nn.Sequential", last))
        if self.spread is not None or not isinstance(layers[-1], nn.MaxPool3d):
            raise CapabilityError("Autoencoder3d: only a plain last block that ends in a pool has extremes.")
        x = self._padded(x)
        for encoder in first:
            x = encoder(x)
        for layer in layers[:-2]:
            x = layer(x)
        return torch.cat([functional.max_pool3d(x, 2), -functional.max_pool3d(-x, 2)], dim=1)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the features of ``x``, each as from :meth:`encode`.

        Raises
        ------
        CapabilityError
            When the network is not variational.
        """
        if self.spread is None:
            raise CapabilityError("Autoencoder3d: only a network with variational=True has a posterior.")
        mean, log_variance = self.spread(self._encoded(x)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, features: Tensor, shape: tuple[int, ...]) -> Tensor:
        """``(batch, channel, *coarse space) -> (batch, 1, *shape)``.

        Raises
        ------
        ShapeError
            When volumes of this shape have features of another.
        """
        own = self.feature_shape(shape)
        if features.ndim != 5 or tuple(features.shape[1:]) != own:
            raise ShapeError.mismatch("Autoencoder3d", "features", ("batch", *own), features.shape)
        for decoder in self.decoders:
            features = decoder(features)
        output: Tensor = self.head(features)
        for axis, side in enumerate(shape, start=2):
            output = output.narrow(axis, (output.shape[axis] - side) // 2, side)
        return output

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, 1, depth, height, width)`` to the same shape."""
        space = tuple(x.shape[2:])
        if self.training and self.variational:
            return self.decode(drawn(*self.posterior(x)), space)
        return self.decode(self.encode(x), space)

    def _encoded(self, x: Tensor) -> Tensor:
        x = self._padded(x)
        for encoder in self.encoders:
            x = encoder(x)
        return x

    def _padded(self, x: Tensor) -> Tensor:
        if x.ndim != 5 or x.shape[1] != 1 or 0 in x.shape[2:]:
            raise ShapeError.mismatch("Autoencoder3d", "input", ("batch", 1, "depth", "height", "width"), x.shape)
        padding: list[int] = []
        for side, length in zip(x.shape[2:], self._padded_space(tuple(x.shape[2:])), strict=True):
            before = (length - side) // 2
            padding = [before, length - side - before, *padding]
        return functional.pad(x, padding) if any(padding) else x

    def _padded_space(self, space: tuple[int, ...]) -> tuple[int, ...]:
        multiple = 1 << self.n_blocks
        return tuple(max(2, -(-side // multiple)) * multiple for side in space)


def drawn(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Draw from independent normal distributions, so that gradients reach their mean and variance."""
    return mean + torch.randn_like(mean) * (0.5 * log_variance).exp()


class _Halving(nn.Sequential):
    """Two convolutions, then the maximum of 2 voxels an axis; or a first convolution with a stride, and no maximum."""

    def __init__(self, in_channels: int, n_channels: int, *, strided: bool) -> None:
        pool: list[nn.Module] = [] if strided else [nn.MaxPool3d(2)]
        super().__init__(
            *_convolution(in_channels, n_channels, stride=2 if strided else 1),
            *_convolution(n_channels, n_channels),
            *pool,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Halve every side; in training on large volumes what lies between the layers is not kept."""
        layers: Any = list(self)
        first, norm, _, second, last_norm, *rest = layers
        if not works_in_slabs(x, norm, last_norm):
            return _one_by_one(self, x)
        from_one = first.in_channels == 1 and first.stride == (1, 1, 1)
        x = norm_relu_convolve(convolve_from_one(x, first) if from_one else first(x), norm, second)
        if len(rest) == 2:
            return norm_relu_pool(x, last_norm)
        found: Tensor = rest[0](last_norm(x))
        return found


class _Doubling(nn.Sequential):
    """A transposed convolution to twice the side, then a convolution."""

    def __init__(self, n_channels: int) -> None:
        super().__init__(
            nn.ConvTranspose3d(n_channels, n_channels, 2, stride=2),
            nn.ReLU(inplace=True),
            *_convolution(n_channels, n_channels),
        )


class _PlainHead(nn.Sequential):
    """A transposed convolution to twice the side, then a convolution to one channel."""

    def __init__(self, n_channels: int) -> None:
        super().__init__(
            nn.ConvTranspose3d(n_channels, n_channels, 2, stride=2),
            nn.ReLU(inplace=True),
            # with a stride of 1 the transposed convolution is a convolution with its kernel mirrored; from many
            # channels to one its backward pass costs a third on a CPU
            nn.ConvTranspose3d(n_channels, 1, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Double every side; in training on large volumes nothing of the full grid is kept."""
        if not (self.training and works_in_slabs(x, growth=8)):
            return _one_by_one(self, x)
        up, _, last = cast("list[nn.ConvTranspose3d]", list(self))
        return double_relu_to_one(x, up, last)


def _one_by_one(layers: nn.Sequential, x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _strided_head(n_channels: int) -> nn.Sequential:
    return nn.Sequential(
        *_convolution(n_channels, n_channels), nn.ConvTranspose3d(n_channels, 1, 4, stride=2, padding=1)
    )


def _convolution(in_channels: int, out_channels: int, *, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv3d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm3d(out_channels),
        nn.ReLU(inplace=True),
    ]
