"""The network that is trained on a diagnosis: the encoder of an autoencoder, and a linear head on its features."""

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from kotowari.networks.autoencoder3d import Autoencoder3d
from kotowari.studies.brain.model.autoencoder_network import BrainFeatures, Extraction, Residual

__all__ = ["BrainClassifier"]


@final
class BrainClassifier(BrainFeatures):
    r"""Scores of classes from a volume.

    .. math:: f = \frac{W z}{\sqrt{p}} + b, \quad z \text{ the } p \text{ values of the coarse map}

    The head begins with zeros, so that the first answer is an equal share for every class. Without the root one step of
    the optimiser, which moves all weights by as much, would change the scores in proportion to the number of features,
    and so to the size of the volumes. The decoder of the network is never run, and stays as it is.

    Parameters
    ----------
    network
        The autoencoder whose encoder is learned; no variational one.
    mask, mean, sd, residual, mask_ratio, extraction
        As in :class:`BrainFeatures`.
    n_classes
        2 or more.
    """

    def __init__(
        self,
        network: Autoencoder3d,
        mask: Tensor,
        mean: Tensor,
        sd: float,
        *,
        n_classes: int,
        residual: Residual = "mean",
        mask_ratio: float = 0.0,
        extraction: Extraction = "map",
    ) -> None:
        super().__init__(network, mask, mean, sd, residual=residual, mask_ratio=mask_ratio, extraction=extraction)
        for part in (network.decoders, network.head):
            part.requires_grad_(False)
        self.weight = nn.Parameter(torch.zeros(n_classes, math.prod(network.feature_shape(tuple(mask.shape)))))
        self.bias = nn.Parameter(torch.zeros(n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, 1, *box) -> (batch, class)``."""
        scaled = self.weight / math.sqrt(self.weight.shape[1])
        return functional.linear(self.latent(self._seen(x)), scaled, self.bias).float()
