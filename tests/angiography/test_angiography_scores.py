"""Scores of vessel maps, and the thresholds that make masks of them."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, recall_score, roc_auc_score

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.contrast import contrast_scores
from kotowari.studies.angiography.ranking import ranking_scores
from kotowari.studies.angiography.scores import (
    arrival_error,
    false_positive_share,
    mean_over_runs,
    score_map,
    score_run,
)
from kotowari.studies.angiography.threshold import best_dice_threshold, run_threshold
from kotowari.studies.angiography.topology import centreline_distance, cl_dice, skeleton

_WHOLE = np.ones((40, 60), np.bool_)


def _line(row=20):
    truth = np.zeros((40, 60), np.bool_)
    truth[row - 2 : row + 3, 5:55] = True
    return truth


def _noisy(rng, truth):
    return (truth + rng.normal(0, 0.7, truth.shape)).round(1).astype(np.float32)


def test_scores_are_those_of_scikit_learn_inside_the_field(rng):
    truth, field = _line(), _WHOLE.copy()
    field[:, :15] = False
    noisy = _noisy(rng, truth)  # rounded, so that many values are tied
    scores = score_map(noisy, truth, field, 0.6)
    inside, values = truth[field], noisy[field]
    assert scores.auc == pytest.approx(roc_auc_score(inside, values), abs=1e-12)
    assert scores.average_precision == pytest.approx(average_precision_score(inside, values), abs=1e-12)
    assert scores.dice == pytest.approx(f1_score(inside, values > 0.6), abs=1e-12)
    assert scores.sensitivity == pytest.approx(recall_score(inside, values > 0.6), abs=1e-12)
    assert scores.specificity == pytest.approx(recall_score(~inside, values <= 0.6), abs=1e-12)
    assert scores.specificity + scores.false_positive_share == pytest.approx(1, abs=1e-12)
    assert scores.prevalence == pytest.approx(inside.mean(), abs=1e-12)


def test_what_lies_outside_of_the_field_does_not_count(rng):
    truth, field, noisy = _line(), _WHOLE.copy(), _noisy(rng, _line())
    field[:, :15] = False
    lit = np.where(field, noisy, np.nan)
    assert score_map(lit, truth, field, 0.6) == score_map(noisy, truth, field, 0.6)
    with pytest.raises(InputError, match="finite"):
        score_map(lit, truth, _WHOLE, 0.6)


def test_map_that_knows_nothing_ranks_by_chance():
    assert ranking_scores(np.zeros(10), np.zeros(90)) == (0.5, 0.1)


def test_right_lines_of_wrong_width_have_full_cl_dice_and_lower_dice():
    truth, thin = _line(), np.zeros((40, 60), np.bool_)
    thin[20, 5:55] = True
    scores = score_map(thin.astype(np.float32), truth, _WHOLE, 0.5)
    assert scores.cl_dice > 0.97  # the skeleton of a bar bends into its corners
    assert scores.dice < 0.4
    shifted = score_map(_line(28).astype(np.float32), truth, _WHOLE, 0.5)
    assert shifted.cl_dice == 0


def test_centreline_distance_is_the_shift_of_a_line():
    lines, other = np.zeros((40, 60), np.bool_), np.zeros((40, 60), np.bool_)
    lines[10], other[17] = True, True
    assert centreline_distance(lines, other) == pytest.approx(7)
    assert centreline_distance(lines, lines) == 0


def test_distance_counts_both_what_is_missing_and_what_is_too_much():
    half = _line()
    half[:, 30:] = False
    missing = centreline_distance(skeleton(half), skeleton(_line()))
    too_much = centreline_distance(skeleton(_line()), skeleton(half))
    assert missing == pytest.approx(too_much)
    assert missing > 3


def test_separation_is_that_of_two_normal_populations(rng):
    truth = rng.random((400, 400)) < 0.3
    values = rng.normal(0, 2, truth.shape) + 3 * truth
    separation, noise, _ring = contrast_scores(values, truth, np.ones_like(truth))
    assert separation == pytest.approx(1.5, abs=0.03)
    assert noise == pytest.approx(1.5, abs=0.03)
    assert contrast_scores(-values, truth, np.ones_like(truth))[0] == pytest.approx(-separation)


def test_threshold_inflates_contrast_to_noise_but_not_the_area(rng):
    truth = _line()
    noisy = truth + rng.normal(0, 0.6, truth.shape)
    clipped = np.maximum(noisy - 1.2, 0)
    raw, cut = score_map(noisy, truth, _WHOLE, 0.5), score_map(clipped, truth, _WHOLE, 0.5)
    assert cut.contrast_to_noise > 1.5 * raw.contrast_to_noise
    assert cut.auc < raw.auc


def test_ring_sees_only_the_neighbourhood():
    truth = _line()
    values = truth.astype(np.float64)
    values[:8] = 5  # a bright bone far away
    values += 0.01 * (np.indices(truth.shape).sum(0) % 2)
    _, everywhere, ring = contrast_scores(values, truth, _WHOLE)
    assert ring > 50 * everywhere


def test_degenerate_truths_follow_the_rule(rng):
    values = rng.random((40, 60))
    none = score_map(values, ~_WHOLE, _WHOLE, 0.75)
    assert np.isnan([none.auc, none.average_precision, none.dice, none.sensitivity, none.cl_dice]).all()
    assert none.specificity == pytest.approx(0.75, abs=0.05)
    every = score_map(values, _WHOLE, _WHOLE, 0.75)
    assert np.isnan([every.auc, every.specificity, every.d_prime, every.contrast_to_noise]).all()
    assert every.sensitivity == pytest.approx(0.25, abs=0.05)
    blank = score_map(np.zeros((40, 60)), _line(), _WHOLE, 0)
    assert (blank.dice, blank.cl_dice, blank.sensitivity, blank.specificity) == (0, 0, 0, 1)
    assert blank.centreline_px == pytest.approx(np.hypot(40, 60))
    assert np.isnan(cl_dice(_WHOLE, ~_WHOLE, _WHOLE, ~_WHOLE))


def test_run_has_one_row_a_frame_and_takes_given_masks(rng):
    truth = np.stack([_line(), ~_WHOLE])
    maps = np.stack([_noisy(rng, t) for t in truth])
    table = score_run(maps, truth, _WHOLE, 0.5)
    assert list(table["frame"]) == [0, 1]
    assert np.isnan(table["auc"][1])
    assert score_run(maps, truth, _WHOLE, 0.5, found=truth)["dice"][0] == 1
    with pytest.raises(ShapeError):
        score_run(maps, truth[:1], _WHOLE, 0.5)


def test_false_positives_are_counted_inside_the_field_only():
    found = np.zeros((2, 4, 4), np.bool_)
    found[1, 0] = True
    field = np.ones((4, 4), np.bool_)
    field[3] = False
    np.testing.assert_allclose(false_positive_share(found, field), [0, 4 / 12])


def test_arrival_error_tells_lateness_and_what_got_no_time():
    truth = np.array([[1.0, 2.0, 3.0, np.nan]])
    found = np.array([[1.1, 2.1, np.nan, 0.0]])
    error = arrival_error(found, truth, np.ones((1, 4), np.bool_))
    assert error == pytest.approx({"median_s": 0.1, "bias_s": 0.1, "timed": 2 / 3})
    assert arrival_error(found * np.nan, truth, np.ones((1, 4), np.bool_))["timed"] == 0


def test_mean_over_runs_weighs_runs_not_frames():
    scores = np.array([1.0, 1.0, 1.0, 0.0, np.nan])
    interval = mean_over_runs(scores, ["a", "a", "a", "b", "b"], random_state=0)
    assert interval.value == 0.5
    assert interval.low <= 0.5 <= interval.high
    one = mean_over_runs(scores, ["a", "a", "a", "b", "b"], ["p"] * 5, random_state=0)
    assert (one.value, one.n_draws) == (0.5, 0)
    assert np.isnan(one.low)


def test_best_threshold_is_that_of_an_exhaustive_search(rng):
    truths = [_line(15), _line(25)]
    maps = [_noisy(rng, truth) for truth in truths]
    cut, dice = best_dice_threshold(maps, truths, [_WHOLE, _WHOLE])
    every = np.arange(-1, 3, 0.05)
    best = max(
        np.mean([f1_score(t.ravel(), (m > c).ravel()) for m, t in zip(maps, truths, strict=True)]) for c in every
    )
    assert dice == pytest.approx(best, abs=1e-9)
    told = np.mean([score_map(m, t, _WHOLE, cut).dice for m, t in zip(maps, truths, strict=True)])
    assert told == pytest.approx(dice, abs=1e-9)
    with pytest.raises(InputError, match="no picture holds a vessel"):
        best_dice_threshold(maps, [~_WHOLE, ~_WHOLE], [_WHOLE, _WHOLE])


def test_run_threshold_lets_normal_noise_pass_as_rarely_as_three_sd(rng):
    maps = rng.normal(5, 2, (6, 40, 60))
    maps[3:] += 3
    before = np.arange(6) < 3
    threshold = run_threshold(maps, _WHOLE, before)
    assert threshold.low == threshold.high == pytest.approx(11, abs=0.2)
    assert "3 frames before contrast" in threshold.rule
    assert threshold.mask(maps, _WHOLE)[before].mean() < 0.004


def test_without_frames_before_contrast_hysteresis_joins_weak_to_strong_only():
    maps = np.zeros((1, 40, 60))
    maps[0, 10, :] = 0.9  # weak, and strong at one end
    maps[0, 10, :30] = 1.0
    maps[0, 30, :50] = 0.9  # weak all along
    maps[0, 20:22, :] = 2.0
    threshold = run_threshold(maps, _WHOLE)
    assert "90th and 95th percentile" in threshold.rule
    joined = type(threshold)(0.5, 0.95, "by hand").mask(maps, _WHOLE)
    assert joined[0, 10].all()
    assert not joined[0, 30].any()
    assert not type(threshold)(0.95, 0.95, "by hand").mask(maps, _WHOLE)[0, 10, 30:].any()
