"""What chance gives: every regression fitted anew to permuted targets, the largest of all models and targets taken."""

from dataclasses import replace

import numpy as np
import pandas as pd

from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.core.runfolder import Metric
from kotowari.studies.brain.comparison import encoder_arms, fixed_arms, pooling_name, voxels_name
from kotowari.studies.brain.job import LABEL_TRAINED, OURS, UNTRAINED, BrainJob
from kotowari.studies.brain.model.regression_cv import Arm
from kotowari.studies.brain.model.regression_permutation import permutation_test
from kotowari.studies.brain.questions import Question

__all__ = ["CHANCE", "main_metric", "permute_targets"]

CHANCE = "permuted targets"
_CHUNK = 50
_CENTRAL = (0.025, 0.975)


def main_metric(question: Question) -> str:
    """Return the score that tests and sentences speak of."""
    return {"class": "AUC", "survival": "C"}.get(question.target.kind, "r")


def permute_targets(job: BrainJob, progress: Progress) -> None:
    """Write ``tables/chance.csv``, and give the scores their p values: family-wise over all targets and models."""
    n = job.config.trust.n_permutations
    if not n:
        return
    arms = _tested(job)
    n_jobs = sum(len(own) for own in arms.values()) * -(-(n + 1) // _CHUNK)
    with progress.bar("Refits on permuted targets", n_jobs) as advance:
        found = permutation_test(
            arms,
            [question.target for question in job.questions],
            {question.name: job.folds_of(question, job.first_folds) for question in job.questions},
            {question.name: question.subjects for question in job.questions},
            n_permutations=n,
            blocks=job.questions[0].subjects.sites,
            chunk=_CHUNK,
            shards=job.shards("null"),
            workers=job.config.workers,
            advance=advance,
            random_state=job.seed("permutations"),
        )
    write_table(job.path / "tables" / "chance.csv", found.table)
    ours = np.flatnonzero(found.table["model"] == OURS).tolist()
    job.keep("null", {"values": found.null[:, ours], "observed": found.table["statistic"].to_numpy()[ours]})
    _give_p(job, found.table)
    job.folder.write_metrics(
        "null", [_chance_row(question, found.null[:, k]) for question, k in zip(job.questions, ours, strict=True)]
    )


def _tested(job: BrainJob) -> dict[str, dict[str, Arm]]:
    """Return, for each question, the arms that are held against chance: those that claim to know the brain."""
    learned, fixed = encoder_arms(job), fixed_arms(job)
    names = [OURS, UNTRAINED, LABEL_TRAINED, pooling_name(job.n_blocks), voxels_name(8)]
    every = {question.name: learned[question.name] | fixed[question.name] for question in job.questions}
    return {target: {name: own[name] for name in names if name in own} for target, own in every.items()}


def _give_p(job: BrainJob, table: pd.DataFrame) -> None:
    """Put p into the rows of both stages that wrote scores."""
    p = dict(zip(zip(table["target"], table["model"], strict=True), table["p_family"].tolist(), strict=True))
    metrics = {question.name: main_metric(question) for question in job.questions}
    n = job.config.trust.n_permutations

    def told(row: Metric) -> Metric:
        key = (row.target, row.model)
        if key not in p or row.metric != metrics[row.target]:
            return row
        return replace(row, p=p[key], n_null=n)

    for stage in ("fit", "compare"):
        job.folder.write_metrics(stage, [told(row) for row in job.folder.metrics(stage)])


def _chance_row(question: Question, null: np.ndarray) -> Metric:
    low, high = (float(end) for end in np.quantile(null, _CENTRAL))
    return Metric(
        question.name,
        main_metric(question),
        CHANCE,
        "chance",
        float(null.mean()),
        low=low,
        high=high,
        n=len(question.target.rows),
        n_null=len(null),
    )
