"""Features of brain volumes learned without labels, under scikit-learn's contract."""

from pathlib import Path
from typing import Any, Self

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
    BrainStatistics,
    MaskedTargets,
    VolumeSource,
    WindowInputs,
    as_source,
    held_out,
    mask_window,
    row_numbers,
)
from kotowari.studies.brain.model.autoencoder_network import BrainReconstruction, ReconstructionError, Residual
from kotowari.studies.brain.model.autoencoder_saved import (
    kept_choice,
    read_autoencoder,
    training_name,
    write_autoencoder,
)
from kotowari.training.devices import require_device
from kotowari.training.loop import History, train
from kotowari.training.plan import TrainingPlan
from kotowari.training.precision import PrecisionChoice, PrecisionName, choose_precision

__all__ = ["ConvolutionalAutoencoder"]

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.intp]
Volumes = npt.NDArray[np.float32]


class ConvolutionalAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Features of volumes, learned by reconstructing them; no diagnosis and no score is ever seen.

    Volumes come as an array ``(subject, x, y, z)`` or as a store with ``mask``, ``subjects`` and ``volumes(rows)``, of
    which one batch is in memory at a time. Voxels outside of the mask never enter, so they may hold anything.

    Reconstruction is no measure of use: features of nets that reconstruct better need not predict better. Compare
    :meth:`score` with the mean brain's, and predictions with those of :meth:`untrained`.

    Parameters
    ----------
    n_blocks, n_channels, stem
        As in :class:`kotowari.networks.Autoencoder3d`.
    residual
        ``"mean"``: the network sees the deviation from the mean training brain, in standard deviations, and adds to the
        mean brain what it makes of it. ``"none"``: it sees and makes whole volumes, as in the paper.
    mask_ratio
        Share of small cubes hidden from the network in training, 0 up to 1.
    beta
        Weight of the divergence of a variational autoencoder, 0 or more; 0 for a plain one.
    noise
        Standard deviation of normal noise added to what the network sees in training, in units of the volumes.
    max_epochs, patience, batch_size, learning_rate
        As in :class:`kotowari.training.TrainingPlan`; patience counts only with validation subjects.
    validation_fraction
        Share of the subjects (or groups) that decides when to stop, 0 up to 0.5; 0 trains all epochs.
    precision
        ``"auto"`` takes bfloat16 where a trial on this machine shows it right and faster, see
        :func:`kotowari.training.precision.choose_precision`; ``"float32"``, ``"bfloat16"``. Features are always
        computed in float32.
    device
        ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"auto"``.
    mask
        Voxels that count, shape ``(x, y, z)``; None for the store's, or for all voxels of an array.
    random_state
        Seed; equal seeds give equal bytes on one CPU with one number of threads. With ``"auto"`` large volumes may be
        computed in another precision in another process; ``precision_`` tells.
    checkpoint
        Folder in which a long training keeps its state: a killed fit goes on there when it is called again. None keeps
        none.
    checkpoint_seconds
        Least time between two checkpoints.

    Attributes
    ----------
    mae_
        Mean absolute error in the mask of each training subject, shape ``(subject,)``.
    mean_brain_mae_
        The same of answering with the mean training brain, averaged over the subjects learned from.
    mean_brain_
        Shape ``(x, y, z)``, 0 outside of the mask.
    mask_
        Shape ``(x, y, z)``.
    feature_shape_
        Shape of one subject's features before they are flattened, ``(channel, *coarse space)``.
    history_
        Losses by epoch, as shares of the mean brain's error.
    precision_
        What training was computed in, and why.

    Source: Yamaguchi et al. 2021, Front. Neurosci. 15:652987. Residual, hidden cubes, noise and the variational
    option are ours.
    """

    def __init__(
        self,
        n_blocks: int = 3,
        n_channels: int = 16,
        *,
        stem: Stem = "plain",
        residual: Residual = "mean",
        mask_ratio: float = 0.0,
        beta: float = 0.0,
        noise: float = 0.0,
        max_epochs: int = 20,
        patience: int = 10,
        batch_size: int = 4,
        learning_rate: float = 3e-3,
        validation_fraction: float = 0.1,
        precision: PrecisionName = "auto",
        device: str = "cpu",
        mask: npt.ArrayLike | None = None,
        random_state: Any = 0,
        checkpoint: str | Path | None = None,
        checkpoint_seconds: float = 30.0,
    ) -> None:
        self.n_blocks = n_blocks
        self.n_channels = n_channels
        self.stem = stem
        self.residual = residual
        self.mask_ratio = mask_ratio
        self.beta = beta
        self.noise = noise
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.precision = precision
        self.device = device
        self.mask = mask
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds

    def fit(self, X: Any, y: Any = None, *, rows: Any = None, groups: Any = None) -> Self:  # noqa: ARG002
        """Learn to reconstruct.

        Parameters
        ----------
        X
            Shape ``(subject, x, y, z)``, or a store.
        y
            Not used; no target is ever seen.
        rows
            Rows to learn from; None for all.
        groups
            Owner of each of these rows, such as the person scanned twice; validation never splits an owner.

        Raises
        ------
        ShapeError
            When volumes and mask do not fit.
        InputError
            When an option is out of range, or a volume is empty or not finite in the mask; the sentence names it.
        DesignError
            When there are too few subjects, or all are alike.
        """
        self._require_options()
        source = as_source(X, self.mask)
        inputs = WindowInputs(source, row_numbers(source, rows))
        if len(inputs) < 2:
            raise DesignError(f"ConvolutionalAutoencoder: {len(inputs)} volume cannot be learned from. Give 2 or more.")
        self.seed_ = self._seed()
        learning, stopping = held_out(inputs, groups, self.validation_fraction, derive_seed(self.seed_, "hold-out"))
        statistics = BrainStatistics(inputs, learning)
        self._build(source.mask, statistics.mean, statistics.sd)
        self.mean_brain_mae_ = statistics.mean_error
        self._train(inputs, learning, stopping)
        self.mae_ = self._errors(inputs)
        return self

    def transform(self, X: Any, *, rows: Any = None) -> Volumes:
        """Return the features, ``(subject, x, y, z) -> (subject, feature)``."""
        inputs = self._inputs(X, rows)
        features = np.empty((len(inputs), self._n_features_out), np.float32)
        for sample, volume in self._each(inputs):
            with torch.no_grad():
                features[sample] = self.reconstruction_.encode(volume).cpu().numpy()[0]
        return features

    def inverse_transform(self, features: npt.ArrayLike) -> Volumes:
        """Decode, ``(subject, feature) -> (subject, x, y, z)``; 0 outside of the mask."""
        check_is_fitted(self, "reconstruction_")
        given = np.asarray(features, dtype=np.float32)
        if given.ndim != 2 or given.shape[1] != self._n_features_out:
            raise ShapeError.mismatch(
                "ConvolutionalAutoencoder", "features", ("subject", self._n_features_out), given.shape
            )
        volumes = np.zeros((len(given), *self.mask_.shape), np.float32)
        for sample, row in enumerate(given):
            with torch.no_grad():
                voxels = self.reconstruction_.decode(torch.tensor(row)[None].to(self._device()))
            volumes[sample][self.mask_] = voxels.cpu().numpy()[0]
        return volumes

    def errors(self, X: Any, *, rows: Any = None) -> Array:
        """Return the mean absolute error in the mask, ``(subject, x, y, z) -> (subject,)``, in units of the volumes."""
        return self._errors(self._inputs(X, rows))

    def mean_brain_errors(self, X: Any, *, rows: Any = None) -> Array:
        """Return the error of the mean training brain, to be beaten by :meth:`errors`; shape ``(subject,)``."""
        targets = MaskedTargets(self._inputs(X, rows))
        mean = torch.from_numpy(self.mean_brain_[self.mask_])
        return np.array([(targets[torch.tensor([k])] - mean).abs().mean().item() for k in range(len(targets))])

    def score(self, X: Any, y: Any = None, *, rows: Any = None) -> float:  # noqa: ARG002
        """Return minus the mean of :meth:`errors`, so that more is better."""
        return -float(self.errors(X, rows=rows).mean())

    def input_gradient(self, X: Any, weights: npt.ArrayLike, *, rows: Any = None) -> Volumes:
        r"""Return how a weighted sum of the features answers to each voxel, one volume in memory at a time.

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
        for sample, volume in self._each(inputs):
            with torch.enable_grad():
                features = self.reconstruction_.encode(volume.requires_grad_())
                (gradient,) = torch.autograd.grad(features[0], volume, every[sample].to(features.device))
            gradients[sample][window] = gradient[0, 0].cpu().numpy()
        return gradients

    def untrained(self) -> Self:
        """Return a fitted copy whose network is as it was before training: the control of every claim about features.

        Mask, mean brain and first weights are the same; nothing was learned.
        """
        check_is_fitted(self, "reconstruction_")
        other = type(self)(**self.get_params(deep=False))
        other.seed_ = self.seed_
        other._build(self.mask_, self.mean_brain_[self.mask_], self.reconstruction_.sd)
        other.mean_brain_mae_ = self.mean_brain_mae_
        other.history_ = History()
        other.precision_ = PrecisionChoice("32-true", False, "Nothing was trained.")
        other.mae_ = np.full(len(self.mae_), np.nan)
        return other

    def save(self, folder: str | Path) -> None:
        """Write options, mask, mean brain and weights into a folder: JSON and safetensors, no pickles."""
        check_is_fitted(self, "reconstruction_")
        write_autoencoder(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote; ready to transform and to explain, on the CPU."""
        estimator = cls()
        read_autoencoder(estimator, Path(folder))
        return estimator

    def _build(self, mask: npt.NDArray[np.bool_], mean: Volumes, sd: float) -> None:
        """Put the untrained network together, and the attributes that follow from the mask."""
        window = mask_window(mask)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed_, "weights"))
            network = Autoencoder3d(self.n_blocks, self.n_channels, stem=self.stem, variational=self.beta > 0)
        self.mask_ = np.array(mask)
        self.mean_brain_ = np.zeros(mask.shape, np.float32)
        self.mean_brain_[mask] = mean
        self.reconstruction_: BrainReconstruction = BrainReconstruction(
            network,
            torch.from_numpy(self.mask_[window].copy()),
            torch.from_numpy(np.ascontiguousarray(mean)),
            sd,
            residual=self.residual,
            mask_ratio=self.mask_ratio,
        ).eval()
        self.feature_shape_ = network.feature_shape(self.mask_[window].shape)
        self._n_features_out = int(np.prod(self.feature_shape_))

    def _train(self, inputs: WindowInputs, learning: Rows, stopping: Rows) -> None:
        device, targets = require_device(self.device), MaskedTargets(inputs)
        loss = ReconstructionError(self.mean_brain_mae_, self.beta)
        folder = None if self.checkpoint is None else Path(self.checkpoint)
        name = training_name(self, inputs, learning)
        first = torch.from_numpy(learning[: self.batch_size])

        def choose() -> PrecisionChoice:
            batch = inputs[first], targets[first]
            return choose_precision(self.reconstruction_, *batch, loss, wanted=self.precision, device=device)

        # a training that goes on must be computed as it was begun, however the clock runs today
        self.precision_ = choose() if folder is None else kept_choice(folder / f"{name}.json", choose)
        self.precision_.prepare(self.reconstruction_)
        self.history_ = train(
            self.reconstruction_,
            inputs,
            targets,
            train_index=learning,
            validation_index=stopping,
            loss=loss,
            plan=self._plan(derive_seed(self.seed_, "training")),
            device=device,
            precision=self.precision_.precision,
            checkpoint=None if folder is None else folder / f"{name}.safetensors",
            checkpoint_seconds=self.checkpoint_seconds,
        )

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

    def _errors(self, inputs: WindowInputs) -> Array:
        targets, errors = MaskedTargets(inputs), np.empty(len(inputs))
        n_voxels = targets.shape[1]
        for sample, volume in self._each(inputs):
            with torch.no_grad():
                voxels = self.reconstruction_(volume).cpu()[:, :n_voxels]
            errors[sample] = (voxels - targets[torch.tensor([sample])]).abs().mean().item()
        return errors

    def _each(self, inputs: WindowInputs) -> Any:
        """Yield number and volume, ``(1, 1, *box)``, of each sample, on the network's device."""
        for sample in range(len(inputs)):
            volume: Tensor = inputs[torch.tensor([sample])].to(self._device())
            if not torch.isfinite(volume).all():
                raise InputError(f"{inputs.subject(sample)}: the volume holds NaN or infinite values in the mask.")
            yield sample, volume

    def _device(self) -> torch.device:
        parameter: nn.Parameter = next(self.reconstruction_.parameters())
        return parameter.device

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _require_options(self) -> None:
        bounds = {
            "residual": self.residual in {"none", "mean"},
            "mask_ratio": 0 <= self.mask_ratio < 1,
            "beta": self.beta >= 0,
            "validation_fraction": 0 <= self.validation_fraction <= 0.5,
        }
        for name, fits in bounds.items():
            if not fits:
                raise InputError(
                    f"ConvolutionalAutoencoder: {name} = {getattr(self, name)!r} is out of range. See its description."
                )
        self._plan(seed=0)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags
