"""Scores of predictions, fast enough to be drawn anew two thousand times."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

__all__ = [
    "accuracy",
    "auroc",
    "balanced_accuracy",
    "concordance",
    "log_loss",
    "macro_f1",
    "mean_absolute_error",
    "r2",
    "spearman",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


def accuracy(y: IntArray, prediction: IntArray) -> float:
    """Share of samples put into their class."""
    return float((y == prediction).mean())


def balanced_accuracy(y: IntArray, prediction: IntArray) -> float:
    """Mean over the classes present in ``y`` of the share of their samples that was found."""
    samples = np.bincount(y)
    found = np.bincount(y[y == prediction], minlength=len(samples))
    present = samples > 0
    return float((found[present] / samples[present]).mean())


def macro_f1(y: IntArray, prediction: IntArray) -> float:
    """Mean of the F1 scores of all classes that are present or predicted."""
    n = int(max(y.max(), prediction.max())) + 1
    truly, said = np.bincount(y, minlength=n), np.bincount(prediction, minlength=n)
    right = np.bincount(y[y == prediction], minlength=n)
    present = truly + said > 0
    return float((2 * right[present] / (truly + said)[present]).mean())


def log_loss(y: IntArray, probability: FloatArray) -> float:
    """Mean of the negative log probability of the true class, natural log, probabilities at least 1e-15.

    Parameters
    ----------
    y
        Class numbers from 0, shape ``(sample,)``.
    probability
        Shape ``(sample, class)``, rows summing to 1.
    """
    return float(-np.log(np.maximum(probability[np.arange(len(y)), y], 1e-15)).mean())


def auroc(y: IntArray, score: FloatArray, fold: IntArray | None = None) -> float:
    """Area under the ROC curve, beyond two classes the mean of each against the rest; NaN when a class is absent.

    Parameters
    ----------
    y
        Class numbers from 0, shape ``(sample,)``.
    score
        Shape ``(sample, class)``, probability or margin, larger for likelier.
    fold
        Number of the fit behind each score, shape ``(sample,)``. Only samples of one fold are compared: two fits need
        not have one scale, and a pair across them would measure that. None compares all pairs.
    """
    part = np.zeros(len(y), np.intp) if fold is None else fold
    n_classes = score.shape[1]
    areas = [_binary_auroc(y == k, score[:, k], part) for k in (range(1, 2) if n_classes == 2 else range(n_classes))]
    return float(np.mean(areas))


def r2(y: FloatArray, prediction: FloatArray) -> float:
    """Share of the variance explained; NaN when ``y`` is constant."""
    total = ((y - y.mean()) ** 2).sum()
    return float(1 - ((y - prediction) ** 2).sum() / total) if total > 0 else np.nan


def mean_absolute_error(y: FloatArray, prediction: FloatArray) -> float:
    """Mean of the absolute errors, in units of ``y``."""
    return float(np.abs(y - prediction).mean())


def spearman(y: FloatArray, prediction: FloatArray) -> float:
    """Rank correlation; NaN when either side is constant."""
    a, b = (ranks - ranks.mean() for ranks in (_mean_ranks(y), _mean_ranks(prediction)))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else np.nan


def concordance(truth: FloatArray, risk: FloatArray, fold: IntArray | None = None) -> float:
    """Harrell's C: the share of comparable pairs in which the earlier event has the higher risk.

    A pair is comparable when the sample of the earlier time had the event; at equal times an event comes before an end
    of observation, as in Cox's risk sets, and two events are not compared. Equal risks count half. NaN without a
    comparable pair.

    Parameters
    ----------
    truth
        Time, and 1 where the event was seen, 0 where observation ended before it, shape ``(sample, 2)``.
    risk
        Shape ``(sample,)``, such as log hazards; larger is earlier.
    fold
        Number of the fit behind each risk, shape ``(sample,)``: only samples of one fold are compared, as in
        :func:`auroc`. None compares all pairs.

    Source: Harrell, Lee and Mark 1996, Stat. Med. 15:361-387.

    Examples
    --------
    >>> concordance(np.array([[1.0, 1], [2, 0], [3, 1]]), np.array([3.0, 2.0, 1.0]))
    1.0
    """
    parts = [np.arange(len(risk))] if fold is None else [np.flatnonzero(fold == number) for number in np.unique(fold)]
    n_pairs, n_wins = 0, 0.0
    for rows in parts:
        time, seen = truth[rows, 0], truth[rows, 1] > 0
        comparable = (time[seen][:, None] < time) | ((time[seen][:, None] == time) & ~seen)
        gap = risk[rows][seen][:, None] - risk[rows]
        n_pairs += int(np.count_nonzero(comparable))
        n_wins += np.count_nonzero(comparable & (gap > 0)) + 0.5 * np.count_nonzero(comparable & (gap == 0))
    return float(n_wins / n_pairs) if n_pairs else np.nan


def _mean_ranks(values: npt.NDArray[Any]) -> FloatArray:
    """Return ranks from 1, equal values at the mean of theirs; for bootstraps, at a tenth of the price of scipy's."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _binary_auroc(positive: npt.NDArray[np.bool_], score: FloatArray, fold: IntArray) -> float:
    """Share of the pairs of one fold that stand in the right order, ties counting half."""
    number = np.unique(fold, return_inverse=True)[1]
    n_folds = int(number.max()) + 1
    # ranks within each fold: sort by fold first, then by score, and start every fold at 1
    joint = rankdata(np.unique(score, return_inverse=True)[1] + number * (len(score) + 1.0))
    sizes = np.bincount(number, minlength=n_folds)
    ranks = joint - np.concatenate([[0], np.cumsum(sizes)[:-1]])[number]
    n_positive = np.bincount(number[positive], minlength=n_folds)
    wins = np.bincount(number[positive], ranks[positive], n_folds) - n_positive * (n_positive + 1) / 2
    pairs = n_positive * (sizes - n_positive)
    return float(wins.sum() / pairs.sum()) if pairs.sum() else np.nan
