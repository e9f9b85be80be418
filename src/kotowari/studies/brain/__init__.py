"""Brains without labels: rooms of a study of structural MRI that the command line does not know yet.

Volumes, harmonising, an autoencoder, regression on its features and phantoms are used from Python.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kotowari.studies.brain.implant import BrainImplant
    from kotowari.studies.brain.model.atlas import Atlas
    from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
    from kotowari.studies.brain.model.autoencoder_grid import fit_grid
    from kotowari.studies.brain.model.combat import ComBat
    from kotowari.studies.brain.model.latent_regression import LatentRegression
    from kotowari.studies.brain.model.volume_store import VolumeStore
    from kotowari.studies.brain.participants import Cohort, read_cohort
    from kotowari.studies.brain.phantom import BrainPhantom, simulate_brains
    from kotowari.studies.brain.phantom_lock import LockReport

_HOMES = {
    "Atlas": "model.atlas",
    "BrainImplant": "implant",
    "BrainPhantom": "phantom",
    "Cohort": "participants",
    "ComBat": "model.combat",
    "ConvolutionalAutoencoder": "model.autoencoder",
    "LatentRegression": "model.latent_regression",
    "LockReport": "phantom_lock",
    "VolumeStore": "model.volume_store",
    "fit_grid": "model.autoencoder_grid",
    "read_cohort": "participants",
    "simulate_brains": "phantom",
}
__all__ = [
    "Atlas",
    "BrainImplant",
    "BrainPhantom",
    "Cohort",
    "ComBat",
    "ConvolutionalAutoencoder",
    "LatentRegression",
    "LockReport",
    "VolumeStore",
    "fit_grid",
    "read_cohort",
    "simulate_brains",
]


def __getattr__(name: str) -> Any:  # lazy: most of it needs torch, scikit-learn or nibabel
    if name in _HOMES:
        return getattr(import_module(f"kotowari.studies.brain.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kotowari.studies.brain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
