"""How well volumes are given back, beside the mean brain and as many components as there are subjects."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.core.runfolder import Metric, Role
from kotowari.studies.brain.baselines.principal_components import PrincipalComponents
from kotowari.studies.brain.comparison import external_name
from kotowari.studies.brain.job import FINAL, OURS, UNTRAINED, BrainJob
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.volume_store import VolumeStore
from kotowari.training.devices import one_thread
from kotowari.trust.folds import Fold
from kotowari.trust.intervals import bootstrap_interval

__all__ = ["MEAN_BRAIN", "PRINCIPAL", "RECONSTRUCTION", "mean_volumes", "principal_errors", "reconstruction_rows"]

RECONSTRUCTION = "reconstruction"
MEAN_BRAIN = "mean training brain"
PRINCIPAL = "principal components, n - 1"


def principal_errors(store: VolumeStore, fold: Fold) -> Arrays:
    """Return the mean absolute error in the mask of all components of the training rows, on the rows kept aside."""
    with one_thread():
        model = PrincipalComponents().fit(store.vectors(fold.train))
        return {"mae": model.errors(store.vectors(fold.test))}


def mean_volumes(folder: Path, store: VolumeStore, rows: npt.NDArray[np.intp]) -> Arrays:
    """Return the mean of the reconstructions and of the absolute errors over subjects, shape of the box each."""
    with one_thread():
        encoder = ConvolutionalAutoencoder.load(folder)
        mean, error = np.zeros(store.mask.shape), np.zeros(store.mask.shape)
        for row in rows:
            (said,) = encoder.inverse_transform(encoder.transform(store, rows=[int(row)]))
            mean += said
            error += np.abs(said - store.volumes([int(row)])[0]) * store.mask
        return {"mean": (mean / len(rows)).astype(np.float32), "error": (error / len(rows)).astype(np.float32)}


def reconstruction_rows(job: BrainJob, principal: dict[str, Arrays]) -> list[Metric]:
    """Return the errors on subjects kept aside, with intervals over subjects: of folds, then of the external sites."""
    folds = job.first_folds
    parts = [job.encoded(name) for name in job.fold_names]
    rows = np.concatenate([fold.test for fold in folds])
    found = {
        name: np.concatenate([part[key][fold.test] for part, fold in zip(parts, folds, strict=True)])
        for name, key in ((OURS, "mae"), (UNTRAINED, "untrained_mae"), (MEAN_BRAIN, "mean_mae"))
    }
    found[PRINCIPAL] = np.concatenate([principal[name]["mae"] for name in job.fold_names])
    metrics = _rows(job, RECONSTRUCTION, found, rows)
    beyond = np.flatnonzero(job.external)
    if len(beyond) > 1:
        final = job.encoded(FINAL)
        there = {OURS: final["mae"], UNTRAINED: final["untrained_mae"], MEAN_BRAIN: final["mean_mae"]}
        metrics += _rows(job, external_name(RECONSTRUCTION), {name: own[beyond] for name, own in there.items()}, beyond)
    return metrics


def _rows(
    job: BrainJob, target: str, errors: dict[str, npt.NDArray[np.float64]], rows: npt.NDArray[np.intp]
) -> list[Metric]:
    roles: dict[str, Role] = {OURS: "ours", UNTRAINED: "untrained", MEAN_BRAIN: "trivial null", PRINCIPAL: "comparator"}
    metrics = []
    for name, own in errors.items():
        span = bootstrap_interval(np.mean, own, groups=job.groups[rows], random_state=job.seed("intervals"))
        metrics.append(Metric(target, "MAE", name, roles[name], span.value, low=span.low, high=span.high, n=len(own)))
    return metrics
