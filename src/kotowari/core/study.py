"""What every study shows to the outside, and the one function that runs any of them."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from kotowari.core.errors import KotowariError
from kotowari.core.options import Options
from kotowari.core.progress import Progress
from kotowari.core.runfolder import RunFolder, next_run_folder
from kotowari.core.stages import Stage, run_stages

__all__ = ["StudyFace", "resume_study", "run_study"]


class StudyFace(Protocol):
    """A study's package: ``kotowari.studies.<name>``.

    Attributes
    ----------
    NAME, SUMMARY
        The word in `kotowari studies`, and what the study answers, in a line.
    Config
        Options, with ``demo(preset)`` for the embedded example.
    """

    NAME: str
    SUMMARY: str
    Config: Any

    def stages(self) -> Sequence[Stage[Any]]:
        """Return the job's stages in order."""

    def open_job(self, folder: RunFolder) -> Any:
        """Return the job of a run folder."""

    def apply(self, folder: RunFolder, table: Path, out: Path) -> Path:
        """Use a finished model on new data; returns the file of the predictions."""


def run_study(
    face: StudyFace,
    config: Options,
    out: Path | None = None,
    *,
    command: Sequence[str] = (),
    until: str | None = None,
    progress: Progress | None = None,
) -> RunFolder:
    """Start a run in a new folder and go through its stages.

    A run that is refused before any stage is finished leaves no folder behind, so that it can be started again.

    Parameters
    ----------
    face
        The study.
    config
        Its options.
    out
        A folder that holds no run yet; None for ``runs/<study>-<n>``.
    command
        The words typed, for the record.
    until
        Name of the last stage to run; None for all.
    progress
        Where to show progress; None for stderr.
    """
    stages = face.stages()
    folder = RunFolder.create(
        out or next_run_folder(face.NAME),
        study=face.NAME,
        config=config.model_dump(mode="json"),
        seed=getattr(config, "seed", 0),
        command=command,
        stages=[stage.name for stage in stages],
    )
    try:
        return resume_study(face, folder, until=until, progress=progress)
    except KotowariError:
        _take_back(folder)
        raise


def resume_study(
    face: StudyFace, folder: RunFolder, *, until: str | None = None, progress: Progress | None = None
) -> RunFolder:
    """Go on with a run; stages marked done are skipped."""
    run_stages(face.open_job(folder), face.stages(), folder, until=until, progress=progress or Progress())
    return folder


def _take_back(folder: RunFolder) -> None:
    if any(stage["state"] == "done" for stage in folder.record["stages"]):
        return
    with suppress(OSError):  # what the user keeps in the folder stays
        for name in ("events.jsonl", ".lock", "run.json"):
            (folder.path / name).unlink(missing_ok=True)
        folder.path.rmdir()
