"""The network of the DeepInsight paper: two parallel branches with small and large kernels."""

from typing import Literal, final

from torch import Tensor, nn

from kotowari.networks.heads import LocatedHead
from kotowari.networks.scaling import InputScaling, require_sides

__all__ = ["TwoBranchNetwork"]

_DEPTH = 4


@final
class TwoBranchNetwork(nn.Module):
    r"""Two branches of four convolutions, added, pooled and read out position by position.

    Each branch is four times convolution, normalisation, ReLU with F, 2F, 4F and 8F filters, and a maximum over 2 x 2
    pixels between them. The published network normalises over the batch; ``norm="group"`` is for small batches.

    Parameters
    ----------
    scaling
        First step; its ``mean`` tells the input shape ``(channel, height, width)``, 16 pixels or more a side.
    n_outputs
        Number of scores, 1 or more.
    filters
        F, the filters of the first layer; the paper searches 2 to 16.
    kernels
        Width of the convolution kernels of the two branches in pixels; the paper searches 2-10 and 4-30.
    norm
        ``"batch"`` as published, or ``"group"`` (F must be even).

    Raises
    ------
    ShapeError
        When the images are smaller.

    Source: Sharma et al. 2019, Sci. Rep. 9:11399, fig. 2 and the released MATLAB code, version 1.
    """

    def __init__(
        self,
        scaling: InputScaling,
        n_outputs: int,
        *,
        filters: int = 4,
        kernels: tuple[int, int] = (3, 9),
        norm: Literal["batch", "group"] = "group",
    ) -> None:
        super().__init__()
        shrink = 2**_DEPTH  # three maxima between the layers and the average at the end
        require_sides(self, scaling, shrink)
        channels, height, width = scaling.mean.shape
        self.body = _TwoBranches(scaling, [_branch(channels, filters, kernel, norm) for kernel in kernels])
        self.head = LocatedHead(8 * filters, n_outputs, (height // shrink, width // shrink))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channel, height, width) -> (batch, n_outputs)``."""
        scores: Tensor = self.head(self.body(x))
        return scores


class _TwoBranches(nn.Module):
    def __init__(self, scaling: InputScaling, branches: list[nn.Sequential]) -> None:
        super().__init__()
        self.scaling = scaling
        self.branches = nn.ModuleList(branches)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.scaling(x)
        first, second = (branch(x) for branch in self.branches)
        pooled: Tensor = self.pool(first + second)
        return pooled


def _branch(channels: int, filters: int, kernel: int, norm: Literal["batch", "group"]) -> nn.Sequential:
    layers: list[nn.Module] = []
    before, after = (kernel - 1) // 2, kernel // 2
    for depth in range(_DEPTH):
        out = filters * 2**depth
        if before != after:  # an even kernel: torch pads it too, with a warning at every user
            layers.append(nn.ZeroPad2d((before, after, before, after)))
        layers += [
            nn.Conv2d(channels, out, kernel, padding=before if before == after else 0, bias=False),
            nn.BatchNorm2d(out) if norm == "batch" else nn.GroupNorm(2, out),
            nn.ReLU(),
        ]
        if depth < _DEPTH - 1:
            layers.append(nn.MaxPool2d(2))
        channels = out
    return nn.Sequential(*layers)
