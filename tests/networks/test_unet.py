"""The U-Net keeps the grid, moves with its input, sees as far as it says, and learns everywhere."""

import pytest
import torch

from kotowari.core.errors import InputError, ShapeError
from kotowari.networks.unet import UNet

SPACES = {1: (24,), 2: (24, 16), 3: (8, 12, 8)}
ODD = {1: [(4,), (5,), (31,)], 2: [(4, 4), (5, 7), (9, 30)], 3: [(4, 5, 6), (9, 4, 8)]}


def make_unet(n_axes=2, seed=0, **options):
    """A small network in eval mode whose norms and biases hold constants of their own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(n_axes, **({"width": 4} | options)).double()
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.data.uniform_(0.2, 1.0)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return network.eval()


def make_input(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def n_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def assert_moves_along(network, side=96, step=4):
    """Away from the borders, the output of a moved input is the moved output."""
    x = make_input(1, 1, side, side)
    margin = network.reach + step
    with torch.no_grad():
        output, moved = network(x), network(x.roll((step, step), dims=(2, 3)))
    inner = (..., slice(margin, side - margin), slice(margin, side - margin))
    gap = (output.roll((step, step), dims=(2, 3)) - moved)[inner].abs().max() / output.abs().max()
    assert gap < 1e-12, f"the output does not move along, relative gap {gap:.2g}"


def influenced(network, side, place):
    """Where the output changes when one pixel of the input does, as first and last row."""
    x = make_input(1, 1, side, side)
    other = x.clone()
    other[..., place, place] += 100.0
    with torch.no_grad():
        rows = (network(x) - network(other)).abs().amax((0, 1, 3)).nonzero().flatten()
    return int(rows.min()), int(rows.max())


@pytest.mark.parametrize(("width", "expected"), [(16, 83_920), (32, 333_728)])
@pytest.mark.parametrize("dual_frame", [True, False], ids=["dual frame", "plain"])
def test_the_published_table_of_layers_has_its_number_of_parameters(width, expected, dual_frame):
    assert n_parameters(UNet(width=width, dual_frame=dual_frame)) == expected


def test_another_table_of_layers_is_caught_by_its_number_of_parameters():
    assert n_parameters(UNet(width=16, depth=3)) != 83_920
    assert n_parameters(UNet(width=16, normalisation="none")) != 83_920


@pytest.mark.parametrize("normalisation", ["batch", "instance", "none"])
@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_the_output_has_the_space_of_the_input_and_its_own_channels(n_axes, normalisation):
    network = make_unet(n_axes, in_channels=3, out_channels=2, normalisation=normalisation)
    assert network(make_input(2, 3, *SPACES[n_axes])).shape == (2, 2, *SPACES[n_axes])


@pytest.mark.parametrize(("n_axes", "space"), [(n, space) for n, spaces in ODD.items() for space in spaces])
def test_sides_of_any_length_keep_their_grid(n_axes, space):
    output = make_unet(n_axes, dual_frame=True)(make_input(2, 1, *space))
    assert output.shape == (2, 1, *space)
    assert output.isfinite().all()


def test_an_odd_input_is_the_middle_of_its_reflection():
    network, x = make_unet(), make_input(1, 1, 18, 24)  # 18 is continued by one row on either side
    whole = torch.nn.functional.pad(x, (0, 0, 1, 1), mode="reflect")
    torch.testing.assert_close(network(x), network(whole)[:, :, 1:-1])
    zeros = torch.nn.functional.pad(x, (0, 0, 1, 1))
    assert not torch.allclose(network(x), network(zeros)[:, :, 1:-1])


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("dual_frame", [True, False], ids=["dual frame", "plain"])
def test_the_output_moves_along_with_its_input(depth, dual_frame):
    network = make_unet(depth=depth, dual_frame=dual_frame)
    assert_moves_along(network, side=2 * network.reach + 24, step=2**depth)


def test_a_step_that_is_no_multiple_of_the_pooling_is_caught():
    with pytest.raises(AssertionError, match="does not move along"):
        assert_moves_along(make_unet(), step=2)


def test_an_output_that_knows_its_place_is_caught():
    class Located(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.reach = make_unet(), 29

        def forward(self, x):
            return self.inner(x) + torch.arange(x.shape[-1])

    with pytest.raises(AssertionError, match="does not move along"):
        assert_moves_along(Located())


@pytest.mark.parametrize(("depth", "least"), [(1, 6), (2, 16), (3, 34)])
def test_one_pixel_reaches_as_far_as_told_and_not_farther(depth, least):
    network = make_unet(depth=depth)
    side = 2 * network.reach + 2 * 2**depth + 6
    farthest = 0
    for place in range(side // 2, side // 2 + 2**depth):  # every position within a pooling cell
        first, last = influenced(network, side, place)
        farthest = max(farthest, place - first, last - place)
    assert least < farthest <= network.reach


@pytest.mark.parametrize("dual_frame", [True, False], ids=["dual frame", "plain"])
@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_every_weight_learns(n_axes, dual_frame):
    network = make_unet(n_axes, dual_frame=dual_frame, normalisation="none")
    network(make_input(2, 1, *SPACES[n_axes])).square().sum().backward()
    silent = [name for name, weight in network.named_parameters() if not weight.grad.abs().sum() > 0]
    assert silent == []


@pytest.mark.parametrize("normalisation", ["batch", "instance", "none"])
def test_constant_images_give_constant_images(normalisation):
    """Reflection invents no border; an output that differs near one would."""
    network = make_unet(normalisation=normalisation, dual_frame=True)
    for value in (0.0, 0.7):
        output = network(torch.full((1, 1, 21, 26), value, dtype=torch.float64))
        torch.testing.assert_close(output, output[..., :1, :1].expand_as(output))


def test_zeros_beyond_the_border_are_seen_on_constant_images():
    output = make_unet(padding="zeros")(torch.full((1, 1, 20, 24), 0.7, dtype=torch.float64))
    assert output.std() > 1e-3


def test_dual_frames_change_the_output_but_not_the_parameters():
    plain, dual = make_unet(), make_unet(dual_frame=True)
    dual.load_state_dict(plain.state_dict())
    x = make_input(1, 1, 16, 16)
    assert not torch.allclose(plain(x), dual(x))


def test_a_silent_start_gives_nothing_at_first_and_learns_from_the_second_step():
    network, x = UNet(width=4, silent_start=True), make_input(2, 1, 16, 16).float()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    assert torch.equal(network(x), torch.zeros_like(x))
    for _ in range(2):
        optimiser.zero_grad()
        (network(x) - x).square().mean().backward()
        optimiser.step()
    silent = [name for name, weight in network.named_parameters() if not weight.grad.abs().sum() > 0]
    assert silent == []
    assert not torch.equal(UNet(width=4)(x), torch.zeros_like(x))


@pytest.mark.parametrize("normalisation", ["instance", "none"])
def test_a_sample_is_treated_alike_alone_and_in_a_batch_also_in_training(normalisation):
    network, x = make_unet(normalisation=normalisation).train(), make_input(3, 1, 12, 12)
    torch.testing.assert_close(torch.cat([network(one[None]) for one in x]), network(x))


def test_batch_norm_in_training_is_seen_to_mix_the_samples():
    network, x = make_unet().train(), make_input(3, 1, 12, 12)
    assert not torch.allclose(torch.cat([network(one[None]) for one in x]), network(x))


@pytest.mark.parametrize("shape", [(2, 1, 3, 16), (2, 1, 16, 1)], ids=str)
def test_sides_too_short_to_be_pooled_are_refused(shape):
    with pytest.raises(ShapeError, match=r"UNet: a depth of 2 needs sides of 4 or more, got \(\d+, \d+\)"):
        make_unet()(torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 3, 16, 16), (2, 1, 16), (2, 1, 8, 8, 8)], ids=str)
def test_inputs_of_another_shape_are_refused(shape):
    with pytest.raises(ShapeError, match=r"UNet: input must have shape \(batch, 1, height, width\), got"):
        make_unet()(torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize(
    "wrong",
    [{"n_axes": 4}, {"width": 0}, {"depth": 0}, {"in_channels": 0}, {"normalisation": "group"}, {"padding": "wrap"}],
    ids=str,
)
def test_settings_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(InputError, match=f"UNet: {next(iter(wrong))} = "):
        UNet(**wrong)
