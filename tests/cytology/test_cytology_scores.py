"""Scores with answers known in closed form."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.cytology.outlines import hausdorff_95
from kotowari.studies.cytology.scores import (
    IOU_LEVELS,
    foreground_average_precision,
    pooled_f1,
    pooled_scores,
    score_image,
    score_intervals,
)


def grid(n, side=6, pitch=10):
    image = np.zeros((n * pitch, n * pitch), dtype=np.int32)
    for k in range(n * n):
        top, left = k // n * pitch + 2, k % n * pitch + 2
        image[top : top + side, left : left + side] = k + 1
    return image


def test_perfect_labels_score_one_everywhere():
    scores = pooled_scores([score_image(grid(3), grid(3))] * 2)
    for name in ("f1", "precision", "recall", "average_precision", "panoptic_quality", "dice", "iou", "f1_mean"):
        assert scores[name] == 1.0
    for name in ("count_mae", "count_bias", "hausdorff_95_px"):
        assert scores[name] == 0.0


def test_pooled_f1_weighs_objects_and_mean_f1_weighs_images():
    empty = np.zeros((20, 20), dtype=np.int32)
    one = empty.copy()
    one[3:9, 3:9] = 1
    images = [score_image(grid(3), grid(3)), score_image(one, empty)]
    scores = pooled_scores(images)
    assert scores["f1"] == pooled_f1(images) == pytest.approx(18 / 19)
    assert scores["f1_mean"] == pytest.approx(0.5)


def test_panoptic_quality_and_precision_follow_their_formulas():
    truth = grid(2)
    found = truth.copy()
    found[found == 4] = 0
    found[2, 2:8] = 0  # one row of the first object of 36 pixels: IoU 30/36
    scores = pooled_scores([score_image(truth, found)])
    assert scores["panoptic_quality"] == pytest.approx((2 + 30 / 36) / (3 + 0.5))
    n_levels = sum(level <= 30 / 36 for level in IOU_LEVELS)
    assert scores["average_precision"] == pytest.approx((n_levels * 3 / 4 + (10 - n_levels) * 2 / 5) / 10)
    assert scores["count_bias"] == -1.0


def test_limits_of_agreement_are_those_of_the_counts():
    truth = grid(2)
    images = []
    for n_lost in (0, 1, 2):
        found = truth.copy()
        found[found > 4 - n_lost] = 0
        images.append(score_image(truth, found))
    scores = pooled_scores(images)
    assert scores["count_mae"] == 1.0
    assert (scores["count_low"], scores["count_high"]) == pytest.approx((-1 - 1.96, -1 + 1.96))
    assert scores["count_error"] == pytest.approx(3 / 12)
    assert math.isnan(pooled_scores(images[:1])["count_low"])


def test_images_without_any_cell_are_undefined_and_not_perfect():
    empty = np.zeros((5, 5), dtype=np.int32)
    image = score_image(empty, empty)
    assert math.isnan(image.f1)
    assert math.isnan(image.dice)
    assert math.isnan(pooled_f1([image]))


def test_foreground_average_precision_is_scikit_learns_with_ties(rng):
    truth = rng.random((40, 50)) < 0.3
    for values in (truth + rng.normal(size=truth.shape), np.round(truth + rng.normal(size=truth.shape))):
        expected = average_precision_score(truth.ravel(), values.ravel())
        assert foreground_average_precision(values, truth) == pytest.approx(expected, abs=1e-12)


def test_a_constant_map_has_the_precision_of_chance(rng):
    truth = rng.random((40, 50)) < 0.3
    assert foreground_average_precision(np.zeros(truth.shape), truth) == pytest.approx(truth.mean())
    assert math.isnan(foreground_average_precision(np.zeros((3, 3)), np.zeros((3, 3))))


def test_hausdorff_of_shifted_squares_is_the_shift():
    first, second = np.zeros((40, 40)), np.zeros((40, 40))
    first[5:25, 5:25], second[5:25, 8:28] = 1, 1
    assert hausdorff_95(first, second) == pytest.approx(3.0)
    assert hausdorff_95(first, first) == 0.0
    assert math.isnan(hausdorff_95(first, np.zeros((40, 40))))


def test_one_far_speck_moves_the_maximum_but_not_the_95th_percentile():
    first, second = np.zeros((60, 60)), np.zeros((60, 60))
    first[5:35, 5:35] = second[5:35, 5:35] = 1
    second[59, 59] = 1
    assert hausdorff_95(first, second) == 0.0


def test_intervals_draw_slides_and_hold_the_value():
    good, bad = score_image(grid(3), grid(3)), score_image(grid(3), np.roll(grid(3), 4, axis=0))
    images = [good, good, bad, bad] * 4
    slides = np.repeat(np.arange(8), 2)
    interval = score_intervals(images, slides, n_draws=200, random_state=0)["f1"]
    assert interval.value == pytest.approx(0.5)
    assert interval.low < 0.5 < interval.high
    loose = score_intervals(images, None, n_draws=200, random_state=0)["f1"]
    assert loose.high - loose.low < interval.high - interval.low


def test_bad_input_is_refused_in_words():
    with pytest.raises(InputError, match="one image"):
        pooled_scores([])
    with pytest.raises(ShapeError, match="truth"):
        foreground_average_precision(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(InputError, match="NaN"):
        foreground_average_precision(np.full((2, 2), np.nan), np.ones((2, 2)))
    with pytest.raises(ShapeError, match="found"):
        hausdorff_95(np.zeros((2, 2)), np.zeros((2, 3)))
