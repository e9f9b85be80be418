"""Correlations of each sample's neighbours along the modulator."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.genenet.baselines.pairs import FloatArray, GenePairs, gene_pairs, stack_of
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["kernel_correlation"]

_HALVINGS = 60


def kernel_correlation(
    X: pd.DataFrame,
    modulator: npt.ArrayLike,
    regulators: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    *,
    effective_size: float | None = None,
    p: float | None = None,
    top: int | None = None,
) -> NetworkStack:
    r"""Estimate every sample's network by Pearson correlations weighted along the modulator.

    .. math:: w_i = \exp(-(m_i - m_a)^2 / h), \quad n_a = \Big(\sum_i w_i\Big)^2 \Big/ \sum_i w_i^2

    with one h for all samples, at which the median of :math:`n_a` is ``effective_size``. It does not tell direct from
    indirect relations.

    Parameters
    ----------
    X
        Shape ``(sample, gene)``, four samples or more.
    modulator
        Shape ``(sample,)``, finite, not constant.
    regulators, targets
        Gene names; None takes all columns.
    effective_size
        Above 4 and below the number of samples; None takes a fifth of the samples, at least 20 where there are more.
    p
        Keep the edges with a p value at or below it (Fisher's z transform with :math:`n_a` samples, two-sided; with
        weights it is approximate); None keeps all.
    top
        Of these, keep this many of largest absolute value in each sample; None keeps all.

    Returns
    -------
    NetworkStack
        Of the quantity ``"kernel correlation"``, -1 to 1.

    Raises
    ------
    InputError
        When a name is not in the table, a value is missing, a gene is constant, or an option is out of range.
    ShapeError
        When the modulator does not fit the table.

    Source: weighted correlation along an axis, as in Shimamura et al. 2011, PLoS ONE 6:e20804, without its regression;
    Fisher 1921, Metron 1:3-32.
    """
    pairs = gene_pairs("kernel_correlation", X, regulators, targets)
    m = np.asarray(modulator, dtype=np.float64)
    if m.shape != (len(X),):
        raise ShapeError.mismatch("kernel_correlation", "modulator", (len(X),), m.shape)
    if not np.isfinite(m).all() or np.ptp(m) == 0:
        raise InputError("kernel_correlation: the modulator is missing in places or constant. Drop such samples.")
    size = min(max(20.0, len(m) / 5), 0.8 * len(m)) if effective_size is None else effective_size
    if not 4 < size < len(m):
        raise InputError(
            f"kernel_correlation: effective_size must lie between 4 and the {len(m)} samples, got {size:g}."
        )
    if p is not None and not 0 < p <= 1:
        raise InputError(f"kernel_correlation: p must be above 0 and at most 1, got {p}.")
    cut = "" if p is None else f" Edges with p <= {p:g}."
    return stack_of(
        pairs,
        _networks(pairs, _weights(m, size), p),
        modulator=m,
        top=top,
        quantity="kernel correlation",
        description=f"Correlation weighted along the modulator, median effective size {size:.0f}.{cut}",
    )


def _weights(m: FloatArray, size: float) -> FloatArray:
    """Return weights ``(sample, neighbour)`` that sum to 1; the median effective size rises with h, so halve."""
    squares = (m[:, None] - m) ** 2
    low, high = np.log(squares[squares > 0].min()) - 5, np.log(squares.max()) + 10
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = np.median(1 / (_kernel(squares, middle) ** 2).sum(1)) >= size
        low, high = (low, middle) if enough else (middle, high)
    return _kernel(squares, high)


def _kernel(squares: FloatArray, log_width: float) -> FloatArray:
    kernel = np.exp(-squares / np.exp(log_width))
    weights: FloatArray = kernel / kernel.sum(1, keepdims=True)
    return weights


def _networks(pairs: GenePairs, weights: FloatArray, p: float | None) -> Iterator[FloatArray]:
    for w in weights:
        x, y = _standardised(pairs.x, w), _standardised(pairs.y, w)
        correlation = np.clip((x * w[:, None]).T @ y, -1.0, 1.0)
        if p is not None:
            n = 1 / (w**2).sum()
            with np.errstate(divide="ignore"):
                z = np.abs(np.arctanh(correlation)) * np.sqrt(max(n - 3, 0.0))
            correlation = np.where(2 * norm.sf(z) <= p, correlation, 0.0)
        yield correlation


def _standardised(values: FloatArray, w: FloatArray) -> FloatArray:
    """Centre by the weighted mean and divide by the weighted standard deviation; a gene constant there becomes 0."""
    centred = values - w @ values
    sd = np.sqrt(w @ centred**2)
    scaled: FloatArray = np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 1e-12 * np.abs(values).max(0))
    return scaled
