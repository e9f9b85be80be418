"""Features of brain volumes learned without labels, under scikit-learn's contract."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from kotowari.core.errors import ShapeError
from kotowari.core.seeds import derive_seed
from kotowari.networks.autoencoder3d import Autoencoder3d, Stem
from kotowari.studies.brain.model.autoencoder_input import BrainStatistics, MaskedTargets, WindowInputs, held_out
from kotowari.studies.brain.model.autoencoder_network import (
    BrainReconstruction,
    Extraction,
    ReconstructionError,
    Residual,
)
from kotowari.studies.brain.model.autoencoder_saved import read_encoder, training_name, write_encoder
from kotowari.studies.brain.model.brain_encoder import BrainEncoder
from kotowari.training.loop import train
from kotowari.training.precision import PrecisionName

__all__ = ["ConvolutionalAutoencoder"]

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.intp]
Volumes = npt.NDArray[np.float32]
_FACTS = "autoencoder.json"


class ConvolutionalAutoencoder(BrainEncoder):
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
    extraction
        What features are. ``"map"``: the coarse map that the decoder starts from, as in the paper. ``"extremes"``: the
        largest and the smallest value in each of its voxels before the last rectifier, twice as many features; the map
        keeps of a voxel where tissue is missing nothing but a 0. Needs a last block that pools, and ``beta`` 0.
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

    reconstruction_: BrainReconstruction
    mae_: Array
    mean_brain_mae_: float

    def __init__(
        self,
        n_blocks: int = 3,
        n_channels: int = 16,
        *,
        stem: Stem = "plain",
        residual: Residual = "mean",
        extraction: Extraction = "map",
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
        self.extraction = extraction
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
        source, inputs = self._opened(X, rows)
        learning, stopping = held_out(inputs, groups, self.validation_fraction, derive_seed(self.seed_, "hold-out"))
        statistics = BrainStatistics(inputs, learning)
        self._build(source.mask, statistics.mean, statistics.sd)
        self.mean_brain_mae_ = statistics.mean_error
        self._train(inputs, learning, stopping)
        self.mae_ = self._errors(inputs)
        return self

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

    def save(self, folder: str | Path) -> None:
        """Write options, mask, mean brain and weights into a folder: JSON and safetensors, no pickles."""
        check_is_fitted(self, "reconstruction_")
        write_encoder(self, Path(folder) / _FACTS, {"mae": self.mae_}, {"mean_brain_mae": self.mean_brain_mae_})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote; ready to transform and to explain, on the CPU."""
        estimator = cls()

        def take(words: dict[str, Any], arrays: dict[str, Array]) -> None:
            estimator.mae_, estimator.mean_brain_mae_ = arrays["mae"], words["mean_brain_mae"]

        read_encoder(estimator, Path(folder) / _FACTS, take)
        return estimator

    def _hand_over(self, untrained: Self) -> None:
        untrained.mean_brain_mae_, untrained.mae_ = self.mean_brain_mae_, np.full(len(self.mae_), np.nan)

    def _variational(self) -> bool:
        return self.beta > 0

    def _around(self, network: Autoencoder3d, mask: Tensor, mean: Tensor, sd: float) -> BrainReconstruction:
        return BrainReconstruction(
            network,
            mask,
            mean,
            sd,
            residual=self.residual,
            mask_ratio=self.mask_ratio,
            extraction=self.extraction,
        )

    def _train(self, inputs: WindowInputs, learning: Rows, stopping: Rows) -> None:
        targets, loss = MaskedTargets(inputs), ReconstructionError(self.mean_brain_mae_, self.beta)
        settings = self._settings(training_name(self, inputs, learning), (inputs, targets), learning, loss)
        self.history_ = train(
            self.reconstruction_,
            inputs,
            targets,
            train_index=learning,
            validation_index=stopping,
            loss=loss,
            **settings,
        )

    def _errors(self, inputs: WindowInputs) -> Array:
        targets, errors = MaskedTargets(inputs), np.empty(len(inputs))
        n_voxels = targets.shape[1]
        for samples, volumes in self._blocks(inputs):
            with torch.no_grad():
                voxels = self.reconstruction_(volumes).cpu()[:, :n_voxels]
            truth = targets[torch.arange(samples.start, samples.stop)]
            errors[samples] = (voxels - truth).abs().mean(1).numpy()
        return errors

    def _bounds(self) -> dict[str, bool]:
        return super()._bounds() | {"beta": self.beta >= 0}
