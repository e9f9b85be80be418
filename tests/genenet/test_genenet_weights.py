"""Kernels over the modulator, effective samples, bandwidths, and modulators that cannot be used."""

import numpy as np
import pandas as pd
import pytest

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.genenet.model.profile.bandwidth import effective_bandwidth, effective_neighbours
from kotowari.studies.genenet.model.profile.weights import (
    GaussianKernel,
    NeighbourKernel,
    effective_samples,
    modulator_table,
    root_sum,
)


def test_gaussian_weights_are_the_papers():
    m = np.array([[0.0], [1.0], [3.0]])
    found = GaussianKernel((2.0,)).weights(m, m)
    np.testing.assert_allclose(found, np.exp(-((m - m.T) ** 2) / 2.0))


def test_two_modulators_multiply(rng):
    m, at = rng.normal(size=(20, 2)), rng.normal(size=(5, 2))
    both = GaussianKernel((0.5, 2.0)).weights(m, at)
    each = [GaussianKernel((h,)).weights(m[:, [k]], at[:, [k]]) for k, h in enumerate((0.5, 2.0))]
    np.testing.assert_allclose(both, each[0] * each[1])


def test_the_kth_neighbour_weighs_one_over_e(rng):
    m = rng.normal(size=(40, 1)) ** 3
    weights = NeighbourKernel(7, (float(m.std()),)).weights(m, m)
    np.testing.assert_allclose(np.sort(weights, axis=1)[:, -7], np.exp(-1))


def test_neighbours_widen_where_samples_are_rare_and_a_constant_width_does_not(rng):
    m = np.concatenate([rng.normal(0, 0.1, 90), rng.uniform(2, 8, 10)])[:, None]
    knn = effective_samples(NeighbourKernel(12, (1.0,)).weights(m, m))
    constant = effective_samples(GaussianKernel((0.05,)).weights(m, m))
    assert knn.min() > 5
    assert constant.min() < 2


def test_ties_share_all_the_weight():
    m = np.array([[0.0], [0.0], [0.0], [1.0], [2.0]])
    weights = NeighbourKernel(3, (1.0,)).weights(m, m[:1])
    assert weights.tolist() == [[1, 1, 1, 0, 0]]


def test_effective_samples_count_equal_weights_and_root_sums_count_more():
    weights = np.array([[1.0, 1.0, 1.0, 0.0], [1.0, 0.1, 0.1, 0.1], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(effective_samples(weights), [3, 1.3**2 / 1.03, 0])
    assert root_sum(weights)[1] == pytest.approx(1 + 3 * 0.1**0.5)
    assert root_sum(weights)[1] > effective_samples(weights)[1]


@pytest.mark.parametrize("wanted", [5.0, 40.0, 150.0])
@pytest.mark.parametrize("columns", [1, 2])
def test_a_bandwidth_has_the_effective_number_that_was_asked(wanted, columns, rng):
    m = rng.normal(size=(200, columns)) * [1.0, 30.0][:columns]
    kernel = effective_bandwidth(m, wanted)
    assert np.median(effective_samples(kernel.weights(m, m))) == pytest.approx(wanted, rel=1e-6)


def test_the_least_number_of_neighbours_is_found(rng):
    m = rng.normal(size=(100, 1))
    kernel = effective_neighbours(m, 30.0)
    below = NeighbourKernel(kernel.n_neighbours - 1, kernel.scale)
    assert np.median(effective_samples(kernel.weights(m, m))) >= 30 > np.median(effective_samples(below.weights(m, m)))


@pytest.mark.parametrize("wanted", [1.0, 100.0, 500.0])
def test_an_effective_number_out_of_reach_is_refused_with_the_range(wanted, rng):
    m = rng.normal(size=(100, 1))
    with pytest.raises(InputError, match="effective_samples must be above"):
        effective_bandwidth(m, wanted)
    with pytest.raises(InputError, match=r"effective_samples must be above 1 and at most"):
        effective_neighbours(m, wanted)


def test_kernels_that_weigh_alike_are_equal_and_say_so():
    assert GaussianKernel((0.1,)) == GaussianKernel((0.1,))
    assert GaussianKernel((0.1,)).describe() != GaussianKernel((0.1 + 1e-12,)).describe()
    assert NeighbourKernel(5, (1.0,)).describe() != NeighbourKernel(5, (2.0,)).describe()


def test_modulators_that_cannot_be_used_are_refused():
    with pytest.raises(InputError, match="2 samples have no finite value, first sample P1"):
        modulator_table([0.0, np.nan, np.inf], 3, np.array(["P0", "P1", "P2"]))
    with pytest.raises(DesignError, match="modulator 0 has the value 2 in all samples"):
        modulator_table([2.0, 2.0, 2.0], 3)
    with pytest.raises(DesignError, match="modulator 1 has the value 0 in all samples"):
        modulator_table(np.array([[1.0, 0.0], [2.0, 0.0]]), 2)
    with pytest.raises(ShapeError, match=r"must have shape \(4, 1\)"):
        modulator_table([0.0, 1.0, 2.0], 4)
    with pytest.raises(ShapeError, match=r"\(sample, 1 or 2\)"):
        modulator_table(np.zeros((5, 3)), 5)
    assert modulator_table(pd.Series([1.0, 2.0]), 2).shape == (2, 1)


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, np.inf, np.nan])
def test_a_bandwidth_out_of_range_is_refused(bandwidth):
    with pytest.raises(InputError, match="above 0 and finite"):
        GaussianKernel((bandwidth,))


def test_kernels_refuse_what_they_cannot_weigh():
    with pytest.raises(InputError, match="2 or more"):
        NeighbourKernel(1, (1.0,))
    with pytest.raises(InputError, match="9 neighbours of 4 samples"):
        NeighbourKernel(9, (1.0,)).weights(np.zeros((4, 1)), np.zeros((1, 1)))
    with pytest.raises(ShapeError, match="bandwidth must have shape"):
        GaussianKernel((1.0,)).weights(np.zeros((4, 2)), np.zeros((1, 2)))
