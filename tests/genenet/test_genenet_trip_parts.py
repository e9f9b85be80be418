"""The parts of tensor reconstruction: projections, sparse networks, losses, objective, starts, phantom."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.genenet.model.trip.fit import objective
from kotowari.studies.genenet.model.trip.heads import Head
from kotowari.studies.genenet.model.trip.projections import DenseTensor, EdgeTensor, complete_basis, hosvd
from kotowari.studies.genenet.model.trip.responses import ClassResponse, NumberResponse, SurvivalResponse
from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks
from kotowari.studies.genenet.model.trip.starts import STARTS, Part
from kotowari.studies.genenet.model.trip.stiefel import orthonormal_columns, subspace_agreement
from kotowari.studies.genenet.phantom_modules import planted_modules

F64 = torch.float64
EYE2 = torch.eye(2, dtype=F64)


@pytest.fixture
def draws():
    return torch.Generator().manual_seed(0)


def _both(rng, shape=(6, 5, 4), share=0.3):
    """Return the same networks as a dense and as a sparse tensor."""
    X = rng.normal(size=(7, *shape)) * (rng.random(shape) < share)
    sparse = SparseNetworks.from_dense(X)
    dense = DenseTensor(torch.from_numpy(X.reshape(7, -1)), shape)
    return dense, EdgeTensor(torch.from_numpy(sparse.values), torch.from_numpy(sparse.edges), shape), X


def _bases(draws, shape, n=2):
    return [orthonormal_columns(torch.randn(length, n, generator=draws, dtype=F64)) for length in shape]


def _small_part(draws, n=6, shape=(5, 4)):
    networks = DenseTensor(torch.randn(n, shape[0] * shape[1], generator=draws, dtype=F64), shape)
    return Part(networks, NumberResponse(torch.randn(n, generator=draws, dtype=F64)))


def _head(draws, n_inputs=4, n_hidden=3):
    head = Head(n_inputs, 1, n_hidden=n_hidden, scale=1.3, generator=draws)
    torch.nn.init.normal_(head.linear, generator=draws)
    return head


def test_a_dense_projection_is_the_tucker_core(rng, draws):
    dense, _, X = _both(rng)
    c = _bases(draws, dense.mode_shape)
    core = np.einsum("nijk,ia,jb,kc->nabc", X, *(m.numpy() for m in c))
    np.testing.assert_allclose(dense.project(c).numpy(), core, atol=1e-13)
    lifted = np.einsum("nabc,ia,jb,kc->nijk", core, *(m.numpy() for m in c))
    np.testing.assert_allclose(dense.lift(dense.project(c), c).numpy().reshape(X.shape), lifted, atol=1e-13)


def test_a_sparse_projection_and_its_gradient_equal_the_dense_ones(rng):
    dense, sparse, _ = _both(rng)
    gradients = []
    for tensor in (dense, sparse):
        c = [m.clone().requires_grad_() for m in _bases(torch.Generator().manual_seed(1), tensor.mode_shape)]
        loss = tensor.project(c).sin().sum()
        gradients.append((loss.detach(), *torch.autograd.grad(loss, c)))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-12)
    for mode in range(3):
        gram = sparse.unfolded(mode) @ sparse.unfolded(mode).T
        np.testing.assert_allclose(gram.toarray(), dense.unfolded(mode) @ dense.unfolded(mode).T, atol=1e-12)


def test_a_sparse_tensor_with_two_modes_mixed_up_is_caught(rng, draws):
    dense, sparse, _ = _both(rng, shape=(5, 5))
    c = _bases(draws, (5, 5))
    wrong = EdgeTensor(sparse.values, sparse.edges.flip(1), (5, 5))
    torch.testing.assert_close(sparse.project(c), dense.project(c))
    assert (wrong.project(c) - dense.project(c)).abs().max() > 0.1


def test_hosvd_is_the_svd_of_every_unfolding(rng):
    dense, sparse, X = _both(rng)
    for mode, found in enumerate(hosvd(sparse, (2, 2, 2))):
        u, _, _ = np.linalg.svd(np.moveaxis(X, mode + 1, 0).reshape(X.shape[mode + 1], -1), full_matrices=False)
        np.testing.assert_allclose(np.abs(found.numpy().T @ u[:, :2]), np.eye(2), atol=1e-9)
    with pytest.raises(DesignError, match="does not fit"):
        hosvd(dense, (7, 2, 2))


def test_long_modes_use_an_iteration_that_gives_the_same_subspace(rng, monkeypatch):
    dense, sparse, _ = _both(rng, shape=(12, 5))
    direct = hosvd(dense, (3, 3))
    monkeypatch.setattr("kotowari.studies.genenet.model.trip.projections._MOST_EIGH", 2)
    for c, other in zip(direct, hosvd(sparse, (3, 3)), strict=True):
        assert subspace_agreement(c, other) == pytest.approx(1, abs=1e-10)


def test_a_completed_basis_keeps_the_first_columns_and_is_orthonormal(draws):
    first, fallback = _bases(draws, (8,), 2)[0], _bases(draws, (8,), 4)[0]
    whole = complete_basis(first, fallback, 4)
    assert torch.equal(whole[:, :2], first)
    assert (whole.T @ whole - torch.eye(4, dtype=F64)).abs().max() < 1e-13


@pytest.mark.parametrize("mode", [0, 1])
def test_the_gradient_of_the_objective_is_the_printed_formula(mode, draws):
    part, head, weight = _small_part(draws), _head(draws), 0.7
    c = [m.requires_grad_() for m in _bases(draws, part.networks.mode_shape)]
    value = objective(part, c, head, reconstruction_weight=weight, head_weight=0.0)
    gradient = torch.autograd.grad(value, c)[mode]
    X = part.networks.values.reshape(-1, 5, 4)
    core = part.networks.project(c).detach().requires_grad_()
    # D_i is the derivative of one sample's loss: the mean over n samples has 1/n of it
    (d,) = torch.autograd.grad(part.response.loss(head(core)) * len(X), core)
    fixed, s = [m.detach() for m in c], X.square().sum()
    if mode == 0:
        printed = torch.einsum("nij,jb,nab->ia", X, fixed[1], d / len(X) - 2 * weight / s * core.detach())
    else:
        printed = torch.einsum("nij,ia,nab->jb", X, fixed[0], d / len(X) - 2 * weight / s * core.detach())
    torch.testing.assert_close(gradient, printed, rtol=1e-10, atol=1e-12)
    without = torch.einsum("nij,jb,nab->ia" if mode == 0 else "nij,ia,nab->jb", X, fixed[1 - mode], d / len(X))
    assert (gradient - without).abs().max() > 1e-3


def test_the_objective_passes_gradcheck(draws):
    part, head = _small_part(draws), _head(draws)
    c = [m.requires_grad_() for m in _bases(draws, part.networks.mode_shape)]

    def value(*projections):
        return objective(part, projections, head, reconstruction_weight=0.5, head_weight=0.1)

    assert torch.autograd.gradcheck(value, c)


def test_the_lost_share_is_the_error_of_the_reconstruction(draws):
    part = _small_part(draws)
    c = _bases(draws, part.networks.mode_shape)
    head = Head(4, 1, n_hidden=0, generator=draws)
    kept, dropped = (objective(part, c, head, reconstruction_weight=w, head_weight=0.0) for w in (1.0, 0.0))
    lost = kept - dropped
    rebuilt = part.networks.lift(part.networks.project(c), c)
    error = (part.networks.values - rebuilt).square().sum() / part.networks.values.square().sum()
    torch.testing.assert_close(lost.detach(), error)


def test_turning_core_and_head_together_leaves_the_scores(draws):
    head = _head(draws)
    core = torch.randn(5, 2, 2, generator=draws, dtype=F64)
    a, b = _bases(draws, (2, 2))
    before = head(core).detach()
    turned = torch.einsum("nij,ia,jb->nab", core, a, b)
    head.turn(torch.kron(b, a))
    assert (head(turned) - before).abs().max() > 1e-3
    head.turn(torch.kron(b, a).T)
    head.turn(torch.kron(a, b))
    torch.testing.assert_close(head(turned).detach(), before)


def test_cross_entropy_is_that_of_torch_and_two_classes_agree_with_two_scores(draws):
    codes = torch.tensor([0, 1, 1, 0, 1])
    score = torch.randn(5, 1, generator=draws, dtype=F64)
    binary = ClassResponse(codes, 2, like=score)
    both = torch.cat([torch.zeros_like(score), score], 1)
    torch.testing.assert_close(binary.loss(score), functional.cross_entropy(both, codes))
    torch.testing.assert_close(torch.sigmoid(binary.baseline()), torch.tensor([0.6], dtype=F64))
    three = ClassResponse(torch.tensor([0, 1, 2, 2]), 3, like=score)
    torch.testing.assert_close(three.residuals().sum(0), torch.zeros(3, dtype=F64), atol=1e-12, rtol=0)


def _cox_by_hand(time, event, f):
    terms = [torch.logsumexp(f[time >= time[i]], 0) - f[i] for i in range(len(time)) if event[i]]
    return torch.stack(terms).mean()


def test_the_cox_loss_is_the_partial_likelihood_with_ties_after_breslow(draws):
    time = torch.tensor([3.0, 1.0, 3.0, 2.0, 5.0, 1.0], dtype=F64)
    event = torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0, 1.0], dtype=F64)
    f = torch.randn(6, 1, generator=draws, dtype=F64, requires_grad=True)
    response = SurvivalResponse(time, event)
    torch.testing.assert_close(response.loss(f), _cox_by_hand(time, event, f[:, 0]))
    assert torch.autograd.gradcheck(response.loss, (f,))
    broken_ties = _cox_by_hand(time + torch.arange(6) * 1e-6, event, f[:, 0])
    assert (response.loss(f) - broken_ties).abs() > 1e-3
    assert response.residuals().sum().abs() < 1e-12
    assert float(SurvivalResponse(time, 0 * event).loss(f.detach())) == 0


@pytest.mark.parametrize("name", STARTS)
def test_every_start_is_orthonormal_and_repeats_itself(name, draws):
    part, held = _small_part(draws, n=20), _small_part(draws, n=8)
    first, again = (STARTS[name](part, held, (2, 2), torch.Generator().manual_seed(3)) for _ in range(2))
    for c, other in zip(first, again, strict=True):
        assert torch.equal(c, other)
        assert (c.T @ c - EYE2).abs().max() < 1e-12


def _agreement_with_modules(name, response):
    phantom = planted_modules(300, response=response, shape=(20, 12), random_state=1)
    X = phantom.X - phantom.X.mean(0)
    y = torch.from_numpy(phantom.activities.prod(1) if response == "interaction" else phantom.y)
    parts = [
        Part(DenseTensor(torch.from_numpy(X[rows].reshape(150, -1)), (20, 12)), NumberResponse(y[rows]))
        for rows in (slice(0, 150), slice(150, 300))
    ]
    c = STARTS[name](*parts, (4, 4), torch.Generator().manual_seed(0))[0]
    module = torch.from_numpy(np.linalg.svd(phantom.modules.sum(0))[0][:, :2])
    return float((c.T @ module).square().sum() / 2)


def test_the_pls_start_finds_what_covaries_and_hosvd_does_not():
    assert _agreement_with_modules("pls", "monotone") > 0.9
    assert _agreement_with_modules("hosvd", "monotone") < 0.5


def test_the_kernel_start_finds_a_pure_interaction_and_pls_does_not():
    assert _agreement_with_modules("kernel", "interaction") > 0.98
    assert _agreement_with_modules("pls", "interaction") < 0.85


def test_sparse_networks_go_to_dense_and_back(rng):
    _, _, X = _both(rng)
    networks = SparseNetworks.from_dense(X)
    assert networks.shape == X.shape
    np.testing.assert_array_equal(networks.to_dense(), X)
    np.testing.assert_array_equal(networks[[4, 1]].to_dense(), X[[4, 1]])
    np.testing.assert_array_equal(networks[2].to_dense(), X[[2]])
    other = SparseNetworks(np.ones((7, 1)), np.array([[5, 4, 3]]), networks.mode_shape)
    np.testing.assert_array_equal(networks.with_edges_of(other.edges).to_dense(), X)


@pytest.mark.parametrize(
    ("values", "edges", "error", "words"),
    [
        (np.ones((2, 2)), np.array([[0, 0], [0, 0]]), InputError, "stands twice"),
        (np.ones((2, 1)), np.array([[3, 0]]), InputError, "edge 0 lies at"),
        (np.ones((2, 1)), np.array([[0]]), ShapeError, "edges must have shape"),
        (np.ones((2, 3)), np.array([[0, 0]]), ShapeError, "values must have shape"),
    ],
)
def test_bad_edge_lists_are_refused(values, edges, error, words):
    with pytest.raises(error, match=words):
        SparseNetworks(values, edges, (3, 3))


def test_a_dense_array_that_would_not_fit_is_refused():
    with pytest.raises(DesignError, match=r"would take .* GB"):
        SparseNetworks(np.ones((100, 1)), np.array([[0, 0]]), (20_000, 20_000)).to_dense()
    narrow = SparseNetworks(np.ones((1, 1)), np.array([[0, 0]]), (2, 2))
    with pytest.raises(InputError, match="lacks edges"):
        narrow.on_edges(np.array([[1, 1]]))


def test_the_phantom_is_what_its_formula_says():
    phantom = planted_modules(4000, random_state=0)
    a, b = phantom.activities.T
    np.testing.assert_allclose(phantom.signal, np.tanh(a) + 0.5 * b + a * b)
    assert phantom.attainable_r2 == pytest.approx(0.87, abs=0.005)
    assert phantom.planted.sum() == 48
    assert 1 - np.var(phantom.y - phantom.signal) / np.var(phantom.y) == pytest.approx(phantom.attainable_r2, abs=0.02)
    null = planted_modules(10, response="null", random_state=0)
    assert not null.planted.any()
    assert null.attainable_r2 == 0
    with pytest.raises(InputError, match="choose one of"):
        planted_modules(10, response="linear", random_state=0)
    with pytest.raises(InputError, match="n_samples"):
        planted_modules(1, random_state=0)
    with pytest.raises(DesignError, match="two modules need"):
        planted_modules(10, shape=(6, 40), random_state=0)
