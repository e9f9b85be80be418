"""Networks at a few nodes of the modulator instead of every sample, and how much that changes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.core.jobs import Arrays
from kotowari.studies.genenet.model.profile.blocks import Spread, spread_block
from kotowari.studies.genenet.model.profile.task import Block, ProfileTask, fit_block

__all__ = ["node_gap", "node_places"]

Floats = npt.NDArray[np.float64]

_CHECKED_SAMPLES, _CHECKED_TARGETS = 12, 64


def node_places(modulator: Floats, n_nodes: int) -> Floats:
    """Return nodes at quantiles of one modulator, its ends among them, shape ``(node, 1)``; equal ones are one.

    Raises
    ------
    InputError
        When there are two modulators, or fewer than 2 nodes.
    """
    if modulator.shape[1] != 1:
        raise InputError(f"n_nodes: interpolation is along one modulator, got {modulator.shape[1]}. Leave n_nodes out.")
    if n_nodes < 2:
        raise InputError(f"n_nodes must be 2 or more, got {n_nodes}.")
    return np.unique(np.quantile(modulator[:, 0], np.linspace(0, 1, n_nodes)))[:, None]


def node_gap(task: ProfileTask, plan: Sequence[Block], *, n_jobs: int) -> float:
    """Return how far interpolated coefficients are from solved ones, in shares of the solved ones' norm.

    Coefficients are multiplied by the standard deviation of the regulator and divided by that of the target. Up to 12
    samples, evenly over the ranks of the modulator, and up to 64 targets are solved for it.

    Parameters
    ----------
    task
        Its places are the nodes.
    plan
        Blocks of targets.
    n_jobs
        Threads.
    """
    axis = np.sort(task.modulator[:, 0])
    chosen = np.unique(axis[np.linspace(0, len(axis) - 1, _CHECKED_SAMPLES).round().astype(int)])[:, None]
    checked = np.unique(np.linspace(0, len(task.targets) - 1, _CHECKED_TARGETS).round().astype(int))
    own, places = Spread.of_samples(chosen)
    between = Spread.between(task.places[:, 0], chosen[:, 0])
    difference = size = 0.0
    for block in plan:
        part = block._replace(targets=np.intersect1d(block.targets, checked))
        if not len(part.targets):
            continue
        solved = _standardised(task, fit_block(task.at(places), part, n_jobs=n_jobs), own)
        guessed = _standardised(task, fit_block(task, part, n_jobs=n_jobs), between)
        difference += float(((solved - guessed) ** 2).sum())
        size += float((solved**2).sum())
    return float(np.sqrt(difference / size)) if size > 0 else 0.0


def _standardised(task: ProfileTask, arrays: Arrays, spread: Spread) -> npt.NDArray[np.float64]:
    """Return coefficients in standard deviations, shape ``(sample, target, regulator)``."""
    sample, regulator, target, coefficient, _, fitted = spread_block(arrays, spread, len(task.regulators))
    dense = np.zeros((*fitted.shape, len(task.regulators)))
    dense[sample, target, regulator] = coefficient
    deviation = task.values.std(0)
    unit = deviation[task.regulators] / deviation[task.targets[arrays["block"]]][:, None]
    return np.asarray(dense * unit)
