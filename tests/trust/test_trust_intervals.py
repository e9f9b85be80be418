"""Bootstrap intervals cover what they claim to, and groups matter."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from kotowari.core import InputError, ShapeError
from kotowari.trust import bootstrap_interval, not_inferior, paired_difference


def mean(values):
    return float(np.add.reduce(values) / len(values))


def covered(interval, truth):
    return interval.low <= truth <= interval.high


def test_intervals_of_a_normal_difference_cover_it_in_92_to_97_percent():
    rng, hits = np.random.default_rng(0), 0
    for k in range(500):
        difference = rng.normal(0.3, 1.0, 50)
        hits += covered(bootstrap_interval(mean, difference, n_draws=300, random_state=k), 0.3)
    assert 0.92 <= hits / 500 <= 0.97


def test_ignoring_groups_covers_too_seldom_and_drawing_groups_does_not():
    rng, groups = np.random.default_rng(1), np.repeat(np.arange(40), 4)
    blind = whole = 0
    for k in range(200):
        values = np.repeat(rng.normal(size=40), 4) + 0.1 * rng.normal(size=160)
        blind += covered(bootstrap_interval(mean, values, n_draws=200, method="percentile", random_state=k), 0.0)
        whole += covered(bootstrap_interval(mean, values, groups=groups, n_draws=200, random_state=k), 0.0)
    assert blind / 200 < 0.8
    assert 0.9 <= whole / 200 <= 0.98


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_interval_agrees_with_scipy(method):
    values = np.random.default_rng(2).exponential(size=60)
    ours = bootstrap_interval(np.mean, values, n_draws=20_000, method=method, random_state=0)
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method=method.replace("bca", "BCa"), rng=0)
    scale = np.std(values) / np.sqrt(60)
    assert abs(ours.low - theirs.confidence_interval.low) < 0.05 * scale
    assert abs(ours.high - theirs.confidence_interval.high) < 0.05 * scale


def test_bca_leans_with_the_skew():
    values = np.random.default_rng(3).exponential(size=40)
    plain, bca = (bootstrap_interval(np.mean, values, method=m, random_state=0) for m in ("percentile", "bca"))
    assert bca.low > plain.low
    assert bca.high > plain.high


def test_equal_seeds_give_equal_intervals():
    values = np.arange(30.0)
    assert bootstrap_interval(mean, values, random_state=5) == bootstrap_interval(mean, values, random_state=5)


def test_undefined_draws_leave_no_interval():
    truth = np.array([1] + [0] * 19)

    def share(y):
        return np.nan if not y.any() else float(y.mean())

    interval = bootstrap_interval(share, truth, n_draws=200, random_state=0)
    assert interval.value == 0.05
    assert np.isnan([interval.low, interval.high, interval.one_sided_low]).all()
    assert interval.n_draws < 190


def test_one_group_is_refused():
    with pytest.raises(InputError, match="two groups or more, got 1"):
        bootstrap_interval(mean, np.arange(5.0), groups=[1] * 5, random_state=0)


def test_pairing_removes_what_both_share():
    rng = np.random.default_rng(4)
    hard = rng.random(200)
    a, b = hard < 0.80, hard < 0.75
    y = np.ones(200, dtype=bool)

    def accuracy(truth, said):
        return float((truth == said).mean())

    paired = paired_difference(accuracy, y, a, b, random_state=0)
    apart = [bootstrap_interval(accuracy, y, said, random_state=0) for said in (a, b)]
    assert paired.value == pytest.approx(accuracy(y, a) - accuracy(y, b))
    assert paired.high - paired.low < 0.7 * np.hypot(*(alone.high - alone.low for alone in apart))
    assert paired.low < paired.one_sided_low < paired.value


def test_not_inferior_needs_the_lower_end_within_the_margin():
    assert not_inferior(-0.010, 0.015)
    assert not not_inferior(-0.020, 0.015)
    assert not not_inferior(float("nan"), 0.015)
    with pytest.raises(InputError, match="margin must be above 0"):
        not_inferior(0.0, 0.0)


def test_a_worse_model_passes_non_inferiority_in_at_most_five_percent_or_so():
    rng, passed = np.random.default_rng(5), 0
    for k in range(200):
        difference = rng.normal(-0.2, 1.0, 60)
        passed += not_inferior(bootstrap_interval(mean, difference, n_draws=300, random_state=k).one_sided_low, 0.2)
    assert passed / 200 <= 0.09


def test_unusable_input_is_refused():
    with pytest.raises(InputError, match="level must lie between 0 and 1"):
        bootstrap_interval(mean, np.arange(5.0), level=95, random_state=0)
    with pytest.raises(InputError, match="needs one array or more"):
        bootstrap_interval(mean, random_state=0)
    with pytest.raises(ShapeError, match="every array"):
        bootstrap_interval(mean, np.arange(5.0), groups=[1, 2], random_state=0)
