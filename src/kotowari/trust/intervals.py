"""How far a figure would move with other subjects: bootstrap over groups."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from kotowari.core.errors import InputError, ShapeError

__all__ = ["Interval", "bootstrap_interval", "not_inferior", "paired_difference"]

FloatArray = npt.NDArray[np.float64]
Statistic = Callable[..., float]
_JACKKNIFE_LIMIT = 500
_UNDEFINED_LIMIT = 0.05


@dataclass(frozen=True)
class Interval:
    """A figure and its bootstrap interval.

    Parameters
    ----------
    value
        The statistic of the data as they are.
    low, high
        Ends of the two-sided interval; NaN when more than 5 % of the draws gave no value.
    one_sided_low
        Lower end of the one-sided interval of the same level, which a claim of non-inferiority needs.
    n_draws
        Draws that gave a value.
    """

    value: float
    low: float
    high: float
    one_sided_low: float
    n_draws: int


def bootstrap_interval(
    statistic: Statistic,
    *arrays: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    n_draws: int = 2000,
    level: float = 0.95,
    method: Literal["auto", "bca", "percentile"] = "auto",
    random_state: int,
) -> Interval:
    """Draw groups with replacement and see how the statistic moves.

    Parameters
    ----------
    statistic
        Called with the arrays of a draw, returns one number; NaN where a draw does not define it (such as one class).
    arrays
        Each of shape ``(sample, ...)``, drawn together.
    groups
        Shape ``(sample,)``: samples of a group are drawn together. None makes every sample its own group.
    n_draws
        2,000 for a report.
    level
        Above 0 and below 1.
    method
        ``"percentile"``; ``"bca"``, corrected for bias and skewness by one more call a group; ``"auto"`` takes BCa up
        to 500 groups.
    random_state
        Seed; equal seeds give equal intervals.

    Raises
    ------
    InputError
        When there are fewer than two groups.

    Source: Efron 1987, J. Am. Stat. Assoc. 82:171-185 (BCa); groups in place of samples are ours.

    Examples
    --------
    >>> interval = bootstrap_interval(np.mean, np.arange(100.0), random_state=0)
    >>> bool(interval.low < 49.5 < interval.high)
    True
    """
    if not 0 < level < 1:
        raise InputError(f"bootstrap_interval: level must lie between 0 and 1, got {level}.")
    data = [np.asarray(array) for array in arrays]
    members = _members(data, groups)
    value = float(statistic(*data))
    draws = _draws(statistic, data, members, n_draws, np.random.default_rng(random_state))
    defined = draws[np.isfinite(draws)]
    if not np.isfinite(value) or len(defined) < (1 - _UNDEFINED_LIMIT) * n_draws:
        return Interval(value, np.nan, np.nan, np.nan, len(defined))
    bca = method == "bca" or (method == "auto" and len(members) <= _JACKKNIFE_LIMIT)
    bias, acceleration = _bca_constants(statistic, data, members, value, defined) if bca else (0.0, 0.0)
    shares = np.array([(1 - level) / 2, (1 + level) / 2, 1 - level])
    low, high, one_sided = np.quantile(defined, _bca_shares(shares, bias, acceleration))
    return Interval(value, float(low), float(high), float(one_sided), len(defined))


def paired_difference(
    statistic: Statistic,
    y: npt.ArrayLike,
    prediction_a: npt.ArrayLike,
    prediction_b: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    n_draws: int = 2000,
    level: float = 0.95,
    random_state: int,
) -> Interval:
    """Return the interval of ``statistic(y, a) - statistic(y, b)``, both on the same drawn groups.

    Parameters
    ----------
    statistic
        Higher is better; called as ``statistic(y, prediction)``.
    y, prediction_a, prediction_b
        Shape ``(sample, ...)``, rows in the same order.
    groups, n_draws, level, random_state
        As in :func:`bootstrap_interval`.
    """

    def difference(truth: npt.NDArray[Any], a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
        return float(statistic(truth, a)) - float(statistic(truth, b))

    return bootstrap_interval(
        difference,
        y,
        prediction_a,
        prediction_b,
        groups=groups,
        n_draws=n_draws,
        level=level,
        random_state=random_state,
    )


def not_inferior(difference_low_one_sided: float, margin: float) -> bool:
    """Say whether a is at most ``margin`` worse than b: the one-sided lower end lies above ``-margin``.

    Parameters
    ----------
    difference_low_one_sided
        ``one_sided_low`` of :func:`paired_difference`, at level 0.95.
    margin
        Above 0, in units of the statistic, named before the data were seen.
    """
    if margin <= 0:
        raise InputError(f"not_inferior: margin must be above 0, got {margin}.")
    return difference_low_one_sided > -margin


def _members(data: list[npt.NDArray[Any]], groups: npt.ArrayLike | None) -> list[npt.NDArray[np.intp]]:
    if not data:
        raise InputError("bootstrap_interval: needs one array or more.")
    n = len(data[0])
    owners = np.arange(n) if groups is None else np.asarray(groups)
    for array in (*data, owners):
        if len(array) != n:
            raise ShapeError.mismatch("bootstrap_interval", "every array", (n, "..."), array.shape)
    _, inverse = np.unique(owners, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1)
    if len(members) < 2:
        raise InputError(f"bootstrap_interval: needs two groups or more, got {len(members)}.")
    return members


def _draws(
    statistic: Statistic,
    data: list[npt.NDArray[Any]],
    members: list[npt.NDArray[np.intp]],
    n_draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    singles = np.concatenate(members) if all(len(rows) == 1 for rows in members) else None
    draws = np.empty(n_draws)
    for k in range(n_draws):
        chosen = rng.integers(len(members), size=len(members))
        rows = np.concatenate([members[g] for g in chosen]) if singles is None else singles[chosen]
        draws[k] = statistic(*(array[rows] for array in data))
    return draws


def _bca_constants(
    statistic: Statistic,
    data: list[npt.NDArray[Any]],
    members: list[npt.NDArray[np.intp]],
    value: float,
    draws: FloatArray,
) -> tuple[float, float]:
    """Return bias and acceleration; zeros, which give the percentile interval, where they are not defined."""
    below = ((draws < value).sum() + 0.5 * (draws == value).sum()) / len(draws)
    kept = np.ones(len(data[0]), dtype=np.bool_)
    left_out = np.empty(len(members))
    for k, rows in enumerate(members):
        kept[rows] = False
        left_out[k] = statistic(*(array[kept] for array in data))
        kept[rows] = True
    spread = left_out.mean() - left_out
    scale = (spread**2).sum() ** 1.5
    if not 0 < below < 1 or not np.isfinite(scale) or scale == 0:
        return 0.0, 0.0
    return float(norm.ppf(below)), float((spread**3).sum() / (6 * scale))


def _bca_shares(shares: FloatArray, bias: float, acceleration: float) -> FloatArray:
    z = bias + norm.ppf(shares)
    corrected: FloatArray = norm.cdf(bias + z / (1 - acceleration * z))
    return corrected
