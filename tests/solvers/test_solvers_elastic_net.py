"""Elastic nets on second moments: known answers, optimality laws, bounds that hold, singular problems, bad input."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet

from kotowari.core.errors import InputError, ShapeError
from kotowari.solvers.elastic_net import elastic_net, elastic_net_path
from kotowari.solvers.elastic_net_kernel import follow_paths
from kotowari.solvers.elastic_net_workspace import DF, GAP, Rule, workspace


def regression(rng, n=80, q=30, t=12):
    """Regulators in groups, sparse targets, uneven weights of samples; centred by the weighted means."""
    X = 0.6 * rng.normal(size=(n, 4))[:, rng.integers(0, 4, q)] + rng.normal(size=(n, q))
    Y = X @ (rng.normal(size=(q, t)) * (rng.random((q, t)) < 0.2)) + 0.7 * rng.normal(size=(n, t))
    w = rng.random(n) ** 2
    w /= w.sum()
    return X - w @ X, Y - w @ Y, w


def second_moments(X, Y, w):
    weighted = X * w[:, None]
    return weighted.T @ X, Y.T @ weighted, w @ Y**2


def objective(X, y, w, b, l1, l2, factors=1.0):
    return 0.5 * w @ (y - X @ b) ** 2 + (l1 * factors * np.abs(b))[b != 0].sum() + 0.5 * l2 * b @ b


def require_stationary(gram, cross, b, l1, l2, factors, tol=1e-6):
    """Optimality conditions of one target, relative to the price of each regulator."""
    slope, price = cross - gram @ b - l2 * b, l1 * factors
    active = b != 0
    assert np.abs(slope - np.sign(b) * price)[active].max(initial=0) <= tol * price[active].max(initial=1)
    assert (np.abs(slope)[~active] <= price[~active] * (1 + tol)).all()


def singular(kind, rng):
    """Moments whose gram has no inverse."""
    X, Y, w = regression(rng, n=12 if kind == "few samples" else 60, q=40)
    if kind == "twins":
        X[:, 20:] = X[:, :20] * rng.choice([-1.0, 1.0, 2.0], 20)
    if kind == "constant":
        X[:, ::3] = 0
    return second_moments(X, Y, w)


# ---------------------------------------------------------------------------------------------------- known answers


def test_uncorrelated_regulators_are_soft_thresholded(rng):
    cross, l1, l2 = rng.normal(size=(3, 5)), 0.3, 0.2
    b, gaps = elastic_net(np.eye(5), cross, (cross**2).sum(1), l1, l2, tol=1e-14)
    np.testing.assert_allclose(b, np.sign(cross) * np.maximum(np.abs(cross) - l1, 0) / (1 + l2), rtol=1e-12)
    assert gaps.max() <= 1e-14


def test_all_fits_are_within_one_in_a_million_of_scikit_learn(rng):
    X, Y, w = regression(rng)
    gram, cross, square = second_moments(X, Y, w)
    excess = []
    for fraction, l2 in ((0.5, 0.05), (0.1, 0.01), (0.02, 0.002)):
        l1 = fraction * np.abs(cross).max(1)
        b, _ = elastic_net(gram, cross, square, l1, l2)
        for k, y in enumerate(Y.T):
            model = ElasticNet(alpha=l1[k] + l2, l1_ratio=l1[k] / (l1[k] + l2), tol=1e-13, max_iter=10**6)
            best = objective(X, y, w, model.fit(X, y, sample_weight=w * len(w)).coef_, l1[k], l2)
            excess.append(objective(X, y, w, b[k], l1[k], l2) / best - 1)
    assert len(excess) == 3 * len(Y.T)
    assert max(excess) <= 1e-6


def test_a_penalty_at_the_largest_correlation_leaves_nothing(rng):
    gram, cross, square = second_moments(*regression(rng))
    top = np.abs(cross).max(1)
    assert not elastic_net(gram, cross, square, top, 0.1)[0].any()
    assert (np.count_nonzero(elastic_net(gram, cross, square, 0.99 * top, 0.1)[0], axis=1) >= 1).all()


def test_a_constant_target_has_no_regulators(rng):
    gram, cross, _ = second_moments(*regression(rng, t=1))
    b, gaps = elastic_net(gram, 0 * cross, [0.0], 0.1, 0.0, start=rng.normal(size=cross.shape))
    assert not b.any()
    assert gaps.tolist() == [0.0]


# ------------------------------------------------------------------------------------------------- laws and bounds


@pytest.mark.parametrize("l2", [0.0, 1e-6, 0.1])
@pytest.mark.parametrize("fraction", [0.5, 0.05, 1e-3])
def test_solutions_are_stationary(fraction, l2, rng):
    gram, cross, square = second_moments(*regression(rng))
    factors = rng.choice([0.2, 1.0, 4.0], cross.shape)
    l1 = fraction * np.abs(cross).max(1)
    b, gaps = elastic_net(gram, cross, square, l1, l2, penalty_factors=factors, tol=1e-10)
    assert gaps.max() <= 1e-10
    for k in range(len(cross)):
        require_stationary(gram, cross[k], b[k], l1[k], l2, factors[k])


def test_a_coefficient_off_by_a_thousandth_is_caught(rng):
    gram, cross, square = second_moments(*regression(rng, t=1))
    b, _ = elastic_net(gram, cross, square, 0.1, 0.1, tol=1e-12)
    require_stationary(gram, cross[0], b[0], 0.1, 0.1, np.ones(30))
    with pytest.raises(AssertionError):
        require_stationary(gram, cross[0], b[0] * 1.001, 0.1, 0.1, np.ones(30))


@pytest.mark.parametrize("max_steps", [1, 2, 3])
def test_the_gap_bounds_the_excess_even_when_the_solver_is_stopped_early(max_steps, rng):
    X, Y, w = regression(rng, q=120)
    gram, cross, square = second_moments(X, Y, w)
    l1 = 0.01 * np.abs(cross).max(1)
    rough, gaps = elastic_net(gram, cross, square, l1, 1e-3, max_steps=max_steps)
    best, _ = elastic_net(gram, cross, square, l1, 1e-3, tol=1e-13)
    for k, y in enumerate(Y.T):
        value, least = (objective(X, y, w, b[k], l1[k], 1e-3) for b in (rough, best))
        assert (value - least) / value <= gaps[k] + 1e-12
    if max_steps == 1:
        assert gaps.max() > 1e-6


@pytest.mark.parametrize("l2", [0.0, 1e-7, 0.05])
@pytest.mark.parametrize("fraction", [0.3, 0.01, 1e-4])
@pytest.mark.parametrize("kind", ["few samples", "twins", "constant"])
def test_singular_problems_are_solved(kind, fraction, l2, rng):
    gram, cross, square = singular(kind, rng)
    l1 = fraction * np.abs(cross).max(1)
    for start in (None, rng.normal(size=cross.shape)):
        b, gaps = elastic_net(gram, cross, square, l1, l2, start=start, tol=1e-8)
        assert np.isfinite(b).all()
        assert gaps.max() <= 1e-8


def test_without_a_ridge_the_active_regulators_are_independent(rng):
    gram, cross, square = singular("few samples", rng)
    b, _ = elastic_net(gram, cross, square, 1e-4 * np.abs(cross).max(1), 0.0)
    for row in b:
        active = np.flatnonzero(row)
        assert len(active) <= 11  # 12 samples, centred
        assert np.linalg.eigvalsh(gram[np.ix_(active, active)])[0] > 0


def test_a_perfect_fit_is_no_optimum(rng):
    X = rng.normal(size=(8, 20))
    y = rng.normal(size=8)
    start = np.linalg.lstsq(X, y, rcond=None)[0]
    moments = X.T @ X / 8, (X.T @ y / 8)[None], [y @ y / 8]
    b, gaps = elastic_net(*moments, 0.01, 0.0, start=start[None])
    assert gaps.max() <= 1e-6
    np.testing.assert_allclose(b, elastic_net(*moments, 0.01, 0.0)[0], atol=1e-6)


def test_a_price_is_the_inverse_of_a_scale(rng):
    gram, cross, square = second_moments(*regression(rng))
    scale = rng.uniform(0.5, 2.0, 30)
    b, _ = elastic_net(gram, cross, square, 0.1, 0.0, penalty_factors=scale, tol=1e-13)
    scaled, _ = elastic_net(gram / np.outer(scale, scale), cross / scale, square, 0.1, 0.0, tol=1e-13)
    np.testing.assert_allclose(b * scale, scaled, atol=1e-10)


def test_an_infinite_price_is_an_absent_regulator(rng):
    gram, cross, square = second_moments(*regression(rng))
    factors = np.ones(cross.shape)
    factors[:, [3, 7]] = np.inf
    b, gaps = elastic_net(gram, cross, square, 0.05, 0.1, penalty_factors=factors, start=rng.normal(size=cross.shape))
    kept = np.delete(np.arange(30), [3, 7])
    without, _ = elastic_net(gram[np.ix_(kept, kept)], cross[:, kept], square, 0.05, 0.1)
    assert not b[:, [3, 7]].any()
    np.testing.assert_allclose(b[:, kept], without, atol=1e-8)
    assert gaps.max() <= 1e-6


def test_a_start_saves_nothing_of_the_answer(rng):
    gram, cross, square = second_moments(*regression(rng))
    cold, _ = elastic_net(gram, cross, square, 0.05, 0.01, tol=1e-13)
    start = rng.normal(size=cross.shape)
    kept = start.copy()
    warm, _ = elastic_net(gram, cross, square, 0.05, 0.01, tol=1e-13, start=start)
    np.testing.assert_allclose(warm, cold, atol=1e-10)
    np.testing.assert_array_equal(start, kept)


def test_a_path_is_a_row_of_single_fits(rng):
    gram, cross, square = second_moments(*regression(rng))
    l1 = np.abs(cross).max(1)[:, None] * np.geomspace(1, 0.01, 12)
    for l2 in (0.01, 0.1 * l1):
        path, gaps = elastic_net_path(gram, cross, square, l1, l2, tol=1e-13)
        assert gaps.max() <= 1e-13
        for step in (0, 3, 11):
            single_l2 = l2 if np.isscalar(l2) else l2[:, step]
            single, _ = elastic_net(gram, cross, square, l1[:, step], single_l2, tol=1e-13)
            np.testing.assert_allclose(path[:, step], single, atol=1e-9)


def test_a_path_may_rise(rng):
    gram, cross, square = second_moments(*regression(rng))
    l1 = np.abs(cross).max(1)[:, None] * np.array([0.02, 0.2, 0.05, 1.0, 0.9])
    path, gaps = elastic_net_path(gram, cross, square, l1, 0.01, tol=1e-10)
    assert gaps.max() <= 1e-10
    for step in range(5):
        single, _ = elastic_net(gram, cross, square, l1[:, step], 0.01, tol=1e-13)
        np.testing.assert_allclose(path[:, step], single, atol=1e-7)


def test_a_path_ends_behind_the_first_fit_with_too_many_degrees_of_freedom(rng):
    gram, cross, square = second_moments(*regression(rng, t=3))
    l1, ridge, most = np.geomspace(1, 0.01, 20) * np.abs(cross).max(1)[:, None], 0.05, 6.0
    paths, statistics = np.zeros((3, 20, 30)), np.full((3, 20, 3), np.inf)
    penalties = l1, np.full(l1.shape, ridge), np.ones((1, 30))
    rule = Rule(1e-8, 100, counts_df=True, most_df=most)
    follow_paths((gram, cross, square), penalties, rule, paths, statistics, workspace(30))
    for df, gaps, b in zip(statistics[:, :, DF], statistics[:, :, GAP], paths, strict=True):
        last = int(np.argmax(df >= most))
        assert 0 < last < 19
        assert (df[:last] < most).all()
        assert np.isinf(df[last + 1 :]).all()
        assert gaps[: last + 1].max() <= 1e-8
        active = np.flatnonzero(b[last])
        inner = gram[np.ix_(active, active)]
        assert df[last] == pytest.approx(np.trace(np.linalg.solve(inner + ridge * np.eye(len(active)), inner)))


def test_all_kinds_of_arrays_go_to_the_one_compiled_kernel(rng):
    gram, cross, square = second_moments(*regression(rng))
    expected = elastic_net(gram, cross, square, 0.1, 0.1)[0]
    compiled = len(follow_paths.signatures)
    for array in (gram, cross):
        array.setflags(write=False)
    l1 = np.broadcast_to(0.1, len(cross))
    for found in (
        elastic_net(gram, cross, square, l1, l1)[0],
        elastic_net(np.asfortranarray(gram), cross.tolist(), square, 0.1, 0.1, penalty_factors=np.ones(30))[0],
        elastic_net_path(gram, cross[:, ::-1][:, ::-1], square, [0.1], 0.1)[0][:, 0],
    ):
        np.testing.assert_array_equal(found, expected)
    assert len(follow_paths.signatures) == compiled


def test_equal_input_gives_equal_bytes(rng):
    moments = second_moments(*regression(rng))
    first, again = (elastic_net(*moments, 0.05, 0.01)[0].tobytes() for _ in range(2))
    assert first == again


def test_without_compilation_the_answer_is_the_same():
    script = (
        "import numpy as np\n"
        "from kotowari.solvers.elastic_net import elastic_net_path\n"
        "X = np.random.default_rng(0).normal(size=(9, 6)); X[:, 5] = X[:, 0]\n"
        "gram, cross = X.T @ X / 9, (X.T @ X[:, :2] / 9).T + 0.1\n"
        "print(elastic_net_path(gram, cross, [4.0, 4.0], [0.3, 0.03, 0.003], 1e-3)[0].tolist())\n"
    )
    answers = [
        subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True).stdout
        for code in (script, f"import os; os.environ['NUMBA_DISABLE_JIT'] = '1'\n{script}")
    ]
    np.testing.assert_allclose(*(json.loads(text) for text in answers), atol=1e-8)


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"gram": np.eye(4)}, ShapeError, r"gram must have shape \(3, 3\)"),
        ({"cross": np.ones(3)}, ShapeError, "cross must have shape"),
        ({"square": [1.0]}, ShapeError, "square must have shape"),
        ({"square": [1.0, -1.0]}, InputError, "square must be 0 or more, got -1 at target 1"),
        ({"gram": np.full((3, 3), np.nan)}, InputError, "gram has 9 values that are not finite"),
        ({"l1": 0.0}, InputError, "l1 must be finite and above 0"),
        ({"l1": [1.0, 1.0, 1.0]}, ShapeError, "l1 must have shape"),
        ({"l2": -0.1}, InputError, "l2 must be finite and 0 or more"),
        ({"penalty_factors": [1.0, 0.0, 1.0]}, InputError, "penalty_factors must be above 0"),
        ({"penalty_factors": [1.0, 1.0]}, ShapeError, "penalty_factors must have shape"),
        ({"start": np.ones((1, 3))}, ShapeError, "start must have shape"),
        ({"tol": 0.0}, InputError, "tol must be above 0"),
        ({"max_steps": 0}, InputError, "max_steps 1 or more"),
    ],
)
def test_bad_input_is_told_in_a_sentence(changes, error, sentence):
    good = {"gram": np.eye(3), "cross": np.ones((2, 3)), "square": [2.0, 2.0], "l1": 0.1, "l2": 0.1}
    with pytest.raises(error, match=sentence):
        elastic_net(**(good | changes))
