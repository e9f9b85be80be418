"""Cells found without annotation: a detector that saw unlabelled images alone, each claim beside its controls.

Three lines do what the command line does:

>>> from kotowari.studies import cytology  # doctest: +SKIP
>>> folder = cytology.run(cytology.Config.demo())  # doctest: +SKIP
>>> cytology.apply(folder, "new_images", out="cells")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from kotowari.core.face import StudyPackage

if TYPE_CHECKING:
    from kotowari.studies.cytology.baselines.background import LargeMedian, LocalThreshold, Otsu
    from kotowari.studies.cytology.baselines.low_rank import LowRankBackground
    from kotowari.studies.cytology.baselines.supervised import SupervisedUNet
    from kotowari.studies.cytology.blank_fields import blank_field
    from kotowari.studies.cytology.cell_table import cells_of
    from kotowari.studies.cytology.config import Config
    from kotowari.studies.cytology.implant import CellImplant
    from kotowari.studies.cytology.instance_options import InstanceOptions
    from kotowari.studies.cytology.matching import Match, match_instances
    from kotowari.studies.cytology.mixed_stains import StainGap, stain_gap
    from kotowari.studies.cytology.model.detector import CellDetector
    from kotowari.studies.cytology.model.instances import Instances, find_instances
    from kotowari.studies.cytology.model.tiles import apply_by_tiles
    from kotowari.studies.cytology.phantom import CellPhantom, simulate_cells
    from kotowari.studies.cytology.phantom_settings import CellSettings
    from kotowari.studies.cytology.scores import (
        ImageScores,
        foreground_average_precision,
        pooled_scores,
        score_image,
        score_intervals,
    )
    from kotowari.studies.cytology.stain import Stain, find_stain

NAME = "cytology"
SUMMARY = "cells found without annotation from tens of images: masks, counts, and why each cell was taken"

_HOMES = {
    "CellDetector": "model.detector",
    "CellImplant": "implant",
    "CellPhantom": "phantom",
    "CellSettings": "phantom_settings",
    "Config": "config",
    "ImageScores": "scores",
    "InstanceOptions": "instance_options",
    "Instances": "model.instances",
    "LargeMedian": "baselines.background",
    "LocalThreshold": "baselines.background",
    "LowRankBackground": "baselines.low_rank",
    "Match": "matching",
    "Otsu": "baselines.background",
    "Stain": "stain",
    "StainGap": "mixed_stains",
    "SupervisedUNet": "baselines.supervised",
    "apply_by_tiles": "model.tiles",
    "blank_field": "blank_fields",
    "cells_of": "cell_table",
    "find_instances": "model.instances",
    "find_stain": "stain",
    "foreground_average_precision": "scores",
    "match_instances": "matching",
    "pooled_scores": "scores",
    "score_image": "scores",
    "score_intervals": "scores",
    "simulate_cells": "phantom",
    "stain_gap": "mixed_stains",
}
__all__ = [
    "NAME",
    "SUMMARY",
    "CellDetector",
    "CellImplant",
    "CellPhantom",
    "CellSettings",
    "Config",
    "ImageScores",
    "InstanceOptions",
    "Instances",
    "LargeMedian",
    "LocalThreshold",
    "LowRankBackground",
    "Match",
    "Otsu",
    "Stain",
    "StainGap",
    "SupervisedUNet",
    "apply",
    "apply_by_tiles",
    "blank_field",
    "cells_of",
    "demo",
    "find_instances",
    "find_stain",
    "foreground_average_precision",
    "match_instances",
    "open_job",
    "pooled_scores",
    "run",
    "score_image",
    "score_intervals",
    "simulate_cells",
    "stages",
    "stain_gap",
]

_PACKAGE = StudyPackage(__name__, _HOMES)
run, demo, apply = _PACKAGE.run, _PACKAGE.demo, _PACKAGE.apply
stages, open_job = _PACKAGE.stages, _PACKAGE.open_job
__getattr__ = _PACKAGE.load  # lazy: `kotowari init` must not wait for torch


def __dir__() -> list[str]:
    return __all__
