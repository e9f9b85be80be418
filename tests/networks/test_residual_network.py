"""The residual network sees every pixel, names its pairs rightly, and is logistic regression when silenced."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from kotowari.core.errors import ShapeError
from kotowari.networks import InputScaling, PairedHead, ResidualNetwork

SHAPES = [(1, 16, 16), (2, 13, 19), (1, 7, 30), (2, 45, 21), (1, 1, 5)]


def all_pixels(shape):
    return int(np.prod(shape))


def make_images(shape, n=4):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def pair_network(shape, pairs, scales=None):
    """Scores are the products of the pairs, one output a pair, and nothing else."""
    scales = torch.ones(len(pairs)) if scales is None else scales
    network = ResidualNetwork(InputScaling.identity(shape), len(pairs), width=2, pairs=(pairs, scales))
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.zero_()
        network.head.pair_weight.copy_(torch.eye(len(pairs)))
    return network.double().eval()


def assert_pairs_are_the_named_pixels(network, pairs, x):
    flat = x.flatten(1)
    expected = flat[:, pairs[:, 0]] * flat[:, pairs[:, 1]]
    assert torch.equal(network(x), expected), "a product is not that of the named pixels"


def silenced(network):
    """Leave of the head only what reads pixels; return the number of convolved features."""
    convolved = network.head.located.feature_shape[0] - network.body.cell**2 * network.body.scaling.mean.shape[0]
    with torch.no_grad():
        weight = network.head.located.linear.weight
        weight.view(len(weight), *network.head.located.feature_shape)[:, :convolved] = 0.0
    return convolved


def place_coefficients(network, coefficients, intercept):
    """Give the pixels' own path the weights ``(output, channel, height, width)``."""
    convolved = silenced(network)
    padded = network.body.padded
    height, width = coefficients.shape[2:]
    folded = functional.pad(coefficients, (0, padded[1] - width, 0, padded[0] - height))
    with torch.no_grad():
        weight = network.head.located.linear.weight
        view = weight.view(len(weight), *network.head.located.feature_shape)
        view[:, convolved:] = functional.pixel_unshuffle(folded, network.body.cell)
        network.head.located.linear.bias.copy_(intercept)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_are_those_of_the_named_pixels(shape):
    generator = torch.Generator().manual_seed(3)
    pairs = torch.randint(all_pixels(shape), (40, 2), generator=generator)
    pairs[0] = torch.tensor([0, all_pixels(shape) - 1])
    assert_pairs_are_the_named_pixels(pair_network(shape, pairs), pairs, make_images(shape))


def test_pairs_of_unfolded_pixels_are_caught():
    shape, pairs = (2, 13, 19), torch.tensor([[3, 400], [20, 21]])
    network = pair_network(shape, pairs)
    network.head.pairs.copy_(pairs + network.head.pairs.min() - pairs.min())
    with pytest.raises(AssertionError, match="not that of the named pixels"):
        assert_pairs_are_the_named_pixels(network, pairs, make_images(shape))


def test_a_product_is_weighted_by_its_scale_after_the_scaling_of_its_pixels():
    shape, pairs = (1, 6, 6), torch.tensor([[4, 9]])
    x, mean, gain = make_images(shape), torch.full(shape, 0.5), torch.full(shape, 3.0)
    network = pair_network(shape, pairs, torch.tensor([0.25]))
    network.body.scaling.load_state_dict({"mean": mean, "gain": gain})
    flat = (x.flatten(1) - 0.5) * 3.0
    torch.testing.assert_close(network(x)[:, 0], 0.25 * flat[:, 4] * flat[:, 9])


def test_the_class_map_gives_each_of_a_pair_half_of_its_product():
    shape, pairs = (1, 16, 16), torch.tensor([[0, 255]])  # opposite corners
    network, x = pair_network(shape, pairs), make_images(shape)
    maps = network.head.class_maps(network.body(x))
    half = 0.5 * 64 * x[:, 0, 0, 0] * x[:, 0, 15, 15]  # 64 positions, so that the mean gives it back
    torch.testing.assert_close(maps[:, 0, 0, 0], half)
    torch.testing.assert_close(maps[:, 0, -1, -1], half)
    assert (maps != 0).sum() == 2 * len(x)


@pytest.mark.parametrize("wrong", [-1, 2 * 13 * 19], ids=["below", "above"])
def test_a_pair_that_names_no_pixel_is_refused(wrong):
    pairs = torch.tensor([[0, 1], [wrong, 2]])
    with pytest.raises(ShapeError, match=rf"pairs name pixel {wrong}, but images have the shape \(2, 13, 19\)"):
        ResidualNetwork(InputScaling.identity((2, 13, 19)), 2, pairs=(pairs, torch.ones(2)))


@pytest.mark.parametrize("wrong", [-1, 6 * 5 * 7], ids=["below", "above"])
def test_a_head_refuses_a_pair_that_names_no_feature(wrong):
    with pytest.raises(ShapeError, match="PairedHead: pairs must name features from 0 to 209, got"):
        PairedHead(6, 2, (5, 7), torch.tensor([[3, wrong]]), torch.ones(1))


def test_a_head_refuses_pairs_and_scales_of_different_length():
    with pytest.raises(ShapeError, match=r"PairedHead: pairs must have shape \(3, 2\), got \(1, 2\)"):
        PairedHead(6, 2, (5, 7), torch.tensor([[3, 4]]), torch.ones(3))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_pixel_has_a_weight_of_its_own(shape):
    network = ResidualNetwork(InputScaling.identity(shape), 1, width=2).double().eval()
    convolved = silenced(network)
    weight = network.head.located.linear.weight
    with torch.no_grad():
        pixels = weight.view(1, *network.head.located.feature_shape)[:, convolved:]
        pixels.copy_(torch.arange(1, pixels.numel() + 1).view(pixels.shape))
    x = make_images(shape, n=1).requires_grad_()
    (gradient,) = torch.autograd.grad(network(x).sum(), x)
    assert len(gradient.unique()) == all_pixels(shape)
    assert gradient.min() >= 1


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 7, 9)], ids=str)
def test_with_the_convolutions_silenced_it_is_logistic_regression_on_the_pixels(shape):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, *shape))
    y = np.digitize(X[:, 0, 0, 0] + 0.5 * rng.normal(size=60), [-0.5, 0.5])
    table = X.reshape(60, -1)
    model = LogisticRegression(C=0.1, tol=1e-8, max_iter=1000).fit(table, y)
    network = ResidualNetwork(InputScaling.identity(shape), 3).double().eval()
    place_coefficients(network, torch.as_tensor(model.coef_.reshape(3, *shape)), torch.as_tensor(model.intercept_))
    with torch.no_grad():
        probability = network(torch.as_tensor(X)).softmax(1).numpy()
    np.testing.assert_allclose(probability, model.predict_proba(table), rtol=1e-10, atol=1e-12)


def test_the_pixels_and_the_products_are_silent_at_birth():
    shape = (1, 16, 16)
    network = ResidualNetwork(InputScaling.identity(shape), 3, pairs=(torch.tensor([[0, 1]]), torch.ones(1))).eval()
    silenced(network)
    x = make_images(shape).float()
    assert torch.equal(network(x), network.head.bias.expand(len(x), 3))


def test_a_block_starts_as_its_shortcut():
    (block, _) = ResidualNetwork(InputScaling.identity((1, 16, 16)), 3).body.blocks
    x = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x), block.shortcut(functional.avg_pool2d(x, 2)).relu())


def test_a_head_that_is_reset_is_silent_about_pairs():
    network = pair_network((1, 6, 6), torch.tensor([[4, 9]]))
    network.head.reset_parameters()
    assert torch.equal(network(make_images((1, 6, 6))), torch.zeros(4, 1, dtype=torch.float64))


def test_dropout_acts_in_training_only():
    network = ResidualNetwork(InputScaling.identity((1, 16, 16)), 3, dropout=0.5)
    x = make_images((1, 16, 16)).float()
    torch.manual_seed(0)
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))
