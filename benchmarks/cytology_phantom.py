"""Simulated smears: cells apart, cells that overlap, uneven light and dirt, ours beside Otsu's threshold."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cytology_images import Picture
from cytology_judged import STAGE, detector, f1, foreground_ap, interval, judge, scores_of
from harness import Figures
from kotowari.studies.cytology.baselines.background import Otsu
from kotowari.studies.cytology.fitting import Finder, find_cells
from kotowari.studies.cytology.matching import match_instances
from kotowari.studies.cytology.phantom import simulate_cells
from kotowari.studies.cytology.phantom_lock import phantom_lock
from kotowari.studies.cytology.phantom_settings import CellSettings
from seeds import by_seed

__all__ = ["Smears", "phantom_pictures", "simulated_smears"]

_CASES: dict[str, dict[str, Any]] = {
    "apart": {"overlap": 0.0, "ramp": 0.0},
    "overlap": {"overlap": 0.3, "ramp": 0.0},
    "ramp": {"overlap": 0.2, "ramp": 0.4},
}
_N_IMAGES = 24  # to learn from, and as many to judge
_N_PER_SLIDE = 2
_N_PHANTOMS = 1
_DIRT = 0.5  # of an object's pixels


@dataclass(frozen=True, eq=False)
class Smears:
    """Simulated images as pictures, and what is dirt in them.

    Parameters
    ----------
    pictures
        In order.
    debris
        Shape ``(height, width)`` each.
    slides
        Shape ``(image,)``.
    locked
        F1 of Otsu's threshold and a distance watershed, by which they are held against life.
    """

    pictures: list[Picture]
    debris: list[npt.NDArray[np.bool_]]
    slides: npt.NDArray[np.int64]
    locked: float


def phantom_pictures(settings: CellSettings, seed: int, *, with_lock: bool = False) -> Smears:
    """Simulate smears."""
    phantom = simulate_cells(settings, seed)
    pictures = [
        Picture(row, image, truth)
        for row, (image, truth) in enumerate(zip(phantom.images, phantom.labels, strict=True))
    ]
    return Smears(pictures, phantom.debris, phantom.slides, phantom_lock(phantom).f1 if with_lock else float("nan"))


def simulated_smears(quick: bool) -> Figures:
    """Measure ``phantom_f1_apart``, ``phantom_f1_overlap`` and ``phantom_f1_ramp`` beside Otsu's threshold.

    Bright-field in grey, 256 x 320 px, 20 to 80 cells and up to 12 specks of dirt an image; 24 images to learn from
    and 24 of other slides to judge. ``apart``: no overlap, even light; ``overlap``: up to 30 % of a cell covered;
    ``ramp``: the default smears, light uneven by up to 40 %. Intervals are a bootstrap over slides.
    """
    figures: Figures = {}
    for case in _CASES:
        figures |= _case(case, quick=quick)
    return figures


def _case(case: str, *, quick: bool) -> Figures:
    n = 4 if quick else _N_IMAGES
    extra = {"height": 128, "width": 128, "n_cells": (8, 20)} if quick else {}
    settings = CellSettings(n_images=2 * n, n_per_slide=_N_PER_SLIDE, **(_CASES[case] | extra))

    def measure(name: str) -> Any:
        seed = int(name.rsplit("-", 1)[1])
        smears = phantom_pictures(settings, seed, with_lock=not quick)
        ours = detector("dark", seed, quick=quick).fit([picture.image for picture in smears.pictures[:n]])
        own: dict[str, Any] = {"locked": smears.locked, "slides": (smears.slides[n:] + 10_000 * seed).tolist()}
        for method, finder in {"ours": ours, "otsu": Otsu()}.items():
            own[method] = judge(finder, smears.pictures[n:])
            own[f"{method}_dirt"] = _dirt(finder, smears.pictures[n:], smears.debris[n:])
        return own

    seeds = range(_N_PHANTOMS)
    options = sorted(detector("dark", 0, quick=quick).options().items())
    found: Any = by_seed("cytology_phantom", [f"{case}-{seed}" for seed in seeds], measure, (settings, STAGE, options))
    tables = {method: np.concatenate([np.array(own[method]) for own in found]) for method in ("ours", "otsu")}
    slides = np.concatenate([np.array(own["slides"]) for own in found])
    figures: Figures = {}
    for method, table in tables.items():
        figures |= {f"phantom_{key}": value for key, value in scores_of(table, _end(case, method)).items()}
        dirt = np.sum([own[f"{method}_dirt"] for own in found], axis=0)
        figures[f"phantom_debris_share{_end(case, method)}"] = float(dirt[0] / max(dirt[1], 1))
    figures |= interval(f"phantom_f1_{case}", f1, tables["ours"], groups=slides)
    figures |= interval(f"phantom_f1_{case}_less_otsu", f1, tables["ours"], tables["otsu"], groups=slides)
    figures |= interval(
        f"phantom_foreground_ap_{case}_less_otsu", foreground_ap, tables["ours"], tables["otsu"], groups=slides
    )
    return figures | {f"phantom_lock_f1_{case}": float(np.mean([own["locked"] for own in found]))}


def _end(case: str, method: str) -> str:
    return f"_{case}" if method == "ours" else f"_{case}_{method}"


def _dirt(finder: Finder, pictures: list[Picture], debris: list[npt.NDArray[np.bool_]]) -> list[int]:
    """Return how many objects match no cell and lie on dirt for the larger part, and how many objects there are."""
    n_dirt = n_objects = 0
    for picture, dirty in zip(pictures, debris, strict=True):
        labels = find_cells(finder, picture.image, STAGE).instances.labels
        areas = np.bincount(labels.ravel())[1:]
        soiled = np.bincount(labels[dirty], minlength=len(areas) + 1)[1:]
        alone = np.ones(len(areas), dtype=bool)
        alone[match_instances(picture.truth, labels).pairs[:, 1] - 1] = False
        n_dirt += int((alone & (soiled > _DIRT * areas)).sum())
        n_objects += len(areas)
    return [n_dirt, n_objects]
