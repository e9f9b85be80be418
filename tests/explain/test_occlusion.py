"""Occlusion by regions: exact where regions do not interact, for inputs of any shape."""

import pytest
import torch
from captum.attr import FeatureAblation
from torch import nn
from toy_networks import make_images, make_network

from kotowari.core.errors import InputError, ShapeError
from kotowari.explain import gradient_times_input, occlusion, region_map, target_scores

TARGETS = torch.tensor([0, 1, 2, 0, 1, 2, 1])


def make_linear(n_inputs):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(n_inputs, 3)).double()


@pytest.mark.parametrize("space", [(), (9,), (4, 5), (3, 2, 4)])
def test_effects_of_a_linear_model_are_its_contributions_by_region(space):
    rng = torch.Generator().manual_seed(2)
    x = torch.randn(7, 2, *space, generator=rng, dtype=torch.float64)
    regions = torch.randint(0, 3, space or (2,), generator=rng)
    model = make_linear(x[0].numel())
    found = occlusion(model, x, TARGETS, regions, batch_size=3)
    values = gradient_times_input(model, x, TARGETS)
    wanted = torch.stack([(values * (regions == label)).flatten(1).sum(1) for label in found.labels], 1)
    torch.testing.assert_close(found.effects, wanted)


def test_effects_of_a_linear_model_add_up_to_the_change_of_score():
    model, x = make_linear(96), make_images()
    start = torch.full((2, 8, 6), 0.5).double()
    found = occlusion(model, x, TARGETS, torch.arange(48).reshape(8, 6) % 5, reference=start)
    change = target_scores(model, x, TARGETS) - target_scores(model, start.expand_as(x), TARGETS)
    torch.testing.assert_close(found.effects.sum(1), change)


def test_effects_agree_with_captum():
    model, x = make_network().eval(), make_images()
    regions = torch.arange(48).reshape(8, 6) // 10
    found = occlusion(model, x, TARGETS, regions, reference=x.roll(1, 0))
    oracle = FeatureAblation(model).attribute(x, x.roll(1, 0), target=TARGETS, feature_mask=regions.expand(1, 2, 8, 6))
    torch.testing.assert_close(region_map(found, regions), oracle[:, 0].detach())


def test_positions_below_zero_always_stay_and_zero_is_a_region():
    x = make_images()
    regions = torch.full((8, 6), -1)
    regions[0, 0], regions[3:5] = 0, 9
    found = occlusion(make_linear(96), x, 0, regions)
    assert found.labels.tolist() == [0, 9]
    painted = region_map(found, regions)
    assert torch.equal(painted[:, 0, 0], found.effects[:, 0])
    assert torch.equal(painted[:, 4, 5], found.effects[:, 1])
    assert not painted[:, 7].any()


def test_channels_can_be_told_apart():
    model, x = make_linear(96), make_images()
    regions = torch.zeros(2, 8, 6, dtype=torch.long)
    regions[1] = 1
    found = occlusion(model, x, 1, regions)
    torch.testing.assert_close(found.effects, gradient_times_input(model, x, 1).sum((2, 3)))


def test_a_region_that_the_model_ignores_has_no_effect():
    class Corner(nn.Module):
        def forward(self, x):
            return x[:, 0, 0, 0] ** 2

    regions = torch.ones(8, 6, dtype=torch.long)
    regions[0, 0] = 0
    found = occlusion(Corner(), make_images(), 0, regions)
    torch.testing.assert_close(found.effects[:, 0], make_images()[:, 0, 0, 0] ** 2)
    assert not found.effects[:, 1].any()


@pytest.mark.parametrize(
    ("regions", "error", "words"),
    [
        (torch.zeros(6, 8, dtype=torch.long), ShapeError, r"regions must have shape \(8, 6\), got \(6, 8\)"),
        (torch.zeros(8, 6), InputError, "must hold whole numbers, got torch.float32"),
        (torch.full((8, 6), -1), InputError, "no label from 0 on"),
    ],
)
def test_regions_that_do_not_fit_are_refused(regions, error, words):
    with pytest.raises(error, match=words):
        occlusion(make_network(), make_images(), 0, regions)
