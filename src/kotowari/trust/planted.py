"""How well a score finds what was planted."""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from kotowari.core.errors import InputError, ShapeError

__all__ = ["planted_scores", "precision_at"]


def planted_scores(score: npt.ArrayLike, truth: npt.ArrayLike, *, k: int | None = None) -> dict[str, float]:
    """Score a ranking of parts against the planted truth.

    Parameters
    ----------
    score
        Shape ``(part, ...)``, larger is more relevant.
    truth
        True where something was planted, same shape; neither everywhere nor nowhere.
    k
        Length of the list for precision; None takes the number of planted parts.

    Returns
    -------
    dict
        ``average_precision`` and its chance level ``prevalence``, ``auroc`` (chance 0.5), ``precision_at_k``, ``k``.

    Raises
    ------
    InputError
        When nothing or everything was planted, or a score is not finite.
    """
    values, planted = np.asarray(score, dtype=np.float64), np.asarray(truth, dtype=np.bool_)
    if values.shape != planted.shape:
        raise ShapeError.mismatch("planted_scores", "truth", values.shape, planted.shape)
    values, planted = values.ravel(), planted.ravel()
    if planted.all() or not planted.any():
        raise InputError("planted_scores: the truth must hold both planted and other parts.")
    if not np.isfinite(values).all():
        raise InputError(f"planted_scores: {int((~np.isfinite(values)).sum())} scores are not finite.")
    k = int(planted.sum()) if k is None else k
    return {
        "average_precision": float(average_precision_score(planted, values)),
        "prevalence": float(planted.mean()),
        "auroc": float(roc_auc_score(planted, values)),
        "precision_at_k": precision_at(k, values, planted),
        "k": float(k),
    }


def precision_at(k: int, score: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> float:
    """Share of planted parts among the k best; parts tied at the border count by their mean.

    Examples
    --------
    >>> precision_at(2, np.array([3.0, 1.0, 1.0]), np.array([True, True, False]))
    0.75
    """
    if not 1 <= k <= len(score):
        raise InputError(f"precision_at: k must lie between 1 and {len(score)}, got {k}.")
    border = np.partition(score, -k)[-k]
    above, tied = score > border, score == border
    return float((truth[above].sum() + (k - above.sum()) * truth[tied].mean()) / k)
