"""What ours reaches beyond its controls, on the same subjects: paired differences with intervals."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.studies.brain.comparison import (
    COMPONENTS,
    answer,
    encoder_arms,
    external_answer,
    final_features,
    fixed_arms,
    pooling_name,
    voxels_name,
)
from kotowari.studies.brain.job import LABEL_TRAINED, OURS, UNTRAINED, BrainJob
from kotowari.studies.brain.model.regression_scores import HeldOut, paired_gain
from kotowari.studies.brain.questions import Question

__all__ = ["EXTERNAL", "INTERNAL", "compare_pairs", "gains"]

INTERNAL, EXTERNAL = "out of fold", "external sites"
_GAINS = "gains.csv"


def compare_pairs(job: BrainJob) -> None:
    """Write ``tables/gains.csv``: ours less each control, out of fold and at the sites kept aside."""
    write_table(job.path / "tables" / _GAINS, pd.DataFrame(list(_pairs(job))))


def gains(job: BrainJob) -> pd.DataFrame:
    """Return what :func:`compare_pairs` wrote."""
    return pd.read_csv(job.path / "tables" / _GAINS)


def _pairs(job: BrainJob) -> Iterator[dict[str, object]]:
    silent = Progress(shown=False)
    arms = {question.name: encoder_arms(job, question) for question in job.questions}
    fixed = {question.name: fixed_arms(job, question) for question in job.questions}
    inside, others = answer(job, silent, "", "fit", arms), answer(job, silent, "", "compare", fixed)
    for question in job.questions:
        said = inside[question.name] | others[question.name]
        yield from _rows(job, question, INTERNAL, said)
        features = final_features(job, question)
        features |= {name: arm.X for name, arm in fixed[question.name].items()}
        every = arms[question.name] | fixed[question.name]
        beyond = {
            name: there
            for name in (OURS, *_controls(job, question))
            if (there := external_answer(job, question, every[name], features[name])) is not None
        }
        if beyond:
            yield from _rows(job, question, EXTERNAL, beyond)


def _controls(job: BrainJob, question: Question) -> list[str]:
    names = [UNTRAINED, pooling_name(job.n_blocks), voxels_name(8), voxels_name(12), COMPONENTS]
    told = job.knows_diagnosis and question.name != job.config.cohort.diagnosis
    return [*names[:1], *([LABEL_TRAINED] if told else []), *names[1:]]


def _rows(job: BrainJob, question: Question, where: str, said: dict[str, HeldOut]) -> Iterator[dict[str, object]]:
    for name in _controls(job, question):
        span = paired_gain(said[OURS], said[name], groups=job.groups, random_state=job.seed("intervals"))
        yield {
            "target": question.name,
            "where": where,
            "ours less": name,
            "difference": span.value,
            "low": span.low,
            "high": span.high,
            "subjects": len(np.unique(said[OURS].rows)),
        }
