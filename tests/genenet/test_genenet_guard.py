"""The guard lets no network predict what its modulator predicts already, and no row shuffle pass for a null."""

import numpy as np
import pytest
from scipy.interpolate import make_smoothing_spline
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.evidence import Verdict
from kotowari.studies.genenet.guard import (
    GENES_ROW,
    SPLINE_ROW,
    judge_prediction,
    permute_within_bins,
    ridge_predictor,
    spline_predictor,
)
from kotowari.trust.comparators import OutOfFold, cross_validate
from kotowari.trust.folds import grouped_folds

N, DRAWS = 160, 200


def simulated(seed, *, of_genes=0.0):
    """Modulator, genes that follow it with noise, networks that are functions of it, and a response."""
    rng = np.random.default_rng(seed)
    m = np.where(rng.random(N) < 0.6, rng.normal(-0.6, 0.45, N), rng.normal(0.9, 0.5, N))
    genes = np.outer(m, rng.normal(size=20)) + 2 * rng.normal(size=(N, 20))
    phase, speed = rng.uniform(0, 6, 30), rng.uniform(0.5, 3, 30)
    networks = np.sin(np.outer(m, speed) + phase)  # the coefficients of 30 edges at every sample
    product = genes[:, 0] * genes[:, 1] / 4
    y = np.sin(2 * m) + 0.6 * rng.normal(size=N) + of_genes * product
    return m, genes, networks, product, y


def learned(models, X, y, folds):
    return {name: cross_validate({name: model}, X, y, folds)[name] for name, model in models.items()}


READERS = {
    "ridge on networks": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 7))),
    "kernel ridge on networks": make_pipeline(StandardScaler(), KernelRidge(kernel="rbf", alpha=0.3, gamma=0.03)),
}


# -- the verdict --------------------------------------------------------------------------------------------------


def test_networks_that_follow_the_modulator_never_predict():
    allowed, fooled = [], []
    for seed in (0, 4, 18, 29):  # the last three pass spline and ridge by the luck of their curves
        m, genes, networks, _, y = simulated(seed)
        folds = grouped_folds(y, n_splits=4, random_state=seed)
        predictions = learned(READERS, networks, y, folds)
        verdict = judge_prediction(y, m, predictions, X=genes, folds=folds, n_draws=DRAWS, random_state=seed)
        allowed += verdict.predicts.values()
        own = {row.model: row.value for row in verdict.rows if row.metric == "R2"}
        assert own["ridge on networks"] > 0.2  # it looks like a result
        assert all("is not shown to say more" in sentence for sentence in verdict.sentences.values())
        for name, share in verdict.beyond.items():
            assert share < 0.01
            fooled.append(min(verdict.above_spline[name].low, verdict.above_genes[name].low) > 0)
    assert any(fooled)  # the two comparators alone would not have done
    assert not any(allowed)


def test_what_neither_modulator_nor_linear_genes_hold_may_be_called_prediction():
    m, genes, networks, product, y = simulated(0, of_genes=1.0)
    folds = grouped_folds(y, n_splits=4, random_state=0)
    ours = {"effects": READERS["ridge on networks"]}
    predictions = learned(ours, np.column_stack([networks, product]), y, folds)
    verdict = judge_prediction(y, m, predictions, X=genes, folds=folds, n_draws=DRAWS, random_state=0)
    assert verdict.predicts == {"effects": True}
    assert verdict.sentences["effects"].startswith("effects predicts response: R2 +")
    (check,) = verdict.checks()
    assert (check.verdict, check.threshold) == (Verdict.PASS, 0.0)
    lows = [getattr(verdict, f"above_{row}")["effects"].low for row in ("spline", "genes", "course")]
    assert 0 < check.value <= min(lows)
    assert verdict.beyond["effects"] > 0.2
    assert {row.model: row.role for row in verdict.rows} == {
        "effects": "ours",
        SPLINE_ROW: "trivial null",
        GENES_ROW: "comparator",
    }


def test_a_better_curve_with_noise_on_top_is_no_prediction(rng):
    m, genes, _, _, y = simulated(0)
    folds = grouped_folds(y, n_splits=4, random_state=0)
    rows = np.concatenate([fold.test for fold in folds])
    fold = np.concatenate([np.full(len(part.test), k) for k, part in enumerate(folds)])
    best = OutOfFold(rows, fold, np.sin(2 * m[rows]) + 0.3 * rng.normal(size=N))
    verdict = judge_prediction(y, m, {"curve": best}, X=genes, folds=folds, n_draws=DRAWS, random_state=0)
    assert verdict.beyond["curve"] > 0.01
    assert not verdict.predicts["curve"]
    assert "its own course along the modulator" in verdict.sentences["curve"]


def test_beating_two_failures_is_no_prediction(rng):
    m, genes, _, _, _ = simulated(0)
    y = rng.normal(size=N)
    folds = grouped_folds(y, n_splits=4, random_state=0)
    rows = np.concatenate([fold.test for fold in folds])
    fold = np.concatenate([np.full(len(part.test), k) for k, part in enumerate(folds)])
    constant = OutOfFold(rows, fold, np.full(N, y.mean()))
    wild = np.hstack([genes, 1e3 * rng.normal(size=(N, 100))])
    verdict = judge_prediction(y, m, {"mean": constant}, X=wild, folds=folds, n_draws=DRAWS, random_state=0)
    assert verdict.predicts == {"mean": False}
    assert "chance" in verdict.sentences["mean"]
    assert verdict.checks()[0].verdict is Verdict.FAIL


def test_a_target_that_is_the_modulator_is_the_splines():
    m, genes, networks, _, _ = simulated(3)
    folds = grouped_folds(m, n_splits=4, random_state=0)
    predictions = learned(READERS, networks, m, folds)
    verdict = judge_prediction(m, m, predictions, X=genes, folds=folds, n_draws=DRAWS, random_state=0)
    r2 = {row.model: row.value for row in verdict.rows if row.metric == "R2"}
    assert r2[SPLINE_ROW] > 0.99
    assert not any(verdict.predicts.values())


def test_classes_are_judged_by_auc_and_modulators_may_differ_by_fold():
    m, genes, networks, product, y = simulated(1, of_genes=1.5)
    classes = np.where(y > np.median(y), "late", "early")
    folds = grouped_folds(classes, n_splits=4, random_state=0)
    model = {"effects": ridge_predictor("classification")}
    ours = learned(model, np.column_stack([networks, product]), classes, folds)
    options = {"X": genes, "folds": folds, "n_draws": 50, "random_state": 0}
    one = judge_prediction(classes, m, ours, **options)
    assert one.metric == "AUC"
    assert one.predicts == {"effects": True}
    many = judge_prediction(classes, [m] * 4, ours, **options)
    assert many.rows == one.rows
    two = judge_prediction(classes, np.column_stack([m, genes[:, 0]]), ours, **options)
    assert two.above_spline["effects"].value < one.above_spline["effects"].value + 0.2


def test_what_cannot_be_judged_is_refused():
    m, genes, networks, _, y = simulated(0)
    folds = grouped_folds(y, n_splits=4, random_state=0)
    ours = learned({"a": READERS["ridge on networks"]}, networks, y, folds)
    options = {"X": genes, "folds": folds, "n_draws": 20, "random_state": 0}
    for wrong, told in (
        ({"predictions": {}}, "nothing to judge"),
        ({"predictions": {SPLINE_ROW: ours["a"]}}, "the name 'spline of the modulator' is taken"),
        ({"metric": "MAE"}, "metric must be one of R2, Spearman, AUC"),
        ({"modulator": [m, m]}, "2 modulators came for 4 folds"),
        ({"modulator": np.where(m == m[0], np.nan, m)}, "missing in places"),
        ({"folds": grouped_folds(y, n_splits=4, random_state=1)}, "different folds"),
    ):
        with pytest.raises(InputError, match=told):
            judge_prediction(y, **({"modulator": m, "predictions": ours} | options | wrong))
    with pytest.raises(ShapeError, match="X must have shape"):
        judge_prediction(y, m, ours, **(options | {"X": genes[1:]}))
    with pytest.raises(DesignError, match="in every sample"):
        judge_prediction(y, np.ones(N), ours, **options)


def test_the_spline_comes_near_the_best_smooth_curve(rng):
    m = np.sort(rng.random(400))
    y = np.sin(6 * m) + 0.3 * rng.normal(size=400)
    train, test = np.arange(400) % 2 == 0, np.arange(400) % 2 == 1
    ours = spline_predictor().fit(m[train, None], y[train]).predict(m[test, None])
    theirs = make_smoothing_spline(m[train], y[train])(m[test])
    error, other = (np.sqrt(np.mean((said - np.sin(6 * m[test])) ** 2)) for said in (ours, theirs))
    assert error < 0.1
    assert error < 1.5 * other


# -- the null -----------------------------------------------------------------------------------------------------


def coefficients_along(m, x, y, width=0.3):
    """Kernel-weighted slope of y on x at every sample."""
    w = np.exp(-((m[:, None] - m) ** 2) / width**2)
    w /= w.sum(1, keepdims=True)
    mean_x, mean_y = w @ x, w @ y
    return (w @ (x * y) - mean_x * mean_y) / (w @ x**2 - mean_x**2)


def rows_shuffled(X, m, n_bins, rng):
    """What the package refuses."""
    shuffled = X.copy()
    for members in np.array_split(np.argsort(m, kind="stable"), n_bins):
        shuffled[members] = X[rng.permutation(members)]
    return shuffled


def test_row_shuffles_keep_the_variation_along_the_modulator_and_genes_on_their_own_do_not(rng):
    n = 600
    m = np.where(rng.random(n) < 0.6, rng.normal(-0.6, 0.45, n), rng.normal(0.9, 0.5, n))
    x = rng.normal(size=n) + m
    X = np.column_stack([x, np.sin(2 * m) * x + 0.3 * rng.normal(size=n)])
    observed = coefficients_along(m, *X.T)
    by_rows, by_genes = [], []
    for _ in range(20):
        by_rows.append(coefficients_along(m, *rows_shuffled(X, m, 60, rng).T).var())
        by_genes.append(coefficients_along(m, *permute_within_bins(X, m, 60, rng).T).var())
    assert np.mean(by_rows) / observed.var() > 0.98
    assert np.mean(by_genes) / observed.var() < 0.1


def test_genes_keep_their_values_and_their_course_along_the_modulator(rng):
    m = rng.random(200)
    X = np.outer(np.sin(3 * m), [1, 2, 3]) + 0.1 * rng.normal(size=(200, 3))
    before = X.copy()
    shuffled = permute_within_bins(X, m, 20, rng)
    np.testing.assert_array_equal(X, before)
    for members in np.array_split(np.argsort(m), 20):
        np.testing.assert_array_equal(np.sort(shuffled[members], axis=0), np.sort(X[members], axis=0))
    assert (shuffled != X).mean() > 0.8
    assert not np.array_equal(shuffled.argsort(0)[:, 0], shuffled.argsort(0)[:, 1])
    for k in range(3):
        assert np.corrcoef(shuffled[:, k], np.sin(3 * m))[0, 1] > 0.9


def test_row_shuffles_are_refused_with_the_reason(rng):
    with pytest.raises(DesignError, match=r"no null\. They keep their genes together"):
        permute_within_bins(np.ones((20, 2)), np.arange(20), 2, rng, scheme="rows")
    with pytest.raises(InputError, match="n_bins must lie between 1 and 4"):
        permute_within_bins(np.ones((20, 2)), np.arange(20), 5, rng)
    with pytest.raises(InputError, match='scheme must be "genes"'):
        permute_within_bins(np.ones((20, 2)), np.arange(20), 2, rng, scheme="columns")
    with pytest.raises(InputError, match="missing in places"):
        permute_within_bins(np.ones((20, 2)), np.full(20, np.nan), 2, rng)
    with pytest.raises(ShapeError, match="modulator must have shape"):
        permute_within_bins(np.ones((20, 2)), np.arange(19), 2, rng)
