"""What every study shows to the outside, and the one function that runs any of them."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from kotowari.core.errors import KotowariError, MissingExtraError
from kotowari.core.options import Options, read_yaml, validated
from kotowari.core.progress import Progress
from kotowari.core.runfolder import RunFolder, next_run_folder
from kotowari.core.stages import Stage, run_stages

__all__ = ["StudyFace", "load_part", "resume_study", "run_configured", "run_study"]


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
        """Return the job of a run folder; its ``close``, where it has one, is called when its stages are over."""

    def apply(self, folder: RunFolder, table: Path, out: Path, annotations: Path | None = None) -> Path:
        """Use a finished model on new data; returns the file of the predictions.

        ``annotations`` holds columns that the run has beside its table, where it has some.
        """


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
    job = face.open_job(folder)
    with ExitStack() as stack:
        if hasattr(job, "close"):
            stack.callback(job.close)
        run_stages(job, face.stages(), folder, until=until, progress=progress or Progress())
    return folder


def run_configured(
    face: StudyFace,
    config: Options | str | Path,
    out: str | Path | None = None,
    *,
    command: Sequence[str] = (),
    until: str | None = None,
    shown: bool = True,
) -> RunFolder:
    """Run a study from options, or from the path of a YAML file with them; the rest as :func:`run_study`."""
    options: Any = config
    if isinstance(config, str | Path):
        path = Path(config)
        options = validated(face.Config, read_yaml(path), where=str(path), base=path.parent)
    folder = None if out is None else Path(out)
    return run_study(face, options, folder, command=command, until=until, progress=Progress(shown=shown))


def load_part(package: str, module: str) -> Any:
    """Import a study's module that needs the study's extra, or say how to install it.

    Raises
    ------
    MissingExtraError
        When a package outside of kotowari is missing.
    """
    try:
        return import_module(f"{package}.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "kotowari":
            raise
        study = package.rpartition(".")[2]
        raise MissingExtraError(
            f"The {study} study needs {error.name}, which is not installed. Install it: pip install 'kotowari[{study}]'"
        ) from error


def _take_back(folder: RunFolder) -> None:
    if any(stage["state"] == "done" for stage in folder.record["stages"]):
        return
    with suppress(OSError):  # what the user keeps in the folder stays
        for name in ("events.jsonl", ".lock", "run.json"):
            (folder.path / name).unlink(missing_ok=True)
        folder.path.rmdir()
