"""Covariates leave every gene by the coefficients of the training samples, and nothing else changes."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.genenet.adjustment import CovariateAdjustment
from kotowari.trust.leakage import require_blind

ORGANS = ["lung", "liver", "colon"]


def tumours(rng, n=60, n_genes=8):
    """Genes that shift with the organ, and rise or fall with purity."""
    names = [f"s{k}" for k in range(n)]
    covariates = pd.DataFrame(
        {"organ": rng.choice(ORGANS, n), "purity": rng.uniform(size=n), "frozen": rng.random(n) < 0.5}, index=names
    )
    shift = dict(zip(ORGANS, rng.normal(scale=3, size=(3, n_genes)), strict=True))
    values = 8 + np.stack([shift[organ] for organ in covariates["organ"]]) + rng.normal(size=(n, n_genes))
    values += np.outer(covariates["purity"], rng.normal(scale=4, size=n_genes))
    return pd.DataFrame(values, index=names, columns=[f"G{k}" for k in range(n_genes)]), covariates


def test_one_category_removes_exactly_the_means_of_its_groups(rng):
    X, covariates = tumours(rng)
    organ = covariates[["organ"]]
    adjusted = CovariateAdjustment().fit(X, organ).transform(X, organ)
    expected = X - X.groupby(organ["organ"]).transform("mean") + X.mean()
    pd.testing.assert_frame_equal(adjusted, expected, rtol=1e-10)


def test_it_is_the_residual_of_least_squares_with_the_mean_put_back(rng):
    X, covariates = tumours(rng)
    train, test = slice(None, 40), slice(40, None)
    adjustment = CovariateAdjustment().fit(X[train], covariates[train])
    design = pd.get_dummies(covariates, columns=["organ", "frozen"]).to_numpy(np.float64)
    line = LinearRegression().fit(design[train], X[train])
    expected = X[test] - line.predict(design[test]) + X[train].mean()
    np.testing.assert_allclose(adjustment.transform(X[test], covariates[test]), expected, rtol=1e-9)
    assert adjustment.terms_ == (
        "organ=colon", "organ=liver", "organ=lung", "purity", "frozen=False", "frozen=True",
    )  # fmt: skip
    assert adjustment.coef_.shape == (6, 8)


def test_nothing_of_the_covariates_is_left_in_training_and_the_means_stay(rng):
    X, covariates = tumours(rng)
    adjusted = CovariateAdjustment().fit(X, covariates).transform(X, covariates)
    np.testing.assert_allclose(adjusted.mean(), X.mean(), rtol=1e-12)
    assert np.abs(np.corrcoef(adjusted.T, covariates["purity"])[-1, :-1]).max() < 1e-12
    np.testing.assert_allclose(
        CovariateAdjustment().fit(adjusted, covariates).transform(adjusted, covariates), adjusted, rtol=1e-10
    )


def test_units_and_repeated_covariates_make_no_difference(rng):
    X, covariates = tumours(rng)
    once = CovariateAdjustment().fit(X, covariates).transform(X, covariates)
    again = covariates.assign(tissue=covariates["organ"].str.upper(), cells=1e13 * covariates["purity"] + 5e13)
    pd.testing.assert_frame_equal(CovariateAdjustment().fit(X, again).transform(X, again), once, rtol=1e-8)


def test_a_constant_covariate_changes_nothing(rng):
    X, _ = tumours(rng)
    same = pd.DataFrame({"organ": "lung", "batch": 3.0}, index=X.index)
    pd.testing.assert_frame_equal(CovariateAdjustment().fit(X, same).transform(X, same), X)


def test_an_array_comes_back_as_an_array(rng):
    X, covariates = tumours(rng)
    adjusted = CovariateAdjustment().fit(X.to_numpy(), covariates).transform(X.to_numpy(), covariates)
    assert isinstance(adjusted, np.ndarray)
    np.testing.assert_array_equal(adjusted, CovariateAdjustment().fit(X, covariates).transform(X, covariates))


def test_categories_that_are_whole_numbers_are_known_again_as_floats(rng):
    X, _ = tumours(rng)
    batch = pd.DataFrame({"batch": pd.Categorical(rng.choice([1, 2], len(X)))}, index=X.index)
    adjustment = CovariateAdjustment().fit(X, batch)
    floats = pd.DataFrame({"batch": batch["batch"].astype(float)}, index=X.index)
    pd.testing.assert_frame_equal(adjustment.transform(X, floats), adjustment.transform(X, batch))
    assert adjustment.terms_ == ("batch=1", "batch=2")


def test_only_training_rows_are_read_and_a_fit_on_all_rows_is_caught(rng):
    X, covariates = tumours(rng)
    train, test = np.arange(40), np.arange(40, 60)

    def fit(rows):
        def learned(values, purity):
            table = pd.DataFrame(values[rows])
            own = covariates.iloc[rows].assign(purity=purity[rows]).set_axis(table.index)
            return clone(CovariateAdjustment()).fit(table, own).coef_

        return learned

    given = (X.to_numpy(), covariates["purity"].to_numpy())
    require_blind("adjustment", fit(train), *given, test=test)
    with pytest.raises(DesignError, match="reads the test rows"):
        require_blind("adjustment", fit(np.arange(60)), *given, test=test)


def test_a_category_without_training_samples_is_refused_by_name(rng):
    X, covariates = tumours(rng)
    adjustment = CovariateAdjustment().fit(X, covariates)
    covariates.loc["s7", "organ"] = "brain"
    with pytest.raises(InputError, match="organ: sample s7 has 'brain', which no training sample has"):
        adjustment.transform(X, covariates)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            lambda X, c: (X, c.assign(organ=[None, *c["organ"][1:]])),
            InputError,
            "organ: the covariate is missing for s0",
        ),
        (lambda X, c: (X, c.assign(purity=[np.nan, *c["purity"][1:]])), InputError, "purity: .* missing for s0"),
        (lambda X, c: (X, c.drop(columns="purity")), InputError, "the covariate purity is not there"),
        (lambda X, c: (X, c.assign(purity="much")), InputError, "sample 's0' has the covariate 'much'"),
        (lambda X, c: (X[:-1], c), ShapeError, "covariates must have shape"),
        (lambda X, c: (X[::-1], c), InputError, "rows of the covariates are not the samples"),
        (lambda X, c: (X.rename(columns={"G1": "H1"}), c), InputError, "the genes are not those of training"),
        (lambda X, c: (X.where(np.arange(60)[:, None] != 3 + 0 * X), c), InputError, "gene G0 of sample s3 is missing"),
    ],
)
def test_new_samples_that_do_not_fit_are_refused(change, error, words, rng):
    X, covariates = tumours(rng)
    adjustment = CovariateAdjustment().fit(X, covariates)
    with pytest.raises(error, match=words):
        adjustment.transform(*change(X, covariates))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda X, c: (X, c[[]]), InputError, "there is no covariate"),
        (lambda X, c: (X, c.assign(organ=[f"o{k}" for k in range(60)])), DesignError, "60 samples are too few"),
        (lambda X, c: (X.iloc[:, 0].to_numpy(), c), ShapeError, "X must have shape"),
    ],
)
def test_a_design_that_cannot_be_fitted_is_refused(change, error, words, rng):
    with pytest.raises(error, match=words):
        CovariateAdjustment().fit(*change(*tumours(rng)))
