"""What ours reaches beyond its controls, on the same subjects: paired differences with intervals."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.studies.brain.comparison import (
    COMPONENTS,
    EXTERNAL,
    INTERNAL,
    answer,
    encoder_arms,
    external_answer,
    final_features,
    fixed_arms,
    pooling_name,
    said_by_encoders,
    voxels_name,
)
from kotowari.studies.brain.job import LABEL_TRAINED, OURS, UNTRAINED, BrainJob
from kotowari.studies.brain.model.regression_scores import HeldOut, paired_gain
from kotowari.studies.brain.questions import Question

__all__ = ["compare_pairs", "gains", "verdict"]

_GAINS = "gains.csv"


def compare_pairs(job: BrainJob) -> None:
    """Write ``tables/gains.csv``: ours less each control, out of fold and at the sites kept aside."""
    write_table(job.path / "tables" / _GAINS, pd.DataFrame(list(_pairs(job))))


def gains(job: BrainJob) -> pd.DataFrame:
    """Return what :func:`compare_pairs` wrote."""
    return pd.read_csv(job.path / "tables" / _GAINS)


def verdict(low: float, high: float) -> str:
    """Say whether a difference with this interval is one."""
    return "more" if low > 0 else "less" if high < 0 else "neither measurably more nor less"


def _pairs(job: BrainJob) -> Iterator[dict[str, object]]:
    learned, fixed = encoder_arms(job), fixed_arms(job)
    others = answer(job, Progress(shown=False), "", "compare", fixed)
    inside = said_by_encoders(job)
    for question in job.questions:
        said = inside[question.name] | others[question.name]
        yield from _rows(job, question, INTERNAL, said)
        features = final_features(job, question)
        features |= {name: arm.X for name, arm in fixed[question.name].items()}
        every = learned[question.name] | fixed[question.name]
        beyond = {
            name: there
            for name in (OURS, *_controls(job, said))
            if (there := external_answer(job, question, every[name], features[name])) is not None
        }
        if beyond:
            yield from _rows(job, question, EXTERNAL, beyond)


def _controls(job: BrainJob, said: dict[str, HeldOut]) -> list[str]:
    """Return what ours is held against, of the models that were asked."""
    pooled = pooling_name(job.n_blocks)
    names = [UNTRAINED, LABEL_TRAINED, pooled, voxels_name(8), voxels_name(12), COMPONENTS]
    return [name for name in names if name in said]


def _rows(job: BrainJob, question: Question, where: str, said: dict[str, HeldOut]) -> Iterator[dict[str, object]]:
    for name in _controls(job, said):
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
