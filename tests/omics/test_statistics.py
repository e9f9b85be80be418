"""What training images tell a network beforehand: closed forms, planted pairs, and quiet where there is nothing."""

import numpy as np
import pytest
from scipy.stats import norm, rankdata
from sklearn.feature_selection import f_classif, f_regression

from kotowari.studies.omics.model.statistics import pixel_scaling, screened_pairs

LEAST = 0.05


def images_of(values, height=8):
    return np.asarray(values, np.float32).reshape(len(values), 1, height, -1)


def shares(labels):
    return np.eye(int(labels.max()) + 1, dtype=np.float32)[labels]


def kept_share(ratio):
    return np.maximum(LEAST, 1 - 1 / ratio)


def exclusive_or(rng, samples=160, pixels=64, pair=(5, 40)):
    """Two pixels that tell the class together and say nothing alone."""
    values = rng.normal(size=(samples, pixels))
    labels = (values[:, pair[0]] * values[:, pair[1]] > 0).astype(np.int64)
    return images_of(values), labels


def screened(images, labels, rng, n_pairs=64):
    return screened_pairs(images, labels, pixel_scaling(images, shares(labels), shrink=True), n_pairs=n_pairs, rng=rng)


def pair_strengths(values, labels):
    """The statistic by its formula, over all pairs, in double precision."""
    z = values.astype(np.float64)
    for klass in np.unique(labels):
        z[labels == klass] -= z[labels == klass].mean(0)
    z /= z.std(0)
    n, strength = len(z), 0.0
    for klass in np.unique(labels):
        own = z[labels == klass]
        strength = strength + len(own) * n / (n - len(own)) * (own.T @ own / len(own) - z.T @ z / n) ** 2
    return strength


# ------------------------------------------------------------------------------------------------ centre and gain


def test_plain_scaling_is_mean_and_standard_deviation(rng):
    values = rng.normal(3, 2, size=(50, 64))
    scaling = pixel_scaling(images_of(values), shares(np.arange(50) % 2), shrink=False)
    np.testing.assert_allclose(scaling.mean.ravel(), values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(scaling.gain.ravel(), 1 / values.std(0), rtol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_shrinkage_of_classes_is_that_of_the_analysis_of_variance(rng, n_classes):
    labels = np.minimum(rng.integers(0, 2 * n_classes, 90), n_classes - 1)  # the last class is the largest
    values = rng.normal(size=(90, 64)) + rng.normal(0, 0.5, size=(n_classes, 64))[labels]
    scaling = pixel_scaling(images_of(values), shares(labels), shrink=True)
    expected = kept_share(f_classif(values, labels)[0])
    np.testing.assert_allclose(scaling.gain.ravel() * values.std(0), expected, rtol=1e-4)
    assert (expected > LEAST).any()


def test_shrinkage_of_values_is_that_of_the_regression(rng):
    values, target = rng.normal(size=(90, 64)), rng.normal(size=90)
    values[:, :20] += 0.4 * target[:, None]
    scaling = pixel_scaling(images_of(values), target[:, None].astype(np.float32), shrink=True)
    expected = kept_share(f_regression(values, target)[0])
    np.testing.assert_allclose(scaling.gain.ravel() * values.std(0), expected, rtol=1e-3)


def test_a_ratio_without_degrees_of_freedom_is_caught(rng):
    labels = np.arange(90) % 3
    values = rng.normal(size=(90, 64)) + rng.normal(0, 0.5, size=(3, 64))[labels]
    scaling = pixel_scaling(images_of(values), shares(labels), shrink=True)
    wrong = kept_share(f_classif(values, labels)[0] * 2 / 87)
    assert not np.allclose(scaling.gain.ravel() * values.std(0), wrong, rtol=1e-2)


def test_null_genes_are_silenced_and_others_stay(rng):
    labels = np.arange(100) % 2
    values = rng.normal(size=(100, 64))
    values[:, :8] += 2.0 * labels[:, None]
    share = pixel_scaling(images_of(values), shares(labels), shrink=True).gain.ravel() * values.std(0)
    assert share[:8].min() > 0.9
    assert np.median(share[8:]) == pytest.approx(LEAST, rel=1e-4)


def test_constant_pixels_have_no_gain_and_nearly_constant_ones_a_bounded_one(rng):
    values = rng.normal(size=(60, 64))
    values[:, 0], values[:, 1] = 0.0, 1e-4 * values[:, 1]
    gain = pixel_scaling(images_of(values), shares(np.arange(60) % 2), shrink=False).gain.ravel()
    assert gain[0] == 0
    assert gain[1] < 15 * np.median(gain)


def test_images_without_any_variation_are_taken():
    scaling = pixel_scaling(images_of(np.ones((6, 64))), shares(np.arange(6) % 2), shrink=True)
    assert not scaling.gain.any()


# ------------------------------------------------------------------------------------------------------- pairs


@pytest.mark.parametrize("seed", range(5))
def test_a_pair_that_matters_only_together_is_the_first_found(seed):
    rng = np.random.default_rng(seed)
    images, labels = exclusive_or(rng)
    assert f_classif(images.reshape(160, -1), labels)[1][[5, 40]].min() > 0.001  # alone they say little
    assert screened(images, labels, rng).pixels[0].tolist() == [5, 40]


def test_outliers_do_not_hide_a_pair(rng):
    images, labels = exclusive_or(rng)
    flat = images.reshape(160, -1)
    wild = np.arange(64) % 2 == 0
    wild[[5, 40]] = False
    flat[rng.integers(0, 160, 8)[:, None], np.flatnonzero(wild)] += 50.0  # shared by half of the pixels
    assert screened(images, labels, rng).pixels[0].tolist() == [5, 40]


def test_pairs_come_in_the_order_of_the_formula(rng):
    values, labels = rng.normal(size=(80, 64)), np.arange(80) % 3
    for first in range(0, 12, 2):  # pairs that move together in one class and apart in the others
        sign = np.where(labels == first % 3, 1, -1)
        values[:, first + 1] = sign * values[:, first] + 0.2 * (1 + first) * rng.normal(size=80)
    found = screened(images_of(values), labels, rng).pixels
    normal = norm.ppf((rankdata(values, axis=0) - 0.5) / len(values))
    strength = np.triu(pair_strengths(normal, labels), 1)
    order = np.argsort(-strength, axis=None)[: len(found)]
    np.testing.assert_array_equal(found, np.stack(np.unravel_index(order, strength.shape), 1))
    assert len(found) >= 3


def test_null_labels_give_no_pair_in_most_seeds():
    found = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        images, labels = exclusive_or(rng, samples=120)
        found.append(len(screened(images, rng.permutation(labels), rng).scale))
    # one draw beats the larger of two of its like in a third of all cases
    assert np.mean(np.array(found) > 0) < 0.6
    assert max(found) < 8


def test_a_screen_by_correlation_over_all_samples_takes_the_wrong_pair(rng):
    images, labels = exclusive_or(rng)
    values = images.reshape(160, -1)
    values[:, 21] = values[:, 20] + 0.1 * rng.normal(size=160)  # the same in both classes: nothing to learn
    overall = np.triu(np.abs(np.corrcoef(values.T)), 1)
    assert np.unravel_index(overall.argmax(), overall.shape) == (20, 21)
    found = screened(images, labels, rng).pixels.tolist()
    assert found[0] == [5, 40]
    assert [20, 21] not in found


def test_pixels_that_are_constant_within_classes_are_no_pair(rng):
    values, labels = rng.normal(size=(90, 64)), np.arange(90) % 3
    for pixel in range(4):  # single precision leaves residuals just above 0, alike within a class
        values[:, pixel] = rng.random(3)[labels]
    found = screened(images_of(values), labels, rng).pixels
    assert not np.isin(found, range(4)).any()


def test_the_products_share_one_strength(rng):
    images, labels = exclusive_or(rng)
    images.reshape(160, -1)[:, 30] = images.reshape(160, -1)[:, 5] + 0.1 * rng.normal(size=160)
    scaling = pixel_scaling(images, shares(labels), shrink=True)
    pairs = screened_pairs(images, labels, scaling, n_pairs=4, rng=rng)
    z = ((images - scaling.mean) * scaling.gain).reshape(160, -1)
    products = z[:, pairs.pixels[:, 0]] * z[:, pairs.pixels[:, 1]] * pairs.scale
    assert len(pairs.scale) >= 2
    np.testing.assert_allclose(products.std(0), 10 / len(pairs.scale) ** 0.5, rtol=1e-4)


def test_no_more_pairs_come_than_asked_for_and_equal_seeds_give_equal_pairs(rng):
    images, labels = exclusive_or(rng)
    values = images.reshape(160, -1)
    values[:, 30] = values[:, 5] + 0.1 * rng.normal(size=160)
    first, second = (screened(images, labels, np.random.default_rng(3), n_pairs=1) for _ in range(2))
    assert len(first.pixels) == 1
    assert first.pixels.tobytes() == second.pixels.tobytes()
    assert len(screened(images, labels, rng, n_pairs=0).pixels) == 0
    assert len(screened(images, labels, rng, n_pairs=10**6).pixels) >= 2
