"""The autoencoder keeps the grid of its input to the voxel, has the published size, and learns everywhere."""

import itertools

import pytest
import torch
from torch import nn

from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.networks.autoencoder3d import Autoencoder3d, drawn

CONVOLUTIONS = (nn.Conv3d, nn.ConvTranspose3d)
SPACES = [(8, 8, 8), (13, 9, 11), (1, 5, 17), (3, 1, 1), (26, 30, 25)]


def make_autoencoder(*sizes, seed=0, dtype=torch.float64, **options):
    """A network in eval mode whose norms hold constants of their own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Autoencoder3d(*sizes, **options).to(dtype)
        for name, tensor in network.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.1)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
    return network.eval()


def make_volumes(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def n_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def carrying(n_blocks):
    """A network of one channel that hands every coarse cell's largest value on to the first voxel of the cell."""
    network = Autoencoder3d(n_blocks, 1).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_var.fill_(1 - module.eps)
        elif isinstance(module, CONVOLUTIONS):
            nn.init.zeros_(module.weight)
            middle = 0 if module.kernel_size[0] == 2 else 1
            module.weight.data[0, 0, middle, middle, middle] = 1.0
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def assert_delta_returns(network, space):
    """Every voxel at the first place of its cell comes back where it was; the others to the first of their cell."""
    cell = 1 << network.n_blocks
    starts = [((-(-side // cell) if side > cell else 2) * cell - side) // 2 for side in space]
    for place in itertools.product(*((0, side // 2, side - 1) for side in space)):
        delta = torch.zeros(1, 1, *space, dtype=torch.float64)
        delta[(0, 0, *place)] = 1.0
        first = [(p + start) // cell * cell - start for p, start in zip(place, starts, strict=True)]
        expected = torch.zeros_like(delta)
        if min(first) >= 0:
            expected[(0, 0, *first)] = 1.0
        with torch.no_grad():
            gap = (network(delta) - expected).abs().max()
        assert gap < 1e-12, f"a delta at {place} did not return to {first} in {space}"


def test_three_blocks_of_sixteen_channels_have_their_number_of_parameters():
    assert n_parameters(Autoencoder3d(3, 16)) == 55_697
    assert n_parameters(Autoencoder3d(3, 16, stem="strided")) != 55_697


@pytest.mark.parametrize("stem", ["plain", "strided"])
@pytest.mark.parametrize(("n_blocks", "n_channels"), [*itertools.product((1, 2, 3, 4), (1, 4, 16, 32))])
def test_every_size_of_the_study_gives_features_and_volumes_of_the_stated_shape(n_blocks, n_channels, stem):
    network = make_autoencoder(n_blocks, n_channels, stem=stem, dtype=torch.float32)
    x = make_volumes(1, 1, 9, 17, 12, dtype=torch.float32)
    with torch.no_grad():
        features = network.encode(x)
        assert tuple(features.shape[1:]) == network.feature_shape((9, 17, 12))
        assert torch.equal(network.decode(features, (9, 17, 12)), network(x))
    coarse = [max(2, -(-side // 2**n_blocks)) for side in (9, 17, 12)]
    assert network.feature_shape((9, 17, 12)) == (n_channels, *coarse)


@pytest.mark.parametrize("stem", ["plain", "strided"])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_volumes_of_any_size_keep_their_grid(space, stem):
    output = make_autoencoder(3, 2, stem=stem)(make_volumes(2, 1, *space))
    assert output.shape == (2, 1, *space)
    assert output.isfinite().all()


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("n_blocks", [1, 2, 3])
def test_a_delta_returns_to_its_voxel(n_blocks, space):
    assert_delta_returns(carrying(n_blocks), space)


def test_a_crop_at_other_places_than_the_padding_is_caught():
    class Shifted(nn.Module):
        n_blocks = 2

        def __init__(self):
            super().__init__()
            self.inner = carrying(2)

        def forward(self, x):
            return self.inner(x).roll(1, dims=2)

    with pytest.raises(AssertionError, match="did not return"):
        assert_delta_returns(Shifted(), (13, 9, 11))


def test_padding_is_by_zeros_on_both_sides_and_not_done_where_the_sides_fit():
    network, x = make_autoencoder(2, 3), make_volumes(1, 1, 10, 12, 8)
    whole = nn.functional.pad(x, (0, 0, 0, 0, 1, 1))
    torch.testing.assert_close(network(x), network(whole)[:, :, 1:-1])
    seen = []
    handle = network.encoders[0].register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    network(whole)
    handle.remove()
    assert seen[0] is whole


def test_the_output_moves_along_with_its_input_by_whole_cells():
    network = make_autoencoder(2, 3)
    x = torch.zeros(1, 1, 64, 8, 8, dtype=torch.float64)
    x[:, :, 28:36] = make_volumes(1, 1, 8, 8, 8)
    with torch.no_grad():
        output, moved, other = (network(x.roll(step, dims=2)) for step in (0, 4, 2))
    inner = slice(24, 44)
    torch.testing.assert_close(output.roll(4, dims=2)[:, :, inner], moved[:, :, inner])
    assert not torch.allclose(output.roll(2, dims=2)[:, :, inner], other[:, :, inner])


def test_the_last_layer_is_a_convolution_with_its_kernel_mirrored():
    head = make_autoencoder(1, 4).head[-1]
    x = make_volumes(1, 4, 5, 6, 7)
    kernel = head.weight.transpose(0, 1).flip((2, 3, 4))
    torch.testing.assert_close(head(x), nn.functional.conv3d(x, kernel, head.bias, padding=1))
    assert not torch.allclose(head(x), nn.functional.conv3d(x, head.weight.transpose(0, 1), head.bias, padding=1))


def test_no_stride_leads_onto_an_axis_of_one_position():
    for n_blocks, stem in itertools.product((1, 2, 3, 4), ("plain", "strided")):
        network = make_autoencoder(n_blocks, 1, stem=stem)
        strided = [
            module for module in network.modules() if isinstance(module, CONVOLUTIONS) and max(module.stride) > 1
        ]
        seen = []
        for module in strided:
            module.register_forward_hook(lambda _module, args, out, seen=seen: seen.append((args[0].shape, out.shape)))
        network(make_volumes(1, 1, 1, 3, 2))
        assert len(seen) == len(strided) == n_blocks + (stem == "strided")
        assert min(min(shape[2:]) for shapes in seen for shape in shapes) >= 2


@pytest.mark.parametrize("space", [(16, 8, 1), (1, 1, 9), (9, 12, 10)], ids=str)
def test_bfloat16_gives_the_same_loss_and_gradients_also_on_axes_of_one_voxel(space):
    x = make_volumes(2, 1, *space, dtype=torch.float32)
    gradients, losses = [], []
    for dtype in (torch.float32, torch.bfloat16):
        network = make_autoencoder(2, 4, dtype=torch.float32).to(memory_format=torch.channels_last_3d).train()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            output = network(x)
        loss = (output.float() - x).abs().mean()
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in network.parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=5e-3)
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.95


def test_a_variational_network_draws_in_training_and_answers_with_the_mean_else():
    network, x = make_autoencoder(2, 3, variational=True), make_volumes(2, 1, 8, 8, 8)
    mean, log_variance = network.posterior(x)
    assert torch.equal(network.encode(x), mean)
    assert mean.shape == log_variance.shape == (2, *network.feature_shape((8, 8, 8)))
    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))


def test_draws_have_the_stated_mean_and_variance():
    torch.manual_seed(0)
    draws = drawn(torch.full((40_000,), 3.0), torch.full((40_000,), 1.2))
    assert draws.mean().item() == pytest.approx(3.0, abs=0.05)
    assert draws.var().log().item() == pytest.approx(1.2, abs=0.05)


def test_a_plain_network_has_no_posterior():
    with pytest.raises(CapabilityError, match="variational=True"):
        Autoencoder3d(1, 1).posterior(torch.zeros(1, 1, 4, 4, 4))


@pytest.mark.parametrize("options", [{}, {"stem": "strided"}, {"variational": True}], ids=str)
def test_every_parameter_learns(options):
    network = make_autoencoder(2, 3, **options).train()
    torch.manual_seed(0)
    network(make_volumes(4, 1, 9, 10, 8)).square().sum().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert idle == []


def test_volumes_of_another_kind_are_refused():
    network = Autoencoder3d(1, 1)
    for wrong in ((1, 2, 4, 4, 4), (1, 4, 4, 4), (1, 1, 4, 0, 4)):
        with pytest.raises(ShapeError, match=r"input must have shape \(batch, 1, depth, height, width\), got"):
            network(torch.zeros(wrong))


def test_features_of_volumes_of_another_shape_are_refused():
    network = Autoencoder3d(1, 2)
    with pytest.raises(ShapeError, match=r"features must have shape \(batch, 2, 4, 4, 5\), got \(1, 2, 4, 4, 4\)"):
        network.decode(network.encode(torch.zeros(1, 1, 8, 8, 8)), (8, 8, 9))


@pytest.mark.parametrize("options", [{"n_blocks": 0}, {"n_channels": 0}, {"stem": "wide"}], ids=str)
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=f"Autoencoder3d: {next(iter(options))} = .* is out of range"):
        Autoencoder3d(**options)
