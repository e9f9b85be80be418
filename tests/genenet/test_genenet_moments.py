"""Weighted moments: the order of standardising, low rank against direct sums, folds that add up."""

import numpy as np
import pytest

from kotowari.studies.genenet.model.profile.moments import (
    LocalMoments,
    WeightedMoments,
    low_rank,
    standardise,
    subtract_means,
)
from kotowari.studies.genenet.model.profile.weights import GaussianKernel


def kernel_rows(n, h, rng):
    m = np.sort(rng.random(n))[:, None]
    weights = GaussianKernel((h,)).weights(m, m)
    return weights / weights.sum(1, keepdims=True)


def local(moments):
    first, squares = moments.first(), moments.squares()
    return [standardise(sums, first[place], squares[place]) for place, sums in moments.blocks()]


def mean_correlation(gram):
    return np.abs(gram[np.triu_indices(len(gram), 1)]).mean()


def test_independent_genes_of_mean_8_stay_independent(rng):
    X = 8 + rng.normal(size=(800, 200))
    weights = kernel_rows(800, 0.05, rng)
    places = local(WeightedMoments(X - X.mean(0), X[:, :1] - 8, weights[::100]))
    assert max(mean_correlation(place.gram) for place in places) < 0.1


def test_weighting_rows_before_standardising_is_caught(rng):
    """The order of the paper's wording: every gene takes on the shape of the weights."""
    X = 8 + rng.normal(size=(800, 200))
    root = np.sqrt(kernel_rows(800, 0.05, rng)[400])[:, None]
    assert mean_correlation(np.corrcoef((X * root).T)) > 0.9


def test_moments_are_weighted_means_deviations_and_correlations(rng):
    X, Y = rng.normal(size=(50, 6)), rng.normal(size=(50, 3))
    weights = kernel_rows(50, 0.1, rng)
    for place, found in enumerate(local(WeightedMoments(X, Y, weights))):
        z = np.hstack([X, Y])
        mean = np.average(z, axis=0, weights=weights[place])
        deviation = np.sqrt(np.average((z - mean) ** 2, axis=0, weights=weights[place]))
        scaled = (z - mean) / deviation
        expected = (scaled * weights[place][:, None]).T @ scaled
        np.testing.assert_allclose(found.mean, mean, atol=1e-12)
        np.testing.assert_allclose(found.deviation, deviation, rtol=1e-10)
        np.testing.assert_allclose(found.gram, expected[:6, :6], atol=1e-10)
        np.testing.assert_allclose(found.cross, expected[6:, :6], atol=1e-10)


def test_low_rank_and_direct_sums_are_the_same(rng):
    moments = WeightedMoments(rng.normal(size=(120, 7)), rng.normal(size=(120, 2)), kernel_rows(120, 0.05, rng))
    assert low_rank(moments.weights, most_rank=60) is not None
    direct = [sums.copy() for _, sums in moments.blocks(most_bytes=0)]
    for place, sums in moments.blocks():
        np.testing.assert_allclose(sums, direct[place], atol=1e-12)


def test_a_matrix_is_the_product_of_its_factors_or_has_none(rng):
    weights = kernel_rows(100, 0.1, rng)
    left, right = low_rank(weights, most_rank=50)
    assert left.shape[1] < 50
    np.testing.assert_allclose(left @ right, weights, atol=1e-13 * weights.max())
    assert low_rank(rng.normal(size=(100, 100)), most_rank=64) is None


def test_sums_of_folds_add_up(rng):
    moments = WeightedMoments(rng.normal(size=(60, 5)), rng.normal(size=(60, 2)), kernel_rows(60, 0.1, rng))
    fold = rng.integers(0, 3, 60)
    parts = [{place: sums.copy() for place, sums in moments.among(fold == k).blocks()} for k in range(3)]
    for place, sums in moments.blocks():
        np.testing.assert_allclose(sum(part[place] for part in parts), sums, atol=1e-12)


def test_a_gene_that_is_constant_in_the_window_has_no_correlation(rng):
    X = rng.normal(size=(100, 3))
    X[:50, 0] = 0.0
    weights = np.zeros((1, 100))
    weights[0, :50] = 1 / 50
    (found,) = local(WeightedMoments(X, rng.normal(size=(100, 1)), weights))
    assert isinstance(found, LocalMoments)
    assert found.deviation[0] == 0
    assert not found.gram[0].any()
    assert not found.gram[:, 0].any()
    assert not found.cross[:, 0].any()


def test_covariances_are_products_less_means(rng):
    X, Y = rng.normal(size=(30, 4)) + 2, rng.normal(size=(30, 2))
    moments = WeightedMoments(X, Y, np.full((1, 30), 1 / 30))
    ((_, sums),) = moments.blocks()
    subtract_means(sums, moments.first()[0])
    np.testing.assert_allclose(sums, np.cov(np.hstack([X, Y]).T, bias=True)[:, :4], atol=1e-12)


@pytest.mark.parametrize("mass", [1.0, 0.2])
def test_the_sum_of_the_weights_does_not_matter(mass, rng):
    X, Y = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))
    scaled = WeightedMoments(X, Y, np.full((1, 30), mass / 30))
    ((_, sums),) = scaled.blocks()
    found = standardise(sums, scaled.first()[0], scaled.squares()[0], mass)
    np.testing.assert_allclose(found.gram, np.corrcoef(X.T), atol=1e-12)
