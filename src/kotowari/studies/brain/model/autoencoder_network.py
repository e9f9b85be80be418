"""The network that is trained: an autoencoder around the mean training brain, and its loss in the mask."""

from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from kotowari.networks.autoencoder3d import Autoencoder3d, drawn

__all__ = ["BrainFeatures", "BrainReconstruction", "Extraction", "ReconstructionError", "Residual"]

Residual = Literal["none", "mean"]
Extraction = Literal["map", "extremes"]


class BrainFeatures(nn.Module):
    r"""Features of a volume, as the encoder of an autoencoder makes them of what differs from the mean training brain.

    .. math:: z = E\big((x - m) / s\big)

    With ``residual="mean"``, :math:`m` is the mean training brain and :math:`s` the deviation of training brains from
    it; with ``"none"`` the encoder sees :math:`x` itself. Voxels outside of the mask never enter.

    Parameters
    ----------
    network
        The autoencoder.
    mask
        Shape ``(depth, height, width)``.
    mean
        Shape ``(voxel,)``, in the mask.
    sd
        :math:`s`, above 0.
    residual
        ``"mean"`` or ``"none"``.
    mask_ratio
        Share of the cubes of ``2**(n_blocks - 1)`` voxels that are hidden from the network while it is trained, behind
        the mean brain; 0 up to 1.
    extraction
        What features are: ``"map"``, the coarse map that the decoder starts from; ``"extremes"``, the largest and the
        smallest value in each of its voxels before they are rectified and the smaller ones thrown away.
    """

    def __init__(
        self,
        network: Autoencoder3d,
        mask: Tensor,
        mean: Tensor,
        sd: float,
        *,
        residual: Residual = "mean",
        mask_ratio: float = 0.0,
        extraction: Extraction = "map",
    ) -> None:
        super().__init__()
        self.network, self.residual, self.mask_ratio = network, residual, mask_ratio
        self.extraction = extraction
        brain = torch.zeros(mask.shape)
        brain[mask] = mean
        self.mask: Tensor
        self.mean: Tensor
        self.register_buffer("mask", mask, persistent=False)
        self.register_buffer("mean", brain, persistent=False)
        self.sd = sd

    def encode(self, x: Tensor) -> Tensor:
        """``(batch, 1, *box) -> (batch, feature)``."""
        if self.extraction == "extremes":
            return self.network.extremes(self._scaled(x)).flatten(1)
        return self.latent(x)

    def latent(self, x: Tensor) -> Tensor:
        """Return the coarse map, flattened, whatever features are."""
        return self.network.encode(self._scaled(x)).flatten(1)

    def hidden(self, x: Tensor) -> Tensor:
        """Put the mean brain in front of randomly drawn cubes of every volume."""
        side = 1 << (self.network.n_blocks - 1)
        coarse = [-(-length // side) for length in x.shape[2:]]
        cubes = (torch.rand(len(x), 1, *coarse, device=x.device) < self.mask_ratio).to(x)
        depth, height, width = x.shape[2:]
        cubes = functional.interpolate(cubes, scale_factor=side, mode="nearest")[..., :depth, :height, :width]
        return torch.where(cubes > 0, self.mean.to(x), x)

    def _seen(self, x: Tensor) -> Tensor:
        return self.hidden(x) if self.training and self.mask_ratio else x

    def _scaled(self, x: Tensor) -> Tensor:
        x = torch.where(self.mask, x, 0.0)
        return (x - self.mean) / self.sd if self.residual == "mean" else x


@final
class BrainReconstruction(BrainFeatures):
    r"""Reconstruct the voxels of a mask from a volume.

    .. math:: \hat x = m + s \, g\big((x - m) / s\big)

    With ``residual="mean"`` the last layer of the network :math:`g` begins with zeros, so that the first answer is the
    mean brain; with ``"none"`` it is :math:`\hat x = g(x)`, as the paper has it. Where cubes are hidden, the loss
    counts all voxels, those in sight too.

    Parameters
    ----------
    network
        The autoencoder; its parameters are those that are learned.
    mask, mean, sd, residual, mask_ratio, extraction
        As in :class:`BrainFeatures`.
    """

    def __init__(
        self,
        network: Autoencoder3d,
        mask: Tensor,
        mean: Tensor,
        sd: float,
        *,
        residual: Residual = "mean",
        mask_ratio: float = 0.0,
        extraction: Extraction = "map",
    ) -> None:
        super().__init__(network, mask, mean, sd, residual=residual, mask_ratio=mask_ratio, extraction=extraction)
        if residual == "mean":
            last = network.head[-1]
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, 1, *box) -> (batch, voxel)``; in a variational network one more column, the divergence.

        The divergence is that of the features' distribution from the standard normal one, per voxel of the mask.
        """
        x, space = self._seen(x), tuple(self.mask.shape)
        if not self.network.variational:
            return self._voxels(self.network.decode(self.network.encode(self._scaled(x)), space))
        mean, log_variance = self.network.posterior(self._scaled(x))
        features = drawn(mean, log_variance) if self.training else mean
        voxels = self._voxels(self.network.decode(features, space))
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1, keepdim=True)
        return torch.cat([voxels, divergence.to(voxels) / voxels.shape[1]], dim=1)

    def decode(self, features: Tensor) -> Tensor:
        """``(batch, feature) -> (batch, voxel)``; of extremes, the larger ones rectified are decoded."""
        space = tuple(self.mask.shape)
        if self.extraction == "extremes":
            features = features.chunk(2, dim=1)[0].relu()
        return self._voxels(self.network.decode(features.reshape(-1, *self.network.feature_shape(space)), space))

    def _voxels(self, decoded: Tensor) -> Tensor:
        voxels = decoded[:, 0][:, self.mask]
        return self.mean[self.mask] + self.sd * voxels.float() if self.residual == "mean" else voxels.float()


@final
class ReconstructionError:
    r"""Mean absolute error in the mask over that of the mean brain, and the divergence of a variational network.

    .. math:: \frac{1}{e} \Big(\frac{1}{|M|} \sum_{v \in M} |\hat x_v - x_v| + \beta D\Big)

    1 is the mean training brain; the scale makes early stopping independent of the units of the volumes.

    Parameters
    ----------
    mean_error
        :math:`e`, mean absolute error of the mean brain, above 0.
    beta
        Weight of the divergence, 0 or more; the outputs of a variational network have its column.
    """

    def __init__(self, mean_error: float, beta: float = 0.0) -> None:
        self.mean_error, self.beta = mean_error, beta

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """``(batch, voxel)``, with a last column for the divergence or without, and ``(batch, voxel)``."""
        n_voxels = targets.shape[1]
        error = (outputs[:, :n_voxels] - targets).abs().mean()
        if self.beta:
            error = error + self.beta * outputs[:, n_voxels:].mean()
        return error / self.mean_error
