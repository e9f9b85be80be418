"""How far unlabelled images stand in for outlines: F1 over their number, beside a network taught by outlines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cytology_images import POLARITY, Picture, nuclei, pool_and_rest
from cytology_judged import STAGE, Table, detector, f1, foreground_ap, interval, judge
from harness import Figures
from kotowari.studies.cytology.baselines.background import Otsu
from kotowari.studies.cytology.baselines.supervised import SupervisedUNet
from seeds import by_seed

__all__ = ["curves"]

_IMAGES = {"fluorescence": (5, 10, 20)}
_MASKS = {"fluorescence": (1,)}
_N_SEEDS = 3


def curves(quick: bool) -> Figures:
    """Measure ``f1_gain_20_images`` and the curve around it.

    Fluorescent nuclei, all judged on 43 images at odd places that nothing learns from. A seed draws an order
    of the other images; it learns from the first ones, and the network with outlines has those of the same first ones.
    F1 is pooled over the images and averaged over seeds; its interval is a bootstrap over images, and ``_lowest`` and
    ``_highest`` are extremes of the seeds.
    """
    figures: Figures = {"curve_seeds": 1 if quick else _N_SEEDS}
    for kind in _IMAGES:
        pool, rest = pool_and_rest(nuclei(kind, quick=quick), kind)
        otsu = np.array(judge(Otsu(), rest))
        ours = {n: _point(kind, "images", n, pool, rest, quick=quick) for n in _sizes(_IMAGES[kind], pool, quick=quick)}
        taught = {n: _point(kind, "masks", n, pool, rest, quick=quick) for n in _sizes(_MASKS[kind], pool, quick=quick)}
        figures |= interval(f"f1_{kind}_curve_otsu", f1, otsu) | {f"curve_{kind}_judged": len(rest)}
        figures[f"foreground_ap_{kind}_curve_otsu"] = foreground_ap(otsu)
        for word, points in (("images", ours), ("masks", taught)):
            for n, table in points.items():
                figures |= _figures_of(f"{kind}_{n}_{word}", table, otsu)
        figures |= _crossings(kind, {n: f1(table) for n, table in ours.items()}, taught)
        if kind == "fluorescence":
            n = max(size for size in ours if size <= 20)
            figures |= _renamed(figures, f"f1_gain_{kind}_{n}_images", "f1_gain_20_images")
    return figures


def _sizes(sizes: Sequence[int], pool: Sequence[Picture], *, quick: bool) -> list[int]:
    return [min(len(pool), 3)] if quick else [size for size in sizes if size <= len(pool)]


def _point(kind: str, word: str, size: int, pool: list[Picture], rest: list[Picture], *, quick: bool) -> Table:
    """Return scores ``(image, seed, score)`` of the images kept aside."""

    def measure(name: str) -> Any:
        seed = int(name.rsplit("-", 1)[1])
        first = [pool[place] for place in np.random.default_rng(seed).permutation(len(pool))[:size]]
        if word == "images":
            finder: Any = detector(POLARITY[kind], seed, quick=quick)
        else:
            options = {"n_crops": 8, "max_epochs": 1} if quick else {}
            finder = SupervisedUNet([picture.truth for picture in first], random_state=seed, **options)
        return {"rows": judge(finder.fit([picture.image for picture in first]), rest)}

    own = sorted(detector(POLARITY[kind], 0, quick=quick).options().items()) if word == "images" else word
    names = [f"{kind}-{size}-{word}-{seed}" for seed in range(1 if quick else _N_SEEDS)]
    found = by_seed("cytology_curve", names, measure, (len(pool), len(rest), STAGE, own))
    return np.stack([np.array(part["rows"]) for part in found], axis=1)


def _figures_of(name: str, table: Table, otsu: Table) -> Figures:
    """F1 of one point, its gain over Otsu's threshold on the same images, and the foreground's average precision."""
    each = [f1(table[:, seed]) for seed in range(table.shape[1])]
    gains = [value - f1(otsu) for value in each]
    figures = interval(f"f1_{name}", f1, table) | interval(f"f1_gain_{name}", f1, table, otsu)
    figures |= {f"f1_{name}_lowest": min(each), f"f1_{name}_highest": max(each)}
    figures |= {f"f1_gain_{name}_lowest": min(gains), f"f1_gain_{name}_highest": max(gains)}
    return (
        figures
        | interval(f"foreground_ap_gain_{name}", foreground_ap, table, otsu)
        | {f"foreground_ap_{name}": foreground_ap(table)}
    )


def _crossings(kind: str, ours: Mapping[int, float], taught: Mapping[int, Table]) -> Figures:
    """Fewest unlabelled images that reach what so many outlined ones teach; None where none of the sizes does."""
    figures: Figures = {}
    for n_masks, table in taught.items():
        reached = [size for size, value in ours.items() if value >= f1(table)]
        figures[f"images_that_reach_{n_masks}_masks_{kind}"] = min(reached, default=None)
    return figures


def _renamed(figures: Figures, old: str, new: str) -> Figures:
    ends = ("", "_low", "_high", "_lowest", "_highest")
    return {f"{new}{end}": figures[f"{old}{end}"] for end in ends}
