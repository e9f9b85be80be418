"""Projections onto the simplex and the L1 ball against a quadratic programme, a bisection and finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize
from torch.autograd import gradcheck

from kotowari.core.errors import InputError, ShapeError
from kotowari.priors.functional.simplex import project_l1_ball, project_simplex


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_bisection(x, total):
    threshold = brentq(lambda t: np.maximum(x - t, 0).sum() - total, x.min() - total, x.max(), xtol=1e-15)
    return np.maximum(x - threshold, 0)


def by_programme(x, total):
    constraint = {"type": "eq", "fun": lambda u: u.sum() - total}
    start = np.full(len(x), total / len(x))
    found = minimize(
        lambda u: 0.5 * ((u - x) ** 2).sum(), start, jac=lambda u: u - x, bounds=[(0, None)] * len(x),
        constraints=constraint, tol=1e-14,
    )  # fmt: skip
    return found.x


@pytest.mark.parametrize("total", [0.3, 1.0, 7.0])
def test_simplex_point_is_the_one_found_by_bisection_and_by_a_quadratic_programme(total):
    x = draw(5, 8)
    ours = project_simplex(x, total).numpy()
    for row, point in zip(x.numpy(), ours, strict=True):
        np.testing.assert_allclose(point, by_bisection(row, total), atol=1e-12)
        np.testing.assert_allclose(point, by_programme(row, total), atol=1e-6)


def test_a_projection_that_only_rescales_is_caught():
    x = draw(8).numpy()
    rescaled = np.maximum(x, 0) / np.maximum(x, 0).sum()
    assert np.abs(rescaled - by_bisection(x, 1.0)).max() > 1e-3


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_any_axis_may_hold_the_simplex(dim):
    x = draw(4, 5, 6)
    ours = project_simplex(x, 2.0, dim)
    torch.testing.assert_close(ours.sum(dim), torch.full_like(ours.sum(dim), 2.0))
    expected = project_simplex(x.movedim(dim, -1), 2.0).movedim(-1, dim)
    assert torch.equal(ours, expected)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8), st.floats(1e-3, 1e3))
def test_projecting_twice_changes_nothing(numbers, total):
    once = project_simplex(torch.tensor(numbers, dtype=torch.float64), total)
    assert bool((once >= 0).all())
    assert abs(float(once.sum()) - total) <= 1e-12 * (total + max(map(abs, numbers)))
    torch.testing.assert_close(project_simplex(once, total), once, rtol=1e-10, atol=1e-10 * total)


def test_long_rows_in_single_precision_keep_their_sum():
    x = 1e3 + draw(2, 100_000, dtype=torch.float32)
    sums = project_simplex(x, 50.0).sum(1, dtype=torch.float64)
    torch.testing.assert_close(sums, torch.full_like(sums, 50.0), rtol=1e-3, atol=0)


def test_gradients_by_the_point_and_by_the_total_are_the_slopes():
    x = draw(3, 6).requires_grad_()
    total = torch.tensor([[0.5], [1.0], [3.0]], dtype=torch.float64, requires_grad=True)
    assert gradcheck(project_simplex, (x, total))
    assert gradcheck(lambda x, total: project_simplex(x, total, 0), (x, total.detach().sum().requires_grad_()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_l1_ball_leaves_what_is_inside_and_shrinks_the_rest_by_one_threshold(dtype):
    x = draw(3, 4, 5, dtype=dtype)
    x[0] *= 0.01
    ours = project_l1_ball(x, 2.0)
    assert torch.equal(ours[0], x[0])
    for sample, point in zip(x[1:], ours[1:], strict=True):
        magnitudes = by_bisection(sample.abs().flatten().numpy(), 2.0)
        np.testing.assert_allclose(point.abs().flatten().numpy(), magnitudes, atol=1e-12)
        torch.testing.assert_close(point * sample.abs(), sample * point.abs())


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_l1_ball_gradients_are_the_slopes(dtype):
    x = draw(3, 6, dtype=dtype)
    x[0] *= 0.01
    radius = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    assert gradcheck(project_l1_ball, (x.requires_grad_(), radius))


def test_l1_ball_gradient_is_finite_at_zero():
    x = torch.zeros(2, 3, dtype=torch.complex64, requires_grad=True)
    (grad,) = torch.autograd.grad(project_l1_ball(x, 1.0).real.sum(), x)
    assert torch.equal(grad, torch.ones_like(grad))


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="total must be above 0, got 0"):
        project_simplex(torch.ones(3), 0)
    with pytest.raises(InputError, match="real floats"):
        project_simplex(torch.ones(3, dtype=torch.complex64))
    with pytest.raises(InputError, match="radius must be above 0, got -1"):
        project_l1_ball(torch.ones(2, 3), -1)
    with pytest.raises(ShapeError, match=r"\(batch, \.\.\.\)"):
        project_l1_ball(torch.ones(3), 1)
