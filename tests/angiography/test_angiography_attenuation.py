"""An X-ray run: attenuation, scale, field of view."""

import numpy as np
import pytest

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.attenuation import XrayRun, judge_log_scale, to_attenuation, xray_run
from kotowari.studies.angiography.controls import shuffle_frames, with_gain_and_offset
from kotowari.studies.angiography.field import field_of_view


def _thorax(rng, n_frames=6, side=96):
    row, column = np.mgrid[:side, :side]
    smooth = 90 + 60 * np.sin(row / 17) * np.cos(column / 23)
    frames = smooth + rng.normal(0, 3, (n_frames, side, side))
    return frames.clip(20, 250)


def _disc(side=96, radius=44):
    row, column = np.mgrid[:side, :side] - (side - 1) / 2
    return np.hypot(row, column) <= radius


def test_attenuation_is_the_logarithm_of_relative_light_and_adds_through_layers():
    light = 65536 * np.exp(-np.array([[0.0, 0.4], [0.7, 1.1]])) - 1
    np.testing.assert_allclose(to_attenuation(light, 65535), [[0.0, 0.4], [0.7, 1.1]], atol=4e-6)


def test_log_scaled_intensities_give_the_attenuation_of_their_linear_ones():
    linear = np.array([[0.0, 3.0, 100.0, 255.0]])
    logged = 255 * np.log1p(linear) / np.log(256)
    np.testing.assert_allclose(to_attenuation(logged, 255, is_log=True), to_attenuation(linear, 255), atol=3e-6)
    # the logarithm of a logarithm is something else
    assert np.abs(to_attenuation(logged, 255) - to_attenuation(linear, 255)).max() > 0.5


def test_float_intensities_give_what_their_bytes_give():
    grey = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_allclose(to_attenuation(grey / np.float32(255), 1.0), to_attenuation(grey, 255), atol=3e-6)


def test_intensities_are_left_as_they_were():
    light = np.full((2, 3), 100, np.float32)
    to_attenuation(light, 255)
    assert (light == 100).all()


def test_sign_of_skewness_decides_only_without_a_flag(rng):
    thickness = rng.normal(1.5, 0.5, (3, 64, 64)).clip(0.05, 3)
    linear = 4095 * np.exp(-thickness)
    logged = 4095 * (1 - thickness / 3) - 200 * (thickness > 2)
    whole = np.ones((64, 64), np.bool_)
    assert not judge_log_scale(linear, whole).is_log
    assert judge_log_scale(logged, whole).is_log
    told = judge_log_scale(logged, whole, is_log=False)
    assert not told.is_log
    assert "contradicts" in told.sentence
    assert "agrees" in judge_log_scale(linear, whole, is_log=False).sentence


def test_field_of_view_is_the_disc_of_a_round_shutter(rng):
    frames = np.where(_disc(), _thorax(rng), 12 + rng.normal(0, 0.5, (6, 96, 96))).astype(np.uint8)
    field = field_of_view(frames)
    assert not (field & ~_disc()).any()
    assert (field & _disc()).sum() > 0.85 * _disc().sum()


def test_dark_anatomy_at_the_rim_stays_in_the_field(rng):
    frames = np.where(_disc(), _thorax(rng), 4)
    frames[:, 60:75, 80:90] = np.where(_disc()[60:75, 80:90], 8, 4)
    field = field_of_view(frames.astype(np.uint8))
    assert field[60:75, 80:90][_disc(radius=39)[60:75, 80:90]].all()


def test_picture_without_shutter_is_field_everywhere(rng):
    assert field_of_view(_thorax(rng)).all()
    assert field_of_view(_thorax(rng)[0]).all()


def test_collimator_is_cut_along_its_edge_and_a_vessel_is_not(rng):
    frames = _thorax(rng)
    frames[:, :, :10] *= 0.3
    frames[:, 40:44, :] *= 0.4
    field = field_of_view(frames.astype(np.uint8))
    assert not field[:, :10].any()
    assert field[:, 15:].all()


def test_pixels_that_never_leave_an_extreme_are_no_field(rng):
    frames = _thorax(rng).astype(np.uint8)
    frames[:, 30:34, 30:40] = 255
    field = field_of_view(frames)
    assert not field[30:34, 30:40].any()
    assert field.sum() == field.size - 40


def test_one_passing_flash_leaves_the_field_as_it_is(rng):
    frames = np.where(_disc(), _thorax(rng), 4).astype(np.uint8)
    flashed = frames.copy()
    flashed[2, :20] = 200
    np.testing.assert_array_equal(field_of_view(flashed), field_of_view(frames))


def test_run_holds_what_was_decided_about_it(rng):
    run = xray_run("a", _thorax(rng).astype(np.uint8), 255, is_log=False, shutter=_disc(), pixel_mm=0.3)
    assert run.frames.shape == (6, 96, 96)
    assert run.frames.dtype == np.float32
    assert not (run.field & ~_disc()).any()
    assert "flag" in run.notes[0]


@pytest.mark.parametrize(
    ("intensity", "sentence"),
    [
        (np.full((2, 8, 8), 7), "every pixel has the value 7"),
        (np.array([[[0.0, np.nan]]]), "must be finite"),
        (np.array([[[0, 300]]]), "between 0 and 255"),
    ],
)
def test_intensities_that_show_nothing_are_refused(intensity, sentence):
    with pytest.raises(InputError, match=sentence):
        xray_run("a", intensity, 255)


def test_parts_that_do_not_fit_are_refused():
    frames, field = np.zeros((2, 4, 4), np.float32), np.ones((4, 4), np.bool_)
    with pytest.raises(ShapeError, match="field must have shape"):
        XrayRun("a", frames, field[:3])
    with pytest.raises(InputError, match="rise from frame to frame"):
        XrayRun("a", frames, field, np.array([1.0, 1.0]))
    with pytest.raises(InputError, match="field of view is empty"):
        XrayRun("a", frames, ~field)
    with pytest.raises(ShapeError, match="intensity must have shape"):
        xray_run("a", np.zeros(5), 255)


def test_shuffled_frames_come_back_by_their_order(rng):
    frames = rng.normal(size=(7, 3, 3)).astype(np.float32)
    shuffled, order = shuffle_frames(frames, rng)
    assert not (shuffled == frames).all()
    np.testing.assert_array_equal(shuffled[np.argsort(order)], frames)


def test_gain_adds_a_constant_and_offset_flattens_the_dark(rng):
    frames = rng.uniform(0.2, 3, (2, 8, 8)).astype(np.float32)
    gained = with_gain_and_offset(frames, 65535, gain=0.5)
    np.testing.assert_allclose(gained - frames, np.log(2), atol=5e-4)
    lifted = with_gain_and_offset(frames, 65535, offset=4000)
    assert np.ptp(lifted) < 0.8 * np.ptp(frames)
    with pytest.raises(InputError, match="gain"):
        with_gain_and_offset(frames, 255, gain=0)
