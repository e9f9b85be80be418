"""Heads: outputs, and the class maps that they can be read back as."""

import pytest
import torch

from kotowari.core.errors import ShapeError
from kotowari.networks.heads import AverageHead, LocatedHead


def make_heads(dtype=torch.float32):
    torch.manual_seed(0)
    return {"average": AverageHead(6, 4).to(dtype), "located": LocatedHead(6, 4, (5, 7)).to(dtype)}


def make_features(dtype=torch.float32):
    return torch.randn(3, 6, 5, 7, generator=torch.Generator().manual_seed(1)).to(dtype)


def assert_maps_add_up(head, features, maps):
    tolerance = 1e-5 if features.dtype == torch.float32 else 1e-13
    gap = (maps.mean((2, 3)) + head.bias - head(features)).abs().max()
    assert gap <= tolerance, f"mean of the class maps plus bias misses the output by {gap:.2g}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["average", "located"])
def test_mean_of_class_maps_plus_bias_is_the_output(name, dtype):
    head, features = make_heads(dtype)[name], make_features(dtype)
    maps = head.class_maps(features)
    assert maps.shape == (3, 4, 5, 7)
    assert_maps_add_up(head, features, maps)


def test_maps_without_the_position_weights_are_caught():
    head, features = make_heads()["located"], make_features()
    weights = head.linear.weight.reshape(4, 6, 35).mean(2)
    with pytest.raises(AssertionError, match="misses the output"):
        assert_maps_add_up(head, features, torch.einsum("ck,bkhw->bchw", weights, features))


def test_maps_with_the_channels_of_another_output_are_caught():
    head, features = make_heads()["average"], make_features()
    with pytest.raises(AssertionError, match="misses the output"):
        assert_maps_add_up(head, features, head.class_maps(features).roll(1, dims=1))


def test_located_head_with_equal_weights_is_the_average_head():
    heads, features = make_heads(torch.float64), make_features(torch.float64)
    average, located = heads["average"], heads["located"]
    with torch.no_grad():
        located.linear.weight.copy_(average.linear.weight[:, :, None].expand(4, 6, 35).flatten(1) / 35)
        located.linear.bias.copy_(average.bias)
    torch.testing.assert_close(located(features), average(features))
    torch.testing.assert_close(located.class_maps(features), average.class_maps(features))


def test_average_head_takes_any_image_size_and_located_head_only_its_own():
    heads = make_heads()
    assert heads["average"](torch.ones(2, 6, 9, 3)).shape == (2, 4)
    with pytest.raises(
        ShapeError, match=r"LocatedHead: features must have shape \(batch, 6, 5, 7\), got \(2, 6, 9, 3\)"
    ):
        heads["located"](torch.ones(2, 6, 9, 3))


@pytest.mark.parametrize("name", ["average", "located"])
def test_features_that_do_not_fit_are_refused(name):
    head = make_heads()[name]
    for wrong in (torch.ones(2, 5, 5, 7), torch.ones(6, 5, 7)):
        with pytest.raises(ShapeError, match="features must have shape"):
            head(wrong)
        with pytest.raises(ShapeError, match="features must have shape"):
            head.class_maps(wrong)


@pytest.mark.parametrize("name", ["average", "located"])
def test_heads_survive_a_trip_through_their_state(name):
    head, features = make_heads()[name], make_features()
    torch.manual_seed(7)
    other = AverageHead(6, 4) if name == "average" else LocatedHead(6, 4, (5, 7))
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(features), head(features))
