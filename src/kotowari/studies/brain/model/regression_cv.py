"""Predictions of subjects kept aside, and of subjects of another site, for several models on the same folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from kotowari.core.errors import CapabilityError, InputError
from kotowari.core.jobs import Arrays, map_jobs
from kotowari.core.progress import Advance
from kotowari.core.runfolder import Role
from kotowari.core.seeds import derive_seed
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.latent_regression import LatentRegression, paired_truth
from kotowari.studies.brain.model.preparation import Preparation
from kotowari.studies.brain.model.regression_heads import fit_heads
from kotowari.studies.brain.model.regression_scores import HeldOut
from kotowari.studies.brain.model.regression_targets import Target
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.trust.folds import Fold

__all__ = ["Arm", "cross_validated", "external_predictions", "fold_predictions", "joined", "model_for", "run_jobs"]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Arm:
    """One way to predict, as it stands in the table.

    Parameters
    ----------
    model
        Unfitted; kind and scale of the target are set for each target.
    X
        Volumes or features of all rows of the table, ``(subject, ...)``, indexed by row; or a list of such arrays, one
        a fold, where features were learned inside each fold.
    role
        Why it stands in the table.
    """

    model: LatentRegression
    X: Any
    role: Role = "ours"

    def of_fold(self, number: int) -> Any:
        """Return the features for one fold."""
        return self.X[number] if isinstance(self.X, list | tuple) else self.X


def model_for(model: LatentRegression, target: Target) -> LatentRegression:
    """Return a fresh copy of a model, set to learn this target."""
    several = target.kind == "several" and model.method not in {"pls", "cca"}
    plain = target.kind in {"class", "survival"} and model.nuisance in {"target", "both"}
    fresh: LatentRegression = clone(model)
    fresh.set_params(
        target=target.kind,
        target_transform=target.transform,
        name=target.name,
        method="pls" if several else model.method,
        nuisance="features" if plain else model.nuisance,
    )
    return fresh


def fold_predictions(
    model: LatentRegression,
    X: Any,
    outcomes: Sequence[FloatArray],
    subjects: Subjects,
    fold: Fold,
    n_adapt: int = 0,
) -> Arrays:
    """Fit on the training rows and predict the others, for one or many outcomes of one preparation.

    Many outcomes (permuted ones) share what sees no target: features, harmonising, removal of covariates, scaling and
    the decomposition. Each has its own choice of penalty and its own fit.

    Parameters
    ----------
    model
        Unfitted.
    X
        Of all rows of the table.
    outcomes
        Each of all rows, as from :func:`kotowari.studies.brain.model.target_coding.checked_target`.
    subjects
        Of all rows.
    fold
        Rows to learn from and to predict. Rows in neither are not touched.
    n_adapt
        Test subjects of each site unknown to training from whom the harmoniser sets that site's effects; they are not
        predicted. 0 adapts nothing.

    Returns
    -------
    dict of arrays
        ``rows``, shape ``(prediction,)``; ``truth``, ``(outcome, prediction, ...)``; ``prediction``, ``(outcome,
        prediction)``.
    """
    learning, preparation = subjects.rows(fold.train), model.preparation()
    preparation.fit(_taken(X, fold.train), learning)
    test = _adapted(preparation, X, subjects, fold, n_adapt, model.random_state)
    codings = [model.coding() for _ in outcomes]
    learned = [
        coding.learned(values[fold.train], learning.covariates)
        for coding, values in zip(codings, outcomes, strict=True)
    ]
    axes = preparation.axes
    if axes is None:
        raise CapabilityError("The preparation lost its training rows.")
    heads = fit_heads(axes, learned, model.head_options(), learning.groups)
    held_subjects = subjects.rows(test)
    held = axes.transform(preparation.transform(_taken(X, test), held_subjects))
    truths = [
        paired_truth(coding.truth(values[test], held_subjects.covariates), head)
        for coding, values, head in zip(codings, outcomes, heads, strict=True)
    ]
    said = [coding.in_units(head.scores(held)) for coding, head in zip(codings, heads, strict=True)]
    return {"rows": test, "truth": np.stack(truths), "prediction": np.stack(said)}


def cross_validated(
    arms: Mapping[str, Arm],
    target: Target,
    folds: Sequence[Fold],
    subjects: Subjects,
    *,
    n_adapt: int = 0,
    shards: Path | None = None,
    workers: int = 1,
    advance: Advance | None = None,
) -> dict[str, HeldOut]:
    """Return what every model says of the rows kept aside, on the same folds.

    Parameters
    ----------
    arms
        Name to model and features.
    target
        What is predicted, in whom.
    folds
        From :func:`kotowari.studies.brain.model.regression_targets.target_folds` or ``leave_site_out``.
    subjects
        Of all rows of the table.
    n_adapt
        As in :func:`fold_predictions`.
    shards
        Folder that keeps finished fits, so that a stopped run goes on; None keeps nothing and runs in this process.
    workers
        Processes; more than one needs ``shards``.
    advance
        Called once a finished fit.

    Raises
    ------
    DesignError
        When the target is among the covariates, or the site that is to be harmonised settles it.
    """
    jobs = {}
    for name, arm in arms.items():
        model = model_for(arm.model, target)
        model.require_sound(target.values[target.rows], subjects.rows(target.rows))
        for k, fold in enumerate(folds):
            jobs[f"{name}-fold-{k}"] = (model, arm.of_fold(k), [target.values], subjects, fold, n_adapt)
    done = run_jobs(fold_predictions, jobs, shards=shards, workers=workers, advance=advance)
    return {name: joined([done[f"{name}-fold-{k}"] for k in range(len(folds))], 0, target) for name in arms}


def external_predictions(
    model: LatentRegression,
    X: Any,
    target: Target,
    subjects: Subjects,
    *,
    n_adapt: int = 0,
    random_state: int = 0,
) -> HeldOut:
    """Return what a fitted model says of another site, without any refit.

    Parameters
    ----------
    model
        Fitted; it is not changed.
    X, target, subjects
        Of the other site.
    n_adapt
        Subjects of each unknown site, drawn at random, whose features alone set the site's effects; not predicted.
    random_state
        Draws them.

    Raises
    ------
    InputError
        When a site is unknown and the model may not let it pass, or too few subjects are left.
    """
    preparation = _copied(model.preparation_)
    everyone = Fold(np.empty(0, np.intp), target.rows)
    rows = _adapted(preparation, X, subjects, everyone, n_adapt, random_state)
    frozen: LatentRegression = clone(model)
    frozen.__dict__.update({**vars(model), "preparation_": preparation})
    there = subjects.rows(rows)
    options: dict[str, Any] = {"sites": there.sites, "covariates": there.covariates}
    scores = frozen.decision_scores(_taken(X, rows), **options)
    classes = np.array(target.classes)
    values = target.values[rows] if target.kind != "class" else classes[target.values[rows].astype(np.intp)]
    truth = frozen.truth(values, covariates=there.covariates)
    return HeldOut(rows, np.zeros(len(rows), np.intp), truth, frozen.coding_.in_units(scores), target.kind)


def run_jobs(
    function: Any,
    jobs: Mapping[str, tuple[Any, ...]],
    *,
    shards: Path | None,
    workers: int,
    advance: Advance | None,
) -> dict[str, Arrays]:
    """Run jobs here, or resumably in ``shards``; the same numbers either way.

    Raises
    ------
    InputError
        When several workers have no folder.
    """
    if shards is not None:
        return map_jobs(function, jobs, shards=shards, workers=workers, advance=advance or _silent)
    if workers > 1:
        raise InputError("More than one worker needs a folder for shards. Give shards.")
    done = {}
    for key, arguments in jobs.items():
        done[key] = function(*arguments)
        (advance or _silent)(1)
    return done


def joined(parts: Sequence[Arrays], outcome: int, target: Target) -> HeldOut:
    """Put the folds of one outcome together."""
    sizes = [len(part["rows"]) for part in parts]
    return HeldOut(
        np.concatenate([part["rows"] for part in parts]),
        np.repeat(np.arange(len(parts)), sizes),
        np.concatenate([part["truth"][outcome] for part in parts]),
        np.concatenate([part["prediction"][outcome] for part in parts]),
        target.kind,
    )


def _adapted(
    preparation: Preparation, X: Any, subjects: Subjects, fold: Fold, n_adapt: int, random_state: int
) -> IndexArray:
    """Set the effects of unknown sites from some of their subjects, and return the rows that are left to predict."""
    if preparation.harmoniser is None or subjects.sites is None or n_adapt == 0:
        return fold.test
    known = set(preparation.harmoniser.sites_)
    spent: list[IndexArray] = []
    for site in np.unique(subjects.sites[fold.test]):
        if site in known:
            continue
        there = fold.test[subjects.sites[fold.test] == site]
        if len(there) <= n_adapt:
            raise InputError(
                f"Site {site} has {len(there)} subjects; {n_adapt} for adapting leave none to predict. Adapt with "
                "fewer."
            )
        rng = np.random.default_rng(derive_seed(random_state, "adapt", str(site)))
        chosen = np.sort(rng.choice(there, n_adapt, replace=False))
        preparation.adapt(_taken(X, chosen), str(site), subjects.rows(chosen))
        spent.append(chosen)
    return np.setdiff1d(fold.test, np.concatenate(spent)) if spent else fold.test


def _copied(preparation: Preparation) -> Preparation:
    """Return a preparation whose harmoniser can learn a site without changing the first."""
    twin = Preparation(None, None, residualise=False, scale=False)
    twin.__dict__.update(vars(preparation))
    if preparation.harmoniser is not None:
        own: ComBat = clone(preparation.harmoniser)
        own.__dict__.update(vars(preparation.harmoniser))
        twin.harmoniser = own
    return twin


def _taken(X: Any, rows: IndexArray) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _silent(units: int = 1) -> None:
    del units
