"""What is fitted in a process of its own: encoders with and without labels, models of the grid. Arrays come back."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.studies.brain.compact import same_products
from kotowari.studies.brain.config import Config
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.autoencoder_grid import fit_grid
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.diagnosis_encoder import DiagnosisEncoder
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.volume_store import VolumeStore
from kotowari.training.devices import one_thread

__all__ = [
    "EncoderTask",
    "blocks_of",
    "coordinates",
    "fit_autoencoder",
    "fit_diagnosis_encoder",
    "fit_grid_model",
    "make_autoencoder",
    "make_regression",
]

Rows = npt.NDArray[np.intp]
_FEATURE_MM = 16.0


@dataclass(frozen=True, eq=False)
class EncoderTask:
    """What an encoder learns from, and where it is kept.

    Parameters
    ----------
    store
        All volumes.
    config
        Of the run.
    rows
        To learn from.
    groups
        Owner of every row of the store.
    seed
        Of first weights, order and hold-out.
    folder
        Keeps the checkpoint and, at the end, the encoder.
    """

    store: VolumeStore
    config: Config
    rows: Rows
    groups: npt.NDArray[Any]
    seed: int
    folder: Path


def blocks_of(config: Config, store: VolumeStore) -> int:
    """Return the number of blocks: as configured, or so many that a feature spans about 16 mm."""
    if config.features.n_blocks != "auto":
        return config.features.n_blocks
    edge = float(np.mean(store.grid.voxel_mm))
    return max(1, round(math.log2(_FEATURE_MM / edge)))


def make_autoencoder(config: Config, store: VolumeStore, seed: int, **options: Any) -> ConvolutionalAutoencoder:
    """Return an unfitted autoencoder as configured for these volumes; ``options`` are laid over."""
    own = config.features
    settings: dict[str, Any] = {
        "n_blocks": blocks_of(config, store),
        "n_channels": own.n_channels,
        "stem": own.stem,
        "residual": own.residual,
        "extraction": own.extraction,
        "mask_ratio": own.mask_ratio,
        "beta": own.beta,
        "noise": own.noise,
        "max_epochs": own.max_epochs,
        "learning_rate": own.learning_rate,
        "batch_size": own.batch_size,
        "validation_fraction": own.validation_fraction,
        "precision": own.precision,
        "device": config.device,
        "random_state": seed,
    }
    return ConvolutionalAutoencoder(**(settings | options))


def make_regression(config: Config, seed: int) -> LatentRegression:
    """Return the unfitted regression of all arms as configured.

    Features keep their own scale: what varies little over subjects stays small, and the penalty holds it down. On
    planted brains that foretold the dose better than features of unit variance.
    """
    harmoniser = None
    if config.cohort.harmonise == "combat":
        harmoniser = ComBat(unseen=config.cohort.unseen)
    nuisance: Any = "features" if config.cohort.covariates else "none"
    return LatentRegression(
        config.targets.method, harmoniser=harmoniser, nuisance=nuisance, scale=False, random_state=seed
    )


def coordinates(X: npt.NDArray[Any], config: Config) -> npt.NDArray[Any]:
    """Return features for regression: turned into few numbers where no model looks at them one by one."""
    if config.cohort.harmonise == "none":
        return same_products(X)
    return X.reshape(len(X), -1).astype(np.float32)


def fit_autoencoder(task: EncoderTask) -> Arrays:
    """Fit an autoencoder on some rows, and encode all.

    Returns
    -------
    dict
        ``features`` and ``untrained``, as :func:`coordinates` of all rows; ``mae``, ``untrained_mae`` and
        ``mean_mae`` (the mean training brain as answer) of all rows, in units of the volumes; ``train_loss`` and
        ``validation_loss`` by epoch, in shares of the mean brain's; ``best_epoch``; ``precision``, and why.
    """
    with one_thread():
        model = make_autoencoder(task.config, task.store, task.seed, checkpoint=task.folder)
        model.fit(task.store, rows=task.rows, groups=task.groups[task.rows])
        model.save(task.folder)
        before = model.untrained()
        return {
            "features": coordinates(model.transform(task.store), task.config),
            "untrained": coordinates(before.transform(task.store), task.config),
            "mae": model.errors(task.store),
            "untrained_mae": before.errors(task.store),
            "mean_mae": model.mean_brain_errors(task.store),
            "train_loss": np.array(model.history_.train_loss),
            "validation_loss": np.array(model.history_.validation_loss),
            "best_epoch": np.array(model.history_.best_epoch),
            "precision": np.array([model.precision_.precision, model.precision_.reason]),
        }


def fit_diagnosis_encoder(task: EncoderTask, labels: npt.NDArray[np.str_]) -> Arrays:
    """Train the same encoder to tell the diagnosis of some rows, and encode all.

    Returns
    -------
    dict
        ``features``, as :func:`coordinates` of all rows; ``probability`` of each class and ``classes``.
    """
    with one_thread():
        model = DiagnosisEncoder.like(
            make_autoencoder(task.config, task.store, task.seed, beta=0.0, checkpoint=task.folder)
        )
        model.fit(task.store, labels[task.rows], rows=task.rows, groups=task.groups[task.rows])
        return {
            "features": coordinates(model.transform(task.store), task.config),
            "probability": model.predict_proba(task.store),
            "classes": np.array(model.classes_, dtype=np.str_),
        }


def fit_grid_model(task: EncoderTask, n_blocks: int, n_channels: int, test_rows: Rows) -> Arrays:
    """Fit one model of the grid, and encode all rows.

    Returns
    -------
    dict
        ``features``, as :func:`coordinates` of all rows; and the columns of :func:`fit_grid` that are numbers.
    """
    with one_thread():
        table = fit_grid(
            task.store,
            folder=task.folder,
            blocks=(n_blocks,),
            channels=(n_channels,),
            model=make_autoencoder(task.config, task.store, task.seed),
            rows=task.rows,
            test_rows=test_rows,
            groups=task.groups[task.rows],
        )
        home = task.folder / f"blocks-{n_blocks}-channels-{n_channels}"
        model = ConvolutionalAutoencoder.load(home)
        numbers = table.select_dtypes("number").iloc[0]
        columns = {str(name): np.array(float(value)) for name, value in numbers.items()}
        return {"features": coordinates(model.transform(task.store), task.config), **columns}
