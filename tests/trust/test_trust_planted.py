"""Planted truth: a perfect score finds it, a shuffled truth is at chance."""

import numpy as np
import pytest

from kotowari.core import InputError, ShapeError
from kotowari.trust import planted_scores

TRUTH = np.arange(2000) < 200


def test_a_perfect_score_is_perfect():
    found = planted_scores(TRUTH + 0.0, TRUTH)
    assert found == {"average_precision": 1.0, "prevalence": 0.1, "auroc": 1.0, "precision_at_k": 1.0, "k": 200.0}


def test_a_shuffled_truth_is_at_chance():
    rng = np.random.default_rng(0)
    score = TRUTH + rng.normal(size=2000)
    runs = [planted_scores(score, rng.permutation(TRUTH)) for _ in range(20)]
    assert np.mean([run["average_precision"] for run in runs]) == pytest.approx(0.1, rel=0.2)
    assert np.mean([run["auroc"] for run in runs]) == pytest.approx(0.5, abs=0.03)
    assert planted_scores(score, TRUTH)["average_precision"] > 0.2


def test_a_constant_score_is_at_chance():
    found = planted_scores(np.zeros((40, 50)), TRUTH.reshape(40, 50), k=10)
    assert found["average_precision"] == pytest.approx(0.1)
    assert found["auroc"] == 0.5
    assert found["precision_at_k"] == pytest.approx(0.1)


@pytest.mark.parametrize("truth", [np.zeros(5, dtype=bool), np.ones(5, dtype=bool)])
def test_a_truth_of_one_kind_is_refused(truth):
    with pytest.raises(InputError, match="both planted and other parts"):
        planted_scores(np.arange(5.0), truth)


def test_unusable_scores_are_refused():
    with pytest.raises(InputError, match="1 scores are not finite"):
        planted_scores([1.0, np.nan], [True, False])
    with pytest.raises(ShapeError, match="truth"):
        planted_scores([1.0, 2.0], [True, False, True])
    with pytest.raises(InputError, match="k must lie between"):
        planted_scores([1.0, 2.0], [True, False], k=3)
