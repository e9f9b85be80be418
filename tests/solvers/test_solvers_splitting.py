"""ADMM, primal-dual, Douglas-Rachford and half-quadratic splitting reach one optimum; wrong steps do not."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from kotowari.solvers.admm import admm_start, admm_step, balanced_admm_start, balanced_admm_step
from kotowari.solvers.balance import rebalance
from kotowari.solvers.douglas_rachford import douglas_rachford_start, douglas_rachford_step
from kotowari.solvers.hqs import hqs_start, hqs_step
from kotowari.solvers.iterate import iterate, relative_change
from kotowari.solvers.pdhg import (
    PdhgState,
    balanced_pdhg_start,
    balanced_pdhg_step,
    condat_vu_step,
    pdhg_start,
    pdhg_step,
)
from kotowari.solvers.protocols import per_sample

N = 24
LIPSCHITZ, SQUARED_NORM = 1.0, 4.0  # of 0.5 |x - data|^2, and of the differences


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def soft(x, threshold):
    return x.sgn() * (x.abs() - threshold).clamp_min(0)


def identity(x):
    return x


def nothing(x, _step):
    return x


def nonnegative(x, _step):
    return x.clamp_min(0)


def differences(x):
    return x[:, 1:] - x[:, :-1]


def pulled_back(y):
    out = y.new_zeros(len(y), N)
    out[:, 1:] += y
    out[:, :-1] -= y
    return out


class Denoising:
    """0.5 |x - data|^2 + weight |Dx|_1, if asked with x >= 0: total variation in one dimension."""

    weight = 0.8

    def __init__(self, n_samples=2, dtype=torch.float64):
        steps = 2.0 * torch.arange(n_samples, 0, -1)[:, None] * (torch.arange(N) >= N // 2)
        self.data = steps.to(dtype) + 0.5 * draw(n_samples, N, dtype=dtype)
        self.start = torch.zeros_like(self.data)
        normal = pulled_back(differences(torch.eye(N, dtype=torch.float64)))
        self.values, basis = torch.linalg.eigh(normal)
        self.basis = basis.to(dtype)

    def gradient(self, x):
        return x - self.data

    def data_prox(self, x, step):
        return (x + per_sample(step, x) * self.data) / (1 + per_sample(step, x))

    def edge_prox(self, x, step):
        return soft(x, self.weight * per_sample(step, x))

    def edge_conjugate_prox(self, y, _step):
        return y / (y.abs() / self.weight).clamp_min(1)

    def solve(self, targets, penalty):
        """Minimise 0.5 |x - data|^2 + penalty / 2 (|Dx - v|^2 [+ |x - w|^2]), one penalty a sample."""
        rest = sum(targets[1:], torch.zeros_like(self.data))
        right = self.data + per_sample(penalty, self.data) * (pulled_back(targets[0]) + rest)
        penalty = torch.as_tensor(penalty, dtype=torch.float64).reshape(-1, 1)
        return ((right @ self.basis) / (1 + penalty * (self.values + len(targets) - 1))) @ self.basis.T

    def value(self, x):
        return 0.5 * (x - self.data).abs().square().sum(1) + self.weight * differences(x).abs().sum(1)

    def gap(self, x, y):
        """Duality gap of the denoising without constraint; y within the weight, so that its conjugate is 0."""
        assert (y.abs() <= self.weight * (1 + 1e-12)).all()
        z = self.data - pulled_back(y)
        return self.value(x) - 0.5 * (self.data.abs().square() - z.abs().square()).sum(1)


def run(start, step, answer=lambda state: state.x, tol=1e-12, max_steps=6000):
    def change(new, old):
        return torch.stack(
            [relative_change(a.flatten(1), b.flatten(1)) for a, b in zip(leaves(new), leaves(old), strict=True)]
        ).amax(0)

    return answer(iterate(start, step, change, tol=tol, max_steps=max_steps).state)


def leaves(state):
    for member in state:
        if isinstance(member, torch.Tensor) and member.ndim > 1:
            yield member
        elif isinstance(member, tuple):
            yield from leaves(member)


def by_pdhg(p, **options):
    def step(state):
        return pdhg_step(
            state, p.data_prox, [p.edge_conjugate_prox], [differences], [pulled_back], primal_step=0.25, dual_step=1.0
        )

    return run(pdhg_start(p.start, [differences]), step, **options)


def by_condat_vu(p):
    def step(state):
        return condat_vu_step(
            state, p.gradient, nothing, [p.edge_conjugate_prox], [differences], [pulled_back],
            primal_step=0.2, dual_step=(1 / 0.2 - LIPSCHITZ / 2) / SQUARED_NORM,
        )  # fmt: skip

    return run(pdhg_start(p.start, [differences]), step)


def by_balanced_pdhg(p):
    bounds = {"squared_norm": SQUARED_NORM, "lipschitz": LIPSCHITZ}

    def step(state):
        return balanced_pdhg_step(
            state, p.gradient, nothing, [p.edge_conjugate_prox], [differences], [pulled_back], **bounds
        )

    return run(balanced_pdhg_start(p.start, [differences], **bounds), step, lambda state: state.pdhg.x)


def by_admm(p):
    return run(admm_start(p.start, [differences]), lambda s: admm_step(s, p.solve, [p.edge_prox], [differences], 2.0))


def by_balanced_admm(p):
    def step(state):
        return balanced_admm_step(state, p.solve, [p.edge_prox], [differences], [pulled_back])

    return run(balanced_admm_start(p.start, [differences], 100.0), step, lambda state: state.admm.x)


METHODS = {
    "pdhg": by_pdhg,
    "condat-vu": by_condat_vu,
    "balanced pdhg": by_balanced_pdhg,
    "admm": by_admm,
    "balanced admm": by_balanced_admm,
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_all_methods_reach_the_optimum_that_the_duality_gap_certifies(dtype):
    p = Denoising(dtype=dtype)

    def step(state):
        return pdhg_step(
            state, p.data_prox, [p.edge_conjugate_prox], [differences], [pulled_back], primal_step=0.25, dual_step=1.0
        )

    state = run(pdhg_start(p.start, [differences]), step, lambda s: s)
    assert (p.gap(state.x, state.duals[0]) <= 1e-11 * p.value(state.x)).all()
    for name, method in METHODS.items():
        torch.testing.assert_close(
            method(p), state.x, rtol=1e-8, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_without_extrapolation_or_with_a_wrong_sign_the_same_steps_miss_the_optimum():
    p = Denoising()
    best = by_pdhg(p)

    def wrong(state, ahead, sign):
        y = p.edge_conjugate_prox(state.duals[0] + differences(state.ahead), 1.0)
        x = p.data_prox(state.x - sign * 0.25 * pulled_back(y), 0.25)
        return PdhgState(x, x + ahead * (x - state.x), (y,))

    for ahead, sign, is_right in [(1, 1, True), (1, -1, False)]:
        x = run(pdhg_start(p.start, [differences]), lambda s, a=ahead, g=sign: wrong(s, a, g))
        assert torch.allclose(x, best, atol=1e-8) == is_right


def test_without_extrapolation_the_primal_dual_method_does_not_settle_on_a_saddle():
    """Minimise 0 subject to x = 0: a pure rotation, which only the extrapolation turns inwards."""

    def size_after(behind):
        state = PdhgState(torch.ones(1, 1).double(), torch.ones(1, 1).double(), (torch.zeros(1, 1).double(),))
        for _ in range(300):
            new = pdhg_step(state, nothing, [nothing], [identity], [identity], primal_step=0.9, dual_step=0.9)
            state = new._replace(ahead=new.ahead - behind * (new.x - state.x))
        return float(state.x.abs() + state.duals[0].abs())

    assert size_after(0.0) < 1e-12
    assert size_after(1.0) > 1e-2


def test_several_dual_terms_and_a_primal_one_go_together():
    p = Denoising()
    p.data = p.data - 1

    def step(state):
        return condat_vu_step(
            state, p.gradient, nonnegative, [p.edge_conjugate_prox, lambda y, _step: y.clamp(-0.3, 0.3)],
            [differences, identity], [pulled_back, identity], primal_step=0.25, dual_step=0.7,
        )  # fmt: skip

    by_primal_dual = run(pdhg_start(p.start, [differences, identity]), step)
    proxes = [p.edge_prox, lambda x, step: soft(x, 0.3 * per_sample(step, x)).clamp_min(0)]
    maps = [differences, identity]
    split = run(admm_start(p.start, maps), lambda s: admm_step(s, p.solve, proxes, maps, 1.0))
    torch.testing.assert_close(by_primal_dual, split, rtol=1e-8, atol=1e-8)
    assert (by_primal_dual >= 0).all()
    assert (by_primal_dual == 0).any()


def test_pdhg_is_condat_vu_without_a_smooth_term():
    p = Denoising()
    state = pdhg_start(draw(2, N), [differences])
    one = pdhg_step(
        state, p.data_prox, [p.edge_conjugate_prox], [differences], [pulled_back], primal_step=0.25, dual_step=1.0
    )
    two = condat_vu_step(
        state, torch.zeros_like, p.data_prox, [p.edge_conjugate_prox], [differences], [pulled_back],
        primal_step=0.25, dual_step=1.0,
    )  # fmt: skip
    assert torch.equal(one.x, two.x)
    assert torch.equal(one.ahead, two.ahead)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_balanced_methods_do_not_mind_the_scale_of_the_data(factor):
    p, q = Denoising(), Denoising()
    q.data, q.weight = factor * p.data, factor * p.weight
    for method in (by_balanced_pdhg, by_balanced_admm):
        torch.testing.assert_close(method(q) / factor, method(p), rtol=1e-7, atol=1e-7)


def test_balanced_steps_stay_on_their_bound():
    p, bounds = Denoising(), {"squared_norm": SQUARED_NORM, "lipschitz": LIPSCHITZ}
    state, seen = balanced_pdhg_start(p.start, [differences], **bounds), []
    for _ in range(100):
        state = balanced_pdhg_step(
            state, p.gradient, nothing, [p.edge_conjugate_prox], [differences], [pulled_back], **bounds
        )
        bound = 1 / state.primal_step - SQUARED_NORM * state.dual_step
        torch.testing.assert_close(bound, torch.full_like(bound, LIPSCHITZ / 2), rtol=1e-9, atol=1e-9)
        seen.append(state.dual_step)
    assert (state.dual_step >= LIPSCHITZ / 2 / SQUARED_NORM).all()
    assert not torch.equal(seen[0], seen[-1])


def test_the_dual_variable_does_not_change_with_the_penalty():
    p = Denoising()
    old = balanced_admm_start(p.start, [differences], 100.0)
    new = balanced_admm_step(old, p.solve, [p.edge_prox], [differences], [pulled_back])
    plain = admm_step(old.admm, p.solve, [p.edge_prox], [differences], old.penalty)
    assert (new.penalty != old.penalty).all()
    torch.testing.assert_close(new.penalty[:, None] * new.admm.dual[0], old.penalty[:, None] * plain.dual[0])


def test_changes_of_a_penalty_fade_and_reach_a_factor_of_some_thousands():
    low, high, factor = (
        torch.tensor([1.0, 9.0, 1.0]).double(),
        torch.tensor([9.0, 1.0, 2.0]).double(),
        2 * torch.ones(3),
    )
    total, factor = torch.ones(3).double(), factor.double()
    for _ in range(400):
        change, factor = rebalance(high, low, factor, apart=3.0)
        total = total * change
    assert 3000 < float(total[0]) < 4000
    torch.testing.assert_close(1 / total[1], total[0])
    assert total[2] == 1.0
    assert factor[2] == 2.0
    assert (factor[:2] - 1 < 1e-15).all()


@pytest.mark.parametrize("first", ["constraint", "data"])
def test_nonnegative_least_squares_is_that_of_scipy(first):
    matrix, data = draw(30, 12), draw(2, 30, seed=1)
    gram, right = matrix.T @ matrix, data @ matrix

    def data_prox(x, step):
        return torch.linalg.solve(torch.eye(12, dtype=torch.float64) + step * gram, (x + step * right).T).T

    def solve(targets, penalty):
        return data_prox(targets[0], 1 / penalty)

    peer = np.stack([nnls(matrix.numpy(), b.numpy())[0] for b in data])
    start = torch.zeros(2, 12, dtype=torch.float64)
    order = (nonnegative, data_prox) if first == "constraint" else (data_prox, nonnegative)
    x = run(douglas_rachford_start(start), lambda s: douglas_rachford_step(s, *order, 0.05))
    np.testing.assert_allclose(x.numpy(), peer, atol=1e-9)
    if first == "constraint":
        assert (x >= 0).all()
    split = run(admm_start(start, [identity]), lambda s: admm_step(s, solve, [nonnegative], [identity], 20.0))
    np.testing.assert_allclose(split.numpy(), peer, atol=1e-9)
    assert (peer == 0).any()


def test_douglas_rachford_with_an_unreflected_second_prox_misses_the_optimum():
    data = draw(2, N)

    def pull(x, step):
        return (x + step * data) / (1 + step)

    def thresholded(x, step):
        return soft(x, 0.5 * step)

    right = run(douglas_rachford_start(data), lambda s: douglas_rachford_step(s, thresholded, pull, 1.0))
    torch.testing.assert_close(right, soft(data, 0.5), rtol=1e-10, atol=1e-10)

    def wrong(state):
        x = thresholded(state.z, 1.0)
        return state._replace(x=x, z=state.z + pull(x, 1.0) - x)

    assert not torch.allclose(run(douglas_rachford_start(data), wrong), soft(data, 0.5), atol=1e-3)


def test_half_quadratic_splitting_comes_nearer_as_the_last_penalty_grows():
    p = Denoising()
    best = p.value(by_pdhg(p))
    excess = []
    for limit in (1.0, 10.0, 100.0):
        x = run(
            hqs_start(p.start, [differences], 0.01),
            lambda s, limit=limit: hqs_step(s, p.solve, [p.edge_prox], [differences], growth=1.1, limit=limit),
            tol=1e-7,
        )
        excess.append(p.value(x) - best)
    assert (torch.stack(excess) >= 0).all()
    assert (excess[1] < 0.5 * excess[0]).all()
    assert (excess[2] < 0.5 * excess[1]).all()
    assert (excess[2] < 0.02 * best).all()


def test_the_penalty_of_half_quadratic_splitting_grows_to_its_limit():
    p = Denoising()
    state = hqs_start(p.start, [differences], 1.0)
    penalties = []
    for _ in range(5):
        state = hqs_step(state, p.solve, [p.edge_prox], [differences], growth=2.0, limit=10.0)
        penalties.append(state.penalty.tolist())
    assert penalties == [[2.0, 2.0], [4.0, 4.0], [8.0, 8.0], [10.0, 10.0], [10.0, 10.0]]


def test_networks_take_the_place_of_every_callable():
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 3)

    def prox(x, _step):
        return net(x)

    x = torch.ones(2, 3)
    ends = [
        douglas_rachford_step(douglas_rachford_start(x), prox, prox, 1.0).x,
        admm_step(admm_start(x, [net]), lambda targets, _penalty: net(targets[0]), [prox], [net], 1.0).x,
        hqs_step(hqs_start(x, [net], 1.0), lambda targets, _penalty: net(targets[0]), [prox], [net]).x,
        condat_vu_step(pdhg_start(x, [net]), net, prox, [prox], [net], [net], primal_step=0.1, dual_step=0.1).x,
    ]
    for end in ends:
        (gradient,) = torch.autograd.grad(end.sum(), net.weight, retain_graph=True)
        assert bool((gradient != 0).any())
