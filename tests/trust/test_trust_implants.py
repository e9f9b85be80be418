"""The detection limit lies where the power says, and an effect that is never found has none."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from kotowari.core import InputError, ShapeError
from kotowari.trust import detection_limit, run_implants

GRADES = [0.0, 0.2, 0.5, 0.8, 1.2]


def plant(grade, rng):
    return rng.normal(size=(2, 25)) + np.array([[grade], [0.0]]), 0


def z_score(data, truth):
    del truth
    return (data[0].mean() - data[1].mean()) / math.sqrt(2 / 25)


def test_limit_of_a_known_test_is_its_power_curve(tmp_path):
    scores = run_implants(plant, z_score, GRADES, n_repeats=150, random_state=0, shards=tmp_path)
    limit = detection_limit(GRADES, scores > norm.isf(0.05), power=0.8)
    truth = norm.sf(norm.isf(0.05) - np.array(GRADES) / math.sqrt(2 / 25))
    np.testing.assert_allclose(limit.frequency, truth, atol=0.1)
    assert limit.limit == GRADES[int(np.argmax(truth >= 0.8))]
    assert limit.frequency[0] < 0.1
    assert "would have been found (power 0.8" in limit.sentence("these 50 samples", "a shift of {grade} sd")


def test_an_analysis_that_never_finds_has_no_limit(tmp_path):
    scores = run_implants(plant, lambda _data, _truth: False, GRADES, n_repeats=10, random_state=0, shards=tmp_path)
    limit = detection_limit(GRADES, scores > 0.5)
    assert math.isinf(limit.limit)
    assert not limit.reached
    sentence = limit.sentence("these 50 samples", "a shift of {grade} sd")
    assert "no tried effect would have been found" in sentence
    assert "a shift of 1.2 sd was found in 0 % of 10 repeats" in sentence


def test_a_finished_repeat_is_not_run_again_and_workers_do_not_matter(tmp_path):
    calls = []

    def counted(data, truth):
        calls.append(truth)
        return z_score(data, truth)

    first = run_implants(plant, counted, [0.5], n_repeats=4, random_state=0, shards=tmp_path / "a")
    again = run_implants(plant, counted, [0.5], n_repeats=6, random_state=0, shards=tmp_path / "a")
    assert len(calls) == 6
    np.testing.assert_array_equal(first, again[:, :4])
    both = run_implants(plant, z_score, [0.5], n_repeats=6, random_state=0, shards=tmp_path / "b", workers=2)
    np.testing.assert_array_equal(again, both)


def test_a_repeat_differs_between_grades_by_the_effect_alone(tmp_path):
    scores = run_implants(plant, z_score, [0.0, 1.0], n_repeats=5, random_state=1, shards=tmp_path)
    np.testing.assert_allclose(scores[1] - scores[0], 1 / math.sqrt(2 / 25))


def test_one_lucky_repeat_does_not_set_the_limit():
    found = np.zeros((4, 10), dtype=bool)
    found[1, :8], found[2, :5], found[3, :] = True, True, True
    limit = detection_limit([1, 2, 3, 4], found)
    np.testing.assert_allclose(limit.fitted, [0.0, 0.65, 0.65, 1.0])
    assert limit.limit == 4


def test_intervals_agree_with_scipy():
    found = np.arange(20) < np.array([[0], [7], [20]])
    limit = detection_limit([1, 2, 3], found)
    for k, hits in enumerate((0, 7, 20)):
        expected = binomtest(hits, 20).proportion_ci(method="wilson")
        assert limit.low[k] == pytest.approx(expected.low, abs=1e-9)
        assert limit.high[k] == pytest.approx(expected.high, abs=1e-9)


def test_unusable_implants_are_refused(tmp_path):
    with pytest.raises(InputError, match="must be boolean"):
        detection_limit([1.0], [[0.3]])
    with pytest.raises(InputError, match="grades must rise"):
        detection_limit([2.0, 1.0], [[True], [True]])
    with pytest.raises(InputError, match="power must lie between 0 and 1"):
        detection_limit([1.0], [[True]], power=80)
    with pytest.raises(ShapeError, match="found"):
        detection_limit([1.0, 2.0], [[True]])
    with pytest.raises(InputError, match="equal to six digits"):
        run_implants(plant, z_score, [1.0, 1.00000001], n_repeats=2, random_state=0, shards=tmp_path)
