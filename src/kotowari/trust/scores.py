"""Scores of predictions, fast enough to be drawn anew two thousand times."""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

__all__ = [
    "accuracy",
    "auroc",
    "balanced_accuracy",
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


def auroc(y: IntArray, score: FloatArray) -> float:
    """Area under the ROC curve, beyond two classes the mean of each against the rest; NaN when a class is absent.

    Parameters
    ----------
    y
        Class numbers from 0, shape ``(sample,)``.
    score
        Shape ``(sample, class)``, probability or margin, larger for likelier.
    """
    n_classes = score.shape[1]
    areas = [_binary_auroc(y == k, score[:, k]) for k in (range(1, 2) if n_classes == 2 else range(n_classes))]
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
    a, b = (ranks - ranks.mean() for ranks in (rankdata(y), rankdata(prediction)))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else np.nan


def _binary_auroc(positive: npt.NDArray[np.bool_], score: FloatArray) -> float:
    n_positive = int(positive.sum())
    n_pairs = n_positive * (len(positive) - n_positive)
    if n_pairs == 0:
        return np.nan
    return float((rankdata(score)[positive].sum() - n_positive * (n_positive + 1) / 2) / n_pairs)
