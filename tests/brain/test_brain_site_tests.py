"""The questions put to a harmoniser find what was planted, and catch the harmonisers that only look good."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from kotowari.core.errors import DesignError, InputError
from kotowari.studies.brain import site_tests
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.regression_targets import Target, target_folds
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.studies.brain.site_arm import SiteArm, site_table

effect_kept, site_gap, site_told, site_told_in_new_subjects = (
    partial(function, n_draws=100)
    for function in (
        site_tests.effect_kept,
        site_tests.site_gap,
        site_tests.site_told,
        site_tests.site_told_in_new_subjects,
    )
)
SITES = np.resize(["A", "B"], 80)
AT_B = SITES == "B"


class Eraser(BaseEstimator):
    """The wrong object: takes the whole difference of the site means, whatever is to survive."""

    def fit(self, X, sites, covariates=None):
        del covariates
        self.gap_ = X[sites == "B"].mean(0) - X[sites == "A"].mean(0)
        return self

    def transform(self, X, sites, covariates=None):
        del covariates
        return X - (sites == "B")[:, None] * self.gap_


def cohort(rng, shift=1.0, n_features=30):
    """A site shift in five features; age in five others, ten years higher at site B."""
    age = rng.uniform(20, 60, 80) + 20.0 * AT_B
    values = rng.normal(size=(80, n_features))
    values[:, :5] += shift * AT_B[:, None]
    values[:, 5:10] += 0.1 * (age - 50)[:, None]
    return values, pd.DataFrame({"age": age})


def value(tests, features, test):
    table = site_table(tests)
    (found,) = table.loc[(table["features"] == features) & (table["test"] == test), "value"]
    return found


def row(tests, features, test):
    table = site_table(tests)
    return table[(table["features"] == features) & (table["test"] == test)].iloc[0]


def test_a_planted_site_is_told_and_a_harmonised_one_is_not(rng):
    values = rng.normal(size=(80, 12))
    values[:, :5] += 1.2 * AT_B[:, None]
    arms = {"raw": SiteArm(values), "ComBat": SiteArm(values, ComBat())}
    told = site_told(arms, SITES, n_permutations=19, random_state=0)
    assert list(site_table(told).columns) == ["features", "test", "value", "low", "high", "p", "n"]
    raw = row(told, "raw", "site AUC")
    assert raw["value"] > 0.8
    assert raw["low"] < raw["value"] < raw["high"]
    assert raw["p"] == pytest.approx(1 / 20)
    assert raw["n"] == 80
    assert value(told, "raw", "site balanced accuracy") > 0.7
    assert value(told, "ComBat", "site AUC") < 0.6


def test_without_a_site_nothing_is_told(rng):
    values = rng.normal(size=(80, 12))
    told = site_told_in_new_subjects({"raw": SiteArm(values)}, SITES, n_permutations=19, random_state=1)
    assert 0.2 < value(told, "raw", "site AUC, new subjects") < 0.8
    assert row(told, "raw", "site AUC, new subjects")["p"] > 0.05


def test_a_harmoniser_that_fits_noise_looks_harmless_in_folds_and_marks_new_subjects(rng):
    """Many features and few subjects: the errors of the site means are a mark that every new subject bears."""
    values = rng.normal(size=(80, 600))
    arms = {"raw": SiteArm(values), "erased": SiteArm(values, Eraser())}
    in_folds = site_told(arms, SITES, n_permutations=0, random_state=0)
    fresh = site_told_in_new_subjects(arms, SITES, n_permutations=19, random_state=0)
    assert value(in_folds, "erased", "site AUC") < 0.7
    assert value(fresh, "erased", "site AUC, new subjects") > 0.9
    assert row(fresh, "erased", "site AUC, new subjects")["p"] == pytest.approx(1 / 20)
    assert value(fresh, "raw", "site AUC, new subjects") < 0.7
    assert row(in_folds, "raw", "site AUC")["p"] is None


def test_three_sites_are_told_apart_too(rng):
    sites = np.resize(["A", "B", "C"], 90)
    values = rng.normal(size=(90, 6)) + 3 * (sites[:, None] == np.array(["A", "B", "C", "x", "x", "x"]))
    told = site_told({"raw": SiteArm(values)}, sites, n_permutations=0, random_state=0)
    assert value(told, "raw", "site AUC") > 0.9
    assert value(told, "raw", "site balanced accuracy") > 0.8


def test_balanced_accuracy_is_half_where_one_site_is_large_and_nothing_tells(rng):
    sites = np.repeat(["A", "B"], [70, 20])
    told = site_told({"raw": SiteArm(rng.normal(size=(90, 3)))}, sites, n_permutations=0, random_state=0)
    assert value(told, "raw", "site balanced accuracy") == pytest.approx(0.5, abs=0.15)


def test_an_effect_is_kept_by_a_harmoniser_and_lost_by_one_that_destroys_it(rng):
    class Destroyer(Eraser):
        def transform(self, X, sites, covariates=None):
            del sites, covariates
            return np.where(np.arange(X.shape[1]) < 10, 0.0, X)

    values, table = cohort(rng)
    dose = rng.normal(size=80)
    values[:, 7:9] += dose[:, None]
    target = Target.of("dose", dose)
    folds = target_folds(target, sites=SITES, random_state=0)
    arms = {"raw": SiteArm(values), "ComBat": SiteArm(values, ComBat()), "destroyed": SiteArm(values, Destroyer())}
    kept = effect_kept(arms, target, folds, SITES, covariates=table, random_state=0)
    assert value(kept, "raw", "r of dose") > 0.6
    assert abs(value(kept, "ComBat", "r of dose, gain")) < 0.1
    assert row(kept, "destroyed", "r of dose, gain")["high"] < 0
    assert len(site_table(kept)) == 5


def test_an_age_difference_is_kept_with_the_covariate_and_its_loss_is_caught(rng):
    values, table = cohort(rng)
    target = Target.of("age", table["age"].to_numpy())
    folds = target_folds(target, sites=SITES, random_state=0)
    arms = {"right": SiteArm(values, ComBat()), "wrong": SiteArm(values, Eraser())}
    gaps = site_gap(arms, target, folds, SITES, covariates=table, random_state=0)
    right, wrong = (row(gaps, name, "site gap of age") for name in ("right", "wrong"))
    assert right["low"] < 0 < right["high"]
    assert abs(right["value"]) < 4
    assert wrong["high"] < 0
    assert wrong["value"] < -6


def test_a_shift_that_stays_is_a_gap(rng):
    values, table = cohort(rng)
    table["age"] -= 20.0 * AT_B  # the values stay, so that each looks twenty years older at B
    target = Target.of("age", table["age"].to_numpy())
    folds = target_folds(target, sites=SITES, random_state=0)
    arms = {"raw": SiteArm(values), "ComBat": SiteArm(values, ComBat())}
    gaps = site_gap(arms, target, folds, SITES, covariates=table, random_state=0)
    assert value(gaps, "raw", "site gap of age") > 5
    assert abs(value(gaps, "ComBat", "site gap of age")) < 4


@pytest.mark.parametrize("harmoniser", [None, ComBat()], ids=["none", "ComBat"])
def test_rows_outside_of_the_training_part_never_enter_what_is_learned(rng, harmoniser):
    values, table = cohort(rng)
    train, test = np.arange(60), np.arange(60, 70)
    subjects = Subjects.of(80, sites=SITES, covariates=table)
    rows = np.concatenate([train, test])
    clean = SiteArm(values, harmoniser).harmonised(train, rows, subjects)
    poisoned = values.copy()
    poisoned[60:70] = 1e6 * rng.normal(size=(10, values.shape[1]))
    poisoned[70:] = np.nan
    assert np.array_equal(SiteArm(poisoned, harmoniser).harmonised(train, rows, subjects)[:60], clean[:60])


def test_a_leak_is_seen_by_the_poison(rng):
    """The wrong object: a harmoniser that learned from all rows before."""
    values, table = cohort(rng)
    poisoned = values.copy()
    poisoned[60:70] *= 1e3
    subjects = Subjects.of(80, sites=SITES, covariates=table)
    leaked = [ComBat().fit(x, SITES, table).transform(x, SITES, table) for x in (values, poisoned)]
    train = np.arange(60)
    first, second = (SiteArm(x).harmonised(train, train, subjects) for x in leaked)
    assert not np.array_equal(first, second)


def test_nan_in_a_row_that_is_used_is_named(rng):
    values, _ = cohort(rng)
    values[17, 3] = np.nan
    with pytest.raises(InputError, match="row 17 has a NaN"):
        site_told({"raw": SiteArm(values)}, SITES, n_permutations=0, random_state=0)


def test_equal_seeds_give_equal_figures(rng):
    values, table = cohort(rng)
    arms = {"ComBat": SiteArm(values, ComBat())}
    for question in (site_told, site_told_in_new_subjects):
        once, again = (question(arms, SITES, covariates=table, n_permutations=3, random_state=5) for _ in range(2))
        assert once == again


def test_designs_without_an_answer_are_refused(rng):
    values, table = cohort(rng)
    target = Target.of("age", table["age"].to_numpy())
    folds = target_folds(target, sites=SITES, random_state=0)
    arms = {"raw": SiteArm(values)}
    with pytest.raises(DesignError, match="all subjects come from site A"):
        site_told(arms, np.full(80, "A"), random_state=0)
    with pytest.raises(DesignError, match="compares two sites, got 1"):
        site_gap(arms, target, folds, np.full(80, "A"), random_state=0)
    with pytest.raises(DesignError, match="is age itself"):
        effect_kept(arms, target, folds, SITES, covariates=table, random_state=0)
    with pytest.raises(InputError, match="must be a number"):
        effect_kept(arms, Target.of("ill", AT_B, kind="class"), folds, SITES, random_state=0)
