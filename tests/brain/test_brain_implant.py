"""Loss planted into given volumes has the size, place and score that it says."""

from functools import partial

import numpy as np
import pytest

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.brain.implant import BrainImplant
from kotowari.studies.brain.phantom import simulate_brains
from kotowari.trust.implants import run_implants


@pytest.fixture(scope="module")
def brains():
    return simulate_brains(40, seed=0, voxel_mm=10, plants="none")


def implant(brains, **options):
    return BrainImplant(brains.volumes, brains.mask, brains.affine, **options)


def test_loss_is_the_grade_times_the_score_in_the_truth_and_nothing_far_from_it(brains, rng):
    before = brains.volumes.copy()
    after, planted = implant(brains, volume_cm3=30.0)(0.4, rng)
    np.testing.assert_array_equal(brains.volumes, before)
    assert after.dtype == np.float32
    present = planted.truth & (before.min(0) > 0.05)
    ratio = after[:, present] / before[:, present]
    assert ratio.min() == pytest.approx(1 - 0.4, abs=0.05)
    np.testing.assert_allclose(ratio[planted.score.argmin()], 1)
    assert np.corrcoef(ratio.mean(1), planted.score)[0, 1] < -0.99
    places = np.argwhere(brains.mask) * 10.0 + brains.affine[:3, 3]
    far = np.linalg.norm(places - planted.centres_mm[0], axis=1) > 45
    np.testing.assert_array_equal(after[:, brains.mask][:, far], before[:, brains.mask][:, far])


def test_the_volume_and_the_number_of_blobs_are_as_asked(brains, rng):
    _, planted = implant(brains, n_blobs=3, volume_cm3=12.0)(0.1, rng)
    assert planted.truth.sum() == 3 * 12
    assert planted.centres_mm.shape == (3, 3)
    for centre in planted.centres_mm:
        voxel = np.round((centre - brains.affine[:3, 3]) / 10).astype(int)
        assert planted.truth[tuple(voxel)]
    assert not (planted.truth & ~brains.mask).any()


def test_places_in_millimetres_follow_an_affine_that_flips_left_and_right(brains):
    flipped = brains.affine.copy()
    flipped[0] *= -1
    mirrored = BrainImplant(brains.volumes, brains.mask, flipped)
    _, a = implant(brains)(0.2, np.random.default_rng(1))
    _, b = mirrored(0.2, np.random.default_rng(1))
    np.testing.assert_array_equal(a.truth, b.truth)
    np.testing.assert_allclose(a.centres_mm * [-1, 1, 1], b.centres_mm)


def test_one_state_gives_one_place_and_score_at_every_grade(brains):
    plant = implant(brains)
    (nothing, a), (much, b) = (plant(grade, np.random.default_rng(5)) for grade in (0.0, 0.9))
    np.testing.assert_array_equal(a.truth, b.truth)
    np.testing.assert_array_equal(a.score, b.score)
    np.testing.assert_array_equal(nothing, brains.volumes)
    assert (much <= nothing).all()
    _, other = plant(0.9, np.random.default_rng(6))
    assert not np.array_equal(other.truth, a.truth)


def test_a_given_score_is_handed_out_anew_unless_told_otherwise(brains, rng):
    score = brains.participants["age"].to_numpy()
    scaled = (score - score.min()) / np.ptp(score)
    _, shuffled = implant(brains, score=score)(0.1, rng)
    _, kept = implant(brains, score=score, permute=False)(0.1, rng)
    np.testing.assert_allclose(kept.score, scaled)
    np.testing.assert_allclose(np.sort(shuffled.score), np.sort(scaled))
    assert not np.allclose(shuffled.score, scaled)


def found(data, planted, threshold):
    """Whether the strongest correlation with the score lies in the truth and is strong enough."""
    voxels = data.reshape(len(data), -1)
    centred = voxels - voxels.mean(0)
    score = planted.score - planted.score.mean()
    r = (score @ centred) / (np.linalg.norm(score) * np.maximum(np.linalg.norm(centred, axis=0), 1e-3))
    return bool(planted.truth.ravel()[np.abs(r).argmax()] and np.abs(r).max() > threshold)


def test_a_detection_limit_comes_out_of_the_users_own_brains(brains, tmp_path):
    limit = run_implants(
        implant(brains, volume_cm3=20.0),
        partial(found, threshold=0.5),
        [0.0, 0.9],
        n_repeats=10,
        random_state=0,
        shards=tmp_path,
    )
    scores = limit[0] if isinstance(limit, tuple) else limit
    assert np.asarray(scores)[0].mean() <= 0.1
    assert np.asarray(scores)[1].mean() >= 0.8


def test_what_does_not_fit_is_refused(brains, rng):
    n = len(brains.volumes)
    for wrong, error, told in (
        ({"score": np.ones(3)}, ShapeError, "score must have shape"),
        ({"score": np.ones(n)}, InputError, "the same for everyone"),
        ({"score": np.r_[np.nan, np.arange(n - 1)]}, InputError, "1 scores are not finite"),
        ({"n_blobs": 0}, InputError, "n_blobs >= 1"),
        ({"volume_cm3": 0}, InputError, "volume_cm3 > 0"),
    ):
        with pytest.raises(error, match=told):
            implant(brains, **wrong)
    for volumes, mask, affine in (
        (brains.volumes[0], brains.mask, brains.affine),
        (brains.volumes, brains.mask[1:], brains.affine),
        (brains.volumes, brains.mask, np.eye(3)),
    ):
        with pytest.raises(ShapeError):
            BrainImplant(volumes, mask, affine)
    with pytest.raises(InputError, match="grade must lie"):
        implant(brains)(1.5, rng)
    with pytest.raises(DesignError, match="no room for another"):
        implant(brains, n_blobs=50, volume_cm3=100.0)(0.1, rng)
