"""A search over training settings inside the training samples; finished trials are kept and never run again."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from kotowari.core.seeds import derive_seed
from kotowari.studies.omics.model.ensemble import Recipe, Targets, fit_member

__all__ = ["Tuning", "tuned"]

_INNER_FRACTION = 0.25
_START_UP = 5  # random trials before the sampler models what it has seen


class Tuning(NamedTuple):
    """How long to search, from which seed, and the file that keeps finished trials (None: none)."""

    n_trials: int
    seed: int
    journal: Path | None = None


def tuned(
    images: npt.NDArray[np.float32],
    targets: Targets,
    recipe: Recipe,
    *,
    groups: npt.NDArray[Any] | None,
    tuning: Tuning,
) -> Recipe:
    """Return ``recipe`` with the settings of the lowest loss on one grouped hold-out of these samples.

    Searches learning rate, weight decay, mixup, interpolation within classes, shrinkage and, for the residual network,
    width and dropout. The first trial is ``recipe`` itself, so the search cannot end below it on the hold-out.

    Parameters
    ----------
    images, targets, groups
        Training samples only; the hold-out is taken from them.
    recipe
        Where the search starts.
    tuning
        A journal that holds trials of this search already is continued: every trial draws from its own number, so the
        result is that of an unbroken search. A journal may hold several searches; one on other samples, targets or
        settings starts anew beside them, so that no fold learns from another's.
    """
    inner = targets.hold_out(groups, _INNER_FRACTION, derive_seed(tuning.seed, "hold-out"))
    learning = targets.rows(inner.train)
    owners = None if groups is None else groups[inner.train]

    def loss_of(candidate: Recipe) -> float:
        member = fit_member(images[inner.train], learning, candidate, groups=owners, seed=tuning.seed)
        return _loss(member.scores(images[inner.test]), targets, inner.test)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name = _fingerprint(images, targets, groups, recipe, tuning.seed)
    study = optuna.create_study(study_name=name, storage=_storage(tuning.journal), load_if_exists=True)
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(left.number, state=TrialState.FAIL)  # a killed process left it, and the sampler would count it
    while (done := _n_complete(study)) < tuning.n_trials:
        # a sampler seeded by the number of the trial: a search that was stopped goes on as if it had not been
        study.sampler = optuna.samplers.TPESampler(seed=derive_seed(tuning.seed, done), n_startup_trials=_START_UP)
        study.optimize(lambda trial: loss_of(_suggested(trial, recipe)) if done else loss_of(recipe), n_trials=1)
    return _with(recipe, study.best_params) if study.best_params else recipe


def _suggested(trial: optuna.Trial, recipe: Recipe) -> Recipe:
    chosen: dict[str, Any] = {
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 1.0, log=True),
        "mixup": trial.suggest_float("mixup", 0.0, 0.4),
        "interpolation": trial.suggest_float("interpolation", 0.0, 1.0),
        "shrink": trial.suggest_categorical("shrink", [True, False]),
    }
    if recipe.network == "residual":
        chosen["width"] = trial.suggest_categorical("width", [4, 8, 16])
        chosen["dropout"] = trial.suggest_float("dropout", 0.0, 0.7)
    return _with(recipe, chosen)


def _with(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    in_plan = {key: settings[key] for key in ("learning_rate", "weight_decay", "mixup", "interpolation")}
    in_options = {key: settings[key] for key in ("width", "dropout") if key in settings}
    return replace(
        recipe,
        plan=replace(recipe.plan, **in_plan),
        options=recipe.options | in_options,
        shrink=bool(settings["shrink"]),
    )


def _fingerprint(
    images: npt.NDArray[np.float32], targets: Targets, groups: npt.NDArray[Any] | None, recipe: Recipe, seed: int
) -> str:
    """Name a search by all that its trials depend on."""
    digest = hashlib.blake2b(digest_size=16)
    owners = None if groups is None else groups.tolist()
    for part in (images.tobytes(), targets.values.tobytes(), repr((owners, recipe, seed)).encode()):
        digest.update(part)
    return f"tune-{digest.hexdigest()}"


def _loss(scores: npt.NDArray[np.float32], targets: Targets, rows: npt.NDArray[np.intp]) -> float:
    """Return the mean log loss of classes, or the mean squared error of values."""
    if targets.labels is None:
        return float(np.mean((scores - targets.values[rows]) ** 2))
    peak = scores.max(1, keepdims=True).astype(np.float64)
    log_total = peak[:, 0] + np.log(np.exp(scores - peak).sum(1))
    return float(np.mean(log_total - scores[np.arange(len(rows)), targets.labels[rows]]))


def _n_complete(study: optuna.Study) -> int:
    return sum(trial.state is TrialState.COMPLETE for trial in study.trials)


def _storage(journal: Path | None) -> optuna.storages.BaseStorage | None:
    if journal is None:
        return None
    journal.parent.mkdir(parents=True, exist_ok=True)
    return optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
