"""Coarse maps at fine places: both readings agree, and the mean is kept where that is said."""

import pytest
import torch

from kotowari.core.errors import InputError, ShapeError
from kotowari.explain import read_at, upsample


def make_maps(dtype=torch.float64):
    return torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def every_pixel(shape):
    return torch.cartesian_prod(torch.arange(shape[0]), torch.arange(shape[1]))


def assert_keeps_the_mean(fine, coarse):
    gap = (fine.mean((1, 2)) - coarse.mean((1, 2))).abs().max()
    assert gap <= 1e-12, f"the mean moves by {gap:.2g}"


@pytest.mark.parametrize("shape", [(4, 5), (8, 15), (4, 20)])
def test_the_mean_is_kept_for_whole_multiples(shape):
    assert_keeps_the_mean(upsample(make_maps(), shape), make_maps())


def test_a_reading_between_corners_is_caught():
    corners = torch.nn.functional.interpolate(make_maps()[None], (8, 15), mode="bilinear", align_corners=True)[0]
    with pytest.raises(AssertionError, match="the mean moves"):
        assert_keeps_the_mean(corners, make_maps())


def test_the_mean_is_nearly_kept_for_other_sizes():
    fine = upsample(make_maps(), (37, 50))
    assert (fine.mean((1, 2)) - make_maps().mean((1, 2))).abs().max() < 0.02 * make_maps().std()


def test_the_same_size_is_the_same_map():
    assert torch.equal(upsample(make_maps(), (4, 5)), make_maps())


def test_values_stay_inside_the_range_of_the_map():
    fine = upsample(make_maps(), (23, 31))
    assert fine.max() <= make_maps().max()
    assert fine.min() >= make_maps().min()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(4, 5), (8, 15), (37, 50), (3, 2)])
def test_reading_every_pixel_is_the_upsampled_map(shape, dtype):
    maps = make_maps(dtype)
    tolerance = 100 * torch.finfo(dtype).eps
    torch.testing.assert_close(
        read_at(maps, every_pixel(shape), shape).reshape(3, *shape), upsample(maps, shape), rtol=0, atol=tolerance
    )


def test_rows_and_columns_are_not_exchanged():
    maps = torch.arange(4.0).reshape(1, 4, 1).expand(1, 4, 5)
    assert read_at(maps, torch.tensor([[2, 0], [0, 4]]), (4, 5)).tolist() == [[2.0, 0.0]]


def test_a_place_between_pixels_lies_between_their_values():
    maps = torch.tensor([[[0.0, 1.0]]])
    assert read_at(maps, torch.tensor([[0.0, 0.25], [0.0, -0.5]]), (1, 2)).tolist() == [[0.25, 0.0]]


@pytest.mark.parametrize("position", [[-0.6, 0.0], [0.0, 5.5], [float("nan"), 0.0]])
def test_a_place_outside_the_image_is_refused(position):
    with pytest.raises(InputError, match=r"position 1 .* lies outside the image of shape"):
        read_at(make_maps(), torch.tensor([[1.0, 1.0], position]), (4, 5))


def test_wrong_shapes_are_refused():
    with pytest.raises(ShapeError, match="upsample: maps must have shape"):
        upsample(torch.ones(4, 5), (8, 10))
    with pytest.raises(ShapeError, match="read_at: positions must have shape"):
        read_at(make_maps(), torch.tensor([1, 2, 3]), (4, 5))
