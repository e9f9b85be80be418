"""How wide the kernel is: by an effective number of samples, or by predicting samples that were left out."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.core.jobs import Arrays
from kotowari.core.progress import Advance
from kotowari.studies.genenet.model.profile.task import Block, ProfileTask, fit_block
from kotowari.studies.genenet.model.profile.weights import GaussianKernel, Kernel, NeighbourKernel, effective_samples

__all__ = ["effective_bandwidth", "effective_neighbours", "prediction_errors", "predictions"]

Floats = npt.NDArray[np.float64]

_STEPS = 60


def effective_bandwidth(modulator: Floats, n_effective: float) -> GaussianKernel:
    """Return the Gaussian kernel of which the median effective number of samples, after Kish, is ``n_effective``.

    Several modulators get bandwidths in the ratio of their variances.

    Parameters
    ----------
    modulator
        Shape ``(sample, modulator)``, none constant.
    n_effective
        Above the median number of samples with equal modulators, and below the number of samples.

    Raises
    ------
    InputError
        When no bandwidth reaches that number.
    """
    variance = modulator.var(0)

    def kernel(scale: float) -> GaussianKernel:
        return GaussianKernel(tuple((scale * variance).tolist()))

    low, high = -23.0, 12.0  # logarithms; from kernels that see one sample to kernels that see all alike
    reached = [_median_effective(kernel(float(np.exp(edge))), modulator) for edge in (low, high)]
    if not reached[0] < n_effective < reached[1]:
        raise InputError(
            f"effective_samples must be above {reached[0]:.3g} and below {reached[1]:.3g} with these "
            f"{len(modulator)} samples, got {n_effective:g}."
        )
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        few = _median_effective(kernel(float(np.exp(middle))), modulator) < n_effective
        low, high = (middle, high) if few else (low, middle)
    return kernel(float(np.exp(high)))


def effective_neighbours(modulator: Floats, n_effective: float) -> NeighbourKernel:
    """Return the least number of neighbours whose median effective number of samples reaches ``n_effective``.

    Raises
    ------
    InputError
        When even all samples as neighbours do not reach it.
    """
    scale = tuple(modulator.std(0).tolist())
    low, high = 1, len(modulator)
    most = _median_effective(NeighbourKernel(high, scale), modulator)
    if not 1 < n_effective <= most:
        raise InputError(
            f"effective_samples must be above 1 and at most {most:.3g} with these {len(modulator)} samples and "
            f"kernel='knn', got {n_effective:g}."
        )
    while high - low > 1:
        middle = (low + high) // 2
        few = _median_effective(NeighbourKernel(middle, scale), modulator) < n_effective
        low, high = (middle, high) if few else (low, middle)
    return NeighbourKernel(high, scale)


def prediction_errors(
    task: ProfileTask, kernels: Sequence[Kernel], left_out: npt.NDArray[np.bool_], *, n_jobs: int, advance: Advance
) -> Floats:
    r"""Return the mean squared error of samples left out, for every kernel and target.

    .. math:: CV_k(h) = \sum_{a \in S} (t_{ak} - \hat t_{ak})^2 / |S|

    The networks of a sample in S come from the samples that are not in S, at the sample's modulator; the penalties are
    chosen among those too. Where these do not suffice, the mean of the target is the prediction.

    Parameters
    ----------
    task
        All samples; its places are not used.
    kernels
        Candidates.
    left_out
        S: which samples are predicted, shape ``(sample,)``.
    n_jobs, advance
        As in :func:`kotowari.studies.genenet.model.profile.task.fit_block`.

    Returns
    -------
    ndarray
        Shape ``(kernel, target)``, in squared units of the target.

    Source: Shimamura et al. 2011, PLoS ONE 6:e20804 (bandwidth by cross-validation over a random half).
    """
    training = task.among(~left_out).at(task.modulator[left_out])
    targets = np.arange(len(task.targets))
    truth, mean = task.values[left_out][:, task.targets], training.values[:, task.targets].mean(0)
    errors = []
    share = float((~left_out).mean())
    for kernel in kernels:
        # as wide on fewer samples: a neighbour's rank falls with their number
        shrunk = kernel.among(share) if isinstance(kernel, NeighbourKernel) else kernel
        arrays = fit_block(training, Block(shrunk, targets), n_jobs=n_jobs, advance=advance)
        found = predictions(arrays, task.values[left_out][:, task.regulators])
        errors.append(((np.where(np.isnan(found), mean, found) - truth) ** 2).mean(0))
    return np.array(errors)


def predictions(arrays: Arrays, regulators: Floats) -> Floats:
    """Return a block's targets from one row of regulators a place, shape ``(place, target)``; NaN where not fitted."""
    shape = arrays["intercept"].shape
    column = np.searchsorted(arrays["block"], arrays["target"])
    cell = arrays["place"].astype(np.int64) * shape[1] + column
    share = arrays["coefficient"].astype(np.float64) * regulators[arrays["place"], arrays["regulator"]]
    return np.asarray(arrays["intercept"] + np.bincount(cell, share, minlength=shape[0] * shape[1]).reshape(shape))


def _median_effective(kernel: Kernel, modulator: Floats) -> float:
    return float(np.median(effective_samples(kernel.weights(modulator, modulator))))
