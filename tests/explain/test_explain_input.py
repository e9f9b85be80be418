"""What an explanation refuses, each in one sentence, and which outputs it takes."""

import pytest
import torch
from torch import nn
from toy_networks import make_images, make_network

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.explain import (
    class_activation_map,
    gradient_times_input,
    integrated_gradients,
    occlusion,
    saliency,
    smooth_grad,
    target_scores,
)


def with_nan(x):
    x = x.clone()
    x[4, 0, 0, 0] = torch.nan
    return x


@pytest.mark.parametrize("method", [saliency, class_activation_map, integrated_gradients, target_scores])
@pytest.mark.parametrize(
    ("change", "target", "error", "words"),
    [
        (lambda x: x[:0], 0, InputError, "holds no sample"),
        (with_nan, 0, InputError, "sample 4 holds NaN or infinite values"),
        (lambda x: x.long(), 0, InputError, "holds torch.int64, which has no gradient"),
        (lambda x: x, 3, InputError, "3 is not among the 3 outputs"),
        (lambda x: x, -1, InputError, "must be 0 or more, got -1"),
        (lambda x: x, 1.0, InputError, "must be whole numbers, got torch.float32"),
        (lambda x: x, torch.tensor([True] * 7), InputError, "must be whole numbers, got torch.bool"),
        (lambda x: x, torch.tensor([0, 1]), ShapeError, r"target must have shape \(7\), got \(2,\)"),
    ],
)
def test_bad_input_is_refused(method, change, target, error, words):
    with pytest.raises(error, match=words):
        method(make_network(), change(make_images()), target)


def test_a_block_of_nothing_is_refused():
    with pytest.raises(InputError, match="batch_size: must be 1 or more, got 0"):
        saliency(make_network(), make_images(), 0, batch_size=0)


def test_an_output_that_is_no_table_of_scores_is_refused():
    with pytest.raises(ShapeError, match=r"the model's output must have shape \(7, class\), got \(7, 2, 8, 6\)"):
        saliency(nn.Identity(), make_images(), 0)


def test_a_score_without_gradient_is_refused():
    class Counting(nn.Module):
        def forward(self, x):
            return (x > 0).double().flatten(1).sum(1)

    with pytest.raises(CapabilityError, match="does not depend on the input through differentiable steps"):
        saliency(Counting(), make_images(), 0)
    effects = occlusion(Counting(), make_images(), 0, torch.zeros(8, 6, dtype=torch.long)).effects
    assert torch.equal(effects[:, 0], (make_images() > 0).double().flatten(1).sum(1))


def test_a_constant_with_weights_is_refused_too():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.level = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.level.expand(len(x))

    with pytest.raises(CapabilityError, match="does not depend on the input"):
        saliency(Constant(), make_images(), 0)


@pytest.mark.parametrize("options", [{"noise": -1.0}, {"noise": 0.1, "n_draws": 0}])
def test_impossible_noise_is_refused(options):
    with pytest.raises(InputError, match="noise must be 0 or more and n_draws 1 or more"):
        smooth_grad(make_network(), make_images(), 0, rng=torch.Generator(), **options)


def test_regression_outputs_with_and_without_an_axis_are_the_same():
    torch.manual_seed(0)
    column = nn.Sequential(nn.Flatten(), nn.Linear(96, 1)).double()
    flat = nn.Sequential(column, nn.Flatten(0))
    x = make_images()
    for method in (saliency, gradient_times_input, target_scores):
        assert torch.equal(method(column, x, 0), method(flat, x, 0))
    assert torch.equal(integrated_gradients(column, x, 0).values, integrated_gradients(flat, x, 0).values)
    with pytest.raises(InputError, match="1 is not among the 1 outputs"):
        saliency(flat, x, 1)


def test_tables_are_explained_as_images_are():
    torch.manual_seed(0)
    linear = nn.Linear(5, 3).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    assert torch.equal(saliency(linear, x, 2), linear.weight[2].detach().expand(4, 5))
