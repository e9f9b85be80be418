"""Whether the contributions of the parts add up to what the model said."""

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.evidence import Check

__all__ = ["completeness_check", "completeness_gap"]

FloatArray = npt.NDArray[np.float64]


def completeness_gap(
    attribution: npt.ArrayLike, score: npt.ArrayLike, reference_score: npt.ArrayLike, *, eps: float = 1e-12
) -> FloatArray:
    r"""Relative gap between the summed attribution and the change it should explain, one a sample.

    .. math:: \frac{|\sum_j a_j - (f(x) - f(x_0))|}{\max(|f(x) - f(x_0)|, \epsilon)}

    Parameters
    ----------
    attribution
        Shape ``(sample, ...)``, in units of the score.
    score, reference_score
        f(x) and f(x0): shape ``(sample,)``, or one number for the reference.
    eps
        Smallest change that is divided by, in units of the score.

    Returns
    -------
    array
        Shape ``(sample,)``, 0 or more.

    Examples
    --------
    >>> completeness_gap([[1.0, 2.0]], [5.0], 2.0).tolist()
    [0.0]
    """
    parts = np.asarray(attribution, dtype=np.float64)
    change = np.asarray(score, dtype=np.float64) - np.asarray(reference_score, dtype=np.float64)
    if parts.ndim < 2 or change.shape != parts.shape[:1]:
        raise ShapeError.mismatch("completeness_gap", "score", parts.shape[:1] or ("sample",), change.shape)
    total = parts.reshape(len(parts), -1).sum(1)
    gap: FloatArray = np.abs(total - change) / np.maximum(np.abs(change), eps)
    return gap


def completeness_check(gaps: npt.ArrayLike, *, threshold: float = 1e-2) -> Check:
    """Pass when 95 % of the samples have a gap of at most ``threshold``.

    Parameters
    ----------
    gaps
        Shape ``(sample,)``, from :func:`completeness_gap`.
    threshold
        Largest relative gap, above 0.
    """
    values = np.asarray(gaps, dtype=np.float64)
    if not values.size:
        raise InputError("completeness_check: there are no samples.")
    middle, upper, largest = (float(v) for v in np.quantile(values, [0.5, 0.95, 1.0]))
    verdict = "add up to the score" if upper <= threshold else "are not complete: they do not add up to the score"
    return Check.at_most(
        "completeness",
        upper,
        threshold,
        f"The attributions {verdict} (relative gap: median {middle:.2g}, 95 % of samples below {upper:.2g}, "
        f"largest {largest:.2g}).",
    )
