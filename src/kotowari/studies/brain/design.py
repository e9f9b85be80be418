"""Folds over the subjects, and whether every regression of a run can be fitted in each: known before volumes are."""

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError, InputError
from kotowari.studies.brain.comparison import external_answer
from kotowari.studies.brain.job import BrainJob
from kotowari.studies.brain.model.regression_cv import Arm, fold_predictions, model_for
from kotowari.studies.brain.questions import Question
from kotowari.trust.folds import Fold, grouped_folds

__all__ = ["planned_folds"]

_FEWEST = 5  # subjects in whom a target is learned, in the training part of a fold
_MADE_UP = 5  # features


def planned_folds(job: BrainJob) -> list[Fold]:
    """Return the folds over all internal subjects, repeat after repeat.

    Every regression is rehearsed on made-up features: what covariates, sites or targets do not allow is refused here,
    and not after days of training.

    Raises
    ------
    DesignError
        When a target cannot be learned in a fold: too few subjects, more covariates than subjects, a site with one.
    InputError
        When a fold or an external site has a covariate or site that the training subjects have not.
    """
    options, rows = job.config.validation, job.internal
    found = grouped_folds(
        _strata(job)[rows],
        groups=job.groups[rows],
        n_splits=options.n_splits,
        n_repeats=options.n_repeats,
        random_state=job.seed("folds"),
    )
    folds = [Fold(rows[fold.train], rows[fold.test]) for fold in found]
    made_up = np.random.default_rng(job.seed("made-up features")).normal(size=(len(job.external), _MADE_UP))
    for question in job.questions:
        own = job.folds_of(question, folds)
        _require_subjects(question, own, options.n_splits)
        try:
            _rehearse(job, question, own, made_up)
        except (DesignError, InputError) as error:
            raise type(error)(f"{question.name}: {error}") from error
    return folds


def _require_subjects(question: Question, folds: list[Fold], n_splits: int) -> None:
    for fold in folds:
        if len(fold.train) < _FEWEST or not len(fold.test):
            raise DesignError(
                f"{question.name}: a fold has {len(fold.train)} subjects to learn from and {len(fold.test)} to "
                f"foretell. Use fewer folds than {n_splits}, or ask a target that more subjects have."
            )


def _rehearse(job: BrainJob, question: Question, folds: list[Fold], made_up: npt.NDArray[np.float64]) -> None:
    target, subjects = question.target, question.subjects
    model = model_for(job.model(), target)
    model.require_sound(target.values[target.rows], subjects.rows(target.rows))
    for fold in folds:
        fold_predictions(model, made_up, [target.values], subjects, fold)
    external_answer(job, question, Arm(job.model(), made_up), made_up)


def _strata(job: BrainJob) -> npt.NDArray[np.str_]:
    """Return what folds are balanced by: diagnosis, and site where sites are to be harmonised."""
    parts = []
    if job.diagnosis is not None:
        parts.append(job.diagnosis)
    if job.config.cohort.harmonise != "none" and job.config.cohort.site is not None:
        parts.append(job.cohort.labels(job.config.cohort.site))
    if not parts:
        first = job.questions[0].target
        upper = first.values.reshape(len(first.values), -1)[:, 0] > np.median(first.strata)
        parts.append(np.where(upper, "upper half", "lower half"))
    return np.array([", ".join(words) for words in zip(*parts, strict=True)])
