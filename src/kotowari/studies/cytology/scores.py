"""How well cells were found: objects, splitting, pixels, counts and outlines, each by itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.cytology.matching import match_overlaps, measure_overlaps
from kotowari.studies.cytology.outlines import matched_hausdorff_95
from kotowari.trust.intervals import Interval, bootstrap_interval

__all__ = [
    "IOU_LEVELS",
    "ImageScores",
    "foreground_average_precision",
    "pooled_f1",
    "pooled_scores",
    "score_image",
    "score_intervals",
]

IOU_LEVELS = tuple(step / 20 for step in range(10, 20))
FloatArray = npt.NDArray[np.float64]
_N_COUNTS = len(IOU_LEVELS)


@dataclass(frozen=True)
class ImageScores:
    """The counts of one image, from which every score of the image and of many images follows.

    Parameters
    ----------
    n_truth, n_found
        Objects.
    tp
        Pairs at each of :data:`IOU_LEVELS`, 0.50, 0.55, ... 0.95.
    matched_iou
        Sum of the intersection over union of the pairs at 0.5.
    shared, true_pixels, found_pixels
        Pixels of cells in both, in the truth, in what was found.
    hausdorff_95
        Mean over the pairs at 0.5 of the 95th percentile distance of their outlines, px; NaN without a pair.
    """

    n_truth: int
    n_found: int
    tp: tuple[int, ...]
    matched_iou: float
    shared: int
    true_pixels: int
    found_pixels: int
    hausdorff_95: float

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN) at an IoU of 0.5; NaN when there is nothing in either image."""
        return _ratio(2 * self.tp[0], self.n_truth + self.n_found)

    @property
    def dice(self) -> float:
        """Dice coefficient of the cell pixels; NaN when there is none in either image."""
        return _ratio(2 * self.shared, self.true_pixels + self.found_pixels)


def score_image(truth: npt.NDArray[np.integer], found: npt.NDArray[np.integer]) -> ImageScores:
    """Count what of one image was found.

    Parameters
    ----------
    truth, found
        Shape ``(height, width)``, labels; 0 is background.

    Raises
    ------
    ShapeError
        When the two images differ in shape.
    InputError
        When a label is negative or no whole number.
    """
    overlaps = measure_overlaps(truth, found)
    half = match_overlaps(overlaps, IOU_LEVELS[0])
    true_mask, found_mask = np.asarray(truth) > 0, np.asarray(found) > 0
    return ImageScores(
        n_truth=overlaps.n_truth,
        n_found=overlaps.n_found,
        tp=(half.tp, *(match_overlaps(overlaps, level).tp for level in IOU_LEVELS[1:])),
        matched_iou=float(half.iou.sum()),
        shared=int((true_mask & found_mask).sum()),
        true_pixels=int(true_mask.sum()),
        found_pixels=int(found_mask.sum()),
        hausdorff_95=matched_hausdorff_95(np.asarray(truth), np.asarray(found), half.pairs),
    )


def pooled_scores(images: Sequence[ImageScores]) -> dict[str, float]:
    r"""Scores of many images.

    ``f1 precision recall`` at an IoU of 0.5, ``average_precision`` (mean over :data:`IOU_LEVELS` of
    :math:`TP/(TP+FP+FN)`, as in the Data Science Bowl; no area under a curve), ``panoptic_quality``
    :math:`\sum IoU/(TP + FP/2 + FN/2)`, ``dice iou`` of the pixels: all from counts summed over the images.
    ``f1_mean dice_mean hausdorff_95_px``: means over the images that define them. ``count_mae count_bias``: absolute
    and signed error of the count an image, ``count_low count_high`` the limits of agreement, bias -/+ 1.96 standard
    deviations, ``count_error`` the sum of absolute errors over the sum of true counts.

    Parameters
    ----------
    images
        One :func:`score_image` an image, 1 or more.

    Returns
    -------
    dict
        NaN where a score is not defined (no object anywhere; one image has no limits of agreement).

    Raises
    ------
    InputError
        When there is no image.

    Source: Caicedo et al. 2019, Nat. Methods 16:1247-1253; Kirillov et al. 2019, CVPR, eq. 1 (panoptic quality);
    Bland and Altman 1986, Lancet 327:307-310.
    """
    table = _table(images)
    return {name: float(statistic(table)) for name, statistic in _STATISTICS.items()}


def pooled_f1(images: Sequence[ImageScores]) -> float:
    """2 TP / (2 TP + FP + FN) at an IoU of 0.5, counts summed over the images; NaN when all are empty."""
    return _f1(_table(images))


def score_intervals(
    images: Sequence[ImageScores],
    slides: npt.ArrayLike | None = None,
    *,
    n_draws: int = 2000,
    level: float = 0.95,
    random_state: int,
) -> dict[str, Interval]:
    """Return :func:`pooled_scores` with intervals from a bootstrap over slides (or subjects).

    Parameters
    ----------
    images
        One :func:`score_image` an image.
    slides
        Shape ``(image,)``: images of one slide or subject are drawn together. None draws single images.
    n_draws, level, random_state
        As in :func:`kotowari.trust.intervals.bootstrap_interval`.

    Raises
    ------
    InputError
        When there are fewer than two slides.
    """
    table = _table(images)
    return {
        name: bootstrap_interval(
            statistic, table, groups=slides, n_draws=n_draws, level=level, random_state=random_state
        )
        for name, statistic in _STATISTICS.items()
    }


def foreground_average_precision(foreground: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    r"""Area under precision over recall of a map's pixels, :math:`\sum_k (R_k - R_{k-1}) P_k`.

    Judges the foreground alone: no threshold, no splitting. Pixels of one value enter together.

    Parameters
    ----------
    foreground
        Shape ``(height, width)``, larger = more cell, finite.
    truth
        The same shape: labels or a mask, above 0 = cell.

    Returns
    -------
    float
        0 to 1; the share of cell pixels for a map that knows nothing; NaN when no pixel is a cell.

    Raises
    ------
    ShapeError
        When the shapes differ.
    InputError
        When the map holds NaN or infinity.
    """
    values, cells = np.asarray(foreground).ravel(), np.asarray(truth).ravel() > 0
    if np.shape(foreground) != np.shape(truth):
        raise ShapeError.mismatch("foreground_average_precision", "truth", np.shape(foreground), np.shape(truth))
    if not np.isfinite(values).all():
        raise InputError("foreground_average_precision: the map holds NaN or infinity.")
    n_cells = int(cells.sum())
    if n_cells == 0:
        return float("nan")
    order = np.argsort(values)[::-1]
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    hits = np.cumsum(cells[order], dtype=np.int64)[ends]
    gained = np.diff(hits, prepend=0) / n_cells
    return float((gained * hits / (ends + 1)).sum())


def _table(images: Sequence[ImageScores]) -> FloatArray:
    """One row an image, so that a bootstrap can draw rows: pairs at each level, then the columns named below."""
    if len(images) == 0:
        raise InputError("pooled_scores: needs one image or more.")
    return np.array(
        [
            [
                *image.tp,
                image.n_truth,
                image.n_found,
                image.matched_iou,
                image.shared,
                image.true_pixels,
                image.found_pixels,
                image.hausdorff_95,
            ]
            for image in images
        ],
        dtype=np.float64,
    )


_TRUTH, _FOUND, _IOU, _SHARED, _TRUE_PIXELS, _FOUND_PIXELS, _OUTLINE = range(_N_COUNTS, _N_COUNTS + 7)


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator) / float(denominator) if denominator > 0 else float("nan")


def _f1(table: FloatArray) -> float:
    sums = table.sum(0)
    return _ratio(2 * sums[0], sums[_TRUTH] + sums[_FOUND])


def _precision(table: FloatArray) -> float:
    return _ratio(table[:, 0].sum(), table[:, _FOUND].sum())


def _recall(table: FloatArray) -> float:
    return _ratio(table[:, 0].sum(), table[:, _TRUTH].sum())


def _average_precision(table: FloatArray) -> float:
    sums = table.sum(0)
    both = sums[_TRUTH] + sums[_FOUND]
    return float(np.mean([_ratio(pairs, both - pairs) for pairs in sums[:_N_COUNTS]]))


def _panoptic_quality(table: FloatArray) -> float:
    sums = table.sum(0)
    return _ratio(2 * sums[_IOU], sums[_TRUTH] + sums[_FOUND])


def _dice(table: FloatArray) -> float:
    sums = table.sum(0)
    return _ratio(2 * sums[_SHARED], sums[_TRUE_PIXELS] + sums[_FOUND_PIXELS])


def _pixel_iou(table: FloatArray) -> float:
    sums = table.sum(0)
    return _ratio(sums[_SHARED], sums[_TRUE_PIXELS] + sums[_FOUND_PIXELS] - sums[_SHARED])


def _mean_ratio(numerator: FloatArray, denominator: FloatArray) -> float:
    defined = denominator > 0
    return _mean(numerator[defined] / denominator[defined])


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _f1_mean(table: FloatArray) -> float:
    return _mean_ratio(2 * table[:, 0], table[:, _TRUTH] + table[:, _FOUND])


def _dice_mean(table: FloatArray) -> float:
    return _mean_ratio(2 * table[:, _SHARED], table[:, _TRUE_PIXELS] + table[:, _FOUND_PIXELS])


def _hausdorff(table: FloatArray) -> float:
    return _mean(table[:, _OUTLINE])


def _surplus(table: FloatArray) -> FloatArray:
    """Found less true objects of every image."""
    difference: FloatArray = table[:, _FOUND] - table[:, _TRUTH]
    return difference


def _count_mae(table: FloatArray) -> float:
    return float(np.abs(_surplus(table)).mean())


def _count_bias(table: FloatArray) -> float:
    return float(_surplus(table).mean())


def _count_limit(table: FloatArray, side: int) -> float:
    surplus = _surplus(table)
    return float(surplus.mean() + side * 1.96 * surplus.std(ddof=1)) if len(surplus) > 1 else float("nan")


def _count_low(table: FloatArray) -> float:
    return _count_limit(table, -1)


def _count_high(table: FloatArray) -> float:
    return _count_limit(table, 1)


def _count_error(table: FloatArray) -> float:
    return _ratio(float(np.abs(_surplus(table)).sum()), table[:, _TRUTH].sum())


_STATISTICS = {
    "f1": _f1,
    "precision": _precision,
    "recall": _recall,
    "average_precision": _average_precision,
    "panoptic_quality": _panoptic_quality,
    "dice": _dice,
    "iou": _pixel_iou,
    "f1_mean": _f1_mean,
    "dice_mean": _dice_mean,
    "hausdorff_95_px": _hausdorff,
    "count_mae": _count_mae,
    "count_bias": _count_bias,
    "count_low": _count_low,
    "count_high": _count_high,
    "count_error": _count_error,
}
