"""The published recipe for finding cells, a low-rank and sparse loss, reproduced, and beside it its smoother faces."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from cytology_images import Picture, halves, nuclei
from cytology_judged import STAGE, f1, foreground_ap, interval, judge, over_seeds
from cytology_phantom import phantom_pictures
from harness import Figures
from kotowari.priors.losses import Face
from kotowari.studies.cytology.baselines.background import Otsu
from kotowari.studies.cytology.model.detector import CellDetector
from kotowari.studies.cytology.phantom_settings import CellSettings
from seeds import by_seed

__all__ = ["recipe_on_nuclei", "recipe_on_phantoms"]

_FACES: dict[str, Face] = {"none": "none", "eps": "eps", "moreau": "moreau", "target": "target"}
_METHODS = (*_FACES, "otsu")
_SMEARS: dict[str, Any] = {"height": 64, "width": 64, "n_cells": (3, 9), "radius": (4.5, 8.0)}
_PHANTOM: dict[str, Any] = {"max_epochs": 100, "width": 8}
_N_IMAGES = 32  # to learn from, in one batch as published; as many to judge
_N_SEEDS = 5
_N_NUCLEI = 16
_SCORES = ("f1", "foreground_ap", "loss_first", "loss_last", "ratio", "share")


def recipe_on_phantoms(quick: bool) -> Figures:
    """Measure ``recipe_f1``: the published recipe on simulated smears by each face, five seeds.

    Every seed draws 32 smears to learn from, in one batch an epoch, and 32 of other slides to judge. ``loss`` is what
    the face shows in training; ``ratio`` the published loss over its convex optimum on the images learned from,
    whatever the face. Intervals are Student's t over seeds; differences are paired with the published face.
    """
    n, options = (4 if quick else _N_IMAGES), ({"max_epochs": 2, "width": 4} if quick else _PHANTOM)

    def measure(name: str) -> Any:
        method, seed = name.split("-")[0], int(name.split("-")[1])
        settings = CellSettings(n_images=2 * n, n_per_slide=n, **_SMEARS)
        pictures = phantom_pictures(settings, seed).pictures
        finder: Any = Otsu()
        if method in _FACES:
            finder = CellDetector("published", face=_FACES[method], patch=64, random_state=seed, **options)
        rows = np.array(judge(finder.fit([picture.image for picture in pictures[:n]]), pictures[n:]))
        return {"f1": f1(rows), "foreground_ap": foreground_ap(rows)} | _course(finder)

    seeds = range(2 if quick else _N_SEEDS)
    names = [f"{method}-{seed}" for method, seed in itertools.product(_METHODS, seeds)]
    rows = by_seed("cytology_faces", names, measure, (n, STAGE, sorted(options.items()), sorted(_SMEARS.items())))
    found = {method: rows[k * len(seeds) : (k + 1) * len(seeds)] for k, method in enumerate(_METHODS)}
    figures: Figures = {"recipe_seeds": len(seeds)}
    for method, own in found.items():
        word = "" if method == "none" else f"_{method}"
        for score in own[0]:
            figures |= over_seeds(f"recipe_{score}{word}", [row[score] for row in own])
            if method != "none" and not score.startswith("loss"):
                gains = [row[score] - raw[score] for row, raw in zip(own, found["none"], strict=True)]
                figures |= over_seeds(f"recipe_{score}{word}_less_none", gains)
    return figures


def recipe_on_nuclei(quick: bool) -> Figures:
    """Measure ``recipe_f1_nuclei``: the published recipe on fluorescent nuclei, learned from 16 of one half.

    Whole images are cut into patches of 128 px, batches of 32, 30 epochs; judged on the other half, beside Otsu's
    threshold on the same images.
    """
    seen, rest = halves(nuclei("fluorescence", quick=quick))
    first = seen[:: max(1, len(seen) // _N_NUCLEI)][:_N_NUCLEI]
    options: dict[str, Any] = {"max_epochs": 1, "width": 4, "patch": 64} if quick else {}

    def measure(_name: str) -> Any:
        finder = CellDetector("published", **options).fit([picture.image for picture in first])
        return {"rows": judge(finder, rest)} | _course(finder)

    (found,) = by_seed("cytology_recipe", ["fluorescence"], measure, (len(first), STAGE, sorted(options.items())))
    return _on_nuclei(found, rest)


def _on_nuclei(found: Mapping[str, Any], rest: list[Picture]) -> Figures:
    ours, otsu = np.array(found["rows"]), np.array(judge(Otsu(), rest))
    figures = interval("recipe_f1_nuclei", f1, ours) | interval("recipe_f1_nuclei_less_otsu", f1, ours, otsu)
    figures |= {"recipe_foreground_ap_nuclei": foreground_ap(ours), "recipe_f1_nuclei_otsu": f1(otsu)}
    figures["recipe_foreground_ap_nuclei_otsu"] = foreground_ap(otsu)
    return figures | {f"recipe_{score}_nuclei": found[score] for score in _SCORES[2:]}


def _course(finder: Any) -> dict[str, float]:
    """Return how a training by a loss went; nothing for what has none."""
    if not isinstance(finder, CellDetector) or finder.recipe != "published":
        return {}
    history = finder.history_
    return {
        "loss_first": history.train_loss[0],
        "loss_last": history.train_loss[-1],
        "ratio": history.ratio,
        "share": history.share,
    }
