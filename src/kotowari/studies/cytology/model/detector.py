"""Cells found without annotation: a network that learns from unlabelled images alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt
import torch
from skimage.filters import threshold_otsu
from torch import nn

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.seeds import derive_seed
from kotowari.networks.unet import UNet
from kotowari.priors.losses import Face
from kotowari.studies.cytology.instance_options import InstanceOptions
from kotowari.studies.cytology.model.detector_input import Polarity, prepare_image, require_image, unseen
from kotowari.studies.cytology.model.detector_network import FoldedUNet, map_image
from kotowari.studies.cytology.model.detector_saved import read_detector, write_detector
from kotowari.studies.cytology.model.detector_training import (
    Recipe,
    TrainingSetup,
    train_as_published,
    train_by_implants,
)
from kotowari.studies.cytology.model.instances import Instances, find_instances
from kotowari.training.by_prior import PriorHistory
from kotowari.training.devices import one_thread, require_device
from kotowari.training.plan import TrainingPlan

__all__ = ["CellDetector"]

FloatImage = npt.NDArray[np.float32]

_EPOCHS: dict[str, int] = {"kotowari": 12, "published": 30}
_BATCH: dict[str, int] = {"kotowari": 16, "published": 32}
_NAMES: dict[str, str] = {"kotowari": "cell detector", "published": "recipe as published"}
_SHARE: dict[str, float] = {"bright": 0.5, "dark": 0.3}
_MIDDLE = 0.5


@final
class CellDetector:
    r"""Finds cells in images of one stain after having seen unlabelled images of it.

    ``recipe="published"``: a dual-frame U-Net maps an image D to its cells S so that the rest has low rank over
    patches of all images, :math:`\|D - S\|_* + \lambda \sum \|S_i\|_2 + \lambda_{TV} TV(S)`. The foreground is
    :math:`|S|`, cut by Otsu.

    ``recipe="kotowari"``: each image is put on the scale of its own cells (optical density where they are dark), its
    clearest cells are implanted into its own background, and the network learns how deep inside of a cell each pixel
    lies, so that touching cells are parted by a dip. With y its answer and s the smoothed contrast in units of Otsu's
    cut, the foreground is

    .. math:: f = (1 - w)\, y + w\, \frac{s_+}{1 + s_+}

    and its cut one half: where the two disagree, bright pixels outside of anything cell-like and dim cells each have
    a say. S is the part :math:`\min(1, 2f)` of what an image has beyond its background.

    Parameters
    ----------
    recipe
        ``"kotowari"`` or ``"published"``.
    face
        Of the published loss: ``"none"``, ``"eps"``, ``"moreau"``, ``"target"``.
    polarity
        ``"bright"`` or ``"dark"``: cells against their background. The published recipe finds both.
    max_epochs
        Passes over the training images, 0 or more (0 leaves the network untrained). None: 12 for implants, 30 for the
        published recipe.
    width
        Channels of the first level of the U-Net, 1 or more.
    patch
        Longest side of a training image, px: 32 or more, a multiple of 16.
    n_scenes
        Images with implanted cells to learn from, 16 or more.
    contrast_share
        w above, 0 to 1. None: 0.5 for bright cells, 0.3 for dark ones, whose stain is less their own.
    learning_rate
        None: 3e-3 for implants; as published 5e-3 for grey and 1e-3 for colour images.
    weights
        Factors on the published loss' weights of sparsity and of total variation, above 0.
    instances
        Options of the instance stage of :meth:`predict`.
    random_state
        Seed of everything drawn, 0 or more.
    device
        ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"auto"``.
    checkpoint
        Folder for the state of a training that may be stopped.

    Attributes
    ----------
    name
        Of the method, in words.
    history_
        A :class:`kotowari.training.by_prior.PriorHistory`: the loss epoch by epoch; for the published recipe also its
        terms, the share of S and the ratio to the convex optimum.
    n_channels_
        Of the images, 1 or 3.
    network_
        In eval mode.

    Raises
    ------
    InputError
        When an option is out of range.

    Source: Takeda, Sakai and Mitate 2024, IJCARS, 10.1007/s11548-024-03169-0 (published). The other recipe is our own
    construction; its constants were chosen on the 60 images at even places of the 120 corrected images of the Data
    Science Bowl 2018.
    """

    def __init__(
        self,
        recipe: Recipe = "kotowari",
        *,
        face: Face = "none",
        polarity: Polarity = "bright",
        max_epochs: int | None = None,
        width: int = 16,
        patch: int = 128,
        n_scenes: int = 512,
        contrast_share: float | None = None,
        learning_rate: float | None = None,
        weights: tuple[float, float] = (1.0, 1.0),
        instances: InstanceOptions | None = None,
        random_state: int = 0,
        device: str = "cpu",
        checkpoint: Path | None = None,
    ) -> None:
        bounds = {
            "recipe": (recipe, recipe in _EPOCHS),
            "polarity": (polarity, polarity in {"bright", "dark"}),
            "max_epochs": (max_epochs, max_epochs is None or max_epochs >= 0),
            "width": (width, width >= 1),
            "patch": (patch, patch >= 32 and patch % 16 == 0),
            "n_scenes": (n_scenes, n_scenes >= 16),
            "contrast_share": (contrast_share, contrast_share is None or 0 <= contrast_share <= 1),
            "weights": (weights, min(weights) > 0),
            "random_state": (random_state, random_state >= 0),
        }
        for option, (value, fits) in bounds.items():
            if not fits:
                raise InputError(f"CellDetector: {option} = {value!r} is out of range. See its description.")
        self.recipe, self.face, self.polarity, self.max_epochs = recipe, face, polarity, max_epochs
        self.width, self.patch, self.n_scenes, self.contrast_share = width, patch, n_scenes, contrast_share
        self.learning_rate, self.weights = learning_rate, (float(weights[0]), float(weights[1]))
        self.instances = InstanceOptions() if instances is None else instances
        self.random_state, self.device, self.checkpoint = random_state, device, checkpoint
        self.name = _NAMES[recipe]
        self.n_channels_ = 0
        self.history_ = PriorHistory()
        self.network_: nn.Module | None = None

    def fit(self, images: Sequence[npt.ArrayLike], groups: npt.ArrayLike | None = None) -> Self:
        """Learn from unlabelled images of one stain.

        Parameters
        ----------
        images
            Each ``(height, width, channel)`` in [0, 1] with sides of 16 or more; sizes may differ, channels not.
        groups
            Shape ``(image,)``: slide or staining batch, whose patches the published recipe keeps together.

        Raises
        ------
        DesignError
            When there is nothing to learn from: no image, no single cell, no shared background.
        ShapeError, InputError
            When an image cannot be used, or groups do not name each.
        """
        if len(images) == 0:
            raise DesignError("CellDetector: give one image or more to learn from.")
        n_channels = int(require_image(images[0]).shape[2])
        seen = [require_image(image, n_channels) for image in images]
        names = None if groups is None else np.asarray(groups)
        if names is not None and names.shape != (len(seen),):
            raise ShapeError.mismatch("CellDetector", "groups", (len(seen),), names.shape)
        self.build(n_channels)
        network = self._fitted()
        if self.max_epochs == 0:
            return self
        setup = self._setup(n_channels)
        with one_thread():
            if self.recipe == "published":
                planes = [np.ascontiguousarray(np.moveaxis(image, 2, 0)) for image in seen]
                self.history_ = train_as_published(network, planes, names, setup)
            else:
                prepared = [prepare_image(image, self.polarity) for image in seen]
                self.history_ = train_by_implants(network, prepared, self.polarity, setup)
        return self

    def build(self, n_channels: int) -> None:
        """Set up an untrained network for images of so many channels."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.random_state, "weights"))
            network: nn.Module
            if self.recipe == "published":
                network = UNet(2, n_channels, n_channels, width=self.width, depth=2, dual_frame=True)
            else:
                network = FoldedUNet(n_channels, self.width)
        self.n_channels_, self.history_ = n_channels, PriorHistory()
        self.network_ = network.to(require_device(self.device)).eval()

    def untrained(self, random_state: int) -> "CellDetector":
        """Return the same detector with weights that were drawn and never trained."""
        self._fitted()
        other = CellDetector(**(self.options() | {"random_state": random_state, "max_epochs": 0}))
        other.build(self.n_channels_)
        return other

    def foreground(self, image: npt.ArrayLike) -> FloatImage:
        """Return how much each pixel of ``(height, width, channel)`` is cell, ``(height, width)`` in [0, 1]."""
        if self.recipe == "published":
            size: FloatImage = np.sqrt(np.square(self.sparse(image)).mean(2))
            return np.clip(size, 0, 1)
        network, prepared = self._fitted(), prepare_image(require_image(image, self.n_channels_), self.polarity)
        if prepared.cut <= 0:
            return np.zeros(prepared.contrast.shape, np.float32)
        logit = map_image(network, prepared.scaled, require_device(self.device))[0]
        depth = 1 / (1 + np.exp(-logit))
        relative = np.maximum(prepared.contrast / prepared.cut, 0)
        share = _SHARE[self.polarity] if self.contrast_share is None else self.contrast_share
        mixed: FloatImage = ((1 - share) * depth + share * relative / (1 + relative)).astype(np.float32)
        return np.clip(mixed, 0, 1)

    def cut(self, foreground: npt.NDArray[np.floating[Any]]) -> float:
        """Return the threshold on a foreground: one half, or Otsu's for the published recipe."""
        if self.recipe == "kotowari":
            return _MIDDLE
        return float(threshold_otsu(foreground)) if np.ptp(foreground) > 0 else 1.0

    def sparse(self, image: npt.ArrayLike) -> FloatImage:
        """Return the layer S of the cells, ``(height, width, channel)``, signed, in units of the image."""
        values = require_image(image, self.n_channels_ or None)
        if self.recipe == "published":
            planes = np.ascontiguousarray(np.moveaxis(values, 2, 0))
            found = map_image(self._fitted(), planes, require_device(self.device))
            return np.ascontiguousarray(np.moveaxis(found, 0, 2))
        share = np.minimum(1, self.foreground(values) / _MIDDLE)[..., None]
        layer: FloatImage = share * (values - unseen(prepare_image(values, self.polarity).background, self.polarity))
        return layer

    def background(self, image: npt.ArrayLike) -> FloatImage:
        """Return the layer L = D - S, ``(height, width, channel)``."""
        layer: FloatImage = require_image(image, self.n_channels_ or None) - self.sparse(image)
        return layer

    def predict(self, image: npt.ArrayLike) -> Instances:
        """Return single cells, by the instance stage that all methods share."""
        foreground = self.foreground(image)
        return find_instances(foreground, self.cut(foreground), self.instances)

    def options(self) -> dict[str, Any]:
        """Return the options by name."""
        return {name: getattr(self, name) for name in _OPTIONS}

    def save(self, folder: Path) -> None:
        """Write the fitted detector: safetensors and JSON.

        Raises
        ------
        RunFolderError
            When the folder cannot be written.
        """
        options = self.options() | {"instances": self.instances.model_dump()}
        write_detector(Path(folder), self._fitted(), options, self.n_channels_, self.history_)

    @classmethod
    def load(cls, folder: Path) -> "CellDetector":
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            When a file is missing, damaged, or of another kind.
        """
        facts = read_detector(Path(folder))
        options = facts.options | {"instances": InstanceOptions(**facts.options["instances"])}
        options["weights"] = tuple(options["weights"])
        detector = cls(**options)
        detector.build(facts.n_channels)
        facts.fill(detector._fitted())
        detector.history_ = facts.history
        return detector

    def _fitted(self) -> nn.Module:
        if self.network_ is None:
            raise InputError("CellDetector: call fit before asking for cells.")
        return self.network_

    def _setup(self, n_channels: int) -> TrainingSetup:
        published = self.recipe == "published"
        rate = (5e-3 if n_channels == 1 else 1e-3) if published else 3e-3
        plan = TrainingPlan(
            max_epochs=_EPOCHS[self.recipe] if self.max_epochs is None else self.max_epochs,
            batch_size=_BATCH[self.recipe],
            learning_rate=rate if self.learning_rate is None else self.learning_rate,
            weight_decay=0.0 if published else 1e-2,
            seed=self.random_state,
        )
        state = None if self.checkpoint is None else Path(self.checkpoint) / "training.safetensors"
        device = require_device(self.device)
        return TrainingSetup(plan, self.patch, self.n_scenes, self.face, self.weights, device, state)


_OPTIONS = (
    "recipe",
    "face",
    "polarity",
    "max_epochs",
    "width",
    "patch",
    "n_scenes",
    "contrast_share",
    "learning_rate",
    "weights",
    "instances",
    "random_state",
    "device",
)
