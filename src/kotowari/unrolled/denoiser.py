"""A network in place of a proximal map: plug and play."""

from typing import final

from torch import Tensor, nn

from kotowari.core.errors import ShapeError
from kotowari.solvers.protocols import Step

__all__ = ["Denoiser"]


@final
class Denoiser(nn.Module):
    r"""Offers ``prox`` and nothing else: a denoiser has no value to report.

    Whoever holds it also trains, moves and saves ``network``. As :math:`(1 - a) x + a N(x)` with a below 1 and a
    network that never moves two inputs apart, it is an averaged map, and plug-and-play iterations settle.

    Parameters
    ----------
    network
        Maps ``(batch, channel, *space)`` to the same shape.
    residual
        Whether the network gives the noise, to be taken off its input, rather than the clean image.
    share
        a, the share of the network in the output, above 0 and at most 1.

    Source: Venkatakrishnan, Bouman and Wohlberg 2013, GlobalSIP; averaged maps: Sun, Wohlberg and Kamilov 2019, IEEE
    TCI 5(3).
    """

    def __init__(self, network: nn.Module, *, residual: bool = False, share: float = 1.0) -> None:
        super().__init__()
        self.network, self.residual, self.share = network, residual, share

    def prox(self, x: Tensor, step: Step) -> Tensor:  # noqa: ARG002  # its strength is the one it was trained for
        """Denoise ``x``; a denoiser of fixed strength has no use for ``step``."""
        out: Tensor = self.network(x)
        if out.shape != x.shape:
            raise ShapeError.mismatch("Denoiser", "output of the network", x.shape, out.shape)
        clean = x - out if self.residual else out
        return clean if self.share == 1.0 else (1.0 - self.share) * x + self.share * clean
