"""Kernels over the modulator: how much every sample counts for a network at a place on the modulator's axis."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError, ShapeError

__all__ = ["GaussianKernel", "Kernel", "NeighbourKernel", "effective_samples", "modulator_table", "root_sum"]

Floats = npt.NDArray[np.float64]


class Kernel(Protocol):
    """Weights over one modulator or several; several multiply."""

    def weights(self, modulator: Floats, at: Floats) -> Floats:
        """Return shape ``(place, sample)``, 0 to 1, of samples ``(sample, modulator)`` at ``(place, modulator)``."""

    def describe(self) -> str:
        """Return the kernel in words, with its numbers in full: equal words, equal weights."""


@dataclass(frozen=True)
class GaussianKernel:
    r"""The same width everywhere, :math:`K = \exp(-\sum_r (m_{ir} - m_{ar})^2 / h_r)`.

    Parameters
    ----------
    bandwidth
        h, one number a modulator, above 0: a squared scale, in squared units of the modulator, without a factor 2.

    Source: Shimamura et al. 2011, PLoS ONE 6:e20804; the product over two modulators is our own.
    """

    bandwidth: tuple[float, ...]

    def __post_init__(self) -> None:
        if not all(0 < h < np.inf for h in self.bandwidth):
            raise InputError(f"GaussianKernel: a bandwidth must be above 0 and finite, got {self.bandwidth}.")

    def weights(self, modulator: Floats, at: Floats) -> Floats:
        """Return shape ``(place, sample)``."""
        if modulator.shape[1] != len(self.bandwidth):
            raise ShapeError.mismatch("GaussianKernel", "bandwidth", (modulator.shape[1],), (len(self.bandwidth),))
        return np.exp(-_squared_distance(modulator, at, np.array(self.bandwidth)))

    def describe(self) -> str:
        """Return the bandwidths."""
        return f"gaussian, h = {', '.join(map(repr, self.bandwidth))}"


@dataclass(frozen=True)
class NeighbourKernel:
    r"""As wide as the k nearest samples lie, :math:`K = \exp(-d_{ia}^2 / d_{(k)a}^2)`: wider where samples are rare.

    Distances are measured in standard deviations of each modulator, and the k-th nearest sample gets the weight 1/e;
    a sample is the nearest of itself. Where k samples or more have the same values, they count 1 and all others 0.

    Parameters
    ----------
    n_neighbours
        k, 2 or more.
    scale
        Standard deviation of each modulator, above 0.

    Source: our own reading of the adaptive bandwidth of Adaptive NetworkProfiler (2018, J. Comput. Biol.,
    doi 10.1089/cmb.2017.0120), of which we know the abstract.
    """

    n_neighbours: int
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.n_neighbours < 2:
            raise InputError(f"NeighbourKernel: n_neighbours must be 2 or more, got {self.n_neighbours}.")

    def weights(self, modulator: Floats, at: Floats) -> Floats:
        """Return shape ``(place, sample)``."""
        if len(modulator) < self.n_neighbours:
            raise InputError(f"NeighbourKernel: {self.n_neighbours} neighbours of {len(modulator)} samples.")
        distance = _squared_distance(modulator, at, np.square(self.scale))
        reach = np.partition(distance, self.n_neighbours - 1, axis=1)[:, self.n_neighbours - 1, None]
        return np.where(reach > 0, np.exp(-distance / np.where(reach > 0, reach, 1)), distance == 0)

    def among(self, share: float) -> "NeighbourKernel":
        """Return the kernel that is as wide on a share of the samples, 0 to 1."""
        return NeighbourKernel(max(2, round(share * self.n_neighbours)), self.scale)

    def describe(self) -> str:
        """Return the number of neighbours and the scales."""
        return f"knn, k = {self.n_neighbours}, scale = {', '.join(map(repr, self.scale))}"


def effective_samples(weights: Floats) -> Floats:
    """Return Kish's effective number of samples of each row, (sum K)^2 / sum K^2, shape ``(place,)``.

    0 where all weights are 0.

    Examples
    --------
    >>> effective_samples(np.array([[1.0, 1.0, 0.0], [1.0, 0.5, 0.5]])).round(2).tolist()
    [2.0, 2.67]
    """
    squares = (weights**2).sum(1)
    return np.where(squares > 0, weights.sum(1) ** 2 / np.where(squares > 0, squares, 1), 0.0)


def root_sum(weights: Floats) -> Floats:
    """Return the sum of the roots of the weights, shape ``(place,)``: the effective number of Shimamura et al. 2011."""
    return np.asarray(np.sqrt(weights).sum(1))


def modulator_table(modulator: npt.ArrayLike, n_samples: int | None, samples: npt.ArrayLike | None = None) -> Floats:
    """Return modulators as shape ``(sample, modulator)``, checked.

    Parameters
    ----------
    modulator
        Shape ``(sample,)`` or ``(sample, modulator)``, one or two modulators.
    n_samples
        How many there must be; None: any number, and they may be all alike.
    samples
        Names of the samples. A Series or DataFrame with names of its own is put into their order; one without (numbers
        from 0) is taken as it stands.

    Raises
    ------
    ShapeError, InputError, DesignError
        When the shape is another, a value is missing or infinite, or a modulator has the same value in all samples.
    """
    if samples is not None and isinstance(modulator, pd.Series | pd.DataFrame):
        modulator = _in_order(modulator, samples)
    values = np.array(modulator, dtype=np.float64)
    table = values[:, None] if values.ndim == 1 else values
    if table.ndim != 2 or not 1 <= table.shape[1] <= 2:
        raise ShapeError(f"modulator must have shape (sample,) or (sample, 1 or 2), got {values.shape}.")
    if n_samples is not None and len(table) != n_samples:
        raise ShapeError.mismatch("modulator", "values", (n_samples, table.shape[1]), table.shape)
    missing = np.flatnonzero(~np.isfinite(table).all(1))
    if len(missing):
        name = missing[0] if samples is None else np.asarray(samples)[missing[0]]
        raise InputError(
            f"modulator: {len(missing)} samples have no finite value, first sample {name}. Leave these samples out."
        )
    if n_samples is not None and (same := np.flatnonzero(np.ptp(table, axis=0) == 0)).size:
        raise DesignError(
            f"modulator {same[0]} has the value {table[0, same[0]]:g} in all samples, so no network can change along "
            "it. Choose another modulator, or fit one network for all."
        )
    return table


def _in_order(modulator: pd.Series | pd.DataFrame, samples: npt.ArrayLike) -> pd.Series | pd.DataFrame:
    names, wanted = modulator.index.astype(str), [str(name) for name in np.asarray(samples)]
    if list(names) == [str(number) for number in range(len(names))]:
        return modulator
    if not names.is_unique or (absent := sorted(set(wanted) - set(names))):
        told = "a name stands twice" if not names.is_unique else f"it lacks {len(absent)} samples ({few(absent)})"
        raise InputError(f"modulator: its index does not fit the samples of X: {told}. Give every sample one row.")
    return modulator.set_axis(names).loc[wanted]


def _squared_distance(modulator: Floats, at: Floats, unit: Floats) -> Floats:
    """Sum over modulators of squared differences over ``unit``, shape ``(place, sample)``."""
    total = np.zeros((len(at), len(modulator)))
    for column, size in enumerate(unit):
        total += (at[:, column, None] - modulator[:, column]) ** 2 / size
    return total
