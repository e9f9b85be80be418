"""Pooling: networks drawn towards one network for all samples, and how far, by samples that were left out."""

import numpy as np
import pandas as pd
import pytest

from kotowari.core.errors import InputError
from kotowari.studies.genenet.cluster.numbered import fit_numbered_block
from kotowari.studies.genenet.config import Config
from kotowari.studies.genenet.fitting import make_profiler, one_network_for_all
from kotowari.studies.genenet.model.profile.pooling import LeftOut, best_share, predict_left_out
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler

QUICK = {"n_lambdas": 8, "max_rounds": 1}
REGULATORS = [f"R{number}" for number in range(6)]
TARGETS = [f"T{number}" for number in range(5)]
SINGLE = 2e-6  # coefficients are kept as float32


def make_table(switched, n_samples=60, noise=1.0):
    """Return a table in which every target has two edges: alike everywhere, or turning their sign along the axis."""
    rng = np.random.default_rng(4)
    m = rng.uniform(-1, 1, n_samples)
    given = rng.normal(8, 1, (n_samples, len(REGULATORS)))
    course = np.sign(m) if switched else np.ones(n_samples)
    made = [
        3 + course * (given[:, k] - given[:, k + 1]) + noise * rng.normal(size=n_samples) for k in range(len(TARGETS))
    ]
    return pd.DataFrame(np.column_stack([given, *made]), columns=[*REGULATORS, *TARGETS]), m


def fitted(table, regulators=REGULATORS, targets=TARGETS, **options):
    return NetworkProfiler(**(QUICK | options)).fit(*table, regulators=regulators, targets=targets)


def dense(profiler):
    return profiler.networks().to_dense(limit_gb=1).astype(np.float64)


@pytest.fixture(scope="module")
def steady():
    return make_table(switched=False)


@pytest.fixture(scope="module")
def turning():
    return make_table(switched=True, noise=0.3)


# ------------------------------------------------------------------------------------------------------ what is mixed


@pytest.mark.parametrize("options", [{}, {"kernel": "knn"}, {"criterion": "bic"}, {"criterion": "cv", "n_folds": 3}])
def test_a_pooled_network_is_the_share_of_both(steady, options):
    local = dense(fitted(steady, **options))
    everywhere = options | {"kernel": "gaussian", "bandwidth": 1e12, "n_nodes": 2}
    one = dense(fitted(steady, **everywhere))
    mixed = dense(fitted(steady, pooling=0.3, **options))
    np.testing.assert_allclose(mixed, 0.7 * local + 0.3 * one, atol=1e-5)
    assert np.abs(mixed - 0.6 * local - 0.4 * one).max() > 0.01


def test_intercepts_fit_the_weighted_means_of_the_place(steady):
    X, m = steady
    profiler = fitted(steady, pooling=0.4)
    stack, weights = profiler.networks(), profiler.kernels_[0].weights(m[:, None], m[:, None])
    mean = weights @ X.to_numpy() / weights.sum(1, keepdims=True)
    given = np.einsum("sj,sjk->sk", mean[:, :6], dense(profiler))
    np.testing.assert_allclose(stack.intercepts + given, mean[:, 6:], rtol=10 * SINGLE)


def test_pooled_altogether_no_network_changes(turning):
    whole = dense(fitted(turning, pooling=1.0))
    assert np.ptp(whole, axis=0).max() == 0
    assert np.abs(whole).max() > 0
    assert np.ptp(dense(fitted(turning, pooling=0.9)), axis=0).max() > 0.01


def test_without_pooling_the_bytes_are_those_of_the_paper(turning):
    plain, none = (fitted(turning, **options) for options in ({}, {"pooling": 0}))
    for one, other in zip(plain._results(), none._results(), strict=True):
        assert all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)
    assert plain.networks().description == none.networks().description


def test_the_gap_is_the_larger_one_of_both_networks(turning):
    own, both = (fitted(turning, pooling=p).fit_table()["gap"].to_numpy() for p in (0, 0.5))
    one = fitted(turning, bandwidth=1e12, n_nodes=2).fit_table().drop_duplicates("target")["gap"].to_numpy()
    np.testing.assert_allclose(both, np.maximum(own, np.tile(one, len(own) // len(one))), atol=1e-8)
    assert both.max() <= 1e-6


def test_excluded_edges_and_edges_to_itself_stay_out(turning):
    factors = np.ones((11, 11))
    factors[:, 1] = np.inf
    genes = [*REGULATORS, *TARGETS]
    network = dense(fitted(turning, genes, genes, pooling=0.5, penalty_factors=factors))
    assert not network[:, 1].any()
    assert not np.einsum("sjj->sj", network).any()
    assert network[:, 0].any()


def test_a_place_with_too_few_neighbours_has_no_network_all_the_same(steady):
    X, m = steady
    far = np.where(np.arange(60) == 7, 50.0, m)
    with pytest.warns(UserWarning, match="too few neighbours"):
        stack = fitted((X, far), pooling=1.0, bandwidth=0.5).networks()
    assert not stack.fitted[7].any()
    assert not stack.values[[7]].nnz
    assert stack.fitted[:7].all()


def test_new_samples_get_pooled_networks_too(turning):
    X, m = turning
    profiler = fitted(turning, pooling=0.4)
    again = profiler.coefficients(m).to_dense(limit_gb=1)
    np.testing.assert_allclose(again, dense(profiler), atol=1e-6)
    said = profiler.predict(X, m)
    wanted = profiler.networks().intercepts + np.einsum("sj,sjk->sk", X[REGULATORS].to_numpy(), dense(profiler))
    np.testing.assert_allclose(said, wanted, atol=1e-4)


def test_two_modulators_and_nodes_are_pooled(turning, rng):
    X, m = turning
    two = np.column_stack([m, rng.normal(size=60)])
    assert 0 <= fitted((X, two), pooling="cv", effective_samples=0.5).pooling_ <= 1
    gaps = [fitted(turning, n_nodes=4, pooling=p).node_gap_ for p in (0, 1)]
    assert gaps[0] > 0.01
    assert gaps[1] < 1e-6


# --------------------------------------------------------------------------------------------------- how far, by folds


def test_the_share_is_the_least_squares_one(rng):
    said = LeftOut(*rng.normal(size=(3, 40, 4)))
    mixed = LeftOut(0.35 * said.one + 0.65 * said.local + 0.1 * said.truth, said.local, said.one)
    grid = np.linspace(0, 1, 2001)
    errors = [((mixed.truth - (1 - p) * mixed.local - p * mixed.one) ** 2).sum() for p in grid]
    assert best_share(mixed) == pytest.approx(grid[np.argmin(errors)], abs=1 / 2000)
    assert abs(best_share(mixed) - 0.65) > 0.1  # the share of the other model


def test_the_share_stays_between_the_models(rng):
    truth = rng.normal(size=(30, 3))
    assert best_share(LeftOut(truth, 0.5 * truth, 0.2 * truth)) == 0
    assert best_share(LeftOut(truth, 0.2 * truth, 0.5 * truth)) == 1
    assert best_share(LeftOut(truth, truth / 2, truth / 2)) == 0


def test_samples_without_a_network_of_their_own_have_no_part_in_the_share(rng):
    truth, local, one = rng.normal(size=(3, 30, 3))
    missing = local.copy()
    missing[:5] = np.nan
    wild = one.copy()
    wild[:5] = 1e6
    assert best_share(LeftOut(truth, missing, wild)) == best_share(LeftOut(truth[5:], local[5:], one[5:]))


def test_steady_networks_are_pooled_and_turning_ones_are_not(steady, turning):
    assert fitted(steady, pooling="cv").pooling_ > 0.7
    assert fitted(turning, pooling="cv").pooling_ < 0.1


def test_pooling_foretells_new_samples_of_steady_networks_better():
    X, m = make_table(switched=False, n_samples=120)
    train, test = np.arange(120) < 60, np.arange(120) >= 60
    errors = []
    for pooling in (0, "cv"):
        profiler = fitted((X[train].reset_index(drop=True), m[train]), pooling=pooling)
        said = profiler.predict(X[test].reset_index(drop=True), m[test])
        errors.append(np.nanmean((said - X[test][TARGETS].to_numpy()) ** 2))
    assert errors[1] < 0.9 * errors[0]


def test_what_is_said_of_samples_left_out_does_not_come_from_them(steady):
    X, m = steady
    left_out = np.arange(60) % 4 == 0
    said = {}
    for name, rows in {"as is": [], "left out": left_out, "training": ~left_out}.items():
        changed = X.copy()
        if len(rows):
            changed.loc[rows, TARGETS] = changed.loc[rows, TARGETS].to_numpy()[::-1] ** 2
        profiler = fitted((changed, m))
        task, kernels = profiler._prepared.task, profiler.kernels_
        said[name] = predict_left_out(task, kernels, np.arange(5), left_out, n_jobs=1)
    for model in ("local", "one"):
        np.testing.assert_array_equal(getattr(said["left out"], model), getattr(said["as is"], model))
        assert np.abs(getattr(said["training"], model) - getattr(said["as is"], model)).max() > 0.1
    assert np.abs(said["left out"].truth - said["as is"].truth).max() > 0.1


# ---------------------------------------------------------------------------------------------------- folders and doors


def test_a_folder_a_numbered_block_and_threads_give_the_same_bytes(steady, tmp_path):
    options = {"pooling": "cv", "block_size": 2}
    here = fitted(steady, **options)
    fitted(steady, folder=tmp_path / "run", n_jobs=2, **options)
    genes = {"regulators": REGULATORS, "targets": TARGETS}
    assert NetworkProfiler(folder=tmp_path / "jobs", **QUICK, **options).prepare(*steady, **genes) == 3
    for number in range(3):
        fit_numbered_block(tmp_path / "jobs", number)
    here.save(tmp_path / "saved")
    contents = [{p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("run", "jobs", "saved")]
    assert contents[0] == contents[1] == contents[2]
    loaded = NetworkProfiler.load(tmp_path / "run")
    assert loaded.pooling_ == here.pooling_ > 0
    assert loaded.pooling == "cv"
    np.testing.assert_array_equal(loaded.predict(*steady), here.predict(*steady))


def test_a_folder_of_another_share_is_refused(steady, tmp_path):
    fitted(steady, folder=tmp_path / "run", pooling=0.5)
    with pytest.raises(Exception, match="networks of other data or options"):
        fitted(steady, folder=tmp_path / "run", pooling=0.25)


def test_the_share_stands_in_the_description(steady):
    assert "; 0.25 of one network for all samples in each)" in fitted(steady, pooling=0.25).networks().description


@pytest.mark.parametrize("wrong", [-0.1, 1.5, np.nan, "auto", None])
def test_a_share_out_of_range_is_refused(steady, wrong):
    with pytest.raises(InputError, match="pooling must be cv, or a share from 0 to 1"):
        fitted(steady, pooling=wrong)


def test_the_study_hands_its_share_on_but_not_to_the_one_network_it_compares_with():
    assert make_profiler(Config(), 0).pooling == "cv"
    assert make_profiler(Config(), 0, pooling=0.25).pooling == 0.25
    assert one_network_for_all(Config(), 0).pooling == 0
    assert make_profiler(Config.model_validate({"network": {"pooling": 0.5}}), 0).pooling == 0.5
    for wrong in (1.5, -0.1, "auto"):
        with pytest.raises(ValueError, match="pooling"):
            Config.model_validate({"network": {"pooling": wrong}})
