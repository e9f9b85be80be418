"""Nuclei found without labels, cross-fitted in two halves, beside what a user would take instead."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from cytology_images import KINDS, POLARITY, Picture, halves, nuclei
from cytology_judged import STAGE, Table, detector, f1, foreground_ap, interval, judge, scores_of
from harness import Figures
from kotowari.studies.cytology.baselines.background import LargeMedian, LocalThreshold, Otsu, otsu_cut
from kotowari.studies.cytology.baselines.low_rank import LowRankBackground
from kotowari.studies.cytology.fitting import Finder
from kotowari.studies.cytology.matching import match_instances
from kotowari.studies.cytology.model.detector import CellDetector
from seeds import by_seed

__all__ = ["found_nuclei"]

_OTHERS: dict[str, Callable[[], Finder]] = {
    "otsu": Otsu,
    "otsu_07": lambda: Otsu(0.7),
    "local_threshold": LocalThreshold,
    "large_median": LargeMedian,
    "robust_pca": LowRankBackground,
}
_METHODS = ("ours", "untrained", *_OTHERS)
# constants of the plain chain: smoothing of the image, px; share of Otsu's threshold; px between two seeds
_GRID = tuple(itertools.product((1.0, 2.0), (0.7, 0.85, 1.0), (4, 7, 10)))
_ROUGH = 2  # px that an opening takes off


def found_nuclei(quick: bool) -> Figures:
    """Measure ``f1_fluorescence``, ``f1_stained`` and ``foreground_ap`` beside all comparators.

    A detector learns from one half of a kind and judges the other one, and the other way round; halves are by place in
    the index. Every method goes through the same instance stage with the same options, but for the plain chain, whose
    constants are the best ones on these very images. The same figures on the images at odd places alone, which no
    development has seen, end in ``_odd``.
    """
    figures: Figures = {}
    tables: dict[str, list[Table]] = {method: [] for method in _METHODS}
    odd: list[npt.NDArray[np.bool_]] = []
    for kind in KINDS:
        pictures = nuclei(kind, quick=quick)
        odd.append(np.array([picture.is_odd for picture in pictures]))
        for method in _METHODS:
            tables[method].append(_cross_fitted(kind, method, pictures, quick=quick))
        own = {method: found[-1] for method, found in tables.items()}
        figures |= _figures_of(kind, own, "") | _figures_of(kind, _rows(own, odd[-1]), "_odd")
        figures |= _plain_chain(kind, pictures, quick=quick)
    whole = {method: np.concatenate(found) for method, found in tables.items()}
    figures |= _foreground(whole, "") | _foreground(_rows(whole, np.concatenate(odd)), "_odd")
    return figures | {"nuclei_images": len(whole["ours"]), "nuclei_detector": _told(detector("bright", 0, quick=quick))}


def _rows(tables: dict[str, Table], which: npt.NDArray[np.bool_]) -> dict[str, Table]:
    return {method: table[which] for method, table in tables.items()}


def _figures_of(kind: str, tables: dict[str, Table], end: str) -> Figures:
    figures: Figures = {}
    for method, table in tables.items():
        figures |= scores_of(table, f"_{kind}{'' if method == 'ours' else f'_{method}'}{end}")
    figures |= interval(f"f1_{kind}{end}", f1, tables["ours"])
    for method in tables:
        if method != "ours":
            figures |= interval(f"f1_{kind}_less_{method}{end}", f1, tables["ours"], tables[method])
    return figures | interval(f"foreground_ap_{kind}_less_otsu{end}", foreground_ap, tables["ours"], tables["otsu"])


def _foreground(tables: dict[str, Table], end: str) -> Figures:
    figures = interval(f"foreground_ap{end}", foreground_ap, tables["ours"])
    for method, table in tables.items():
        if method != "ours":
            figures |= {f"foreground_ap_{method}{end}": foreground_ap(table)}
    return figures | interval(f"foreground_ap_less_otsu{end}", foreground_ap, tables["ours"], tables["otsu"])


def _cross_fitted(kind: str, method: str, pictures: list[Picture], *, quick: bool) -> Table:
    """Return the scores of all pictures, in their order, each by a finder that did not learn from it."""
    parts = halves(pictures)

    def measure(name: str) -> Any:
        seen = int(name[-1])
        finder = _finder(kind, method, seen, quick=quick).fit([picture.image for picture in parts[seen]])
        return {"rows": judge(finder, parts[1 - seen])}

    settings = (len(pictures), STAGE, sorted(_options(kind, method, quick=quick).items()))
    found = by_seed("cytology_nuclei", [f"{kind}-{method}-{seen}" for seen in (0, 1)], measure, settings)
    by_row = {
        picture.row: scores
        for seen, part in enumerate(found)
        for picture, scores in zip(parts[1 - seen], part["rows"], strict=True)
    }
    return np.array([by_row[picture.row] for picture in pictures])


def _finder(kind: str, method: str, seed: int, *, quick: bool) -> Any:
    if method in _OTHERS:
        return _OTHERS[method]()
    changed = {"max_epochs": 0} if method == "untrained" else {}
    return detector(POLARITY[kind], seed, quick=quick, **changed)


def _options(kind: str, method: str, *, quick: bool) -> dict[str, Any]:
    finder = _finder(kind, method, 0, quick=quick)
    return finder.options() if isinstance(finder, CellDetector) else {"method": method}


def _told(finder: CellDetector) -> str:
    shown = ("recipe", "n_scenes", "max_epochs", "width", "patch", "contrast_share", "learning_rate")
    return ", ".join(f"{name}={finder.options()[name]}" for name in shown)


def _plain_chain(kind: str, pictures: list[Picture], *, quick: bool) -> Figures:
    """Otsu's threshold and a distance watershed with the best constants of a grid, chosen on these very images."""
    grid = _GRID[:1] if quick else _GRID

    def measure(_kind: str) -> Any:
        counts = np.zeros((len(grid), 2))
        for picture in pictures:
            signal = picture.image.mean(-1) if POLARITY[kind] == "bright" else 1 - picture.image.mean(-1)
            for place, constants in enumerate(grid):
                match = match_instances(picture.truth, _watershed(signal, *constants))
                counts[place] += match.tp, match.tp + (match.fp + match.fn) / 2
        return {"f1": (counts[:, 0] / counts[:, 1]).tolist()}

    (found,) = by_seed("cytology_plain", [kind], measure, (len(pictures), grid))
    values: Any = found["f1"]
    best = int(np.argmax(values))
    smoothing, share, distance = grid[best]
    words = f"smoothing {smoothing:g} px, {share:g} of Otsu's threshold, {distance} px between seeds"
    return {f"f1_{kind}_plain": values[best], f"f1_{kind}_plain_lowest": min(values), f"plain_{kind}": words}


def _watershed(signal: npt.NDArray[np.float32], smoothing: float, share: float, distance: int) -> Any:
    smooth = ndimage.gaussian_filter(signal, smoothing)
    inside = ndimage.binary_fill_holes(smooth > otsu_cut(smooth, share))
    inside = ndimage.binary_opening(inside, iterations=_ROUGH)
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), smoothing)
    peaks = peak_local_max(depth, min_distance=distance, labels=ndimage.label(inside)[0], exclude_border=False)
    seeds = np.zeros(inside.shape, dtype=np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-depth, seeds, mask=inside)
