"""Scores of a signature: known answers, fixed signs, the fold's own statistics, bad input."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from kotowari.core.errors import InputError
from kotowari.studies.genenet.model.profile.coherent_genes import coherence_p
from kotowari.studies.genenet.model.profile.signature import SignatureScore

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


def mixed_signature(rng, n=120):
    """Of a signature of 26 genes sixteen follow a hidden score, four of them falling; ten others follow nothing."""
    score = rng.normal(size=n)
    rising, falling, idle = ([f"{kind}{k}" for k in range(m)] for kind, m in (("R", 12), ("F", 4), ("N", 10)))
    others = [f"G{k}" for k in range(400)]
    X = pd.DataFrame(rng.normal(size=(n, 426)), columns=[*rising, *falling, *idle, *others])
    X[rising] += 1.2 * score[:, None]
    X[falling] -= 1.2 * score[:, None]
    return X, score, [*rising, *idle[:7]], [*falling, *idle[7:]]


def test_the_coherent_part_is_the_genes_that_follow_the_score(rng):
    X, score, up, down = mixed_signature(rng)
    scorer = SignatureScore(up, down, method="mean_z", coherent=0.05).fit(X)
    followers = {gene for gene in [*up, *down] if not gene.startswith("N")}
    assert set(scorer.genes_) >= followers
    assert len(set(scorer.genes_) - followers) <= 2  # 5 % of ten idle genes, and luck
    assert set(scorer.genes_) | set(scorer.left_out_) == {*up, *down}
    kept = np.corrcoef(scorer.transform(X)[:, 0], score)[0, 1]
    whole = np.corrcoef(SignatureScore(up, down, method="mean_z").fit_transform(X)[:, 0], score)[0, 1]
    assert kept > whole
    # directions told wrongly: the falling genes no longer belong to the part that rises
    wrong = SignatureScore([*up, *down], method="mean_z", coherent=0.05).fit(X)
    assert not any(gene.startswith("F") for gene in wrong.genes_)


def test_a_coherent_part_beyond_chance_is_told_from_that_of_any_genes(rng):
    X, _, up, down = mixed_signature(rng)
    assert SignatureScore(up, down, coherent=0.05).fit(X).coherence_p(X, n_draws=39) == 1 / 40
    z = ((X - X.mean()) / X.std(ddof=0)).to_numpy()
    assert coherence_p(z[:, 26:52], z[:, 52:], n_draws=39, rng=rng) > 0.05


def test_p_of_the_coherent_part_is_that_of_chance_for_idle_genes(rng):
    p = []
    for _ in range(40):
        z = rng.normal(size=(40, 160))
        z = (z - z.mean(0)) / z.std(0)
        p.append(coherence_p(z[:, :12], z[:, 12:], n_draws=19, rng=rng))
    # 40 draws of a uniform p reach 0.1 four times on average, eleven times once in a thousand; ties make p larger
    assert np.mean(p) > 0.35
    assert np.sum(np.array(p) <= 0.1) <= 10


def test_coherence_needs_others_a_share_and_a_part_that_rises(rng):
    X, _, up, down = mixed_signature(rng)
    with pytest.raises(InputError, match="20 genes besides the signature"):
        SignatureScore(up, down, coherent=0.05).fit(X[[*up, *down, *(f"G{k}" for k in range(20))]])
    with pytest.raises(InputError, match="between 0 and 1"):
        SignatureScore(up, down, coherent=5).fit(X)
    with pytest.raises(InputError, match="those that do are down-genes"):
        SignatureScore(["G0", "G1"], [gene for gene in up if gene.startswith("R")], coherent=0.05).fit(X)
    with pytest.raises(InputError, match="no part to be judged"):
        SignatureScore(up, down).fit(X).coherence_p(X)


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
