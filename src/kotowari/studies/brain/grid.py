"""Every number of blocks and channels: how well it reconstructs beside how well its features foretell."""

import numpy as np
import pandas as pd

from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.core.runfolder import Metric
from kotowari.studies.brain.comparison import external_answer, external_name
from kotowari.studies.brain.fitting import EncoderTask, fit_grid_model
from kotowari.studies.brain.job import BrainJob
from kotowari.studies.brain.model.regression_cv import Arm, cross_validated
from kotowari.studies.brain.model.regression_scores import main_statistic
from kotowari.studies.brain.questions import Question
from kotowari.trust.scores import spearman

__all__ = ["GRID", "fit_models", "score_models"]

GRID = "grid.csv"
_FEWEST = 3  # models that a rank correlation is told of


def _pairs(job: BrainJob) -> list[tuple[int, int]]:
    own = job.config.features
    return [(blocks, channels) for blocks in own.grid_blocks for channels in own.grid_channels]


def fit_models(job: BrainJob, progress: Progress) -> None:
    """Fit the grid on all internal subjects; the sites kept aside test the reconstruction."""
    tests = np.flatnonzero(job.external)
    jobs = {}
    for blocks, channels in _pairs(job):
        home = job.path / "work" / "grid" / f"{blocks}-{channels}"
        task = EncoderTask(job.store, job.config, job.internal, job.groups, job.seed("grid"), home)
        jobs[f"{blocks}-{channels}"] = (task, blocks, channels, tests)
    if jobs:
        job.run(progress, "Models of the grid", "grid", fit_grid_model, jobs)


def score_models(job: BrainJob, progress: Progress) -> list[Metric]:
    """Write ``tables/grid.csv``, and return how blocks go with the error and with each target."""
    parts = job.run(Progress(shown=False), "", "grid", fit_grid_model, {f"{b}-{c}": () for b, c in _pairs(job)})
    if not parts:
        return []
    rows = []
    with progress.bar("Targets from the models of the grid", len(parts) * len(job.questions)) as advance:
        for (blocks, channels), part in zip(_pairs(job), parts.values(), strict=True):
            row = {
                "blocks": float(blocks),
                "channels": float(channels),
                "parameters": float(part["n_parameters"]),
                "features": float(part["n_features"]),
                "epochs": float(part["epochs"]),
                "MAE over mean brain": float(part["mae_over_mean_brain"]),
            }
            for question in job.questions:
                row |= _foretold(job, question, part["features"])
                advance(1)
            rows.append(row)
    table = pd.DataFrame(rows)
    write_table(job.path / "tables" / GRID, table)
    return _courses(job, table)


def _foretold(job: BrainJob, question: Question, features: np.ndarray) -> dict[str, float]:
    arm = Arm(job.model(), features)
    folds = job.folds_of(question, job.first_folds)
    said = cross_validated({"model": arm}, question.target, folds, question.subjects)["model"]
    found = {question.name: main_statistic(said)}
    beyond = external_answer(job, question, arm, features)
    if beyond is not None:
        found[external_name(question.name)] = main_statistic(beyond)
    return found


def _courses(job: BrainJob, table: pd.DataFrame) -> list[Metric]:
    """Return rank correlations of the number of blocks with the error and with what is foretold."""
    if len(table) < _FEWEST or table["blocks"].nunique() < 2:
        return []
    columns = ["MAE over mean brain", *(question.name for question in job.questions)]
    blocks = table["blocks"].to_numpy()
    return [
        Metric("grid", f"rank correlation of blocks with {name}", "all models of the grid", "ours", value, n=len(table))
        for name in columns
        if np.isfinite(value := spearman(blocks, table[name].to_numpy()))
    ]
