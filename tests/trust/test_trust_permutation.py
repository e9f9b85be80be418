"""P values are uniform under the null, families stay at their level, and small nulls do not promise q."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, kstest, permutation_test

from kotowari.core import InputError, ShapeError
from kotowari.trust import (
    benjamini_hochberg,
    max_t_p,
    permutation_p,
    permuted,
    pooled_p,
    q_values,
    sequential_p,
    smallest_p,
    smallest_p_sentence,
)


def null_case(rng, n_refits=99, n_features=1):
    X, y = rng.normal(size=(40, n_features)), rng.normal(size=40)
    null = np.array([permuted(y, rng=rng) @ X for _ in range(n_refits)])
    return y @ X, null


def test_p_of_unrelated_targets_is_uniform():
    rng = np.random.default_rng(0)
    p = np.array([permutation_p(t[0], null[:, 0]) for t, null in (null_case(rng) for _ in range(200))])
    assert kstest(p, "uniform").pvalue > 0.01
    assert 0.02 <= (p <= 0.05).mean() <= 0.09


def test_permuting_across_sites_is_caught_where_sites_differ():
    rng = np.random.default_rng(1)
    site = np.repeat(np.arange(4), 10)
    right, wrong = [], []
    for _ in range(200):
        shift = rng.normal(size=4)[site]
        x, y = shift + rng.normal(size=40), shift + rng.normal(size=40)
        right.append(permutation_p(x @ y, [permuted(y, blocks=site, rng=rng) @ x for _ in range(99)]))
        wrong.append(permutation_p(x @ y, [permuted(y, rng=rng) @ x for _ in range(99)]))
    assert kstest(right, "uniform").pvalue > 0.01
    assert (np.array(wrong) <= 0.05).mean() > 0.3


def test_p_is_never_zero_and_agrees_with_scipy():
    assert permutation_p(10.0, np.zeros(199)) == smallest_p(199) == 0.005
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.5, 1, 8), rng.normal(size=8)
    theirs = permutation_test((a, b), lambda x, y: x.mean() - y.mean(), n_resamples=999, alternative="greater", rng=0)
    assert permutation_p(theirs.statistic, theirs.null_distribution) == pytest.approx(theirs.pvalue)


def test_values_that_differ_by_rounding_count_as_ties():
    assert permutation_p(0.1 + 0.2, [0.3, 0.0, 0.0]) == 0.5


@pytest.mark.parametrize(("alternative", "p"), [("greater", 0.25), ("less", 1.0), ("two-sided", 0.5)])
def test_alternatives(alternative, p):
    assert permutation_p(5.0, [1.0, 2.0, 3.0], alternative=alternative) == p


def test_a_failed_refit_is_no_draw():
    with pytest.raises(InputError, match="1 values are not finite"):
        permutation_p(1.0, [0.0, np.nan])


@given(seed=st.integers(0, 1000))
def test_blocks_keep_their_values(seed):
    y, blocks = np.arange(12), np.tile([0, 1, 2], 4)
    shuffled = permuted(y, blocks=blocks, rng=np.random.default_rng(seed))
    for block in range(3):
        assert set(shuffled[blocks == block]) == set(y[blocks == block])
    assert list(y) == list(range(12))


def test_units_move_as_wholes():
    units = np.repeat(np.arange(10), 3)
    y = (units < 4).astype(int)
    shuffled = permuted(y, units=units, rng=np.random.default_rng(0))
    assert shuffled.sum() == 12
    assert not np.array_equal(shuffled, y)
    assert all(len(set(shuffled[units == unit])) == 1 for unit in range(10))
    with pytest.raises(InputError, match="holds several labels"):
        permuted(np.arange(30), units=units, rng=np.random.default_rng(0))


def test_max_t_keeps_the_family_at_its_level_where_single_tests_do_not():
    rng, false_family, false_single = np.random.default_rng(3), 0, 0
    for _ in range(200):
        observed, null = rng.normal(size=1000), rng.normal(size=(99, 1000))
        false_family += max_t_p(observed, null).min() <= 0.05
        false_single += ((1 + (null >= observed).sum(0)) / 100).min() <= 0.05
    assert false_family / 200 <= 0.07
    assert false_single / 200 > 0.9


def test_step_down_finds_the_second_effect_after_the_first():
    null = np.zeros((99, 3))
    null[:10, 0] = 9.0  # the strongest part has the widest null
    p = max_t_p([10.0, 5.0, -1.0], null)
    np.testing.assert_allclose(p, [0.01, 0.01, 1.0])
    assert (1 + (null.max(1) >= 5.0).sum()) / 100 == 0.11  # what the single step would say


def test_pooled_p_counts_all_parts():
    null = np.arange(20.0).reshape(5, 4)
    np.testing.assert_allclose(pooled_p([25.0, 19.0, 9.5, -1.0], null), np.array([1, 2, 11, 21]) / 21)


def test_pooled_p_is_uniform_when_parts_share_their_null():
    rng = np.random.default_rng(4)
    p = np.concatenate([pooled_p(rng.normal(size=5), rng.normal(size=(20, 5))) for _ in range(100)])
    assert kstest(p, "uniform").pvalue > 0.01


def test_q_agrees_with_scipy_and_leaves_untested_parts_out():
    p = np.random.default_rng(5).random(50) ** 2
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), rtol=1e-12)
    holed = np.insert(p, 3, np.nan)
    np.testing.assert_allclose(np.delete(benjamini_hochberg(holed), 3), false_discovery_control(p), rtol=1e-12)
    assert np.isnan(benjamini_hochberg(holed)[3])


def test_q_is_refused_when_the_refits_cannot_reach_it():
    p = np.full(1000, smallest_p(199))
    refused = q_values(p, smallest=smallest_p(199))
    assert refused.q is None
    assert "1000 parts" in refused.sentence
    assert "max-T" in refused.sentence
    allowed = q_values(p, smallest=smallest_p(20, n_pooled=1000))
    np.testing.assert_allclose(allowed.q, p)


def test_the_smallest_p_is_said():
    assert smallest_p_sentence(19) == "The null rests on 19 refits; the smallest p that can be reached is 0.05."
    assert "pooled over 100 parts" in smallest_p_sentence(19, n_pooled=100)


def test_sequential_p_stops_early_only_when_the_answer_is_plain():
    asked = []

    def draws(value):
        while True:
            asked.append(value)
            yield value

    hopeless = sequential_p(0.0, draws(1.0))
    assert (hopeless.p, hopeless.n_draws, len(asked)) == (1.0, 10, 10)
    asked.clear()
    strong = sequential_p(2.0, draws(1.0), max_draws=199)
    assert (strong.p, strong.n_draws, len(asked)) == (0.005, 199, 199)
    with pytest.raises(InputError, match="ended after 3 draws"):
        sequential_p(0.0, [-1.0] * 3)


def test_sequential_p_is_valid_under_the_null():
    rng = np.random.default_rng(6)
    p = np.array([sequential_p(rng.normal(), iter(rng.normal(size=199)), max_draws=199).p for _ in range(1000)])
    for level in (0.05, 0.1, 0.3):
        assert (p <= level).mean() <= level + 0.025


def test_unusable_input_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ShapeError, match="blocks"):
        permuted([1, 2, 3], blocks=[0, 1], rng=rng)
    with pytest.raises(ShapeError, match="units"):
        permuted([1, 2, 3], units=[0, 1], rng=rng)
    with pytest.raises(ShapeError, match="null must have shape"):
        permutation_p(1.0, [])
    with pytest.raises(ShapeError, match="observed"):
        pooled_p([1.0, 2.0], np.zeros((5, 3)))
    with pytest.raises(InputError, match="1 observed scores are not finite"):
        max_t_p([1.0, np.nan], np.zeros((5, 2)))
