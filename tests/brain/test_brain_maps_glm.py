"""The map without a network is that of the closed form, and shuffled targets raise no more alarms than they may."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest
from scipy.stats import t as student

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.seeds import derive_seed
from kotowari.studies.brain.baselines.smoothed_voxels import SmoothedVoxels
from kotowari.studies.brain.maps.family_wise import against_shuffled, family_wise_p, largest_allowed
from kotowari.studies.brain.maps.mass_univariate import mass_univariate
from kotowari.studies.brain.maps.patterns import haufe_pattern
from kotowari.studies.brain.model.regression_scores import HeldOut
from kotowari.trust.permutation import max_t_p, permuted

SHAPE = (9, 7, 6)
N = 40


def make_mask():
    mask = np.zeros(SHAPE, bool)
    mask[1:8, 1:6, 1:5] = True
    mask[3, 2] = False
    return mask


def cohort(rng, n=N):
    """Volumes of which one corner falls with the target, age acts everywhere, and one voxel is constant."""
    age, sex = rng.uniform(20, 60, n), rng.integers(0, 2, n)
    y = 0.05 * age + rng.standard_normal(n)
    x = 1 + 0.2 * rng.standard_normal((n, *SHAPE)) - 0.01 * age[:, None, None, None]
    x[:, 1:3, 1:3, 1:3] -= 0.1 * y[:, None, None, None]
    x[:, 7, 5, 4] = 0.5
    return x.astype(np.float32), y, pd.DataFrame({"age": age, "sex": np.where(sex, "F", "M")})


def design_of(covariates):
    return np.column_stack([np.ones(len(covariates)), covariates["age"], covariates["sex"] == "M"]).astype(float)


def ordinary_t(response, terms):
    """Student's t of the last term of a linear model, by its textbook formula."""
    coef, *_ = np.linalg.lstsq(terms, response, rcond=None)
    left = response - terms @ coef
    freedom = len(terms) - terms.shape[1]
    variance = (left @ left) / freedom * np.linalg.inv(terms.T @ terms)[-1, -1]
    return coef[-1] / np.sqrt(variance), freedom


@pytest.mark.parametrize("fwhm_mm", [0.0, 8.0, 12.0])
def test_t_is_that_of_the_closed_form_in_every_voxel(rng, fwhm_mm):
    x, y, covariates = cohort(rng)
    mask, terms = make_mask(), design_of(covariates)
    found = mass_univariate(
        x, y, voxel_mm=8.0, fwhm_mm=fwhm_mm, covariates=covariates, mask=mask, n_permutations=1, random_state=0
    )
    smoothed = np.zeros(x.shape)
    smoothed[:, mask] = SmoothedVoxels(fwhm_mm, voxel_mm=8.0, mask=mask).fit_transform(x)
    assert found.degrees_of_freedom == N - 4
    for voxel in ((1, 1, 1), (2, 2, 2), (5, 4, 3), (7, 5, 3)):
        known, freedom = ordinary_t(smoothed[(slice(None), *voxel)], np.column_stack([terms, y]))
        assert freedom == found.degrees_of_freedom
        assert found.t[voxel] == pytest.approx(known, rel=1e-3, abs=1e-4)
        assert found.p[voxel] == pytest.approx(2 * student.sf(abs(known), freedom), rel=1e-2)
    assert not found.t[~mask].any()
    assert (found.p_family[~mask] == 1).all()
    if fwhm_mm == 0:
        assert found.t[7, 5, 4] == 0
        assert found.p_family[7, 5, 4] == 1


def test_the_planted_corner_is_found_with_its_sign_and_nothing_else(rng):
    x, y, covariates = cohort(rng, 120)
    found = mass_univariate(
        x, y, voxel_mm=8.0, fwhm_mm=0.0, covariates=covariates, mask=make_mask(), n_permutations=99, random_state=0
    )
    corner = np.zeros(SHAPE, bool)
    corner[1:3, 1:3, 1:3] = True
    assert (found.p_family[corner] <= 0.05).all()
    assert (found.t[corner] < 0).all()
    assert (found.p_family[~corner] > 0.05).mean() > 0.99
    assert np.array_equal(found.p_family <= 0.05, np.abs(found.t) > found.threshold)


def test_permutations_are_those_of_freedman_and_lane(rng):
    x, y, covariates = cohort(rng)
    mask, terms = make_mask(), design_of(covariates)
    options = {"voxel_mm": 8.0, "fwhm_mm": 0.0, "covariates": covariates, "mask": mask, "random_state": 5}
    found = mass_univariate(x, y, n_permutations=4, **options)
    fitted = terms @ np.linalg.lstsq(terms, y, rcond=None)[0]
    values = x[:, mask].astype(np.float64)
    for number in range(1, 5):
        draw = np.random.default_rng(derive_seed(5, "permutation", number))
        response = fitted + permuted(y - fitted, rng=draw)
        known = max(abs(ordinary_t(response, np.column_stack([terms, v]))[0]) for v in values.T[:-1])
        assert found.maxima[number - 1] == pytest.approx(known, rel=1e-3)
    blocks = np.arange(N) % 2
    within = mass_univariate(x, y, n_permutations=4, blocks=blocks, **options)
    assert not np.allclose(within.maxima, found.maxima)


def test_little_memory_changes_nothing_but_the_number_of_passes(rng):
    x, y, covariates = cohort(rng)
    options = {"voxel_mm": 8.0, "fwhm_mm": 12.0, "covariates": covariates, "mask": make_mask(), "random_state": 0}
    whole = mass_univariate(x, y, n_permutations=9, **options)
    pieces = mass_univariate(x, y, n_permutations=9, memory_mb=0, **options)
    np.testing.assert_allclose(pieces.t, whole.t, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(pieces.maxima, whole.maxima, rtol=1e-4)
    np.testing.assert_array_equal(pieces.p_family, whole.p_family)


def null_tables(n_tables, n_permutations):
    rng = np.random.default_rng(11)
    for table in range(n_tables):
        x = rng.standard_normal((16, 4, 3, 3)).astype(np.float32)
        age = rng.standard_normal((16, 1))
        y = age[:, 0] + rng.standard_normal(16)
        options = {"voxel_mm": 2.0, "fwhm_mm": 2.0, "covariates": age, "n_permutations": n_permutations}
        yield mass_univariate(x, y, random_state=table, **options)


def test_null_tables_raise_alarms_at_the_level_and_uncorrected_p_far_more():
    found = list(null_tables(200, 19))
    family = np.array([table.p_family.min() for table in found])
    plain = np.array([table.p.min() for table in found])
    assert 0.01 <= (family <= 0.05).mean() <= 0.10
    # the smallest p is one of 20 steps; a draw within the step makes it uniform when there is nothing to find
    spread = family - np.random.default_rng(0).uniform(0, 0.05, len(family))
    assert kstest(spread, "uniform").pvalue > 0.01
    assert (plain <= 0.05).mean() > 0.5, "a table without correction must be caught"


def test_what_cannot_be_tested_is_refused(rng):
    x, y, covariates = cohort(rng)
    options = {"voxel_mm": 8.0, "n_permutations": 1, "random_state": 0}
    with pytest.raises(ShapeError, match="target"):
        mass_univariate(x, y[:5], **options)
    with pytest.raises(DesignError, match="settled by the covariates"):
        mass_univariate(x, covariates["age"], covariates=covariates, **options)
    with pytest.raises(DesignError, match="constant"):
        mass_univariate(x, np.ones(N), **options)
    with pytest.raises(DesignError, match="too few"):
        mass_univariate(x, y, covariates=covariates, rows=[0, 1, 2, 3], **options)
    with pytest.raises(InputError, match="target of row 3"):
        mass_univariate(x, np.where(np.arange(N) == 3, np.nan, y), **options)
    with pytest.raises(InputError, match="n_permutations"):
        mass_univariate(x, y, voxel_mm=8.0, n_permutations=0, random_state=0)
    x[4, 2, 2, 2] = np.nan
    with pytest.raises(InputError, match="row 4"):
        mass_univariate(x, y, **options)


def test_family_wise_p_is_that_of_the_full_null(rng):
    null = rng.standard_normal((39, 50))
    observed = rng.standard_normal(50) + np.where(np.arange(50) < 2, 4, 0)
    p = family_wise_p(observed, null.max(1))
    assert p.min() == max_t_p(observed, null).min()
    assert (p >= max_t_p(observed, null)).all()  # the step-down never says more than the single step
    assert np.array_equal(p <= 0.05, observed > largest_allowed(null.max(1)))
    assert largest_allowed(null.max(1)[:18]) == np.inf
    with pytest.raises(InputError, match="not finite"):
        family_wise_p([np.nan], [1.0])


def measured_by_the_draws_alone(observed, shuffled):
    """A wrong scale: the observed map is measured by draws that it is not one of."""
    sizes = np.abs(np.stack([observed, *shuffled]))
    scale = sizes[1:].std(0)
    return family_wise_p(sizes[0] / scale, (sizes[1:] / scale).max(1)).min()


def test_a_map_of_nothing_stands_out_from_shuffled_ones_as_rarely_as_it_may(rng):
    found, wrong = [], []
    scale = rng.gamma(1.0, 1.0, 60)  # some parts are always strong, and maps differ in size
    for _ in range(400):
        maps = rng.standard_normal((21, 60)) * scale * rng.uniform(0.8, 1.2, (21, 1))
        found.append(against_shuffled(maps[0], maps[1:]).p.min())
        wrong.append(measured_by_the_draws_alone(maps[0], maps[1:]))
    assert 0.015 <= np.mean(np.array(found) <= 0.05) <= 0.08
    assert np.mean(np.array(wrong) <= 0.05) > 0.1, "a null that leaves the observed map out must be caught"


def test_a_part_that_shuffled_maps_never_favour_stands_out(rng):
    maps = rng.standard_normal((21, 60))
    maps[:, 3] *= 30  # always large, so no news
    maps[0, 7] = -12
    found = against_shuffled(maps[0], maps[1:])
    assert np.flatnonzero(found.p <= 0.05).tolist() == [7]
    assert np.flatnonzero(np.abs(maps[0]) > found.threshold).tolist() == [7]
    assert against_shuffled(np.ones(4), np.ones((20, 4))).p.tolist() == [1.0] * 4
    assert against_shuffled(np.zeros(4), np.zeros((20, 4))).p.tolist() == [1.0] * 4
    with pytest.raises(ShapeError, match="shuffled"):
        against_shuffled(maps[0], maps[1:, :5])
    with pytest.raises(InputError, match="not finite"):
        against_shuffled(np.full(60, np.nan), maps[1:])


def test_a_pattern_is_the_covariance_beyond_covariates(rng):
    x, y, covariates = cohort(rng)
    mask, terms = make_mask(), design_of(covariates)
    fold = np.arange(N) % 4
    said = y + 5.0 * fold  # each fold has its own offset, which says nothing
    found = haufe_pattern(x, HeldOut(np.arange(N), fold, y, said, "number"), covariates=covariates, mask=mask)
    clean = said - np.array([said[fold == k].mean() for k in range(4)])[fold]
    project = np.eye(N) - terms @ np.linalg.pinv(terms)
    left, voxels = project @ clean, np.tensordot(project, x.astype(np.float64), 1)
    known = np.tensordot(left, voxels, 1) / (left @ left)
    np.testing.assert_allclose(found.values[mask], known[mask], rtol=1e-6, atol=1e-9)
    for voxel in ((1, 1, 1), (5, 4, 3)):
        r = np.corrcoef(left, voxels[(slice(None), *voxel)])[0, 1]
        assert found.correlation[voxel] == pytest.approx(r, rel=1e-6)
    assert found.correlation[7, 5, 4] == 0
    assert not found.values[~mask].any()
    naive = np.tensordot(said - said.mean(), x - x.mean(0), 1)[mask]
    assert np.corrcoef(naive, known[mask])[0, 1] < 0.9, "a pattern that keeps age and folds must be caught"


def test_a_pattern_shows_the_signal_where_weights_show_the_noise_too():
    # Haufe et al. 2014, section 2.1: one channel has signal and distractor, the other the distractor alone
    rng = np.random.default_rng(0)
    signal, distractor = rng.standard_normal(4000), rng.standard_normal(4000)
    x = np.stack([signal + distractor, distractor], axis=1).reshape(-1, 2, 1, 1)
    weights = np.array([1.0, -1.0])
    said = x[:, :, 0, 0] @ weights
    rows = np.arange(4000)
    twice = HeldOut(np.tile(rows, 2), np.repeat([0, 1], 4000), np.tile(signal, 2), np.tile(said, 2), "number")
    pattern = haufe_pattern(x, twice).values.ravel()
    np.testing.assert_allclose(pattern, [1.0, 0.0], atol=0.05)


def test_predictions_without_news_have_no_pattern(rng):
    x, y, covariates = cohort(rng)
    rows, fold = np.arange(N), np.zeros(N, int)
    with pytest.raises(DesignError, match="nothing of the prediction"):
        haufe_pattern(x, HeldOut(rows, fold, y, covariates["age"].to_numpy(), "number"), covariates=covariates)
    with pytest.raises(DesignError, match="nothing of the prediction"):
        haufe_pattern(x, HeldOut(rows, fold, y, np.full(N, 3.0), "number"))
    with pytest.raises(InputError, match="not finite"):
        haufe_pattern(x, HeldOut(rows, fold, y, np.full(N, np.nan), "number"))
    x[3, 2, 2, 2] = np.inf
    with pytest.raises(InputError, match="row 3"):
        haufe_pattern(x, HeldOut(rows, fold, y, y, "number"))
