"""Many targets fitted at once are fitted as one by one, and maps are smoothed within the mask by the width they say."""

import numpy as np
import pytest

from kotowari.core.errors import InputError
from kotowari.studies.brain.maps.smoothed import smooth_map
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.latent_regression import LatentRegression


def cohort(rng, n=40, p=90):
    X = rng.normal(size=(n, p))
    age = rng.uniform(20, 60, n)
    outcomes = [X[:, k : k + 5].sum(1) + 0.05 * age + rng.normal(size=n) for k in (0, 10, 20)]
    return X, outcomes, {"covariates": {"age": age}, "sites": np.tile(["A", "B"], n // 2)}


@pytest.mark.parametrize("harmoniser", [None, ComBat()], ids=["as measured", "ComBat"])
def test_targets_fitted_together_are_those_fitted_one_by_one(rng, harmoniser):
    X, outcomes, known = cohort(rng)
    model = LatentRegression(harmoniser=harmoniser, scale=False)
    together = model.fit_each(X, outcomes, **known)
    alone = [LatentRegression(harmoniser=harmoniser, scale=False).fit(X, y, **known) for y in outcomes]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(one.predict(X, **known), other.predict(X, **known), rtol=1e-8)
        assert one.choice_ == other.choice_
        assert one.n_features_in_ == other.n_features_in_
    assert not np.allclose(together[0].coef_, alone[1].coef_), "each has its own target"
    assert not hasattr(model, "coef_"), "the first is left as it was"


def test_no_target_gives_no_model_and_a_short_one_is_refused(rng):
    X, outcomes, known = cohort(rng)
    assert LatentRegression().fit_each(X, [], **known) == []
    with pytest.raises(InputError, match="has 39 rows and X has 40"):
        LatentRegression().fit_each(X, [outcomes[0], outcomes[1][:-1]], **known)


def test_a_point_is_smoothed_to_the_width_that_was_asked_for_in_millimetres():
    mask, edges = np.ones((41, 31, 31), dtype=bool), (2.0, 4.0, 4.0)
    point = np.zeros(mask.shape, np.float32)
    point[20, 15, 15] = 1.0
    smooth = smooth_map(point, mask, voxel_mm=edges, fwhm_mm=16.0)
    assert smooth.sum() == pytest.approx(1, abs=1e-3)
    half = smooth.max() / 2
    # half of the largest value lies half the width away: 4 voxels of 2 mm, 2 voxels of 4 mm
    assert smooth[24, 15, 15] == pytest.approx(half, rel=0.02)
    assert smooth[20, 17, 15] == pytest.approx(half, rel=0.02)
    assert smooth[22, 15, 15] > 1.2 * half
    np.testing.assert_array_equal(smooth_map(point, mask, voxel_mm=edges, fwhm_mm=0.0), point)


def test_nothing_comes_in_from_outside_of_the_mask_and_maps_do_not_run_into_each_other(rng):
    mask = np.zeros((9, 9, 9), dtype=bool)
    mask[2:7, 2:7, 2:7] = True
    maps = rng.normal(size=(2, *mask.shape)).astype(np.float32)
    dirty = np.where(mask, maps, 1e6).astype(np.float32)
    clean = smooth_map(np.where(mask, maps, 0), mask, voxel_mm=(8.0, 8.0, 8.0), fwhm_mm=20.0)
    found = smooth_map(dirty, mask, voxel_mm=(8.0, 8.0, 8.0), fwhm_mm=20.0)
    np.testing.assert_array_equal(found, clean)
    assert (found[:, ~mask] == 0).all()
    np.testing.assert_array_equal(found[1], smooth_map(maps[1], mask, voxel_mm=(8.0, 8.0, 8.0), fwhm_mm=20.0))
    with pytest.raises(InputError, match="0 or more"):
        smooth_map(maps, mask, voxel_mm=(8.0, 8.0, 8.0), fwhm_mm=-1.0)
