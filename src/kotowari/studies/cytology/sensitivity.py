"""Other weights of the published loss: whether what it finds hangs on them."""

import numpy as np

from kotowari.core.evidence import Check
from kotowari.core.progress import Progress
from kotowari.studies.cytology.data import Kind
from kotowari.studies.cytology.detectors import published_detector
from kotowari.studies.cytology.fitting import FindTask, fit_and_find
from kotowari.studies.cytology.job import CytologyJob
from kotowari.studies.cytology.scoring import found_on, pooled_f1_on

__all__ = ["sensitivity_checks"]

_INSENSITIVE = 0.05


def sensitivity_checks(job: CytologyJob, progress: Progress) -> dict[str, list[Check]]:
    """Fit the first fold with both weights multiplied, and say by how much F1 moves; kind to checks."""
    factors = job.config.trust.sensitivity
    if not factors or not job.config.detector.published_epochs:
        return {}
    tasks = {
        _name(kind, weight, variation): (_task(job, kind, weight, variation),)
        for kind in job.kinds
        for weight in factors
        for variation in factors
    }
    found = job.run(progress, "Other weights of the loss", "sensitivity", fit_and_find, tasks)
    checks = {}
    for kind in job.kinds:
        rows = job.parts(kind)[0].fold.test.tolist()
        values = np.array(
            [[pooled_f1_on(job, kind, found_on(found[_name(kind, a, b)], rows)) for b in factors] for a in factors]
        )
        against = "the masks" if job.is_scored(kind) else "ours"
        job.keep(
            f"sensitivity-{kind.word}",
            {"values": values, "factors": np.array(factors), "of": np.array(against)},
        )
        spread = float(np.nanmax(values) - np.nanmin(values))
        checks[kind.word] = [
            Check.at_most(
                "weights of the loss",
                spread,
                _INSENSITIVE,
                f"With both weights of the published loss between x {factors[0]:g} and x {factors[-1]:g} its F1 "
                f"against {against} on the first fold lies between {np.nanmin(values):.2f} and "
                f"{np.nanmax(values):.2f}.",
            )
        ]
    return checks


def _name(kind: Kind, weight: float, variation: float) -> str:
    return f"{kind.word}-weight-{weight:g}-variation-{variation:g}"


def _task(job: CytologyJob, kind: Kind, weight: float, variation: float) -> FindTask:
    fold = job.parts(kind)[0].fold
    seed = job.seed("detector", job.parts(kind)[0].name)
    finder = published_detector(job.config, kind, seed, weights=(weight, variation))
    return FindTask(job.store, finder, fold.train, fold.test, job.groups, job.config.instances)
