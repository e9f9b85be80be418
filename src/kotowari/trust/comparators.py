"""The methods a user would otherwise take, on the same folds and scored the same way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.utils.validation import has_fit_parameter

from kotowari.core.errors import DesignError, InputError
from kotowari.core.jobs import Arrays, map_jobs
from kotowari.core.progress import Advance
from kotowari.core.runfolder import Metric, Role
from kotowari.trust import scores
from kotowari.trust.folds import Fold
from kotowari.trust.intervals import Interval, bootstrap_interval
from kotowari.trust.permutation import permutation_p

__all__ = [
    "LOWER_IS_BETTER",
    "OutOfFold",
    "chance_rows",
    "cross_validate",
    "cross_validate_inputs",
    "fit_predict",
    "paired_scores",
    "point_scores",
    "score_table",
]

Array = npt.NDArray[Any]

LOWER_IS_BETTER = ("log loss", "MAE")
_CHANCE_RANGE = (0.025, 0.975)


@dataclass(frozen=True)
class OutOfFold:
    """What one model said of rows it had not learned from, fold after fold.

    Parameters
    ----------
    rows, fold
        Row number and number of the fold of each prediction, shape ``(prediction,)``; with repeated folds a row comes
        several times.
    prediction
        Class labels, values, or log hazards, shape ``(prediction,)``.
    classes
        Class labels in order, shape ``(class,)``; None for values and survival.
    probability, margin
        Shape ``(prediction, class)``; None where the model offers none. A margin ranks samples but is no probability.
    """

    rows: npt.NDArray[np.intp]
    fold: npt.NDArray[np.intp]
    prediction: Array
    classes: Array | None = None
    probability: npt.NDArray[np.float64] | None = None
    margin: npt.NDArray[np.float64] | None = None

    def to_frame(self, names: npt.ArrayLike, truth: npt.ArrayLike) -> pd.DataFrame:
        """Return a row a prediction: ``sample``, ``fold``, ``truth``, ``prediction``, and probabilities by class.

        A truth of two columns stands as ``time`` and ``event``.
        """
        known = np.asarray(truth)[self.rows]
        told = {"truth": known} if known.ndim == 1 else dict(zip(("time", "event"), known.T, strict=True))
        columns = {"sample": np.asarray(names)[self.rows], "fold": self.fold, **told}
        table = pd.DataFrame(columns | {"prediction": self.prediction})
        if self.probability is not None and self.classes is not None:
            for name, column in zip(self.classes, self.probability.T, strict=True):
                table[f"p({name})"] = column
        return table


def cross_validate(
    models: Mapping[str, Any],
    X: Any,
    y: npt.ArrayLike,
    folds: Sequence[Fold],
    *,
    groups: npt.ArrayLike | None = None,
    shards: Path | None = None,
    workers: int = 1,
    advance: Advance | None = None,
    cluster: Any = None,
) -> dict[str, OutOfFold]:
    """Fit a clone of every model on the training rows of every fold, and predict the rows kept aside.

    The same as :func:`cross_validate_inputs` with one table for all folds.

    Whatever learns (scaling, feature choice, tuning) must be part of the model, such as a pipeline.

    Parameters
    ----------
    models
        Name to unfitted scikit-learn classifier or regressor; all of one kind.
    X
        Array or DataFrame, ``(sample, ...)``.
    y
        Shape ``(sample,)``, or ``(sample, 2)`` for survival: time, and 1 where the event was seen, else 0.
    folds
        From :func:`grouped_folds`.
    groups
        Shape ``(sample,)``; handed to models whose ``fit`` takes groups, and to searches over settings.
    shards
        Folder that keeps finished fits, so that a stopped run goes on; None keeps nothing and runs in this process.
    workers
        Processes; needs ``shards``.
    advance
        Called once a finished fit.
    cluster
        None, or who fits in place of processes of this machine, as in :func:`kotowari.core.map_jobs`; needs ``shards``.

    Raises
    ------
    DesignError
        When the training part of a fold lacks a class.
    """
    options: dict[str, Any] = {"groups": groups, "shards": shards, "workers": workers, "advance": advance}
    return cross_validate_inputs(models, [X] * len(folds), y, folds, cluster=cluster, **options)


def cross_validate_inputs(
    models: Mapping[str, Any],
    inputs: Sequence[Any],
    y: npt.ArrayLike,
    folds: Sequence[Fold],
    *,
    groups: npt.ArrayLike | None = None,
    shards: Path | None = None,
    workers: int = 1,
    advance: Advance | None = None,
    cluster: Any = None,
) -> dict[str, OutOfFold]:
    """Cross-validate on features that were made inside each fold; ``inputs`` holds a table of all samples for each.

    The other parameters are those of :func:`cross_validate`.
    """
    if shards is None and (workers > 1 or cluster is not None):
        raise InputError("cross_validate: more than one worker, or a cluster, needs a folder for shards.")
    target = np.asarray(y)
    owners = None if groups is None else np.asarray(groups)
    jobs = {
        f"{name}-fold-{k}": (model, inputs[k], target, fold, owners)
        for name, model in models.items()
        for k, fold in enumerate(folds)
    }
    tick = advance or _silent
    if shards is None:
        results = {}
        for key, arguments in jobs.items():
            results[key] = fit_predict(*arguments)
            tick()
    else:
        results = map_jobs(fit_predict, jobs, shards=shards, workers=workers, advance=tick, cluster=cluster)
    rows = np.concatenate([fold.test for fold in folds])
    number = np.concatenate([np.full(len(fold.test), k, dtype=np.intp) for k, fold in enumerate(folds)])
    return {
        name: _joined([results[f"{name}-fold-{k}"] for k in range(len(folds))], rows, number, target, model)
        for name, model in models.items()
    }


def fit_predict(model: Any, X: Any, y: Array, fold: Fold, groups: Array | None = None) -> Arrays:
    """Fit a clone of ``model`` on the training rows and return what it says of the test rows.

    Returns
    -------
    dict of arrays
        ``prediction`` (values, or positions in ``np.unique(y)``), and ``probability`` or ``margin`` where offered.
    """
    fresh = clone(model)
    extra = {"groups": groups[fold.train]} if groups is not None and _takes_groups(fresh) else {}
    if not is_classifier(fresh):
        fresh.fit(_rows(X, fold.train), y[fold.train], **extra)
        return {"prediction": np.asarray(fresh.predict(_rows(X, fold.test)), dtype=np.float64)}
    classes, codes = np.unique(y, return_inverse=True)
    missing = set(range(len(classes))) - set(codes[fold.train].tolist())
    if missing:
        raise DesignError(
            f"The training part of a fold has no sample of the class {classes[min(missing)]!s}. Make the folds anew, "
            "stratified by class."
        )
    fresh.fit(_rows(X, fold.train), y[fold.train], **extra)
    held = _rows(X, fold.test)
    said: Arrays = {"prediction": np.searchsorted(classes, fresh.predict(held))}
    if hasattr(fresh, "predict_proba"):
        said["probability"] = np.asarray(fresh.predict_proba(held), dtype=np.float64)
    elif hasattr(fresh, "decision_function"):
        margin = np.asarray(fresh.decision_function(held), dtype=np.float64)
        said["margin"] = np.column_stack([-margin, margin]) if margin.ndim == 1 else margin
    return said


def score_table(
    y: npt.ArrayLike,
    predictions: Mapping[str, OutOfFold],
    *,
    target: str,
    roles: Mapping[str, Role],
    groups: npt.ArrayLike | None = None,
    n_draws: int = 2000,
    random_state: int,
) -> list[Metric]:
    """Score every model over all folds, with 95 % bootstrap intervals over groups.

    Classification: accuracy, balanced accuracy, macro F1, log loss, AUC (one against the rest beyond two classes).
    Regression: R2, MAE, Spearman. Survival: Harrell's C-index. A score that the model cannot give (log loss without
    probabilities) stands with the value None. AUC and C-index compare samples of one fold only, since two fits need not
    have one scale; the other scores pool the folds. The interval speaks of other subjects, not of other training runs.

    Parameters
    ----------
    y
        Shape ``(sample,)``, or ``(sample, 2)`` for survival, as in :func:`cross_validate`.
    predictions
        From :func:`cross_validate`.
    target
        What was predicted, in a word.
    roles
        Model to the reason why it stands in the table.
    groups
        Shape ``(sample,)``; None makes every sample its own group.
    n_draws, random_state
        As in :func:`bootstrap_interval`; all models share the seed, so the same groups are drawn for each.
    """
    truth = np.asarray(y)
    owners = np.arange(len(truth)) if groups is None else np.asarray(groups)
    table = []
    for name, said in predictions.items():
        for metric, statistic, arrays in _scorers(truth, said):
            value = low = high = None
            if statistic is not None:
                interval = bootstrap_interval(
                    statistic, *arrays, groups=owners[said.rows], n_draws=n_draws, random_state=random_state
                )
                value, low, high = (_number(end) for end in (interval.value, interval.low, interval.high))
            n = len(np.unique(said.rows))
            table.append(Metric(target, metric, name, roles[name], value, low=low, high=high, n=n))
    return table


def point_scores(y: npt.ArrayLike, said: OutOfFold) -> dict[str, float]:
    """Return the scores of :func:`score_table` for one model without intervals; NaN where the model cannot give one."""
    scorers = _scorers(np.asarray(y), said)
    return {name: np.nan if statistic is None else statistic(*arrays) for name, statistic, arrays in scorers}


def chance_rows(
    rows: Sequence[Metric], observed: Mapping[str, float], nulls: Sequence[Mapping[str, float]], *, model: str
) -> tuple[list[Metric], list[Metric]]:
    """Hold scores against those of refits on permuted responses.

    Parameters
    ----------
    rows
        Scores of one model, a row a metric.
    observed
        Metric to the score that the nulls are compared with; that of all folds that the refits ran on.
    nulls
        From :func:`point_scores`, one a refit; one or more.
    model
        How the rows of chance are called.

    Returns
    -------
    list of Metric
        The rows with p and the number of refits behind it.
    list of Metric
        Mean and central 95 % of the refits, a row a metric.
    """
    with_p, chance = [], []
    for row in rows:
        null = np.array([scores_[row.metric] for scores_ in nulls])
        lower = row.metric in LOWER_IS_BETTER
        p = permutation_p(observed[row.metric], null, alternative="less" if lower else "greater")
        with_p.append(replace(row, p=float(p), n_null=len(null)))
        low, high = (float(end) for end in np.nanquantile(null, _CHANCE_RANGE))
        mean = float(np.nanmean(null))
        chance.append(
            Metric(row.target, row.metric, model, "chance", mean, low=low, high=high, n=row.n, n_null=len(null))
        )
    return with_p, chance


def paired_scores(
    y: npt.ArrayLike,
    ours: OutOfFold,
    other: OutOfFold,
    *,
    metric: str,
    groups: npt.ArrayLike | None = None,
    n_draws: int = 2000,
    random_state: int,
) -> Interval:
    """Return ``metric`` of ``ours`` less that of ``other`` on the same rows, with a bootstrap interval over groups.

    Raises
    ------
    InputError
        When the two models were not judged on the same folds, or one of them cannot give the metric.
    """
    truth = np.asarray(y)
    if not (np.array_equal(ours.rows, other.rows) and np.array_equal(ours.fold, other.fold)):
        raise InputError("paired_scores: the models were judged on different folds. Use the same folds for both.")
    found = [{name: entry for name, *entry in _scorers(truth, said)}.get(metric, [None])[0] for said in (ours, other)]
    if None in found:
        raise InputError(f"paired_scores: {metric} is not given by both models.")

    def difference(rows: npt.NDArray[np.intp]) -> float:
        values = [point_scores(truth, _taken(said, rows))[metric] for said in (ours, other)]
        return values[0] - values[1]

    owners = np.arange(len(truth)) if groups is None else np.asarray(groups)
    return bootstrap_interval(
        difference,
        np.arange(len(ours.rows)),
        groups=owners[ours.rows],
        n_draws=n_draws,
        method="percentile",
        random_state=random_state,
    )


def _taken(said: OutOfFold, rows: npt.NDArray[np.intp]) -> OutOfFold:
    return OutOfFold(
        said.rows[rows],
        said.fold[rows],
        said.prediction[rows],
        said.classes,
        None if said.probability is None else said.probability[rows],
        None if said.margin is None else said.margin[rows],
    )


Scorer = tuple[str, Callable[..., float] | None, tuple[Array, ...]]


def _scorers(truth: Array, said: OutOfFold) -> list[Scorer]:
    if said.classes is None:
        values = (truth[said.rows].astype(np.float64), said.prediction)
        if truth.ndim == 2:
            return [("C-index", scores.concordance, (*values, said.fold))]
        return [
            ("R2", scores.r2, values),
            ("MAE", scores.mean_absolute_error, values),
            ("Spearman", scores.spearman, values),
        ]
    codes = np.searchsorted(said.classes, truth[said.rows])
    hard = (codes, np.searchsorted(said.classes, said.prediction))
    ranking = said.margin if said.probability is None else said.probability
    return [
        ("accuracy", scores.accuracy, hard),
        ("balanced accuracy", scores.balanced_accuracy, hard),
        ("macro F1", scores.macro_f1, hard),
        ("log loss", *((None, ()) if said.probability is None else (scores.log_loss, (codes, said.probability)))),
        ("AUC", *((None, ()) if ranking is None else (scores.auroc, (codes, ranking, said.fold)))),
    ]


def _joined(
    parts: Sequence[Arrays], rows: npt.NDArray[np.intp], fold: npt.NDArray[np.intp], y: Array, model: Any
) -> OutOfFold:
    prediction = np.concatenate([part["prediction"] for part in parts])
    if not is_classifier(model):
        return OutOfFold(rows, fold, prediction)
    classes = np.unique(y)
    soft = {key: np.concatenate([part[key] for part in parts]) for key in ("probability", "margin") if key in parts[0]}
    return OutOfFold(rows, fold, classes[prediction], classes, **soft)


def _rows(X: Any, rows: npt.NDArray[np.intp]) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _takes_groups(model: Any) -> bool:
    return isinstance(model, GridSearchCV | RandomizedSearchCV) or has_fit_parameter(model, "groups")


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _silent(units: int = 1) -> None:
    del units
