"""Centred Fourier transforms, sampled k-space and coil maps."""

import numpy as np
import pytest
import torch

from kotowari.core.errors import InputError, ShapeError
from kotowari.operators.coils import CoilSensitivity
from kotowari.operators.fourier import FourierSampling, FourierTransform
from kotowari.testing.adjoint import assert_adjoint


def _draw(*shape, dtype=torch.complex128, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(7,), (8,), (5, 6), (4, 3, 5)])
def test_the_transform_is_the_sum_over_centred_positions(shape):
    x = _draw(*shape)
    expected = x.numpy()
    for axis, n in enumerate(shape):
        position = np.arange(n) - n // 2
        matrix = np.exp(-2j * np.pi * np.outer(position, position) / n) / np.sqrt(n)
        expected = np.moveaxis(np.tensordot(matrix, expected, (1, axis)), 0, axis)
    np.testing.assert_allclose(FourierTransform(shape)(x).numpy(), expected, atol=1e-13)


def test_a_constant_lies_at_zero_frequency_in_the_middle():
    k = FourierTransform((6, 5))(torch.ones(6, 5, dtype=torch.float64))
    expected = torch.zeros(6, 5, dtype=torch.complex128)
    expected[3, 2] = 30**0.5
    torch.testing.assert_close(k, expected, rtol=0, atol=1e-14)


def test_only_the_last_axes_are_transformed():
    x = _draw(2, 3, 8)
    torch.testing.assert_close(FourierTransform((3, 8), 1)(x)[1, 2], FourierTransform((8,))(x[1, 2]))


def test_what_was_not_measured_is_zero_and_the_rest_is_the_transform():
    mask = torch.rand(6, 5, generator=torch.Generator().manual_seed(0)) > 0.5
    x = _draw(4, 3, 6, 5)
    k, whole = FourierSampling(mask, (3, 6, 5))(x), FourierTransform((3, 6, 5), 2)(x)
    assert (k[..., ~mask] == 0).all()
    torch.testing.assert_close(k[..., mask], whole[..., mask])


def test_a_full_mask_is_known_to_keep_lengths_and_an_empty_one_to_keep_nothing():
    full = FourierSampling(torch.ones(4, 4, dtype=torch.bool), (4, 4))
    empty = FourierSampling(torch.zeros(4, 4, dtype=torch.bool), (4, 4))
    half = FourierSampling(torch.eye(4, dtype=torch.bool), (4, 4))
    assert (full.isometry, full.coisometry, full.norm()) == (1.0, 1.0, 1.0)
    assert (empty.isometry, empty.coisometry, empty.norm()) == (None, None, 0.0)
    assert (half.isometry, half.coisometry, half.norm()) == (None, None, 1.0)


@pytest.mark.parametrize(
    ("mask", "domain", "error", "match"),
    [
        (torch.ones(4, 4), (4, 4), InputError, "mask must be bool"),
        (torch.ones(4, 5, dtype=torch.bool), (3, 4, 4), ShapeError, r"shape \(4, 4\), got \(4, 5\)"),
        (torch.ones(3, 4, 4, dtype=torch.bool), (4, 4), ShapeError, "mask must have shape"),
        (torch.ones(1, 1, 1, 1, dtype=torch.bool), (1, 1, 1, 1), ShapeError, "mask must have shape"),
        (torch.tensor(True), (4,), ShapeError, "mask must have shape"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask, domain, error, match):
    with pytest.raises(error, match=match):
        FourierSampling(mask, domain)


@pytest.mark.parametrize("n_axes", [0, 3])
def test_a_number_of_axes_that_is_not_there_is_refused(n_axes):
    with pytest.raises(InputError, match="n_axes must be from 1 to 2"):
        FourierTransform((4, 4), n_axes)


def test_each_coil_sees_the_image_through_its_map():
    maps, x = _draw(3, 4, 5), _draw(2, 4, 5, seed=2)
    y = CoilSensitivity(maps)(x)
    for coil in range(3):
        torch.testing.assert_close(y[:, coil], maps[coil] * x)


def test_the_norm_is_the_largest_root_of_the_sum_of_squares():
    maps = torch.zeros(2, 3, dtype=torch.complex64)
    maps[:, 1] = torch.tensor([3.0, 4.0j])
    maps[0, 2] = 4.5
    assert CoilSensitivity(maps).norm() == 5.0


def test_samples_of_a_batch_may_have_maps_of_their_own():
    maps, x, y = _draw(2, 3, 4, 5), _draw(2, 4, 5, seed=2), _draw(2, 3, 4, 5, seed=3)
    together = CoilSensitivity(maps, n_axes=2)
    assert (together.domain, together.codomain) == ((4, 5), (3, 4, 5))
    for sample in range(2):
        alone = CoilSensitivity(maps[sample])
        torch.testing.assert_close(together(x)[sample], alone(x[sample]))
        torch.testing.assert_close(together.H(y)[sample], alone.H(y[sample]))
    assert_adjoint(together, torch.complex128, rng=torch.Generator().manual_seed(0))


def test_the_norm_of_a_batch_of_maps_is_the_largest_of_all_also_behind_a_mask():
    maps = _draw(2, 3, 4, 5)
    mask = torch.rand(4, 5, generator=torch.Generator().manual_seed(0)) > 0.5
    sampling = FourierSampling(mask, (3, 4, 5))
    assert CoilSensitivity(maps, n_axes=2).norm() == max(CoilSensitivity(part).norm() for part in maps)
    together = (sampling @ CoilSensitivity(maps, n_axes=2)).norm(tol=1e-6)
    alone = [(sampling @ CoilSensitivity(part)).norm(tol=1e-6) for part in maps]
    assert together == pytest.approx(max(alone), rel=1e-4)


@pytest.mark.parametrize(
    ("maps", "n_axes", "match"),
    [
        (torch.ones(3, 4, 4), None, "maps must be complex"),
        (torch.ones(3, dtype=torch.complex64), None, "coil axis before 1 or more axes"),
        (torch.ones(3, 4, dtype=torch.complex64), 2, "n_axes=2"),
    ],
)
def test_maps_that_do_not_fit_are_refused(maps, n_axes, match):
    with pytest.raises(InputError, match=match):
        CoilSensitivity(maps, n_axes=n_axes)
