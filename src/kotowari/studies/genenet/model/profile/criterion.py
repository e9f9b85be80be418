"""Criteria that choose the penalties of one network: fit against degrees of freedom."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError

__all__ = ["CRITERIA", "Criterion", "criterion_values", "weighted_criterion"]

Floats = npt.NDArray[np.float64]
Criterion = Literal["waicc", "paper", "bic", "cv"]
CRITERIA: tuple[Criterion, ...] = ("waicc", "paper", "bic", "cv")

_LEAST_SQUARE = 1e-12  # of the target's variance: a fit without rest would have the logarithm of 0


def weighted_criterion(criterion: Criterion, mean_square: float, df: float, n_effective: float) -> float:
    r"""Return the value of a criterion; less is better, infinite where the samples do not suffice.

    .. math::
        \text{waicc, paper:} \quad (n + 1) \log(2 \pi s^2) + \frac{2 n\, (df + 1)}{n - df - 2}, \qquad
        \text{bic:} \quad n \log(2 \pi s^2) + \log(n)\, (df + 1)

    Parameters
    ----------
    criterion
        ``"waicc"`` and ``"paper"`` have one formula and differ in n: Kish's effective number of samples, or the sum of
        the roots of the weights, as in the paper. ``"cv"`` has no formula and is refused.
    mean_square
        :math:`s^2`, weighted mean squared residual, 0 or more.
    df
        Degrees of freedom, 0 or more.
    n_effective
        n; all criteria ask for n above df + 2.

    Source: Shimamura et al. 2011, PLoS ONE 6:e20804, modified weighted AICc; Schwarz 1978, Ann. Statist. 6. That BIC
    takes the effective number, and the limit on df, is our own.

    Examples
    --------
    >>> round(weighted_criterion("waicc", 0.5, 2.0, 20.0), 3)
    31.539
    """
    if criterion not in {"waicc", "paper", "bic"}:
        raise InputError(f"weighted_criterion: criterion must be waicc, paper or bic, got {criterion!r}.")
    if mean_square < 0 or df < 0:
        raise InputError(f"weighted_criterion: mean_square and df must be 0 or more, got {mean_square} and {df}.")
    value = criterion_values(criterion == "bic", np.array([mean_square]), np.array([df]), n_effective)
    return float(value[0])


def criterion_values(bic: bool, mean_square: Floats, df: Floats, n_effective: float) -> Floats:
    """Compute :func:`weighted_criterion` of many fits, without its checks."""
    enough = n_effective > df + 2.0
    logarithm = np.log(2.0 * np.pi * np.maximum(mean_square, _LEAST_SQUARE))
    if bic:
        value = n_effective * logarithm + np.log(n_effective) * (df + 1.0)
    else:
        value = (n_effective + 1.0) * logarithm + 2.0 * n_effective * (df + 1.0) / np.where(
            enough, n_effective - df - 2.0, 1.0
        )
    return np.where(enough, value, np.inf)
