"""Retractions, gradients on the manifold, and the angle between subspaces."""

import pytest
import torch

from kotowari.core.errors import ShapeError
from kotowari.studies.genenet.model.trip.stiefel import (
    RETRACTIONS,
    orthonormal_columns,
    retract_qr,
    riemannian_gradient,
    subspace_agreement,
)


@pytest.fixture
def draws():
    return torch.Generator().manual_seed(0)


def _point_and_tangent(draws, rows=9, columns=3, dtype=torch.float64):
    c = orthonormal_columns(torch.randn(rows, columns, generator=draws, dtype=dtype))
    return c, riemannian_gradient(c, torch.randn(rows, columns, generator=draws, dtype=dtype))


def _derivative_gap(retraction, c, xi, t=1e-4):
    """Largest entry of (R(t xi) - R(-t xi)) / 2t - xi: of order t squared for a retraction."""
    return float(((retraction(c, t * xi) - retraction(c, -t * xi)) / (2 * t) - xi).abs().max())


def _cayley_without_correction(c, xi):
    # the formula of the papers takes the plain gradient; with a tangent vector it needs (I - CC'/2) in front
    u, v = torch.cat([xi, c], 1), torch.cat([c, -xi], 1)
    return c + u @ torch.linalg.solve(torch.eye(u.shape[1], dtype=c.dtype) - v.T @ u / 2, v.T @ c)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", RETRACTIONS)
def test_a_retraction_stays_orthonormal(name, dtype, draws):
    c, xi = _point_and_tangent(draws, dtype=dtype)
    moved = RETRACTIONS[name](c, xi)
    assert (moved.T @ moved - torch.eye(3, dtype=dtype)).abs().max() < 20 * torch.finfo(dtype).eps


@pytest.mark.parametrize("name", RETRACTIONS)
def test_a_retraction_starts_at_the_point_and_leaves_along_the_tangent(name, draws):
    c, xi = _point_and_tangent(draws)
    assert (RETRACTIONS[name](c, 0 * xi) - c).abs().max() < 1e-14
    assert _derivative_gap(RETRACTIONS[name], c, xi) < 1e-6


def test_a_cayley_curve_with_a_wrong_start_is_caught(draws):
    c, xi = _point_and_tangent(draws)
    assert _derivative_gap(_cayley_without_correction, c, xi) > 1e-2


@pytest.mark.parametrize("name", RETRACTIONS)
def test_a_square_matrix_can_be_moved(name, draws):
    c, xi = _point_and_tangent(draws, rows=3)
    moved = RETRACTIONS[name](c, xi)
    assert (moved @ moved.T - torch.eye(3, dtype=torch.float64)).abs().max() < 1e-13


def test_the_riemannian_gradient_is_tangent_and_the_plain_one_is_not(draws):
    c = orthonormal_columns(torch.randn(8, 3, generator=draws, dtype=torch.float64))
    gradient = torch.randn(8, 3, generator=draws, dtype=torch.float64)
    xi = riemannian_gradient(c, gradient)
    assert (c.T @ xi + xi.T @ c).abs().max() < 1e-14
    assert (c.T @ gradient + gradient.T @ c).abs().max() > 0.1
    assert (xi * gradient).sum() >= xi.square().sum() * (1 - 1e-12)


def test_the_thin_qr_has_a_positive_diagonal_and_a_right_derivative(draws):
    a = torch.randn(5, 2, generator=draws, dtype=torch.float64, requires_grad=True)
    assert (torch.diagonal(orthonormal_columns(a).T @ a) > 0).all()
    assert torch.autograd.gradcheck(orthonormal_columns, (a,))


def test_agreement_is_blind_to_rotations_and_one_only_for_equal_subspaces(draws):
    c, xi = _point_and_tangent(draws)
    rotation = orthonormal_columns(torch.randn(3, 3, generator=draws, dtype=torch.float64))
    assert subspace_agreement(c, c @ rotation) == pytest.approx(1, abs=1e-12)
    assert subspace_agreement(c, retract_qr(c, 0.5 * xi)) < 0.99
    with pytest.raises(ShapeError, match="must have shape"):
        subspace_agreement(c, c[:, :2])
