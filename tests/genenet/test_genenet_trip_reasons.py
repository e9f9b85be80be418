"""Edge contributions, their null and the knock-out."""

import numpy as np
import pytest
from scipy.stats import kstest

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.genenet.model.trip.knock_out import knock_out
from kotowari.studies.genenet.model.trip.permutation import permutation_p_values
from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks
from kotowari.studies.genenet.model.trip.trip import TensorReconstructionRegressor
from kotowari.studies.genenet.phantom_modules import planted_modules
from kotowari.trust.planted import planted_scores

TINY = TensorReconstructionRegressor(
    core_shape=1, head="linear", starts=("pls",), head_steps=3, max_steps=0, validation_fraction=0, n_members=1
)


@pytest.fixture(scope="module")
def phantom():
    return planted_modules(500, shape=(20, 15), random_state=0)


@pytest.fixture(scope="module")
def fitted(phantom):
    options = {"core_shape": 3, "n_members": 2, "head_steps": 300, "max_steps": 40, "starts": ("pls", "kernel")}
    return TensorReconstructionRegressor(**options).fit(phantom.X[:300], phantom.y[:300])


@pytest.mark.parametrize("rule", ["legendre", "midpoint"])
def test_contributions_sum_to_the_change_of_the_prediction(phantom, fitted, rule):
    X = phantom.X[300:350]
    lowest = X[phantom.activities[300:350, 0].argmin()]
    for reference, origin in (("mean", phantom.X[:300].mean(0)[None]), (lowest, lowest[None]), (X[::-1], X[::-1])):
        told = fitted.edge_contributions(X, reference=reference, rule=rule)
        change = fitted.predict(X) - fitted.predict(origin)
        np.testing.assert_allclose(told.change, change, atol=1e-10)
        assert told.gap.max() < 1e-4
        np.testing.assert_allclose(told.values.sum((1, 2)), change, rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(told.hub_scores(0).sum(1), told.hub_scores(1).sum(1))


def test_the_gradient_at_the_sample_alone_does_not_sum_up(phantom, fitted):
    X = phantom.X[300:350]
    one_point = fitted.edge_contributions(X, n_points=1, tol=np.inf)
    assert one_point.n_points == 1
    assert one_point.gap.max() > 1e-2
    doubled = fitted.edge_contributions(X, n_points=1)
    assert doubled.n_points > 1
    assert doubled.gap.max() < 1e-4


def test_the_covariance_sums_to_the_variance_of_the_prediction(phantom, fitted):
    told = fitted.edge_contributions(phantom.X[300:])
    assert told.importance().sum() == pytest.approx(told.change.var(), rel=1e-4)
    np.testing.assert_allclose(told.importance("absolute"), np.abs(told.values).mean(0))
    with pytest.raises(InputError, match="choose covariance or absolute"):
        told.importance("largest")
    with pytest.raises(InputError, match="mode must lie between 0 and 1"):
        told.hub_scores(2)


def test_planted_edges_are_found_and_a_shuffled_response_finds_none(phantom, fitted):
    found = planted_scores(fitted.edge_contributions(phantom.X[300:]).importance(), phantom.planted)
    assert found["average_precision"] > 0.85
    assert found["auroc"] > 0.95
    shuffled = np.random.default_rng(1).permutation(phantom.y[:300])
    lost = TensorReconstructionRegressor(**fitted.get_params()).fit(phantom.X[:300], shuffled)
    blind = planted_scores(lost.edge_contributions(phantom.X[300:]).importance(), phantom.planted)
    assert blind["average_precision"] < 0.6


def test_knocking_out_the_found_edges_costs_more_than_random_ones_of_equal_norm(phantom, fitted):
    X, y = phantom.X[300:], phantom.y[300:]
    importance = fitted.edge_contributions(phantom.X[:300]).importance()
    found = knock_out(fitted, X, y, importance, n_edges=24, n_random=19)
    assert found.p == 0.05
    assert found.drop > 0.2
    wrong = knock_out(fitted, X, y, np.random.default_rng(0).random(importance.shape), n_edges=24, n_random=19)
    assert wrong.p > 0.05


def test_the_random_edges_have_the_norm_of_the_top_ones(phantom, fitted):
    moved = []

    class Recorder:
        frame_ = fitted.frame_

        def score(self, X, _y):
            moved.append(float(np.square(X - phantom.X[300:]).sum()))
            return 0.0

    knock_out(Recorder(), phantom.X[300:], phantom.y[300:], np.arange(300.0), n_edges=9, n_random=5)
    np.testing.assert_allclose(moved[2:], moved[1])


def test_bad_knock_outs_are_refused(phantom, fitted):
    X, y = phantom.X[300:320], phantom.y[300:320]
    with pytest.raises(ShapeError, match="importance must have shape"):
        knock_out(fitted, X, y, np.ones(7), n_edges=2)
    with pytest.raises(InputError, match="n_edges must lie between"):
        knock_out(fitted, X, y, np.ones((20, 15)), n_edges=300)
    with pytest.raises(DesignError, match="smaller norm"):
        knock_out(fitted, X, y, np.ones((20, 15)), n_edges=290)
    with pytest.raises(InputError, match="fitted on dense arrays"):
        knock_out(fitted, SparseNetworks.from_dense(X), y, np.ones(300), n_edges=2)


def test_a_sparse_knock_out_equals_the_dense_one(rng):
    X = rng.normal(size=(40, 5, 4)) * (rng.random((5, 4)) < 0.6)
    y = X[:, 0].sum(1) + X[:, 1].sum(1)
    sparse = SparseNetworks.from_dense(X)
    drops = []
    for stack, shape in ((X, (5, 4)), (sparse, (len(sparse.edges),))):
        fitted = TINY.fit(stack, y)
        importance = fitted.edge_contributions(stack).importance()
        assert importance.shape == shape
        drops.append(knock_out(fitted, stack, y, importance, n_edges=2, n_random=1).drop)
    assert drops[0] == pytest.approx(drops[1], abs=1e-6)


def _null_data(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(24, 4, 3)), rng.normal(size=24), rng


def _p_of_the_strongest_edge_by_itself(seed):
    X, y, rng = _null_data(seed)
    observed = TINY.fit(X, y).edge_contributions(X).importance().ravel()
    strongest = observed.argmax()
    draws = [TINY.fit(X, rng.permutation(y)).edge_contributions(X).importance().ravel()[strongest] for _ in range(19)]
    return (1 + (np.array(draws) >= observed[strongest]).sum()) / 20


def test_the_smallest_p_is_uniform_when_nothing_is_there():
    smallest = []
    for seed in range(30):
        X, y, _ = _null_data(seed)
        smallest.append(permutation_p_values(TINY, X, y, n_permutations=19, n_exceeding=20, random_state=seed).p.min())
    assert kstest(np.array(smallest) - 1 / 40, "uniform").pvalue > 0.01
    # the strongest edge, held against its own null alone, is a winner that was chosen after the fact
    assert kstest([_p_of_the_strongest_edge_by_itself(seed) for seed in range(6)], "uniform").pvalue < 0.01


def test_p_values_find_a_planted_edge_and_stop_early_when_there_is_none(rng):
    X = rng.normal(size=(60, 4, 3))
    y = 2 * X[:, 1, 2] + 0.3 * rng.normal(size=60)
    found = permutation_p_values(TINY, X, y, n_permutations=39, random_state=0)
    assert found.n_refits == 39
    assert found.p[1, 2] == found.p.min() == 1 / 40
    assert np.median(found.p) > 0.1
    nothing = permutation_p_values(TINY, X, rng.normal(size=60), n_permutations=199, n_exceeding=5, random_state=0)
    assert nothing.n_refits < 199
    assert nothing.p.min() == pytest.approx(5 / nothing.n_refits)
    whole = permutation_p_values(TINY, X, y, n_permutations=39, n_exceeding=10, random_state=0)
    np.testing.assert_array_equal(whole.p, found.p)
    with pytest.raises(InputError, match="n_permutations"):
        permutation_p_values(TINY, X, y, n_permutations=0)


def test_the_early_stop_gives_the_p_value_of_besag_and_clifford(rng):
    X, y = rng.normal(size=(24, 4, 3)), rng.normal(size=24)
    early = permutation_p_values(TINY, X, y, n_permutations=60, n_exceeding=4, random_state=1)
    for importance, p in zip(early.importance.ravel(), early.p.ravel(), strict=True):
        reached = np.flatnonzero(np.cumsum(early.maxima >= importance) == 4)
        wanted = 4 / (reached[0] + 1) if len(reached) else (1 + (early.maxima >= importance).sum()) / 61
        assert p == pytest.approx(wanted)
