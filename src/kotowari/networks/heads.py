"""The last step of an image network: feature maps to outputs, in a form that can be read back as class maps."""

from typing import final

import torch
from torch import Tensor, nn

from kotowari.core.errors import ShapeError

__all__ = ["AverageHead", "LocatedHead"]


@final
class AverageHead(nn.Module):
    r"""Mean over space, then a linear map: one weight a channel, the same at every position.

    .. math:: s_c = b_c + \frac{1}{hw} \sum_{x, y} \sum_k w_{ck} f_k(x, y)

    Parameters
    ----------
    in_channels
        Number k of feature maps, 1 or more.
    n_outputs
        Number c of outputs, 1 or more.

    Source: Zhou et al. 2016, CVPR (class activation mapping).
    """

    def __init__(self, in_channels: int, n_outputs: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.linear = nn.Linear(in_channels, n_outputs)

    @property
    def bias(self) -> Tensor:
        """What every sample is given, whatever its features; shape ``(n_outputs,)``."""
        return self.linear.bias

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, in_channels, height, width) -> (batch, n_outputs)``."""
        _require_features(self, features, (self.in_channels, "height", "width"))
        outputs: Tensor = self.linear(features.mean((2, 3)))
        return outputs

    def class_maps(self, features: Tensor) -> Tensor:
        r"""Return :math:`M_c(x, y) = \sum_k w_{ck} f_k(x, y)`, whose mean over space plus the bias is the output.

        ``(batch, in_channels, height, width) -> (batch, n_outputs, height, width)``, in output units.
        """
        _require_features(self, features, (self.in_channels, "height", "width"))
        return torch.einsum("ck,bkhw->bchw", self.linear.weight, features)


@final
class LocatedHead(nn.Module):
    r"""A linear map of the flattened feature maps: one weight a channel and position.

    .. math:: s_c = b_c + \sum_{x, y} \sum_k w_{ck}(x, y) f_k(x, y)

    Parameters
    ----------
    in_channels
        Number k of feature maps, 1 or more.
    n_outputs
        Number c of outputs, 1 or more.
    shape
        Height and width of the feature maps.
    """

    def __init__(self, in_channels: int, n_outputs: int, shape: tuple[int, int]) -> None:
        super().__init__()
        height, width = shape
        self.feature_shape = (in_channels, height, width)
        self.linear = nn.Linear(in_channels * height * width, n_outputs)

    @property
    def bias(self) -> Tensor:
        """What every sample is given, whatever its features; shape ``(n_outputs,)``."""
        return self.linear.bias

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, in_channels, height, width) -> (batch, n_outputs)``."""
        _require_features(self, features, self.feature_shape)
        outputs: Tensor = self.linear(features.flatten(1))
        return outputs

    def class_maps(self, features: Tensor) -> Tensor:
        r"""Return :math:`M_c(x, y) = hw \sum_k w_{ck}(x, y) f_k(x, y)`.

        The factor hw makes the mean over space plus the bias the output, as in :class:`AverageHead`.
        ``(batch, in_channels, height, width) -> (batch, n_outputs, height, width)``, in output units.
        """
        _require_features(self, features, self.feature_shape)
        _, height, width = self.feature_shape
        weights = self.linear.weight.reshape(-1, *self.feature_shape)
        return height * width * torch.einsum("ckhw,bkhw->bchw", weights, features)


def _require_features(head: nn.Module, features: Tensor, expected: tuple[int | str, ...]) -> None:
    fits = features.ndim == 4 and all(
        wanted == size for wanted, size in zip(expected, features.shape[1:], strict=True) if isinstance(wanted, int)
    )
    if not fits:
        raise ShapeError.mismatch(type(head).__name__, "features", ("batch", *expected), features.shape)
