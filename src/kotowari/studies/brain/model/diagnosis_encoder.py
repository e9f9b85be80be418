"""Features of brain volumes learned by telling diagnoses apart: the comparison that label-free features ask for."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional

from kotowari.core.checks import few
from kotowari.core.errors import CapabilityError, DesignError, InputError, ShapeError
from kotowari.core.seeds import derive_seed
from kotowari.networks.autoencoder3d import Autoencoder3d, Stem
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.autoencoder_input import BrainStatistics, WindowInputs, held_out
from kotowari.studies.brain.model.autoencoder_network import Extraction, Residual
from kotowari.studies.brain.model.autoencoder_saved import read_encoder, training_name, write_encoder
from kotowari.studies.brain.model.brain_encoder import BrainEncoder
from kotowari.studies.brain.model.diagnosis_network import BrainClassifier
from kotowari.training.loop import train
from kotowari.training.losses import class_weights, weighted_cross_entropy
from kotowari.training.precision import PrecisionName

__all__ = ["DiagnosisEncoder"]

Rows = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]

_FACTS = "diagnosis_encoder.json"


class DiagnosisEncoder(BrainEncoder):
    """Features of volumes, learned by telling diagnoses apart.

    The encoder of :class:`ConvolutionalAutoencoder` with a linear head on its flattened features, trained by cross
    entropy in which every class counts alike. Input, first weights, optimiser and number of epochs are those of an
    autoencoder of the same options, see :meth:`like`. The subjects that decide when to stop are as many, but hold every
    class.

    Whether such features carry more or less of a dose or a symptom than label-free ones is asked within patients and
    on other subjects; on those learned from, they know the diagnosis by heart.

    Parameters
    ----------
    n_blocks, n_channels, stem, residual, extraction, mask_ratio, noise
        As in :class:`ConvolutionalAutoencoder`.
    max_epochs, patience, batch_size, learning_rate, validation_fraction
        As there; ``validation_fraction`` is a share of every class.
    precision, device, mask, random_state, checkpoint, checkpoint_seconds
        As there.

    Attributes
    ----------
    classes_
        In order.
    mean_brain_, mask_, feature_shape_, precision_
        As in :class:`ConvolutionalAutoencoder`.
    reconstruction_
        The network: what :class:`kotowari.studies.brain.maps.brain_score.BrainScore` asks of an encoder. It
        reconstructs nothing.
    history_
        Cross entropies by epoch; the logarithm of the number of classes is chance.

    Source: the comparison is that of Yamaguchi et al. 2021, Front. Neurosci. 15:652987, whose question is whether a
    diagnosis in training discards what clinical variables need. The head and its scale are ours.
    """

    reconstruction_: BrainClassifier

    def __init__(
        self,
        n_blocks: int = 3,
        n_channels: int = 16,
        *,
        stem: Stem = "plain",
        residual: Residual = "mean",
        extraction: Extraction = "map",
        mask_ratio: float = 0.0,
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

    @classmethod
    def like(cls, autoencoder: ConvolutionalAutoencoder) -> Self:
        """Return an unfitted encoder with all options of an autoencoder, to be compared with it.

        Raises
        ------
        CapabilityError
            When the autoencoder is variational: its features are drawn in training, and so differ in more than the
            target.
        """
        options = autoencoder.get_params(deep=False)
        if options.pop("beta") > 0:
            raise CapabilityError("DiagnosisEncoder: a variational autoencoder has no counterpart here. Set beta=0.")
        return cls(**options)

    def fit(self, X: Any, y: Any, *, rows: Any = None, groups: Any = None) -> Self:
        """Learn to tell the classes apart.

        Parameters
        ----------
        X
            Shape ``(subject, x, y, z)``, or a store.
        y
            Class of each row learned from: words or numbers, shape ``(row,)``.
        rows
            Rows to learn from; None for all.
        groups
            Owner of each of these rows, such as the person scanned twice; validation never splits an owner.

        Raises
        ------
        ShapeError
            When volumes and mask do not fit, or there is not one class a row.
        InputError
            When an option is out of range, a class is missing, or a volume is empty or not finite in the mask; the
            sentence names it.
        DesignError
            When there is one class only, a class has one subject to learn from, or all volumes are alike.
        """
        source, inputs = self._opened(X, rows)
        classes, codes = _classes(y, inputs)
        owners = _owners(groups, len(inputs))
        _require_pairs(classes, codes, owners)
        learning, stopping = held_out(
            inputs, groups, self.validation_fraction, derive_seed(self.seed_, "hold-out"), codes
        )
        _require_pairs(classes, codes[learning], owners[learning])
        self.classes_: npt.NDArray[Any] = classes
        statistics = BrainStatistics(inputs, learning)
        self._build(source.mask, statistics.mean, statistics.sd)
        self._train(inputs, codes, learning, stopping)
        return self

    def predict_proba(self, X: Any, *, rows: Any = None) -> FloatArray:
        """Return the share of each class, ``(subject, x, y, z) -> (subject, class)``, were all equally frequent."""
        inputs = self._inputs(X, rows)
        shares = np.empty((len(inputs), len(self.classes_)))
        for samples, volumes in self._blocks(inputs):
            with torch.no_grad():
                shares[samples] = self.reconstruction_(volumes).double().softmax(1).cpu().numpy()
        return shares

    def predict(self, X: Any, *, rows: Any = None) -> npt.NDArray[Any]:
        """Return the class of the largest share, ``(subject, x, y, z) -> (subject,)``."""
        shares = self.predict_proba(X, rows=rows)
        said: npt.NDArray[Any] = self.classes_[shares.argmax(1)]
        return said

    def save(self, folder: str | Path) -> None:
        """Write options, mask, mean brain, classes and weights into a folder: JSON and safetensors, no pickles."""
        check_is_fitted(self, "reconstruction_")
        write_encoder(self, Path(folder) / _FACTS, {}, {"classes": self.classes_.tolist()})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote; ready to transform, predict and explain, on the CPU."""
        encoder = cls()

        def take(words: dict[str, Any], _: dict[str, npt.NDArray[Any]]) -> None:
            encoder.classes_ = np.array(words["classes"])

        read_encoder(encoder, Path(folder) / _FACTS, take)
        return encoder

    def _hand_over(self, untrained: Self) -> None:
        untrained.classes_ = self.classes_

    def _variational(self) -> bool:
        return False

    def _around(self, network: Autoencoder3d, mask: Tensor, mean: Tensor, sd: float) -> BrainClassifier:
        return BrainClassifier(
            network,
            mask,
            mean,
            sd,
            n_classes=len(self.classes_),
            residual=self.residual,
            mask_ratio=self.mask_ratio,
            extraction=self.extraction,
        )

    def _train(self, inputs: WindowInputs, codes: Rows, learning: Rows, stopping: Rows) -> None:
        n_classes = len(self.classes_)
        targets = functional.one_hot(torch.from_numpy(codes), n_classes).float()
        loss = weighted_cross_entropy(class_weights(codes[learning], n_classes))
        settings = self._settings(training_name(self, inputs, learning, codes), (inputs, targets), learning, loss)
        self.history_ = train(
            self.reconstruction_,
            inputs,
            targets,
            train_index=learning,
            validation_index=stopping,
            loss=loss,
            **settings,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _classes(y: Any, inputs: WindowInputs) -> tuple[npt.NDArray[Any], Rows]:
    """Return the classes, in order, and the number of each row's."""
    if y is None:
        raise InputError("DiagnosisEncoder: requires y to be passed, but the target y is None")
    labels = np.asarray(y)
    if labels.shape != (len(inputs),):
        raise ShapeError.mismatch("DiagnosisEncoder", "y", (len(inputs),), labels.shape)
    missing = np.flatnonzero(pd.isna(labels) | (labels.astype(np.str_) == ""))
    if len(missing):
        raise InputError(
            f"DiagnosisEncoder: the class is missing for {few(inputs.subject(int(row)) for row in missing)}. Fill it "
            "in, or leave out such subjects."
        )
    if len({isinstance(label, str) for label in labels.tolist()}) > 1:
        raise InputError("DiagnosisEncoder: some classes are words and some are numbers. Write all alike.")
    found, codes = np.unique(labels, return_inverse=True)
    if len(found) < 2:
        raise DesignError(f"DiagnosisEncoder: all subjects are {found[0]!s}; there is nothing to tell apart.")
    return np.array(found.tolist()), codes


def _owners(groups: Any, n_rows: int) -> npt.NDArray[Any]:
    owners = np.arange(n_rows) if groups is None else np.asarray(groups)
    if owners.shape != (n_rows,):
        raise ShapeError.mismatch("DiagnosisEncoder", "groups", (n_rows,), owners.shape)
    return owners


def _require_pairs(classes: npt.NDArray[Any], codes: Rows, owners: npt.NDArray[Any]) -> None:
    for code, name in enumerate(classes):
        n_subjects = len(set(owners[codes == code].tolist()))
        if n_subjects < 2:
            raise DesignError(
                f"DiagnosisEncoder: the class {name!s} has {n_subjects} subject to learn from, whom a network would "
                "know by heart. Leave the class out, join it with another, or bring more of its subjects."
            )
