"""Site effects go, what is to survive survives, and what cannot be told apart is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kotowari.core.errors import ConvergenceError, DesignError, InputError, ShapeError
from kotowari.core.evidence import Verdict
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.covariate_design import CovariateDesign
from kotowari.studies.brain.model.site_confounding import require_separable, separation_check
from kotowari.studies.brain.model.site_parameters import site_parameters
from kotowari.trust.leakage import require_blind

SITES = np.repeat(["A", "B", "C"], [50, 40, 30])


def cohort(rng, n_features=60):
    """Three scanners of other shift and spread, and a thickness that falls by 0.02 a year everywhere."""
    age = np.round(rng.uniform(20, 60, 120) * 8) / 8  # exact in float32, which neuroHarmonize computes covariates in
    sex = np.where(rng.random(120) < 0.5, "F", "M")
    noise = rng.normal(size=(120, n_features)) * rng.uniform(0.5, 2, n_features)
    noise[SITES == "B"] *= 1.6
    noise[SITES == "C"] *= 0.7
    values = 5 - 0.02 * age[:, None] + noise + (SITES == "B")[:, None] - 0.5 * (SITES == "C")[:, None]
    return values, pd.DataFrame({"age": age, "sex": sex})


def by_conditional_modes(values, sites, design, n_steps):
    """ComBat written subject by subject and feature by feature, as the paper's section 3 tells it."""
    names = sorted(set(sites))
    table = np.array(
        [[float(site == name) for name in names] + list(row) for site, row in zip(sites, design, strict=True)]
    )
    coef, *_ = np.linalg.lstsq(table, values, rcond=None)
    share = [np.mean(sites == name) for name in names]
    grand = np.array(share) @ coef[: len(names)]
    kept = grand + design @ coef[len(names) :]
    sigma = np.sqrt(np.mean((values - table @ coef) ** 2, axis=0))
    z, result = (values - kept) / sigma, np.empty_like(values)
    for name in names:
        own = z[sites == name]
        n, g_hat, d_hat = len(own), own.mean(0), own.var(0, ddof=1)
        g_bar, t2, mean, var = g_hat.mean(), g_hat.var(ddof=1), d_hat.mean(), d_hat.var(ddof=1)
        rate, theta = mean**2 / var + 2, mean * (mean**2 / var + 1)  # moments of the inverse gamma
        g, d = g_hat.copy(), d_hat.copy()
        for v in range(values.shape[1]):
            for _ in range(n_steps):
                g[v] = (g_hat[v] / d[v] * n + g_bar / t2) / (n / d[v] + 1 / t2)  # precision-weighted mean
                d[v] = (theta + 0.5 * np.sum((own[:, v] - g[v]) ** 2)) / (n / 2 + rate - 1)
        result[sites == name] = (own - g) / np.sqrt(d)
    return result * sigma + kept


def test_it_is_the_published_model_written_feature_by_feature(rng):
    values, covariates = cohort(rng, 12)
    design = np.column_stack([covariates["age"], covariates["sex"] == "M"])
    ours = ComBat(tol=1e-13).fit_transform(values, SITES, covariates)
    np.testing.assert_allclose(ours, by_conditional_modes(values, SITES, design, 60), rtol=0, atol=1e-10)


def test_it_is_neuroharmonize():
    """The columns h* were written by neuroHarmonize, see the script beside them."""
    table = pd.read_csv(Path(__file__).parent / "reference" / "combat_neuroharmonize.csv")
    measured, theirs = (table.filter(regex=rf"^{letter}\d").to_numpy() for letter in "fh")
    covariates = table[["age", "male"]]
    ours = ComBat().fit_transform(measured, table["site"], covariates)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)
    without = ComBat(empirical_bayes=False).fit_transform(measured, table["site"], covariates)
    assert np.abs(without - theirs).max() > 1e-3, "the shrinkage is in the numbers"


def test_sites_lose_their_mean_and_spread_and_age_keeps_its_slope(rng):
    values, covariates = cohort(rng, 400)
    harmonised = ComBat().fit_transform(values, SITES, covariates)
    left = harmonised + 0.02 * covariates["age"].to_numpy()[:, None]
    means = np.array([left[site == SITES].mean() for site in "ABC"])
    spreads = np.array([left[site == SITES].std(0).mean() for site in "ABC"])
    assert np.ptp(means) < 0.1  # 1.5 before
    assert np.ptp(spreads) < 0.1  # 1.1 before
    slope = np.polyfit(covariates["age"], harmonised.mean(1), 1)[0]
    assert slope == pytest.approx(-0.02, abs=0.003)


def test_without_the_covariate_a_slope_that_goes_with_the_site_is_lost(rng):
    values, covariates = cohort(rng)
    covariates["age"] += 40.0 * (SITES == "B")
    values -= 0.8 * (SITES == "B")[:, None]
    kept = ComBat().fit_transform(values, SITES, covariates)
    lost = ComBat().fit_transform(values, SITES)
    slopes = [np.polyfit(covariates["age"], table.mean(1), 1)[0] for table in (kept, lost)]
    assert slopes[0] == pytest.approx(-0.02, abs=0.004)
    assert abs(slopes[1]) < 0.008


def test_without_shrinkage_means_and_variances_are_equal_to_the_last_digit(rng):
    values, _ = cohort(rng)
    harmonised = ComBat(empirical_bayes=False).fit_transform(values, SITES)
    means = np.array([harmonised[site == SITES].mean(0) for site in "ABC"])
    variances = np.array([harmonised[site == SITES].var(0, ddof=1) for site in "ABC"])
    np.testing.assert_allclose(means, np.broadcast_to(means[0], means.shape), atol=1e-12)
    np.testing.assert_allclose(variances, np.broadcast_to(variances[0], variances.shape), rtol=1e-12)


def test_shrinkage_leaves_estimates_between_the_plain_one_and_the_common_one(rng):
    z = rng.normal(size=(8, 200)) * 1.5 + 0.4
    found, plain = site_parameters(z), site_parameters(z, empirical_bayes=False)
    between = (found.shift - plain.shift) * (found.shift - plain.shift.mean()) <= 1e-12
    assert between.all()
    assert found.variance.var() < plain.variance.var()


def test_features_of_one_common_variance_have_that_variance():
    z = np.array([[1.0, 2.0], [-1.0, 0.0]])
    assert site_parameters(z).variance == pytest.approx([2.0, 2.0])


def test_an_iteration_that_may_not_settle_says_so(rng):
    with pytest.raises(ConvergenceError, match="Raise max_steps"):
        site_parameters(rng.normal(size=(4, 50)), max_steps=1)


def test_the_reference_site_stays_as_it_was(rng):
    values, covariates = cohort(rng)
    harmonised = ComBat(reference="A").fit_transform(values, SITES, covariates)
    np.testing.assert_allclose(harmonised[SITES == "A"], values[SITES == "A"], atol=1e-12)
    assert np.abs(harmonised[SITES == "B"] - values[SITES == "B"]).mean() > 0.5


def test_training_rows_and_the_same_rows_later_are_harmonised_alike(rng):
    values, covariates = cohort(rng)
    model = ComBat().fit(values, SITES, covariates)
    whole = model.transform(values, SITES, covariates)
    part = model.transform(values[70:75], SITES[70:75], covariates[70:75])
    np.testing.assert_allclose(part, whole[70:75], rtol=1e-13)


def test_volumes_keep_their_shape_and_constant_voxels_their_values(rng):
    values, _ = cohort(rng, 27)
    volumes = values.reshape(120, 3, 3, 3)
    volumes[:, 0, 0, 0] = 7.25
    harmonised = ComBat().fit_transform(volumes, SITES)
    assert harmonised.shape == volumes.shape
    assert (harmonised[:, 0, 0, 0] == 7.25).all()


def test_an_unseen_site_is_refused_or_passes_unchanged_or_is_adapted_to(rng):
    values, covariates = cohort(rng, 300)
    seen, unseen = SITES != "B", SITES == "B"
    fitted = {"X": values[seen], "sites": SITES[seen], "covariates": covariates[seen]}
    with pytest.raises(InputError, match=r"site B \(known: A, C\)"):
        ComBat().fit(**fitted).transform(values[unseen], SITES[unseen], covariates[unseen])
    passed = ComBat(unseen="reference").fit(**fitted).transform(values[unseen], SITES[unseen], covariates[unseen])
    np.testing.assert_allclose(passed, values[unseen], atol=1e-12)
    model = ComBat().fit(**fitted)
    some, others = np.flatnonzero(unseen)[:20], np.flatnonzero(unseen)[20:]
    model.adapt(values[some], "B", covariates.iloc[some])
    moved = model.transform(values[others], SITES[others], covariates.iloc[others])
    home = model.transform(values[seen], SITES[seen], covariates[seen])
    assert abs(moved.mean() - home.mean()) < 0.2 < abs(values[others].mean() - home.mean())
    assert model.adapted_ == ("B",)
    with pytest.raises(InputError, match="known already"):
        model.adapt(values[some], "B", covariates.iloc[some])


def test_what_is_learned_does_not_depend_on_rows_kept_aside(rng):
    values, covariates = cohort(rng)
    test = np.arange(0, 120, 5)
    train = np.setdiff1d(np.arange(120), test)

    def inside(X, y):  # noqa: ARG001
        model = ComBat().fit(X[train], SITES[train], covariates.iloc[train])
        return [model.shift_, model.variance_, model.mean_]

    def outside(X, y):  # noqa: ARG001
        return ComBat().fit(X, SITES, covariates).shift_

    y = np.arange(120.0)
    require_blind("harmonising", inside, values, y, test=test)
    with pytest.raises(DesignError, match="reads the test rows"):
        require_blind("harmonising of all rows", outside, values, y, test=test)


def test_a_site_of_one_subject_is_refused_by_name(rng):
    sites = SITES.astype(object)
    sites[0] = "lonely"
    with pytest.raises(DesignError, match="lonely has one subject"):
        ComBat().fit(rng.normal(size=(120, 5)), sites)


def test_a_covariate_that_the_site_settles_cannot_be_separated(rng):
    field = pd.DataFrame({"tesla": np.where(SITES == "A", 1.5, 3.0)})
    with pytest.raises(DesignError, match=r"cannot separate the 3 sites from the covariates \(tesla\)"):
        ComBat().fit(rng.normal(size=(120, 5)), SITES, field)


def test_a_dose_that_goes_with_the_site_cannot_be_separated_and_an_even_one_can(rng):
    dose = rng.gamma(2, 250, 120)
    assert separation_check(dose, SITES, name="dose").verdict is Verdict.PASS
    tied = dose + 5000 * (SITES == "A")
    check = separation_check(tied, SITES, name="dose")
    assert check.verdict is Verdict.FAIL
    assert "cannot separate dose from the site" in check.sentence
    with pytest.raises(DesignError, match="cannot separate dose"):
        require_separable(tied, SITES, name="dose")
    one_place = separation_check(dose, np.full(120, "A"), name="dose")
    assert one_place.verdict is Verdict.NOT_APPLICABLE


def test_the_target_among_the_covariates_is_refused(rng):
    values, covariates = cohort(rng)
    model = ComBat().fit(values, SITES, covariates)
    model.require_blind_to("dose")
    with pytest.raises(DesignError, match="Circular"):
        model.require_blind_to("age")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda v, s, c: (v[:, 0], s, c), ShapeError, "X must have shape"),
        (lambda v, s, c: (v, s[1:], c), ShapeError, "sites must have shape"),
        (lambda v, s, c: (np.where(v > 8, np.nan, v), s, c), InputError, "NaN or infinite"),
        (lambda v, s, c: (v[:, :1], s, c), InputError, "two varying features"),
        (lambda v, s, c: (v, s, c.assign(age=np.nan)), InputError, "age: the covariate is missing"),
    ],
)
def test_bad_input_is_told_in_one_sentence(rng, change, error, words):
    values, covariates = cohort(rng)
    values[3, 0] = 9.0
    with pytest.raises(error, match=words):
        ComBat().fit(*change(values, SITES, covariates))


def test_a_wrong_reference_and_other_features_are_refused(rng):
    values, covariates = cohort(rng)
    with pytest.raises(InputError, match="'Z' is no training site"):
        ComBat(reference="Z").fit(values, SITES)
    model = ComBat().fit(values, SITES, covariates)
    with pytest.raises(ShapeError, match="X must have shape"):
        model.transform(values[:, 1:], SITES, covariates)
    with pytest.raises(InputError, match="fitted with covariates"):
        model.transform(values, SITES)


def test_covariates_are_coded_as_in_training():
    design = CovariateDesign().fit({"sex": ["F", "M", "X"], "age": [1, 2, 3]})
    assert design.terms_ == ("sex=M", "sex=X", "age")
    assert design.transform({"age": [5], "sex": ["M"]}).tolist() == [[1.0, 0.0, 5.0]]
    with pytest.raises(InputError, match=r"has 'Q', which no training subject has"):
        design.transform({"age": [5], "sex": ["Q"]})
    with pytest.raises(InputError, match="sex is not there"):
        design.transform({"age": [5]})


@settings(max_examples=8)
@given(st.floats(0.1, 50), st.floats(-100, 100))
def test_units_do_not_matter(scale, offset):
    values, covariates = cohort(np.random.default_rng(1), 6)
    plain = ComBat().fit_transform(values, SITES, covariates)
    moved = ComBat().fit_transform(scale * values + offset, SITES, covariates)
    np.testing.assert_allclose(moved, scale * plain + offset, atol=1e-7 * (scale + abs(offset)))
