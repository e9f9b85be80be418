"""Comparators reach what is known of them, learn inside their fold only, and their reasons find what is there."""

import importlib.util
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import f_classif, f_regression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold

from kotowari.core.errors import InputError, ShapeError
from kotowari.datasets import load_tcga_colorectal
from kotowari.studies.omics.baselines import (
    PerceptronClassifier,
    PerceptronRegressor,
    SettledLogistic,
    boosting_library,
    comparators,
    mlp_integrated_gradients,
    models,
    permuted_pixels,
    published_rule_selection,
    tree_shap_scores,
    univariate_scores,
)
from kotowari.trust import Fold, cross_validate, grouped_folds

# mean AUC of five times five folds for MSI against MSS, measured with public libraries; standard error 0.06
KNOWN_AUC = {
    "logistic L2": 0.825,
    "elastic net": 0.849,
    "linear SVM": 0.840,
    "random forest": 0.816,
    "k nearest neighbours": 0.758,
    "MLP": 0.810,
}
NAMES = {
    "classification": [*KNOWN_AUC, "gradient boosting"],
    "regression": [
        "ridge",
        "elastic net",
        "linear SVR",
        "random forest",
        "gradient boosting",
        "k nearest neighbours",
        "MLP",
    ],
}
CASES = [(task, name) for task, names in NAMES.items() for name in names]


@pytest.fixture(scope="module")
def table():
    """60 samples, 10 genes: gene 3 tells the classes and the value, gene 5 is constant, one value is missing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 10))
    labels = np.repeat(["minor", "major", "other"], [10, 30, 20])
    value = np.repeat([4.0, 0.0, -4.0], [10, 30, 20])
    X[:, 3] += value
    X[:, 5] = 7.0
    X[4, 8] = np.nan
    return pd.DataFrame(X, columns=[f"G{number}" for number in range(10)]), labels, value


def made(task, name, **options):
    return comparators(task, **{"n_features": 10, "random_state": 0, "quick": True} | options)[name]


def test_every_comparator_is_tried():
    for task, names in NAMES.items():
        assert set(comparators(task, n_features=10, random_state=0)) == set(names)


@pytest.mark.parametrize(("task", "name"), CASES)
def test_comparator_learns_and_repeats_itself(task, name, table):
    X, labels, value = table
    y = labels if task == "classification" else value
    first, again = (clone(made(task, name)).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.predict(X), again.predict(X))
    if task == "classification":
        assert set(first.predict(X)) <= set(labels)
        assert (first.predict(X) == y).mean() > 0.65  # the largest class holds half
    else:
        assert np.corrcoef(first.predict(X), y)[0, 1] > 0.75


@pytest.mark.parametrize("name", KNOWN_AUC)
def test_comparator_reaches_its_known_figure_on_real_tumours(name):
    tumours = load_tcga_colorectal()
    y = tumours.annotations["msi_status"].to_numpy()
    model = comparators("classification", n_features=tumours.X.shape[1], random_state=0)[name]
    said = cross_validate({name: model}, tumours.X, y, grouped_folds(y, random_state=0))[name]
    score = said.margin if said.probability is None else said.probability
    inside = [roc_auc_score(y[said.rows[rows]] == "MSS", score[rows, 1]) for rows in _each(said.fold)]
    assert np.mean(inside) == pytest.approx(KNOWN_AUC[name], abs=0.12)


def test_shuffled_labels_are_not_learned():
    tumours = load_tcga_colorectal()
    y = np.random.default_rng(0).permutation(tumours.annotations["msi_status"].to_numpy())
    model = comparators("classification", n_features=tumours.X.shape[1], random_state=0)["elastic net"]
    said = cross_validate({"shuffled": model}, tumours.X, y, grouped_folds(y, random_state=0))["shuffled"]
    inside = [roc_auc_score(y[said.rows[rows]] == "MSS", said.probability[rows, 1]) for rows in _each(said.fold)]
    assert 0.25 < np.mean(inside) < 0.7


def test_only_the_svm_gives_margins_in_place_of_probabilities(table):
    X, labels, _ = table
    for name in NAMES["classification"]:
        model = made("classification", name).fit(X, labels)
        assert hasattr(model, "predict_proba") == (name != "linear SVM")


def test_tuning_keeps_groups_on_one_side(table):
    X, labels, _ = table
    search = made("classification", "logistic L2", tune=True)
    assert isinstance(search, GridSearchCV)
    owners = np.random.default_rng(0).permutation(np.arange(60) // 2)
    groups = pd.Series(owners).map(lambda owner: f"P{owner}").to_numpy()
    assert not _torn(search.cv.split(X, labels, groups), groups)
    assert _torn(KFold(3).split(X), groups)
    search.fit(X, labels, groups=groups)
    assert search.best_params_["model__C"] in (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@pytest.mark.parametrize("task", NAMES)
def test_tuned_comparators_pass_the_common_folds(task, table):
    X, labels, value = table
    y = labels if task == "classification" else value + np.linspace(0, 0.1, 60)
    tuned = {
        name: model
        for name, model in comparators(task, n_features=10, random_state=0, quick=True, tune=True).items()
        if isinstance(model, GridSearchCV)
    }
    assert set(tuned) == set(NAMES[task]) - {"random forest", "gradient boosting", "MLP"}
    said = cross_validate(tuned, X, y, grouped_folds(y, n_splits=2, random_state=0), groups=np.arange(60))
    assert all(len(result.prediction) == 60 for result in said.values())


def test_quick_grows_fewer_trees():
    sizes = [made("classification", "random forest", quick=quick)[-1].n_estimators for quick in (True, False)]
    assert sizes == [100, 500]


def test_an_unsettled_solver_is_recorded_where_others_warn(table):
    X, labels, _ = table
    values = X.fillna(0.0)
    with pytest.warns(ConvergenceWarning):
        LogisticRegression(max_iter=1).fit(values, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not SettledLogistic(max_iter=1).fit(values, labels).converged_
        assert SettledLogistic(max_iter=1000).fit(values, labels).converged_


def test_unknown_tasks_are_refused():
    with pytest.raises(InputError, match="classification or regression"):
        comparators("ranking", n_features=3, random_state=0)
    with pytest.raises(InputError, match="1 gene or more"):
        comparators("regression", n_features=0, random_state=0)


def test_perceptron_gives_probabilities_and_weighs_classes_alike():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [90, 10])
    X = rng.normal(size=(100, 20)) + np.outer(y, np.eye(20)[0]) * 2
    model = PerceptronClassifier(random_state=0).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1.0, atol=1e-12)
    assert (model.predict(X) == y)[y == 1].mean() > 0.7
    before = np.random.default_rng(3)
    line = before.normal(size=(80, 5))
    fitted = PerceptronRegressor(random_state=0, dropout=0.0, max_epochs=60).fit(line, line[:, 0])
    assert fitted.score(line, line[:, 0]) > 0.8


def test_f_is_that_of_scikit_learn(table):
    X, labels, value = table
    values = X.drop(columns="G5").fillna(0.0)
    np.testing.assert_allclose(univariate_scores(values, labels), f_classif(values, labels)[0], rtol=1e-9)
    np.testing.assert_allclose(
        univariate_scores(values, value, continuous=True), f_regression(values, value)[0], rtol=1e-9
    )


def test_f_of_constant_and_of_perfect_genes_is_told_without_warning():
    y = np.array([0, 0, 1, 1])
    assert univariate_scores(np.array([[0.1, 0.0]] * 2 + [[0.1, 1.0]] * 2), y).tolist() == [0.0, np.inf]


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("library", ["LightGBM", "scikit-learn"])
def test_boosting_of_either_library_is_explained_by_its_gene(task, library, table, monkeypatch):
    if library == "LightGBM":
        pytest.importorskip("lightgbm")
    else:
        monkeypatch.setattr(models, "find_spec", lambda _name: None)
    assert boosting_library() == library
    X, labels, value = table
    model = made(task, "gradient boosting").fit(X, labels if task == "classification" else value)
    inside = model if task == "classification" else model.regressor_
    assert type(inside[-1]).__name__.startswith("LGBM" if library == "LightGBM" else "HistGradient")
    scores = tree_shap_scores(inside, X)
    assert scores.shape == (10,)
    assert scores.argmax() == 3
    assert scores[5] == 0


def test_genes_kept_from_a_boosting_score_nothing(monkeypatch):
    monkeypatch.setattr(models, "find_spec", lambda _name: None)
    monkeypatch.setattr(models, "_SELECTED", 4)
    X, y = np.random.default_rng(0).normal(size=(60, 12)), np.arange(60) % 2
    X[:, 10] += 3 * y
    scores = tree_shap_scores(made("classification", "gradient boosting", n_features=12).fit(X, y), X)
    assert scores.argmax() == 10
    assert (scores > 0).sum() <= 4


def test_tree_shap_adds_up_in_blocks_to_what_lightgbm_gives():
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(70, 6)), np.arange(70) % 3
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(X, y)
    contributions = model.predict(X, pred_contrib=True).reshape(70, 3, 7)
    np.testing.assert_allclose(contributions.sum(2), model.predict(X, raw_score=True), atol=1e-9)
    np.testing.assert_allclose(tree_shap_scores(model, X), np.abs(contributions[..., :-1]).mean((0, 1)))


def test_gradients_of_a_perceptron_find_the_gene_and_read_their_fold_only(table):
    X, labels, _ = table
    values = X.fillna(0.0).to_numpy()
    everyone = np.arange(60)
    fold = Fold(everyone[::2], everyone[1::4])
    scores = mlp_integrated_gradients(values, labels, fold=fold, random_state=0)
    assert scores.argmax() == 3
    assert scores[5] == 0
    poisoned = values.copy()
    poisoned[3::4] = np.nan
    np.testing.assert_array_equal(mlp_integrated_gradients(poisoned, labels, fold=fold, random_state=0), scores)
    assert mlp_integrated_gradients(values, labels, random_state=0, quick=True).argmax() == 3


def test_permuted_pixels_deal_the_genes_onto_the_same_pixels():
    pixels = np.stack(np.divmod(np.arange(100), 10), 1)
    dealt = permuted_pixels(pixels, np.random.default_rng(0))
    assert sorted(map(tuple, dealt)) == sorted(map(tuple, pixels))
    assert (dealt == pixels).all(1).mean() < 0.1
    np.testing.assert_array_equal(dealt, permuted_pixels(pixels, np.random.default_rng(0)))


def test_published_rule_scales_every_map_for_itself():
    maps = np.array([[[1.0, 0.6], [-3.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1e-9]]])
    pixels = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    assert published_rule_selection(maps, pixels).tolist() == [True, True, False, True]
    assert published_rule_selection(maps[:2], pixels).tolist() == [True, True, False, False]
    assert published_rule_selection(maps, pixels, threshold=0.7).tolist() == [True, False, False, True]
    by_class = published_rule_selection(maps, pixels, labels=["a", "a", "b"])
    assert by_class.tolist() == [False, False, False, True]
    with pytest.raises(ShapeError, match="maps"):
        published_rule_selection(maps[0], pixels)
    with pytest.raises(ShapeError, match="labels"):
        published_rule_selection(maps, pixels, labels=["a"])


@pytest.mark.field_data
@pytest.mark.skipif("KOTOWARI_DATA" not in os.environ, reason="KOTOWARI_DATA is not set")
def test_eleven_cancers_are_told_apart_as_well_as_before():
    home = Path(__file__).parents[2] / "benchmarks" / "field.py"
    spec = importlib.util.spec_from_file_location("field", home)
    field = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(field)
    X, cancer, patient = field.tcga11(Path(os.environ["KOTOWARI_DATA"]))
    assert X.shape == (391, 3556)
    assert X.min().min() == -2
    assert len(set(patient)) == 391
    known = {"logistic L2": 0.962, "linear SVM": 0.957}
    made_here = comparators("classification", n_features=3556, random_state=0)
    folds = grouped_folds(cancer, groups=patient, random_state=0)
    said = cross_validate({name: made_here[name] for name in known}, X, cancer, folds, groups=patient)
    for name, result in said.items():
        accuracy = (result.prediction == cancer[result.rows]).mean()
        assert accuracy == pytest.approx(known[name], abs=0.015)


def _each(fold):
    return [np.flatnonzero(fold == number) for number in np.unique(fold)]


def _torn(splits, groups):
    return any(set(groups[train]) & set(groups[test]) for train, test in splits)
