"""Conjugate gradients, the power method and Anderson acceleration beside dense linear algebra."""

import pytest
import torch

from kotowari.core.errors import InputError
from kotowari.core.outcome import Status
from kotowari.solvers.anderson import anderson_start, anderson_step, fixed_point
from kotowari.solvers.conjugate_gradient import (
    conjugate_gradient,
    conjugate_gradient_start,
    conjugate_gradient_step,
)
from kotowari.solvers.inner_product import inner_product, ratio
from kotowari.solvers.iterate import iterate, relative_change
from kotowari.solvers.power_method import PowerState, largest_eigenvalue

N = 8
DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def positive(dtype=torch.float64, n_samples=3):
    """A positive definite matrix a sample, with eigenvalues 1 to 8 times 1, 2, 3."""
    basis, _ = torch.linalg.qr(draw(n_samples, N, N, dtype=dtype))
    values = torch.arange(1, N + 1) * torch.arange(1, n_samples + 1)[:, None]
    return basis @ torch.diag_embed(values.to(dtype)) @ basis.mH


def applied(matrices):
    """Each sample summed by itself, so that its bits do not depend on the batch."""
    return lambda x: (matrices * x[:, None, :]).sum(-1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_conjugate_gradients_are_exact_after_as_many_steps_as_unknowns(dtype):
    matrices, b = positive(dtype), draw(3, N, dtype=dtype, seed=1)
    outcome = conjugate_gradient(applied(matrices), b, tol=1e3 * torch.finfo(dtype).eps, max_steps=N)
    assert outcome.converged
    best = torch.linalg.solve(matrices, b.unsqueeze(2)).squeeze(2)
    bar = 1e4 * torch.finfo(dtype).eps
    torch.testing.assert_close(outcome.state.x, best, rtol=bar, atol=bar)


def test_as_many_steps_as_distinct_eigenvalues_are_enough():
    weights = torch.tensor([1.0, 1.0, 5.0, 5.0, 9.0, 9.0], dtype=torch.float64)
    outcome = conjugate_gradient(lambda x: weights * x, draw(2, 6), tol=1e-12, max_steps=3)
    assert outcome.converged


def test_steepest_descent_in_their_place_is_caught():
    matrices, b = positive(), draw(3, N, seed=1)
    normal = applied(matrices)

    def steepest(state):
        new = conjugate_gradient_step(state, normal)
        return new._replace(direction=new.residual)

    def residual(new, _old):
        return new.squared_residual.sqrt() / b.norm(dim=1)

    start = conjugate_gradient_start(torch.zeros_like(b), normal, b)
    assert iterate(start, steepest, residual, tol=1e-10, max_steps=N).status is Status.MAX_STEPS


def test_a_start_a_solved_system_and_a_zero_right_side_are_taken_as_they_are():
    matrices, b = positive(), draw(3, N, seed=1)
    best = torch.linalg.solve(matrices, b.unsqueeze(2)).squeeze(2)
    again = conjugate_gradient(applied(matrices), b, best, tol=1e-10)
    assert again.n_steps == (1, 1, 1)
    torch.testing.assert_close(again.state.x, best)
    nothing = conjugate_gradient(applied(matrices), torch.zeros_like(b), tol=1e-10)
    assert nothing.converged
    assert bool((nothing.state.x == 0).all())
    back = conjugate_gradient(applied(matrices), torch.zeros_like(b), best, tol=1e-10)
    assert back.converged
    assert float(back.state.x.norm()) < 1e-8


def test_a_semidefinite_map_serves_for_a_right_side_in_its_range():
    weights = torch.tensor([3.0, 2.0, 1.0, 0.0], dtype=torch.float64)
    b = weights * draw(2, 4)
    outcome = conjugate_gradient(lambda x: weights * x, b, tol=1e-12, max_steps=50)
    assert outcome.converged
    torch.testing.assert_close(weights * outcome.state.x, b)


def test_a_map_with_negative_curvature_is_refused_and_the_sample_named():
    matrices = positive()
    matrices[1] -= 20 * torch.eye(N, dtype=torch.float64)
    with pytest.raises(InputError, match=r"not positive definite: in sample 1.*Check its sign"):
        conjugate_gradient(applied(matrices), draw(3, N, seed=1))


def test_power_method_finds_the_largest_eigenvalue_of_each_sample():
    matrices = positive()
    outcome = largest_eigenvalue(applied(matrices), draw(3, N, seed=1), tol=1e-7, max_steps=2000)
    assert outcome.converged
    torch.testing.assert_close(outcome.state.value, 8.0 * torch.arange(1, 4, dtype=torch.float64), rtol=1e-10, atol=0)
    vector = outcome.state.vector
    torch.testing.assert_close(applied(matrices)(vector), outcome.state.value[:, None] * vector, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
def test_power_method_works_in_single_and_complex_precision(dtype):
    outcome = largest_eigenvalue(applied(positive(dtype)), draw(3, N, dtype=dtype, seed=1), tol=1e-3)
    torch.testing.assert_close(outcome.state.value, 8.0 * torch.arange(1, 4), rtol=1e-4, atol=0)


def test_the_residual_of_the_power_method_bounds_its_error_and_comes_from_below():
    value = torch.linalg.eigvalsh(positive()[0])[-1]
    for max_steps in (1, 3, 10):
        state = largest_eigenvalue(applied(positive()[:1]), draw(1, N, seed=1), tol=0.0, max_steps=max_steps).state
        assert float(state.value) <= float(value) * (1 + 1e-12)
        distance = (torch.linalg.eigvalsh(positive()[0]) - state.value).abs().min()
        assert float(distance) <= float(state.residual) * (1 + 1e-9)


def test_a_zero_map_has_the_eigenvalue_zero_and_a_zero_start_is_refused():
    outcome = largest_eigenvalue(lambda x: 0 * x, draw(2, N))
    assert outcome.converged
    assert outcome.state.value.tolist() == [0.0, 0.0]
    assert isinstance(outcome.state, PowerState)
    with pytest.raises(InputError, match="finite and not 0"):
        largest_eigenvalue(applied(positive()), torch.zeros(3, N, dtype=torch.float64))


def contraction(dtype=torch.float64):
    matrix = draw(N, N, dtype=dtype)
    matrix = 0.95 * matrix / torch.linalg.matrix_norm(matrix, 2)
    shift = draw(3, N, dtype=dtype, seed=1)
    best = torch.linalg.solve(torch.eye(N, dtype=dtype) - matrix, shift.T).T
    return (lambda x: (matrix * x[:, None, :]).sum(-1) + shift), best


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_anderson_is_exact_on_a_linear_map_of_at_most_its_memory(dtype):
    mapping, best = contraction(dtype)
    outcome = fixed_point(mapping, torch.zeros_like(best), tol=1e-12, max_steps=N + 1, memory=N)
    assert outcome.converged
    torch.testing.assert_close(outcome.state.x, best, rtol=1e-10, atol=1e-10)


def test_anderson_is_faster_than_the_plain_iteration_on_a_contraction():
    def mapping(x):
        return x - weights * x - 0.1 * torch.tanh(x) + 1  # a gradient step on a long valley

    weights = torch.linspace(0.01, 0.9, 50, dtype=torch.float64)
    start = torch.zeros(2, 50, dtype=torch.float64)
    plain = fixed_point(mapping, start, tol=1e-9, max_steps=3000, memory=0)
    fast = fixed_point(mapping, start, tol=1e-9, max_steps=3000, memory=5)
    assert plain.converged
    assert fast.converged
    assert max(fast.n_steps) < 0.2 * max(plain.n_steps)
    torch.testing.assert_close(fast.state.x, plain.state.x, rtol=1e-6, atol=1e-6)


def test_without_memory_anderson_is_the_plain_iteration():
    mapping, best = contraction()
    state, x = anderson_start(torch.zeros_like(best), mapping, 0), torch.zeros_like(best)
    for _ in range(4):
        state, x = anderson_step(state, mapping), mapping(x)
    assert torch.equal(state.x, x)


def test_images_and_residuals_mixed_up_in_anderson_are_caught():
    mapping, best = contraction()
    state = anderson_start(torch.zeros_like(best), mapping, N)
    for _ in range(N + 1):
        state = anderson_step(state, mapping)
        state = state._replace(image_moves=state.residual_moves)
    assert not torch.allclose(state.x, best, atol=1e-3)


def test_the_fixed_point_of_a_sample_has_the_same_bits_alone_and_in_a_batch():
    def mapping(x):
        return 0.9 * torch.cos(3 * x.roll(1, 1))

    start = torch.stack([torch.zeros(20), torch.ones(20), 5 * torch.ones(20)]).double()
    start[2] += torch.arange(20)
    together = fixed_point(mapping, start, tol=1e-10, max_steps=60)
    assert len(set(together.n_steps)) > 1
    for i in range(3):
        alone = fixed_point(mapping, start[i : i + 1], tol=1e-10, max_steps=60)
        assert torch.equal(alone.state.x[0], together.state.x[i])


def test_a_repeated_move_does_no_harm_to_anderson():
    """From a fixed point on, all moves are 0, and the least squares have nothing to go by."""
    state = anderson_start(torch.zeros(1, 3), torch.zeros_like, 4)
    for _ in range(6):
        state = anderson_step(state, torch.zeros_like)
    assert torch.equal(state.x, torch.zeros(1, 3))


def test_a_negative_memory_is_refused():
    with pytest.raises(InputError, match="memory must be 0 or more"):
        fixed_point(torch.cos, torch.zeros(1, 1), memory=-1)


def test_conjugate_gradients_solve_a_sample_with_the_same_bits_alone_and_in_a_batch():
    matrices, b = positive(), draw(3, N, seed=1)
    b[0] = torch.linalg.eigh(matrices[0])[1][:, 0]
    together = conjugate_gradient(applied(matrices), b, tol=1e-9)
    assert together.n_steps[0] < together.n_steps[1]
    for i in range(3):
        alone = conjugate_gradient(applied(matrices[i : i + 1]), b[i : i + 1], tol=1e-9)
        assert torch.equal(alone.state.x[0], together.state.x[i])


def test_inner_products_are_real_and_conjugate_the_first():
    x, y = draw(2, 3, 4, dtype=torch.complex128), draw(2, 3, 4, dtype=torch.complex128, seed=1)
    best = torch.stack([torch.vdot(a.flatten(), b.flatten()).real for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(inner_product(x, y), best)
    assert not torch.allclose(inner_product(x.conj(), y), best)
    assert ratio(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.0, 0.0, 2.0])).tolist() == [0.0, torch.inf, 1.5]


def test_the_relative_change_of_a_resting_zero_is_zero():
    assert relative_change(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0.0, 0.0]
