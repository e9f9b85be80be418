"""Many equal jobs on several cores or machines, each result kept as it comes."""

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from kotowari.core.cluster import as_cluster
from kotowari.core.files import write_bytes
from kotowari.core.notes import print_warnings_plainly
from kotowari.core.progress import Advance

__all__ = ["Arrays", "load_arrays", "map_jobs", "pack_arrays"]

Arrays = dict[str, npt.NDArray[Any]]


def map_jobs(
    function: Callable[..., Arrays],
    jobs: Mapping[str, tuple[Any, ...]],
    *,
    shards: Path,
    workers: int,
    advance: Advance,
    cluster: Any = None,
) -> dict[str, Arrays]:
    """Call ``function(*arguments)`` for every job and return the results by key.

    Each result is written to ``shards/<key>.npz`` as soon as it is there, and a job whose file stands is not run again:
    a killed run loses only the jobs under way. Whoever calls must give equal keys to equal jobs. Files are written by
    this process alone: the workers of a cluster need not see the folder, and one that dies costs the job it was at.

    Parameters
    ----------
    function
        Returns arrays by name. Its result may depend on its arguments alone, not on which worker runs it.
    jobs
        Key, also the file name, to arguments.
    shards
        Folder of this batch of jobs.
    workers
        Processes; 1 runs everything in this one.
    advance
        Called once a finished job.
    cluster
        None for processes of this machine; else a :class:`kotowari.core.cluster.Cluster`, left open, or what one is
        made of, such as the address of a Dask scheduler; it is not opened where no job is left. On equal machines the
        files are the same to the last byte.
    """
    done = {key: load_arrays(shards / f"{key}.npz") for key in jobs if (shards / f"{key}.npz").is_file()}
    advance(len(done))
    waiting = {key: (function, *arguments) for key, arguments in jobs.items() if key not in done}
    with as_cluster(cluster, n_workers=min(workers, max(len(waiting), 1))) as opened:
        results = _run_here(waiting, workers) if opened is None else opened.map(_packed, waiting)
        with closing(results):
            for key, content in results:
                write_bytes(shards / f"{key}.npz", content)
                # read back, so that a fresh result has the memory layout, and its sums the last bit, of a resumed one
                done[key] = load_arrays(shards / f"{key}.npz")
                advance(1)
    return {key: done[key] for key in jobs}


def _run_here(jobs: Mapping[str, tuple[Any, ...]], workers: int) -> Generator[tuple[str, bytes], None, None]:
    # loky neither forks a process with threads in it nor runs the caller's script again
    pool = joblib.Parallel(n_jobs=min(workers, max(len(jobs), 1)), backend="loky", return_as="generator_unordered")
    yield from pool(joblib.delayed(_keyed)(key, *call) for key, call in jobs.items())


def _keyed(key: str, function: Callable[..., Arrays], *arguments: Any) -> tuple[str, bytes]:
    print_warnings_plainly(always=False)
    # one thread here as on a worker of a cluster: on several, sums are split otherwise and differ in the last digits
    with threadpool_limits(1, user_api="blas"):
        return key, _packed(function, *arguments)


def _packed(function: Callable[..., Arrays], *arguments: Any) -> bytes:
    return pack_arrays(function(*arguments))


def pack_arrays(arrays: Arrays) -> bytes:
    """Return the bytes of an npz file without pickles."""
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def load_arrays(path: Path) -> Arrays:
    """Read an npz file without pickles."""
    with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
