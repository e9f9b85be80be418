"""The guard against circular reasoning: what networks say beyond the modulator they were made with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.evidence import Check, Verdict
from kotowari.core.runfolder import Metric
from kotowari.studies.genenet.baselines.modulator_spline import ModulatorSpline
from kotowari.studies.genenet.baselines.predictors import ridge_predictor, spline_predictor
from kotowari.studies.genenet.config import ResponseKind
from kotowari.trust.comparators import OutOfFold, cross_validate, cross_validate_inputs, paired_scores, score_table
from kotowari.trust.folds import Fold
from kotowari.trust.intervals import Interval

__all__ = [
    "GENES_ROW",
    "SPLINE_ROW",
    "PredictionVerdict",
    "judge_prediction",
    "permute_within_bins",
]

GENES_ROW, SPLINE_ROW = "ridge on raw genes", "spline of the modulator"
_COURSE = "its own course along the modulator"

_CHANCE = {"R2": 0.0, "Spearman": 0.0, "AUC": 0.5, "C-index": 0.5}
_DECISIVE: dict[ResponseKind, str] = {"regression": "R2", "classification": "AUC", "survival": "C-index"}
_FEWEST_IN_BIN = 5
_COURSE_KNOTS, _ROWS_A_KNOT, _COURSE_PENALTIES = 16, 3, np.logspace(-8, 4, 25)
_LEAST_BEYOND = 0.01


@dataclass(frozen=True)
class PredictionVerdict:
    """What may be said of the predictions of one or several models that use networks.

    Attributes
    ----------
    rows
        Scores of every model for ``metrics.json``: ours, the spline of the modulator, ridge on the raw genes.
    metric
        The score that decides.
    above_spline, above_genes, above_course
        Model of ours to the paired difference in that score, with its 95 % interval: over the spline of the modulator,
        over ridge on the raw genes, and over its own predictions smoothed along the modulator.
    beyond
        Model of ours to the share of the variance of its predictions, within folds, that does not follow the modulator,
        0 to 1. Below 0.01 the predictions are a function of the modulator.
    lowest
        Model of ours to the lowest of four lower ends, those three and that of its own score over chance; NaN where one
        is not defined.
    predicts
        Model of ours to whether the word may be used.
    sentences
        Model of ours to the verdict in words.
    """

    rows: list[Metric]
    metric: str
    above_spline: dict[str, Interval]
    above_genes: dict[str, Interval]
    above_course: dict[str, Interval]
    beyond: dict[str, float]
    lowest: dict[str, float]
    predicts: dict[str, bool]
    sentences: dict[str, str]

    def checks(self) -> list[Check]:
        """Return the verdicts as checks of the evidence; the value is the lower end that lies lowest."""
        return [
            Check(
                f"circularity: {name}",
                self.lowest[name] if np.isfinite(self.lowest[name]) else None,
                0.0,
                Verdict.PASS if allowed else Verdict.FAIL,
                self.sentences[name],
            )
            for name, allowed in self.predicts.items()
        ]


def judge_prediction(
    y: npt.ArrayLike,
    modulator: npt.ArrayLike | Sequence[npt.ArrayLike],
    predictions: Mapping[str, OutOfFold],
    *,
    X: npt.ArrayLike,
    folds: Sequence[Fold],
    groups: npt.ArrayLike | None = None,
    target: str = "response",
    metric: str | None = None,
    n_draws: int = 2000,
    random_state: int,
) -> PredictionVerdict:
    """Hold predictions from networks against the modulator alone and against the genes alone, on the same folds.

    The coefficients of a held-out sample are a function of its modulator, so whatever they predict a smooth function of
    the modulator predicts too. That row is fitted here and cannot be left out, nor can ridge on the raw genes. The word
    "predicts" is allowed only where the paired 95 % intervals over both lie above 0, and where

    * the score itself lies above chance: two comparators that fail make no prediction of a third model;
    * it is better than its own course along the modulator, that is, than the same predictions smoothed over the
      modulator without a look at the truth, and 1 % or more of their variance lies off that course.

    The last is needed because a function of the modulator may be a better curve than our spline by the luck of its
    shape: in simulations (160 samples, 4 folds, 40 seeds) ridge and kernel ridge on such networks passed both
    comparators in 6 of 80 cases, and this rule in none.

    Parameters
    ----------
    y
        Shape ``(sample,)``: classes or values; or ``(sample, 2)``, survival: time, and 1 where the event was seen.
    modulator
        Shape ``(sample,)`` or ``(sample, modulator)``; or one such array a fold, where it is computed inside the folds.
    predictions
        Name of a model to what it said out of fold, on exactly these folds. Each is judged by itself: of many, some
        pass by chance.
    X
        Expression, ``(sample, gene)``, for ridge (Cox's model with a ridge penalty, for survival); missing values are
        not allowed.
    folds
        The folds behind the predictions.
    groups
        Shape ``(sample,)``: drawn together by the bootstrap.
    target
        What is predicted, in a word.
    metric
        ``"R2"``, ``"Spearman"``, ``"AUC"`` or ``"C-index"``; None takes R2 for values, AUC for classes and the C-index
        for survival.
    n_draws, random_state
        Of the bootstrap.

    Returns
    -------
    PredictionVerdict

    Raises
    ------
    InputError
        When there is nothing to judge, a name is taken, the metric is unknown, or predictions come from other folds.
    ShapeError
        When modulator, genes or groups do not fit ``y``.
    DesignError
        When the modulator is constant.
    """
    truth, genes = np.asarray(y), np.asarray(X, dtype=np.float64)
    taken = sorted({GENES_ROW, SPLINE_ROW} & predictions.keys())
    if not predictions or taken:
        raise InputError(f"judge_prediction: {f'the name {taken[0]!r} is taken' if taken else 'nothing to judge'}.")
    if genes.ndim != 2 or len(genes) != len(truth):
        raise ShapeError.mismatch("judge_prediction", "X", (len(truth), "gene"), genes.shape)
    task: ResponseKind = "regression" if truth.ndim == 1 else "survival"
    if next(iter(predictions.values())).classes is not None:
        task = "classification"
    metric = metric or _DECISIVE[task]
    if metric not in _CHANCE:
        raise InputError(f"judge_prediction: metric must be one of {', '.join(_CHANCE)}, got {metric}.")
    inputs = _per_fold(modulator, len(truth), len(folds))
    spline = cross_validate_inputs({"": spline_predictor(task)}, inputs, truth, folds, groups=groups)[""]
    ridge = cross_validate({"": ridge_predictor(task)}, genes, truth, folds, groups=groups)[""]
    everyone = {**predictions, SPLINE_ROW: spline, GENES_ROW: ridge}
    roles: dict[str, Any] = dict.fromkeys(predictions, "ours")
    roles |= {SPLINE_ROW: "trivial null", GENES_ROW: "comparator"}
    options: dict[str, Any] = {"groups": groups, "n_draws": n_draws, "random_state": random_state}
    rows = score_table(truth, everyone, target=target, roles=roles, **options)
    courses = {name: _own_course(said, inputs) for name, said in predictions.items()}
    rivals = {name: {SPLINE_ROW: spline, GENES_ROW: ridge, _COURSE: course} for name, (course, _) in courses.items()}
    above = {
        name: {
            row: paired_scores(truth, predictions[name], other, metric=metric, **options)
            for row, other in others.items()
        }
        for name, others in rivals.items()
    }
    verdicts = {
        name: _verdict(name, target, metric, _chance_low(rows, name, metric), above[name], courses[name][1])
        for name in predictions
    }
    return PredictionVerdict(
        rows=rows,
        metric=metric,
        above_spline={name: own[SPLINE_ROW] for name, own in above.items()},
        above_genes={name: own[GENES_ROW] for name, own in above.items()},
        above_course={name: own[_COURSE] for name, own in above.items()},
        beyond={name: share for name, (_, share) in courses.items()},
        lowest={name: verdict.lowest for name, verdict in verdicts.items()},
        predicts={name: verdict.predicts for name, verdict in verdicts.items()},
        sentences={name: verdict.sentence for name, verdict in verdicts.items()},
    )


def permute_within_bins(
    X: npt.ArrayLike,
    modulator: npt.ArrayLike,
    n_bins: int,
    rng: np.random.Generator,
    *,
    scheme: Literal["genes", "rows"] = "genes",
) -> npt.NDArray[Any]:
    """Shuffle every gene on its own among samples of like modulator: the null of no relation between genes.

    What a gene has to do with the modulator stays, up to the width of a bin; what it has to do with other genes goes.
    Too few bins leave a relation behind that comes from the modulator; too many leave samples where they were.

    Parameters
    ----------
    X
        Shape ``(sample, gene)``; left as it was.
    modulator
        Shape ``(sample,)``, finite.
    n_bins
        Bins of equally many samples, five or more in each.
    rng
        Draws the permutations.
    scheme
        ``"genes"``. ``"rows"``, whole samples within bins, is refused.

    Returns
    -------
    array
        Shape ``(sample, gene)``, the values of every gene and bin in another order.

    Raises
    ------
    DesignError
        For ``scheme="rows"``: a sample changes places with one of like modulator and keeps its genes together, so every
        relation between genes, and how it varies along the modulator, stays. That is no null.
    InputError
        When an option is out of range or the modulator has gaps.
    ShapeError
        When the modulator does not fit the table.
    """
    if scheme == "rows":
        raise DesignError(
            "permute_within_bins: shuffling whole samples among those of like modulator is no null. They keep their "
            'genes together, so nearly all of the variation of the edges along the modulator stays. Use scheme="genes".'
        )
    if scheme != "genes":
        raise InputError(f'permute_within_bins: scheme must be "genes", got {scheme!r}.')
    values, m = np.array(X), np.asarray(modulator, dtype=np.float64)
    if values.ndim != 2 or m.shape != values.shape[:1]:
        raise ShapeError.mismatch("permute_within_bins", "modulator", values.shape[:1], m.shape)
    if not np.isfinite(m).all():
        raise InputError("permute_within_bins: the modulator is missing in places. Drop such samples first.")
    if not 1 <= n_bins <= len(m) // _FEWEST_IN_BIN:
        raise InputError(
            f"permute_within_bins: n_bins must lie between 1 and {len(m) // _FEWEST_IN_BIN}, five samples a bin, "
            f"got {n_bins}."
        )
    for members in np.array_split(np.argsort(m, kind="stable"), n_bins):
        values[members] = rng.permuted(values[members], axis=0)
    return values


def _per_fold(modulator: Any, n_samples: int, n_folds: int) -> list[npt.NDArray[np.float64]]:
    """Return the modulator for each fold, ``(sample, modulator)``."""
    several = isinstance(modulator, list | tuple) and np.ndim(modulator[0]) > 0
    if several and len(modulator) != n_folds:
        raise InputError(f"judge_prediction: {len(modulator)} modulators came for {n_folds} folds. Give one a fold.")
    inputs = [np.asarray(own, dtype=np.float64) for own in (modulator if several else [modulator] * n_folds)]
    for values in inputs:
        if values.ndim not in (1, 2) or len(values) != n_samples:
            raise ShapeError.mismatch(
                "judge_prediction", "modulator", (n_samples, "modulator if several"), values.shape
            )
        if not np.isfinite(values).all():
            raise InputError("judge_prediction: the modulator is missing in places. Drop such samples first.")
    return [values.reshape(n_samples, -1) for values in inputs]


def _own_course(said: OutOfFold, inputs: Sequence[npt.NDArray[np.float64]]) -> tuple[OutOfFold, float]:
    """Replace predictions by their smooth course along the modulator, fold by fold, without a look at the truth.

    Returns the course, and the share of the variance of the predictions that it leaves. What is a function of the
    modulator has no noise about its course, so leave-one-out chooses hardly any penalty and leaves next to nothing.
    """
    if said.classes is None:
        values = said.prediction.astype(np.float64)[:, None]
    else:
        ranking = said.margin if said.probability is None else said.probability
        values = np.zeros((len(said.rows), len(said.classes))) if ranking is None else ranking.astype(np.float64)
    course, left, total = np.empty_like(values), 0.0, 0.0
    for fold in np.unique(said.fold):
        here = np.flatnonzero(said.fold == fold)
        course[here] = _smoothed(inputs[int(fold)][said.rows[here]], values[here])
        left += float(((values[here] - course[here]) ** 2).sum())
        total += float(((values[here] - values[here].mean(0)) ** 2).sum())
    share = left / total if total > 0 else 0.0
    if said.classes is None:
        return OutOfFold(said.rows, said.fold, course[:, 0]), share
    return OutOfFold(said.rows, said.fold, said.prediction, said.classes, margin=course), share


def _smoothed(m: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    n_knots = min(_COURSE_KNOTS, len(m) // _ROWS_A_KNOT)
    if n_knots < 2 or (np.ptp(m, axis=0) == 0).any():
        return np.broadcast_to(values.mean(0), values.shape)
    ridge = RidgeCV(alphas=_COURSE_PENALTIES)
    smoother = Pipeline([("spline", ModulatorSpline(n_knots=n_knots)), ("ridge", ridge)])
    fitted: npt.NDArray[np.float64] = smoother.fit(m, values).predict(m).reshape(values.shape)
    return fitted


def _chance_low(rows: Sequence[Metric], name: str, metric: str) -> float:
    low = next(row.low for row in rows if row.model == name and row.metric == metric)
    return np.nan if low is None else low - _CHANCE[metric]


class _Verdict(NamedTuple):
    """Of one model: the lowest lower end, whether the word may be used, and the sentence."""

    lowest: float
    predicts: bool
    sentence: str


def _verdict(
    name: str, target: str, metric: str, chance_low: float, above: Mapping[str, Interval], beyond: float
) -> _Verdict:
    lows = {"chance": chance_low, **{row: interval.low for row, interval in above.items()}}
    missed = [hurdle for hurdle, low in lows.items() if not low > 0]
    if beyond < _LEAST_BEYOND and _COURSE not in missed:
        missed.append(_COURSE)
    figures = "; ".join(
        f"{metric} {interval.value:+.3f} against {row} (95 % interval {interval.low:.3f} to {interval.high:.3f})"
        for row, interval in above.items()
    )
    facts = f"{figures}; {100 * beyond:.1f} % of the variance of the predictions lies off that course"
    said = f"is not shown to say more of {target} than {few(missed)}" if missed else f"predicts {target}"
    return _Verdict(float(np.min(list(lows.values()))), not missed, f"{name} {said}: {facts}.")
