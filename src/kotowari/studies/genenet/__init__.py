"""A gene network for every sample along a modulator, and the edges that decide; tested for circular reasoning.

Three lines do what the command line does:

>>> from kotowari.studies import genenet  # doctest: +SKIP
>>> folder = genenet.run(genenet.Config.demo())  # doctest: +SKIP
>>> genenet.apply(folder, "new_samples.csv", out="networks")  # doctest: +SKIP
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kotowari.core.runfolder import RunFolder
    from kotowari.core.stages import Stage
    from kotowari.studies.genenet.config import Config
    from kotowari.studies.genenet.edge_implant import EdgeImplant
    from kotowari.studies.genenet.edge_permutation import EdgePermutation, edge_permutation
    from kotowari.studies.genenet.edge_scores import EdgeScores, edge_scores
    from kotowari.studies.genenet.guard import PredictionVerdict, judge_prediction, permute_within_bins
    from kotowari.studies.genenet.model.contributions import EdgeContributions
    from kotowari.studies.genenet.model.edge_bootstrap import EdgeIntervals, bootstrap_edges
    from kotowari.studies.genenet.model.knock_out import KnockOut, knock_out
    from kotowari.studies.genenet.model.profiler import NetworkProfiler
    from kotowari.studies.genenet.model.selection_frequency import SelectionFrequency, selection_frequency
    from kotowari.studies.genenet.model.signature import SignatureScore
    from kotowari.studies.genenet.model.sparse_networks import SparseNetworks
    from kotowari.studies.genenet.model.stack import NetworkStack
    from kotowari.studies.genenet.model.trip import (
        TensorReconstructionClassifier,
        TensorReconstructionCox,
        TensorReconstructionRegressor,
    )
    from kotowari.studies.genenet.model.trip_permutation import EdgeNull, permutation_p_values
    from kotowari.studies.genenet.phantom import NetworkPhantom, simulate_networks
    from kotowari.studies.genenet.phantom_modules import ModulePhantom, planted_modules

NAME = "genenet"
SUMMARY = "a gene network for every sample along a modulator; the edges that change and that predict"

_HOMES = {
    "Config": "config",
    "EdgeContributions": "model.contributions",
    "EdgeImplant": "edge_implant",
    "EdgeIntervals": "model.edge_bootstrap",
    "EdgeNull": "model.trip_permutation",
    "EdgePermutation": "edge_permutation",
    "EdgeScores": "edge_scores",
    "KnockOut": "model.knock_out",
    "ModulePhantom": "phantom_modules",
    "NetworkPhantom": "phantom",
    "NetworkProfiler": "model.profiler",
    "NetworkStack": "model.stack",
    "PredictionVerdict": "guard",
    "SelectionFrequency": "model.selection_frequency",
    "SignatureScore": "model.signature",
    "SparseNetworks": "model.sparse_networks",
    "TensorReconstructionClassifier": "model.trip",
    "TensorReconstructionCox": "model.trip",
    "TensorReconstructionRegressor": "model.trip",
    "bootstrap_edges": "model.edge_bootstrap",
    "edge_permutation": "edge_permutation",
    "edge_scores": "edge_scores",
    "judge_prediction": "guard",
    "knock_out": "model.knock_out",
    "permutation_p_values": "model.trip_permutation",
    "permute_within_bins": "guard",
    "planted_modules": "phantom_modules",
    "selection_frequency": "model.selection_frequency",
    "simulate_networks": "phantom",
}
__all__ = [
    "NAME",
    "SUMMARY",
    "Config",
    "EdgeContributions",
    "EdgeImplant",
    "EdgeIntervals",
    "EdgeNull",
    "EdgePermutation",
    "EdgeScores",
    "KnockOut",
    "ModulePhantom",
    "NetworkPhantom",
    "NetworkProfiler",
    "NetworkStack",
    "PredictionVerdict",
    "SelectionFrequency",
    "SignatureScore",
    "SparseNetworks",
    "TensorReconstructionClassifier",
    "TensorReconstructionCox",
    "TensorReconstructionRegressor",
    "apply",
    "bootstrap_edges",
    "demo",
    "edge_permutation",
    "edge_scores",
    "judge_prediction",
    "knock_out",
    "open_job",
    "permutation_p_values",
    "permute_within_bins",
    "planted_modules",
    "run",
    "selection_frequency",
    "simulate_networks",
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
        New run folder; None for ``runs/genenet-<n>``.
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
    """Run the embedded example: networks of 90 colorectal tumours of TCGA along epithelial-mesenchymal transition."""
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
    """Take the networks of new samples from a run and predict its response; returns the file of the predictions."""
    from kotowari.core.runfolder import RunFolder

    run_folder = folder if isinstance(folder, RunFolder) else RunFolder(Path(folder))
    more = None if annotations is None else Path(annotations)
    written: Path = _numerical("applying").apply(run_folder, Path(table), Path(out), more)
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
