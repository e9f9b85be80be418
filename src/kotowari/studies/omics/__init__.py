"""Tables of genes seen as images, classified; the genes and pathways that decide, and the tests of both.

Three lines do what the command line does:

>>> from kotowari.studies import omics  # doctest: +SKIP
>>> folder = omics.run(omics.Config.demo())  # doctest: +SKIP
>>> omics.apply(folder, "new_samples.csv", out="predictions")  # doctest: +SKIP
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kotowari.core.errors import MissingExtraError

if TYPE_CHECKING:
    from kotowari.core.runfolder import RunFolder
    from kotowari.core.stages import Stage
    from kotowari.studies.omics.config import Config
    from kotowari.studies.omics.model.estimators import DeepInsightClassifier, DeepInsightRegressor
    from kotowari.studies.omics.model.selector import DeepFeatureSelector
    from kotowari.studies.omics.model.transformer import DeepInsightTransformer

NAME = "omics"
SUMMARY = "tables of genes drawn as images and classified; the genes and pathways that decide"

_HOMES = {
    "Config": "config",
    "DeepFeatureSelector": "model.selector",
    "DeepInsightClassifier": "model.estimators",
    "DeepInsightRegressor": "model.estimators",
    "DeepInsightTransformer": "model.transformer",
}
__all__ = [
    "NAME",
    "SUMMARY",
    "Config",
    "DeepFeatureSelector",
    "DeepInsightClassifier",
    "DeepInsightRegressor",
    "DeepInsightTransformer",
    "apply",
    "demo",
    "open_job",
    "run",
    "stages",
]


def run(
    config: "Config | str | Path",
    out: str | Path | None = None,
    *,
    command: Sequence[str] = (),
    until: str | None = None,
    shown: bool = True,
) -> "RunFolder":
    """Run the study.

    Parameters
    ----------
    config
        Options, or the path of a YAML file with them.
    out
        New run folder; None for ``runs/omics-<n>``.
    command
        The words typed, for the record.
    until
        Last stage to run.
    shown
        Whether progress is shown on stderr.
    """
    from kotowari.core.options import read_yaml, validated
    from kotowari.core.progress import Progress
    from kotowari.core.study import run_study

    options: Any = config
    if isinstance(config, str | Path):
        path = Path(config)
        options = validated(_loaded("Config"), read_yaml(path), where=str(path), base=path.parent)
    folder = None if out is None else Path(out)
    return run_study(_face(), options, folder, command=command, until=until, progress=Progress(shown=shown))


def demo(out: str | Path | None = None, *, preset: str = "quick") -> "RunFolder":
    """Run the embedded example: microsatellite instability of 90 colorectal tumours of TCGA."""
    return run(_loaded("Config").demo(preset), out)


def stages() -> "Sequence[Stage[Any]]":
    """Return the job's stages in order."""
    found: Sequence[Stage[Any]] = _numerical("study").STAGES
    return found


def open_job(folder: "RunFolder") -> Any:
    """Return the job of a run folder."""
    return _numerical("job").open_job(folder)


def apply(folder: "RunFolder | str | Path", table: str | Path, out: str | Path) -> Path:
    """Predict the samples of ``table`` with the final model of a run; returns the file of the predictions."""
    from kotowari.core.runfolder import RunFolder

    run_folder = folder if isinstance(folder, RunFolder) else RunFolder(Path(folder))
    written: Path = _numerical("study").apply(run_folder, Path(table), Path(out))
    return written


def __getattr__(name: str) -> Any:  # lazy: `kotowari init` must not wait for torch
    if name in _HOMES:
        return _loaded(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def _loaded(name: str) -> Any:
    home = _HOMES[name]
    module = import_module(f"{__name__}.{home}") if home == "config" else _numerical(home)
    return getattr(module, name)


def _numerical(module: str) -> Any:
    """Import a module that needs the extra, or say how to install it."""
    try:
        return import_module(f"{__name__}.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "kotowari":
            raise
        raise MissingExtraError(
            f"The omics study needs {error.name}, which is not installed. Install it: pip install 'kotowari[omics]'"
        ) from error


def _face() -> Any:
    return import_module(__name__)
