"""NetworkProfiler: planted networks, exact fits, new samples, nodes, bandwidths, resuming, bad input."""

import errno
import os
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import ElasticNet
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted

from kotowari.core.errors import DesignError, InputError, RunFolderError, ShapeError
from kotowari.studies.genenet.edge_scoring import edge_scores
from kotowari.studies.genenet.model.profile import blocks as blocks_module
from kotowari.studies.genenet.model.profile import profiler as profiler_module
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.studies.genenet.phantom import simulate_networks

QUICK = {"n_lambdas": 15, "max_rounds": 2}


@pytest.fixture(scope="module")
def phantom():
    return simulate_networks(n_samples=240, n_regulators=40, n_targets=8, n_active=3, n_relays=1, random_state=3)


def fit(phantom, **options):
    profiler = NetworkProfiler(**({"effective_samples": 80} | QUICK | options))
    return profiler.fit(phantom.X, phantom.modulator, regulators=phantom.regulators, targets=phantom.targets)


@pytest.fixture(scope="module")
def fitted(phantom):
    return fit(phantom)


def small(rng, n=60, genes=6):
    X = pd.DataFrame(rng.normal(size=(n, genes)), [f"P{k}" for k in range(n)], [f"G{k}" for k in range(genes)])
    m = np.sort(rng.random(n))
    X["G5"] = X["G0"] * (2 * m - 1) * 2 + X["G1"] + 0.3 * rng.normal(size=n)
    return X, m


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# ------------------------------------------------------------------------------------------------------ what it finds


def test_planted_varying_edges_are_found(phantom, fitted):
    scores = edge_scores(fitted.networks(), phantom.truth, X=phantom.X)
    assert scores.auroc >= 0.95
    assert scores.rmse < 0.5 * scores.rms
    assert scores.rec_correlation > 0.8


def test_networks_of_shuffled_samples_find_nothing(phantom, rng):
    order = rng.permutation(len(phantom.X))
    targets = list(phantom.targets)
    broken = phantom.X.copy()
    broken[targets] = broken[targets].to_numpy()[order]
    stack = NetworkProfiler(effective_samples=80, **QUICK).fit(
        broken, phantom.modulator, regulators=phantom.regulators, targets=phantom.targets
    )
    assert edge_scores(stack.networks(), phantom.truth).auroc < 0.65


def test_every_fit_is_exact_and_its_scale_is_raw(rng):
    """All fits against scikit-learn on weighted, standardised samples, at the penalties that were chosen."""
    X, m = small(rng)
    profiler = NetworkProfiler(bandwidth=0.05, max_rounds=1, n_lambdas=10).fit(X, m)
    table, dense = profiler.fit_table(), profiler.networks().to_dense()
    weights, excess = np.exp(-((m[:, None] - m) ** 2) / 0.05), []
    for row in table.itertuples():
        place, target = np.searchsorted(profiler.places_[:, 0], row.modulator), profiler.targets_.index(row.target)
        w = weights[place] / weights[place].sum()
        z = X.to_numpy() - w @ X.to_numpy()
        deviation = np.sqrt(w @ z**2)
        z = z / deviation
        others = np.delete(np.arange(6), target)
        b = dense[place, others, target] * deviation[others] / deviation[target]
        alpha = row.penalty + row.ridge
        model = ElasticNet(alpha, l1_ratio=row.penalty / alpha, fit_intercept=False, tol=1e-13, max_iter=10**6)
        best = model.fit(z[:, others], z[:, target], sample_weight=w * len(w)).coef_

        def value(beta):
            rest = z[:, target] - z[:, others] @ beta  # noqa: B023
            smooth = w @ rest**2 + row.ridge * beta @ beta  # noqa: B023
            return 0.5 * smooth + row.penalty * np.abs(beta).sum()  # noqa: B023

        excess.append(value(b) / value(best) - 1)
    assert len(excess) == 360
    assert max(excess) <= 1e-6
    assert not dense[:, np.arange(6), np.arange(6)].any()  # no gene regulates itself


@pytest.mark.parametrize("criterion", ["bic", "paper", "cv"])
def test_every_criterion_finds_the_planted_edges(criterion, phantom):
    stack = fit(phantom, criterion=criterion, n_nodes=25, n_lambdas=10).networks()
    assert edge_scores(stack, phantom.truth).auroc >= 0.95


@pytest.mark.parametrize("options", [{"kernel": "knn"}, {"kernel": "knn", "bandwidth": 100}, {"bandwidth": 0.02}])
def test_every_kernel_finds_the_planted_edges(options, phantom):
    assert edge_scores(fit(phantom, n_nodes=25, **options).networks(), phantom.truth).auroc >= 0.95


def test_intercepts_and_coefficients_predict_the_training_samples(phantom, fitted):
    stack = fitted.networks()
    regulators = phantom.X[list(phantom.regulators)].to_numpy()
    expected = stack.intercepts + np.einsum("ar,art->at", regulators, stack.to_dense())
    np.testing.assert_allclose(fitted.predict(phantom.X, phantom.modulator), expected, atol=1e-4)
    targets = phantom.X[list(phantom.targets)].to_numpy()
    assert ((targets - expected) ** 2).mean() < 0.4 * targets.var()


def test_two_modulators_make_a_network_each_place(rng):
    X, m = small(rng, n=80)
    both = np.column_stack([m, rng.random(80)])
    profiler = NetworkProfiler(effective_samples=25, **QUICK).fit(X, both, regulators=["G0", "G1"], targets=["G5"])
    stack = profiler.networks()
    slope = stack.to_dense()[:, 0, 0]
    assert stack.modulator.shape == (80, 2)
    assert np.corrcoef(slope, m)[0, 1] > 0.8
    assert len(profiler.kernels_[0].bandwidth) == 2


def test_penalty_factors_hold_an_edge_back(rng):
    X, m = small(rng)
    options = {"regulators": ["G0", "G1", "G2"], "targets": ["G5"]}
    free = NetworkProfiler(kernel="knn", **QUICK).fit(X, m, **options).networks()
    held = NetworkProfiler(kernel="knn", penalty_factors=[1, np.inf, 1], **QUICK).fit(X, m, **options).networks()
    assert free.to_dense()[:, 1].any()
    assert not held.to_dense()[:, 1].any()


# -------------------------------------------------------------------------------------------- places, nodes, bandwidths


def test_equal_modulators_share_a_network(rng):
    X, m = small(rng)
    profiler = NetworkProfiler(kernel="knn", **QUICK).fit(X, np.round(m, 1))
    dense = profiler.networks().to_dense()
    assert len(profiler.places_) == len(np.unique(np.round(m, 1)))
    np.testing.assert_array_equal(dense[0], dense[1])


def test_new_places_have_the_networks_of_training_samples_there(phantom, fitted):
    at = pd.Series(phantom.modulator[[5, 100]], index=["a", "b"])
    new, old = fitted.coefficients(at), fitted.networks()
    assert new.samples == ("a", "b")
    np.testing.assert_allclose(new.to_dense(), old.to_dense()[[5, 100]], atol=1e-5)
    one = fitted.coefficients(at, targets=[phantom.targets[2]])
    assert one.targets == (phantom.targets[2],)
    np.testing.assert_array_equal(one.to_dense()[:, :, 0], new.to_dense()[:, :, 2])


def test_nothing_is_extrapolated(phantom, fitted):
    stack = fitted.coefficients([-1.0, 0.5, 2.0])
    assert stack.fitted.all(1).tolist() == [False, True, False]
    predicted = fitted.predict(phantom.X.iloc[:2], [0.5, 9.0])
    assert np.isfinite(predicted[0]).all()
    assert np.isnan(predicted[1]).all()
    with pytest.raises(InputError, match="all values lie beyond those of training"):
        fitted.coefficients([7.0])


def test_nodes_cost_less_than_they_change(phantom, fitted):
    coarse = fit(phantom, n_nodes=40)
    assert len(coarse.places_) == 40
    assert 0 < coarse.node_gap_ < 0.4
    assert fitted.node_gap_ is None
    difference = coarse.networks().to_dense() - fitted.networks().to_dense()
    assert np.linalg.norm(difference) < 0.4 * np.linalg.norm(fitted.networks().to_dense())


def test_a_node_at_every_sample_is_the_full_solution(rng):
    X, m = small(rng)
    full = NetworkProfiler(kernel="knn", **QUICK).fit(X, m)
    nodes = NetworkProfiler(kernel="knn", n_nodes=len(m), **QUICK).fit(X, m)
    assert nodes.node_gap_ < 1e-3
    np.testing.assert_allclose(nodes.networks().to_dense(), full.networks().to_dense(), atol=1e-3)


def test_the_bandwidth_that_predicts_left_out_samples_is_chosen(phantom):
    profiler = fit(phantom, bandwidth="cv", bandwidths=[1e-3, 0.01, 10.0], n_lambdas=10, max_rounds=1)
    assert profiler.bandwidth_errors_.shape == (3, 8)
    chosen = [kernel.bandwidth[0] for kernel in profiler.kernels_]
    assert chosen == [[1e-3, 0.01, 10.0][k] for k in profiler.bandwidth_errors_.argmin(0)]
    assert chosen.count(0.01) > 4
    assert profiler.networks().targets == phantom.targets


def test_a_grid_of_bandwidths_that_is_too_narrow_is_told(phantom):
    with pytest.warns(UserWarning, match=r"the last of 2 bandwidths .* is the best for \d of 8 targets.* Widen"):
        fit(phantom, bandwidth="cv", bandwidths=[2e-4, 2e-3], n_lambdas=6, max_rounds=1, n_nodes=10)


def test_too_few_neighbours_at_an_end_are_marked_and_told(rng):
    X, m = small(rng)
    m[-1] = 5.0
    with pytest.warns(UserWarning, match=r"1 of 60 samples \(modulator 5 to 5\) have too few neighbours"):
        profiler = NetworkProfiler(bandwidth=0.05, **QUICK).fit(X, m)
    stack, table = profiler.networks(), profiler.fit_table()
    assert not stack.fitted[-1].any()
    assert stack.fitted[:-1].all()
    assert not stack.to_dense()[-1].any()
    assert set(table.status[table.modulator == 5.0]) == {"too few neighbours"}
    assert profiler.effective_samples_[-1].max() == pytest.approx(1)


# ------------------------------------------------------------------------------- threads, folders, resuming, saving


def test_threads_and_blocks_do_not_change_a_byte(rng, tmp_path):
    X, m = small(rng, genes=40)
    folders = []
    for n_jobs in (1, 3):
        folders.append(tmp_path / str(n_jobs))
        NetworkProfiler(kernel="knn", n_jobs=n_jobs, folder=folders[-1], block_size=16, **QUICK).fit(X, m)
    assert bytes_of(folders[0]) == bytes_of(folders[1])
    assert len(bytes_of(folders[0])) == 5


def test_a_resumed_fit_is_an_unbroken_fit(rng, tmp_path, monkeypatch):
    X, m = small(rng)
    profiler = NetworkProfiler(kernel="knn", block_size=2, folder=tmp_path / "broken", **QUICK)
    calls = []

    def killed(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return blocks_module.fit_block(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(profiler_module, "fit_blocks", lambda *a, **o: blocks_module.fit_blocks(*a, fit=killed, **o))
        with pytest.raises(KeyboardInterrupt):
            profiler.fit(X, m)
    assert sorted(bytes_of(tmp_path / "broken")) == ["block-00000.npz", "block-00001.npz", "profile.json", "task.npz"]
    kept = (tmp_path / "broken" / "block-00000.npz").stat().st_mtime_ns
    profiler.fit(X, m)
    unbroken = clone(profiler).set_params(folder=tmp_path / "unbroken").fit(X, m)
    assert (tmp_path / "broken" / "block-00000.npz").stat().st_mtime_ns == kept
    assert bytes_of(tmp_path / "broken") == bytes_of(tmp_path / "unbroken")
    memory = clone(profiler).set_params(folder=None).fit(X, m)
    for stack in (unbroken.networks(), memory.networks()):
        np.testing.assert_array_equal(stack.to_dense(), profiler.networks().to_dense())


def test_a_folder_of_other_networks_is_refused(rng, tmp_path):
    X, m = small(rng)
    NetworkProfiler(kernel="knn", folder=tmp_path / "run", **QUICK).fit(X, m)
    for options, table in (({"tol": 1e-5}, X), ({"kernel": "gaussian"}, X), ({}, X + 1e-9)):
        profiler = NetworkProfiler(**({"kernel": "knn", "folder": tmp_path / "run"} | QUICK | options))
        with pytest.raises(RunFolderError, match="networks of other data or options"):
            profiler.fit(table, m)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not empty, and holds no networks"):
        NetworkProfiler(kernel="knn", folder=tmp_path / "notes", **QUICK).fit(X, m)


def test_a_damaged_block_is_told_by_its_name(rng, tmp_path):
    X, m = small(rng)
    profiler = NetworkProfiler(kernel="knn", folder=tmp_path, **QUICK).fit(X, m)
    (tmp_path / "block-00000.npz").write_bytes(b"PK cut short")
    with pytest.raises(RunFolderError, match=r"block-00000\.npz: cannot be read .* Delete it and fit again"):
        profiler.networks()


def test_a_full_disk_is_told_and_the_fit_goes_on_later(rng, tmp_path, monkeypatch):
    X, m = small(rng)
    profiler = NetworkProfiler(kernel="knn", block_size=2, folder=tmp_path, **QUICK)
    written = []

    def full(_):
        written.append(1)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunFolderError, match="No space left"):
            profiler.fit(X, m)
    assert sorted(bytes_of(tmp_path)) == ["block-00000.npz", "profile.json", "task.npz"]
    profiler.fit(X, m)
    assert len(bytes_of(tmp_path)) == 5


def test_progress_and_the_price_of_nodes_are_shown(rng, capsys):
    X, m = small(rng)
    NetworkProfiler(kernel="knn", n_nodes=5, verbose=True, **QUICK).fit(X, m)
    shown = capsys.readouterr().err
    assert "Networks: done" in shown
    assert "coefficients differ from the full solution by" in shown


def test_a_fitted_profiler_survives_pickling(phantom, fitted):
    copy = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    np.testing.assert_array_equal(copy.networks().to_dense(), fitted.networks().to_dense())
    at = phantom.modulator[:3]
    np.testing.assert_array_equal(copy.predict(phantom.X.iloc[:3], at), fitted.predict(phantom.X.iloc[:3], at))


def test_equal_seeds_give_equal_bytes(phantom):
    first, again = (fit(phantom, criterion="cv", n_nodes=6, n_lambdas=6).networks().to_dense() for _ in range(2))
    other = fit(phantom, criterion="cv", n_nodes=6, n_lambdas=6, random_state=1).networks().to_dense()
    assert first.tobytes() == again.tobytes() != other.tobytes()


# ---------------------------------------------------------------------------------------- scikit-learn, and bad input


class AtTheMedian(NetworkProfiler):
    """With the modulator in the place of y, and predictions at its median: what scikit-learn's checks can call."""

    def fit(self, X, y):
        return super().fit(X, y)

    def predict(self, X):
        check_is_fitted(self)
        return super().predict(X, np.full(np.shape(X)[0], np.median(self.modulator_)))


CHECKS = list(estimator_checks_generator(AtTheMedian(kernel="knn", max_rounds=1, n_lambdas=5)))


@pytest.mark.filterwarnings("ignore:NetworkProfiler. no network has an edge")
@pytest.mark.parametrize("check", [check for _, check in CHECKS], ids=[check.func.__name__ for _, check in CHECKS])
def test_scikit_learn_finds_nothing_to_complain_about(check):
    check(AtTheMedian(kernel="knn", max_rounds=1, n_lambdas=5))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kernel": "box"}, "kernel must be gaussian or knn"),
        ({"criterion": "aic"}, "criterion must be one of waicc, paper, bic, cv"),
        ({"n_lambdas": 1}, "n_lambdas must be 2 or more"),
        ({"lambda_ratio": 1.0}, "lambda_ratio must lie between 0 and 1"),
        ({"ridges": ()}, "ridges must be one finite value or more"),
        ({"ridges": (-1.0,)}, "ridges must be one finite value or more"),
        ({"max_rounds": 0}, "max_rounds must be 1 or more"),
        ({"n_folds": 1}, "n_folds must be 2 or more"),
        ({"tol": 0.0}, "tol must be above 0"),
        ({"block_size": 0}, "block_size must be 1 or more"),
        ({"bandwidth": "wide"}, "bandwidth must be effective, cv or a number"),
        ({"bandwidth": (0.1, 0.1)}, "1 modulators need as many bandwidths"),
        ({"bandwidth": -0.1}, "above 0 and finite"),
        ({"kernel": "knn", "bandwidth": 0.5}, "takes one number of neighbours, 2 to 60"),
        ({"kernel": "knn", "bandwidth": 61}, "takes one number of neighbours, 2 to 60"),
        ({"effective_samples": 1.5}, "effective_samples must be above 2"),
        ({"effective_samples": 60}, "effective_samples must be above .* and below"),
        ({"bandwidth": "cv", "bandwidths": [0.1, 0.1]}, "needs two different ones or more"),
        ({"n_nodes": 1}, "n_nodes must be 2 or more"),
        ({"penalty_factors": [0.0] * 6}, "penalty_factors must be above 0"),
        ({"penalty_factors": [1.0] * 4}, "penalty_factors must have shape"),
    ],
)
def test_options_out_of_range_are_told_in_a_sentence(options, sentence, rng):
    X, m = small(rng)
    with pytest.raises((InputError, ShapeError), match=sentence):
        NetworkProfiler(**options).fit(X, m)


def test_genes_that_cannot_be_used_are_named(rng):
    X, m = small(rng)
    with pytest.raises(InputError, match=r"regulators: 2 of 3 are not in the table \(ZEB1, SNAI2\)"):
        NetworkProfiler().fit(X, m, regulators=["G1", "ZEB1", "SNAI2"])
    with pytest.raises(InputError, match=r"targets: 1 names stand more than once \(G1\)"):
        NetworkProfiler().fit(X, m, targets=["G1", "G1"])
    with pytest.raises(InputError, match="targets: there are none"):
        NetworkProfiler().fit(X, m, targets=[])
    with pytest.raises(InputError, match="regulators: expected a list of gene names, got the text 'G1'"):
        NetworkProfiler().fit(X, m, regulators="G1")
    with pytest.raises(InputError, match=r"targets: 2 are constant \(G2, G3\)"):
        NetworkProfiler().fit(X.assign(G2=1.0, G3=0.1), m, regulators=["G0"])
    holes = X.copy()
    holes.iloc[3, 2], holes.iloc[9, 4] = np.nan, np.inf
    with pytest.raises(InputError, match=r"gene G2 of sample P3 is missing .*, and so are 1 other values"):
        NetworkProfiler().fit(holes, m)
    whole = NetworkProfiler(kernel="knn", **QUICK).fit(holes, m, regulators=["G0", "G1"], targets=["G5"])
    assert set(whole.fit_table().status) == {"fitted"}
    with pytest.raises(InputError, match=r"1 gene names stand more than once \(G0\)"):
        NetworkProfiler().fit(pd.concat([X, X[["G0"]]], axis=1), m)


def test_designs_without_an_honest_answer_are_refused(rng):
    X, m = small(rng)
    with pytest.raises(DesignError, match="the value 1 in all samples"):
        NetworkProfiler().fit(X, np.ones(60))
    with pytest.raises(DesignError, match="5 samples are too few"):
        NetworkProfiler().fit(X[:5], m[:5])
    with pytest.raises(DesignError, match="leaves every sample with at most two effective neighbours"):
        NetworkProfiler(bandwidth=1e-9).fit(X, m)
    with pytest.raises(InputError, match="n_nodes: interpolation is along one modulator"):
        NetworkProfiler(n_nodes=5).fit(X, np.column_stack([m, rng.random(60)]))


def test_networks_without_any_edge_are_told(rng):
    X = rng.normal(size=(60, 3))
    profiler = NetworkProfiler(kernel="knn", criterion="bic", penalty_factors=[np.inf] * 3, **QUICK)
    with pytest.warns(UserWarning, match="no network has an edge"):
        assert profiler.fit(X, rng.random(60)).networks().n_edges == 0


def test_new_samples_that_do_not_fit_are_refused(phantom, fitted):
    X = phantom.X
    with pytest.raises(InputError, match=r"X has 3 features, but NetworkProfiler is expecting 48"):
        fitted.predict(X.iloc[:, :3], phantom.modulator)
    with pytest.raises(InputError, match="gene 0 is R001, and was R000"):
        fitted.predict(X[[X.columns[1], X.columns[0], *X.columns[2:]]], phantom.modulator)
    with pytest.raises(ShapeError, match="modulator must have shape"):
        fitted.predict(X, phantom.modulator[:-1])
    with pytest.raises(ShapeError, match="modulator must have shape"):
        fitted.coefficients(np.zeros((4, 2)))
    with pytest.raises(InputError, match=r"targets: 1 of 1 are not in the table \(T999\)"):
        fitted.coefficients([0.5], targets=["T999"])


def test_a_dense_result_beyond_the_limit_is_refused(fitted):
    with pytest.raises(InputError, match=r"as one dense array need .* GB, above the limit"):
        fitted.networks().to_dense(limit_gb=1e-6)


def test_a_number_of_neighbours_is_chosen_by_prediction(rng):
    X, m = small(rng)
    profiler = NetworkProfiler(kernel="knn", bandwidth="cv", bandwidths=(6, 12, 60), max_rounds=1, n_lambdas=8)
    profiler.fit(X, m, regulators=["G0", "G1"], targets=["G5"])
    assert profiler.bandwidth_errors_.shape == (3, 1)
    assert profiler.kernels_[0].n_neighbours < 60


def test_a_named_modulator_is_put_into_the_order_of_the_table(rng):
    X, m = small(rng)
    named = pd.Series(m, X.index)
    options = {"effective_samples": 30, "n_lambdas": 8, "max_rounds": 1}
    fitted = NetworkProfiler(**options).fit(X, named, regulators=["G0", "G1"], targets=["G5"])
    moved = named.sample(frac=1, random_state=0)
    shuffled = NetworkProfiler(**options).fit(X, moved, regulators=["G0", "G1"], targets=["G5"])
    np.testing.assert_array_equal(shuffled.modulator_, fitted.modulator_)
    inner = named.iloc[10:50]
    said = fitted.predict(X.loc[inner.index], inner)
    np.testing.assert_array_equal(fitted.predict(X.loc[inner.index], inner.sample(frac=1, random_state=1)), said)
    with pytest.raises(InputError, match=r"it lacks 1 samples \(P0\)"):
        NetworkProfiler(**options).fit(X, named.rename({"P0": "P99"}), regulators=["G0"], targets=["G5"])
