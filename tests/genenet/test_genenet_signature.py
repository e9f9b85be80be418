"""Scores of a signature: known answers, fixed signs, the fold's own statistics, bad input."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from kotowari.core.errors import InputError
from kotowari.studies.genenet.model.signature import SignatureScore

UP, DOWN = ["VIM", "ZEB1", "FN1"], ["CDH1", "EPCAM"]
METHODS = ["first_component", "mean_z", "ks"]


def tumours(rng, n=80):
    """Mesenchymal genes rise and epithelial ones fall with a hidden score; thirty others do neither."""
    score = rng.normal(size=n)
    X = pd.DataFrame(rng.normal(size=(n, 35)), columns=[*UP, *DOWN, *(f"G{k}" for k in range(30))])
    X[UP] += 5 + 1.5 * score[:, None]
    X[DOWN] -= 1.5 * score[:, None]
    return X, score


@pytest.mark.parametrize("method", METHODS)
def test_the_hidden_score_is_found_with_its_sign(method, rng):
    X, score = tumours(rng)
    found = SignatureScore(UP, DOWN, method=method).fit_transform(X)
    turned = SignatureScore(DOWN, UP, method=method).fit_transform(X)
    assert found.shape == (80, 1)
    assert np.corrcoef(found[:, 0], score)[0, 1] > 0.8
    np.testing.assert_allclose(turned, -found, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_held_out_samples_are_scored_by_the_training_samples_alone(method, rng):
    X, _ = tumours(rng)
    scorer = SignatureScore(UP, DOWN, method=method).fit(X[:60])
    np.testing.assert_allclose(scorer.transform(X[60:])[:1], scorer.transform(X[60:61]))
    np.testing.assert_allclose(scorer.transform(X)[:60], clone(scorer).fit_transform(X[:60]))
    poisoned = X.copy()
    poisoned.iloc[60:] = 1e6
    again = clone(scorer).fit(poisoned[:60])
    np.testing.assert_array_equal(again.transform(X[60:]), scorer.transform(X[60:]))


def test_the_first_component_is_that_of_the_standardised_genes(rng):
    X, _ = tumours(rng)
    scorer = SignatureScore(UP, DOWN).fit(X)
    z = X[UP + DOWN].to_numpy()
    z = (z - z.mean(0)) / z.std(0)
    values, vectors = np.linalg.eigh(z.T @ z)
    expected = z @ vectors[:, -1]
    expected *= np.sign(expected @ (z[:, :3].mean(1) - z[:, 3:].mean(1))) / expected.std()
    np.testing.assert_allclose(scorer.transform(X)[:, 0], expected, rtol=1e-9)
    assert scorer.explained_ == pytest.approx(values[-1] / values.sum())
    assert scorer.transform(X).std() == pytest.approx(1)


def test_the_mean_of_z_is_a_difference_of_means(rng):
    X, _ = tumours(rng)
    z = (X - X.mean()) / X.std(ddof=0)
    expected = z[UP].mean(axis=1) - z[DOWN].mean(axis=1)
    np.testing.assert_allclose(SignatureScore(UP, DOWN, method="mean_z").fit_transform(X)[:, 0], expected)


def test_the_ks_score_is_the_statistic_of_two_samples(rng):
    X, _ = tumours(rng)
    z = (X - X.mean()) / X.std(ddof=0)
    found = SignatureScore(UP, method="ks").fit_transform(X)[:, 0]
    for k in range(20):
        others = z.iloc[k].drop(UP)
        assert abs(found[k]) == pytest.approx(ks_2samp(z.iloc[k][UP], others).statistic)
    top = X.iloc[:1].copy()
    top[UP] = 1e3
    assert SignatureScore(UP, method="ks").fit(X).transform(top)[0, 0] == pytest.approx(1)


CHECKS = list(estimator_checks_generator(SignatureScore(["0"], method="mean_z")))


@pytest.mark.parametrize("check", [check for _, check in CHECKS], ids=[check.func.__name__ for _, check in CHECKS])
def test_scikit_learn_finds_nothing_to_complain_about(check):
    check(SignatureScore(["0"], method="mean_z"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"up": ["VIM", "TWIST1"]}, r"up: 1 of 2 are not in the table \(TWIST1\)"),
        ({"up": []}, "up: there are none"),
        ({"down": ["VIM"]}, "VIM stands in up and in down"),
        ({"up": ["VIM"], "down": ["CDH1"]}, "needs 3 genes or more, got 2"),
        ({"up": ["VIM", "FLAT"]}, r"1 are constant \(FLAT\)"),
        ({"method": "gsva"}, "method must be one of first_component, mean_z, ks"),
    ],
)
def test_signatures_that_cannot_be_scored_are_told(changes, sentence, rng):
    X, _ = tumours(rng)
    with pytest.raises(InputError, match=sentence):
        SignatureScore(**({"up": UP, "down": DOWN} | changes)).fit(X.assign(FLAT=2.0))


def test_missing_values_matter_where_they_are_read(rng):
    X, _ = tumours(rng)
    X.loc[3, "G7"] = np.nan
    assert np.isfinite(SignatureScore(UP, DOWN).fit_transform(X)).all()
    with pytest.raises(InputError, match="gene G7 of sample 3 is missing"):
        SignatureScore(UP, method="ks").fit(X)
    X.loc[5, "VIM"] = np.inf
    with pytest.raises(InputError, match="gene VIM of sample 5 is missing or infinite"):
        SignatureScore(UP, DOWN).fit(X)


def test_a_component_without_a_sign_is_refused():
    score = np.array([1.0, -1.0, 1.0, -1.0, 0.5, -0.5])
    own = np.array([1.0, 1.0, -1.0, -1.0, 0.0, 0.0])
    X = pd.DataFrame({"A": score, "B": -score, "C": own})
    with pytest.raises(InputError, match="has no sign"):
        SignatureScore(["A", "B", "C"]).fit(X)


def test_a_table_of_other_genes_is_refused(rng):
    X, _ = tumours(rng)
    scorer = SignatureScore(UP, DOWN).fit(X)
    with pytest.raises(InputError, match="the genes are not those of training"):
        scorer.transform(X[X.columns[::-1]])
    with pytest.raises(InputError, match="needs genes outside the signature"):
        SignatureScore(UP, method="ks").fit_transform(X[UP])
