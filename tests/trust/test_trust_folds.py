"""Folds keep groups whole, classes even, and refuse designs that cannot be split."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kotowari.core import DesignError, InputError, ShapeError
from kotowari.trust import Fold, duplicated_rows, grouped_folds, hold_out, splits_from_json, splits_to_json

PATIENTS = np.repeat(np.arange(30), 2)
STATUS = np.where(PATIENTS < 10, "MSI", "MSS")


def straddling(fold, groups):
    return set(groups[fold.train]) & set(groups[fold.test])


def test_every_row_is_tested_once_a_repeat():
    folds = grouped_folds(STATUS, groups=PATIENTS, n_splits=5, n_repeats=3, random_state=0)
    assert len(folds) == 15
    for repeat in range(3):
        tested = np.concatenate([fold.test for fold in folds[5 * repeat : 5 * repeat + 5]])
        np.testing.assert_array_equal(np.sort(tested), np.arange(60))
    for fold in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.train, fold.test])), np.arange(60))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n_splits=st.integers(2, 5), n_classes=st.integers(2, 4))
def test_a_group_never_straddles_and_every_class_is_on_both_sides(seed, n_splits, n_classes):
    rng = np.random.default_rng(seed)
    class_of_group = np.concatenate([np.repeat(np.arange(n_classes), n_splits), rng.integers(0, n_classes, 12)])
    groups = np.repeat(np.arange(len(class_of_group)), rng.integers(1, 4, len(class_of_group)))
    y = class_of_group[groups]
    y = np.append(y, y[groups == 0])  # two samples at least in the class of group 0
    groups = np.append(groups, groups[groups == 0])
    for fold in grouped_folds(y, groups=groups, n_splits=n_splits, random_state=seed):
        assert not straddling(fold, groups)
        assert set(y[fold.train]) == set(y[fold.test]) == set(range(n_classes))


def test_a_straddling_group_would_be_seen():
    wrong = Fold(np.arange(0, 60, 2), np.arange(1, 60, 2))
    assert straddling(wrong, PATIENTS) == set(range(30))


@pytest.mark.parametrize("n_splits", [2, 3, 5, 7])
def test_class_counts_of_ungrouped_folds_differ_by_at_most_one(n_splits):
    y = np.repeat(["a", "b", "c"], [23, 11, 8])
    folds = grouped_folds(y, n_splits=n_splits, random_state=3)
    counts = np.array([[np.sum(y[fold.test] == label) for label in "abc"] for fold in folds])
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(1)) <= 1


def test_tumour_normal_pairs_stay_together_with_both_classes_everywhere():
    patients = np.concatenate([np.arange(40), np.arange(6)])
    y = np.repeat(["tumour", "normal"], [40, 6])
    for seed in range(20):
        for fold in grouped_folds(y, groups=patients, n_splits=5, random_state=seed):
            assert not straddling(fold, patients)
            assert set(y[fold.test]) == set(y[fold.train]) == {"tumour", "normal"}


def test_equal_seeds_give_equal_folds_and_other_seeds_others():
    one, same, other = (splits_to_json(grouped_folds(STATUS, groups=PATIENTS, random_state=s)) for s in (1, 1, 2))
    assert one == same
    assert one != other


def test_more_repeats_leave_the_first_as_they_were():
    few, many = (grouped_folds(STATUS, n_repeats=n, random_state=4) for n in (1, 3))
    for a, b in zip(few, many[:5], strict=True):
        np.testing.assert_array_equal(a.test, b.test)


def test_continuous_targets_spread_over_the_folds():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 2)
    y = np.sort(rng.normal(size=100))
    folds = grouped_folds(y, groups=groups, n_splits=5, random_state=0)
    means = [y[fold.test].mean() for fold in folds]
    assert np.ptp(means) < 0.3 * np.ptp([y[20 * k : 20 * k + 20].mean() for k in range(5)])
    assert not any(straddling(fold, groups) for fold in folds)


@pytest.mark.parametrize(
    ("y", "groups", "n_splits", "words"),
    [
        (["a"] * 9 + ["b"], None, 2, "class 'b' has one sample"),
        (["a"] * 10, None, 2, "class a: there is nothing to tell apart"),
        (["a", "b", "a"], None, 5, "3 samples cannot fill 5 folds"),
        (["a", "b"] * 6, [0, 0, 0, 1, 1, 1] * 2, 3, "2 groups cannot fill 3 folds"),
        (["a"] * 9 + ["b"] * 3, None, 5, "class 'b' has 3 groups, fewer than the 5 folds. Lower the folds to 3"),
        (["a"] * 9 + ["b"] * 3, [*range(9), 9, 9, 9], 5, "class 'b' comes from one group only"),
        ([0.5, 1.5, 2.5], None, 4, "3 samples cannot fill 4 folds"),
    ],
)
def test_impossible_designs_are_refused_by_name(y, groups, n_splits, words):
    with pytest.raises(DesignError, match=words):
        grouped_folds(y, groups=groups, n_splits=n_splits, random_state=0)


def test_missing_targets_and_groups_are_refused_with_their_row():
    with pytest.raises(InputError, match="target of row 1 is missing"):
        grouped_folds(np.array(["a", None, "b"], dtype=object), n_splits=2, random_state=0)
    with pytest.raises(InputError, match="group of row 2 is missing"):
        grouped_folds(["a", "b", "a"], groups=[0.0, 1.0, np.nan], n_splits=2, random_state=0)


@pytest.mark.parametrize("fraction", [0.2, 0.3, 0.5])
def test_hold_out_keeps_the_fraction_of_every_class(fraction):
    y = np.repeat(["a", "b"], [60, 20])
    fold = hold_out(y, fraction=fraction, random_state=0)
    for label, n in (("a", 60), ("b", 20)):
        assert np.sum(y[fold.test] == label) == round(fraction * n)


def test_hold_out_tears_no_group_and_leaves_every_class_on_both_sides():
    y = np.repeat(["a", "b"], [24, 4])
    groups = np.concatenate([np.repeat(np.arange(6), 4), [10, 10, 11, 11]])
    for seed in range(20):
        fold = hold_out(y, groups=groups, fraction=0.1, random_state=seed)
        assert not straddling(fold, groups)
        assert set(y[fold.train]) == set(y[fold.test]) == {"a", "b"}


def test_duplicated_rows_of_different_groups_are_found():
    X = np.random.default_rng(0).normal(size=(6, 4))
    X[4], X[1, 2] = X[1], 0.0
    X[4, 2] = -0.0
    assert duplicated_rows(X) == [(1, 4)]
    assert duplicated_rows(X, [0, 1, 2, 3, 1, 5]) == []
    assert duplicated_rows(X + np.arange(6)[:, None]) == []


def test_folds_come_back_from_json_and_edited_ones_are_refused():
    folds = grouped_folds(STATUS, groups=PATIENTS, random_state=0)
    record = json.loads(json.dumps(splits_to_json(folds)))
    for before, after in zip(folds, splits_from_json(record), strict=True):
        np.testing.assert_array_equal(before.train, after.train)
        np.testing.assert_array_equal(before.test, after.test)
    record["folds"][0]["test"].append(record["folds"][0]["train"].pop())
    with pytest.raises(InputError, match="do not fit their sha256"):
        splits_from_json(record)


def test_mixed_groups_that_cannot_put_every_class_everywhere_are_refused():
    y, groups = ["a", "b", "a", "c", "b", "c"], [0, 0, 1, 1, 2, 2]
    with pytest.raises(DesignError, match=r"would lack .* Use fewer folds, or another seed"):
        grouped_folds(y, groups=groups, n_splits=2, random_state=0)
    with pytest.raises(DesignError, match="the hold-out would lack"):
        hold_out(y, groups=groups, fraction=0.3, random_state=0)


def test_impossible_options_and_shapes_are_refused():
    with pytest.raises(InputError, match="n_splits must be 2 or more"):
        grouped_folds(STATUS, n_splits=1, random_state=0)
    with pytest.raises(InputError, match="fraction must lie between 0 and 1"):
        hold_out(STATUS, fraction=1.0, random_state=0)
    with pytest.raises(ShapeError, match="y must have shape"):
        grouped_folds(np.zeros((4, 2)), random_state=0)
    with pytest.raises(ShapeError, match="groups must have shape"):
        grouped_folds(STATUS, groups=[1, 2], random_state=0)


def test_whole_numbers_are_classes_unless_called_continuous():
    ages = np.array([30.0, 41.0, 52.0, 63.0, 74.0, 35.0])
    with pytest.raises(DesignError, match=r"class '30\.0' has one sample"):
        grouped_folds(ages, n_splits=2, random_state=0)
    assert len(grouped_folds(ages, n_splits=2, continuous=True, random_state=0)) == 2
