"""Synthetic brains along each target: its direction among the features, decoded at both ends; stamped as such."""

from collections.abc import Iterator

import numpy as np

from kotowari.core.errors import DesignError
from kotowari.core.evidence import Check
from kotowari.core.jobs import Arrays
from kotowari.studies.brain.comparison import said_by_encoders
from kotowari.studies.brain.job import OURS, BrainJob
from kotowari.studies.brain.maps.patterns import centred_by_fold
from kotowari.studies.brain.model.clinical_axis import ClinicalAxis, clinical_axis

__all__ = ["decode_targets", "synthetic_check", "synthetic_pictures"]

_KEPT = "synthetic"


def decode_targets(job: BrainJob) -> None:
    """Write ``maps/<target>-synthetic-difference.nii.gz`` for each number on its own scale; keep what tests need."""
    if job.config.features.beta > 0:
        return
    said = said_by_encoders(job)
    encoder = job.encoder()
    features = encoder.transform(job.store)
    found: Arrays = {}
    for number, question in enumerate(job.questions):
        target = question.target
        if target.kind != "number" or target.transform != "none" or job.config.cohort.harmonise != "none":
            continue
        rows, score = centred_by_fold(said[question.name][OURS])
        covariates = question.subjects.covariates
        own = None if covariates is None else covariates.iloc[rows].reset_index(drop=True)
        regression = job.regression(question)
        try:
            axis = clinical_axis(encoder, regression, features[rows], target.values[rows], score=score, covariates=own)
        except DesignError as error:  # nothing goes along with a prediction that foretells nothing
            found[f"refused-{number}"] = np.array(str(error))
            continue
        job.store.save_map(
            job.path / "maps" / f"{job.file_word(question.name)}-synthetic-difference.nii.gz",
            axis.difference.astype(np.float32),
        )
        found |= {f"{name}-{number}": value for name, value in _arrays(axis).items()}
    job.keep(_KEPT, found)


def synthetic_check(job: BrainJob, number: int) -> Iterator[Check]:
    """Return whether the change that was asked of the synthetic volumes is in them."""
    kept = job.kept(_KEPT) if job.holds(_KEPT) else {}
    name = "synthetic volumes"
    if f"refused-{number}" in kept:
        yield Check.not_applicable(name, str(kept[f"refused-{number}"]))
    elif f"returned-{number}" in kept:
        returned, threshold = float(kept[f"returned-{number}"]), float(kept[f"threshold-{number}"])
        yield Check.at_least(name, returned, threshold, str(kept[f"sentence-{number}"]))


def synthetic_pictures(job: BrainJob) -> Arrays:
    """Return what the pictures of synthetic volumes are drawn from."""
    kept = job.kept(_KEPT) if job.holds(_KEPT) else {}
    own = [k for k in range(len(job.questions)) if f"difference-{k}" in kept]
    if not own:
        return {}
    return {
        "synthetic_targets": np.array([job.questions[k].name for k in own]),
        "synthetic_difference": np.stack([kept[f"difference-{k}"] for k in own]),
        "synthetic_low": np.array([float(kept[f"low-{k}"]) for k in own]),
        "synthetic_high": np.array([float(kept[f"high-{k}"]) for k in own]),
    }


def _arrays(axis: ClinicalAxis) -> Arrays:
    threshold = axis.check.threshold
    return {
        "difference": axis.difference.astype(np.float32),
        "low": np.array(axis.low_value),
        "high": np.array(axis.high_value),
        "returned": np.array(axis.returned),
        "threshold": np.array(np.nan if threshold is None else threshold),
        "sentence": np.array(f"{axis.check.sentence} {axis.stamp}"),
    }
