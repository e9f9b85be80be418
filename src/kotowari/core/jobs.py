"""Many equal jobs on several cores, each result kept as it comes."""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt

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
) -> dict[str, Arrays]:
    """Call ``function(*arguments)`` for every job and return the results by key.

    Each result is written to ``shards/<key>.npz`` as soon as it is there, and a job whose file stands is not run again:
    a killed run loses only the jobs under way. Whoever calls must give equal keys to equal jobs.

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
    """
    done = {key: load_arrays(shards / f"{key}.npz") for key in jobs if (shards / f"{key}.npz").is_file()}
    advance(len(done))
    waiting = [key for key in jobs if key not in done]
    # loky neither forks a process with threads in it nor runs the caller's script again
    pool = joblib.Parallel(n_jobs=min(workers, max(len(waiting), 1)), backend="loky", return_as="generator_unordered")
    for key, result in pool(joblib.delayed(_keyed)(key, function, jobs[key]) for key in waiting):
        write_bytes(shards / f"{key}.npz", pack_arrays(result))
        # read back, so that a fresh result has the memory layout, and its sums the last bit, of a resumed one
        done[key] = load_arrays(shards / f"{key}.npz")
        advance(1)
    return {key: done[key] for key in jobs}


def _keyed(key: str, function: Callable[..., Arrays], arguments: tuple[Any, ...]) -> tuple[str, Arrays]:
    print_warnings_plainly(always=False)
    return key, function(*arguments)


def pack_arrays(arrays: Arrays) -> bytes:
    """Return the bytes of an npz file without pickles."""
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def load_arrays(path: Path) -> Arrays:
    """Read an npz file without pickles."""
    with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
