"""The exact map: its mean plus the bias is the logit, for both heads."""

import pytest
import torch
from torch import nn
from toy_networks import make_images, make_network

from kotowari.core.errors import CapabilityError, ShapeError
from kotowari.explain import class_activation_map, grad_cam, target_scores
from kotowari.networks.heads import AverageHead

TARGETS = torch.tensor([0, 1, 2, 0, 1, 2, 1])


def assert_adds_up_to_the_logit(cam, model, x):
    logit = target_scores(model, x, TARGETS)
    gap = (cam.mean((1, 2)) + model.head.bias[TARGETS] - logit).abs().max()
    assert gap <= 1e-5, f"mean of the map plus bias misses the logit by {gap:.2g}"


@pytest.mark.parametrize("head", ["average", "located"])
def test_mean_of_the_map_plus_bias_is_the_logit(head):
    model, x = make_network(head, dtype=torch.float32), make_images(dtype=torch.float32)
    cam = class_activation_map(model, x, TARGETS)
    assert cam.shape == (7, 4, 3)
    assert not cam.requires_grad
    assert_adds_up_to_the_logit(cam, model, x)


def test_a_map_of_another_class_is_caught():
    model, x = make_network(), make_images()
    with pytest.raises(AssertionError, match="misses the logit"):
        assert_adds_up_to_the_logit(class_activation_map(model, x, (TARGETS + 1) % 3), model, x)


def test_a_map_without_position_weights_is_caught():
    model, x = make_network("located"), make_images()
    with pytest.raises(AssertionError, match="misses the logit"):
        assert_adds_up_to_the_logit(12 * grad_cam(model, model.body, x, TARGETS, relu=False), model, x)


def test_only_the_place_that_speaks_is_shown():
    model = make_network()
    model.body = nn.Identity()
    model.head = AverageHead(2, 3).double()
    x = torch.zeros(7, 2, 8, 6).double()
    x[:, 1, 5, 2] = 1.0
    cam = class_activation_map(model, x, 2)
    torch.testing.assert_close(cam[:, 5, 2], model.head.linear.weight[2, 1].detach().expand(7))
    assert cam.count_nonzero() == 7


def test_a_network_without_body_or_a_readable_head_is_refused():
    with pytest.raises(CapabilityError, match="Linear cannot be used with class_activation_map: it has no body"):
        class_activation_map(nn.Linear(3, 2), torch.ones(1, 3), 0)
    model = make_network()
    model.head = nn.Flatten()
    with pytest.raises(CapabilityError, match=r"Flatten cannot be used .* it has no class_maps"):
        class_activation_map(model, make_images(), 0)


def test_class_maps_without_space_are_refused():
    class Blind(nn.Module):
        def class_maps(self, features):
            return features.mean((2, 3))

    model = make_network()
    model.head = Blind()
    with pytest.raises(ShapeError, match=r"class_maps must have shape \(7, output, \*space\), got \(7, 5\)"):
        class_activation_map(model, make_images(), 0)
