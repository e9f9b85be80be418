"""Finders of cells judged image by image, all by the same instance stage, and what follows from the counts."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from cytology_images import Picture
from harness import Figures
from kotowari.studies.cytology.fitting import Finder, find_cells, packed_scores, unpacked_scores
from kotowari.studies.cytology.model.detector import CellDetector
from kotowari.studies.cytology.model.instances import InstanceOptions
from kotowari.studies.cytology.scores import foreground_average_precision, pooled_scores, score_image
from kotowari.trust.intervals import bootstrap_interval

__all__ = ["STAGE", "Table", "detector", "f1", "foreground_ap", "interval", "judge", "over_seeds", "scores_of"]

Table = npt.NDArray[np.float64]
STAGE = InstanceOptions()  # one instance stage for every method
_TINY: dict[str, Any] = {"n_scenes": 16, "max_epochs": 1, "width": 4, "patch": 64}
_HITS, _TRUE, _FOUND, _AP = 0, 10, 11, -1  # of a row of packed scores
_N_DRAWS = 2000


def detector(polarity: str, seed: int, *, quick: bool, **changed: Any) -> CellDetector:
    """Return the unfitted detector with its defaults; tiny where only the run is looked at."""
    options = (_TINY if quick else {}) | changed
    return CellDetector(polarity="bright" if polarity == "bright" else "dark", random_state=seed, **options)


def judge(finder: Finder, pictures: Sequence[Picture]) -> list[list[float]]:
    """Return one row of scores a picture, as :func:`kotowari.studies.cytology.fitting.packed_scores` lays them out."""
    rows = []
    for picture in pictures:
        found = find_cells(finder, picture.image, STAGE)
        ap = foreground_average_precision(found.foreground, picture.truth)
        rows.append(packed_scores(score_image(picture.truth, found.instances.labels), ap).tolist())
    return rows


def f1(table: Table) -> float:
    """Pooled F1 at an IoU of 0.5; rows of several seeds beside one another (``(image, seed, score)``) are averaged."""
    sums = table.sum(0).reshape(-1, table.shape[-1])
    return float(np.mean(2 * sums[:, _HITS] / (sums[:, _TRUE] + sums[:, _FOUND])))


def foreground_ap(table: Table) -> float:
    """Average precision of the foreground's pixels, mean over the images that have a cell (and over seeds)."""
    return float(np.nanmean(table[..., _AP]))


def interval(key: str, statistic: Callable[..., float], *tables: Table, groups: npt.ArrayLike | None = None) -> Figures:
    """Return a statistic with the ends of its 95 % interval, a bootstrap over images or, with groups, over slides.

    With two tables it is the statistic of the first less that of the second, on the same images.
    """

    def difference(first: Table, second: Table) -> float:
        return statistic(first) - statistic(second)

    asked = statistic if len(tables) == 1 else difference
    found = bootstrap_interval(asked, *tables, groups=groups, n_draws=_N_DRAWS, random_state=0)
    return {key: found.value, f"{key}_low": found.low, f"{key}_high": found.high}


def scores_of(table: Table, suffix: str) -> Figures:
    """Return F1, mean precision over IoU 0.5 to 0.95, Dice, count error and foreground AP under keys with a suffix."""
    pooled = pooled_scores([unpacked_scores(row)[0] for row in table])
    return {
        f"f1{suffix}": pooled["f1"],
        f"precision_50_95{suffix}": pooled["average_precision"],
        f"dice{suffix}": pooled["dice"],
        f"count_error{suffix}": pooled["count_error"],
        f"foreground_ap{suffix}": foreground_ap(table),
    }


def over_seeds(key: str, values: Sequence[float]) -> Figures:
    """Return a mean over seeds and the ends of its 95 % interval by Student's t; none for one seed."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return {key: mean}
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return {key: mean, f"{key}_low": mean - half, f"{key}_high": mean + half}
