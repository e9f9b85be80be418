"""An unrolled network is its solver until it learns, and stays stable when it does."""

import copy

import pytest
import torch
from small_inverse_problems import Dense, sparse_problem

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.priors.sparsity import L1
from kotowari.solvers.fista import fista_start, fista_step
from kotowari.solvers.ista import ista_start, ista_step
from kotowari.testing.gradient import assert_gradient
from kotowari.unrolled.denoiser import Denoiser
from kotowari.unrolled.fixed_point import FixedPoint
from kotowari.unrolled.gradient_schemes import Fista, Ista
from kotowari.unrolled.guard import KnowledgeGuard
from kotowari.unrolled.unrolled import Unrolled

WEIGHT = 0.05


def classical(start, step_once, operator, data, step, depth):
    state = start(torch.zeros(len(data), *operator.domain, dtype=data.dtype))
    for _ in range(depth):
        state = step_once(
            state, lambda x: operator.adjoint(operator(x) - data), lambda x, t: (WEIGHT * L1()).prox(x, t), step
        )
    return state.x


@pytest.mark.parametrize("free", [(), ("step", "weight"), "all"])
def test_an_untrained_network_is_the_classical_solver(free):
    operator, data = sparse_problem()
    step = 0.9 / operator.norm() ** 2
    ista = Unrolled(Ista(operator, L1(), step=step, weight=WEIGHT), 7, free=free)
    torch.testing.assert_close(
        ista(data), classical(ista_start, ista_step, operator, data, step, 7), rtol=1e-6, atol=1e-8
    )
    fista = Unrolled(Fista(operator, L1(), step=step, weight=WEIGHT), 7, free=free)

    def momentum(state, gradient, prox, step):
        return fista_step(state, gradient, prox, step, restart=False)

    expected = classical(fista_start, momentum, operator, data, step, 7)
    torch.testing.assert_close(fista(data), expected, rtol=1e-6, atol=1e-8)


def test_another_depth_is_seen_to_be_another_solver():
    operator, data = sparse_problem()
    step = 0.9 / operator.norm() ** 2
    network = Unrolled(Ista(operator, L1(), step=step, weight=WEIGHT), 7)
    wrong = classical(ista_start, ista_step, operator, data, step, 6)
    assert not torch.allclose(network(data), wrong, rtol=1e-6, atol=1e-8)


def test_tied_layers_share_one_constant_and_free_layers_have_their_own():
    operator, _ = sparse_problem()
    scheme = Ista(operator, L1(), weight=WEIGHT)
    assert len([p for p in Unrolled(scheme, 5).parameters() if p.requires_grad]) == 2
    free = Unrolled(scheme, 5, free="step")
    assert len([p for p in free.parameters() if p.requires_grad]) == 5 + 1
    assert len({id(layer.step) for layer in free.layers()}) == 5
    assert len({id(layer.weight) for layer in free.layers()}) == 1
    assert len({id(layer.operator.matrix) for layer in Unrolled(scheme, 5, free="all").layers()}) == 1  # not learned


def test_steps_stay_positive_and_stable_after_random_optimiser_steps():
    operator, data = sparse_problem()
    network = Unrolled(Ista(operator, L1(), weight=WEIGHT), 4, free=("step", "weight"))
    optimizer = torch.optim.Adam(network.parameters(), lr=1.0)
    rng = torch.Generator().manual_seed(0)
    for _ in range(100):
        optimizer.zero_grad()
        (network(data) * torch.randn(data.shape[0], 20, generator=rng, dtype=data.dtype)).sum().backward()
        optimizer.step()
    limit = 2 / operator.norm() ** 2
    with torch.no_grad():
        for layer in network.layers():
            assert 0 < float(layer.step()) < limit
            assert float(layer.weight()) > 0


def gradients(network, data):
    network.zero_grad(set_to_none=True)
    network(data).square().sum().backward()
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.requires_grad]


def test_checkpointed_gradients_are_the_plain_ones():
    operator, data = sparse_problem(learn=True)
    scheme = Ista(operator, L1(), weight=WEIGHT)
    plain = gradients(Unrolled(scheme, 7, free=("step",)), data)
    for every in (1, 3, 7, 20):
        torch.testing.assert_close(gradients(Unrolled(scheme, 7, free=("step",), checkpoint_every=every), data), plain)


def test_gradients_of_all_parts_are_finite_differences():
    operator, data = sparse_problem(learn=True)
    network = Unrolled(Ista(operator, L1(), weight=WEIGHT), 3, free=("step", "weight")).double()
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    found = gradients(network, data)
    rng = torch.Generator().manual_seed(1)
    for parameter, gradient in zip(learned, found, strict=True):
        way = torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(sign * 1e-6 * way)
                ends.append(float(network(data).square().sum()))
                parameter.sub_(sign * 1e-6 * way)
        torch.testing.assert_close(float((gradient * way).sum()), (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-7)


def test_truncated_gradients_are_those_of_the_last_layers():
    operator, data = sparse_problem()
    scheme = Ista(operator, L1(), weight=WEIGHT)
    network = Unrolled(scheme, 6, free=("step",), truncate=2)
    network(data).square().sum().backward()
    seen = [layer.step.delta.grad is not None for layer in network.layers()]
    assert seen == [False] * 4 + [True] * 2
    torch.testing.assert_close(network(data), Unrolled(scheme, 6)(data))


def test_the_gradient_of_a_fixed_point_is_that_of_many_layers():
    operator, data = sparse_problem(n_rows=20, n_columns=12, learn=True)
    scheme = Ista(operator, L1(), weight=WEIGHT)
    implicit = FixedPoint(scheme, tol=1e-13, max_steps=5000, backward_tol=1e-13, backward_max_steps=5000)
    unrolled = Unrolled(scheme, 3000)
    torch.testing.assert_close(implicit(data), unrolled(data), rtol=1e-9, atol=1e-11)
    # the step moves no fixed point, so its exact gradient is 0
    names = [name for name, parameter in implicit.named_parameters() if parameter.requires_grad]
    for name, ours, theirs in zip(names, gradients(implicit, data), gradients(unrolled, data), strict=True):
        atol = 1e-6 if name.endswith("step.delta") else 1e-9
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=atol)
    assert implicit.outcome.converged
    assert implicit.backward_outcome.converged


def test_a_fixed_point_differentiates_its_data():
    operator, data = sparse_problem(n_rows=20, n_columns=12)
    implicit = FixedPoint(Ista(operator, L1(), weight=WEIGHT), tol=1e-14, max_steps=9000, backward_tol=1e-13)
    assert_gradient(lambda y: implicit(y).square().sum(), data, rng=torch.Generator().manual_seed(0))


def test_a_method_with_growing_momentum_has_no_fixed_point():
    operator, _ = sparse_problem()
    with pytest.raises(CapabilityError, match="Fista do not settle"):
        FixedPoint(Fista(operator, L1()))


def test_a_plugged_network_is_trained_along_and_has_no_objective():
    operator, data = sparse_problem(dtype=torch.float32)
    network = Unrolled(Ista(operator, Denoiser(torch.nn.Linear(20, 20))), 3)
    network(data).sum().backward()
    assert network.scheme.prior.network.weight.grad is not None
    with pytest.raises(CapabilityError, match="it has no value"):
        network.objective(network(data), data)


def test_the_guard_sees_drift_prices_it_and_pulls_it_back():
    operator, data = sparse_problem()
    network = Unrolled(Ista(operator, L1(), weight=WEIGHT), 8)
    guard = KnowledgeGuard(network)
    assert [drift.relative for drift in guard.drift()] == [0.0, 0.0]
    assert guard.cost(data).relative == 0.0
    assert guard.pull(3.0).item() == 0.0
    with torch.no_grad():
        network.scheme.weight.delta.fill_(2.0)
    worst = guard.drift()[0]
    assert worst.name == "weight"
    assert worst.relative == pytest.approx(float(torch.tensor(2.0).exp()) - 1, rel=1e-6)
    assert guard.pull(3.0).item() == pytest.approx(12.0)
    cost = guard.cost(data)
    assert cost.objective_after > cost.objective_before
    assert "above the objective" in cost.sentence
    assert network.scheme.weight.delta.item() == 2.0  # looking changes nothing
    guard.pull(1.0).backward()
    assert network.scheme.weight.delta.grad.item() > 0
    guard.release("weight")
    assert guard.drift()[0].relative == 0.0


def test_learning_to_minimise_the_objective_keeps_the_knowledge_and_the_guard_says_so():
    operator, data = sparse_problem()
    network = Unrolled(Ista(operator, L1(), weight=WEIGHT, learn=("step",)), 5, free=("step",))
    guard = KnowledgeGuard(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        network.objective(network(data), data).mean().backward()
        optimizer.step()
    cost = guard.cost(data)
    assert cost.relative < 0
    assert "lower than the model's own steps" in cost.sentence


def test_the_guard_prices_only_what_states_an_objective():
    with pytest.raises(InputError, match="Linear states no objective"):
        KnowledgeGuard(torch.nn.Linear(2, 2)).cost(torch.zeros(1, 2))
    with pytest.raises(InputError, match="strength must be 0 or more"):
        KnowledgeGuard(torch.nn.Linear(2, 2)).pull(-1.0)


def test_a_saved_network_comes_back_as_it_was():
    operator, data = sparse_problem()
    network = Unrolled(Ista(operator, L1(), weight=WEIGHT), 4, free=("step",))
    other = copy.deepcopy(network)
    with torch.no_grad():
        network.layers()[2].step.delta.fill_(0.5)
    assert not torch.equal(network(data), other(data))
    other.load_state_dict(network.state_dict())
    assert torch.equal(network(data), other(data))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 0}, "depth and truncate must be 1 or more"),
        ({"depth": 2, "truncate": 0}, "truncate = 0"),
        ({"depth": 2, "free": ("stop",)}, "free names stop; Ista has"),
    ],
)
def test_what_cannot_be_unrolled_is_refused(options, words):
    operator, _ = sparse_problem()
    with pytest.raises(InputError, match=words):
        Unrolled(Ista(operator, L1()), **options)


def test_a_step_above_the_bound_and_an_unknown_constant_are_refused():
    operator = Dense(torch.eye(3))
    with pytest.raises(InputError, match="must be below its bound"):
        Ista(operator, L1(), step=2.5)
    with pytest.raises(InputError, match="learn names speed; there are step, weight"):
        Ista(operator, L1(), learn=("speed",))
    with pytest.raises(CapabilityError, match="Linear cannot be used with Ista: it has no prox"):
        Ista(operator, torch.nn.Linear(3, 3))


def test_the_guard_counts_layers_from_zero():
    operator, _ = sparse_problem()
    network = Unrolled(Ista(operator, L1(), weight=WEIGHT), 3, free=("step",))
    guard = KnowledgeGuard(network)
    assert sorted(drift.name for drift in guard.drift()) == [
        "layers.0.step",
        "layers.1.step",
        "layers.2.step",
        "weight",
    ]
    with torch.no_grad():
        network.layers()[2].step.delta.fill_(1.0)
    assert guard.drift()[0].name == "layers.2.step"
    guard.release("layers.2.step")
    assert network.layers()[2].step.delta.item() == 0.0


def test_data_without_a_batch_and_with_nan_are_refused():
    operator, data = sparse_problem()
    network = Unrolled(Ista(operator, L1()), 2)
    with pytest.raises(ShapeError, match=r"Ista: data must have shape \(batch, 12\), got \(12,\)"):
        network(data[0])
    with pytest.raises(InputError, match="NaN or infinite"):
        KnowledgeGuard(network).cost(torch.full_like(data, torch.nan))


def test_a_fixed_point_that_is_not_reached_warns():
    operator, data = sparse_problem()
    with pytest.warns(UserWarning, match="FixedPoint, forward pass: .* The step limit was reached"):
        FixedPoint(Ista(operator, L1(), weight=WEIGHT), max_steps=2)(data)


def test_what_is_no_scheme_and_no_proximal_prior_is_refused():
    operator, _ = sparse_problem()
    with pytest.raises(InputError, match="first argument must be a scheme"):
        Unrolled(operator, 3)
    with pytest.raises(CapabilityError, match="must be a prior or a module with a prox"):
        Ista(operator, L1)
    with pytest.raises(CapabilityError, match="Give prior and operator to PrimalDual apart"):
        Ista(operator, L1() @ Dense(torch.eye(20)))
