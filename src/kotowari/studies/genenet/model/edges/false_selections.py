"""How many of the stable edges may be false: bounds on complementary pairs of half samples."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize_scalar

from kotowari.core.errors import InputError
from kotowari.trust.stability import pfer_bound

__all__ = ["FalseSelections", "false_selection_bounds"]

_LOWEST, _HIGHEST = -18.0, 18.0  # logarithms of the offset of a power law: from one point to all points alike
_ROUNDING = 1e-9


class FalseSelections(NamedTuple):
    r"""Bounds on the expected number of falsely stable parts, those selected in ``threshold`` of the halves or more.

    With q parts selected in a half on average, p possible parts, :math:`\theta = q/p` and B pairs:

    Attributes
    ----------
    threshold
        The selection frequency from which a part counts as stable.
    n_stable
        Parts that reach it.
    worst_case
        :math:`q^2/((2\tau - 1)p)`. After Meinshausen and Bühlmann, of the unrelated parts, when these are exchangeable
        and the selection is no worse than guessing. After Shah and Samworth the same number bounds, with no assumption
        at all, the stable parts whose chance of selection on a half is at most :math:`\theta`.
    unimodal
        :math:`C(\tau, B)\, q^2/p` for the same parts as Shah and Samworth's, when the share of pairs that select such a
        part in both halves has a unimodal distribution; NaN where the theorem says nothing (:math:`\theta` above
        :math:`1/\sqrt 3`, or a threshold too near to one half).
    concave
        :math:`\min\{D(\theta^2, 2\tau - 1, B, -1/2), D(\theta, \tau, 2B, -1/4)\}\, p` for the same parts, when that
        share is -1/2-concave and the selection frequency -1/4-concave: D is the largest upper tail of an r-concave
        distribution with that mean. At most the number of possible parts.

    Source: Meinshausen and Bühlmann 2010, J. R. Stat. Soc. B 72:417-473, theorem 1; Shah and Samworth 2013, J. R. Stat.
    Soc. B 75:55-80, theorems 1 and 2, equation 8 and appendix A.4.
    """

    threshold: float
    n_stable: int
    worst_case: float
    unimodal: float
    concave: float

    def sentence(self, what: str = "edges") -> str:
        """Tell the bounds in words."""
        unimodal = "" if np.isnan(self.unimodal) else f", {self.unimodal:.2g} if those are unimodal"
        return (
            f"{self.n_stable} {what} are selected in {100 * self.threshold:g} % of the half samples or more. Of these, "
            f"at most {self.worst_case:.2g} are expected to be no better than the average of all {what}, whatever the "
            f"distribution of selections{unimodal}, {self.concave:.2g} if they are r-concave."
        )


def false_selection_bounds(
    frequency: npt.ArrayLike, *, threshold: float, mean_selected: float, n_possible: int, n_pairs: int
) -> FalseSelections:
    """Return three bounds, the fewer assumptions the larger.

    Parameters
    ----------
    frequency
        Share of all halves that selected each part; parts never selected may be left out.
    threshold
        Above 0.5 up to 1. Shares are multiples of 1/(2B): the bounds are those of the next multiple.
    mean_selected
        q.
    n_possible
        p, 1 or more.
    n_pairs
        B.

    Raises
    ------
    InputError
        When the threshold is out of range.
    """
    if not 0.5 < threshold <= 1:
        raise InputError(f"false selections: threshold must lie above 0.5 and at most at 1, got {threshold}.")
    reached = int(np.ceil(2 * n_pairs * threshold - _ROUNDING)) / (2 * n_pairs)
    theta = mean_selected / n_possible
    tails = (
        _largest_tail(theta**2, 2 * reached - 1, n_pairs, power=2.0),
        _largest_tail(theta, reached, 2 * n_pairs, power=4.0),
    )
    return FalseSelections(
        threshold=threshold,
        n_stable=int((np.asarray(frequency) >= threshold - _ROUNDING).sum()),
        worst_case=pfer_bound(mean_selected, reached, n_possible),
        unimodal=_unimodal_factor(reached, theta, n_pairs) * theta * mean_selected,
        concave=min(tails) * n_possible,
    )


def _unimodal_factor(threshold: float, theta: float, n_pairs: int) -> float:
    r"""Return C of theorem 2.

    .. math::
        C = \frac{1}{2(2\tau - 1 - 1/(2B))} \text{ up to } \tau = 3/4, \qquad
        C = \frac{4(1 - \tau + 1/(2B))}{1 + 1/B} \text{ above}
    """
    half = 1 / (2 * n_pairs)
    lowest = min(0.5 + theta**2, 0.5 + half + 0.75 * theta**2)
    if theta > 1 / np.sqrt(3) or threshold <= lowest or threshold < 0.5 + 2 * half - _ROUNDING:
        return np.nan
    if threshold <= 0.75:
        return 1 / (2 * (2 * threshold - 1 - half))
    return 4 * (1 - threshold + half) / (1 + 2 * half)


def _largest_tail(mean: float, threshold: float, n: int, *, power: float) -> float:
    """Return D: the largest chance of ``threshold`` or more on 0, 1/n, ..., 1 with a ``-1/power``-concave distribution.

    The extremal distribution is a power law on 0 to k and a last mass on k + 1 that keeps the mean; where the mass is
    0, or fits the power law, k changes by one.
    """
    total, wanted = mean * n, round(threshold * n)
    first = int(np.ceil(2 * total)) + 1
    if wanted < first:
        return 1.0
    if total <= 0:
        return 0.0
    offsets = {first - 1: _HIGHEST} | {k: _offset(total, k, power) for k in range(max(first, wanted - 1), n + 1)}
    best = _tail(offsets[n], total, n, wanted, power)
    for k in range(max(first - 1, wanted - 1), n):
        ends = offsets[k + 1], offsets[k]
        found = minimize_scalar(lambda a, k=k: -_tail(a, total, k, wanted, power), bounds=ends, method="bounded")
        best = max(best, -float(found.fun), *(_tail(end, total, k, wanted, power) for end in ends))
    return min(1.0, best)


def _offset(total: float, k: int, power: float) -> float:
    """Return the logarithm of a for which (a + i)^-power on 0 to k has that mean."""
    points = np.arange(k + 1)

    def excess(logarithm: float) -> float:
        mass = _power_law(logarithm, k, power)
        return float(points @ mass / mass.sum()) - total

    low, high = (excess(end) for end in (_LOWEST, _HIGHEST))
    return _LOWEST if low >= 0 else _HIGHEST if high <= 0 else float(brentq(excess, _LOWEST, _HIGHEST))


def _tail(logarithm: float, total: float, k: int, wanted: int, power: float) -> float:
    mass = _power_law(logarithm, k, power)
    share = (k + 1 - total) / float((k + 1 - np.arange(k + 1)) @ mass)
    return 1.0 - share * float(mass[:wanted].sum())


def _power_law(logarithm: float, k: int, power: float) -> npt.NDArray[np.float64]:
    offset = np.exp(logarithm)
    mass: npt.NDArray[np.float64] = ((offset + np.arange(k + 1)) / offset) ** -power
    return mass
