"""The two trainings of the cell detector: by the low-rank and sparse loss, and by implanted cells. No labels."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from kotowari.core.errors import DesignError
from kotowari.core.seeds import derive_seed
from kotowari.priors.losses import Face, LowRankSparseLoss
from kotowari.studies.cytology.model.detector_input import Polarity, PreparedImage
from kotowari.studies.cytology.model.detector_parts import ImageParts, take_apart
from kotowari.studies.cytology.model.detector_scenes import compose_scene, depth_target
from kotowari.training.by_prior import PriorHistory, train_by_prior
from kotowari.training.loop import train
from kotowari.training.plan import TrainingPlan

__all__ = ["Recipe", "TrainingSetup", "make_loss", "train_as_published", "train_by_implants"]

Recipe = Literal["kotowari", "published"]
FloatImage = npt.NDArray[np.float32]

_FEWEST_ROWS = 16  # of a batch, for a background to be told from them
_AMOUNT: dict[str, float] = {"none": 1.0, "eps": 0.3, "moreau": 0.3, "target": 1.0, "prox-backward": 1.0}
_TV_WEIGHT = 5e-3


@dataclass(frozen=True)
class TrainingSetup:
    """What both trainings are told.

    Parameters
    ----------
    plan
        Epochs, batch size, learning rate, seed.
    patch
        Longest side of a training image, px; a multiple of 16.
    n_scenes
        Images of known truth to build (implants only).
    face
        Of the loss (published only).
    weights
        Factors on the weights of sparsity and of total variation (published only).
    device
        As lightning-fabric names it.
    checkpoint
        File of a training that may be stopped; None keeps none.
    """

    plan: TrainingPlan
    patch: int
    n_scenes: int
    face: Face
    weights: tuple[float, float]
    device: str
    checkpoint: Path | None = None


def make_loss(setup: TrainingSetup) -> LowRankSparseLoss:
    r"""Return the published loss, :math:`\lambda = 1/\sqrt{\max(n, m)}` and 5e-3, times the factors of the setup."""
    weight = setup.weights[0]
    variation = _TV_WEIGHT * setup.weights[1] / weight  # the loss multiplies both by its factor
    return LowRankSparseLoss(tv_weight=variation, smooth=setup.face, amount=_AMOUNT[setup.face], factor=weight)


def train_as_published(
    network: nn.Module, images: Sequence[FloatImage], groups: npt.NDArray[Any] | None, setup: TrainingSetup
) -> PriorHistory:
    """Train a network so that images without its output have low rank, in place.

    Parameters
    ----------
    network
        Maps ``(batch, channel, height, width)`` to the same shape.
    images
        Each ``(channel, height, width)`` in [0, 1], of any size; they are cut into patches of one size.
    groups
        Slide or staining batch of each image: its patches share their batches. Groups of fewer than 16 patches are
        put together.
    setup
        Settings.

    Raises
    ------
    DesignError
        When there are fewer than two patches.

    Source: Takeda, Sakai and Mitate 2024, IJCARS, 10.1007/s11548-024-03169-0. Theirs were whole images of one size;
    warm-up and cosine of the learning rate are ours.
    """
    side = min(setup.patch, *(min(image.shape[1:]) for image in images))
    cut = [_patches(image, side) for image in images]
    rows = np.concatenate(cut)
    if len(rows) < 2:
        raise DesignError("CellDetector: a background is what images have in common; give two images or more.")
    names = None if groups is None else _large_groups(np.repeat(groups, [len(part) for part in cut]))
    return train_by_prior(
        network,
        torch.as_tensor(rows),
        loss=make_loss(setup),
        plan=setup.plan,
        train_index=np.arange(len(rows)),
        validation_index=np.arange(0),
        groups=names,
        device=setup.device,
        checkpoint=setup.checkpoint,
    )


def train_by_implants(
    network: nn.Module, images: Sequence[PreparedImage], polarity: Polarity, setup: TrainingSetup
) -> PriorHistory:
    """Train a network on images of known truth that are built from the images themselves, in place.

    The clearest cells of each image are taken out and put back many times, alone, touching and crowded, into its
    background without cells (:func:`compose_scene`); the network learns where they are and how deep within
    (:func:`depth_target`), by the cross-entropy. What it does not get to see is a label.

    Parameters
    ----------
    network
        Maps ``(batch, channel, height, width)`` to logits ``(batch, 1, height, width)``.
    images
        As prepared.
    polarity
        Of the cells.
    setup
        Settings.

    Returns
    -------
    PriorHistory
        With the cross-entropy of each epoch; the low-rank and sparse loss plays no part in it.

    Raises
    ------
    DesignError
        When no image has a cell that stands alone, or a background.

    Our own construction.
    """
    rng = np.random.default_rng(derive_seed(setup.plan.seed, "implants"))
    parts = [found for image in images if (found := take_apart(image, rng)) is not None]
    if not any(part.cells for part in parts):
        raise DesignError(
            "CellDetector: no image shows a single cell against a background, so that none can be taken for "
            "implanting. Check polarity, give images with fewer cells, or take recipe='published'."
        )
    inputs, targets = _scenes(parts, polarity, setup, rng)
    history = train(
        network,
        inputs,
        targets,
        train_index=np.arange(len(inputs)),
        validation_index=np.arange(0),
        loss=functional.binary_cross_entropy_with_logits,
        plan=setup.plan,
        device=setup.device,
        checkpoint=setup.checkpoint,
    )
    return PriorHistory(**asdict(history))


def _scenes(
    parts: Sequence[ImageParts], polarity: Polarity, setup: TrainingSetup, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    side = min(setup.patch, *(min(part.background.shape[1:]) for part in parts)) // 16 * 16
    inputs = np.empty((setup.n_scenes, len(parts[0].background), side, side), np.float32)
    targets = np.empty((setup.n_scenes, 1, side, side), np.float32)
    for scene in range(setup.n_scenes):
        inputs[scene], labels = compose_scene(parts, polarity, side, rng)
        targets[scene, 0] = depth_target(labels)
    return torch.as_tensor(inputs), torch.as_tensor(targets)


def _patches(image: FloatImage, side: int) -> FloatImage:
    """Cut an image into patches that cover it, evenly laid; neighbours overlap where the side does not divide it."""
    places = [
        np.linspace(0, length - side, -(-length // side)).round().astype(int) if length > side else np.zeros(1, int)
        for length in image.shape[1:]
    ]
    return np.stack([image[:, y : y + side, x : x + side] for y in places[0] for x in places[1]])


def _large_groups(names: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return groups as numbers from 1; small ones are 0, and so is all when those together are small too."""
    _, number, count = np.unique(names, return_inverse=True, return_counts=True)
    large: npt.NDArray[np.intp] = np.where(count[number] >= _FEWEST_ROWS, number + 1, 0)
    return large if (large == 0).sum() in {0, *range(_FEWEST_ROWS, len(names) + 1)} else np.zeros_like(large)
