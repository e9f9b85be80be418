"""Tensor reconstruction estimators: what the fit is, what it leaves alone, and what it refuses.

scikit-learn's ``check_estimator`` cannot run: it feeds tables, and a network has two modes beside the samples. What of
it does not depend on that is mirrored here: cloning, untouched options and inputs, equal refits, not fitted, lists as
input, lengths that differ, NaN, one class, labels of any kind, cross-validation, predictions sample by sample.
"""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils import get_tags

from kotowari.core.errors import ConvergenceError, DesignError, InputError, RunFolderError, ShapeError
from kotowari.studies.genenet.model.trip.projections import DenseTensor, hosvd
from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks
from kotowari.studies.genenet.model.trip.stiefel import subspace_agreement
from kotowari.studies.genenet.model.trip.trip import (
    TensorReconstructionClassifier,
    TensorReconstructionCox,
    TensorReconstructionRegressor,
)
from kotowari.studies.genenet.phantom_modules import planted_modules

QUICK = {"core_shape": 2, "n_hidden": 4, "head_steps": 30, "max_steps": 15, "n_members": 1, "starts": ("pls",)}
ESTIMATORS = (TensorReconstructionRegressor, TensorReconstructionClassifier, TensorReconstructionCox)


def _target(estimator, a, rng):
    if estimator is TensorReconstructionClassifier:
        return np.where(a[:, 0] > 0, "high", "low")
    if estimator is TensorReconstructionCox:
        return np.column_stack([rng.exponential(np.exp(-a[:, 0])), rng.random(len(a)) < 0.8]).astype(float)
    return a[:, 0] + 0.1 * rng.normal(size=len(a))


@pytest.fixture
def networks(rng):
    """Sixty 6 x 5 networks with two activities, sparse enough to have absent edges."""
    a = rng.normal(size=(60, 2))
    loadings = rng.normal(size=(2, 6, 5)) * (rng.random((6, 5)) < 0.8)
    X = np.einsum("im,mjk->ijk", a, loadings) + 0.2 * rng.normal(size=(60, 6, 5)) * (loadings[0] != 0)
    return X, a


@pytest.mark.parametrize("retraction", ["free", "qr", "polar", "cayley"])
def test_projections_are_orthonormal_to_the_last_digits(networks, retraction):
    X, a = networks
    fitted = TensorReconstructionRegressor(**QUICK, retraction=retraction).fit(X, a[:, 0])
    assert fitted.members_[0].n_steps > 0
    for c in fitted.projections_:
        assert c.dtype == np.float64
        assert np.abs(c.T @ c - np.eye(2)).max() < 1e-12


def test_the_retractions_and_the_free_matrices_reach_one_loss(networks):
    X, a = networks
    losses = [
        TensorReconstructionRegressor(
            core_shape=2, head="linear", starts=("hosvd",), head_steps=100, max_steps=250, n_members=1,
            validation_fraction=0, reconstruction_weight=0.3, head_weight=0.1, retraction=retraction, dtype="float64",
        ).fit(X, a[:, 0] * 1.0).loss_
        for retraction in ("free", "qr", "polar", "cayley")
    ]  # fmt: skip
    assert max(losses) - min(losses) < 2e-3 * min(losses)
    assert max(losses[1:]) - min(losses[1:]) < 1e-4 * min(losses)


def _hooi(X, core_shape, n_sweeps=200):
    """Alternate the projections until the kept energy is largest; by numpy, as in De Lathauwer et al. 2000."""
    c = [m.numpy() for m in hosvd(DenseTensor(torch.from_numpy(X.reshape(len(X), -1)), X.shape[1:]), core_shape)]
    for _ in range(n_sweeps):
        left = np.einsum("nij,jb->inb", X, c[1]).reshape(X.shape[1], -1)
        c[0] = np.linalg.svd(left, full_matrices=False)[0][:, : core_shape[0]]
        right = np.einsum("nij,ia->jna", X, c[0]).reshape(X.shape[2], -1)
        c[1] = np.linalg.svd(right, full_matrices=False)[0][:, : core_shape[1]]
    return c


def _largest_angle(a, b):
    # the sine of the largest angle is the norm of what one subspace lacks of the other: exact for small angles
    return float(np.arcsin(min(1.0, np.linalg.norm(b - a @ (a.T @ b), 2))))


@pytest.mark.parametrize("retraction", ["free", "cayley"])
def test_a_heavy_reconstruction_gives_the_subspaces_of_hooi(rng, retraction):
    X = rng.normal(size=(30, 7, 6)) * np.linspace(2, 0.5, 7)[:, None] * np.linspace(1.5, 0.5, 6)
    fitted = TensorReconstructionRegressor(
        core_shape=(3, 2), head="linear", starts=("hosvd",), reconstruction_weight=1e6, validation_fraction=0,
        head_steps=5, max_steps=600, n_members=1, retraction=retraction, dtype="float64",
    ).fit(X, rng.normal(size=30))  # fmt: skip
    centred = X - X.mean(0)
    start = hosvd(DenseTensor(torch.from_numpy(centred.reshape(30, -1)), (7, 6)), (3, 2))
    for c, wanted, first in zip(fitted.projections_, _hooi(centred, (3, 2)), start, strict=True):
        assert _largest_angle(c, wanted) < 1e-3
        assert _largest_angle(first.numpy(), wanted) > 3e-3


def test_without_reconstruction_the_projection_is_the_supervised_one(networks):
    X, a = networks
    fitted = TensorReconstructionRegressor(
        core_shape=1, head="linear", starts=("pls",), reconstruction_weight=0, head_weight=0, n_members=1,
        validation_fraction=0, head_steps=300, max_steps=600, step=0.02, dtype="float64",
    ).fit(X, a[:, 0])  # fmt: skip
    x = (X - fitted.frame_.mean.reshape(6, 5)) / fitted.frame_.scale
    y = (a[:, 0] - a[:, 0].mean()) / a[:, 0].std()
    # alternating least squares of y on u'Xv, the same minimum by another road
    u, v = (c[:, 0] for c in fitted.projections_)
    for _ in range(500):
        u = np.linalg.lstsq(x @ v, y, rcond=None)[0]
        v = np.linalg.lstsq(np.einsum("nij,i->nj", x, u), y, rcond=None)[0]
    best = float(np.mean((y - np.einsum("nij,i,j->n", x, u, v)) ** 2))
    assert fitted.loss_ < best * 1.02 + 1e-6


def test_the_gauge_is_that_of_the_hosvd_and_does_not_touch_predictions(networks):
    X, a = networks
    fitted = TensorReconstructionRegressor(**QUICK).fit(X, a[:, 0])
    learned = fitted.frame_.centred(X, dtype=torch.float64)[0]
    core = learned.rows(_learned_rows(fitted, a[:, 0])).project(fitted.members_[0].projections).numpy()
    for mode in (1, 2):
        unfolding = np.moveaxis(core, mode, 0).reshape(2, -1)
        gram = unfolding @ unfolding.T
        assert abs(gram[0, 1]) < 1e-4 * gram[0, 0]
        assert gram[0, 0] >= gram[1, 1]
    for c in fitted.projections_:
        assert (c[np.abs(c).argmax(0), range(2)] > 0).all()
    # undoing the gauge moves columns, but neither the subspace nor the score
    member = fitted.members_[0]
    rotation = torch.linalg.qr(torch.randn(2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    turned = [c @ rotation for c in member.projections]
    before = member.scores(learned).detach()
    member.head.turn(torch.kron(rotation, rotation))
    torch.testing.assert_close(member.head(learned.project(turned)).detach(), before)
    assert (member.scores(learned).detach() - before).abs().max() > 1e-3
    assert subspace_agreement(turned[0], member.projections[0]) == pytest.approx(1, abs=1e-12)


def _learned_rows(fitted, y):
    return fitted._splits(y, None, True, fitted._seed())[0][0]


def test_the_names_of_rows_and_columns_do_not_matter(networks, rng):
    X, a = networks
    rows, columns = rng.permutation(6), rng.permutation(5)
    options = QUICK | {"starts": ("hosvd", "pls", "kernel"), "dtype": "float64"}
    plain = TensorReconstructionRegressor(**options).fit(X, a[:, 0])
    moved = TensorReconstructionRegressor(**options).fit(X[:, rows][:, :, columns], a[:, 0])
    np.testing.assert_allclose(moved.predict(X[:, rows][:, :, columns]), plain.predict(X), atol=1e-7)
    np.testing.assert_allclose(moved.projections_[0], plain.projections_[0][rows], atol=1e-7)
    np.testing.assert_allclose(
        moved.edge_contributions(X[:, rows][:, :, columns]).values,
        plain.edge_contributions(X).values[:, rows][:, :, columns],
        atol=1e-7,
    )
    assert np.abs(moved.predict(X) - plain.predict(X)).max() > 1e-2


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_sparse_networks_give_what_dense_ones_give(networks, estimator, rng):
    X, a = networks
    y, options = _target(estimator, a, rng), QUICK | {"dtype": "float64", "starts": ("pls", "kernel")}
    sparse = SparseNetworks.from_dense(X)
    assert sparse.values.shape[1] < 30
    dense_fit, sparse_fit = estimator(**options).fit(X, y), estimator(**options).fit(sparse, y)
    np.testing.assert_allclose(sparse_fit.scores(sparse), dense_fit.scores(X), atol=1e-6)
    whole, listed = dense_fit.edge_contributions(X), sparse_fit.edge_contributions(sparse)
    np.testing.assert_allclose(listed.values, whole.values[(slice(None), *listed.edges.T)], atol=1e-6)
    np.testing.assert_allclose(listed.hub_scores(1), whole.hub_scores(1), atol=1e-6)


def test_an_edge_that_the_training_did_not_have_counts(networks):
    X, a = networks
    dense_fit = TensorReconstructionRegressor(**QUICK, dtype="float64").fit(X, a[:, 0])
    sparse_fit = TensorReconstructionRegressor(**QUICK, dtype="float64").fit(SparseNetworks.from_dense(X), a[:, 0])
    absent = np.argwhere((X == 0).all(0))[0]
    later = X[:4].copy()
    later[:, absent[0], absent[1]] = 2.0
    np.testing.assert_allclose(
        sparse_fit.predict(SparseNetworks.from_dense(later)), dense_fit.predict(later), atol=1e-6
    )
    told = sparse_fit.edge_contributions(SparseNetworks.from_dense(later))
    np.testing.assert_allclose(told.values.sum(1), told.change, rtol=1e-6)


def test_three_modes_are_fitted_and_explained(rng):
    a = rng.normal(size=80)
    u, v, w = (rng.normal(size=n) for n in (5, 4, 3))
    X = np.einsum("n,i,j,k->nijk", a, u, v, w) + 0.3 * rng.normal(size=(80, 5, 4, 3))
    fitted = TensorReconstructionRegressor(**(QUICK | {"core_shape": (2, 2, 1), "head_steps": 200})).fit(X[:60], a[:60])
    assert [c.shape for c in fitted.projections_] == [(5, 2), (4, 2), (3, 1)]
    assert fitted.score(X[60:], a[60:]) > 0.9
    told = fitted.edge_contributions(X[60:])
    assert told.values.shape == (20, 5, 4, 3)
    assert told.gap.max() < 1e-4
    np.testing.assert_allclose(told.hub_scores(2).sum(1), told.change, rtol=1e-4)


def test_it_learns_what_was_planted_and_fixed_subspaces_do_not():
    phantom = planted_modules(500, shape=(20, 15), random_state=0)
    learn, test = slice(0, 300), slice(300, 500)
    options = {"core_shape": 3, "n_members": 1, "head_steps": 300, "max_steps": 60, "patience": 60}
    ours = TensorReconstructionRegressor(**options, starts=("pls", "kernel")).fit(phantom.X[learn], phantom.y[learn])
    blind = TensorReconstructionRegressor(**(options | {"max_steps": 0}), starts=("hosvd",))
    assert ours.score(phantom.X[test], phantom.y[test]) > 0.65
    assert blind.fit(phantom.X[learn], phantom.y[learn]).score(phantom.X[test], phantom.y[test]) < 0.4


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_options_inputs_and_refits_stay_as_they_were(networks, estimator, rng):
    X, a = networks
    y = _target(estimator, a, rng)
    before = X.copy(), y.copy()
    made = clone(estimator(**(QUICK | {"n_members": 2})))
    options = made.get_params()
    with pytest.raises(NotFittedError):
        made.predict(X)
    assert made.fit(X, y) is made
    assert made.get_params() == options
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
    first = made.scores(X)
    np.testing.assert_array_equal(made.fit(X.tolist(), y.tolist()).scores(X), first)
    np.testing.assert_allclose(made.scores(X[[3]]), first[[3]], rtol=1e-12)
    assert made.score(X, y) > 0.6
    assert get_tags(made).input_tags.three_d_array


def test_cross_validation_keeps_groups_together_and_takes_sparse_networks(networks):
    X, a = networks
    groups = np.arange(60) // 2
    made = TensorReconstructionRegressor(**QUICK)
    scores = cross_val_score(made, SparseNetworks.from_dense(X), a[:, 0], cv=GroupKFold(3), groups=groups)
    assert (scores > 0.5).all()
    learned, held = made._splits(a[:, 0], groups, True, 0)[0]
    assert not set(groups[learned]) & set(groups[held])


def test_members_hold_out_every_sample_in_turn(networks):
    X, a = networks
    made = TensorReconstructionRegressor(**(QUICK | {"n_members": 5}))
    held = np.concatenate([part for _, part in made._splits(a[:, 0], None, True, 0)])
    assert sorted(held) == list(range(60))
    assert len(made.fit(X, a[:, 0]).members_) == 5


def test_three_classes_have_a_score_each_and_numbers_as_labels(networks):
    X, a = networks
    y = np.digitize(a[:, 0], [-0.5, 0.5]) * 10
    fitted = TensorReconstructionClassifier(**(QUICK | {"head_steps": 150})).fit(X, y)
    assert fitted.predict_proba(X).shape == (60, 3)
    np.testing.assert_allclose(fitted.predict_proba(X).sum(1), 1)
    assert fitted.score(X, y) > 0.8
    told = fitted.edge_contributions(X, output=20)
    np.testing.assert_allclose(told.values.sum((1, 2)), told.change, atol=1e-4 * np.abs(told.change).max())
    scores, mean = fitted.scores(X), fitted.scores(X.mean(0)[None])
    np.testing.assert_allclose(told.change, (scores - mean)[:, 2], atol=1e-10)
    with pytest.raises(InputError, match="one of the classes 0, 10, 20"):
        fitted.edge_contributions(X, output=7)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_saved_model_is_the_same_model(networks, estimator, sparse, rng, tmp_path):
    X, a = networks
    stack = SparseNetworks.from_dense(X) if sparse else X
    fitted = estimator(**(QUICK | {"n_members": 2})).fit(stack, _target(estimator, a, rng))
    fitted.save(tmp_path)
    again = estimator.load(tmp_path)
    np.testing.assert_array_equal(again.scores(stack), fitted.scores(stack))
    np.testing.assert_array_equal(again.predict(stack), fitted.predict(stack))
    np.testing.assert_array_equal(again.edge_contributions(stack).values, fitted.edge_contributions(stack).values)
    assert again.get_params() == fitted.get_params()
    assert again.loss_ == fitted.loss_


def test_a_damaged_or_foreign_folder_is_refused(networks, tmp_path):
    X, a = networks
    fitted = TensorReconstructionRegressor(**QUICK).fit(X, a[:, 0])
    fitted.save(tmp_path)
    with pytest.raises(InputError, match="no saved TensorReconstructionCox"):
        TensorReconstructionCox.load(tmp_path)
    arrays = tmp_path / "trip.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-8])
    with pytest.raises(InputError, match="does not belong"):
        TensorReconstructionRegressor.load(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        TensorReconstructionRegressor.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="random_state"):
        fitted.set_params(random_state=np.random.RandomState(0)).save(tmp_path)
    with pytest.raises(RunFolderError):
        fitted.set_params(random_state=0).save(arrays / "below")


def _with(X, value):
    bad = X.copy()
    bad[2, 1, 3] = value
    return bad


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda X, y: (X.reshape(60, -1), y), ShapeError, "two modes or more"),
        (lambda X, y: (X.astype(str), y), InputError, "must be real numbers"),
        (lambda X, y: (_with(X, np.nan), y), InputError, r"sample 2 is NaN or infinite at edge \(1, 3\)"),
        (lambda X, y: (np.ones_like(X), y), DesignError, "same network"),
        (lambda X, y: (X, np.r_[np.nan, y[1:]]), InputError, "y: row 0 is NaN"),
        (lambda X, _: (X, np.ones(60)), DesignError, "same value"),
        (lambda X, y: (X[:3], y[:3]), DesignError, "cannot fill 5 folds"),
        (lambda X, _: (X, np.array(["a"] * 60)), InputError, "one number a sample"),
    ],
)
def test_bad_networks_and_responses_are_refused_in_a_sentence(networks, change, error, words):
    X, a = networks
    bad, response = change(X, a[:, 0])
    with pytest.raises(error, match=words):
        TensorReconstructionRegressor(**QUICK).fit(bad, response)


def test_bad_classes_times_and_lengths_are_refused(networks):
    X, a = networks
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TensorReconstructionRegressor(**QUICK).fit(X, a[:50, 0])
    with pytest.raises(DesignError, match="one class 'x'"):
        TensorReconstructionClassifier(**QUICK).fit(X, ["x"] * 60)
    with pytest.raises(InputError, match="y: row 0 is NaN"):
        TensorReconstructionClassifier(**QUICK).fit(X, np.r_[np.nan, np.ones(59)])
    with pytest.raises(ShapeError, match="two numeric columns"):
        TensorReconstructionCox(**QUICK).fit(X, a[:, 0])
    with pytest.raises(InputError, match="row 1 needs a time of 0 or more"):
        TensorReconstructionCox(**QUICK).fit(X, np.column_stack([np.r_[1, -1, np.ones(58)], np.ones(60)]))
    with pytest.raises(DesignError, match="1 events were seen"):
        TensorReconstructionCox(**QUICK).fit(X, np.column_stack([np.ones(60), np.r_[1, np.zeros(59)]]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"core_shape": (2, 2, 2)}, "or 2 of them"),
        ({"core_shape": 0}, "1 or more"),
        ({"head": "forest"}, "head 'forest': choose one of linear, perceptron"),
        ({"starts": "pls"}, "starts must be a list"),
        ({"starts": ("best",)}, "starts 'best'"),
        ({"retraction": "svd"}, "retraction 'svd'"),
        ({"dtype": "float16"}, "dtype 'float16'"),
        ({"device": "tpu"}, "device 'tpu'"),
        ({"step": 0}, "step must be above 0"),
        ({"validation_fraction": 0.9}, "between 0 and 0.5"),
        ({"n_members": 0}, "n_members must be 1 or more"),
        ({"reconstruction_weight": -1}, "reconstruction_weight must be 0 or more"),
    ],
)
def test_bad_options_are_refused_in_a_sentence(networks, options, words):
    X, a = networks
    with pytest.raises(InputError, match=words):
        TensorReconstructionRegressor(**(QUICK | options)).fit(X, a[:, 0])


def test_later_networks_must_be_like_those_fitted_on(networks):
    X, a = networks
    with pytest.raises(DesignError, match="larger than the networks"):
        TensorReconstructionRegressor(**(QUICK | {"core_shape": (2, 6)})).fit(X, a[:, 0])
    fitted = TensorReconstructionRegressor(**QUICK).fit(X, a[:, 0])
    with pytest.raises(ShapeError, match="networks must have shape"):
        fitted.predict(X[:, :5])
    with pytest.raises(InputError, match="fitted on dense arrays"):
        fitted.predict(SparseNetworks.from_dense(X))
    with pytest.raises(InputError, match="reference: give 1 network or 60"):
        fitted.edge_contributions(X, reference=X[:2])
    with pytest.raises(InputError, match="give 'mean', a network"):
        fitted.edge_contributions(X, reference="median")
    with pytest.raises(InputError, match="rule 'simpson'"):
        fitted.edge_contributions(X, rule="simpson")
    with pytest.raises(InputError, match="n_points"):
        fitted.edge_contributions(X, n_points=0)
    with pytest.raises(InputError, match="one score"):
        fitted.edge_contributions(X, output=1)


def test_a_step_that_leads_to_infinity_is_told(networks):
    X, a = networks
    with pytest.raises(ConvergenceError, match="smaller step"):
        TensorReconstructionRegressor(
            **(QUICK | {"validation_fraction": 0, "step": 1e200, "dtype": "float64", "head": "linear"})
        ).fit(X, a[:, 0])
