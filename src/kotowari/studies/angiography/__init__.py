"""Vessels out of X-ray runs and single frames, without masks; each claim beside its controls.

Three lines do what the command line does:

>>> from kotowari.studies import angiography  # doctest: +SKIP
>>> folder = angiography.run(angiography.Config.demo())  # doctest: +SKIP
>>> angiography.apply(folder, "new_runs", out="vessels")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from kotowari.core.face import StudyPackage

if TYPE_CHECKING:
    from kotowari.studies.angiography.arrival import contrast_arrival
    from kotowari.studies.angiography.attenuation import XrayRun, xray_run
    from kotowari.studies.angiography.centrelines import find_centrelines
    from kotowari.studies.angiography.config import Config
    from kotowari.studies.angiography.filters import VesselFilter
    from kotowari.studies.angiography.implant import VesselImplant, implant_frame
    from kotowari.studies.angiography.layers import Layers, separate
    from kotowari.studies.angiography.model.enhancer import VesselEnhancer
    from kotowari.studies.angiography.phantom import RunPhantom, simulate_run
    from kotowari.studies.angiography.phantom_settings import RunSettings
    from kotowari.studies.angiography.scores import score_map, score_run

NAME = "angiography"
SUMMARY = "vessels out of X-ray runs and single frames, without masks: layers, maps, centrelines, arrival"

_HOMES = {
    "Config": "config",
    "Layers": "layers",
    "RunPhantom": "phantom",
    "RunSettings": "phantom_settings",
    "VesselEnhancer": "model.enhancer",
    "VesselFilter": "filters",
    "VesselImplant": "implant",
    "XrayRun": "attenuation",
    "contrast_arrival": "arrival",
    "find_centrelines": "centrelines",
    "implant_frame": "implant",
    "score_map": "scores",
    "score_run": "scores",
    "separate": "layers",
    "simulate_run": "phantom",
    "xray_run": "attenuation",
}
__all__ = [
    "NAME",
    "SUMMARY",
    "Config",
    "Layers",
    "RunPhantom",
    "RunSettings",
    "VesselEnhancer",
    "VesselFilter",
    "VesselImplant",
    "XrayRun",
    "apply",
    "contrast_arrival",
    "demo",
    "find_centrelines",
    "implant_frame",
    "open_job",
    "run",
    "score_map",
    "score_run",
    "separate",
    "simulate_run",
    "stages",
    "xray_run",
]

_PACKAGE = StudyPackage(__name__, _HOMES)
run, demo, apply = _PACKAGE.run, _PACKAGE.demo, _PACKAGE.apply
stages, open_job = _PACKAGE.stages, _PACKAGE.open_job
__getattr__ = _PACKAGE.load  # lazy: `kotowari init` must not wait for torch


def __dir__() -> list[str]:
    return __all__
