"""A gene network for every sample, and the edges that decide: estimators, comparators, phantoms and the guard.

The command line does not know this study yet: its parts are used from Python.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "EdgeContributions": "model.contributions",
    "EdgeImplant": "edge_implant",
    "EdgeNull": "model.trip_permutation",
    "EdgeScores": "edge_scores",
    "KnockOut": "model.knock_out",
    "ModulePhantom": "phantom_modules",
    "NetworkPhantom": "phantom",
    "NetworkStack": "model.stack",
    "PredictionVerdict": "guard",
    "SparseNetworks": "model.sparse_networks",
    "TensorReconstructionClassifier": "model.trip",
    "TensorReconstructionCox": "model.trip",
    "TensorReconstructionRegressor": "model.trip",
    "edge_scores": "edge_scores",
    "judge_prediction": "guard",
    "knock_out": "model.knock_out",
    "permutation_p_values": "model.trip_permutation",
    "permute_within_bins": "guard",
    "planted_modules": "phantom_modules",
    "simulate_networks": "phantom",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:  # lazy: most of it needs torch or scikit-learn
    if name in _HOMES:
        return getattr(import_module(f"kotowari.studies.genenet.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kotowari.studies.genenet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
