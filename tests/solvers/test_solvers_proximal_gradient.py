"""ISTA and FISTA on lasso problems with known answers, and the laws of their rates."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso

from kotowari.core.outcome import Status
from kotowari.solvers.fista import FistaState, fista_start, fista_step
from kotowari.solvers.ista import ista_start, ista_step
from kotowari.solvers.iterate import iterate, relative_change
from kotowari.solvers.protocols import per_sample


def soft(x, threshold):
    return x.sgn() * (x.abs() - threshold).clamp_min(0)


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class LassoProblem:
    """Least squares with an L1 term, each sample summed by itself."""

    def __init__(self, matrix, data, weight):
        self.matrix, self.data, self.weight = matrix, data, weight
        self.lipschitz = float(torch.linalg.matrix_norm(matrix, 2)) ** 2

    def residual(self, x):
        return (self.matrix * x[:, None, :]).sum(-1) - self.data

    def gradient(self, x):
        return (self.matrix.conj() * self.residual(x)[:, :, None]).sum(1)

    def prox(self, x, step):
        return soft(x, per_sample(self.weight * step, x))

    def value(self, x):
        return 0.5 * self.residual(x).abs().square().sum(1) + self.weight * x.abs().sum(1)

    def steps(self, method, step, **options):
        advance = {"ista": ista_step, "fista": fista_step}[method]
        return lambda state: advance(state, self.gradient, self.prox, step, **options)


def problem(n_samples=3, dtype=torch.float64):
    return LassoProblem(draw(20, 30, dtype=dtype), 5 * draw(n_samples, 20, dtype=dtype, seed=1), 3.0)


def begin(method, x):
    return {"ista": ista_start, "fista": fista_start}[method](x)


def solved(lasso, method, n_samples=3, dtype=torch.float64, **options):
    start = begin(method, torch.zeros(n_samples, lasso.matrix.shape[1], dtype=dtype))
    return iterate(
        start, lasso.steps(method, 1 / lasso.lipschitz, **options), lambda n, o: relative_change(n.x, o.x), tol=1e-11,
        max_steps=9000,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["ista", "fista"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_an_orthonormal_matrix_gives_the_closed_form(method, dtype):
    matrix, _ = torch.linalg.qr(draw(12, 12, dtype=dtype))
    data = 3 * draw(2, 12, dtype=dtype, seed=1)
    outcome = solved(LassoProblem(matrix, data, 1.0), method, 2, dtype)
    assert outcome.converged
    torch.testing.assert_close(outcome.state.x, soft(data @ matrix.conj(), 1.0), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("method", ["ista", "fista"])
def test_the_answer_is_that_of_scikit_learn(method):
    lasso = problem()
    outcome = solved(lasso, method)
    assert outcome.converged
    for data, x in zip(lasso.data, outcome.state.x, strict=True):
        peer = Lasso(alpha=3.0 / 20, fit_intercept=False, tol=1e-13, max_iter=100_000)
        peer.fit(lasso.matrix.numpy(), data.numpy())
        np.testing.assert_allclose(x.numpy(), peer.coef_, atol=1e-8)


@pytest.mark.parametrize("method", ["ista", "fista"])
def test_a_sample_has_the_same_bits_alone_and_in_a_batch(method):
    lasso = problem()
    lasso.data[1] *= 0.1
    together = solved(lasso, method)
    assert len(set(together.n_steps)) > 1
    for i in range(3):
        alone = solved(LassoProblem(lasso.matrix, lasso.data[i : i + 1], 3.0), method, 1)
        assert torch.equal(alone.state.x[0], together.state.x[i])
        assert alone.n_steps[0] == together.n_steps[i]


def objectives(lasso, advance, state, n_steps):
    values = []
    for _ in range(n_steps):
        state = advance(state)
        values.append(lasso.value(state.x))
    return torch.stack(values)


def test_ista_never_raises_the_objective():
    lasso = problem()
    values = objectives(lasso, lasso.steps("ista", 1 / lasso.lipschitz), ista_start(draw(3, 30, seed=2)), 200)
    assert (values.diff(dim=0) <= 1e-12 * values[:-1]).all()
    too_long = objectives(lasso, lasso.steps("ista", 2.2 / lasso.lipschitz), ista_start(draw(3, 30, seed=2)), 200)
    assert (too_long.diff(dim=0) > 0).any()


def test_fista_keeps_its_bound_on_the_objective_of_a_lasso():
    lasso = problem()
    best = solved(lasso, "fista").state.x
    bound = 2 * lasso.lipschitz * best.square().sum(1) / (torch.arange(2, 402)[:, None]) ** 2
    for restart in (True, False):
        advance = lasso.steps("fista", 1 / lasso.lipschitz, restart=restart)
        excess = objectives(lasso, advance, fista_start(torch.zeros_like(best)), 400) - lasso.value(best)
        assert (excess <= bound + 1e-10).all()


class Slide:
    """The function on which plain descent of 40 steps is slowest (Drori and Teboulle 2014): 1/162 is left of 1/2."""

    n_steps, corner = 40, 1 / 81

    def gradient(self, x):
        return x.clamp(-self.corner, self.corner)

    def prox(self, x, _step):
        return x

    def value(self, x):
        size = x.abs().sum(1)
        return torch.where(size > self.corner, self.corner * size - self.corner**2 / 2, size**2 / 2)

    def is_within_the_bound_of_fista(self, advance):
        values = objectives(self, advance, fista_start(torch.ones(1, 1, dtype=torch.float64)), self.n_steps)
        return bool((values <= 2 / torch.arange(2, self.n_steps + 2)[:, None] ** 2).all())


def test_the_bound_of_fista_is_kept_where_plain_descent_and_the_wrong_momentum_break_it():
    slide = Slide()

    def wrong(sign):
        def advance(state):
            x = slide.prox(state.z - slide.gradient(state.z), 1.0)
            t = (1 + (1 + 4 * state.t**2).sqrt()) / 2
            return FistaState(x, x + sign * ((state.t - 1) / t)[:, None] * (x - state.x), t)

        return advance

    def right(state):
        return fista_step(state, slide.gradient, slide.prox, 1.0, restart=False)

    assert slide.is_within_the_bound_of_fista(right)
    assert not slide.is_within_the_bound_of_fista(wrong(0))
    assert not slide.is_within_the_bound_of_fista(wrong(-1))


def test_restarts_beat_none_on_a_strongly_convex_problem():
    matrix = torch.diag(torch.logspace(0, -1, 30, dtype=torch.float64))
    lasso = LassoProblem(matrix, draw(3, 30), 0.0)
    best = torch.linalg.solve(matrix, lasso.data.T).T
    distances = {}
    for restart in (True, False):
        state = fista_start(torch.zeros(3, 30, dtype=torch.float64))
        for _ in range(300):
            state = lasso.steps("fista", 1 / lasso.lipschitz, restart=restart)(state)
        distances[restart] = (state.x - best).norm(dim=1)
    assert (distances[True] < 1e-2 * distances[False]).all()


def test_each_sample_restarts_for_itself():
    matrix = torch.diag(torch.logspace(0, -1.5, 30, dtype=torch.float64))
    lasso = LassoProblem(matrix, draw(3, 30), 0.0)
    state, seen = fista_start(torch.zeros(3, 30, dtype=torch.float64)), set()
    for _ in range(150):
        state = lasso.steps("fista", 1 / lasso.lipschitz)(state)
        seen.add(tuple((state.t == 1).tolist()))
    assert any(any(flags) and not all(flags) for flags in seen)


@pytest.mark.parametrize("method", ["ista", "fista"])
def test_a_step_a_sample_is_that_step_on_each_sample(method):
    lasso = problem()
    steps = torch.tensor([1.0, 0.5, 0.1], dtype=torch.float64) / lasso.lipschitz
    state = lasso.steps(method, steps)(begin(method, draw(3, 30)))
    for i in range(3):
        one = LassoProblem(lasso.matrix, lasso.data[i : i + 1], 3.0)
        alone = one.steps(method, float(steps[i]))(begin(method, draw(3, 30)[i : i + 1]))
        torch.testing.assert_close(alone.x[0], state.x[i], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("method", ["ista", "fista"])
def test_too_long_a_step_is_told_as_divergence_and_the_best_iterate_kept(method):
    lasso = problem()
    start, advance = begin(method, torch.zeros(3, 30, dtype=torch.float64)), lasso.steps(method, 4 / lasso.lipschitz)
    outcome = iterate(
        start, advance, lambda n, o: relative_change(n.x, o.x), tol=1e-9, max_steps=500,
        value=lambda state: lasso.value(state.x),
    )  # fmt: skip
    assert set(outcome.statuses) == {Status.DIVERGED}
    assert (lasso.value(outcome.state.x) <= lasso.value(start.x)).all()


@pytest.mark.parametrize("method", ["ista", "fista"])
def test_learned_parts_take_the_place_of_gradient_and_prox(method):
    torch.manual_seed(0)
    gradient, prox = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    advance = {"ista": ista_step, "fista": fista_step}[method]
    step = torch.tensor(0.1, requires_grad=True)
    state = begin(method, torch.ones(2, 4))
    for _ in range(3):
        state = advance(state, gradient, lambda x, step: prox(x) * step, step)
    state.x.sum().backward()
    assert step.grad.isfinite()
    assert all(bool((p.grad != 0).any()) for p in [*gradient.parameters(), *prox.parameters()])
