"""Blocks of targets, kept in memory or written as they come, so that a killed fit goes on where it was."""

import hashlib
import warnings
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from kotowari.core.cluster import Cluster, as_cluster
from kotowari.core.errors import RunFolderError
from kotowari.core.files import write_bytes
from kotowari.core.jobs import Arrays, load_arrays, pack_arrays
from kotowari.core.progress import Advance
from kotowari.studies.genenet.model.profile.task import Block, ProfileTask, fit_block
from kotowari.studies.genenet.model.profile.weights import Kernel

__all__ = ["Spread", "block_path", "fit_blocks", "plan_blocks", "read_block", "spread_block", "task_key", "write_block"]

Floats = npt.NDArray[np.float64]
Fit = Callable[..., Arrays]
Blocks = Mapping[int, Block]
Fitted = Generator[tuple[int, Arrays], None, None]

_SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Spread:
    """How the networks of samples follow from those at places: linear, rows that sum to 1.

    Attributes
    ----------
    matrix
        Sparse, shape ``(sample, place)``: one 1 a row where a sample has a place of its own.
    """

    matrix: sparse.csr_array

    @classmethod
    def of_samples(cls, modulator: Floats) -> tuple["Spread", Floats]:
        """Return one place for every different value, and the spread to the samples."""
        places, number = np.unique(modulator, axis=0, return_inverse=True)
        rows = np.arange(len(modulator))
        matrix = sparse.csr_array((np.ones(len(rows)), (rows, number.ravel())), shape=(len(rows), len(places)))
        return cls(matrix), places

    @classmethod
    def between(cls, nodes: Floats, modulator: Floats) -> "Spread":
        """Return the linear interpolation between nodes, rising, at values of one modulator within their range."""
        right = np.clip(np.searchsorted(nodes, modulator), 1, len(nodes) - 1)
        share = (modulator - nodes[right - 1]) / (nodes[right] - nodes[right - 1])
        rows = np.tile(np.arange(len(modulator)), 2)
        columns, shares = np.concatenate([right - 1, right]), np.concatenate([1 - share, share])
        matrix = sparse.csr_array((shares, (rows, columns)), shape=(len(modulator), len(nodes)))
        matrix.eliminate_zeros()
        return cls(matrix)


def plan_blocks(kernels: Sequence[Kernel], size: int) -> list[Block]:
    """Return blocks of at most ``size`` targets that share a kernel; ``kernels`` has one entry a target."""
    groups: dict[Kernel, list[int]] = {}
    for target, kernel in enumerate(kernels):
        groups.setdefault(kernel, []).append(target)
    return [
        Block(kernel, np.array(targets[first : first + size]))
        for kernel, targets in groups.items()
        for first in range(0, len(targets), size)
    ]


def task_key(task: ProfileTask, plan: Sequence[Block]) -> str:
    """Return a digest of everything that the result depends on."""
    pooling = f" {task.pooling!r}" if task.pooling else ""
    digest = hashlib.sha256(f"{_SCHEMA} {task.criterion}{pooling}".encode())
    arrays = [task.values, task.regulators, task.targets, task.modulator, task.places, task.factors]
    arrays += [np.asarray(part) for part in task.search] + ([] if task.folds is None else [task.folds])
    for array in arrays + [block.targets for block in plan]:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    for block in plan:
        digest.update(block.kernel.describe().encode())
    return digest.hexdigest()


def fit_blocks(
    task: ProfileTask,
    plan: Sequence[Block],
    *,
    folder: Path | None,
    n_jobs: int,
    advance: Advance,
    cluster: Any = None,
    numbers: Collection[int] | None = None,
    fit: Fit = fit_block,
) -> list[Arrays]:
    """Fit block after block, or many at once on a cluster.

    Without a folder, the arrays are returned. With one, each block is written to ``block-00000.npz`` and so on as soon
    as it is there, whole or not at all, and a block that stands is not fitted again; the list is empty.

    Linear algebra has one thread, here as on a worker: on several, sums are split otherwise and differ in the last
    digits.

    Parameters
    ----------
    task, plan
        What is fitted; blocks in the order of their files.
    folder
        Holds blocks of this task and plan or none.
    n_jobs, advance
        As in :func:`kotowari.studies.genenet.model.profile.task.fit_block`.
    cluster
        None for threads of this process; else a :class:`kotowari.core.cluster.Cluster`, left open, or what one is made
        of.
    numbers
        Which blocks; None for all.
    fit
        What fits one block.

    Raises
    ------
    RunFolderError
        When the folder cannot be written; what was written stays.
    InputError
        When the cluster cannot be used.
    """
    waiting = {number: block for number, block in enumerate(plan) if numbers is None or number in numbers}
    if folder is not None:
        for number in [number for number in waiting if block_path(folder, number).is_file()]:
            advance(len(task.places) * len(waiting.pop(number).targets))
    kept: dict[int, Arrays] = {}
    with as_cluster(cluster, n_workers=min(n_jobs, max(len(waiting), 1))) as opened:
        if opened is None:
            fitted = _fit_here(task, waiting, n_jobs, advance, fit)
        else:
            fitted = _fit_there(opened, task, waiting, fit)
        with closing(fitted):
            for number, arrays in fitted:
                if folder is None:
                    kept[number] = arrays
                else:
                    write_block(folder, number, arrays)
                if opened is not None:
                    advance(len(task.places) * len(plan[number].targets))
    return [kept[number] for number in sorted(kept)]


def block_path(folder: Path, number: int) -> Path:
    """Return where a block is written."""
    return folder / f"block-{number:05d}.npz"


def read_block(folder: Path, number: int) -> Arrays:
    """Return the arrays of a block that was written.

    Raises
    ------
    RunFolderError
        When the file is missing or damaged.
    """
    path = block_path(folder, number)
    try:
        return load_arrays(path)
    except (OSError, ValueError, EOFError) as error:
        raise RunFolderError(
            f"{path}: cannot be read ({error}). Delete it and fit again; the other blocks stay."
        ) from error


def write_block(folder: Path, number: int, arrays: Arrays) -> None:
    """Write the arrays of a block, whole or not at all; one that stands is left alone.

    Raises
    ------
    RunFolderError
        When the folder cannot be written or the disk is full.
    """
    path = block_path(folder, number)
    if not path.is_file():
        write_bytes(path, pack_arrays(arrays))


def spread_block(arrays: Arrays, spread: Spread, n_regulators: int) -> Iterator[npt.NDArray[np.generic]]:
    """Yield sample, regulator, target and coefficient of every entry, then intercepts and fitted of (sample, target).

    A sample is fitted where all places that it draws on are. Targets are positions in the block.
    """
    n_places, n_targets = arrays["intercept"].shape
    column = np.searchsorted(arrays["block"], arrays["target"]).astype(np.int64) * n_regulators + arrays["regulator"]
    shape = (n_places, n_targets * n_regulators)
    entries = sparse.csr_array((arrays["coefficient"].astype(np.float64), (arrays["place"], column)), shape=shape)
    known = np.isfinite(arrays["intercept"])
    fitted = (spread.matrix @ (~known).astype(np.float64)) == 0
    intercepts = spread.matrix @ np.where(known, arrays["intercept"], 0.0)
    at_samples = (spread.matrix @ entries).tocoo()
    sample, cell = at_samples.coords
    kept = fitted[sample, cell // n_regulators]
    yield from (sample[kept], cell[kept] % n_regulators, cell[kept] // n_regulators, at_samples.data[kept])
    yield np.where(fitted, intercepts, np.nan)
    yield fitted


def _fit_here(task: ProfileTask, blocks: Blocks, n_jobs: int, advance: Advance, fit: Fit) -> Fitted:
    for number, block in blocks.items():
        with threadpool_limits(1, user_api="blas"):
            arrays = fit(task, block, n_jobs=n_jobs, advance=advance)
        yield number, arrays


def _fit_there(cluster: Cluster, task: ProfileTask, blocks: Blocks, fit: Fit) -> Fitted:
    if 0 < len(blocks) < (n_threads := cluster.n_threads):
        warnings.warn(
            f"NetworkProfiler: {len(blocks)} blocks keep only {len(blocks)} of {n_threads} workers busy. A smaller "
            "block_size makes more of them.",
            UserWarning,
            stacklevel=2,
        )
    jobs = {number: (task, block) for number, block in blocks.items()}
    relief = "Lower block_size, or give workers more memory."
    yield from cluster.map(fit, jobs, on_threads=True, unit="block", relief=relief)
