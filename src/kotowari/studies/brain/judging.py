"""The tests of a run: predictions against chance and controls, maps against theirs, and what could have been found."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from kotowari.core.evidence import Check, Evidence, Frame
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.studies.brain.chance import main_metric
from kotowari.studies.brain.comparison import INTERNAL, pooling_name, voxels_name
from kotowari.studies.brain.detection import implant_check, planted_question
from kotowari.studies.brain.gains import gains, verdict
from kotowari.studies.brain.job import LABEL_TRAINED, OURS, UNTRAINED, BrainJob
from kotowari.studies.brain.model.regression_scores import power_sentence
from kotowari.studies.brain.planted import score_planted
from kotowari.studies.brain.questions import Question
from kotowari.studies.brain.reasons import controls_of, map_rows, occlusion_box, stability_of, voxel_controls_of
from kotowari.studies.brain.sites import look_at_sites
from kotowari.studies.brain.synthetic import synthetic_check
from kotowari.trust.completeness import completeness_check

__all__ = ["judge"]

_LEVEL = 0.05


def judge(job: BrainJob, progress: Progress) -> None:
    """Run every test, and write the evidence of each target on its own scale with its verdicts."""
    look_at_sites(job, progress)
    limit = list(implant_check(job, progress))
    planted_in = planted_question(job).name
    for number, question in enumerate(job.questions):
        if question.target.transform != "none":
            continue
        checks = [
            *_chance(job, question),
            *_gain_checks(job, question),
            *_map_checks(job, number),
            *synthetic_check(job, number),
            *(limit if question.name == planted_in else ()),
        ]
        _evidence(job, number, question, checks).save(job.path / "evidence", job.file_word(question.name))
    rows = [row for number in range(len(job.questions)) for row in map_rows(job, number)]
    write_table(job.path / "tables" / "maps.csv", pd.DataFrame(rows))
    if job.config.data.volumes == "phantom":
        score_planted(job)


def _chance(job: BrainJob, question: Question) -> Iterator[Check]:
    (row,) = (
        row
        for row in job.folder.metrics("fit")
        if (row.target, row.model, row.metric) == (question.name, OURS, main_metric(question))
    )
    if row.p is None or row.value is None:
        yield Check.not_applicable("chance", "No refits on permuted targets were asked for; chance is not known.")
    else:
        words = "better than" if row.p <= _LEVEL else "not distinguishable from"
        yield Check.at_most(
            "chance",
            row.p,
            _LEVEL,
            f"{row.metric} {row.value:.2f} out of fold is {words} {row.n_null} refits on permuted targets "
            f"(family-wise p = {row.p:.2g} over all targets and models).",
        )
    if question.target.kind in {"number", "several"}:
        n = len(question.target.rows)
        yield Check.not_applicable("power", power_sentence(n))


def _gain_checks(job: BrainJob, question: Question) -> Iterator[Check]:
    """Hold ours against each control: a difference is told only where its interval leaves 0 out."""
    table = gains(job)
    own = table[table["target"] == question.name]
    controls = {
        "beyond the untrained network": UNTRAINED,
        "beyond the label-trained encoder": LABEL_TRAINED,
        "beyond average pooling": pooling_name(job.n_blocks),
        "beyond smoothed voxels": voxels_name(8),
    }
    for name, control in controls.items():
        rows = own[own["ours less"] == control]
        inside = rows[rows["where"] == INTERNAL]
        if not len(inside):
            continue
        told = [
            f"{_gain_words(one, main_metric(question))} {where}" for where, one in rows.groupby("where", sort=False)
        ]
        yield Check.at_least(name, float(inside["low"].iloc[0]), 0.0, f"Against {control}: {'; '.join(told)}.")


def _gain_words(row: pd.DataFrame, metric: str) -> str:
    value, low, high = (float(row[name].iloc[0]) for name in ("difference", "low", "high"))
    return f"{verdict(low, high)} ({metric} {value:+.2f}, 95 % interval {low:+.2f} to {high:+.2f})"


def _map_checks(job: BrainJob, number: int) -> Iterator[Check]:
    yield from controls_of(job, number).checks
    yield stability_of(job, number).check
    by_voxel = voxel_controls_of(job, number)
    for check in () if by_voxel is None else by_voxel.checks:
        yield replace(check, name=f"smoothed gradient, {check.name}")
    gap = job.shard("voxels", f"question-{number}").get("gap")
    if gap is not None:
        yield replace(completeness_check(gap), name="completeness of integrated gradients")


def _evidence(job: BrainJob, number: int, question: Question, checks: list[Check]) -> Evidence:
    table = pd.read_csv(job.path / "tables" / f"regions-{job.file_word(question.name)}.csv")
    store = job.store
    affine = store.box_grid.affine
    n = len(table)
    return Evidence(
        target=question.name,
        parts={
            "name": table["name"].to_numpy(str),
            "score": table["strength"].to_numpy(np.float64),
            "sign": table["sign"].map({"+": 1, "-": -1, "0": 0}).to_numpy(np.int64),
            "stability": table["selection_frequency"].to_numpy(np.float64),
            "p": _column(table, "p"),
            "group": table["side"].to_numpy(str),
            "n_null": np.full(n, job.config.trust.n_map_shuffles),
        },
        method="change of the score when a region looks like the mean training brain, over the root of its voxels",
        map=occlusion_box(job, number),
        frame=Frame(("x", "y", "z"), ("mm", "mm", "mm"), store.mask.shape, tuple(map(tuple, affine.tolist()))),
        checks=tuple(checks),
        reference="the mean training brain",
        derived_from=("volumes", question.name),
    )


def _column(table: pd.DataFrame, name: str) -> Any:
    return table[name].to_numpy(np.float64) if name in table else np.full(len(table), np.nan)
