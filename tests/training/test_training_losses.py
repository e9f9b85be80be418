"""Losses against their closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.utils.class_weight import compute_class_weight

from kotowari.training import class_weights, squared_error, weighted_cross_entropy

SCORES = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SHARES = torch.randn(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64).softmax(1)


def assert_every_class_counts_alike(weights, labels):
    pulls = weights.numpy() * np.bincount(labels, minlength=len(weights))
    np.testing.assert_allclose(pulls[pulls > 0], len(labels) / len(weights), rtol=1e-6, err_msg="a class counts more")


def test_class_weights_are_those_of_the_formula():
    weights = class_weights(np.array([0, 0, 0, 1, 3]), 4)
    torch.testing.assert_close(weights, torch.tensor([5 / 12, 5 / 4, 0.0, 5 / 4]))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_every_class_that_is_there_counts_alike(labels):
    assert_every_class_counts_alike(class_weights(np.array(labels), 5), labels)


def test_weights_that_forget_a_class_are_caught():
    labels = np.array([0, 0, 0, 1])
    with pytest.raises(AssertionError, match="a class counts more"):
        assert_every_class_counts_alike(torch.ones(2), labels)


def test_class_weights_are_those_of_scikit_learn():
    labels = np.random.default_rng(0).choice(4, 50, p=[0.1, 0.2, 0.3, 0.4])
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    np.testing.assert_allclose(class_weights(labels, 4), expected, rtol=1e-6)


def test_cross_entropy_is_the_mean_over_samples_of_the_weighted_surprise():
    weights = torch.tensor([0.5, 2.0, 0.0])
    log_p = SCORES - SCORES.exp().sum(1, keepdim=True).log()
    expected = -(SHARES * weights.double() * log_p).sum(1).mean()
    torch.testing.assert_close(weighted_cross_entropy(weights)(SCORES, SHARES), expected)


def test_unweighted_cross_entropy_of_labels_is_the_log_loss():
    labels = np.array([0, 1, 2, 2, 1, 0, 0])
    ours = weighted_cross_entropy(torch.ones(3))(SCORES, torch.eye(3, dtype=torch.float64)[labels])
    assert ours.item() == pytest.approx(log_loss(labels, SCORES.softmax(1).numpy()), rel=1e-12)


def test_the_loss_of_a_set_is_the_mean_of_the_losses_of_its_samples():
    loss = weighted_cross_entropy(torch.tensor([0.5, 2.0, 1.0]))
    alone = torch.stack([loss(SCORES[i : i + 1], SHARES[i : i + 1]) for i in range(len(SCORES))])
    torch.testing.assert_close(loss(SCORES, SHARES), alone.mean())


def test_squared_error_is_the_mean_squared_difference():
    expected = mean_squared_error(SHARES.numpy(), SCORES.numpy())
    assert squared_error(SCORES, SHARES).item() == pytest.approx(expected, rel=1e-12)
