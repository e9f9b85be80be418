"""One block of targets a job: array jobs of any scheduler, with nothing between them but a folder that all see.

``NetworkProfiler.prepare`` writes the task, every job of the array calls :func:`fit_numbered_block`, and
``NetworkProfiler.load`` merges: it gives the fitted profiler as soon as no block is missing.
"""

from collections.abc import Mapping
from pathlib import Path

from kotowari.core.errors import InputError
from kotowari.core.progress import Progress
from kotowari.studies.genenet.model.profile.blocks import block_path, fit_blocks
from kotowari.studies.genenet.model.profile.saved import missing_blocks, read_task

__all__ = ["array_index", "fit_numbered_block", "missing_blocks"]

_COUNTERS = {  # variable: number of the first job
    "SLURM_ARRAY_TASK_ID": 0,
    "PBS_ARRAY_INDEX": 0,
    "PBS_ARRAYID": 0,
    "SGE_TASK_ID": 1,
    "LSB_JOBINDEX": 1,
}
_NO_ARRAY = {"", "undefined"}


def fit_numbered_block(folder: Path | str, number: int, *, n_jobs: int = 1, verbose: bool = False) -> Path:
    """Fit one block of a prepared folder and write it there, whole or not at all; a block that stands is left alone.

    Parameters
    ----------
    folder
        Made by ``NetworkProfiler.prepare``.
    number
        0 up to the number of blocks less one.
    n_jobs
        Threads, 1 or more; the result does not depend on it.
    verbose
        Whether progress is shown.

    Returns
    -------
    Path
        The file of the block.

    Raises
    ------
    InputError
        When the folder holds no task, or no block of this number.
    RunFolderError
        When another version of this package prepared the folder, or it cannot be written.
    """
    task, plan = read_task(Path(folder))
    if not 0 <= number < len(plan):
        raise InputError(f"{folder} has blocks 0 to {len(plan) - 1}, and no block {number}.")
    n_fits = len(task.places) * len(plan[number].targets)
    with Progress(shown=verbose).bar(f"Block {number}", n_fits) as advance:
        fit_blocks(task, plan, folder=Path(folder), n_jobs=n_jobs, advance=advance, numbers={number})
    return block_path(Path(folder), number)


def array_index(environ: Mapping[str, str]) -> int:
    """Return the number of the block that an array job is to fit, from the variables of its scheduler.

    Blocks count from 0. Slurm (``SLURM_ARRAY_TASK_ID``) and PBS (``PBS_ARRAY_INDEX``, or ``PBS_ARRAYID`` of Torque) can
    count from 0, and their number is taken as it is: submit ``0-11`` for 12 blocks. Grid Engine (``SGE_TASK_ID``) and
    LSF (``LSB_JOBINDEX``) count from 1, and 1 is taken off: submit ``1-12``.

    Parameters
    ----------
    environ
        Such as ``os.environ``.

    Raises
    ------
    InputError
        When no such variable is there, one is no number, or two of them disagree.

    Examples
    --------
    >>> array_index({"SLURM_ARRAY_TASK_ID": "3"}), array_index({"SGE_TASK_ID": "3"})
    (3, 2)
    """
    found = {name: environ[name] for name in _COUNTERS if environ.get(name, "") not in _NO_ARRAY}
    found = {name: text for name, text in found.items() if (name, text) != ("LSB_JOBINDEX", "0")}  # LSF's "no array"
    if not found:
        raise InputError(f"This is no array job: none of {', '.join(_COUNTERS)} is set. Name the number of the block.")
    wrong = [f"{name}={text}" for name, text in found.items() if not text.isdecimal() or int(text) < _COUNTERS[name]]
    numbers = {int(text) - _COUNTERS[name] for name, text in found.items() if text.isdecimal()}
    if wrong or len(numbers) > 1:
        told = ", ".join(f"{name}={text}" for name, text in found.items())
        raise InputError(f"{told}: gives no number of a block. Name the number of the block.")
    return numbers.pop()
