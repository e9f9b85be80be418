"""Gradient, gradient times input and SmoothGrad against closed forms and a second implementation."""

import pytest
import torch
from captum.attr import InputXGradient, Saliency
from torch import nn
from toy_networks import make_images, make_network, make_relu_network, make_tanh_network

from kotowari.core.errors import ShapeError
from kotowari.explain import completeness_gap, gradient_times_input, saliency, smooth_grad, target_scores

TARGETS = torch.tensor([0, 1, 2, 0, 1, 2, 1])


def change_from_zero(model, x, target):
    return target_scores(model, x, target) - target_scores(model, torch.zeros_like(x), target)


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_saliency_agrees_with_captum():
    model, x = make_network().eval(), make_images()
    oracle = Saliency(model).attribute(x.clone(), target=TARGETS, abs=False)
    torch.testing.assert_close(saliency(model, x, TARGETS), oracle)


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_gradient_times_input_agrees_with_captum():
    model, x = make_network().eval(), make_images()
    oracle = InputXGradient(model).attribute(x.clone(), target=TARGETS)
    torch.testing.assert_close(gradient_times_input(model, x, TARGETS), oracle.detach())


def test_gradient_times_input_is_complete_for_a_linear_model():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(96, 3)), make_images(dtype=torch.float32)
    values = gradient_times_input(model, x, TARGETS)
    torch.testing.assert_close(values.flatten(1), (x.flatten(1) * model[1].weight[TARGETS]).detach())
    assert completeness_gap(values.double(), change_from_zero(model.double(), x.double(), TARGETS)).max() < 1e-6


def test_gradient_times_input_is_complete_for_relu_without_bias():
    model, x = make_relu_network(), make_images(dtype=torch.float32)
    gap = completeness_gap(gradient_times_input(model, x, TARGETS), change_from_zero(model, x, TARGETS))
    assert gap.max() < 1e-4


def test_gradient_times_input_is_not_complete_for_tanh():
    model, x = make_tanh_network(), make_images()[:, 0, 0]
    gap = completeness_gap(gradient_times_input(model, x, TARGETS), change_from_zero(model, x, TARGETS))
    assert gap.min() > 1e-2


def test_smooth_grad_without_noise_is_the_gradient():
    model, x = make_network(), make_images()
    smooth = smooth_grad(model, x, TARGETS, noise=0.0, n_draws=2, rng=torch.Generator())
    torch.testing.assert_close(smooth, saliency(model, x, TARGETS))


def test_smooth_grad_of_a_square_is_the_gradient_at_the_mean():
    class Square(nn.Module):
        def forward(self, x):
            return (x**2).flatten(1).sum(1)

    x = make_images()
    smooth = smooth_grad(Square(), x, 0, noise=0.5, n_draws=400, rng=torch.Generator().manual_seed(0))
    error = (smooth - 2 * x).std()
    assert 0.9 < error / (2 * 0.5 / 400**0.5) < 1.1


def test_the_same_generator_state_gives_the_same_bytes():
    model, x = make_network(), make_images()
    first, again, other = (
        smooth_grad(model, x, 0, noise=0.5, n_draws=2, rng=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_dropout_is_off_while_an_explanation_is_made():
    model, x = make_network().train(), make_images()
    assert torch.equal(saliency(model, x, 0), saliency(model, x, 0))
    assert torch.equal(saliency(model, x, 0), saliency(model.eval(), x, 0))


def test_a_change_near_zero_does_not_blow_up_the_gap():
    gap = completeness_gap(torch.tensor([[1e-9, 0.0]]), torch.tensor([0.0]))
    assert gap.item() == pytest.approx(1e-3)


def test_a_gap_needs_one_change_a_sample():
    with pytest.raises(ShapeError, match=r"completeness_gap: change must have shape \(2\), got \(2, 3\)"):
        completeness_gap(torch.ones(2, 5), torch.ones(2, 3))
