"""Single new frames on the background of a run, and shifts between frames."""

import numpy as np
import pytest
from scipy import ndimage

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.priors.frame_shifts import find_shifts, shifted_back
from kotowari.priors.run_background import RunBackground
from kotowari.priors.space_time import separate_run


@pytest.fixture(scope="module")
def modes():
    y, x = np.mgrid[:40, :50] / 50
    return np.stack([1 + x, np.cos(3 * x + y), y * x]).astype(np.float32)


@pytest.fixture(scope="module")
def vessel():
    frame = np.zeros((40, 50), np.float32)
    frame[10:30, 20:24] = 0.5
    return frame


def test_a_new_frame_is_split_without_a_ghost(modes, vessel):
    field = np.ones((40, 50), bool)
    background = np.tensordot([2.0, 0.4, -0.3], modes, 1).astype(np.float32)
    found = RunBackground(modes, field, 0.02, n_pixels=600).separate(background + vessel)
    np.testing.assert_allclose(found.background + found.sparse + found.residual, background + vessel, atol=1e-6)
    # with 4 % of the pixels pulling by 0.02 each, the background is off by about a thousandth
    np.testing.assert_allclose(found.background, background, atol=4e-3)
    np.testing.assert_allclose(found.sparse[vessel > 0], 0.48, atol=4e-3)
    assert found.sparse[vessel == 0].max() == 0
    plain = RunBackground(modes, field, 10.0, n_pixels=600).separate(background + vessel)
    assert np.abs(plain.background - background).max() > 0.02


def test_the_background_of_a_run_serves_frames_to_come(modes, vessel, rng):
    shares = rng.normal(1, 0.3, (12, 3))
    run = np.tensordot(shares, modes, 1) + 0.004 * rng.standard_normal((12, 40, 50))
    field = np.ones((40, 50), bool)
    field[:5] = False
    layers = separate_run(run.astype(np.float32), field, noise=0.004)
    frame = np.tensordot([1.2, 0.8, 1.1], modes, 1) + vessel
    found = RunBackground.of(layers).separate(frame)
    assert not found.sparse[:5].any()
    assert found.sparse[12:28, 20:24].min() > 0.4
    assert found.sparse[(vessel == 0)].max() < 0.05


def test_frames_and_spaces_that_do_not_fit_are_refused(modes):
    field = np.ones((40, 50), bool)
    with pytest.raises(ShapeError, match="space"):
        RunBackground(modes[0], field, 0.1)
    with pytest.raises(InputError, match="threshold"):
        RunBackground(modes, field, 0.0)
    with pytest.raises(ShapeError, match="frame"):
        RunBackground(modes, field, 0.1).separate(np.ones((3, 3)))
    with pytest.raises(InputError, match="NaN"):
        RunBackground(modes, field, 0.1).separate(np.full((40, 50), np.nan))


@pytest.fixture(scope="module")
def moved():
    rng = np.random.default_rng(3)
    scene = ndimage.gaussian_filter(rng.standard_normal((160, 150)), 3.0)
    shifts = np.array([[0, 0], [2.3, -1.6], [-3, 4], [0, 0], [0.5, 0.2], [0, 0], [0, 0]])
    return np.stack([ndimage.shift(scene, s, order=3, mode="nearest") for s in shifts]), shifts


def test_shifts_are_found_to_a_quarter_of_a_pixel(moved):
    frames, shifts = moved
    found = find_shifts(frames)
    np.testing.assert_allclose(found, shifts, atol=0.25)
    np.testing.assert_allclose(find_shifts(frames, n_parts=1), shifts, atol=0.6)
    assert np.abs(-found - shifts).max() > 1


def test_frames_shifted_back_lie_on_each_other(moved):
    frames, _ = moved
    back = shifted_back(frames, find_shifts(frames))
    inner = (slice(None), slice(20, -20), slice(20, -20))
    before, after = (np.abs(f[inner] - f[0][inner[1:]]).max() for f in (frames, back))
    assert after < 0.15 * before


def test_shifts_need_a_centre_and_numbers_in_range(moved):
    frames, shifts = moved
    with pytest.raises(DesignError, match="pixels long"):
        find_shifts(frames[:, :8, :8])
    with pytest.raises(ShapeError, match="frames"):
        find_shifts(frames[0])
    with pytest.raises(InputError, match="central"):
        find_shifts(frames, central=0.0)
    with pytest.raises(ShapeError, match="shifts"):
        shifted_back(frames, shifts[:2])


def test_noisy_frames_are_shifted_back_and_the_other_way_is_worse(rng):
    still = ndimage.gaussian_filter(rng.normal(size=(96, 96)), 2).astype(np.float32)
    truth = np.array([[0, 0], [0, 0], [0, 0], [3, -2], [-1.5, 0.5]])
    frames = np.stack([ndimage.shift(still, shift, mode="nearest") for shift in truth])
    frames += rng.normal(0, 0.005, frames.shape).astype(np.float32)
    field = np.ones((96, 96), np.bool_)
    found = find_shifts(frames, field)
    np.testing.assert_allclose(found, truth, atol=0.2)
    centre = (slice(None), slice(10, -10), slice(10, -10))
    moved = np.abs((frames - still)[centre]).mean()
    assert np.abs((shifted_back(frames, found) - still)[centre]).mean() < 0.3 * moved
    assert np.abs((shifted_back(frames, -found) - still)[centre]).mean() > moved
    with pytest.raises(DesignError, match="centre of the field"):
        find_shifts(frames, np.pad(np.ones((9, 9), np.bool_), (0, 87)))
    with pytest.raises(ShapeError):
        shifted_back(frames, found[:2])
