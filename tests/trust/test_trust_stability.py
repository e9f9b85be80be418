"""Stability: 1 for identical selections, 0 for random ones, and an interval that is true."""

import numpy as np
import pytest

from kotowari.core import InputError, ShapeError, Verdict
from kotowari.trust import (
    group_level,
    jaccard_mean,
    pfer_bound,
    selection_frequency,
    selection_stability,
    stability_check,
)


def random_selections(rng, m, d, k):
    return np.argsort(rng.random((m, d)), axis=1) < k


def noisy_selections(rng, m, probability):
    return rng.random((m, len(probability))) < probability


def test_identical_selections_have_index_one():
    selected = np.tile(np.arange(1000) < 20, (25, 1))
    stability = selection_stability(selected)
    assert stability.index == pytest.approx(1.0, abs=1e-12)
    assert stability.low == pytest.approx(1.0, abs=1e-12)
    assert stability.mean_size == pytest.approx(20)


def test_random_selections_have_index_near_zero():
    stability = selection_stability(random_selections(np.random.default_rng(0), 50, 1000, 20))
    assert abs(stability.index) < 0.02
    assert stability.low < 0 < stability.high


def test_jaccard_alone_would_call_large_random_selections_stable():
    selected = random_selections(np.random.default_rng(1), 20, 100, 90)
    assert jaccard_mean(selected) > 0.75
    assert abs(selection_stability(selected).index) < 0.05


def test_index_equals_the_mean_correlation_of_equal_sized_selections():
    selected = noisy_selections(np.random.default_rng(2), 8, np.repeat([0.9, 0.1], [10, 90]))
    selected = np.array([np.isin(np.arange(100), np.argsort(-row, kind="stable")[:12]) for row in selected.astype(int)])
    pairs = np.corrcoef(selected)[np.triu_indices(8, 1)]
    assert selection_stability(selected).index == pytest.approx(pairs.mean(), abs=1e-12)


def test_interval_covers_the_stability_of_the_procedure():
    probability = np.repeat([0.8, 0.05], [20, 180])
    share = probability.mean()
    truth = 1 - (probability * (1 - probability)).mean() / (share * (1 - share))
    rng = np.random.default_rng(3)
    intervals = [selection_stability(noisy_selections(rng, 40, probability)) for _ in range(300)]
    assert 0.9 <= np.mean([s.low <= truth <= s.high for s in intervals]) <= 0.98


def test_selecting_nothing_is_not_applicable():
    check = stability_check(selection_stability(np.zeros((5, 10), dtype=bool)))
    assert check.verdict is Verdict.NOT_APPLICABLE


def test_check_passes_stable_and_fails_random_selections():
    rng = np.random.default_rng(4)
    good = stability_check(selection_stability(noisy_selections(rng, 30, np.repeat([0.95, 0.005], [20, 480]))))
    bad = stability_check(selection_stability(random_selections(rng, 30, 500, 20)))
    assert good.verdict is Verdict.PASS
    assert "good" in good.sentence
    assert bad.verdict is Verdict.FAIL
    assert "poor" in bad.sentence


def test_group_level_forgives_swaps_inside_a_group():
    selected = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
    joined, names = group_level(selected, ["a", "a", "b", "b"])
    np.testing.assert_array_equal(joined, [[True, False], [True, False]])
    assert list(names) == ["a", "b"]
    assert selection_stability(selected).index < 0
    assert selection_stability(joined).index == 1.0


def test_frequency_and_jaccard_by_hand():
    selected = np.array([[1, 1, 0], [1, 0, 0]], dtype=bool)
    np.testing.assert_array_equal(selection_frequency(selected), [1.0, 0.5, 0.0])
    assert jaccard_mean(selected) == 0.5
    assert jaccard_mean(np.zeros((2, 3), dtype=bool)) == 1.0


def test_false_selections_stay_below_the_bound():
    rng, d, half = np.random.default_rng(5), 200, 100
    selected = random_selections(rng, half, d, 20)
    assert (selection_frequency(selected) >= 0.6).sum() <= pfer_bound(20, 0.6, d) == pytest.approx(10)
    with pytest.raises(InputError, match=r"above 0\.5"):
        pfer_bound(20, 0.5, d)


def test_scores_in_place_of_choices_are_refused():
    with pytest.raises(InputError, match="must be boolean"):
        selection_stability(np.random.default_rng(0).random((3, 4)))
    with pytest.raises(ShapeError, match="2 or more selections"):
        selection_stability(np.ones((1, 4), dtype=bool))


def test_groups_must_name_every_feature():
    with pytest.raises(ShapeError, match="groups"):
        group_level(np.ones((2, 4), dtype=bool), ["a", "b"])
