"""How well networks foretell their own targets in samples kept aside: what they are worth without any response."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.core.runfolder import Metric, Role
from kotowari.studies.genenet.job import PROFILER, GenenetJob
from kotowari.trust.intervals import bootstrap_interval

__all__ = ["ONE_NETWORK", "TARGETS", "score_targets"]

FloatArray = npt.NDArray[np.float64]

TARGETS, EXPLAINED = "expression of the targets", "R2"
ONE_NETWORK = "one elastic net for all samples"
_MODELS: dict[str, tuple[str, Role]] = {
    PROFILER: ("varying", "ours"),
    ONE_NETWORK: ("global", "comparator"),
    "spline of the modulator": ("spline", "trivial null"),
}


def score_targets(job: GenenetJob, parts: Mapping[str, Arrays]) -> list[Metric]:
    """Score the networks of the folds on the rows kept aside, and keep what the pictures and checks need.

    R2 is the share of the squared deviation from the training mean that goes, over all targets, each in units of its
    training standard deviation.
    """
    owners = np.concatenate([job.samples.groups[fold.test] for fold in job.folds])
    mean = _row_sums(parts, "mean")
    options: dict[str, Any] = {"groups": owners, "random_state": job.seed("intervals")}
    rows, errors = [], {}
    for model, (name, role) in _MODELS.items():
        errors[model] = _row_sums(parts, name)
        interval = bootstrap_interval(_explained, errors[model], mean, **options)
        rows.append(
            Metric(TARGETS, EXPLAINED, model, role, interval.value, low=interval.low, high=interval.high, n=len(owners))
        )
    gain = bootstrap_interval(_difference, errors[PROFILER], errors[ONE_NETWORK], mean, **options)
    genes = sorted({str(gene) for part in parts.values() for gene in part["targets"]})
    scores = [[_of_gene(parts, gene, name) for gene in genes] for name, _ in _MODELS.values()]
    job.keep(
        "targets",
        {
            "target_models": np.array(list(_MODELS)),
            "target_genes": np.array(genes),
            "target_scores": np.array(scores),
            "gain": np.array([gain.value, gain.low, gain.high]),
        },
    )
    return rows


def _row_sums(parts: Mapping[str, Arrays], name: str) -> FloatArray:
    return np.concatenate([part[name].sum(1) for part in parts.values()])


def _explained(error: FloatArray, mean: FloatArray) -> float:
    return float(1 - error.sum() / mean.sum())


def _difference(ours: FloatArray, other: FloatArray, mean: FloatArray) -> float:
    return _explained(ours, mean) - _explained(other, mean)


def _of_gene(parts: Mapping[str, Arrays], gene: str, name: str) -> float:
    """Pool one target over the folds that chose it."""
    error = mean = 0.0
    for part in parts.values():
        for column in np.flatnonzero(part["targets"] == gene):
            error, mean = error + float(part[name][:, column].sum()), mean + float(part["mean"][:, column].sum())
    return 1 - error / mean
