"""A map that an untrained network, a shuffled target or the brain's shape would give is stamped; others are not."""

import numpy as np
import pandas as pd
import pytest

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.evidence import Verdict
from kotowari.formats.nifti import read_nifti, write_nifti
from kotowari.studies.brain.maps.brain_score import BrainScore
from kotowari.studies.brain.maps.control_fits import fitted_regression, shuffled_regressions, untrained_score
from kotowari.studies.brain.maps.controls import judge_map
from kotowari.studies.brain.maps.gradients import gradient
from kotowari.studies.brain.maps.map_similarity import high_passed, similarity_table
from kotowari.studies.brain.maps.map_stability import icc_agreement, map_stability, strongest
from kotowari.studies.brain.maps.occlusion import occlude_regions
from kotowari.studies.brain.maps.planted_map import centre_distance, planted_map_scores
from kotowari.studies.brain.maps.region_table import region_table
from kotowari.studies.brain.maps.voxel_maps import group_maps
from kotowari.studies.brain.model.atlas import Atlas
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.regression_targets import Target
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.studies.brain.model.volume_store import VolumeStore

SHAPE = (12, 10, 9)
AFFINE = np.array([[10.0, 0, 0, -55], [0, 10, 0, -45], [0, 0, 10, -40], [0, 0, 0, 1]])


def make_mask():
    mask = np.zeros(SHAPE, bool)
    mask[1:11, 1:9, 1:8] = True
    return mask


def planted_place():
    """A block on the left side: x below 0 mm."""
    truth = np.zeros(SHAPE, bool)
    truth[2:5, 2:5, 1:4] = True
    return truth


def make_cohort(n=60, seed=0):
    """Grey matter that falls with the dose in one place of the left side, and varies smoothly everywhere."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    grey = 0.4 + 0.2 * np.cos(3 * x) * np.cos(2 * y) + 0.1 * np.sin(4 * z)
    ways = np.stack([x, y, z, x * y])
    dose, age = rng.gamma(2, 250, n), rng.uniform(20, 60, n)
    volumes = grey + 0.03 * np.tensordot(rng.standard_normal((n, 4)), ways, 1)
    volumes = volumes + 0.02 * rng.standard_normal(volumes.shape)
    volumes -= 0.0003 * (dose[:, None, None, None] - 500) * planted_place()
    volumes -= 0.001 * (age - 40)[:, None, None, None]
    return np.where(make_mask(), volumes, 0).astype(np.float32), dose, pd.DataFrame({"age": age})


def label_image():
    """Eight regions, an octant each; odd numbers lie left."""
    index = np.indices(SHAPE)
    side, front, top = (axis >= length // 2 for axis, length in zip(index, SHAPE, strict=True))
    return np.where(make_mask(), 1 + side + 2 * front + 4 * top, 0)


def smooth_maps(n, seed):
    rng = np.random.default_rng(seed)
    return np.stack([high_passed(-rng.standard_normal(SHAPE), make_mask(), voxel_mm=10) for _ in range(n)])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Store, atlas, pair of encoder and regression, and what they learned from."""
    folder = tmp_path_factory.mktemp("maps")
    x, dose, covariates = make_cohort()
    store = VolumeStore.from_arrays(x, make_mask(), AFFINE, folder / "store", subjects=[f"s{k}" for k in range(len(x))])
    write_nifti(folder / "atlas.nii.gz", label_image().astype(np.int16), AFFINE)
    names = {k: f"octant {k} {'L' if k % 2 else 'R'}" for k in range(1, 9)}
    atlas = Atlas.read(folder / "atlas.nii.gz", names, store)
    encoder = ConvolutionalAutoencoder(1, 4, max_epochs=8, precision="float32", mask=store.mask.copy())
    encoder.fit(store.volumes(slice(None)))
    target, subjects = Target.of("dose", dose), Subjects.of(len(x), covariates=covariates)
    features = encoder.transform(store)
    regression = fitted_regression(LatentRegression(scale=False), features, target, subjects)
    shuffled = shuffled_regressions(regression, features, target, subjects, random_state=0)
    return store, atlas, encoder, regression, shuffled, target, subjects


def test_a_plant_on_the_left_is_named_on_the_left_with_sign_and_p_and_saved_in_place(study, tmp_path):
    store, atlas, encoder, regression, shuffled, target, subjects = study
    score = BrainScore(encoder, [regression, *shuffled])
    effects = occlude_regions(score, store, atlas.labels)
    maps = effects.to_box(effects.ranking)
    found = group_maps(BrainScore(encoder, [regression]), store, gradient)
    untrained = untrained_score(encoder, regression, store, target, subjects)
    assert not np.array_equal(untrained.slopes, score.slopes[:1])
    other = occlude_regions(untrained, store, atlas.labels)
    control = other.to_box(other.ranking)
    brain = encoder.mean_brain_
    judged = judge_map(maps[:1], control, maps[1:], brain, store.mask, voxel_mm=10, atlas=atlas)
    direction = effects.direction[0]
    stability = map_stability(effects.ranking[:3], n_strongest=1)
    table = region_table(
        atlas,
        effects.to_box(effects.signed)[0],
        strength=effects.ranking[0],
        direction=direction,
        p=judged.regions.p,
        selection_frequency=stability.frequency,
    )
    first = table.iloc[0]
    assert (first["label"], first["side"], first["sign"]) == (1, "L", "-")
    assert first["p"] == pytest.approx(1 / 21)
    assert table["strength"].is_monotonic_decreasing
    assert {"name", "voxels", "peak_x_mm", "selection_frequency"} <= set(table.columns)
    truth = planted_place()[store.box]
    strength = found.absolute[0]
    assert planted_map_scores(strength, truth, store.mask, voxel_mm=10)["voxel_auc"] > 0.9
    store.save_map(tmp_path / "map.nii.gz", found.signed[0])
    values, _ = read_nifti(tmp_path / "map.nii.gz")
    peak = AFFINE @ np.append(np.unravel_index(values.argmin(), values.shape), 1)
    assert values.shape == SHAPE
    assert peak[0] < 0
    assert planted_place()[np.unravel_index(values.argmin(), values.shape)]


def test_a_mirrored_map_misses_the_plant():
    truth = planted_place()
    values = truth + 0.1
    assert planted_map_scores(values, truth, make_mask(), voxel_mm=10)["voxel_ap"] == 1
    mirrored = planted_map_scores(values[::-1], truth, make_mask(), voxel_mm=10)
    assert mirrored["voxel_ap"] < 0.1
    assert mirrored["centre_distance_mm"] == pytest.approx(50.0)


def test_shuffled_targets_keep_the_penalty_choice_and_differ(study):
    _, _, encoder, regression, shuffled, *_ = study
    assert len(shuffled) == 20
    coefs = np.stack([fit.coef_ for fit in shuffled])
    assert len({coef.tobytes() for coef in coefs}) == 20
    assert np.linalg.norm(coefs, axis=1).mean() < np.linalg.norm(regression.coef_)
    assert encoder.transform(np.zeros((1, *encoder.mask_.shape))).shape[1] == len(regression.coef_)


def test_a_map_that_is_the_mean_grey_matter_is_stamped():
    mask, (x, _, _) = make_mask(), make_cohort()
    brain = x.mean(0)
    noisy = brain + 0.01 * smooth_maps(5, 0)
    judged = judge_map(noisy, smooth_maps(5, 1), smooth_maps(20, 2), brain, mask, voxel_mm=10)
    verdicts = {check.name: check.verdict for check in judged.checks}
    assert verdicts["mean grey matter"] is Verdict.FAIL
    assert "the mean grey matter" in judged.stamp
    assert judged.similarity.set_index("control").loc["mean grey matter", "spearman"] > 0.9


def test_a_map_that_an_untrained_network_draws_is_stamped():
    mask, brain = make_mask(), make_cohort()[0].mean(0)
    edges = smooth_maps(1, 0)
    trained, untrained = (edges + 0.2 * smooth_maps(5, seed) for seed in (1, 2))
    for n_fits in (5, 1):
        judged = judge_map(trained[:n_fits], untrained[:n_fits], smooth_maps(20, 3), brain, mask, voxel_mm=10)
        assert judged.checks[0].verdict is Verdict.FAIL
        assert "an untrained network" in judged.stamp


def test_a_map_of_what_was_learned_passes_its_controls():
    mask, brain = make_mask(), make_cohort()[0].mean(0)
    trained = 9.0 * planted_place() * (1 + 0.2 * smooth_maps(5, 0)) + 0.3 * smooth_maps(1, 9) + 0.05 * smooth_maps(5, 1)
    judged = judge_map(trained, smooth_maps(5, 2), smooth_maps(20, 3), brain, mask, voxel_mm=10)
    assert [check.verdict for check in judged.checks] == [Verdict.PASS] * 4
    assert judged.stamp == ""
    assert set(np.flatnonzero(judged.voxels.p <= 0.05)) <= set(np.flatnonzero(planted_place()[mask]))
    few = judge_map(trained[:1], smooth_maps(1, 2), smooth_maps(9, 3), brain, mask, voxel_mm=10)
    assert few.checks[0].verdict is Verdict.NOT_APPLICABLE
    assert few.checks[2].verdict is Verdict.NOT_APPLICABLE
    assert "cannot give a p of 0.05" in few.checks[2].sentence


def test_a_map_like_those_of_shuffled_targets_is_stamped():
    mask, brain = make_mask(), make_cohort()[0].mean(0)
    maps = smooth_maps(31, 0)
    judged = judge_map(maps[:5], maps[5:10], maps[10:30], brain, mask, voxel_mm=10)
    assert judged.checks[2].verdict is Verdict.FAIL
    assert "shuffled targets" in judged.stamp
    with pytest.raises(ShapeError, match="untrained"):
        judge_map(maps[:1], maps[0], maps[10:], brain, mask, voxel_mm=10)
    with pytest.raises(InputError, match="shuffled holds"):
        judge_map(maps[:1], maps[1:2], np.full_like(maps[:2], np.nan), brain, mask, voxel_mm=10)


def test_a_broad_shape_in_common_is_taken_out():
    mask = make_mask()
    broad = np.indices(SHAPE).sum(0) / 5.0
    a, b = (5 + broad + 0.2 * detail for detail in smooth_maps(2, 0))
    (row,) = similarity_table(a, {"other": b}, mask, voxel_mm=10).to_dict("records")
    assert row["spearman"] > 0.9
    assert abs(row["spearman_high_pass"]) < 0.5
    inside = high_passed(np.full((2, *SHAPE), 3.0), mask, voxel_mm=10)
    np.testing.assert_allclose(inside, 0.0, atol=1e-12)
    assert high_passed(broad, mask, voxel_mm=10)[~mask].any() == np.False_
    with pytest.raises(InputError, match="above 0"):
        high_passed(broad, mask, voxel_mm=10, fwhm_mm=0)


def test_agreement_is_that_of_shrout_and_fleiss():
    # Shrout and Fleiss 1979, table 2: four judges rate six targets; ICC(2,1) = .29 (table 4)
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    assert icc_agreement(ratings.T) == pytest.approx(0.29, abs=0.005)
    assert icc_agreement(ratings.T - ratings.mean(0)[:, None]) > 0.7, "agreement but for a shift is another figure"
    both = icc_agreement(np.stack([ratings.T, ratings.T * 2.0], axis=2))
    np.testing.assert_allclose(both[0], both[1])
    assert np.isnan(icc_agreement(np.ones((2, 3))))


def test_the_same_regions_are_told_from_random_ones(rng):
    pattern = rng.standard_normal(40)
    single = pattern + rng.standard_normal((1, 12, 40))
    same = pattern + 0.01 * rng.standard_normal((6, 40))
    found = map_stability(same, n_strongest=8, subjects=single + 0.01 * rng.standard_normal((6, 12, 40)))
    assert found.check.verdict is Verdict.PASS
    assert found.agreement > 0.99
    assert found.region_agreement.min() > 0.9
    assert np.array_equal(found.frequency == 1, strongest(pattern[None], 8)[0])
    chance = map_stability(rng.standard_normal((20, 40)), n_strongest=8)
    assert abs(chance.selection.index) < 0.1
    assert chance.check.verdict is Verdict.FAIL
    assert chance.region_agreement is None
    with pytest.raises(InputError, match="n must lie between"):
        map_stability(same, n_strongest=40)
    with pytest.raises(ShapeError, match="subjects"):
        map_stability(same, n_strongest=8, subjects=single[:, :, :3])


def test_planted_scores_are_those_of_chance_for_a_map_that_knows_nothing(rng):
    truth, mask, labels = planted_place(), make_mask(), label_image()
    found = [planted_map_scores(rng.standard_normal(SHAPE), truth, mask, voxel_mm=10, labels=labels) for _ in range(40)]
    prevalence = found[0]["voxel_prevalence"]
    # with 27 planted voxels of 560 the mean precision of a random order lies a little above the prevalence
    assert prevalence < np.mean([f["voxel_ap"] for f in found]) < 1.5 * prevalence
    assert np.mean([f["voxel_auc"] for f in found]) == pytest.approx(0.5, abs=0.03)
    assert np.isnan(found[0]["region_ap"])  # no octant is planted in half of its voxels
    whole = planted_map_scores((labels == 3) + 0.0, labels == 3, mask, voxel_mm=10, labels=labels)
    assert (whole["region_ap"], whole["region_prevalence"]) == (1.0, 1 / 8)


def test_centre_distances_are_in_millimetres_and_speckle_does_not_help():
    truth, values = np.zeros((2, *SHAPE), bool), np.zeros(SHAPE)
    truth = planted_place()
    shifted = np.roll(truth, 2, axis=1).astype(float)
    assert centre_distance(shifted, truth, voxel_mm=(10, 3, 10)) == pytest.approx(6.0)
    assert centre_distance(truth * 2.0, truth, voxel_mm=10) == 0
    values[8:10, 7:9, 6:8] = 1.0
    values[3, 4, 4] = 1.0  # one strong voxel in the middle of the truth
    assert centre_distance(values, truth, voxel_mm=10) > 50
    assert np.isnan(centre_distance(np.ones(SHAPE), truth, voxel_mm=10))
    with pytest.raises(InputError, match="nothing was planted"):
        centre_distance(values, np.zeros(SHAPE, bool), voxel_mm=10)


def test_a_table_with_a_column_too_short_is_refused(study):
    atlas = study[1]
    with pytest.raises(ShapeError, match="selection_frequency"):
        region_table(atlas, np.zeros(atlas.labels.shape), selection_frequency=[1.0])
    assert region_table(atlas, np.zeros(atlas.labels.shape))["sign"].tolist() == ["0"] * 8
