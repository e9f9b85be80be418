"""Local contrast, the network behind it, and its loss."""

import pytest
import torch

from kotowari.core.errors import InputError, ShapeError
from kotowari.networks.fast_unet import FastUNet
from kotowari.studies.angiography.model.enhancer_input import LocalContrast
from kotowari.studies.angiography.model.enhancer_loss import ImplantLoss

FIELD = torch.ones(1, 1, 70, 90)


@pytest.fixture
def frames(rng):
    return torch.tensor(rng.standard_normal((2, 1, 70, 90)), dtype=torch.float32)


def changed(look, frames):
    """Relative change of what ``look`` sees when gain and offset of the display change."""
    before, after = look(frames, FIELD), look(3.0 * frames + 5.0, FIELD)
    return float((after - before).abs().max() / before.abs().max())


def test_gain_and_offset_of_the_display_change_nothing(frames):
    assert changed(LocalContrast(6.0), frames) < 1e-4  # float32 digits lost to the offset


def test_contrast_that_only_takes_the_mean_is_caught(frames):
    assert changed(lambda x, _: x - x.mean((2, 3), keepdim=True), frames) > 1


def test_what_lies_outside_of_the_field_is_zero_and_does_not_matter(frames):
    field = FIELD.clone()
    field[..., :20, :30] = 0
    bright = torch.where(field > 0, frames, 40.0)
    look = LocalContrast(6.0)
    torch.testing.assert_close(look(bright, field), look(frames * field, field), rtol=0, atol=1e-4)
    assert look(bright, field)[..., :20, :30].abs().max() == 0


def test_a_flat_frame_has_no_contrast():
    assert LocalContrast(6.0)(torch.full((1, 1, 70, 90), 3.0), FIELD).abs().max() < 1e-3


@pytest.mark.parametrize("shape", [(1, 1, 33, 47), (2, 3, 16, 16), (1, 2, 5, 64)])
@pytest.mark.parametrize("fold", [1, 2])
def test_fast_unet_answers_on_the_grid_of_its_input(shape, fold):
    net = FastUNet(shape[1], 2, widths=(4, 6, 8), fold=fold).eval()
    assert net(torch.zeros(shape)).shape == (shape[0], 2, *shape[2:])


def test_fast_unet_moves_with_its_input():
    torch.manual_seed(0)
    net = FastUNet(widths=(4, 6), fold=2).eval()
    x = torch.zeros(1, 1, 64, 64)
    x[..., 20:24, 20:24] = 1
    with torch.no_grad():
        here, there = net(x), net(x.roll((8, 8), (2, 3)))
    torch.testing.assert_close(there[..., 16:56, 16:56], here[..., 8:48, 8:48])
    assert not torch.allclose(there, here)


def test_fast_unet_refuses_other_channels_and_empty_levels():
    with pytest.raises(ShapeError, match="FastUNet"):
        FastUNet(2)(torch.zeros(1, 1, 16, 16))
    with pytest.raises(InputError, match="widths"):
        FastUNet(widths=(4,))


@pytest.fixture
def known(rng):
    truth = torch.tensor(rng.random((2, 20, 20)) < 0.2, dtype=torch.float32)
    weight = torch.ones_like(truth)
    weight[:, 10:] = 0
    return torch.stack([truth, weight], 1)


def test_the_right_answer_costs_next_to_nothing_and_the_opposite_much(known):
    right = 20 * (2 * known[:, :1] - 1)
    assert ImplantLoss()(right, known) < 1e-3
    assert ImplantLoss()(-right, known) > 10


def test_pixels_of_doubt_count_for_the_prior_alone(known):
    scores = 20 * (2 * known[:, :1] - 1)
    busy = scores.clone()
    busy[:, :, 10:] = 20.0
    assert ImplantLoss()(busy, known) == ImplantLoss()(scores, known)
    sparse = ImplantLoss(sparse_weight=1.0)
    assert sparse(busy, known) - sparse(scores, known) == pytest.approx(1 - float(known[:, 0, 10:].mean()), abs=1e-5)


def test_variation_is_charged_where_the_answer_is_uneven(known):
    even, uneven = torch.full((2, 1, 20, 20), -20.0), torch.full((2, 1, 20, 20), -20.0)
    uneven[:, :, 12:, ::2] = 20.0
    loss = ImplantLoss(tv_weight=1.0)
    assert loss(uneven, known) - ImplantLoss()(uneven, known) > 0.5
    assert loss(even, known) == pytest.approx(float(ImplantLoss()(even, known)), abs=1e-6)
