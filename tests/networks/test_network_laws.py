"""Laws that hold for every network: shapes, class maps that add up, constants that travel with the weights."""

import warnings

import pytest
import torch

from kotowari import networks
from kotowari.core.errors import ShapeError
from kotowari.networks import (
    Autoencoder3d,
    AverageHead,
    FastUNet,
    InputScaling,
    LocatedHead,
    PairedHead,
    ResidualNetwork,
    SqueezeNetwork,
    TwoBranchNetwork,
    UNet,
)

PAIRS = (torch.tensor([[0, 5], [7, 7], [40, 3]]), torch.tensor([1.0, 0.5, 2.0]))
NETWORKS = {
    "residual": lambda scaling: ResidualNetwork(scaling, 4),
    "residual with pairs": lambda scaling: ResidualNetwork(scaling, 4, pairs=PAIRS, width=3),
    "two branches": lambda scaling: TwoBranchNetwork(scaling, 4),
    "two branches, batch norm": lambda scaling: TwoBranchNetwork(scaling, 4, filters=3, norm="batch"),
    "two branches, even kernels": lambda scaling: TwoBranchNetwork(scaling, 4, kernels=(2, 8)),
    "squeeze": lambda scaling: SqueezeNetwork(scaling, 4),
}
PARTS = {
    "average head": AverageHead(6, 4),
    "located head": LocatedHead(6, 4, (5, 7)),
    "paired head": PairedHead(6, 4, (5, 7), *PAIRS),
    "scaling": InputScaling.identity((1, 5, 7)),
}
FROM_IMAGE_TO_IMAGE = {Autoencoder3d, FastUNet, UNet}  # their laws stand in files of their own
SHAPES = [(1, 16, 16), (1, 24, 41), (2, 33, 17), (3, 64, 64)]


def make_network(name, shape, dtype=torch.float32, seed=0):
    """A network in eval mode in which no weight is zero and no pixel is left as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[name](InputScaling(torch.randn(shape), 1 + torch.rand(shape)))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return network.to(dtype).eval()


def make_images(shape, dtype=torch.float32, n=3):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def assert_class_maps_add_up(network, x, class_maps=None):
    with torch.no_grad():
        features = network.body(x)
        maps = (class_maps or network.head.class_maps)(features)
        outputs = network(x)
    assert maps.shape == (len(x), outputs.shape[1], *features.shape[2:])
    size = maps.abs().amax() + outputs.abs().amax()
    gap = (maps.mean((2, 3)) + network.head.bias - outputs).abs().max() / size
    bound = 10 * torch.finfo(x.dtype).eps * features[0].numel() ** 0.5
    assert gap <= bound, f"mean of the class maps plus bias misses the output, relative gap {gap:.2g}"


def test_every_public_network_and_part_has_a_case():
    cases = {type(make_network(name, SHAPES[0])) for name in NETWORKS} | {type(part) for part in PARTS.values()}
    assert cases | FROM_IMAGE_TO_IMAGE == {getattr(networks, name) for name in networks.__all__}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_images_of_any_shape_give_one_finite_score_an_output(name, shape):
    scores = make_network(name, shape)(make_images(shape))
    assert scores.shape == (3, 4)
    assert scores.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", SHAPES[1:3], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_mean_of_class_maps_plus_bias_is_the_score(name, shape, dtype):
    assert_class_maps_add_up(make_network(name, shape, dtype), make_images(shape, dtype))


def test_class_maps_that_give_a_product_whole_to_both_places_are_caught():
    network, x = make_network("residual with pairs", (1, 24, 41)), make_images((1, 24, 41))

    def whole(features):
        linear = network.head.located.class_maps(features)
        return linear + 2 * (network.head.class_maps(features) - linear)

    with pytest.raises(AssertionError, match="misses the output"):
        assert_class_maps_add_up(network, x, whole)


def test_class_maps_without_the_products_are_caught():
    network, x = make_network("residual with pairs", (1, 24, 41)), make_images((1, 24, 41))
    with pytest.raises(AssertionError, match="misses the output"):
        assert_class_maps_add_up(network, x, network.head.located.class_maps)


def test_class_maps_of_features_before_the_last_step_are_caught():
    network, x = make_network("squeeze", (1, 24, 41)), make_images((1, 24, 41))
    with pytest.raises(AssertionError, match="misses the output"):
        assert_class_maps_add_up(network, x, lambda features: network.head.class_maps(features - 0.01))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_sample_has_the_same_scores_alone_and_in_a_batch(name):
    network, x = make_network(name, (1, 24, 41), torch.float64), make_images((1, 24, 41), torch.float64)
    alone = torch.cat([network(x[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(alone, network(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_scaling_and_pairs_travel_with_the_weights(name):
    shape = (1, 24, 41)
    network, x = make_network(name, shape), make_images(shape)
    state = network.state_dict()
    assert {key.rpartition(".")[2] for key in state} >= {"mean", "gain"}
    other = NETWORKS[name](InputScaling.identity(shape)).eval()
    assert not torch.equal(other(x), network(x))
    other.load_state_dict(state)
    assert torch.equal(other(x), network(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_learns(name):
    network = make_network(name, (1, 24, 41)).train()
    torch.manual_seed(0)
    network(make_images((1, 24, 41), n=8)).square().sum().backward()
    learning = {key: p.grad.abs().sum() > 0 for key, p in network.named_parameters() if p.numel() > 0}
    assert [key for key, learns in learning.items() if not learns] == []


@pytest.mark.parametrize("name", NETWORKS)
def test_images_of_another_shape_are_refused(name):
    network = make_network(name, (1, 24, 41))
    for wrong in ((2, 1, 24, 40), (2, 3, 24, 41), (2, 1, 1, 41), (1, 24, 41)):
        with pytest.raises(ShapeError, match=r"InputScaling: images must have shape \(batch, 1, 24, 41\), got"):
            network(torch.ones(wrong))


@pytest.mark.parametrize("name", ["two branches", "squeeze"])
@pytest.mark.parametrize("shape", [(1, 15, 40), (1, 40, 15)], ids=str)
def test_images_too_small_to_be_halved_four_times_are_refused(name, shape):
    with pytest.raises(ShapeError, match=rf"images need 16 pixels or more a side, got {shape[1]} x {shape[2]}"):
        NETWORKS[name](InputScaling.identity(shape))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 9), (1, 3, 3)], ids=str)
def test_the_residual_network_takes_the_smallest_images(shape):
    network = ResidualNetwork(InputScaling.identity(shape), 2).eval()
    assert_class_maps_add_up(network, make_images(shape))


def test_even_kernels_pad_as_torch_does_and_without_its_warning():
    network, x = make_network("two branches, even kernels", (1, 24, 41)), make_images((1, 24, 41))
    (first, *_), pad = (
        [part for part in network.body.branches[0] if isinstance(part, kind)]
        for kind in (torch.nn.Conv2d, torch.nn.ZeroPad2d)
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel")
        expected = torch.nn.functional.conv2d(x, first.weight, padding="same")
    assert torch.equal(first(pad[0](x)), expected)


def test_odd_kernels_of_two_branches_keep_the_size():
    network, x = make_network("two branches", (1, 24, 41)), make_images((1, 24, 41))
    for branch, kernel in zip(network.body.branches, (3, 9), strict=True):
        assert branch[0].kernel_size == (kernel, kernel)
        assert branch[0](x).shape[2:] == (24, 41)


def test_the_mean_over_space_makes_a_squeeze_network_blind_to_place():
    image = torch.zeros(1, 1, 96, 96)
    image[..., 40:44, 40:44] = 1.0
    moved = image.roll((16, 16), dims=(2, 3))  # two positions of the last feature maps
    squeeze = SqueezeNetwork(InputScaling.identity((1, 96, 96)), 4).double().eval()
    residual = ResidualNetwork(InputScaling.identity((1, 96, 96)), 4).double().eval()
    torch.testing.assert_close(squeeze(image.double()), squeeze(moved.double()))
    assert not torch.allclose(residual(image.double()), residual(moved.double()))
