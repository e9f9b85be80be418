"""A job as a list of named stages: what is done is skipped, so going on is running again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kotowari.core.errors import InputError
from kotowari.core.progress import Progress
from kotowari.core.runfolder import RunFolder

__all__ = ["Stage", "run_stages"]

JobT = TypeVar("JobT")


@dataclass(frozen=True)
class Stage(Generic[JobT]):
    """One named part of a job.

    Parameters
    ----------
    name
        The word in ``run.json`` and after ``--until``.
    title
        What the progress line says.
    run
        Does the work and leaves its results in the run folder; later stages read them from there, so that a
        resumed job and an unbroken one take the same path.
    """

    name: str
    title: str
    run: Callable[[JobT, Progress], None]


def run_stages(
    job: JobT, stages: Sequence[Stage[JobT]], folder: RunFolder, *, until: str | None = None, progress: Progress
) -> None:
    """Run the stages in order, skip those marked done, stop after ``until``; say how to go on after Ctrl-C.

    Raises
    ------
    InputError
        When ``until`` names no stage.
    """
    names = [stage.name for stage in stages]
    if until is not None and until not in names:
        raise InputError(f"--until {until}: there is no such stage. Choose one of {', '.join(names)}.")
    with folder.locked():
        for stage in stages:
            if folder.stage_state(stage.name) != "done":
                folder.mark_stage(stage.name, "running")
                begin = time.monotonic()
                try:
                    stage.run(job, progress)
                except KeyboardInterrupt:
                    progress.say(f"\nStopped. `kotowari resume {folder.path}` goes on where it was.")
                    raise
                folder.mark_stage(stage.name, "done", time.monotonic() - begin)
            if stage.name == until:
                break
