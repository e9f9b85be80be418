"""The source's own way: a network whose only teacher is "what is left has low rank, what was taken is sparse"."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from kotowari.core.errors import DesignError
from kotowari.networks.unet import UNet
from kotowari.priors.losses import LowRankSparseLoss
from kotowari.studies.angiography.model.enhancer_backgrounds import inner_field
from kotowari.studies.angiography.model.enhancer_recordings import Recording
from kotowari.training.by_prior import PriorHistory, train_by_prior
from kotowari.training.plan import TrainingPlan

__all__ = ["LayerNetwork", "PriorLesson", "train_layer"]

_LEAST_RUN = 8
_UNIT_QUANTILE = 0.99


@final
class LayerNetwork(nn.Module):
    r"""A dual-frame U-Net that returns the vessel layer S of a frame, non-negative by a ReLU.

    Frames are brought to [0, 1] by the range of the runs it learned from. As scores it gives
    :math:`\log(S / u)`, so that the map :math:`S / (S + u)` is a half where S is the unit u, the 99th percentile of S
    in the runs.

    Parameters
    ----------
    width
        Channels of the first level.
    """

    low: Tensor
    high: Tensor
    unit: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.n_frames = 1
        self.net = UNet(width=width, dual_frame=True)
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.ones(()))
        self.register_buffer("unit", torch.ones(()))

    def layer(self, scaled: Tensor) -> Tensor:
        """Return S of frames in [0, 1], both ``(batch, 1, height, width)``."""
        sparse: Tensor = self.net(scaled).relu()
        return sparse

    def scaled(self, frames: Tensor, field: Tensor) -> Tensor:
        """Return attenuation as [0, 1], 0 outside of the field."""
        return ((frames - self.low) / (self.high - self.low)).clamp(0, 1) * field

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, 2, height, width) -> (batch, 1, height, width)``; the last channel is the field."""
        sparse = self.layer(self.scaled(x[:, :1], x[:, 1:]))
        return (sparse / self.unit).clamp_min(1e-12).log()


@dataclass(frozen=True)
class PriorLesson:
    """How a layer is learned.

    Parameters
    ----------
    n_epochs
        Passes over all frames, 1 or more.
    batch_size
        Most frames whose background is taken to be shared, 2 or more.
    learning_rate, seed
        As in :class:`kotowari.training.plan.TrainingPlan`.
    side
        Frames are cut to a window of this side around their middle, in pixels, since the loss needs whole batches.
    """

    n_epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    side: int


def train_layer(
    network: LayerNetwork, given: Sequence[Recording], lesson: PriorLesson, checkpoint: Path | None, seconds: float
) -> PriorHistory:
    """Train in place by the low-rank and sparse loss with total variation; batches never mix runs.

    Raises
    ------
    DesignError
        When no recording is a run of 8 frames or more, which alone have a background in common.

    Source: Takeda, Sakai and Mitate 2024, IJCARS, 10.1007/s11548-024-03169-0 (the loss and the network, for images of
    cells); their use on X-ray runs, and the window, are ours.
    """
    runs = [one for one in given if len(one.frames) >= _LEAST_RUN]
    if not runs:
        raise DesignError(
            f"VesselEnhancer: lesson 'prior' needs a run of {_LEAST_RUN} frames or more. Take lesson 'implants'."
        )
    side = min(lesson.side, *(min(one.field.shape) for one in runs))
    cut = [_middle(one, side) for one in runs]
    inside = np.concatenate([frames[:, field].ravel() for frames, field in cut])
    low, high = (float(value) for value in np.quantile(inside, (0.001, 0.999)))
    network.low, network.high = torch.tensor(low), torch.tensor(max(high, low + 1e-3))
    data = torch.cat([network.scaled(torch.tensor(frames)[:, None], torch.tensor(field)) for frames, field in cut])
    names = np.repeat(np.arange(len(cut)), [len(frames) for frames, _ in cut])
    plan = TrainingPlan(
        max_epochs=lesson.n_epochs,
        batch_size=lesson.batch_size,
        learning_rate=lesson.learning_rate,
        seed=lesson.seed,
    )
    learner = _Layer(network)
    history = train_by_prior(
        learner,
        data,
        loss=LowRankSparseLoss(),
        plan=plan,
        train_index=np.arange(len(data)),
        validation_index=np.arange(0),
        groups=names,
        with_optimum=False,
        checkpoint=checkpoint,
        checkpoint_seconds=seconds,
    )
    with torch.no_grad():
        found = np.concatenate([network.layer(data[[row]]).numpy() for row in range(len(data))])
    network.unit = torch.tensor(max(float(np.quantile(found, _UNIT_QUANTILE)), 1e-3))
    return history


class _Layer(nn.Module):
    """The layer as the loss asks for it: of frames that are scaled already."""

    def __init__(self, network: LayerNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, scaled: Tensor) -> Tensor:
        return self.network.layer(scaled)


def _middle(one: Recording, side: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    top, left = ((length - side) // 2 for length in one.field.shape)
    window = slice(top, top + side), slice(left, left + side)
    return one.frames[:, *window], inner_field(one.field)[window]
