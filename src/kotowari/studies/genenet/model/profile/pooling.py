"""How far every network is drawn towards one network for all samples: by prediction of samples that were left out."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from kotowari.core.progress import Progress
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.model.profile.bandwidth import predictions
from kotowari.studies.genenet.model.profile.blocks import plan_blocks
from kotowari.studies.genenet.model.profile.task import ProfileTask, fit_block, one_network
from kotowari.studies.genenet.model.profile.weights import Kernel, NeighbourKernel

__all__ = ["LeftOut", "PoolingOptions", "best_share", "choose_pooling", "predict_left_out"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_CHECKED_TARGETS = 64
_BLOCK = 64


class PoolingOptions(Protocol):
    """The options of a profiler that decide on pooling."""

    pooling: Any
    n_folds: int
    random_state: int


class LeftOut(NamedTuple):
    """Targets in training standard deviations, ``(sample, target)``, and what two models say of samples left out.

    Attributes
    ----------
    truth
        What was measured.
    local
        By the networks of the samples' own places; NaN where there is none.
    one
        By one network for all samples, with the intercept of the place.
    """

    truth: Floats
    local: Floats
    one: Floats


def choose_pooling(
    options: PoolingOptions, task: ProfileTask, kernels: Sequence[Kernel], *, n_jobs: int, show: Progress
) -> float:
    """Return the share of one network for all samples: the given one, or by :func:`best_share` over folds.

    For ``"cv"`` up to 64 targets, evenly over their order, stand for all. Every fold's networks, local ones and the one
    for all, and their penalties, come from the other folds' samples alone.

    Parameters
    ----------
    options
        A profiler.
    task
        All samples; its places are not used.
    kernels
        One a target.
    n_jobs, show
        Threads, and progress.
    """
    if options.pooling != "cv":
        return float(options.pooling)
    n_samples, n_targets = len(task.modulator), len(task.targets)
    rng = np.random.default_rng(derive_seed(options.random_state, "network profiler", "pooling"))
    fold = rng.permutation(np.arange(n_samples) % min(options.n_folds, n_samples))
    targets = np.unique(np.linspace(0, n_targets - 1, _CHECKED_TARGETS).round().astype(int))
    parts = []
    # one thread of linear algebra, as for the blocks: on several the last digits would be others
    with show.bar("Pooling", n_samples * len(targets)) as advance, threadpool_limits(1, user_api="blas"):
        for number in range(int(fold.max()) + 1):
            left_out = fold == number
            parts.append(predict_left_out(task, [kernels[k] for k in targets], targets, left_out, n_jobs=n_jobs))
            advance(int(left_out.sum()) * len(targets))
    return best_share(LeftOut(*(np.concatenate(column) for column in zip(*parts, strict=True))))


def predict_left_out(
    task: ProfileTask, kernels: Sequence[Kernel], targets: Indices, left_out: npt.NDArray[np.bool_], *, n_jobs: int
) -> LeftOut:
    """Return what networks of the other samples say of samples that were left out.

    Parameters
    ----------
    task
        All samples; its places and pooling are not used.
    kernels, targets
        Positions in ``task.targets``, and the kernel of each; a kernel of neighbours has as many fewer as there are
        samples fewer.
    left_out
        Shape ``(sample,)``.
    n_jobs
        Threads.
    """
    training = replace(task.among(~left_out), pooling=0.0).at(task.modulator[left_out])
    share = float((~left_out).mean())
    shrunk = [kernel.among(share) if isinstance(kernel, NeighbourKernel) else kernel for kernel in kernels]
    regulators = task.values[left_out][:, task.regulators]
    measured, responses = task.values[left_out][:, task.targets], training.values[:, task.targets]
    local, one = np.empty((len(regulators), len(targets))), np.empty((len(regulators), len(targets)))
    for block in plan_blocks(shrunk, _BLOCK):
        own = targets[block.targets]
        local[:, block.targets] = predictions(
            fit_block(training, block._replace(targets=own), n_jobs=n_jobs), regulators
        )
        coefficients = one_network(training, own).coefficients
        weights = block.kernel.weights(training.modulator, training.places)
        total = weights.sum(1, keepdims=True)
        weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        rest = responses[:, own] - training.values[:, task.regulators] @ coefficients.T
        one[:, block.targets] = regulators @ coefficients.T + weights @ rest
    deviation = responses[:, targets].std(0)
    scale = np.where(deviation > 0, deviation, np.inf)
    return LeftOut(measured[:, targets] / scale, local / scale, one / scale)


def best_share(said: LeftOut) -> float:
    r"""Return the share p, 0 to 1, of the one network whose mixed predictions have the least squared error.

    .. math:: \min_{0 \le p \le 1} \sum_{ak} \big(t_{ak} - (1 - p)\, \hat t_{ak} - p\, t^0_{ak}\big)^2

    over all targets at once: of one target alone it would be known too badly. 0 where both models say the same.
    Samples without a network of their own place have no part in it.

    Source: Breiman 1996, Machine Learning 24:49 (stacked regressions), with weights that sum to 1. That local networks
    and one for all are the two models, and that all targets have one share, is our own.

    Examples
    --------
    >>> truth = np.array([[1.0], [-1.0]])
    >>> best_share(LeftOut(truth, 0.5 * truth, 1.25 * truth))
    0.6666666666666666
    """
    known = np.isfinite(said.local)
    difference = np.where(known, said.one - said.local, 0.0)
    error = np.where(known, said.truth - said.local, 0.0)
    size = float((difference**2).sum())
    return float(np.clip((error * difference).sum() / size, 0.0, 1.0)) if size > 0 else 0.0
