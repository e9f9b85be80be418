"""The search for penalties: the chosen one is the best of all tried, rounds lower the criterion, folds stay unseen."""

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet

from kotowari.solvers.elastic_net import elastic_net
from kotowari.solvers.elastic_net_workspace import workspace
from kotowari.studies.genenet.model.profile.criterion import weighted_criterion
from kotowari.studies.genenet.model.profile.moments import WeightedMoments, standardise
from kotowari.studies.genenet.model.profile.paths import (
    ADAPTIVE_FLOOR,
    COLUMNS,
    CONSTANT_TARGET,
    FITTED,
    TOO_FEW_NEIGHBOURS,
    Search,
    search_by_criterion,
    search_by_folds,
)
from kotowari.studies.genenet.model.profile.task import _local_moments, _slice_folds

RATIOS = np.geomspace(1, 0.02, 25)


def search(max_rounds=1, ridges=(0.01,), *, bic=False):
    return Search(np.array([RATIOS, RATIOS**2]), np.array(ridges), max_rounds, bic, 1e-9, 100)


def problem(rng, n=80, q=12, t=5):
    X = rng.normal(size=(n, 3))[:, rng.integers(0, 3, q)] + rng.normal(size=(n, q))
    Y = X[:, :4] @ rng.normal(size=(4, t)) + rng.normal(size=(n, t))
    weights = rng.random((1, n))
    return WeightedMoments(X, Y, weights / weights.sum())


def local(moments):
    ((_, sums),) = moments.blocks()
    return standardise(sums, moments.first()[0], moments.squares()[0])


def run(place, n_effective, options, factors=None):
    shape = place.cross.shape
    coefficients, results = np.empty(shape), np.empty((shape[0], len(COLUMNS)))
    factors = np.ones(shape) if factors is None else factors
    moments = (place.gram, place.cross, place.deviation[shape[1] :] > 0, n_effective)
    search_by_criterion(moments, factors, options, coefficients, results, workspace(shape[1]))
    return coefficients, dict(zip(COLUMNS, results.T, strict=True))


def tried(place, target, n_effective, criterion, ridge, factors):
    """All criteria of one path, fit by fit."""
    values = []
    for l1 in (np.abs(place.cross[target]) / factors).max() * RATIOS:
        (b,), _ = elastic_net(place.gram, place.cross[[target]], [1.0], l1, ridge, penalty_factors=factors, tol=1e-12)
        active = np.flatnonzero(b)
        inner = place.gram[np.ix_(active, active)]
        df = np.trace(np.linalg.solve(inner + ridge * np.eye(len(active)), inner))
        square = 1 - 2 * place.cross[target] @ b + b @ place.gram @ b
        values.append((weighted_criterion(criterion, square, df, n_effective), l1, df, square, b))
    return values


@pytest.mark.parametrize("criterion", ["waicc", "bic"])
@pytest.mark.parametrize("ridge", [0.0, 0.01, 0.3])
def test_the_least_criterion_of_the_path_is_chosen(criterion, ridge, rng):
    place = local(problem(rng))
    b, found = run(place, 60.0, search(ridges=(ridge,), bic=criterion == "bic"))
    for target in range(5):
        best = min(tried(place, target, 60.0, criterion, ridge, np.ones(12)), key=lambda row: row[0])
        assert found["criterion"][target] == pytest.approx(best[0], rel=1e-8)
        assert found["penalty"][target] == pytest.approx(best[1])
        assert found["df"][target] == pytest.approx(best[2], abs=1e-7)
        assert found["mean_square"][target] == pytest.approx(best[3], rel=1e-7)
        np.testing.assert_allclose(b[target], best[4], atol=1e-6)
    assert (found["status"] == FITTED).all()
    assert found["gap"].max() <= 1e-9


def test_of_several_ridges_the_best_is_chosen(rng):
    place = local(problem(rng))
    alone = [run(place, 60.0, search(ridges=(ridge,)))[1]["criterion"] for ridge in (0.5, 0.001)]
    _, found = run(place, 60.0, search(ridges=(0.5, 0.001)))
    np.testing.assert_allclose(found["criterion"], np.minimum(*alone))
    assert set(found["ridge"]) <= {0.5, 0.001}


def test_the_second_round_has_the_weights_of_the_first(rng):
    place = local(problem(rng))
    first, _ = run(place, 60.0, search(1))
    second, found = run(place, 60.0, search(2))
    for target in np.flatnonzero(found["rounds"] == 2):
        factors = 1 / (np.abs(first[target]) + ADAPTIVE_FLOOR)
        (again,), _ = elastic_net(
            place.gram, place.cross[[target]], [1.0], found["penalty"][target], 0.01, penalty_factors=factors, tol=1e-12
        )
        np.testing.assert_allclose(second[target], again, atol=1e-6)
    assert (found["rounds"] == 2).any()


def test_every_round_lowers_the_criterion(rng):
    place = local(problem(rng))
    values = np.array([run(place, 60.0, search(rounds))[1]["criterion"] for rounds in range(1, 8)])
    steps = np.diff(values, axis=0)
    assert (steps <= 0).all()
    assert (steps[0] < 0).any()
    rounds = run(place, 60.0, search(7))[1]["rounds"]
    for target, last in enumerate(rounds.astype(int)):
        assert (np.diff(values[:last, target]) < 0).all()
        assert (np.diff(values[last - 1 :, target]) == 0).all()


def test_too_few_neighbours_are_marked(rng):
    place = local(problem(rng))
    _, found = run(place, 2.0, search())
    assert (found["status"] == TOO_FEW_NEIGHBOURS).all()
    b, found = run(place, 6.0, search())
    assert (found["status"] == FITTED).all()
    assert (found["df"] < 4).all()
    assert np.isfinite(b).all()


def test_a_constant_target_is_marked_and_has_no_edge(rng):
    place = local(problem(rng))
    place.deviation[12 + 1] = 0.0
    place.cross[1] = 0.0
    b, found = run(place, 60.0, search())
    assert found["status"].tolist() == [FITTED, CONSTANT_TARGET, FITTED, FITTED, FITTED]
    assert not b[1].any()


def test_an_excluded_edge_stays_out_in_all_rounds(rng):
    place = local(problem(rng))
    factors = np.ones((5, 12))
    factors[:, 0] = np.inf
    b, _ = run(place, 60.0, search(4), factors)
    assert not b[:, 0].any()
    assert b.any()


# ------------------------------------------------------------------------------------------------ cross-validation


def folds_of(moments, fold):
    """The moments of one place as the profiler hands them over: the kernel is compiled for these layouts alone."""
    twice = WeightedMoments(moments.regulators, moments.targets, np.repeat(moments.weights, 2, axis=0))
    (place, folds), _ = _local_moments(twice, fold)
    return place, _slice_folds(folds, slice(None), place.cross.shape[1])


def run_folds(place, folds, options):
    shape = place.cross.shape
    coefficients, results = np.empty(shape), np.empty((shape[0], len(COLUMNS)))
    moments = (place.gram, place.cross, place.deviation[shape[1] :] > 0, folds)
    search_by_folds(moments, np.ones(shape), options, coefficients, results, workspace(shape[1]))
    return coefficients, dict(zip(COLUMNS, results.T, strict=True))


def test_the_penalty_predicts_samples_left_out_best(rng):
    moments = problem(rng)
    fold = rng.permutation(np.arange(80) % 4)
    place, folds = folds_of(moments, fold)
    _, found = run_folds(place, folds, search(ridges=(0.05,)))
    w = moments.weights[0]
    for target in range(5):
        errors = np.zeros(len(RATIOS))
        for k in range(4):
            kept = fold != k
            share = w[kept] / w[kept].sum()
            X, y = moments.regulators, moments.targets[:, target]
            mean, y_mean = share @ X[kept], share @ y[kept]
            sd, y_sd = (np.sqrt(share @ (v[kept] - m) ** 2) for v, m in ((X, mean), (y, y_mean)))
            for step, l1 in enumerate(np.abs(place.cross[target]).max() * RATIOS):
                model = ElasticNet(l1 + 0.05, l1_ratio=l1 / (l1 + 0.05), tol=1e-12, max_iter=10**5)
                scaled = (X - mean) / sd
                model.fit(scaled[kept], (y[kept] - y_mean) / y_sd, sample_weight=share * kept.sum())
                left = y[~kept] - y_mean - y_sd * (scaled[~kept] @ model.coef_)
                errors[step] += w[~kept] @ left**2
        assert found["criterion"][target] == pytest.approx(errors.min(), rel=1e-6)
        assert found["penalty"][target] == pytest.approx(np.abs(place.cross[target]).max() * RATIOS[errors.argmin()])


def test_rounds_lower_the_error_of_the_folds(rng):
    place, folds = folds_of(problem(rng), rng.permutation(np.arange(80) % 4))
    values = np.array([run_folds(place, folds, search(rounds))[1]["criterion"] for rounds in (1, 2, 5)])
    assert (np.diff(values, axis=0) <= 0).all()
    assert (np.diff(values, axis=0) < 0).any()
