"""What every network that learns features of brain volumes has in common, whatever it is trained on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.seeds import derive_seed
from kotowari.networks.autoencoder3d import Autoencoder3d, Stem
from kotowari.studies.brain.model.autoencoder_input import (
    VolumeSource,
    WindowInputs,
    as_source,
    mask_window,
    row_numbers,
    volumes_at_once,
)
from kotowari.studies.brain.model.autoencoder_network import BrainFeatures, Extraction, Residual
from kotowari.studies.brain.model.autoencoder_saved import kept_choice
from kotowari.training.devices import require_device
from kotowari.training.loop import History, Loss, Samples
from kotowari.training.plan import TrainingPlan
from kotowari.training.precision import PrecisionChoice, PrecisionName, choose_precision

__all__ = ["BrainEncoder", "TrainingSettings"]

Volumes = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]


class TrainingSettings(TypedDict):
    """How :func:`kotowari.training.train` is to be called, beside what is learned."""

    plan: TrainingPlan
    device: str
    precision: str
    checkpoint: Path | None
    checkpoint_seconds: float


class BrainEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """A network on volumes whose encoder gives features: its input, first weights, settings, features and gradients.

    Encoders of equal options and seed that learned from the same subjects see the same input and begin with the same
    weights, so that they differ by what they were trained on and by nothing else.

    Attributes
    ----------
    reconstruction_
        The network around the mean training brain.
    mask_, mean_brain_
        Shape ``(x, y, z)``.
    feature_shape_
        Shape of one subject's features before they are flattened, ``(channel, *coarse space)``.
    """

    n_blocks: int
    n_channels: int
    stem: Stem
    residual: Residual
    extraction: Extraction
    mask_ratio: float
    noise: float
    max_epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    validation_fraction: float
    precision: PrecisionName
    device: str
    mask: npt.ArrayLike | None
    random_state: Any
    checkpoint: str | Path | None
    checkpoint_seconds: float

    reconstruction_: BrainFeatures
    seed_: int
    history_: History
    precision_: PrecisionChoice

    def transform(self, X: Any, *, rows: Any = None) -> Volumes:
        """Return the features, ``(subject, x, y, z) -> (subject, feature)``."""
        inputs = self._inputs(X, rows)
        features = np.empty((len(inputs), self._n_features_out), np.float32)
        for samples, volumes in self._blocks(inputs):
            with torch.no_grad():
                features[samples] = self.reconstruction_.encode(volumes).cpu().numpy()
        return features

    def input_gradient(self, X: Any, weights: npt.ArrayLike, *, rows: Any = None) -> Volumes:
        r"""Return how a weighted sum of the features answers to each voxel, a few volumes in memory at a time.

        .. math:: s = J_E(x)^\top w, \quad \text{the gradient of } w \cdot E(x)

        Parameters
        ----------
        X, rows
            Volumes, as in :meth:`transform`.
        weights
            Shape ``(feature,)``, such as the coefficients of a regression on the features as they are; or
            ``(subject, feature)``.

        Returns
        -------
        array
            Shape ``(subject, x, y, z)``, per unit of the volumes; 0 outside of the mask.

        Raises
        ------
        ShapeError
            When there is not one weight a feature.
        """
        inputs = self._inputs(X, rows)
        given = np.asarray(weights, dtype=np.float32)
        if given.shape not in {(self._n_features_out,), (len(inputs), self._n_features_out)}:
            raise ShapeError.mismatch("input_gradient", "weights", (self._n_features_out,), given.shape)
        every = torch.from_numpy(np.broadcast_to(given, (len(inputs), self._n_features_out)).copy())
        gradients = np.zeros((len(inputs), *self.mask_.shape), np.float32)
        window = mask_window(self.mask_)
        for samples, volumes in self._blocks(inputs):
            with torch.enable_grad():
                features = self.reconstruction_.encode(volumes.requires_grad_())
                (found,) = torch.autograd.grad(features, volumes, every[samples].to(features.device))
            gradients[(samples, *window)] = found[:, 0].cpu().numpy()
        return gradients

    def untrained(self) -> Self:
        """Return a fitted copy whose network is as it was before training: the control of every claim about features.

        Mask, mean brain and first weights are the same; nothing was learned.
        """
        check_is_fitted(self, "reconstruction_")
        other = type(self)(**self.get_params(deep=False))
        other.seed_ = self.seed_
        self._hand_over(other)
        other._build(self.mask_, self.mean_brain_[self.mask_], self.reconstruction_.sd)
        other.history_ = History()
        other.precision_ = PrecisionChoice("32-true", False, "Nothing was trained.")
        return other

    @abstractmethod
    def _hand_over(self, untrained: Self) -> None:
        """Set on an untrained copy what its network needs and training does not change."""

    @abstractmethod
    def _variational(self) -> bool:
        """Tell whether features are drawn while the network is trained."""

    @abstractmethod
    def _around(self, network: Autoencoder3d, mask: Tensor, mean: Tensor, sd: float) -> BrainFeatures:
        """Return what is trained, around a fresh network."""

    def _build(self, mask: npt.NDArray[np.bool_], mean: Volumes, sd: float) -> None:
        """Put the untrained network together, and the attributes that follow from the mask."""
        window = mask_window(mask)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed_, "weights"))
            network = Autoencoder3d(self.n_blocks, self.n_channels, stem=self.stem, variational=self._variational())
        self.mask_: npt.NDArray[np.bool_] = np.array(mask)
        self.mean_brain_: Volumes = np.zeros(mask.shape, np.float32)
        self.mean_brain_[mask] = mean
        seen = torch.from_numpy(self.mask_[window].copy())
        self.reconstruction_ = self._around(network, seen, torch.from_numpy(np.ascontiguousarray(mean)), sd).eval()
        channels, *coarse = network.feature_shape(self.mask_[window].shape)
        self.feature_shape_ = (channels * (2 if self.extraction == "extremes" else 1), *coarse)
        self._n_features_out = int(np.prod(self.feature_shape_))

    def _opened(self, X: Any, rows: Any) -> tuple[VolumeSource, WindowInputs]:
        """Check options and volumes, and draw the seed."""
        self._require_options()
        source = as_source(X, self.mask)
        inputs = WindowInputs(source, row_numbers(source, rows))
        if len(inputs) < 2:
            raise DesignError(f"{type(self).__name__}: {len(inputs)} volume cannot be learned from. Give 2 or more.")
        if isinstance(self.random_state, (int, np.integer)):
            self.seed_ = int(self.random_state)
        else:
            self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        return source, inputs

    def _settings(self, name: str, samples: tuple[Samples, Samples], learning: Rows, loss: Loss) -> TrainingSettings:
        """Choose the precision on a first batch of inputs and targets, and return how to train."""
        device, first = require_device(self.device), torch.from_numpy(learning[: self.batch_size])
        folder = None if self.checkpoint is None else Path(self.checkpoint)

        def choose() -> PrecisionChoice:
            batch = samples[0][first], samples[1][first]
            return choose_precision(self.reconstruction_, *batch, loss, wanted=self.precision, device=device)

        # a training that goes on must be computed as it was begun, however the clock runs today
        self.precision_ = choose() if folder is None else kept_choice(folder / f"{name}.json", choose)
        self.precision_.prepare(self.reconstruction_)
        return {
            "plan": self._plan(derive_seed(self.seed_, "training")),
            "device": device,
            "precision": self.precision_.precision,
            "checkpoint": None if folder is None else folder / f"{name}.safetensors",
            "checkpoint_seconds": self.checkpoint_seconds,
        }

    def _plan(self, seed: int) -> TrainingPlan:
        return TrainingPlan(
            max_epochs=self.max_epochs,
            patience=self.patience,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            noise=self.noise,
            seed=seed,
        )

    def _inputs(self, X: Any, rows: Any) -> WindowInputs:
        check_is_fitted(self, "reconstruction_")
        source: VolumeSource = as_source(X, self.mask_)
        return WindowInputs(source, row_numbers(source, rows))

    def _blocks(self, inputs: WindowInputs) -> Iterator[tuple[slice, Tensor]]:
        """Yield numbers and volumes, ``(batch, 1, *box)``, of some samples at a time, on the network's device."""
        size = volumes_at_once(int(np.prod(inputs.shape[1:])))
        for start in range(0, len(inputs), size):
            samples = torch.arange(start, min(start + size, len(inputs)))
            volumes: Tensor = inputs[samples].to(self._device())
            sound = torch.isfinite(volumes).flatten(1).all(1)
            if not sound.all():
                name = inputs.subject(start + int((~sound).nonzero()[0]))
                raise InputError(f"{name}: the volume holds NaN or infinite values in the mask.")
            yield slice(start, start + len(samples)), volumes

    def _device(self) -> torch.device:
        parameter: nn.Parameter = next(self.reconstruction_.parameters())
        return parameter.device

    def _require_options(self) -> None:
        for name, fits in self._bounds().items():
            if not fits:
                raise InputError(
                    f"{type(self).__name__}: {name} = {getattr(self, name)!r} is out of range. See its description."
                )
        self._plan(seed=0)

    def _bounds(self) -> dict[str, bool]:
        """Tell of each option whether it is in range."""
        return {
            "residual": self.residual in {"none", "mean"},
            "extraction": self.extraction in ("map", "extremes")
            and (self.extraction == "map" or (self._pools() and not self._variational())),
            "mask_ratio": 0 <= self.mask_ratio < 1,
            "validation_fraction": 0 <= self.validation_fraction <= 0.5,
        }

    def _pools(self) -> bool:
        """Tell whether the last block ends in a pool: a strided one does not."""
        return self.stem == "plain" or self.n_blocks > 1

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags
