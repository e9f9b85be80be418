"""Sites in the features: whether they can be told, what takes them out, and whether what is asked survives it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import DesignError
from kotowari.core.evidence import Check, Evidence
from kotowari.core.jobs import Arrays
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.studies.brain.compact import same_products
from kotowari.studies.brain.job import BrainJob
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.regression_targets import Target, target_folds
from kotowari.studies.brain.model.site_adapter import SiteAdapter
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.studies.brain.model.volume_store import VolumeStore
from kotowari.studies.brain.questions import Question, covariates_of
from kotowari.studies.brain.site_arm import SiteArm, SiteTest, site_table
from kotowari.studies.brain.site_tests import effect_kept, site_told_in_new_subjects
from kotowari.training.devices import one_thread
from kotowari.trust.folds import Fold

__all__ = ["AS_MEASURED", "SITES", "look_at_sites", "site_pictures"]

SITES = "sites"
AS_MEASURED, COMBAT, ADAPTER = "as measured", "ComBat", "site adapter"
_STEPS = (AS_MEASURED, COMBAT, ADAPTER)
_SPLITS, _FEWEST = 5, 20
_LEVEL = 0.05


def look_at_sites(job: BrainJob, progress: Progress) -> None:
    """Write ``tables/sites.csv`` and its evidence, where two sites have 20 subjects or more and a number is asked.

    Here alone subjects of the sites kept aside are learned from, together with the others, by harmonisers and in folds;
    no other result sees that.
    """
    names, counts = _sites(job)
    asked = _asked(job)
    if len(names) != 2 or counts.min() < _FEWEST or not asked:
        return
    try:
        parts = job.run(progress, "Sites in the features", SITES, ask_step, _jobs(job, asked))
    except DesignError as error:  # too few of a site for folds, or a covariate that the site settles
        progress.say(f"Note: whether sites can be told is not asked. {error}")
        return
    rows = [
        SiteTest(
            step, str(test), float(span[0]), float(span[1]), float(span[2]), None if np.isnan(p) else float(p), int(n)
        )
        for step, part in parts.items()
        for test, span, p, n in zip(part["tests"], part["spans"], part["p"], part["n"], strict=True)
    ]
    write_table(job.path / "tables" / f"{SITES}.csv", site_table(rows))
    _evidence(rows).save(job.path / "evidence", SITES)


def _jobs(job: BrainJob, asked: list[tuple[Target, pd.DataFrame | None]]) -> dict[str, tuple[str, "SiteTask"]]:
    """Return what each step is asked, on the same folds."""
    folds = [
        target_folds(target, sites=job.site_labels, n_splits=_SPLITS, random_state=job.seed("site folds"))
        for target, _ in asked
    ]
    task = SiteTask(
        job.encoder_folder(),
        job.store,
        job.site_labels,
        covariates_of(job.cohort, job.config.cohort.covariates),
        asked,
        folds,
        job.config.trust.n_permutations,
        job.seed(SITES),
    )
    return {step: (step, task) for step in _STEPS}


@dataclass(frozen=True, eq=False)
class SiteTask:
    """What all steps of harmonising are asked.

    Parameters
    ----------
    encoder_folder, store
        The fitted encoder and all volumes.
    sites, covariates
        Of all rows; covariates are what must survive.
    asked
        Targets over all sites, each with its covariates.
    folds
        Of each target.
    n_permutations, seed
        Of the tests.
    """

    encoder_folder: Path
    store: VolumeStore
    sites: npt.NDArray[np.str_]
    covariates: pd.DataFrame | None
    asked: list[tuple[Target, pd.DataFrame | None]]
    folds: list[list[Fold]]
    n_permutations: int
    seed: int


def ask_step(step: str, task: SiteTask) -> Arrays:
    """Ask the features after one step of harmonising whether they tell the site, and what they foretell.

    Returns
    -------
    dict
        ``tests``, ``spans`` (value, low, high), ``p``, ``n``, a row a test; ``axes``, the first two principal axes.
    """
    with one_thread():
        encoder = ConvolutionalAutoencoder.load(task.encoder_folder)
        arms = {AS_MEASURED: SiteArm(encoder.transform(task.store))}
        if step == COMBAT:
            arms[step] = SiteArm(arms[AS_MEASURED].X, ComBat())
        elif step == ADAPTER:
            arms[step] = SiteArm(task.store.volumes(slice(None)), SiteAdapter(encoder))
        rows = site_told_in_new_subjects(
            {step: arms[step]},
            task.sites,
            covariates=task.covariates,
            n_permutations=task.n_permutations,
            random_state=task.seed,
        )
        for (target, own), folds in zip(task.asked, task.folds, strict=True):
            kept = effect_kept(arms, target, folds, task.sites, covariates=own, random_state=task.seed)
            rows += [row for row in kept if row.features == step]
        every = np.arange(len(task.sites))
        subjects = Subjects.of(len(every), sites=task.sites, covariates=task.covariates)
        harmonised = arms[step].harmonised(every, every, subjects)
        return {
            "tests": np.array([row.test for row in rows]),
            "spans": np.array([(row.value, row.low, row.high) for row in rows]),
            "p": np.array([np.nan if row.p is None else row.p for row in rows]),
            "n": np.array([row.n for row in rows]),
            "axes": same_products(harmonised - harmonised.mean(0))[:, :2],
        }


def site_pictures(job: BrainJob) -> Arrays:
    """Return what the picture of sites is drawn from; nothing where sites were not asked."""
    home = job.shards(SITES)
    if not all((home / f"{step}.npz").is_file() for step in _STEPS):
        return {}
    parts = [job.shard(SITES, step) for step in _STEPS]
    accuracy = [_span(part, "balanced accuracy") for part in parts]
    names, codes = np.unique(job.site_labels, return_inverse=True)
    target = _asked(job)[-1][0].name
    kept = [_span(part, f"r of {target}") for part in parts]
    return {
        "site_steps": np.array(_STEPS),
        "site_chance": np.array(0.5),
        "site_names": names,
        "site_codes": codes,
        "site_axes": np.stack([part["axes"] for part in parts]),
        "site_kept_target": np.array(target),
        **{
            f"site_{end}": np.array([span[k] for span in accuracy]) for k, end in enumerate(("accuracy", "low", "high"))
        },
        **{f"site_kept{end}": np.array([span[k] for span in kept]) for k, end in enumerate(("", "_low", "_high"))},
    }


def _span(part: Arrays, words: str) -> npt.NDArray[np.float64]:
    row = next((k for k, test in enumerate(part["tests"]) if words in str(test) and "gain" not in str(test)), None)
    return np.full(3, np.nan) if row is None else np.asarray(part["spans"][row], dtype=np.float64)


def _sites(job: BrainJob) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    names, counts = np.unique(job.site_labels, return_counts=True)
    return names, counts


def _asked(job: BrainJob) -> list[tuple[Target, pd.DataFrame | None]]:
    """Return the first number asked of everybody and of patients, over all sites, with their covariates."""
    chosen: dict[bool, Question] = {}
    for question in job.questions:
        if question.target.kind == "number" and question.target.transform == "none":
            chosen.setdefault(question.in_patients, question)
    return [(_of_all_sites(question), question.subjects.covariates) for question in chosen.values()]


def _of_all_sites(question: Question) -> Target:
    values = question.target.values
    if question.external is not None:
        values = np.where(np.isfinite(values), values, question.external.values)
    return Target.of(question.name, values, within=np.isfinite(values))


def _evidence(rows: list[SiteTest]) -> Evidence:
    told = [row for row in rows if row.p is not None]
    return Evidence(
        target=SITES,
        parts={
            "name": np.array([row.features for row in told]),
            "score": np.array([row.value for row in told]),
            "p": np.array([row.p for row in told], dtype=np.float64),
        },
        method="area under the curve of a classifier of the site, in subjects who had no part in the harmonising",
        checks=tuple(_checks(told, rows)),
        reference="0.5, what guessing gives",
        derived_from=("volumes", "site"),
    )


def _checks(told: list[SiteTest], rows: list[SiteTest]) -> Iterator[Check]:
    for row in told:
        p = float(row.p if row.p is not None else np.nan)
        words = "can be told from" if p <= _LEVEL else "is not told from"
        kept = [
            f"{one.test} {one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
            for one in rows
            if one.features == row.features and one.test.startswith("r of")
        ]
        yield Check.at_least(
            f"site, features {row.features}",
            p,
            _LEVEL,
            f"The site {words} the features of new subjects: AUC {row.value:.2f} ({row.low:.2f} to {row.high:.2f}), "
            f"p = {p:.2g}; there {'; '.join(kept)}.",
        )
