"""Each leak is detected by name."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from kotowari.core import DesignError, InputError, Verdict
from kotowari.trust import (
    confounding_check,
    grouped_folds,
    require_blind,
    require_distinct_rows,
    require_not_derived_from,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5))
Y = np.repeat([0, 1], 20)
FOLD = grouped_folds(Y, n_splits=4, random_state=0)[0]


def inside(rows, target):
    scaler = StandardScaler().fit(rows[FOLD.train])
    model = LogisticRegression().fit(scaler.transform(rows[FOLD.train]), target[FOLD.train])
    return {"mean": scaler.mean_, "weights": [model.coef_, model.intercept_]}


def test_a_fit_inside_the_fold_is_blind():
    require_blind("the pipeline", inside, X, Y, test=FOLD.test)


def test_a_scaler_fitted_on_all_data_is_caught():
    with pytest.raises(DesignError, match="the scaler reads the test rows"):
        require_blind("the scaler", lambda rows, _y: StandardScaler().fit(rows).mean_, X, Y, test=FOLD.test)


def test_a_fit_that_stumbles_over_the_poison_is_caught():
    with pytest.raises(DesignError, match=r"the model reads the test rows.*It stopped with"):
        require_blind("the model", lambda rows, y: LogisticRegression().fit(rows, y).coef_, X, Y, test=FOLD.test)


def test_reading_the_test_labels_alone_is_caught():
    with pytest.raises(DesignError, match="the threshold reads the test rows"):
        require_blind("the threshold", lambda _rows, y: y.mean(), X, np.append(Y[:-1], 5), test=FOLD.test)


def test_a_fit_that_never_repeats_itself_proves_nothing():
    rng = np.random.default_rng(1)
    with pytest.raises(InputError, match="Fix its random state"):
        require_blind("the forest", lambda _rows, _y: rng.random(3), X, Y, test=FOLD.test)


def test_a_duplicated_subject_is_named():
    twins = X.copy()
    twins[31] = twins[7]
    names = [f"P{k:02d}" for k in range(40)]
    with pytest.raises(DesignError, match="P07 = P31"):
        require_distinct_rows(twins, names=names)
    require_distinct_rows(X, names=names)
    groups = np.arange(40)
    groups[31] = 7
    require_distinct_rows(twins, groups)


def test_a_site_that_is_the_label_is_named():
    site = np.where(Y == 0, "Kyoto", "Osaka")
    check = confounding_check(Y, site, name="site")
    assert check.verdict is Verdict.FAIL
    assert check.name == "confounding by site"
    assert check.value == 1.0


def test_a_balanced_site_passes_and_single_sites_are_not_judged():
    assert confounding_check(Y, np.tile(["Kyoto", "Osaka"], 20)).verdict is Verdict.PASS
    assert confounding_check(Y, np.arange(40)).verdict is Verdict.NOT_APPLICABLE
    assert confounding_check(Y, np.zeros(40)).verdict is Verdict.NOT_APPLICABLE


DERIVED = {
    "networks": ("expression", "modulator"),
    "features": ("networks",),
    "response": ("modulator",),
}


def test_features_built_with_the_target_are_refused_with_the_way():
    with pytest.raises(DesignError, match=r"features <- networks <- modulator.*both go back to 'modulator'"):
        require_not_derived_from(["features"], ["modulator"], DERIVED)


def test_features_that_share_a_source_with_the_target_are_refused():
    with pytest.raises(DesignError, match=r"\(response <- modulator\) both go back to 'modulator'"):
        require_not_derived_from(["features"], ["response"], DERIVED)


def test_unrelated_features_are_allowed():
    require_not_derived_from(["features"], ["survival"], DERIVED)
    require_not_derived_from(["expression"], ["response"], DERIVED)


def test_a_target_among_the_features_is_refused():
    with pytest.raises(DesignError, match="both go back to 'survival'"):
        require_not_derived_from(["expression", "survival"], ["survival"], {})


def test_a_circle_of_declarations_is_refused():
    with pytest.raises(InputError, match="a <- b <- a"):
        require_not_derived_from(["a"], ["y"], {"a": ["b"], "b": ["a"]})
