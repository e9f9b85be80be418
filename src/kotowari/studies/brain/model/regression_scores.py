"""Scores of held-out predictions by kind of target, and how small a correlation a sample can show."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from kotowari.core.errors import InputError
from kotowari.core.runfolder import Metric, Role
from kotowari.studies.brain.model.target_coding import TargetKind
from kotowari.trust import scores
from kotowari.trust.intervals import Interval, bootstrap_interval

__all__ = [
    "HeldOut",
    "correlation",
    "detectable_correlation",
    "held_out_scores",
    "main_statistic",
    "paired_gain",
    "power_sentence",
]

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
Scorer = Callable[..., float]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a model said of rows that it had not learned from, beside the truth.

    Parameters
    ----------
    rows, fold
        Row number and number of the fold, shape ``(prediction,)``; repeated folds give a row several times.
    truth
        Shape ``(prediction,)``, or ``(prediction, 2)`` (time, event) for survival. Where covariates were removed from
        the target, what is left of it under the coefficients of that fold.
    prediction
        Shape ``(prediction,)``: values in the units of ``truth``; log odds of the second class; log hazard; or the
        score of the features for several targets, whose own score is ``truth``.
    kind
        Of the target.
    """

    rows: IndexArray
    fold: IndexArray
    truth: FloatArray
    prediction: FloatArray
    kind: TargetKind


def correlation(y: FloatArray, prediction: FloatArray) -> float:
    """Return Pearson's r; NaN when either side is constant."""
    a, b = y - y.mean(), prediction - prediction.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else np.nan


def main_statistic(said: HeldOut) -> float:
    """Return the figure that is tested against chance: r, area under the curve, or C; larger is better."""
    name, scorer, arrays = _scorers(said)[0]
    del name
    return scorer(*arrays)


def held_out_scores(
    said: HeldOut,
    *,
    target: str,
    model: str,
    role: Role,
    groups: npt.ArrayLike | None = None,
    n_draws: int = 2000,
    random_state: int,
) -> list[Metric]:
    """Return the scores of one model with 95 % bootstrap intervals over groups.

    Numbers: r, Spearman, R2, MAE. Two classes: AUC (pairs of one fold), balanced accuracy, log loss. Survival: C.
    Several targets: r and Spearman of their pair of scores.

    Parameters
    ----------
    said
        Held-out predictions.
    target, model, role
        How the row is called.
    groups
        Owner of every row of the whole table, which ``said.rows`` points into; None makes every row its own.
    n_draws, random_state
        As in :func:`kotowari.trust.intervals.bootstrap_interval`.
    """
    owners = said.rows if groups is None else np.asarray(groups)[said.rows]
    rows = []
    for metric, scorer, arrays in _scorers(said):
        interval = bootstrap_interval(scorer, *arrays, groups=owners, n_draws=n_draws, random_state=random_state)
        value, low, high = (_number(end) for end in (interval.value, interval.low, interval.high))
        rows.append(Metric(target, metric, model, role, value, low=low, high=high, n=len(np.unique(said.rows))))
    return rows


def paired_gain(
    ours: HeldOut, other: HeldOut, *, groups: npt.ArrayLike | None = None, n_draws: int = 2000, random_state: int
) -> Interval:
    """Return the main statistic of ``ours`` less that of ``other``, both on the same drawn subjects.

    Raises
    ------
    InputError
        When the two were not judged on the same rows and folds.
    """
    if not (np.array_equal(ours.rows, other.rows) and np.array_equal(ours.fold, other.fold)):
        raise InputError("paired_gain: the models were judged on different rows or folds. Use the same for both.")
    owners = ours.rows if groups is None else np.asarray(groups)[ours.rows]

    def difference(drawn: IndexArray) -> float:
        ours_, other_ = (
            HeldOut(one.rows[drawn], one.fold[drawn], one.truth[drawn], one.prediction[drawn], one.kind)
            for one in (ours, other)
        )
        return main_statistic(ours_) - main_statistic(other_)

    return bootstrap_interval(
        difference,
        np.arange(len(owners)),
        groups=owners,
        n_draws=n_draws,
        method="percentile",
        random_state=random_state,
    )


def detectable_correlation(n_subjects: int, *, power: float = 0.8, level: float = 0.05) -> float:
    r"""Return the smallest correlation that a two-sided test finds with the given power.

    .. math:: \tanh \frac{z_{1 - \alpha/2} + z_{\text{power}}}{\sqrt{n - 3}}

    Source: Fisher's transformation; the far tail is left out.

    Examples
    --------
    >>> round(detectable_correlation(71), 2)
    0.33
    """
    if n_subjects < 4:
        raise InputError(f"detectable_correlation: needs 4 subjects or more, got {n_subjects}.")
    return float(np.tanh((norm.ppf(1 - level / 2) + norm.ppf(power)) / np.sqrt(n_subjects - 3)))


def power_sentence(n_subjects: int, *, power: float = 0.8, level: float = 0.05) -> str:
    """Say what the sample could have shown.

    Examples
    --------
    >>> power_sentence(71)
    'With 71 subjects a correlation of 0.33 or more is found with a power of 80 % (two-sided, level 0.05).'
    """
    smallest = detectable_correlation(n_subjects, power=power, level=level)
    return (
        f"With {n_subjects} subjects a correlation of {smallest:.2f} or more is found with a power of "
        f"{100 * power:.0f} % (two-sided, level {level:g})."
    )


def _scorers(said: HeldOut) -> list[tuple[str, Scorer, tuple[npt.NDArray[Any], ...]]]:
    values = (said.truth, said.prediction)
    if said.kind == "survival":
        return [("C", scores.concordance, (*values, said.fold))]
    if said.kind == "class":
        codes, odds = said.truth.astype(np.intp), said.prediction
        share = 1 / (1 + np.exp(-np.clip(odds, -700, 700)))
        soft = np.column_stack([1 - share, share])
        return [
            ("AUC", scores.auroc, (codes, soft, said.fold)),
            ("balanced accuracy", scores.balanced_accuracy, (codes, (odds > 0).astype(np.intp))),
            ("log loss", scores.log_loss, (codes, soft)),
        ]
    found: list[tuple[str, Scorer, tuple[npt.NDArray[Any], ...]]] = [
        ("r", correlation, values),
        ("Spearman", scores.spearman, values),
    ]
    if said.kind == "number":
        found += [("R2", scores.r2, values), ("MAE", scores.mean_absolute_error, values)]
    return found


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
