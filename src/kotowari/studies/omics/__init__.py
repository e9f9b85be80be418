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
    from kotowari.core.study import run_configured

    return run_configured(_face(), config, out, command=command, until=until, shown=shown)


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


def apply(
    folder: "RunFolder | str | Path", table: str | Path, out: str | Path, annotations: str | Path | None = None
) -> Path:
    """Predict the samples of ``table`` with the final model of a run; returns the file of the predictions.

    Genes are all that the model reads: ``annotations`` are refused.
    """
    from kotowari.core.errors import InputError
    from kotowari.core.runfolder import RunFolder

    if annotations is not None:
        raise InputError(f"{annotations}: the omics study predicts from the table alone. Leave the annotations out.")

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
    from kotowari.core.study import load_part

    return load_part(__name__, module)


def _face() -> Any:
    return import_module(__name__)
