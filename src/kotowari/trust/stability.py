"""Would the same parts be chosen again? Agreement of many selections, corrected for chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.evidence import Check

__all__ = [
    "Stability",
    "group_level",
    "jaccard_mean",
    "pfer_bound",
    "selection_frequency",
    "selection_stability",
    "stability_check",
]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stability:
    """Agreement of selections, corrected for chance.

    Parameters
    ----------
    index
        1 for identical selections, about 0 for random ones; NaN when nothing or everything was always chosen.
    low, high
        Ends of the asymptotic interval, which reads the selections as independent runs of one procedure.
    n_selections
        How many selections were compared.
    mean_size
        Features a selection holds on average.
    """

    index: float
    low: float
    high: float
    n_selections: int
    mean_size: float


def selection_stability(selected: npt.ArrayLike, *, level: float = 0.95) -> Stability:
    r"""Nogueira index of M selections out of d features, with its asymptotic interval.

    .. math::
        \Phi = 1 - \frac{\frac1d \sum_f \frac{M}{M-1} p_f (1 - p_f)}{\frac{\bar k}{d}(1 - \frac{\bar k}{d})}, \quad
        v = \frac{4}{M^2} \sum_i (\phi_i - \bar\phi)^2

    .. math::
        \phi_i = \frac{1}{\frac{\bar k}{d}(1 - \frac{\bar k}{d})}
        \Big[\tfrac1d \sum_f z_{if} p_f - \tfrac{k_i \bar k}{d^2}
        + \tfrac{\Phi}{2}\Big(\tfrac{2 k_i \bar k}{d^2} - \tfrac{k_i}{d} - \tfrac{\bar k}{d} + 1\Big)\Big]

    The interval speaks of other runs of the same procedure on these data, not of other patients.

    Parameters
    ----------
    selected
        Shape ``(selection, feature)``, true where chosen; two selections or more.
    level
        Of the interval, above 0 and below 1.

    Source: Nogueira, Sechidis and Brown 2018, JMLR 18(174), definition 4 (index) and corollary 9 (interval).

    Examples
    --------
    >>> selection_stability([[True, False, False], [True, False, False]]).index
    1.0
    """
    z = _selections(selected, at_least=2).astype(np.float64)
    m, d = z.shape
    frequency, sizes = z.mean(0), z.sum(1)
    share = float(sizes.mean() / d)
    scale = share * (1 - share)
    if scale == 0:
        return Stability(np.nan, np.nan, np.nan, m, share * d)
    index = 1 - m / (m - 1) * float((frequency * (1 - frequency)).mean()) / scale
    own = z @ frequency / d - sizes * share / d + index / 2 * (2 * sizes * share / d - sizes / d - share + 1)
    phi = own / scale
    error = float(norm.ppf((1 + level) / 2) * np.sqrt(4 / m**2 * ((phi - phi.mean()) ** 2).sum()))
    return Stability(index, index - error, min(1.0, index + error), m, share * d)


def stability_check(stability: Stability, *, threshold: float = 0.75) -> Check:
    """Hold the index against ``threshold``: 0.75 and above is good, 0.4 to 0.75 middling, below poor."""
    if np.isnan(stability.index):
        return Check.not_applicable(
            "stability", "Every selection took nothing or everything, so agreement cannot be told from chance."
        )
    words = "good" if stability.index >= 0.75 else "middling" if stability.index >= 0.4 else "poor"
    return Check.at_least(
        "stability",
        stability.index,
        threshold,
        f"{stability.n_selections} selections of {stability.mean_size:.0f} parts agree with a Nogueira index of "
        f"{stability.index:.2f} (95 % interval {stability.low:.2f} to {stability.high:.2f}; 1 identical, 0 chance): "
        f"{words}.",
    )


def selection_frequency(selected: npt.ArrayLike) -> FloatArray:
    """Return how often each feature was chosen. ``(selection, feature) -> (feature,)``, 0 to 1."""
    frequency: FloatArray = _selections(selected, at_least=1).mean(0)
    return frequency


def jaccard_mean(selected: npt.ArrayLike) -> float:
    """Mean over pairs of shared / united features; two empty selections agree (1). Not corrected for chance."""
    z = _selections(selected, at_least=2).astype(np.float64)
    shared = z @ z.T
    sizes = z.sum(1)
    united = sizes[:, None] + sizes - shared
    pairs = np.triu_indices(len(z), 1)
    return float(np.divide(shared, united, out=np.ones_like(shared), where=united > 0)[pairs].mean())


def group_level(selected: npt.ArrayLike, groups: Sequence[Any]) -> tuple[BoolArray, npt.NDArray[Any]]:
    """Join features that come together, such as the genes of one pixel: a group is chosen when any of it is.

    Parameters
    ----------
    selected
        Shape ``(selection, feature)``.
    groups
        Group of each feature.

    Returns
    -------
    array, array
        Shape ``(selection, group)``, and the names of the groups in that order (sorted).
    """
    z = _selections(selected, at_least=1)
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    if group_of.shape != z.shape[1:]:
        raise ShapeError.mismatch("group_level", "groups", z.shape[1:], group_of.shape)
    joined = np.zeros((len(z), len(names)), dtype=np.bool_)
    for row, chosen in zip(joined, z, strict=True):
        row[group_of[chosen]] = True
    return joined, names


def pfer_bound(mean_selected: float, threshold: float, n_features: int) -> float:
    r"""Bound on the expected number of falsely stable features, :math:`E(V) \le q^2 / ((2\pi - 1)\,d)`.

    Holds when unrelated features are exchangeable and the procedure is no worse than guessing.

    Parameters
    ----------
    mean_selected
        q, features a selection holds on average.
    threshold
        :math:`\pi`, above 0.5 up to 1: the selection frequency from which a feature counts as stable.
    n_features
        d.

    Source: Meinshausen and Bühlmann 2010, J. R. Stat. Soc. B 72:417-473, theorem 1.
    """
    if not 0.5 < threshold <= 1:
        raise InputError(f"pfer_bound: threshold must lie above 0.5 and at most at 1, got {threshold}.")
    return mean_selected**2 / ((2 * threshold - 1) * n_features)


def _selections(selected: npt.ArrayLike, *, at_least: int) -> BoolArray:
    z = np.asarray(selected)
    if z.ndim != 2 or len(z) < at_least or z.shape[1] == 0:
        raise ShapeError.mismatch("stability", "selected", (f"{at_least} or more selections", "feature"), z.shape)
    if z.dtype != np.bool_:
        raise InputError(f"stability: selected must be boolean (true where chosen), got {z.dtype}.")
    return z
