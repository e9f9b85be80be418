"""Taking away what matters moves the score; a shuffled order does not move it more than chance."""

import numpy as np
import pytest

from kotowari.core import InputError, ShapeError, Verdict
from kotowari.trust import deletion_insertion, faithfulness_check

RNG = np.random.default_rng(0)
WEIGHTS = np.where(np.arange(60) < 6, 2.0, 0.02)
X = RNG.normal(1.0, 1.0, size=(40, 60))
REFERENCE = np.zeros(60)


def predict(rows):
    return rows @ WEIGHTS


def test_curves_of_a_linear_model_are_its_closed_form():
    result = deletion_insertion(predict, X, WEIGHTS, reference=REFERENCE, random_state=0)
    part, whole = X.mean(0) * WEIGHTS, predict(X).mean()
    np.testing.assert_allclose(result.deletion[[0, 1, 10]], [whole, whole - part[:6].sum(), 0.0], atol=1e-12)
    np.testing.assert_allclose(result.insertion[[0, 1, 10]], [0.0, part[:6].sum(), whole], atol=1e-12)
    np.testing.assert_allclose(result.deletion_area, np.trapezoid(result.deletion, result.fractions))


def test_the_true_order_passes_and_its_reverse_fails():
    right = deletion_insertion(predict, X, X * WEIGHTS, reference=REFERENCE, n_random=39, random_state=0)
    wrong = deletion_insertion(predict, X, -X * WEIGHTS, reference=REFERENCE, n_random=39, random_state=0)
    assert faithfulness_check(right).verdict is Verdict.PASS
    assert right.p == pytest.approx(1 / 40)
    assert faithfulness_check(wrong).verdict is Verdict.FAIL
    assert wrong.gap < 0 < right.gap


def test_random_relevance_passes_no_more_often_than_its_level():
    rng = np.random.default_rng(1)
    passed = [
        faithfulness_check(deletion_insertion(predict, X, rng.random(60), reference=REFERENCE, random_state=k)).verdict
        is Verdict.PASS
        for k in range(100)
    ]
    assert np.mean(passed) <= 0.12


def test_univariate_order_stands_beside():
    result = deletion_insertion(predict, X, WEIGHTS, reference=REFERENCE, univariate=WEIGHTS, random_state=0)
    assert result.univariate_gap == pytest.approx(result.gap, rel=0.05)
    assert "univariate order reaches" in faithfulness_check(result).sentence


def test_equal_seeds_give_equal_results():
    one, same = (deletion_insertion(predict, X, np.zeros(60), reference=REFERENCE, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(one.deletion, same.deletion)
    np.testing.assert_array_equal(one.random_gaps, same.random_gaps)


def test_wrong_shapes_are_refused():
    with pytest.raises(ShapeError, match="relevance"):
        deletion_insertion(predict, X, np.zeros(5), reference=REFERENCE, random_state=0)
    with pytest.raises(ShapeError, match="reference"):
        deletion_insertion(predict, X, WEIGHTS, reference=np.zeros(5), random_state=0)
    with pytest.raises(ShapeError, match="the score"):
        deletion_insertion(lambda rows: rows, X, WEIGHTS, reference=REFERENCE, random_state=0)
    with pytest.raises(InputError, match="rise from 0 to 1"):
        deletion_insertion(predict, X, WEIGHTS, reference=REFERENCE, fractions=[0, 0.5], random_state=0)
