"""A finished model on new volumes: what it foretells of them, and how unlike the brains of the run they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kotowari.core.errors import InputError
from kotowari.core.files import fingerprint
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.core.runfolder import RunFolder
from kotowari.studies.brain.data import new_cohort
from kotowari.studies.brain.job import BrainJob, open_job
from kotowari.studies.brain.model.volume_store import VolumeStore
from kotowari.studies.brain.participants import Cohort
from kotowari.studies.brain.questions import Question, covariates_of

__all__ = ["apply"]


def apply(folder: RunFolder, table: Path, out: Path, annotations: Path | None = None) -> Path:
    """Encode new volumes with the label-free encoder of a run, and foretell its targets; nothing is fitted again.

    Parameters
    ----------
    folder
        The run.
    table
        New volumes: a folder laid out as that of the run, or a table of paths.
    out
        Folder for ``predictions.csv`` (a row a subject: predictions, error of the reconstruction beside the mean
        brain's), ``features.npy`` with ``features-subjects.csv`` (the feature table), and ``volumes`` (the store).
    annotations
        participants.tsv with the covariates that the run takes out; None for the one beside the volumes.

    Raises
    ------
    InputError
        When the run is not far enough, or volumes, participants or covariates do not fit.
    """
    job = open_job(folder)
    if folder.stage_state("fit") != "done":
        raise InputError(f"{folder.path}: has no fitted model yet. Finish it by `kotowari resume {folder.path}`.")
    cohort = new_cohort(table, annotations, job.config)
    _require_strangers(job, cohort)
    beside = {question.name: _known_beside(job, question, cohort) for question in job.questions}
    out.mkdir(parents=True, exist_ok=True)
    progress = Progress()
    with progress.bar("New volumes into a store", len(cohort.paths)) as advance:
        store = VolumeStore.build(
            cohort.paths,
            job.store,
            out / "volumes",
            subjects=cohort.subjects,
            resample=job.config.data.resample,
            workers=job.config.workers,
            advance=advance,
        )
    encoder = job.encoder()
    features = encoder.transform(store)
    np.save(out / "features.npy", features)
    write_table(out / "features-subjects.csv", pd.DataFrame({"subject": cohort.subjects}))
    said = pd.DataFrame({"subject": cohort.subjects})
    for question in job.questions:
        said[question.name] = job.regression(question).predict(features, **beside[question.name])
    errors, plain = encoder.errors(store), encoder.mean_brain_errors(store)
    said["reconstruction error over mean brain's"] = errors / plain
    write_table(out / "predictions.csv", said)
    return out / "predictions.csv"


def _known_beside(job: BrainJob, question: Question, cohort: Cohort) -> dict[str, Any]:
    """Return sites and covariates as the regression of a target takes them."""
    columns = question.subjects.covariates
    names = () if columns is None else tuple(str(name) for name in columns)
    sites = None
    if job.config.cohort.harmonise == "combat":
        sites = cohort.labels(str(job.config.cohort.site))
    return {"sites": sites, "covariates": covariates_of(cohort, names)}


def _require_strangers(job: BrainJob, cohort: Cohort) -> None:
    """Refuse volumes that the model learned from: what it says of them is no prediction."""
    if not job.cohort.paths:
        return
    own = {str(entry["sha256"]) for entry in job.store.inputs}
    known = [
        name for name, path in zip(cohort.subjects, cohort.paths, strict=True) if fingerprint(path)["sha256"] in own
    ]
    if known:
        raise InputError(
            f"{cohort.where}: {known[0]} ({len(known)} in all) is among the subjects of the run. Leave them out; their "
            f"predictions stand in {job.path / 'tables'}."
        )
