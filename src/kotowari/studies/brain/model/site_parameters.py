"""Shift and spread of one site, shrunk towards what its features have in common."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import ConvergenceError

__all__ = ["SiteParameters", "site_parameters"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SiteParameters:
    """What a site adds to standardised features, and by what it multiplies them.

    Parameters
    ----------
    shift
        Shape ``(feature,)``, in pooled standard deviations.
    variance
        Shape ``(feature,)``, as a share of the pooled variance.
    n_steps
        Steps of the iteration; 0 without shrinkage.
    """

    shift: FloatArray
    variance: FloatArray
    n_steps: int


def site_parameters(
    X: FloatArray, *, empirical_bayes: bool = True, tol: float = 1e-4, max_steps: int = 1000
) -> SiteParameters:
    r"""Estimate a site's shift and variance from its standardised rows.

    .. math::
        \gamma^* = \frac{n \tau^2 \hat\gamma + \delta^{*2} \bar\gamma}{n \tau^2 + \delta^{*2}}, \quad
        \delta^{*2} = \frac{\theta + \tfrac12 \sum_j (z_j - \gamma^*)^2}{n/2 + \lambda - 1}

    with :math:`\hat\gamma, \hat\delta^2` mean and variance over the subjects; :math:`\bar\gamma, \tau^2` mean and
    variance of :math:`\hat\gamma` over the features; :math:`\lambda = (G^2 + 2V)/V` and :math:`\theta = (G^3 + GV)/V`
    from mean G and variance V of :math:`\hat\delta^2` over the features. All variances divide by one less than the
    count.

    Parameters
    ----------
    X
        Shape ``(subject, feature)``, two subjects or more; two features or more with ``empirical_bayes``.
    empirical_bayes
        False gives the plain estimates.
    tol
        Largest relative change of a parameter in one step at which to stop.
    max_steps
        Step limit.

    Raises
    ------
    ConvergenceError
        When the step limit is reached.

    Source: Johnson, Li and Rabinovic 2007, Biostatistics 8:118-127, section 3. The published programs divide the
    change of a shift by the signed shift, so that negative ones never hold up the iteration; kept, since the number of
    steps, and with it the result beyond ``tol``, depends on it.
    """
    n = len(X)
    mean, variance = X.mean(0), X.var(0, ddof=1)
    if not empirical_bayes:
        return SiteParameters(mean, variance, 0)
    centre, between = mean.mean(), mean.var(ddof=1)
    level, scatter = variance.mean(), variance.var(ddof=1)
    if scatter <= np.finfo(np.float64).tiny:  # all variances are alike: the prior is one point
        shape = scale = np.inf
    else:
        shape, scale = (level**2 + 2 * scatter) / scatter, (level**3 + level * scatter) / scatter
    squares = (n - 1) * variance
    shift, spread = mean, variance
    for step in range(1, max_steps + 1):
        new_shift = (n * between * mean + spread * centre) / (n * between + spread)
        half = 0.5 * (squares + n * (mean - new_shift) ** 2)
        new_spread = (scale + half) / (n / 2 + shape - 1) if np.isfinite(shape) else np.full_like(spread, level)
        change = max(_relative_change(new_shift, shift), _relative_change(new_spread, spread))
        shift, spread = new_shift, new_spread
        if change <= tol:
            return SiteParameters(shift, spread, step)
    raise ConvergenceError(f"ComBat: no site parameters within {max_steps} steps. Raise max_steps, or loosen tol.")


def _relative_change(new: FloatArray, old: FloatArray) -> float:
    known = old != 0
    return float((np.abs(new - old)[known] / old[known]).max(initial=0.0))
