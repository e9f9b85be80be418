"""Every model that answers a question, on the same folds: ours, its controls, and what a user would take instead."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from kotowari.core.jobs import Arrays
from kotowari.core.progress import Progress
from kotowari.core.runfolder import Metric, Role
from kotowari.studies.brain.baselines.arms import COVARIATES_ONLY, covariates_arm
from kotowari.studies.brain.baselines.average_pooling import AveragePooling
from kotowari.studies.brain.baselines.principal_components import PrincipalComponents
from kotowari.studies.brain.baselines.smoothed_voxels import SmoothedVoxels
from kotowari.studies.brain.fitting import coordinates
from kotowari.studies.brain.job import FINAL, LABEL_TRAINED, OURS, UNTRAINED, BrainJob
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.regression_cv import Arm, cross_validated, external_predictions, model_for
from kotowari.studies.brain.model.regression_scores import HeldOut, held_out_scores
from kotowari.studies.brain.model.regression_targets import Target
from kotowari.studies.brain.questions import Question

__all__ = [
    "COMPONENTS",
    "EXTERNAL",
    "INTERNAL",
    "answer",
    "diagnosis_rows",
    "encoder_arms",
    "external_answer",
    "external_name",
    "final_features",
    "fit_on_all",
    "fixed_arms",
    "fixed_features",
    "held_out_rows",
    "labelled",
    "pooling_name",
    "said_by_encoders",
    "voxels_name",
]

INTERNAL, EXTERNAL = "out of fold", "external sites"
_DEPTHS = (1, 2, 3)
_SMOOTHING_MM = (0.0, 8.0, 12.0)
COMPONENTS = "n - 1 components, whitened"


def pooling_name(n_blocks: int) -> str:
    """Name of the matched trivial null of an encoder: the mean over cubes of its reach."""
    return f"average pooling by {1 << n_blocks}"


def voxels_name(smoothing_mm: float) -> str:
    """Name of ridge on voxels smoothed by so many mm (full width at half maximum)."""
    return f"voxels, {smoothing_mm:g} mm"


def external_name(target: str) -> str:
    """Name of a target at the sites kept aside."""
    return f"{target}, {EXTERNAL}"


def fixed_features(job: BrainJob) -> None:
    """Keep what needs no learning: volumes pooled by powers of two, and smoothed."""
    volumes, mask = job.store.volumes(slice(None)), job.store.mask
    found: Arrays = {}
    for depth in sorted({*_DEPTHS, job.n_blocks}):
        pooled = AveragePooling(depth, mask=mask).fit(volumes[:1]).transform(volumes)
        found[pooling_name(depth)] = coordinates(pooled, job.config)
    for width in _SMOOTHING_MM:
        smoothed = SmoothedVoxels(width, voxel_mm=job.store.grid.voxel_mm, mask=mask)
        found[voxels_name(width)] = coordinates(smoothed.fit(volumes[:1]).transform(volumes), job.config)
    job.keep("fixed", found)


def encoder_arms(job: BrainJob) -> dict[str, dict[str, Arm]]:
    """Return, for each question, the arms whose features were learned inside each fold; ours first."""
    names = [f"fold-{k}" for k in range(len(job.folds))]
    parts, model = [job.encoded(name) for name in names], job.model()
    arms = {
        OURS: Arm(model, [part["features"] for part in parts], "ours"),
        UNTRAINED: Arm(model, [part["untrained"] for part in parts], "untrained"),
    }
    told: dict[str, Arm] = {}
    if job.knows_diagnosis:
        features = [job.encoded(name, labels=True)["features"] for name in names]
        told[LABEL_TRAINED] = Arm(model, features, "comparator")
    return {question.name: arms | (told if _may_know_labels(job, question) else {}) for question in job.questions}


def fixed_arms(job: BrainJob) -> dict[str, dict[str, Arm]]:
    """Return, for each question, the arms that learn nothing of volumes before the regression."""
    model, kept = job.model(), job.kept("fixed")
    matched = pooling_name(job.n_blocks)
    arms = {name: Arm(model, X, "trivial null" if name == matched else "comparator") for name, X in kept.items()}
    whitened = clone(model).set_params(features=PrincipalComponents(whiten=True), harmoniser=None)
    arms[COMPONENTS] = Arm(whitened, kept[voxels_name(0.0)], "comparator")
    found = {}
    for question in job.questions:
        covariates = question.subjects.covariates
        alone = {} if covariates is None else {COVARIATES_ONLY: covariates_arm(model, covariates)}
        found[question.name] = arms | alone
    return found


def said_by_encoders(job: BrainJob) -> dict[str, dict[str, HeldOut]]:
    """Return what the stage `fit` left: question to model to predictions of subjects kept aside."""
    return answer(job, Progress(shown=False), "", "fit", encoder_arms(job))


def answer(
    job: BrainJob, progress: Progress, title: str, name: str, arms: Mapping[str, Mapping[str, Arm]]
) -> dict[str, dict[str, HeldOut]]:
    """Return what each arm says of subjects kept aside: question to model to predictions."""
    n_fits = sum(len(own) for own in arms.values()) * len(job.folds)
    said = {}
    with progress.bar(title, n_fits) as advance:
        for number, question in enumerate(job.questions):
            said[question.name] = cross_validated(
                arms[question.name],
                question.target,
                job.folds_of(question),
                question.subjects,
                shards=job.shards(name) / str(number),
                workers=job.config.workers,
                advance=advance,
            )
    return said


def fit_on_all(arm: Arm, X: npt.NDArray[np.float64], question: Question) -> LatentRegression:
    """Return an arm's model fitted on all internal subjects who count; ``X`` holds the features of all rows."""
    target, there = question.target, question.subjects.rows(question.target.rows)
    model = model_for(arm.model, target)
    rows = target.rows
    taken = X.iloc[rows] if hasattr(X, "iloc") else X[rows]
    return model.fit(taken, labelled(target), sites=there.sites, covariates=there.covariates, groups=there.groups)


def labelled(target: Target) -> npt.NDArray[np.generic]:
    """Return the values of those who count as they were given: classes by name."""
    values = target.values[target.rows]
    return np.array(target.classes)[values.astype(np.intp)] if target.kind == "class" else values


def held_out_rows(
    job: BrainJob, question: Question, said: Mapping[str, HeldOut], roles: Mapping[str, Role], *, external: bool = False
) -> list[Metric]:
    """Return the scores of every model on one question, with intervals."""
    name = external_name(question.name) if external else question.name
    return [
        row
        for model, one in said.items()
        for row in held_out_scores(
            one,
            target=name,
            model=model,
            role=roles[model],
            groups=job.groups,
            random_state=job.seed("intervals"),
        )
    ]


def external_answer(job: BrainJob, question: Question, arm: Arm, X: npt.NDArray[np.float64]) -> HeldOut | None:
    """Return what an arm, fitted on all internal subjects, says of the sites kept aside; None where none counts."""
    if question.external is None:
        return None
    return external_predictions(
        fit_on_all(arm, X, question),
        X,
        question.external,
        question.subjects,
        n_adapt=job.config.cohort.n_adapt if arm.model.harmoniser is not None else 0,
        random_state=job.seed("adapt"),
    )


def final_features(job: BrainJob, question: Question) -> dict[str, npt.NDArray[np.float64]]:
    """Return the features of all rows by the encoders of all internal subjects."""
    part = job.encoded(FINAL)
    found = {OURS: part["features"], UNTRAINED: part["untrained"]}
    if _may_know_labels(job, question):
        found[LABEL_TRAINED] = job.encoded(FINAL, labels=True)["features"]
    return found


def diagnosis_rows(job: BrainJob) -> list[Metric]:
    """Return how well the label-trained encoders tell two diagnoses out of fold: what the labels could teach."""
    if not job.knows_diagnosis or job.diagnosis is None:
        return []
    parts = [job.encoded(name, labels=True) for name in job.fold_names]
    classes = parts[0]["classes"]
    if len(classes) != 2:
        return []
    rows = np.concatenate([fold.test for fold in job.first_folds])
    number = np.concatenate([np.full(len(fold.test), k) for k, fold in enumerate(job.first_folds)])
    share = np.concatenate(
        [part["probability"][fold.test, 1] for part, fold in zip(parts, job.first_folds, strict=True)]
    )
    odds = np.log(np.clip(share, 1e-12, None) / np.clip(1 - share, 1e-12, None))
    truth = (job.diagnosis[rows] == classes[1]).astype(np.float64)
    return held_out_scores(
        HeldOut(rows, number, truth, odds, "class"),
        target=f"{job.config.cohort.diagnosis}, told by the labels",
        model=LABEL_TRAINED,
        role="comparator",
        groups=job.groups,
        random_state=job.seed("intervals"),
    )


def _may_know_labels(job: BrainJob, question: Question) -> bool:
    """Whether the encoder trained on the diagnosis may answer: not where the diagnosis is what is asked."""
    return job.knows_diagnosis and question.name != job.config.cohort.diagnosis
