"""Total variation as a prior: its value in closed form, finite subgradients, spacing, and a weight that learns."""

import numpy as np
import pytest
import torch
from torch import nn

from kotowari.core.errors import ConvergenceError, InputError, ShapeError
from kotowari.priors.functional.tv_prox import tv_prox
from kotowari.priors.total_variation import TotalVariation


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_value_of_a_step_edge_is_its_height_times_its_length():
    x = torch.zeros(2, 6, 5)
    x[:, :, 2:] = 3.0
    x[1] *= 2.0
    assert torch.equal(TotalVariation(0.5).value(x), torch.tensor([9.0, 18.0]))
    assert torch.equal(TotalVariation(0.5, axes=(-2,)).value(x), torch.zeros(2))
    assert torch.equal(TotalVariation(0.5, spacing=(1.0, 2.0)).value(x), torch.tensor([4.5, 9.0]))


def test_a_corner_counts_by_its_diagonal_or_by_its_sides():
    x = torch.tensor([[[0.0, 3.0], [4.0, 4.0]]])
    assert float(TotalVariation().value(x)) == 6.0  # the corner's 5, and 1 beside it
    assert float(TotalVariation(isotropic=False).value(x)) == 8.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("isotropic", [True, False])
def test_value_is_the_sum_over_channels_of_magnitudes(dtype, isotropic):
    x = draw(2, 3, 4, 5, dtype=dtype)
    squares = np.zeros((2, 2, 3, 4, 5))
    squares[0, ..., :-1, :] = np.abs(np.diff(x.numpy(), axis=-2)) ** 2
    squares[1, ..., :-1] = np.abs(np.diff(x.numpy(), axis=-1)) ** 2
    size = np.sqrt(squares.sum(0)) if isotropic else np.sqrt(squares).sum(0)
    found = TotalVariation(0.7, isotropic=isotropic).value(x)
    assert found.dtype == x.real.dtype
    np.testing.assert_allclose(found.numpy(), 0.7 * size.sum((1, 2, 3)), rtol=40 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("isotropic", [True, False])
def test_smooth_value_has_its_closed_form_and_keeps_its_digits(isotropic):
    prior, x = TotalVariation(2.0, isotropic=isotropic), torch.tensor([[[0.0, 3.0], [4.0, 4.0]]])
    sizes = [5.0, 1.0] if isotropic else [4.0, 3.0, 1.0]
    expected = 2.0 * sum((size**2 + 0.25) ** 0.5 - 0.5 for size in sizes)
    assert abs(float(prior.smooth_value(x, 0.5)) - expected) < 1e-5
    tiny = float(prior.smooth_value(1e-5 * x, 1.0)) / (1e-10 * sum(size**2 for size in sizes))
    assert abs(tiny - 1.0) < 1e-5  # sqrt(d^2 + 1) - 1 would be 0 in single precision


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128], ids=str)
@pytest.mark.parametrize("smooth", ["none", "eps", "moreau", "target"])
@pytest.mark.parametrize("isotropic", [True, False])
def test_constant_images_have_a_gradient_of_zero(smooth, dtype, isotropic):
    prior = TotalVariation(0.4, isotropic=isotropic)
    for level in (0.0, 1.5):
        x = torch.full((2, 4, 5), level, dtype=dtype, requires_grad=True)
        loss = prior.loss(x, smooth)
        (gradient,) = torch.autograd.grad(loss, x)
        assert float(loss.detach()) == 0.0
        assert torch.equal(gradient, torch.zeros_like(x))


def test_a_square_root_without_care_has_no_gradient_there():
    x = torch.ones(1, 4, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(x.diff(dim=-1).square().sum(0).sqrt().sum(), x)
    assert not bool(gradient.isfinite().all())


def test_prox_takes_weight_spacing_and_kind_along():
    x = draw(2, 3, 6, 7)
    prior = TotalVariation(0.5, spacing=(2.0, 0.5), isotropic=False, gap=1e-8)
    expected = tv_prox(x, 0.1, weights=(0.5, 2.0), isotropic=False, gap=1e-8)
    assert torch.equal(prior.prox(x, 0.2), expected)
    steps = torch.tensor([0.2, 1.0], dtype=torch.float64)
    assert torch.equal(prior.prox(x, steps)[0], expected[0])
    assert not torch.equal(prior.prox(x, steps)[1], expected[1])


def test_a_weight_of_zero_leaves_the_image():
    x = draw(2, 6, 7)
    for weight in (0.0, torch.tensor(0.0)):
        torch.testing.assert_close(TotalVariation(weight).prox(x, 0.2), x, rtol=0, atol=1e-15)


def test_a_learned_weight_gets_its_slope_from_value_and_prox():
    x, target = draw(2, 6, 7), torch.zeros(2, 6, 7, dtype=torch.float64)
    weight = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
    prior = TotalVariation(weight, gap=1e-11, max_steps=100_000)
    assert list(prior.parameters()) == [weight]

    def loss(prior):
        return (prior.prox(x, 0.5) - target).square().sum() + prior.value(x).sum()

    loss(prior).backward()
    ahead, behind = (loss(TotalVariation(0.3 + shift, gap=1e-11, max_steps=100_000)) for shift in (1e-5, -1e-5))
    slope = float(ahead - behind) / 2e-5
    assert abs(float(weight.grad) - slope) < 1e-3 * abs(slope)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="weight"):
        TotalVariation(-1.0)
    with pytest.raises(InputError, match="spacing must be finite and above 0"):
        TotalVariation(spacing=(1.0, 0.0))
    with pytest.raises(ShapeError, match="1 spacings"):
        TotalVariation(spacing=(1.0,))
    with pytest.raises(InputError, match="gap"):
        TotalVariation(gap=0.0)
    with pytest.raises(ShapeError, match="different axes"):
        TotalVariation(axes=(-3, -2, -1)).value(draw(2, 4, 5))
    with pytest.raises(ConvergenceError, match="Raise max_steps"):
        TotalVariation(max_steps=10, gap=1e-12).prox(draw(1, 9, 9), 1.0)


def test_repr_says_what_it_is():
    assert repr(TotalVariation(0.5)) == "TotalVariation(weight=0.5, axes=(-2, -1), isotropic)"
    assert repr(TotalVariation(axes=(-1,), isotropic=False)) == "TotalVariation(weight=1, axes=(-1,), anisotropic)"
