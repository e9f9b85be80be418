"""Family-wise p values by the largest statistic of each permutation, for any number of voxels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError

__all__ = ["ShuffledNull", "against_shuffled", "family_wise_p", "largest_allowed"]

FloatArray = npt.NDArray[np.float64]


def family_wise_p(observed: npt.ArrayLike, maxima: npt.ArrayLike, *, tie: float = 1e-9) -> FloatArray:
    r"""Hold every part against the largest part of each permutation.

    .. math:: p_j = \frac{1 + \#\{b : \max_k t_{bk} \ge t_j\}}{1 + B}

    The single step of Westfall and Young; needs no more than one number a permutation, so that it suits any number of
    voxels. The chance that any unrelated part has p below a level is at most that level.

    Parameters
    ----------
    observed
        Any shape, larger is stronger, parts on comparable scales.
    maxima
        Shape ``(permutation,)``.
    tie
        Values closer than this share of the larger one are equal, against the claim.

    Source: Westfall and Young 1993, Resampling-Based Multiple Testing, section 2.6; Nichols and Holmes 2002, Hum. Brain
    Mapp. 15:1-25.

    Examples
    --------
    >>> family_wise_p([3.0, 1.0], [2.0, 2.5, 1.5]).tolist()
    [0.25, 1.0]
    """
    values, largest = np.asarray(observed, dtype=np.float64), np.sort(np.asarray(maxima, dtype=np.float64))
    if largest.ndim != 1 or not len(largest):
        raise ShapeError.mismatch("family_wise_p", "maxima", ("permutation",), largest.shape)
    if not (np.isfinite(values).all() and np.isfinite(largest).all()):
        raise InputError("family_wise_p: a statistic is not finite.")
    reached = len(largest) - np.searchsorted(largest, values - tie * np.abs(values), side="left")
    return np.asarray((1.0 + reached) / (1.0 + len(largest)), dtype=np.float64)


def largest_allowed(maxima: npt.ArrayLike, level: float = 0.05) -> float:
    """Return the value above which :func:`family_wise_p` is at most ``level``; infinite with too few permutations."""
    largest = np.sort(np.asarray(maxima, dtype=np.float64))[::-1]
    allowed = int(np.floor(level * (len(largest) + 1) + 1e-9))  # permutations that may reach the value, and itself
    return float(largest[allowed - 1]) if allowed >= 1 else np.inf


@dataclass(frozen=True, eq=False)
class ShuffledNull:
    """A map beside maps of shuffled targets.

    Attributes
    ----------
    p
        Family-wise over all parts, shape ``(part,)``.
    threshold
        Size of each part's value above which p is at most ``level``.
    n_draws
        Shuffled maps; the smallest p is 1 / (1 + n_draws).
    level
        Of the threshold.
    """

    p: FloatArray
    threshold: FloatArray
    n_draws: int
    level: float


def against_shuffled(observed: npt.ArrayLike, shuffled: npt.ArrayLike, *, level: float = 0.05) -> ShuffledNull:
    r"""Ask which parts of a map are larger than shuffled targets make any part.

    .. math:: t_{bj} = \frac{|m_{bj}|}{\bar a_j + \bar a}, \quad
        \bar a_j = \mathrm{mean}_b |m_{bj}|, \quad \bar a = \mathrm{mean}_j \, \bar a_j

    The maximum over parts is compared. Parts that are large whatever the target is, such as thin or noisy ones, are
    scaled down by their own mean; the mean of all keeps the smallest from leading. Means are taken over the draws and
    the observed map together, so that all are exchangeable when there is nothing to find. When there is something, a
    map that is larger everywhere stands out everywhere: p says that a part is no work of chance, and its rank whether
    it leads.

    Parameters
    ----------
    observed
        Shape ``(part,)``, such as the voxels of the mask, or regions; signs do not count.
    shuffled
        Shape ``(draw, part)``, made as the observed map was, with regressions refitted.
    level
        Family-wise, above 0 and below 1; with 20 draws 0.05 is just within reach.

    Raises
    ------
    InputError
        When a value is not finite.

    Source: Westfall and Young 1993, as :func:`family_wise_p`; the scale of the parts is ours.
    """
    real, null = np.abs(np.asarray(observed)), np.asarray(shuffled)
    if real.ndim != 1 or null.ndim != 2 or not len(null) or null.shape[1] != len(real):
        raise ShapeError.mismatch("against_shuffled", "shuffled", ("draw", *real.shape), null.shape)
    if not (np.isfinite(real).all() and np.isfinite(null).all()):
        raise InputError("against_shuffled: a map holds values that are not finite.")
    total = real.astype(np.float64)
    for draw in null:  # one map at a time: there may be as many parts as voxels
        total += np.abs(draw)
    own = total / (1 + len(null))
    scale = np.maximum(own + own.mean(), np.finfo(np.float64).tiny)
    maxima = np.array([(np.abs(draw) / scale).max() for draw in null])
    return ShuffledNull(family_wise_p(real / scale, maxima), largest_allowed(maxima, level) * scale, len(null), level)
