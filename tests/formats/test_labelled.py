"""Annotations are met by name, and their columns become classes, numbers and owners, or are refused."""

import numpy as np
import pandas as pd
import pytest

from kotowari.core.errors import DesignError, InputError
from kotowari.formats.labelled import (
    LabelledSamples,
    class_labels,
    constant_features,
    left_out,
    numbers_of,
    owners_of,
    read_labelled,
    read_values,
    require_column,
    require_rows_for,
    task_of,
)
from kotowari.formats.tables import write_table

X = pd.DataFrame({"A": [1.0, 2, 3], "B": [5.0, 5, np.nan], "C": [np.nan] * 3}, index=["s0", "s1", "s2"])
NOTES = pd.DataFrame({"patient": ["p0", "p1", "p2"], "dose": [1.5, np.inf, 2]}, index=["s2", "s1", "s0"])


def test_rows_are_met_by_name_and_one_without_annotations_is_refused():
    assert list(require_rows_for(NOTES, X, where="a.csv")["patient"]) == ["p2", "p1", "p0"]
    with pytest.raises(InputError, match=r"a\.csv: has no row for 1 of 3 samples of the table \(s1\)"):
        require_rows_for(NOTES.drop("s1"), X, where="a.csv")
    with pytest.raises(InputError, match=r"a\.csv: its samples .* are the columns .* Set data\.orientation to genes"):
        require_rows_for(NOTES, X.T, where="a.csv")


def test_columns_and_owners_are_found_or_named():
    assert require_column(NOTES, "dose", key="k", where="a.csv").name == "dose"
    with pytest.raises(InputError, match=r"^k: a\.csv has no column 'age'. There are: patient, dose. Do so\.$"):
        require_column(NOTES, "age", key="k", where="a.csv", advice="Do so.")
    assert list(owners_of(NOTES, "patient", where="a.csv")) == ["p0", "p1", "p2"]
    with pytest.raises(InputError, match=r"patient is empty for s1\. Every sample needs an owner"):
        owners_of(NOTES.replace("p1", np.nan), "patient", where="a.csv")


@pytest.mark.parametrize(
    ("values", "asked", "task"),
    [
        (["a", "b"], "auto", "classification"),
        ([0, 1], "auto", "classification"),
        ([0.5, 1], "auto", "regression"),
        (range(20), "auto", "classification"),
        (range(21), "auto", "regression"),
        ([0, 1], "regression", "regression"),
        ([0.5, 1], "classification", "classification"),
    ],
)
def test_the_task_follows_from_the_labels_unless_asked_for(values, asked, task):
    assert task_of(pd.Series(values), asked) == task


def test_classes_are_text_and_numbered_in_the_order_of_their_names():
    assert list(class_labels(pd.Series([1.0, 0.0]))) == ["1", "0"]
    samples = LabelledSamples()
    samples.X, samples.y, samples.task = X, np.array(["b", "a", "b"]), "classification"
    assert samples.classes == ("a", "b")
    assert list(samples.codes) == [1, 0, 1]
    assert samples.genes == ["A", "B", "C"]
    values = LabelledSamples()
    values.X, values.y, values.task = X, np.array([0.5, 1, 2]), "regression"
    assert (values.classes, list(values.codes)) == ((), [0, 0, 0])


def test_numbers_are_finite_and_differ_where_they_must():
    said = {"where": "a.csv", "word": "dose", "remedy": "Mend it."}
    with pytest.raises(InputError, match=r"a\.csv: sample 's1' has the dose 'inf', which is not a number. Mend it\.$"):
        numbers_of(NOTES["dose"], **said)
    same = pd.Series([2, 2], name="dose")
    np.testing.assert_array_equal(numbers_of(same, **said), [2.0, 2.0])
    with pytest.raises(DesignError, match="dose has one value in all samples; no use"):
        numbers_of(same, **said, useless="no use")


def test_what_is_left_out_is_counted():
    assert left_out(np.array([True, False, True]), "dose") == ("1 of 3 samples have no dose and were left out.",)
    assert left_out(np.array([True]), "dose") == ()
    assert constant_features(X) == ["B", "C"]


def test_values_and_annotations_come_from_two_files(tmp_path):
    write_table(tmp_path / "x.csv", X[["A"]].T)
    write_table(tmp_path / "a.csv", NOTES[["patient"]])
    values, found = read_labelled(tmp_path / "x.csv", tmp_path / "a.csv", orientation="genes", key="k")
    pd.testing.assert_frame_equal(values, read_values(tmp_path / "x.csv", orientation="genes"))
    assert (list(values.index), list(found.index)) == (["s0", "s1", "s2"], ["s2", "s1", "s0"])
    with pytest.raises(InputError, match=r"x\.csv: k names no table of annotations"):
        read_labelled(tmp_path / "x.csv", None, key="k")
