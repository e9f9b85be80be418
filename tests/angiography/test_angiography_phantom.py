"""Simulated runs hold what they say they hold, and only those as hard as life are locked."""

from dataclasses import replace

import numpy as np
import pytest

from kotowari.core.errors import DesignError, InputError
from kotowari.studies.angiography.phantom import VISIBLE_SHARE, first_seen, simulate_run
from kotowari.studies.angiography.phantom_background import draw_parts, iter_backgrounds
from kotowari.studies.angiography.phantom_contrast import ContrastCourse
from kotowari.studies.angiography.phantom_detector import detected, round_shutter
from kotowari.studies.angiography.phantom_lock import phantom_lock
from kotowari.studies.angiography.phantom_motion import draw_motion
from kotowari.studies.angiography.phantom_settings import RunSettings

SMALL = RunSettings(shape=(96, 112), n_frames=24)


@pytest.fixture(scope="module")
def run():
    return simulate_run(SMALL, seed=1)


def test_shapes_and_kinds_are_as_promised(run):
    size = (24, 96, 112)
    assert run.intensity.shape == run.frames.shape == run.vessel.shape == run.mask.shape == run.device.shape == size
    assert run.arrival_s.shape == run.radius.shape == run.field.shape == size[1:]
    assert run.intensity.dtype == np.uint8
    assert {run.frames.dtype, run.vessel.dtype, run.background.dtype} == {np.dtype(np.float32)}
    assert run.background.min() >= 0
    assert run.vessel.min() >= 0


def test_the_same_seed_gives_the_same_bytes_and_another_another_patient(run):
    assert simulate_run(SMALL, seed=1).intensity.tobytes() == run.intensity.tobytes()
    assert (simulate_run(SMALL, seed=2).mask != run.mask).any()


def test_attenuation_adds_up_to_what_the_detector_saw():
    bare = replace(SMALL, photons=1e7, bits=16, scatter=0.0, blur_px=0.0, device_attenuation=0.0, shutter=False)
    run = simulate_run(bare, seed=1)
    np.testing.assert_allclose(run.frames, run.background + run.vessel, atol=0.01)


def test_contrast_changes_neither_anatomy_nor_truth(run):
    faint = simulate_run(replace(SMALL, attenuation=0.1), seed=1)
    np.testing.assert_array_equal(faint.mask, run.mask)
    np.testing.assert_array_equal(faint.background, run.background)
    np.testing.assert_allclose(faint.vessel * 4, run.vessel, atol=1e-5)


def test_without_contrast_there_are_no_vessels():
    run = simulate_run(replace(SMALL, attenuation=0.0), seed=1)
    assert run.vessel.max() == 0
    assert not run.mask.any()
    assert np.isnan(run.arrival_s).all()


def test_the_thickest_vessel_has_the_attenuation_of_the_settings():
    run = simulate_run(replace(SMALL, moving=False), seed=1)
    middle = run.tree.points[3].round().astype(int)
    peak = run.vessel[:, middle[0], middle[1]].max()
    assert peak == pytest.approx(SMALL.attenuation, rel=0.1)


def test_vessels_fill_from_the_root_to_the_ends(run):
    filled = run.mask.sum((1, 2))
    assert filled[: int(0.15 * 24)].max() == 0
    assert filled.argmax() >= 0.5 * 24
    still = simulate_run(replace(SMALL, moving=False), seed=1)
    reached = np.isfinite(still.arrival_s)
    way = np.full(still.radius.shape, np.nan)
    rows, columns = still.tree.points.round().astype(int).T
    way[rows, columns] = still.tree.path
    both = reached & np.isfinite(way)
    assert np.corrcoef(still.arrival_s[both], way[both])[0, 1] > 0.9


def test_the_centreline_moves_with_the_mask(run):
    last = 20
    points = run.centreline(last).round().astype(int)
    inside = (points >= 0).all(1) & (points < np.array(run.field.shape)).all(1)
    rows, columns = points[inside].T
    assert run.mask[last, rows, columns].mean() > 0.99
    assert run.mask[last - 3, rows, columns].mean() < 0.99


def test_the_device_is_there_before_contrast_and_a_vessel_is_not(run):
    assert run.device[0].any()
    assert not run.mask[0].any()


def test_the_first_sight_of_a_pixel_is_its_arrival():
    mask = np.zeros((3, 1, 3), dtype=bool)
    mask[1:, 0, 0] = mask[2, 0, 1] = True
    np.testing.assert_array_equal(first_seen(mask, np.array([0.0, 0.5, 1.0])), [[0.5, 1.0, np.nan]])


def test_contrast_comes_rises_and_washes_out():
    course = ContrastCourse(begin_s=1.0, speed=50.0, rise_s=0.4, plateau_s=2.0, washout_s=1.0)
    path = np.array([0.0, 100.0])
    assert course.concentration(path, 1.0).tolist() == [0, 0]
    np.testing.assert_allclose(course.concentration(path, 1.2), [0.5, 0.0])
    np.testing.assert_allclose(course.concentration(path, 4.0), [np.exp(-1), 1.0])
    assert 0 < VISIBLE_SHARE < 0.5


def rank_one_share(frames):
    values = np.linalg.svd(frames.reshape(len(frames), -1).astype(np.float64), compute_uv=False) ** 2
    return values[:8].sum() / values.sum(), values[0] / values.sum()


def test_the_background_is_nearly_of_low_rank_and_of_rank_one_where_nothing_moves(rng):
    times = np.arange(40) / 15
    still = draw_motion((64, 64), times, rng, heart_px=0.0, heart_hz=1.2, breath_px=0.0, breath_hz=0.25)
    moving = replace(still, heart_px=2.0, breath_px=3.0)
    for motion, exact in ((still, True), (moving, False)):
        parts = draw_parts((64, 64), motion, 1.0, np.random.default_rng(0))
        frames = np.stack(list(iter_backgrounds(parts, (64, 64))))
        eight, one = rank_one_share(frames)
        assert eight > 0.999
        assert (one > 1 - 1e-10) == exact
        assert len(parts) == 8


def test_noise_is_that_of_the_photons_that_were_counted(rng):
    flat = np.full((200, 200), 0.7, dtype=np.float32)
    everywhere = np.ones(flat.shape, dtype=bool)
    for photons in (300.0, 3000.0):
        grey = detected(flat, everywhere, rng, photons=photons, blur_px=0, scatter=0, full_scale=65535) / 65535
        light = np.exp(-0.7)
        assert grey.mean() == pytest.approx(light, rel=0.01)
        assert grey.std() == pytest.approx(np.sqrt(light / photons), rel=0.02)


def test_scatter_and_shutter_move_light_and_cut_it(rng):
    dark = np.zeros((96, 96), dtype=np.float32)
    dark[40:56, 40:56] = 3.0
    field = round_shutter((96, 96))
    assert not field[0, 0]
    assert field[48, 48]
    clear = detected(dark, field, rng, photons=1e6, scatter=0.0)
    foggy = detected(dark, field, rng, photons=1e6, scatter=0.3)
    assert foggy[48, 48] > 2 * clear[48, 48]
    assert foggy[2, 2] < 12


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": (16, 64)}, "32 pixels"),
        ({"photons": 0.0}, "photons must be above 0"),
        ({"attenuation": -0.1}, "attenuation must lie between"),
        ({"begin": 0.6}, "begin before it fills"),
        ({"bits": 9}, "bits must be"),
        ({"front_speed": 0.0}, "front_speed"),
    ],
)
def test_settings_out_of_range_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        RunSettings(**options)


def test_the_default_is_as_hard_as_life():
    report = phantom_lock(simulate_run(RunSettings(n_frames=40), seed=1))
    assert report.locked, report.faults
    assert set(report.methods["method"]) == {"top-hat", "Frangi", "subtraction", "robust PCA"}
    assert report.best_ap >= report.filter_ap


@pytest.mark.parametrize(
    "options", [{"moving": False, "attenuation": 0.6, "photons": 5000.0, "clutter": 0.3}, {"attenuation": 0.08}]
)
def test_a_run_that_is_too_easy_or_hopeless_is_not_locked(options):
    report = phantom_lock(simulate_run(RunSettings(n_frames=32, shape=(96, 96), **options), seed=0))
    assert not report.locked
    assert "life has" in report.faults[0]


def test_a_run_without_contrast_cannot_be_judged():
    with pytest.raises(DesignError, match="before contrast"):
        phantom_lock(simulate_run(replace(SMALL, attenuation=0.0)))
