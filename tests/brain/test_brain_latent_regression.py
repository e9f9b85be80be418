"""Regression on features: exact, blind to the rows kept aside, and no better than chance on noise."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import estimator_checks_generator

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.solvers.likelihood_ridge import BinaryLikelihood, SurvivalLikelihood, likelihood_path
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.coordinates import GramCoordinates
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.nuisance import NuisanceRegression
from kotowari.studies.brain.model.partial_least_squares import canonical_pair, partial_least_squares
from kotowari.studies.brain.model.regression_cv import Arm, cross_validated, external_predictions, fold_predictions
from kotowari.studies.brain.model.regression_permutation import permutation_test, permuted_outcomes
from kotowari.studies.brain.model.regression_scores import (
    correlation,
    detectable_correlation,
    held_out_scores,
    main_statistic,
    paired_gain,
)
from kotowari.studies.brain.model.regression_targets import Target, leave_site_out, target_folds
from kotowari.studies.brain.model.ridge_path import RidgePath
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.trust.folds import Fold
from kotowari.trust.leakage import require_blind
from kotowari.trust.scores import concordance

SHAPES = {"more features than subjects": (30, 200), "fewer": (40, 7)}


def cohort(rng, n=90, n_features=120):
    """Features of which ten carry a dose, all carry age, and the second site adds to all."""
    age = rng.uniform(20, 60, n)
    sites = np.where(np.arange(n) % 3 == 0, "B", "A")
    dose = rng.gamma(2, 250, n)
    X = rng.normal(size=(n, n_features)) - 0.03 * age[:, None] + (sites == "B")[:, None]
    X[:, :10] -= 0.003 * dose[:, None]
    return X, dose, sites, pd.DataFrame({"age": age})


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_coordinates_keep_all_inner_products(rng, shape):
    X, new = rng.normal(size=shape), rng.normal(size=(5, shape[1]))
    axes = GramCoordinates().fit(X)
    centred = X - X.mean(0)
    np.testing.assert_allclose(axes.coordinates @ axes.coordinates.T, centred @ centred.T, atol=1e-10)
    np.testing.assert_allclose(axes.transform(new) @ axes.coordinates.T, (new - X.mean(0)) @ centred.T, atol=1e-9)
    beta = rng.normal(size=axes.coordinates.shape[1])
    np.testing.assert_allclose(centred @ axes.feature_weights(beta), axes.coordinates @ beta, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_ridge_is_that_of_scikit_learn_and_left_out_errors_are_refits(rng, shape):
    X, y = rng.normal(size=shape), rng.normal(size=shape[0])
    blocks = np.arange(len(y)) % 6
    axes = GramCoordinates().fit(X)
    for rows in (None, blocks):
        path = RidgePath(axes.coordinates, axes.eigenvalues, blocks=rows)
        for weight in (0.1, 10.0, 1e4):
            left_out = np.empty(len(y))
            for k in np.unique(np.arange(len(y)) if rows is None else rows):
                test = np.arange(len(y)) == k if rows is None else rows == k
                refit = Ridge(alpha=weight).fit(X[~test], y[~test])
                left_out[test] = y[test] - refit.predict(X[test])
            found = path.left_out_residuals(y[:, None], weight)[:, 0]
            np.testing.assert_allclose(found, left_out, rtol=1e-8, atol=1e-8)
    model = LatentRegression(scale=False, weights=(3.0,)).fit(X, y)
    theirs = Ridge(alpha=3.0).fit(X, y)
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-8)
    np.testing.assert_allclose(model.predict(X), theirs.predict(X), atol=1e-8)


def test_left_out_errors_that_forget_the_leverage_are_caught(rng):
    X, y = rng.normal(size=(30, 200)), rng.normal(size=30)
    axes = GramCoordinates().fit(X)
    path = RidgePath(axes.coordinates, axes.eigenvalues)
    shrink = axes.eigenvalues / (axes.eigenvalues + 10.0)
    in_sample = y - y.mean() - path._axes @ (shrink * (path._axes.T @ y))
    assert np.abs(in_sample - path.left_out_residuals(y[:, None], 10.0)[:, 0]).max() > 0.5


def test_minimum_norm_passes_through_all_points_and_is_the_pseudoinverse(rng):
    X, y = rng.normal(size=(25, 100)), rng.normal(size=25)
    model = LatentRegression("linear", scale=False).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, atol=1e-8)
    np.testing.assert_allclose(model.coef_, np.linalg.pinv(X - X.mean(0)) @ (y - y.mean()), atol=1e-8)


def test_partial_least_squares_is_that_of_scikit_learn(rng):
    X, Y = rng.normal(size=(30, 12)), rng.normal(size=(30, 3))
    X, Y = X - X.mean(0), Y - Y.mean(0)
    for k in (1, 2, 5):
        one = PLSRegression(k, scale=False).fit(X, Y[:, :1])
        np.testing.assert_allclose(partial_least_squares(X, Y[:, :1], 5)[k - 1], one.coef_.T, atol=1e-8)
        many = PLSRegression(k, scale=False, tol=1e-14, max_iter=10_000).fit(X, Y)
        np.testing.assert_allclose(partial_least_squares(X, Y, 5)[k - 1], many.coef_.T, atol=1e-6)
    exhausted = partial_least_squares(X[:, :2], X[:, :1], 6)
    np.testing.assert_allclose(exhausted[5], exhausted[1], atol=1e-12)


def test_logistic_ridge_is_that_of_scikit_learn(rng):
    X = rng.normal(size=(60, 8))
    codes = (X[:, 0] + rng.normal(size=60) > 0).astype(float)
    for weight, fit in zip((0.5, 20.0), likelihood_path(X, BinaryLikelihood(codes), [0.5, 20.0]), strict=True):
        theirs = LogisticRegression(C=1 / weight, tol=1e-10, max_iter=1000).fit(X, codes)
        np.testing.assert_allclose(fit.coef, theirs.coef_[0], atol=1e-5)
        assert fit.intercept == pytest.approx(theirs.intercept_[0], abs=1e-5)


def test_cox_ridge_is_the_optimum_of_the_partial_likelihood_written_out(rng):
    X = rng.normal(size=(50, 4))
    time = np.ceil(rng.exponential(np.exp(-X[:, 0])) * 5)  # with ties
    event = rng.random(50) < 0.7

    def loss(beta):
        f = X @ beta
        terms = [np.log(np.exp(f[time >= time[i]]).sum()) - f[i] for i in np.flatnonzero(event)]
        return sum(terms) + 0.5 * 2.0 * beta @ beta

    best = minimize(loss, np.zeros(4), tol=1e-12).x
    (fit,) = likelihood_path(X, SurvivalLikelihood(time, event), [2.0])
    np.testing.assert_allclose(fit.coef, best, atol=1e-5)


@pytest.mark.parametrize("make", [BinaryLikelihood, lambda y: SurvivalLikelihood(np.arange(1.0, 9.0), y > 0)])
def test_derivatives_are_those_of_the_loss(rng, make):
    likelihood, f, step = make((np.arange(8) % 2).astype(float)), rng.normal(size=8), 1e-5
    gradient, curvature = likelihood.derivatives(f)
    curvature = np.diag(curvature) if curvature.ndim == 1 else curvature
    for j, e in enumerate(np.eye(8) * step):
        slope = (likelihood.loss(f + e) - likelihood.loss(f - e)) / (2 * step)
        bend = (likelihood.derivatives(f + e)[0] - likelihood.derivatives(f - e)[0]) / (2 * step)
        assert slope == pytest.approx(gradient[j], abs=1e-8)
        np.testing.assert_allclose(bend, curvature[j], atol=1e-8)


def test_canonical_pairs_go_from_covariance_to_correlation(rng):
    X = rng.normal(size=(200, 3)) * [5.0, 1.0, 1.0]
    X -= X.mean(0)
    axes = GramCoordinates().fit(X)
    Y = np.column_stack([axes.coordinates[:, 2], rng.normal(size=200)]) + 0.1 * rng.normal(size=(200, 2))
    Y -= Y.mean(0)
    free = canonical_pair(axes.coordinates, Y, 1e-9)
    scores = axes.coordinates @ free.left, Y @ free.right
    qx, qy = np.linalg.qr(X)[0], np.linalg.qr(Y)[0]
    assert correlation(*scores) == pytest.approx(np.linalg.svd(qx.T @ qy)[1][0], abs=1e-6)
    assert scores[0].std() == pytest.approx(1.0)
    covariance = canonical_pair(axes.coordinates, Y, 1.0)
    u = np.linalg.svd(axes.coordinates.T @ Y)[0][:, 0]
    assert abs(u @ covariance.left) == pytest.approx(np.linalg.norm(covariance.left))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_it_keeps_the_contract_of_scikit_learn():
    for estimator, check in estimator_checks_generator(LatentRegression()):
        if "array_api" not in str(check):
            check(estimator)


def test_age_is_removed_with_coefficients_of_training(rng):
    X, _, sites, covariates = cohort(rng)
    X = X - (sites == "B")[:, None]
    model = NuisanceRegression().fit(X[:60], covariates[:60])
    left = model.transform(X[:60], covariates[:60])
    assert np.abs(np.corrcoef(left.T, covariates["age"][:60])[-1, :-1]).max() < 1e-10
    np.testing.assert_allclose(left.mean(0), X[:60].mean(0), atol=1e-12)
    slope = np.polyfit(covariates["age"][60:], model.transform(X[60:], covariates[60:]).mean(1), 1)[0]
    assert abs(slope) < 0.005  # 0.03 before
    with pytest.raises(DesignError, match="too few for 8 independent covariate terms"):
        NuisanceRegression().fit(X[:10], rng.normal(size=(10, 8)))


OPTIONS = {
    "harmonised, nuisances out of the features": {"harmoniser": ComBat()},
    "nuisances out of both": {"nuisance": "both"},
    "generalised cross-validation": {"inner": "generalised"},
    "inner folds": {"inner": 4},
    "PLS": {"method": "pls"},
    "logarithm": {"target_transform": "log"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_dose_is_found_and_the_fold_reads_no_test_row(rng, options):
    X, dose, sites, covariates = cohort(rng)
    test = np.arange(0, 90, 4)
    train = np.setdiff1d(np.arange(90), test)
    model = LatentRegression(name="dose", **options)

    def fit(features, y):
        known = {"sites": sites[train], "covariates": covariates.iloc[train]}
        fitted = model.fit(features[train], y[train], **known)
        return [fitted.coef_, np.array([fitted.intercept_, fitted.choice_])]

    require_blind("LatentRegression", fit, X, dose, test=test)
    fit(X, dose)
    held = {"covariates": covariates.iloc[test]}
    said = model.predict(X[test], sites=sites[test], **held)
    assert correlation(model.truth(dose[test], **held), said) > 0.6
    assert model.score(X[test], dose[test], sites=sites[test], **held) > 0.3
    subjects = Subjects.of(90, sites=sites, covariates=covariates)
    part = fold_predictions(model, X, [dose, dose], subjects, Fold(train, test))
    np.testing.assert_allclose(part["prediction"], [said, said], rtol=1e-7)


def test_wrong_pipelines_are_caught(rng):
    X, dose, sites, covariates = cohort(rng)
    test = np.arange(0, 90, 4)
    train = np.setdiff1d(np.arange(90), test)

    def harmonised_outside(features, y):
        every = ComBat().fit_transform(features, sites, covariates)
        return LatentRegression().fit(every[train], y[train]).coef_

    def residualised_outside(features, y):
        every = NuisanceRegression().fit(features, covariates).transform(features, covariates)
        return LatentRegression().fit(every[train], y[train]).coef_

    for wrong in (harmonised_outside, residualised_outside):
        with pytest.raises(DesignError, match="reads the test rows"):
            require_blind("a pipeline with a leak", wrong, X, dose, test=test)


def test_classes_and_survival_are_found_too(rng):
    X, dose, _, _ = cohort(rng)
    words = np.where(dose > np.median(dose), "high", "low")
    model = LatentRegression(target="class").fit(X[:60], words[:60])
    assert model.classes_.tolist() == ["high", "low"]
    assert (model.predict(X[60:]) == words[60:]).mean() > 0.7
    np.testing.assert_allclose(model.predict_proba(X[60:]).sum(1), 1.0)
    assert model.score(X[60:], words[60:]) > 0.8
    outcome = np.column_stack([rng.exponential(np.exp(-(dose - 500) / 150)), rng.random(90) < 0.8])
    risk = LatentRegression(target="survival").fit(X[:60], outcome[:60])
    assert risk.score(X[60:], outcome[60:]) > 0.65
    assert not hasattr(risk, "predict_proba")
    with pytest.raises(InputError, match="'middle' is no class of training"):
        model.truth(["middle"])


@pytest.mark.parametrize("method", ["pls", "cca"])
def test_several_symptoms_share_a_direction(rng, method):
    X, dose, _, covariates = cohort(rng)
    z = (dose - dose.mean()) / dose.std()
    symptoms = np.column_stack([z + 0.3 * rng.normal(size=90), rng.normal(size=90), 2 * z + rng.normal(size=90)])
    target = Target.of("symptoms", symptoms, kind="several")
    arms = {method: Arm(LatentRegression(method), X)}
    folds = target_folds(target, n_splits=3, random_state=0)
    said = cross_validated(arms, target, folds, Subjects.of(90, covariates=covariates))[method]
    assert main_statistic(said) > 0.6
    weights = LatentRegression(method, target="several").fit(X, symptoms).target_weights_
    assert abs(weights[1] * symptoms[:, 1].std()) < 0.5 * abs(weights[0] * symptoms[:, 0].std())


def test_the_dose_is_regressed_in_patients_only(rng):
    X, dose, sites, covariates = cohort(rng)
    patient = np.arange(90) % 2 == 0
    given = np.where(patient, dose, np.nan)
    target = Target.of("dose", given, within=patient, transform="log1p")
    folds = target_folds(target, sites=sites, n_splits=5, random_state=0)
    assert not np.intersect1d(np.concatenate([f.test for f in folds] + [folds[0].train]), np.flatnonzero(~patient)).size
    spoilt = np.where(patient[:, None], X, np.nan)
    arms = {"ours": Arm(LatentRegression(harmoniser=ComBat()), spoilt)}
    said = cross_validated(arms, target, folds, Subjects.of(90, sites=sites, covariates=covariates))["ours"]
    rows = {row.metric: row for row in held_out_scores(said, target="dose", model="ours", role="ours", random_state=0)}
    assert rows["r"].n == patient.sum()
    assert rows["Spearman"].value > 0.5
    assert rows["r"].low < rows["r"].value < rows["r"].high
    with pytest.raises(InputError, match="dose: is missing for row"):
        Target.of("dose", given)


def test_another_site_is_predicted_without_refit_and_adapting_changes_no_model(rng):
    X, dose, sites, covariates = cohort(rng)
    here, there = sites == "A", sites == "B"
    target = Target.of("dose", dose[there])
    subjects = Subjects.of(int(there.sum()), sites=sites[there], covariates=covariates[there])
    known = {"sites": sites[here], "covariates": covariates[here]}
    plain = LatentRegression(name="dose").fit(X[here], dose[here], **known)
    assert correlation(dose[there], external_predictions(plain, X[there], target, subjects).prediction) > 0.5
    model = LatentRegression(harmoniser=ComBat(), name="dose").fit(X[here], dose[here], **known)
    with pytest.raises(InputError, match="no training subject comes from site B"):
        external_predictions(model, X[there], target, subjects)
    said = external_predictions(model, X[there], target, subjects, n_adapt=10)
    assert len(said.rows) == there.sum() - 10
    assert correlation(said.truth, said.prediction) > 0.5
    assert model.preparation_.harmoniser.sites_ == ("A",)
    model.adapt(X[there][:10], "B", covariates=covariates[there][:10])
    assert model.predict(X[there], sites=sites[there], covariates=covariates[there]).shape == (there.sum(),)
    with pytest.raises(InputError, match="leave none to predict"):
        external_predictions(plain_with_combat(X, dose, here, known), X[there], target, subjects, n_adapt=30)


def plain_with_combat(X, dose, here, known):
    return LatentRegression(harmoniser=ComBat(), name="dose").fit(X[here], dose[here], **known)


def test_every_site_is_left_out_once(rng):
    X, dose, sites, covariates = cohort(rng)
    target = Target.of("dose", dose)
    folds = leave_site_out(target, sites)
    assert [set(sites[fold.test]) for fold in folds] == [{"A"}, {"B"}]
    arms = {"ours": Arm(LatentRegression(harmoniser=ComBat()), X)}
    said = cross_validated(arms, target, folds, Subjects.of(90, sites=sites, covariates=covariates), n_adapt=8)["ours"]
    assert len(said.rows) == 90 - 16
    with pytest.raises(DesignError, match="seen at two sites"):
        leave_site_out(target, sites, groups=np.arange(90) // 2)


def test_permutations_find_the_dose_and_not_the_noise_and_resume_to_the_same_bytes(rng, tmp_path):
    X, dose, sites, covariates = cohort(rng, 60, 80)
    targets = [Target.of("dose", dose), Target.of("noise", rng.normal(size=60))]
    subjects = Subjects.of(60, sites=sites, covariates=covariates)
    arms = {"ours": Arm(LatentRegression(), X), "noise": Arm(LatentRegression(), rng.normal(size=(60, 40)))}
    folds = {target.name: target_folds(target, n_splits=4, random_state=0) for target in targets}
    options = {"n_permutations": 59, "chunk": 20, "blocks": sites, "random_state": 0}
    arms, subjects = dict.fromkeys(folds, arms), dict.fromkeys(folds, subjects)
    result = permutation_test(arms, targets, folds, subjects, shards=tmp_path, **options)
    table = result.table.set_index(["target", "model"])
    assert table.loc[("dose", "ours"), "p_family"] == pytest.approx(1 / 60)
    assert table.drop(("dose", "ours"))["p_family"].min() > 0.05
    assert (table["p_family"] >= table["p"] - 0.02).all()
    next(tmp_path.glob("*.npz")).unlink()
    again = permutation_test(arms, targets, folds, subjects, shards=tmp_path, **options)
    assert again.null.tobytes() == result.null.tobytes()
    assert "59 refits" in result.sentence


def test_p_values_of_noise_are_even(rng):
    p = []
    for draw in range(25):
        X, y = rng.normal(size=(30, 60)), rng.normal(size=30)
        target = Target.of("noise", y)
        folds = {"noise": target_folds(target, n_splits=3, random_state=draw)}
        arms = {"noise": {"ridge": Arm(LatentRegression(), X)}}
        result = permutation_test(arms, [target], folds, {"noise": Subjects()}, n_permutations=19, random_state=draw)
        p.append(result.table["p"][0])
    assert 0.3 < np.mean(p) < 0.7
    assert np.mean(np.array(p) <= 0.05) <= 0.15


def test_permutations_stay_in_their_blocks_and_move_targets_together(rng):
    sites = np.repeat(["A", "B"], 20)
    a, b = Target.of("a", np.arange(40.0)), Target.of("b", np.arange(40.0) ** 2)
    options = {"blocks": sites, "scheme": "values", "random_state": 0}
    one = permuted_outcomes(a, [0, 1, 2], Subjects(), **options)
    two = permuted_outcomes(b, [0, 1, 2], Subjects(), **options)
    np.testing.assert_array_equal(one[0], a.values)
    assert (np.sort(one[1][:20]) == np.arange(20.0)).all()
    np.testing.assert_allclose(two[2], one[2] ** 2)
    assert (one[1] != one[2]).any()
    covariates = pd.DataFrame({"age": rng.uniform(20, 60, 40)})
    aged = Target.of("aged", 3 * covariates["age"].to_numpy() + rng.normal(size=40))
    (kept,) = permuted_outcomes(aged, [1], Subjects.of(40, covariates=covariates), random_state=0)
    assert correlation(kept, covariates["age"].to_numpy()) > 0.98  # what age explains is not permuted away


def test_a_gain_is_paired(rng):
    X, dose, _, _ = cohort(rng)
    target = Target.of("dose", dose)
    folds = target_folds(target, n_splits=3, random_state=0)
    arms = {"ours": Arm(LatentRegression(), X), "noise": Arm(LatentRegression(), rng.normal(size=X.shape))}
    said = cross_validated(arms, target, folds, Subjects())
    gain = paired_gain(said["ours"], said["noise"], n_draws=300, random_state=0)
    assert 0 < gain.low < gain.value
    assert paired_gain(said["ours"], said["ours"], n_draws=50, random_state=0).value == 0


def test_folds_keep_owners_and_sites(rng):
    dose = rng.gamma(2, 250, 60)
    owners = np.arange(60) // 2
    target = Target.of("dose", np.repeat(dose[:30], 2))
    for fold in target_folds(target, groups=owners, n_splits=5, random_state=0):
        assert not set(owners[fold.train]) & set(owners[fold.test])
    sites = np.where(np.arange(60) < 20, "A", "B")
    for fold in target_folds(Target.of("dose", dose), sites=sites, n_splits=5, random_state=0):
        assert (sites[fold.test] == "A").sum() == 4


def test_harrells_c_counts_pairs_of_one_fold_only():
    truth = np.array([[1.0, 1], [2.0, 1], [3.0, 0]])
    assert concordance(truth, np.array([3.0, 1.0, 2.0])) == pytest.approx(2 / 3)
    assert concordance(truth, np.array([3.0, 1.0, 2.0]), np.array([0, 0, 1])) == 1.0
    assert np.isnan(concordance(truth, np.ones(3), np.arange(3)))
    assert detectable_correlation(71) == pytest.approx(0.327, abs=0.001)


@pytest.mark.parametrize(
    ("options", "call", "error", "words"),
    [
        ({}, {"y": np.ones(30)}, DesignError, "the same for all subjects"),
        ({"name": "age"}, {"covariates": {"age": np.arange(30.0)}}, DesignError, "is age itself"),
        ({}, {"covariates": {"twin": 3 - 2 * np.arange(30.0)}}, DesignError, "'twin' is the target itself"),
        ({}, {"covariates": np.eye(30)}, DesignError, "too few"),
        ({"harmoniser": ComBat()}, {}, InputError, "needs the site"),
        ({"harmoniser": ComBat()}, {"sites": np.arange(30) > 14}, DesignError, "cannot separate the target"),
        ({"method": "cca"}, {}, InputError, "cannot learn a target"),
        ({"target": "class"}, {}, InputError, "30 classes"),
        ({"target": "class", "nuisance": "both"}, {"y": np.arange(30) % 2}, InputError, "has no residuals"),
        ({"target": "survival"}, {}, ShapeError, "must have shape"),
        ({"target_transform": "log"}, {}, InputError, "no logarithm"),
        ({"inner": 1}, {}, InputError, "2 or more folds"),
        ({"weights": (0.0,)}, {}, InputError, "above 0"),
        ({"nuisance": "all"}, {}, InputError, "nuisance must be"),
        ({}, {"X": np.ones((30, 4))}, DesignError, "No feature varies"),
    ],
)
def test_bad_input_is_told_in_one_sentence(rng, options, call, error, words):
    given = {"X": rng.normal(size=(30, 4)), "y": np.arange(30.0)} | call
    with pytest.raises(error, match=words):
        LatentRegression(**options).fit(**given)


def abide(field_data):
    path = field_data / "brain" / "abide" / "abide_freesurfer.csv.gz"
    table = pd.read_csv(path, dtype={"subject_id": str, "site": str})
    return table, table.iloc[:, 6:].to_numpy(float)


@pytest.mark.field_data
def test_age_of_abide_is_predicted_at_other_sites_as_ridge_does(field_data):
    table, X = abide(field_data)
    target = Target.of("age", table["age"].to_numpy(), transform="log")
    folds = leave_site_out(target, table["site"])
    subjects = Subjects.of(len(table), sites=table["site"])
    arms = {
        "ridge": Arm(LatentRegression(), X),
        "harmonised": Arm(LatentRegression(harmoniser=ComBat(unseen="reference")), X),
    }
    said = cross_validated(arms, target, folds, subjects)
    r = {name: correlation(one.truth, one.prediction) for name, one in said.items()}
    assert r["ridge"] == pytest.approx(0.819, abs=0.02)
    assert np.abs(said["ridge"].truth - said["ridge"].prediction).mean() == pytest.approx(3.69, abs=0.15)
    assert r["harmonised"] < r["ridge"]  # sites differ in age, so that what is taken from the site is taken from age


@pytest.mark.field_data
def test_age_of_ixi_is_predicted_as_ridge_does(field_data):
    home = field_data / "brain" / "ixi"
    table = pd.read_csv(home / "demographics_n291.csv").merge(pd.read_csv(home / "muse_volumes_n291.csv.gz"), on="ID")
    volumes = table.iloc[:, 3:]
    X = volumes.div(volumes["702"], axis=0).to_numpy(float)
    target = Target.of("age", table["Age"].to_numpy(float))
    folds = target_folds(target, n_splits=10, random_state=0)
    said = cross_validated({"ridge": Arm(LatentRegression(), X)}, target, folds, Subjects())["ridge"]
    assert correlation(said.truth, said.prediction) == pytest.approx(0.783, abs=0.025)
    assert np.abs(said.truth - said.prediction).mean() == pytest.approx(5.0, abs=0.25)
