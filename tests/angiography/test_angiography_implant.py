"""Vessels put into real pictures absorb, add the noise that belongs to them, and leave the rest as it was."""

from dataclasses import replace

import numpy as np
import pytest

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.attenuation import to_attenuation
from kotowari.studies.angiography.continuation import Continuation, forth_and_back
from kotowari.studies.angiography.contrast_free import find_contrast_free
from kotowari.studies.angiography.field import field_of_view
from kotowari.studies.angiography.implant import VesselImplant, implant_frame
from kotowari.studies.angiography.implant_noise import NoiseCurve, estimate_noise
from kotowari.studies.angiography.phantom import simulate_run
from kotowari.studies.angiography.phantom_settings import RunSettings

SETTINGS = RunSettings(shape=(96, 96), n_frames=48)
SILENT = NoiseCurve(np.array([0.0]), np.array([0.0]))


@pytest.fixture(scope="module")
def real():
    """Stands for a real run, contrast from frame 8 on."""
    return simulate_run(SETTINGS, seed=5)


@pytest.fixture(scope="module")
def plant(real):
    return VesselImplant(real.frames[:6], real.field, n_frames=16)


def flat_frames(rng, level, photons, n=8):
    counts = rng.poisson(photons * np.exp(-level), (n, 80, 80))
    return -np.log(np.maximum(counts, 0.5) / photons).astype(np.float32)


def test_places_are_the_same_at_every_grade_and_only_the_size_differs(plant):
    (_, weak), (_, strong) = (plant(grade, np.random.default_rng(3)) for grade in (0.01, 0.02))
    np.testing.assert_array_equal(weak.mask, strong.mask)
    np.testing.assert_allclose(strong.vessel, 2 * weak.vessel, rtol=0.01, atol=1e-6)


def test_grade_zero_plants_nothing_where_the_others_would(plant):
    frames, planted = plant(0.0, np.random.default_rng(3))
    assert planted.vessel.max() == 0
    assert planted.mask.any()
    np.testing.assert_array_equal(frames[:6], plant.frames)


def test_only_vessels_are_changed_and_they_get_darker_by_what_was_planted(plant):
    none, _ = plant(0.0, np.random.default_rng(3))
    frames, planted = plant(0.4, np.random.default_rng(3))
    change = frames - none
    assert np.abs(change[planted.vessel <= 1e-4]).max() == 0
    thick = planted.vessel > 0.2
    assert change[thick].mean() == pytest.approx(planted.vessel[thick].mean(), rel=0.1)


def test_planted_pixels_are_whole_grey_levels(plant):
    frames, _ = plant(0.4, np.random.default_rng(3))
    grey = 256 * np.exp(-frames[:6].astype(np.float64)) - 1
    np.testing.assert_allclose(grey, grey.round(), atol=1e-2)


def test_nothing_is_planted_outside_of_the_field(plant):
    _, planted = plant(0.4, np.random.default_rng(3))
    assert planted.vessel[:, ~plant.field].max() == 0
    assert not planted.mask[:, ~plant.field].any()


def test_the_same_stream_gives_the_same_bytes(plant):
    one, other = (plant(0.3, np.random.default_rng(4))[0] for _ in range(2))
    assert one.tobytes() == other.tobytes()


def test_frames_are_played_forth_and_back():
    assert forth_and_back(1, 3).tolist() == [0, 0, 0]
    assert forth_and_back(4, 9).tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2]


def test_noise_does_not_repeat_when_frames_do(rng):
    frames = flat_frames(rng, 1.0, 2000.0, n=3)
    played = Continuation(frames, estimate_noise(frames)).play(12, rng)
    sd = frames.std()
    np.testing.assert_array_equal(played[:3], frames)
    assert np.corrcoef(played[0].ravel(), played[4].ravel())[0, 1] < 0.3
    assert played[4:].std() == pytest.approx(sd, rel=0.2)
    exact = frames[forth_and_back(3, 12)]
    assert np.corrcoef(exact[0].ravel(), exact[4].ravel())[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("n", [1, 8])
def test_noise_is_estimated_at_every_level(rng, n):
    frames = np.concatenate([flat_frames(rng, level, 4000.0, n) for level in (0.2, 1.5)], axis=2)
    curve = estimate_noise(frames if n > 1 else frames[0])
    for level in (0.2, 1.5):
        assert curve.at(np.float32(level)) == pytest.approx(np.sqrt(np.exp(level) / 4000.0), rel=0.12)


def test_darkened_pixels_are_as_noisy_as_pixels_that_were_dark(rng):
    light, dark = flat_frames(rng, 0.5, 3000.0), flat_frames(rng, 1.0, 3000.0)
    curve = estimate_noise(np.concatenate([light, dark], axis=2))
    more = np.full_like(light, 0.5)
    right = light + more + curve.added(light, more, rng)
    assert right.std() == pytest.approx(dark.std(), rel=0.05)
    assert (light + more).std() < 0.85 * dark.std()


def test_a_single_picture_gets_a_tree(real):
    frame, vessel, mask = implant_frame(real.frames[0], 7, attenuation=0.5, field=real.field)
    assert 0.005 < mask.mean() < 0.15
    assert 0.3 < vessel.max() < 1.5
    changed = frame != real.frames[0]
    assert not changed[vessel <= 1e-4].any()
    assert (frame - real.frames[0])[mask].mean() > 0.05
    again = implant_frame(real.frames[0], 7, attenuation=0.5, field=real.field)[0]
    assert frame.tobytes() == again.tobytes()


def test_without_noise_and_rounding_the_change_is_the_vessel(real):
    frame, vessel, _ = implant_frame(real.frames[0], 2, noise=SILENT, full_scale=None)
    touched = vessel > 1e-4
    np.testing.assert_allclose((frame - real.frames[0])[touched], vessel[touched], atol=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_frames_before_contrast_are_found_and_none_with_it(seed):
    run = simulate_run(SETTINGS, seed=seed)
    first = int(np.argmax(run.mask.any((1, 2))))
    n_free = int(find_contrast_free(run.frames, run.field).sum())
    assert 1 <= n_free <= first + 1


def test_a_run_without_contrast_is_free_of_it_throughout():
    run = simulate_run(replace(SETTINGS, attenuation=0.0), seed=0)
    assert find_contrast_free(run.frames, run.field).all()


@pytest.mark.field_data
def test_the_frames_of_a_real_run_before_contrast_are_found(field_data):
    with np.load(field_data / "angiography" / "clip.npz") as kept:
        intensity = kept["frames"][:60, ::2, ::2]
    n_free = find_contrast_free(to_attenuation(intensity, 255), field_of_view(intensity)).sum()
    assert 8 <= n_free <= 15


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"frames": np.zeros((3, 40), np.float32)}, ShapeError, "time, height, width"),
        ({"field": np.ones((4, 4), bool)}, ShapeError, "field"),
        ({"frames": np.full((2, 40, 40), np.nan, np.float32)}, InputError, "not finite"),
        ({"n_frames": 0}, InputError, "n_frames"),
    ],
)
def test_what_cannot_be_planted_into_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        VesselImplant(**({"frames": np.zeros((2, 40, 40), np.float32)} | options))


def test_a_grade_out_of_range_is_refused(plant, rng):
    with pytest.raises(InputError, match="between 0 and 3"):
        plant(-0.1, rng)
    with pytest.raises(InputError, match="rise from 0"):
        implant_frame(plant.frames[0], 0, attenuation=(0.5, 0.1))
    with pytest.raises(ShapeError, match="height, width"):
        implant_frame(plant.frames, 0)
