"""Comparators run on the same folds, blind to the test rows, and are scored as scikit-learn scores them."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from kotowari.core import DesignError, InputError
from kotowari.trust import Fold, OutOfFold, cross_validate, grouped_folds, score_table, scores

RNG = np.random.default_rng(0)
GROUPS = np.repeat(np.arange(60), 2)
Y = np.array(["a", "b", "c"])[GROUPS % 3]
X = RNG.normal(size=(120, 8)) + 1.5 * np.eye(3, 8)[GROUPS % 3]
FOLDS = grouped_folds(Y, groups=GROUPS, n_splits=4, random_state=0)


def logistic():
    return make_pipeline(StandardScaler(), LogisticRegression())


def test_predictions_are_those_of_a_plain_loop():
    said = cross_validate({"logistic": logistic()}, X, Y, FOLDS)["logistic"]
    for k, fold in enumerate(FOLDS):
        fitted = logistic().fit(X[fold.train], Y[fold.train])
        np.testing.assert_array_equal(said.rows[said.fold == k], fold.test)
        np.testing.assert_array_equal(said.prediction[said.fold == k], fitted.predict(X[fold.test]))
        np.testing.assert_allclose(said.probability[said.fold == k], fitted.predict_proba(X[fold.test]))


def test_frames_and_kept_shards_give_the_same_predictions(tmp_path):
    models = {"logistic": logistic(), "svm": LinearSVC()}
    plain = cross_validate(models, X, Y, FOLDS)
    for _ in range(2):
        kept = cross_validate(models, pd.DataFrame(X), Y, FOLDS, shards=tmp_path)
        np.testing.assert_array_equal(plain["logistic"].probability, kept["logistic"].probability)
        np.testing.assert_array_equal(plain["svm"].margin, kept["svm"].margin)
    with pytest.raises(InputError, match="needs a folder for shards"):
        cross_validate(models, X, Y, FOLDS, workers=2)


def test_the_given_model_is_never_fitted():
    model = logistic()
    cross_validate({"logistic": model}, X, Y, FOLDS)
    assert not hasattr(model[-1], "coef_")


class Peeking(ClassifierMixin, BaseEstimator):
    """Remembers labels of rows that it should never have seen."""

    def __init__(self, table=None):
        self.table = table

    def fit(self, X, y):
        del X
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.array([self.table[row.tobytes()] for row in X])


def test_no_honest_model_beats_chance_on_noise_but_a_peeking_one_does():
    noise = RNG.normal(size=(120, 8))
    peeking = Peeking({row.tobytes(): label for row, label in zip(noise, Y, strict=True)})
    said = cross_validate({"logistic": logistic(), "peeking": peeking}, noise, Y, FOLDS)
    roles = {"logistic": "comparator", "peeking": "comparator"}
    rows = score_table(Y, said, target="type", roles=roles, groups=GROUPS, n_draws=200, random_state=0)
    accuracy = {row.model: row for row in rows if row.metric == "accuracy"}
    assert accuracy["logistic"].low < 1 / 3 < accuracy["logistic"].high
    assert accuracy["peeking"].value == 1.0


def test_groups_reach_models_and_searches_that_take_them():
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=GroupKFold(3))
    said = cross_validate({"search": search}, X, Y, FOLDS, groups=GROUPS)["search"]
    assert said.probability.shape == (120, 3)
    with pytest.raises(ValueError, match="groups"):
        cross_validate({"search": search}, X, Y, FOLDS)


def test_a_fold_without_a_class_is_refused():
    lacking = Fold(np.flatnonzero(Y != "c"), np.flatnonzero(Y == "c"))
    with pytest.raises(DesignError, match="no sample of the class c"):
        cross_validate({"logistic": logistic()}, X, Y, [lacking])


def test_score_table_has_intervals_and_says_what_a_model_cannot_give():
    models = {"logistic": logistic(), "svm": LinearSVC(), "majority": DummyClassifier()}
    said = cross_validate(models, X, Y, FOLDS)
    roles = {"logistic": "ours", "svm": "comparator", "majority": "chance"}
    rows = score_table(Y, said, target="type", roles=roles, groups=GROUPS, n_draws=300, random_state=0)
    table = {(row.model, row.metric): row for row in rows}
    assert len(table) == 15
    assert table["svm", "log loss"].value is None
    assert table["svm", "AUC"].value > 0.8
    assert table["majority", "AUC"].value == pytest.approx(0.5, abs=0.05)
    ours = table["logistic", "accuracy"]
    assert (ours.role, ours.n, ours.target) == ("ours", 120, "type")
    assert ours.low < ours.value < ours.high


def test_repeated_folds_count_a_sample_once():
    folds = grouped_folds(Y, groups=GROUPS, n_splits=4, n_repeats=2, random_state=0)
    said = cross_validate({"logistic": logistic()}, X, Y, folds)
    assert len(said["logistic"].rows) == 240
    rows = score_table(Y, said, target="type", roles={"logistic": "ours"}, groups=GROUPS, n_draws=100, random_state=0)
    assert {row.n for row in rows} == {120}


def test_regression_is_scored_by_r2_mae_and_spearman():
    y = X[:, 0] + 0.1 * RNG.normal(size=120)
    folds = grouped_folds(y, groups=GROUPS, n_splits=4, random_state=0)
    said = cross_validate({"ridge": Ridge()}, X, y, folds)
    rows = score_table(y, said, target="age", roles={"ridge": "ours"}, groups=GROUPS, n_draws=100, random_state=0)
    assert [row.metric for row in rows] == ["R2", "MAE", "Spearman"]
    assert rows[0].value > 0.9
    assert rows[1].value == pytest.approx(metrics.mean_absolute_error(y[said["ridge"].rows], said["ridge"].prediction))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_scores_agree_with_scikit_learn(n_classes):
    rng = np.random.default_rng(n_classes)
    y = rng.integers(0, n_classes, 80)
    probability = rng.dirichlet(np.ones(n_classes), 80)
    probability = np.round(probability, 1) + 0.01  # ties
    probability /= probability.sum(1, keepdims=True)
    hard = probability.argmax(1)
    soft = probability[:, 1] if n_classes == 2 else probability
    assert scores.accuracy(y, hard) == pytest.approx(metrics.accuracy_score(y, hard))
    assert scores.balanced_accuracy(y, hard) == pytest.approx(metrics.balanced_accuracy_score(y, hard))
    assert scores.macro_f1(y, hard) == pytest.approx(metrics.f1_score(y, hard, average="macro"))
    assert scores.log_loss(y, probability) == pytest.approx(metrics.log_loss(y, probability))
    assert scores.auroc(y, probability) == pytest.approx(metrics.roc_auc_score(y, soft, multi_class="ovr"))


def test_scores_without_meaning_are_nan():
    assert np.isnan(scores.auroc(np.zeros(5, dtype=int), np.eye(5, 2)))
    assert np.isnan(scores.r2(np.ones(4), np.arange(4.0)))
    assert np.isnan(scores.spearman(np.ones(4), np.arange(4.0)))
    constant = OutOfFold(np.arange(4), np.zeros(4, dtype=int), np.arange(4.0))
    rows = score_table(np.ones(4), {"m": constant}, target="t", roles={"m": "ours"}, n_draws=50, random_state=0)
    assert rows[0].value is rows[0].low is None
