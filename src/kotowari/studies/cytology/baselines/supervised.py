"""A small U-Net taught by outlined images: the price of annotation."""

from collections.abc import Sequence
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.networks.unet import UNet
from kotowari.studies.cytology.stain_vectors import cell_map
from kotowari.training.loop import train
from kotowari.training.plan import TrainingPlan

__all__ = ["SupervisedUNet"]

FloatImage = npt.NDArray[np.float32]
_DEPTH = 3


@final
class SupervisedUNet:
    """U-Net on the map on which cells are bright, trained on outlined images: supervised, and marked so.

    Crops are drawn from the outlined images, turned and flipped, and their cell pixels taught by cross entropy. The
    map is standardised image by image (median 0, 99th less 1st percentile 1), so that stains of one kind share it.

    Parameters
    ----------
    masks
        Label images in the order of the images given to :meth:`fit`, each ``(height, width)``; 1, 5 or 20 of them
        draw the curve that a method without labels is held against.
    crop
        Side of a crop, px, 16 or more; smaller images are continued by reflection.
    n_crops
        Crops drawn, 8 or more.
    max_epochs
        Passes over them.
    width
        Channels of the first level.
    random_state
        Seed of weights, crops and order.

    Attributes
    ----------
    network_
        The trained U-Net.

    Source: Ronneberger et al. 2015, MICCAI, at a smaller size; no border weights.
    """

    def __init__(
        self,
        masks: Sequence[npt.NDArray[np.integer]],
        *,
        crop: int = 128,
        n_crops: int = 160,
        max_epochs: int = 20,
        width: int = 8,
        random_state: int = 0,
    ) -> None:
        if crop < 16 or n_crops < 8:
            raise InputError(f"SupervisedUNet: crop must be 16 or more and n_crops 8 or more, got {crop}, {n_crops}.")
        self.masks, self.crop, self.n_crops = masks, crop, n_crops
        self.max_epochs, self.width, self.random_state = max_epochs, width, random_state
        self.name = f"U-Net taught by {len(masks)} outlined image{'s' if len(masks) != 1 else ''}"
        self.network_: UNet | None = None

    def fit(
        self,
        images: Sequence[npt.NDArray[Any]],
        groups: npt.ArrayLike | None = None,  # noqa: ARG002 - the finders' contract
    ) -> Self:
        """Learn from the first images, as many as there are masks; further images are not read.

        Raises
        ------
        DesignError
            When there is no mask, or no image for a mask.
        ShapeError
            When a mask has another size than its image.
        """
        if not 0 < len(self.masks) <= len(images):
            raise DesignError(
                f"SupervisedUNet: {len(self.masks)} masks for {len(images)} images; needs 1 mask or more."
            )
        rng = np.random.default_rng(self.random_state)
        maps = [_standardised(cell_map(image)) for image in images[: len(self.masks)]]
        for cells, mask in zip(maps, self.masks, strict=True):
            if cells.shape != mask.shape:
                raise ShapeError.mismatch("SupervisedUNet", "mask", cells.shape, mask.shape)
        inputs, targets = self._crops(maps, rng)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            network = UNet(width=self.width, depth=_DEPTH)
        plan = TrainingPlan(max_epochs=self.max_epochs, batch_size=8, learning_rate=5e-3, seed=self.random_state)
        train(
            network,
            inputs,
            targets,
            train_index=np.arange(len(inputs)),
            validation_index=np.arange(0),
            loss=functional.binary_cross_entropy_with_logits,
            plan=plan,
        )
        self.network_ = network
        return self

    @torch.no_grad()
    def foreground(self, image: npt.ArrayLike) -> FloatImage:
        """``(height, width, channel) -> (height, width)``, 0 to 1.

        Raises
        ------
        DesignError
            Before :meth:`fit`.
        """
        if self.network_ is None:
            raise DesignError("SupervisedUNet: call fit before foreground.")
        cells = torch.from_numpy(_standardised(cell_map(image)))
        found: FloatImage = self.network_(cells[None, None])[0, 0].sigmoid().numpy()
        return found

    def cut(self, foreground: npt.ArrayLike) -> float:  # noqa: ARG002 - the finders' contract
        """One half, whatever the map."""
        return 0.5

    def _crops(self, maps: list[FloatImage], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = np.empty((self.n_crops, 1, self.crop, self.crop), dtype=np.float32)
        targets = np.empty_like(inputs)
        for k in range(self.n_crops):
            place = int(rng.integers(len(maps)))
            pair = np.stack([maps[place], self.masks[place] > 0]).astype(np.float32)
            missing = [max(0, self.crop - side) for side in pair.shape[1:]]
            pair = np.pad(pair, [(0, 0), (0, missing[0]), (0, missing[1])], mode="symmetric")
            top, left = (int(rng.integers(side - self.crop + 1)) for side in pair.shape[1:])
            piece = np.rot90(pair[:, top : top + self.crop, left : left + self.crop], int(rng.integers(4)), (1, 2))
            inputs[k, 0], targets[k, 0] = piece[:, ::-1] if rng.integers(2) else piece
        return torch.from_numpy(inputs), torch.from_numpy(targets)


def _standardised(cells: FloatImage) -> FloatImage:
    low, middle, high = np.percentile(cells, [1, 50, 99])
    scaled: FloatImage = ((cells - middle) / max(float(high - low), 1e-6)).astype(np.float32)
    return scaled
