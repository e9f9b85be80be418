"""Augmentation: samples between samples, with targets that say so, and draws of the stated shape.

Each sample is a unit vector of its own, so an augmented sample shows from which samples, in which shares, it was made.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kotowari.training import TrainingPlan
from kotowari.training.augment import augmented

N = 400
UNITS = torch.eye(N).view(N, 1, 20, 20)
LABELS = torch.arange(N) % 3
TARGETS = torch.nn.functional.one_hot(LABELS, 3).float()


def drawn(seed=0, x=UNITS, y=TARGETS, **settings):
    return augmented(x, y, TrainingPlan(**settings), torch.Generator().manual_seed(seed))


def shares(x):
    """Row i, column j: how much of sample j is in augmented sample i."""
    return x.flatten(1).numpy().astype(np.float64)


def assert_between_two_of_one_target(x, labels):
    made = shares(x)
    np.testing.assert_allclose(made.sum(1), 1, atol=1e-6, err_msg="shares do not sum to 1")
    assert (made > -1e-7).all(), "a sample lies beyond another"
    assert ((made > 0).sum(1) <= 2).all(), "a sample is made of more than two"
    foreign = made[labels.numpy()[:, None] != labels.numpy()[None]]
    assert not foreign.any(), "a sample is moved towards another class"


def assert_targets_are_mixed_as_the_samples(x, y):
    np.testing.assert_allclose(y.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(y, shares(x) @ TARGETS.numpy(), atol=1e-6, err_msg="targets and samples differ in share")


def mixup_shares(shape):
    """Share of a sample in itself, for those that were mixed with another."""
    made = shares(drawn(mixup=shape)[0])
    mixed = (made > 0).sum(1) == 2
    return np.diag(made)[mixed]


def test_without_augmentation_a_batch_stays_as_it_is():
    x, y = drawn()
    assert x is UNITS
    assert y is TARGETS


def test_augmentation_leaves_its_inputs_untouched():
    x, y = UNITS.clone(), TARGETS.clone()
    drawn(x=x, y=y, mixup=0.4, interpolation=1.0, noise=0.5)
    assert torch.equal(x, UNITS)
    assert torch.equal(y, TARGETS)


def test_the_same_generator_gives_the_same_bytes():
    settings = {"mixup": 0.4, "interpolation": 0.5, "noise": 0.5}
    torch.manual_seed(1)
    first = drawn(**settings)
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(first, drawn(**settings), strict=True))
    assert not torch.equal(first[0], drawn(seed=1, **settings)[0])


def test_interpolation_stays_on_the_segment_between_two_samples_of_a_class():
    x, y = drawn(interpolation=1.0)
    assert_between_two_of_one_target(x, LABELS)
    assert y is TARGETS


def test_interpolation_across_classes_is_caught():
    x, _ = drawn(y=torch.ones(N, 1), interpolation=1.0)
    with pytest.raises(AssertionError, match="towards another class"):
        assert_between_two_of_one_target(x, LABELS)


def test_moves_beyond_the_other_sample_are_caught():
    x, _ = drawn(interpolation=1.0)
    with pytest.raises(AssertionError, match="lies beyond"):
        assert_between_two_of_one_target(UNITS + 1.5 * (x - UNITS), LABELS)


@pytest.mark.parametrize("share", [0.2, 0.7, 1.0])
def test_interpolation_moves_the_stated_share_of_samples_by_a_uniform_step(share):
    made = np.concatenate([shares(drawn(seed, interpolation=share)[0]) for seed in range(3)])
    moved = (made > 0).sum(1) == 2
    others = 1 - 3 / N  # now and then a sample is its own partner
    assert stats.binomtest(int(moved.sum()), len(made), share * others).pvalue > 0.001
    steps = 1 - made[np.arange(len(made)), np.arange(len(made)) % N][moved]
    assert stats.kstest(steps, "uniform").pvalue > 0.001


def test_a_sample_alone_in_its_class_is_not_moved():
    values = torch.linspace(0, 1, N)[:, None]  # as in a regression
    x, _ = drawn(y=values, interpolation=1.0)
    assert torch.equal(x, UNITS)


def test_mixup_mixes_targets_as_it_mixes_samples():
    x, y = drawn(mixup=0.4)
    assert ((shares(x) > 0).sum(1) <= 2).all()
    assert_targets_are_mixed_as_the_samples(x, y)


def test_targets_mixed_by_another_share_are_caught():
    x, _ = drawn(mixup=0.4)
    with pytest.raises(AssertionError, match="differ in share"):
        assert_targets_are_mixed_as_the_samples(x, drawn(seed=1, mixup=0.4)[1])


@pytest.mark.parametrize("shape", [0.1, 0.4, 1.0, 5.0, 200.0])
def test_the_shares_of_mixup_follow_their_beta_distribution(shape):
    found = mixup_shares(shape)
    assert len(found) > 100
    if shape >= 0.4:  # below, shares closer to 0 or 1 than float32 can tell are not seen as mixed
        assert stats.kstest(found, stats.beta(shape, shape).cdf).pvalue > 0.001


@pytest.mark.parametrize("shape", [0.05, 0.4, 1.0, 5.0, 200.0])
def test_draws_have_the_moments_of_the_beta_distribution(shape):
    from kotowari.training.augment import _beta

    n = 20_000
    found = _beta(shape, n, torch.Generator().manual_seed(0)).double().numpy()
    variance, kurtosis = 1 / (4 * (2 * shape + 1)), stats.beta(shape, shape).stats("k")
    assert ((found >= 0) & (found <= 1)).all()
    assert abs(found.mean() - 0.5) < 4 * (variance / n) ** 0.5
    assert abs(found.var() - variance) < 4 * variance * ((kurtosis + 2) / n) ** 0.5
    assert stats.kstest(found, stats.beta(shape, shape).cdf).pvalue > 0.001 or shape < 0.1  # float32 rounds up to 1


def test_uniform_shares_are_caught():
    assert stats.kstest(mixup_shares(1.0), stats.beta(0.4, 0.4).cdf).pvalue < 1e-6


def test_noise_is_normal_with_the_stated_deviation():
    x, y = drawn(noise=0.25)
    z = ((x - UNITS) / 0.25).flatten().numpy()
    assert stats.kstest(z[:20_000], "norm").pvalue > 0.001
    assert abs(z.std() - 1) < 4 / (2 * len(z)) ** 0.5
    assert y is TARGETS
    assert stats.kstest(1.05 * z, "norm").pvalue < 1e-6  # a deviation 5 % too large is seen


@given(st.integers(0, 2**31 - 1), st.floats(0.01, 50), st.floats(0, 1))
def test_all_together_give_targets_that_are_shares(seed, mixup, interpolation):
    x, y = drawn(seed, UNITS[:12], TARGETS[:12], mixup=mixup, interpolation=interpolation, noise=0.1)
    assert x.isfinite().all()
    assert (y >= 0).all()
    torch.testing.assert_close(y.sum(1), torch.ones(12))


def test_a_batch_of_one_sample_is_mixed_with_itself():
    x, y = drawn(x=UNITS[:1], y=TARGETS[:1], mixup=0.4, interpolation=1.0)
    torch.testing.assert_close(x, UNITS[:1])
    torch.testing.assert_close(y, TARGETS[:1])
