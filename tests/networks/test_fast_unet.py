"""A U-Net on folded pictures keeps the grid, sees what it should, and moves with its input."""

import pytest
import torch

from kotowari.core.errors import InputError, ShapeError
from kotowari.networks import FastUNet


def drawn(**options):
    """A network in eval mode, whose running figures are not those of birth."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = FastUNet(**{"widths": (4, 6, 8)} | options)
        network.train()(torch.randn(4, network.in_channels, 32, 32))
    return network.double().eval()


def picture(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (8, 40), (9, 10)])
@pytest.mark.parametrize("fold", [1, 2, 3])
def test_any_picture_keeps_its_grid(shape, fold):
    network = drawn(in_channels=2, out_channels=3, fold=fold)
    assert network(picture(2, 2, *shape)).shape == (2, 3, *shape)


def moved_with(network, shift, side=240):
    """Largest difference in the middle between moving the input and moving the output, over the output's size."""
    x = picture(1, 1, side, side)
    with torch.no_grad():
        there, back = network(x.roll(shift, 3)), network(x).roll(shift, 3)
    middle = (..., slice(112, 128), slice(112, 128))
    return float((there - back)[middle].abs().max() / back.abs().max())


def test_a_picture_moved_by_whole_cells_moves_the_output():
    network = drawn()
    assert moved_with(network, 8) < 1e-12  # fold 2, three levels: cells of 8 pixels
    assert moved_with(network, 3) > 1e-3  # and by less than a cell it does not, so the law is one


def test_every_pixel_of_a_folded_square_has_weights_of_its_own():
    network = drawn()
    x = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        plain = network(x)
        changed = [
            network(x.index_put((torch.tensor(0), torch.tensor(0), *where), torch.tensor(1.0).double()))
            for where in [(torch.tensor(8), torch.tensor(8)), (torch.tensor(8), torch.tensor(9))]
        ]
    assert all((one - plain).abs().max() > 1e-6 for one in changed)
    assert (changed[0] - changed[1]).abs().max() > 1e-6


def test_every_parameter_has_a_part_in_the_output():
    network = drawn().train()
    network(picture(2, 1, 24, 24)).square().sum().backward()
    silent = [name for name, weight in network.named_parameters() if not weight.grad.abs().sum() > 0]
    assert silent == []


def test_one_sample_does_not_change_another_in_eval_mode():
    network, x = drawn(), picture(3, 1, 16, 24)
    with torch.no_grad():
        assert (network(x)[1:2] - network(x[1:2])).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_channels": 0}, "1 or more"),
        ({"fold": 0}, "1 or more"),
        ({"widths": (4,)}, "two or more"),
        ({"widths": (4, 0)}, "1 or more"),
    ],
)
def test_sizes_that_make_no_network_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        FastUNet(**options)


def test_a_picture_of_other_channels_or_axes_is_refused():
    network = drawn()
    for shape in [(1, 2, 16, 16), (1, 16, 16)]:
        with pytest.raises(ShapeError, match="FastUNet"):
            network(picture(*shape))
