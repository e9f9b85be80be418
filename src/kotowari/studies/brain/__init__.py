"""Brains without labels: features of structural MRI, what they foretell, and where; each claim beside its controls.

Three lines do what the command line does:

>>> from kotowari.studies import brain  # doctest: +SKIP
>>> folder = brain.run(brain.Config.demo())  # doctest: +SKIP
>>> brain.apply(folder, "new_volumes", out="predictions")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from kotowari.core.face import StudyPackage

if TYPE_CHECKING:
    from kotowari.studies.brain.config import Config
    from kotowari.studies.brain.implant import BrainImplant
    from kotowari.studies.brain.model.atlas import Atlas
    from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
    from kotowari.studies.brain.model.autoencoder_grid import fit_grid
    from kotowari.studies.brain.model.clinical_axis import clinical_axis
    from kotowari.studies.brain.model.combat import ComBat
    from kotowari.studies.brain.model.diagnosis_encoder import DiagnosisEncoder
    from kotowari.studies.brain.model.latent_regression import LatentRegression
    from kotowari.studies.brain.model.site_adapter import SiteAdapter
    from kotowari.studies.brain.model.site_footprints import site_footprints
    from kotowari.studies.brain.model.volume_store import VolumeStore
    from kotowari.studies.brain.participants import Cohort, read_cohort
    from kotowari.studies.brain.phantom import BrainPhantom, simulate_brains
    from kotowari.studies.brain.phantom_files import write_brains
    from kotowari.studies.brain.phantom_lock import LockReport
    from kotowari.studies.brain.raw.pipeline import prepare_heads
    from kotowari.studies.brain.site_arm import SiteArm
    from kotowari.studies.brain.site_tests import effect_kept, site_gap, site_told, site_told_in_new_subjects

NAME = "brain"
SUMMARY = "label-free features of structural MRI, what they foretell, and the regions that carry it"

_HOMES = {
    "Atlas": "model.atlas",
    "BrainImplant": "implant",
    "BrainPhantom": "phantom",
    "Cohort": "participants",
    "ComBat": "model.combat",
    "Config": "config",
    "ConvolutionalAutoencoder": "model.autoencoder",
    "DiagnosisEncoder": "model.diagnosis_encoder",
    "LatentRegression": "model.latent_regression",
    "LockReport": "phantom_lock",
    "SiteAdapter": "model.site_adapter",
    "SiteArm": "site_arm",
    "VolumeStore": "model.volume_store",
    "clinical_axis": "model.clinical_axis",
    "effect_kept": "site_tests",
    "fit_grid": "model.autoencoder_grid",
    "prepare_heads": "raw.pipeline",
    "read_cohort": "participants",
    "simulate_brains": "phantom",
    "site_footprints": "model.site_footprints",
    "site_gap": "site_tests",
    "site_told": "site_tests",
    "site_told_in_new_subjects": "site_tests",
    "write_brains": "phantom_files",
}
__all__ = [
    "NAME",
    "SUMMARY",
    "Atlas",
    "BrainImplant",
    "BrainPhantom",
    "Cohort",
    "ComBat",
    "Config",
    "ConvolutionalAutoencoder",
    "DiagnosisEncoder",
    "LatentRegression",
    "LockReport",
    "SiteAdapter",
    "SiteArm",
    "VolumeStore",
    "apply",
    "clinical_axis",
    "demo",
    "effect_kept",
    "fit_grid",
    "open_job",
    "prepare_heads",
    "read_cohort",
    "run",
    "simulate_brains",
    "site_footprints",
    "site_gap",
    "site_told",
    "site_told_in_new_subjects",
    "stages",
    "write_brains",
]

_PACKAGE = StudyPackage(__name__, _HOMES)
run, demo, apply = _PACKAGE.run, _PACKAGE.demo, _PACKAGE.apply
stages, open_job = _PACKAGE.stages, _PACKAGE.open_job
__getattr__ = _PACKAGE.load  # lazy: `kotowari init` must not wait for torch


def __dir__() -> list[str]:
    return __all__
