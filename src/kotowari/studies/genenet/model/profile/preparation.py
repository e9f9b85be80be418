"""Everything of a fit up to its blocks: checks, kernels, places, the plan."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.progress import Progress
from kotowari.studies.genenet.model.profile.blocks import Spread, plan_blocks
from kotowari.studies.genenet.model.profile.input import (
    expression_table,
    gene_positions,
    penalty_factors,
    require_finite,
    require_varying,
)
from kotowari.studies.genenet.model.profile.kernel_choice import KernelOptions, choose_kernels, count_neighbours
from kotowari.studies.genenet.model.profile.nodes import node_places
from kotowari.studies.genenet.model.profile.options import (
    SearchOptions,
    fold_numbers,
    penalty_search,
    require_options,
)
from kotowari.studies.genenet.model.profile.pooling import PoolingOptions, choose_pooling
from kotowari.studies.genenet.model.profile.task import Block, ProfileTask
from kotowari.studies.genenet.model.profile.weights import Kernel, modulator_table

__all__ = ["PreparedProfile", "ProfileOptions", "prepare_profile", "within_training"]

Floats = npt.NDArray[np.float64]


class ProfileOptions(KernelOptions, SearchOptions, PoolingOptions, Protocol):
    """The options of a profiler that the networks depend on."""

    penalty_factors: Any
    n_nodes: int | None


@dataclass(frozen=True, eq=False)
class PreparedProfile:
    """What the blocks are fitted from, and the names that their results need.

    Attributes
    ----------
    task
        Values of the regulators and targets alone, and the places where networks are wanted.
    plan
        Blocks, in the order of their numbers.
    effective_samples
        Kish's number at every sample, shape ``(sample, target)``.
    bandwidth_errors
        Shape ``(bandwidth, target)``; None where no bandwidth was chosen by prediction.
    between_nodes
        Whether places are nodes, between which networks are interpolated.
    samples, regulators, targets
        Names.
    genes
        Names of all genes of the table.
    named
        Whether the table had names of its own.
    """

    task: ProfileTask
    plan: list[Block]
    effective_samples: npt.NDArray[np.float32]
    bandwidth_errors: Floats | None
    between_nodes: bool
    samples: tuple[str, ...]
    regulators: tuple[str, ...]
    targets: tuple[str, ...]
    genes: tuple[str, ...]
    named: bool

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernel of every target."""
        kernels: list[Kernel] = [self.plan[0].kernel] * len(self.targets)
        for block in self.plan:
            for target in block.targets:
                kernels[target] = block.kernel
        return tuple(kernels)

    def describe(self) -> str:
        """Return how the networks are made, in a sentence."""
        kernels, task = {kernel.describe() for kernel in self.kernels}, self.task
        shown = kernels.pop() if len(kernels) == 1 else f"{len(kernels)} bandwidths, chosen target by target"
        pooled = f"; {task.pooling:.2f} of one network for all samples in each" if task.pooling else ""
        rounds = task.search.max_rounds
        return f"NetworkProfiler ({shown}; criterion {task.criterion}; at most {rounds} rounds of weights{pooled})."

    @property
    def spread(self) -> Spread:
        """From the places to the samples."""
        if self.between_nodes:
            return Spread.between(self.task.places[:, 0], self.task.modulator[:, 0])
        return Spread.of_samples(self.task.modulator)[0]


def prepare_profile(
    options: ProfileOptions,
    X: Any,
    modulator: npt.ArrayLike,
    genes: tuple[Sequence[Any] | None, Sequence[Any] | None],
    *,
    n_jobs: int,
    show: Progress,
) -> PreparedProfile:
    """Check everything that came in, choose the kernels, and plan the blocks.

    Parameters
    ----------
    options
        A profiler.
    X, modulator
        As in :meth:`kotowari.studies.genenet.NetworkProfiler.fit`, which tells what is raised as well.
    genes
        Regulators and targets, None for all.
    n_jobs, show
        Threads, and the progress of a choice of bandwidths.
    """
    require_options(options)
    table = expression_table(X)
    axis = modulator_table(modulator, len(table.values), np.array(table.samples))
    regulators, targets = (
        gene_positions(names, table.genes, what=what)
        for what, names in zip(("regulators", "targets"), genes, strict=True)
    )
    used = np.union1d(regulators, targets)
    require_finite(table, used)
    require_varying(table, regulators, what="regulators")
    require_varying(table, targets, what="targets")
    task = ProfileTask(
        # one memory layout, so that sums have the same last bit here, on a worker and after loading
        np.ascontiguousarray(table.values[:, used]),
        np.searchsorted(used, regulators),
        np.searchsorted(used, targets),
        axis,
        axis,
        penalty_factors(options.penalty_factors, len(targets), len(regulators)),
        penalty_search(options),
        options.criterion,
        fold_numbers(options, len(axis)),
    )
    kernels, errors = choose_kernels(options, task, n_jobs=n_jobs, show=show)
    task = replace(task, pooling=choose_pooling(options, task, kernels, n_jobs=n_jobs, show=show))
    places = np.unique(axis, axis=0) if options.n_nodes is None else node_places(axis, options.n_nodes)
    return PreparedProfile(
        task.at(places),
        plan_blocks(kernels, options.block_size),
        count_neighbours(kernels, axis),
        errors,
        options.n_nodes is not None,
        table.samples,
        tuple(table.genes[column] for column in regulators),
        tuple(table.genes[column] for column in targets),
        table.genes,
        isinstance(X, pd.DataFrame),
    )


def within_training(
    modulator: npt.ArrayLike,
    training: Floats,
    n_samples: int | None = None,
    samples: tuple[str, ...] | None = None,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return new modulators as a table, in the order of ``samples``, and which lie within the range of training.

    Raises
    ------
    InputError, ShapeError
        When a value is missing, all lie beyond, or there are not ``n_samples`` of them.
    """
    axis = modulator_table(modulator, None, samples)
    if n_samples is not None and len(axis) != n_samples:
        raise ShapeError.mismatch("NetworkProfiler", "modulator", (n_samples,), axis.shape)
    if axis.shape[1] != training.shape[1]:
        raise ShapeError.mismatch("NetworkProfiler", "modulator", ("sample", training.shape[1]), axis.shape)
    inside = np.asarray(((axis >= training.min(0)) & (axis <= training.max(0))).all(1))
    if not inside.any():
        raise InputError("modulator: all values lie beyond those of training, and nothing is extrapolated.")
    return axis, inside
