"""Simulated brains hold what they say, are as hard as life, and each subject is one and the same whoever asks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV

from kotowari.core.errors import DesignError, InputError
from kotowari.studies.brain.phantom import BrainGenerator, plant_truth, redraw_scores, simulate_brains
from kotowari.studies.brain.phantom_effects import smooth_field
from kotowari.studies.brain.phantom_grid import brain_grid
from kotowari.studies.brain.phantom_lock import effect_sizes, phantom_lock, ridge_dual
from kotowari.studies.brain.phantom_participants import unit_scores
from kotowari.studies.brain.phantom_regions import REGIONS, parcel_names, parcellate
from kotowari.studies.brain.phantom_settings import BrainSettings
from kotowari.studies.brain.phantom_sites import blurred
from kotowari.studies.brain.phantom_warp import SmoothWarp

QUIET = BrainSettings(coarse_sd=0, fine_sd=0, warp_mm=0, noise=0, motion_mm=0, blur_mm=0, bias=0, gain=1)


@pytest.fixture(scope="module")
def phantom():
    return simulate_brains(150, seed=1, voxel_mm=10)


def scanned(generator, **changes):
    """One volume of subject 0 with some of its scores set, its anatomy kept."""
    row = generator.participant(0) | {"site": "A", "blur_mm": 0.0} | changes
    return generator._scanned(row, np.random.default_rng(0))


# -- who is simulated ---------------------------------------------------------------------------------------------


def test_a_subject_is_the_same_however_many_there_are(phantom):
    few = simulate_brains(3, seed=1, voxel_mm=10)
    np.testing.assert_array_equal(few.volumes, phantom.volumes[:3])
    pd.testing.assert_frame_equal(few.participants, phantom.participants[:3])
    streamed = BrainGenerator(seed=1, voxel_mm=10).iter_volumes(2, start=40)
    np.testing.assert_array_equal(list(streamed), phantom.volumes[40:42])


def test_subjects_of_other_seeds_are_other_subjects(phantom):
    other = simulate_brains(150, seed=2, voxel_mm=10)
    a, b = (p.volumes[:, p.mask] / p.participants["tiv"].to_numpy()[:, None] for p in (phantom, other))
    centre = (a.mean(0) + b.mean(0)) / 2
    a, b = a - centre, b - centre
    across = (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    within = np.corrcoef(phantom.volumes[:, phantom.mask])[0, 0]
    assert within == pytest.approx(1)
    assert across.max() < 0.9
    assert abs(across.mean()) < 0.05
    assert abs(np.corrcoef(phantom.participants["age"], other.participants["age"])[0, 1]) < 0.25


def test_participants_are_as_described(phantom):
    table, patients = phantom.participants, phantom.patients
    assert patients.mean() == pytest.approx(0.55, abs=0.01)
    assert (table.loc[~patients, "dose"] == 0).all()
    assert table.loc[~patients, "positive"].isna().all()
    doses = simulate_doses()
    assert doses.mean() == pytest.approx(500, abs=30)
    assert doses.max() <= 1500
    own = table["positive"] - 10 - 0.008 * table["dose"] - 3 * phantom.hidden["symptom"]
    free = patients & (table["positive"] > 7)
    np.testing.assert_allclose(own[free], 0, atol=1e-12)
    assert table["age"].between(18, 65).all()
    assert table["participant_id"].is_unique


def simulate_doses():
    generator = BrainGenerator(seed=3, voxel_mm=12, settings=BrainSettings(patient_share=1))
    return np.array([generator.participant(k)["dose"] for k in range(1500)])


def test_image_quality_falls_with_motion_and_motion_rises_with_the_dose():
    generator = BrainGenerator(seed=3, voxel_mm=12, settings=BrainSettings(patient_share=1))
    table = pd.DataFrame([generator.participant(k) for k in range(1500)])
    motion = np.log(table["blur_mm"])
    assert np.corrcoef(motion, table["dose"])[0, 1] == pytest.approx(0.3, abs=0.07)
    assert np.corrcoef(motion, table["image_quality"])[0, 1] == pytest.approx(-0.9, abs=0.02)


def test_a_site_can_be_confounded_with_the_dose():
    def site_of_high(**options):
        generator = BrainGenerator(seed=0, voxel_mm=12, settings=BrainSettings(**options))
        table = pd.DataFrame([generator.participant(k) for k in range(600)])
        return (table.loc[table["dose"] > 420, "site"] == "B").mean(), (table["site"] == "B").mean()

    assert site_of_high(site_confounded=True)[0] > 0.8
    assert site_of_high()[0] == pytest.approx(0.41, abs=0.1)
    assert site_of_high()[1] == pytest.approx(0.41, abs=0.06)


# -- the grid, the parcels and the warp ---------------------------------------------------------------------------


def test_the_grid_is_the_box_of_spm():
    assert brain_grid(1.5).shape == (121, 145, 121)
    grid = brain_grid(8.0)
    assert grid.shape == (23, 28, 23)
    np.testing.assert_allclose(grid.axes[0], -grid.axes[0][::-1])
    assert 1500 < grid.mask.sum() * 0.512 < 2100  # cm3; the template's grey matter above 0.2


def test_parcels_are_compact_and_keep_to_their_side():
    for voxel_mm in (8.0, 10.0):
        grid = brain_grid(voxel_mm)
        labels = parcellate(grid)
        assert ((labels > 0) == grid.mask).all()
        for number, name in enumerate(parcel_names(), start=1):
            places = grid.millimetres(labels == number)
            assert len(places) >= 3
            assert ((places[:, 0] >= 0) == name.endswith("R")).all()
            assert np.linalg.norm(places - places.mean(0), axis=1).max() < 50


def test_parcels_are_the_same_places_at_every_voxel_size():
    coarse, fine = brain_grid(8.0), brain_grid(4.0)
    for number in (1, 17, 40, 76):
        a = coarse.millimetres(parcellate(coarse) == number).mean(0)
        b = fine.millimetres(parcellate(fine) == number).mean(0)
        assert np.linalg.norm(a - b) < 5


def test_a_modulated_warp_keeps_the_total_and_an_unmodulated_one_does_not(rng):
    grid = brain_grid(8.0)
    warp = SmoothWarp(smooth_field(grid, 12.0), 2.4)
    kept, lost = [], []
    for _ in range(10):
        displacement, determinant = warp.draw(rng)
        moved = grid.sample(grid.millimetres(grid.support) + displacement[:, grid.support].T)
        kept.append((moved * determinant[grid.support]).sum() / grid.grey_matter.sum() - 1)
        lost.append(moved.sum() / grid.grey_matter.sum() - 1)
    assert np.abs(kept).max() < 0.005
    assert np.abs(lost).max() > 0.01


def test_warps_have_the_stated_length_and_exact_determinants(rng):
    grid = brain_grid(4.0)
    warp = SmoothWarp(smooth_field(grid, 12.0), 2.4)
    drawn = [warp.draw(rng) for _ in range(5)]
    length = np.sqrt(np.mean([(u**2).sum(0).mean() for u, _ in drawn]))
    assert length == pytest.approx(2.4, rel=0.1)
    u, determinant = drawn[0]
    jacobian = np.stack([np.stack(np.gradient(part, 4.0), -1) for part in u], -2) + np.eye(3)
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(np.linalg.det(jacobian[inner]), determinant[inner], atol=0.03)


def test_a_warp_that_folds_is_refused(rng):
    with pytest.raises(InputError, match="fold the brain"):
        SmoothWarp(smooth_field(brain_grid(10.0), 12.0), 30.0).draw(rng)


def test_the_blur_has_the_stated_variance_even_below_a_voxel():
    point = np.zeros((41, 41, 41), dtype=np.float32)
    point[20, 20, 20] = 1
    away = (np.arange(41) - 20) ** 2
    for variance in (0.04, 1.0, 4.0):
        spread = blurred(point, variance)
        assert spread.sum() == pytest.approx(1, abs=1e-4)
        assert (spread.sum((1, 2)) * away).sum() == pytest.approx(variance, rel=0.02)


def test_anatomy_is_the_same_at_every_voxel_size():
    totals = [BrainGenerator(seed=0, voxel_mm=v).volume(0).sum() * v**3 for v in (4.0, 8.0)]
    assert totals[0] == pytest.approx(totals[1], rel=0.01)
    with pytest.raises(InputError, match="between 1 and 12"):
        brain_grid(20.0)


# -- effects ------------------------------------------------------------------------------------------------------


def test_a_plant_on_one_side_lands_on_that_side_in_millimetres():
    """The dose acts in the right, not in the left, middle temporal gyrus."""
    generator = BrainGenerator(seed=0, settings=QUIET)
    loss = scanned(generator, dose=0.0) - scanned(generator, dose=1500.0)
    phantom = simulate_brains(1, seed=0)
    axes = np.indices(loss.shape).reshape(3, -1)
    places = (phantom.affine @ np.vstack([axes, np.ones(axes.shape[1])]))[:3].T
    right, left = (np.linalg.norm(places - [x, -36, -2], axis=1) < 8 for x in (58, -58))
    assert loss.ravel()[right].mean() > 0.05
    assert np.abs(loss.ravel()[left]).max() < 0.01
    flipped = loss[::-1].ravel()
    assert flipped[left].mean() > 0.05  # what a left-right error would give


@pytest.mark.parametrize("plants", ["atlas", "cross", "distributed"])
def test_effects_have_both_signs_and_several_sizes_and_stay_in_the_truth(plants):
    generator = BrainGenerator(seed=4, plants=plants, settings=QUIET)
    phantom = simulate_brains(2, seed=4, plants=plants, settings=QUIET)
    for score, column in (("dose", "dose"), ("positive", "symptom")):
        loss = scanned(generator, **{column: 0.0}) - scanned(generator, **{column: 1.0 if score != "dose" else 1500.0})
        truth = plant_truth(phantom, score)
        assert loss[truth].max() > 0 > loss[truth].min()
        assert 0.02 < truth.sum() / phantom.mask.sum() < 0.4
        assert (loss[truth] ** 2).sum() > 0.75 * (loss[phantom.mask] ** 2).sum()
        assert len({round(abs(e.loss), 4) for e in phantom.effects.planted if e.score == score}) >= 3
        assert (truth == plant_truth(phantom, score, kind=plants)).all()
        assert not (truth & ~phantom.mask).any()


def test_blobs_cut_across_parcels_and_regions_do_not():
    for seed in range(3):
        phantom = simulate_brains(1, seed=seed, plants="cross")
        blobs = [effect for effect in phantom.effects.planted if effect.kind == "cross"]
        for blob in blobs:
            counts = np.bincount(phantom.labels[blob.truth])
            assert (counts >= 0.15 * counts.sum()).sum() >= 3
        assert sum(blob.truth.sum() for blob in blobs) == np.any([blob.truth for blob in blobs], axis=0).sum()
    for effect in simulate_brains(1, seed=0).effects.planted:
        if effect.kind == "atlas":
            assert np.unique(phantom.labels[effect.truth]).tolist() == [1 + list(REGIONS).index(effect.name)]


def test_the_same_anatomy_lies_under_every_shape_of_truth():
    volumes = [simulate_brains(2, seed=0, plants=p, voxel_mm=12).volumes for p in ("atlas", "cross", "none")]
    no_effect = simulate_brains(2, seed=0, effect=0, voxel_mm=12).volumes
    np.testing.assert_array_equal(no_effect, volumes[2])
    assert np.corrcoef(volumes[0].ravel(), volumes[1].ravel())[0, 1] > 0.99
    assert not np.array_equal(volumes[0], volumes[1])


def test_symptoms_are_linked_to_the_places_of_the_dose(phantom):
    linked = plant_truth(phantom, "positive", linked=True)
    assert (linked == plant_truth(phantom, "positive") | plant_truth(phantom, "dose")).all()
    with pytest.raises(InputError, match="score must be one of"):
        plant_truth(phantom, "iq")


def test_site_b_is_brighter_smoother_and_biased():
    generator = BrainGenerator(seed=0, settings=replace(QUIET, gain=1.06, bias=0.05, blur_mm=2.0))
    a, b = scanned(generator, site="A"), scanned(generator, site="B")
    assert b.sum() / a.sum() == pytest.approx(1.06, abs=0.02)
    assert np.abs(np.diff(b, axis=0)).sum() < 1.04 * np.abs(np.diff(a, axis=0)).sum()
    ratio = b.sum((0, 2)) / np.maximum(a.sum((0, 2)), 1e-9)
    assert ratio[20:24].mean() > ratio[5:9].mean() + 0.02


def test_motion_blurs_and_takes_no_tissue():
    generator = BrainGenerator(seed=0, settings=QUIET)
    still, moved = scanned(generator, blur_mm=0.0), scanned(generator, blur_mm=4.0)
    assert moved.sum() == pytest.approx(still.sum(), rel=0.001)
    assert moved[generator.grid.mask].mean() < still[generator.grid.mask].mean() - 0.005  # what would be called atrophy


# -- nulls and the lock -------------------------------------------------------------------------------------------


def test_redrawn_scores_have_nothing_to_do_with_the_volumes(phantom):
    nulls = [redraw_scores(phantom, seed) for seed in range(6)]
    assert all(null.volumes is phantom.volumes for null in nulls)
    assert not plant_truth(nulls[0], "dose").any()
    assert plant_truth(nulls[0], "diagnosis").any()
    rs = [phantom_lock(null, smoothing_mm=(8.0,), n_repeats=1).dose_r for null in nulls]
    assert np.mean(rs) < 0.12  # standard error 0.05
    again = redraw_scores(phantom, 3).participants["dose"]
    np.testing.assert_array_equal(again, nulls[3].participants["dose"])
    assert len({float(null.participants["dose"].sum()) for null in nulls}) == 6
    assert (nulls[0].participants["diagnosis"] == phantom.participants["diagnosis"]).all()


def test_nothing_planted_carries_no_dose_when_motion_does_not():
    null = simulate_brains(150, seed=0, plants="none", voxel_mm=10, settings=BrainSettings(motion_dose_r=0))
    assert not plant_truth(null, "dose").any()
    report = phantom_lock(null)
    assert report.dose_r < 0.2
    assert report.age_r > 0.7
    assert report.largest_d == 0


def test_the_lock_holds_and_catches_phantoms_that_are_too_easy(phantom):
    report = phantom_lock(phantom)
    assert report.locked, report.faults
    assert set(report.baselines["target"]) == {"age", "dose"}
    easy = phantom_lock(simulate_brains(150, seed=1, voxel_mm=10, effect=4))
    assert not easy.locked
    assert any("r = " in fault for fault in easy.faults)
    assert any("d = " in fault for fault in easy.faults)
    plain = phantom_lock(simulate_brains(150, seed=1, voxel_mm=10, settings=replace(QUIET, noise=0.01)))
    assert plain.age_r > 0.95
    assert not plain.locked


def test_planted_sizes_are_those_observed_on_average():
    effects = effect_sizes(simulate_brains(600, seed=0, voxel_mm=12))
    found = effects[effects["score"] != "positive"]
    assert np.abs(found["planted_d"] - found["observed_d"]).max() < 0.3  # standard error 0.08, 22 places, edges, motion
    assert np.corrcoef(found["planted_d"], found["observed_d"])[0, 1] > 0.9


def test_the_lock_needs_patients_and_controls():
    with pytest.raises(DesignError, match="20 patients and 20 controls"):
        phantom_lock(simulate_brains(30, seed=0, voxel_mm=12))


def test_the_ridge_of_the_lock_is_that_of_scikit_learn(rng):
    x, weight = rng.normal(size=(40, 90)), rng.normal(size=90)
    x -= x.mean(0)
    y = x @ weight + 20 * rng.normal(size=40)
    y -= y.mean()
    scale = np.trace(x @ x.T) / 40
    ridge = RidgeCV(np.logspace(-3, 3, 13) * scale, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(x.T @ ridge_dual(x @ x.T, y), ridge.coef_, rtol=1e-6, atol=1e-9)


def test_options_out_of_range_are_refused():
    for wrong, told in (
        ({"patient_share": 2}, "patient_share must lie between 0 and 1"),
        ({"motion_dose_r": 1}, "motion_dose_r must lie"),
        ({"age_range": (60, 20)}, "age_range must rise"),
        ({"warp_scale_mm": 1}, "warp_scale_mm must be 4 mm or more"),
        ({"noise": -1}, "noise must be 0 or more"),
    ):
        with pytest.raises(InputError, match=told):
            BrainSettings(**wrong)
    for wrong, told in (
        ({"n": 0}, "n >= 1"),
        ({"plants": "spots"}, "plants must be one of"),
        ({"effect": -1}, "effect must be 0 or more"),
    ):
        with pytest.raises(InputError, match=told):
            simulate_brains(**({"n": 2, "seed": 0, "voxel_mm": 12} | wrong))


def test_units_of_the_scores():
    row = {"dose": 750.0, "symptom": -1.0, "diagnosis": "patient", "age": 60.0}
    assert unit_scores(row) == {"dose": 0.5, "positive": -1.0, "diagnosis": 1.0, "age": 2.0}
