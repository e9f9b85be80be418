"""What every floor stands on: errors, checks, evidence, the run folder and its stages. Knows no torch."""

from importlib import import_module
from typing import Any

_HOMES = {
    "CapabilityError": "errors",
    "Check": "evidence",
    "Cluster": "cluster",
    "ConvergenceError": "errors",
    "DesignError": "errors",
    "Evidence": "evidence",
    "Figure": "page",
    "Frame": "evidence",
    "InputError": "errors",
    "KotowariError": "errors",
    "Metric": "runfolder",
    "MissingExtraError": "errors",
    "Outcome": "outcome",
    "Page": "page",
    "Progress": "progress",
    "RunFolder": "runfolder",
    "RunFolderError": "errors",
    "ShapeError": "errors",
    "Stage": "stages",
    "Status": "outcome",
    "Table": "page",
    "Verdict": "evidence",
    "derive_seed": "seeds",
    "map_jobs": "jobs",
    "require_extra": "checks",
    "require_methods": "checks",
    "require_unique": "checks",
    "run_stages": "stages",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:  # lazy: a command that only prints help must not pay for numpy
    if name in _HOMES:
        return getattr(import_module(f"kotowari.core.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kotowari.core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
