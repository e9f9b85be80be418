"""From the profiler's options to one kernel a target."""

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError, InputError
from kotowari.core.progress import Progress
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.model.profile.bandwidth import (
    effective_bandwidth,
    effective_neighbours,
    prediction_errors,
)
from kotowari.studies.genenet.model.profile.task import LEAST_EFFECTIVE, ProfileTask
from kotowari.studies.genenet.model.profile.weights import GaussianKernel, Kernel, NeighbourKernel, effective_samples

__all__ = ["KernelOptions", "choose_kernels", "count_neighbours"]

Floats = npt.NDArray[np.float64]

_LEAST_DEFAULT, _DEFAULT_SHARE, _MOST_DEFAULT = 30, 0.25, 0.5
_GRID_SHARES = (1 / 12, 0.6)
_GRID_SIZE = 5


class KernelOptions(Protocol):
    """The options of a profiler that decide on kernels."""

    kernel: str
    bandwidth: Any
    bandwidths: Sequence[Any] | None
    effective_samples: float | None
    random_state: int


def choose_kernels(
    options: KernelOptions, task: ProfileTask, *, n_jobs: int, show: Progress
) -> tuple[tuple[Kernel, ...], Floats | None]:
    """Return the kernel of every target, and for ``"cv"`` the errors of all bandwidths, ``(bandwidth, target)``.

    Raises
    ------
    InputError
        When an option is out of its range.
    """
    modulator, n_targets = task.modulator, len(task.targets)
    if options.bandwidth == "effective":
        return (_by_effective(options, modulator, _wanted(options, len(modulator))),) * n_targets, None
    if options.bandwidth != "cv":
        return (_by_number(options, modulator, options.bandwidth),) * n_targets, None
    kernels = _candidates(options, modulator)
    rng = np.random.default_rng(derive_seed(options.random_state, "network profiler", "half"))
    left_out = np.zeros(len(modulator), dtype=np.bool_)
    left_out[rng.permutation(len(modulator))[: len(modulator) // 2]] = True
    with show.bar("Bandwidths", len(kernels) * int(left_out.sum()) * n_targets) as advance:
        errors = prediction_errors(task, kernels, left_out, n_jobs=n_jobs, advance=advance)
    best = errors.argmin(0)
    _warn_at_edge(best, kernels)
    return tuple(kernels[k] for k in best), errors


def count_neighbours(kernels: Sequence[Kernel], modulator: Floats) -> npt.NDArray[np.float32]:
    """Return Kish's effective number of samples at every sample, shape ``(sample, target)``; warn where too few.

    Raises
    ------
    DesignError
        When no sample has more than two for all targets.
    """
    of_kernel = {kernel: effective_samples(kernel.weights(modulator, modulator)) for kernel in set(kernels)}
    numbers = np.column_stack([of_kernel[kernel] for kernel in kernels]).astype(np.float32)
    few = np.asarray((numbers <= LEAST_EFFECTIVE).any(1))
    if few.all():
        raise DesignError(
            "NetworkProfiler: the kernel leaves every sample with at most two effective neighbours. "
            "Raise the bandwidth."
        )
    if few.any():
        column = modulator[few, 0]
        warnings.warn(
            f"NetworkProfiler: {int(few.sum())} of {len(few)} samples (modulator {column.min():.4g} to "
            f"{column.max():.4g}) have too few neighbours, at most two effective ones, and get no network for some "
            "targets. Raise the bandwidth, or take kernel='knn'.",
            UserWarning,
            stacklevel=3,
        )
    return numbers


def _wanted(options: KernelOptions, n_samples: int) -> float:
    if options.effective_samples is None:
        return min(max(_LEAST_DEFAULT, _DEFAULT_SHARE * n_samples), _MOST_DEFAULT * n_samples)
    wanted = float(options.effective_samples)
    if 0 < wanted < 1:
        wanted *= n_samples
    if not wanted > 2:
        raise InputError(
            f"effective_samples must be above 2, or a share of the samples that comes to more, got "
            f"{options.effective_samples} of {n_samples} samples."
        )
    return wanted


def _by_effective(options: KernelOptions, modulator: Floats, wanted: float) -> Kernel:
    if options.kernel == "knn":
        return effective_neighbours(modulator, wanted)
    return effective_bandwidth(modulator, wanted)


def _by_number(options: KernelOptions, modulator: Floats, bandwidth: Any) -> Kernel:
    try:
        numbers = tuple(np.atleast_1d(np.asarray(bandwidth, dtype=np.float64)).tolist())
    except (TypeError, ValueError) as error:
        raise InputError(f"bandwidth must be effective, cv or a number, got {bandwidth!r}.") from error
    if options.kernel == "knn":
        if len(numbers) != 1 or not numbers[0].is_integer() or not 2 <= numbers[0] <= len(modulator):
            raise InputError(
                f"bandwidth: kernel='knn' takes one number of neighbours, 2 to {len(modulator)}, got {bandwidth!r}."
            )
        return NeighbourKernel(int(numbers[0]), tuple(modulator.std(0).tolist()))
    if len(numbers) != modulator.shape[1]:
        raise InputError(f"bandwidth: {modulator.shape[1]} modulators need as many bandwidths, got {bandwidth!r}.")
    return GaussianKernel(numbers)


def _candidates(options: KernelOptions, modulator: Floats) -> list[Kernel]:
    if options.bandwidths is not None:
        kernels = [_by_number(options, modulator, bandwidth) for bandwidth in options.bandwidths]
    else:
        shares = np.geomspace(*_GRID_SHARES, _GRID_SIZE)
        kernels = [_by_effective(options, modulator, max(3.0, share * len(modulator))) for share in shares]
    kernels = list(dict.fromkeys(kernels))
    if len(kernels) < 2:
        raise InputError(
            f"bandwidths: bandwidth='cv' needs two different ones or more to choose from, got {len(kernels)}."
        )
    return kernels


def _warn_at_edge(best: npt.NDArray[np.intp], kernels: Sequence[Kernel]) -> None:
    for place, word in ((0, "first"), (len(kernels) - 1, "last")):
        n_edge = int((best == place).sum())
        if 2 * n_edge > len(best):
            warnings.warn(
                f"NetworkProfiler: the {word} of {len(kernels)} bandwidths ({kernels[place].describe()}) is the best "
                f"for {n_edge} of {len(best)} targets, so that the best may lie beyond. Widen bandwidths on that side.",
                UserWarning,
                stacklevel=4,
            )
