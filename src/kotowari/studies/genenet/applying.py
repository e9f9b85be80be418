"""Finished networks on new samples: their network, what it says of the response, and which edges say it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import InputError
from kotowari.core.page import write_table
from kotowari.core.runfolder import RunFolder
from kotowari.studies.genenet.data import NewTable, read_new_table
from kotowari.studies.genenet.fitting import ESTIMATORS, contributions_of, effects_of
from kotowari.studies.genenet.job import GenenetJob, open_job
from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks
from kotowari.studies.genenet.network_files import write_networks
from kotowari.studies.genenet.preparation import columns_of, modulator_columns

__all__ = ["apply"]

_EDGES_SHOWN = 25


def apply(folder: RunFolder, table: Path, out: Path, annotations: Path | None = None) -> Path:
    """Take the networks of new samples from a finished run, and predict its response from them.

    The run's own table is read again: adjustment and modulator are fitted on it.

    Parameters
    ----------
    folder
        The run.
    table
        New samples, laid out as the table of the run. They need its regulators, targets and the genes of its score;
        others are ignored.
    out
        Folder for ``networks/`` (see :func:`write_networks`), ``predictions.csv`` (modulator, whether it lay beyond the
        samples of the run, prediction: class with probabilities, value, or log hazard relative to the mean network)
        and ``contributions.csv`` (the edges that speak most, a row a sample and edge).
    annotations
        Table of the modulator and covariates of the new samples, where the run has such columns.

    Raises
    ------
    InputError
        When the run has no networks yet, or a gene or column is missing.
    """
    job = open_job(folder)
    if folder.stage_state("networks") != "done" or (job.predicts and folder.stage_state("fit") != "done"):
        raise InputError(f"{folder.path}: has no fitted model yet. Finish it by `kotowari resume {folder.path}`.")
    new = read_new_table(table, job.config, annotations)
    X, axis = _prepared(job, new, table.name)
    places, _ = job.whole.places(axis, X)
    index = X.index
    asked = pd.Series(places, index=index) if places.ndim == 1 else pd.DataFrame(places, index=index)
    stack = job.profiler.coefficients(asked)
    write_networks(stack, out / "networks")
    said = pd.DataFrame({"sample": index} | modulator_columns(axis))
    said["beyond the run's samples"] = (columns_of(places) != columns_of(axis)).any(1)
    if job.predicts:
        effects = effects_of([job.networks, stack], job.X, [job.X, X], job.config)
        said = _predicted(job, effects[np.arange(len(job.X), len(effects))], said, out)
    write_table(out / "predictions.csv", said)
    return out / "predictions.csv"


def _prepared(job: GenenetJob, new: NewTable, name: str) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    absent = [gene for gene in job.whole.needed if gene not in new.X.columns]
    if absent:
        raise InputError(
            f"{name}: lacks {len(absent)} of the {len(job.whole.needed)} genes that the run uses ({few(absent)}). Add "
            "them, or run the study again on the genes that both tables have."
        )
    # genes that nothing is made of may be absent; any number will do for them
    known = new.X.reindex(columns=job.samples.X.columns)
    unused = [gene for gene in known.columns if gene not in set(job.whole.needed)]
    known[unused] = known[unused].fillna(job.samples.X[unused].mean())
    X = job.whole.adjusted(known, new.covariates)
    return X, job.whole.axis(X, new.modulator, new.second)


def _predicted(job: GenenetJob, effects: SparseNetworks, said: pd.DataFrame, out: Path) -> pd.DataFrame:
    """Add predictions to the table, and write which edges speak for and against them."""
    model = ESTIMATORS[job.task].load(job.path / "model" / "final")
    found = contributions_of(model, effects)
    if job.task == "survival":
        # a log hazard is known up to a constant: told against the mean network, as the contributions are
        said["log relative hazard"] = found["change"]
    else:
        said["prediction"] = model.predict(effects)
    if job.task == "classification":
        for name, column in zip(model.classes_, model.predict_proba(effects).T, strict=True):
            said[f"p({name})"] = column
    said["completeness gap"] = found["gap"]
    stack = job.networks
    rows = []
    for sample, values in zip(said["sample"], found["contributions"], strict=True):
        for edge in np.argsort(-np.abs(values), kind="stable")[:_EDGES_SHOWN]:
            regulator, target = effects.edges[edge]
            rows.append((sample, stack.regulators[regulator], stack.targets[target], values[edge]))
    columns = ["sample", "regulator", "target", "contribution"]
    write_table(out / "contributions.csv", pd.DataFrame(rows, columns=columns))
    return said
