"""Evidence comes back as it went, and a figure that is not a number passes no test."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.evidence import PART_COLUMNS, Check, Evidence, Frame, Verdict
from kotowari.core.files import read_json

FRAME = Frame(("height", "width"), ("pixel", "pixel"), (2, 3), ((1.0, 0.0, 0.5), (0.0, 2.0, 0.0), (0.0, 0.0, 1.0)))


def gene_evidence(**changes):
    parts = {
        "name": np.array(["TP53", "KRAS", "APC"], dtype=object),
        "score": np.array([0.25, 1.5, np.nan]),
        "sign": np.array([1, -1, 1]),
        "stability": np.array([0.5, 1.0, 0.0], dtype=np.float32),
        "p": np.array([0.05, 0.01, 1.0]),
        "q": np.array([0.1, 0.03, 1.0]),
        "group": np.array(["a", "b", "b"]),
        "n_null": np.array([20, 20, 20]),
    }
    facts = {
        "target": "MSI",
        "parts": parts,
        "method": "class activation map",
        "map": np.arange(6, dtype=np.float32).reshape(2, 3),
        "frame": FRAME,
        "checks": (
            Check.at_most("completeness", 1e-4, 1e-3, "The scores add up."),
            Check.at_least("stability", 0.3, 0.75, "The genes change from draw to draw."),
            Check.not_applicable("planted truth", "No truth was planted."),
        ),
        "reference": "the mean training image",
        "derived_from": ("expression",),
    }
    return Evidence(**facts | changes)


def assert_equal_evidence(ours, theirs):
    assert set(ours.parts) == set(theirs.parts)
    for name, column in ours.parts.items():
        np.testing.assert_array_equal(column.astype(str) if column.dtype == object else column, theirs.parts[name])
        assert column.dtype == object or column.dtype == theirs.parts[name].dtype
    np.testing.assert_array_equal(ours.map, theirs.map)
    for name in ("target", "method", "frame", "checks", "reference", "derived_from"):
        assert getattr(ours, name) == getattr(theirs, name), name


def assert_what_is_not_a_number_fails(judge):
    assert judge("gap", math.nan, 0.5, "").verdict is Verdict.FAIL, "NaN passed"
    assert judge("gap", 0.5, math.nan, "").verdict is Verdict.FAIL, "a bound that is NaN was met"


@pytest.mark.parametrize("changes", [{}, {"map": None, "frame": None}, {"checks": ()}], ids=["all", "bare", "untested"])
def test_evidence_comes_back_as_it_went(tmp_path, changes):
    evidence = gene_evidence(**changes)
    evidence.save(tmp_path / "evidence", "genes")
    assert_equal_evidence(evidence, Evidence.load(tmp_path / "evidence", "genes"))


def test_a_score_changed_on_the_way_is_caught(tmp_path):
    evidence = gene_evidence()
    evidence.save(tmp_path, "genes")
    found = Evidence.load(tmp_path, "genes")
    found.parts["score"][0] += np.finfo(np.float64).eps
    with pytest.raises(AssertionError):
        assert_equal_evidence(evidence, found)


@settings(max_examples=25)
@given(hnp.arrays(st.sampled_from([np.float32, np.float64, np.int64]), st.integers(0, 6)))
def test_scores_of_any_kind_come_back_bit_for_bit(tmp_path_factory, scores):
    folder = tmp_path_factory.getbasetemp() / "scores"
    names = np.array([f"gene {i}" for i in range(len(scores))], dtype=str)
    Evidence("y", {"name": names, "score": scores}, "given").save(folder, "genes")
    assert Evidence.load(folder, "genes").parts["score"].tobytes() == scores.tobytes()


def test_a_figure_that_is_not_finite_is_saved_as_none(tmp_path):
    checks = (Check.at_most("gap", np.float32("nan"), 0.5, ""), Check.at_least("rank", 1.0, -math.inf, ""))
    gene_evidence(checks=checks).save(tmp_path, "genes")
    gap, rank = Evidence.load(tmp_path, "genes").checks
    assert (gap.value, gap.threshold, gap.verdict) == (None, 0.5, Verdict.FAIL)
    assert (rank.value, rank.threshold, rank.verdict) == (1.0, None, Verdict.PASS)


def test_no_file_of_evidence_holds_a_pickle(tmp_path):
    gene_evidence().save(tmp_path, "genes")
    with np.load(tmp_path / "genes.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)
    assert read_json(tmp_path / "genes.json")["schema"] == 1


def test_a_pickle_put_in_the_place_of_the_arrays_is_refused(tmp_path):
    gene_evidence().save(tmp_path, "genes")
    names = np.array(["TP53", None], dtype=object)
    np.savez(tmp_path / "genes.npz", part_name=names, part_score=np.zeros(2))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Evidence.load(tmp_path, "genes")


def test_evidence_that_is_not_there_is_told_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"genes\.json: cannot be read"):
        Evidence.load(tmp_path, "genes")


def test_the_table_has_the_highest_score_first_and_the_columns_in_their_order():
    table = gene_evidence().to_frame()
    assert list(table.columns) == list(PART_COLUMNS)
    assert table["name"].tolist() == ["KRAS", "TP53", "APC"]
    assert table.index.equals(pd.RangeIndex(3))


def test_equal_scores_keep_their_order():
    evidence = Evidence("y", {"score": np.zeros(3), "name": np.array(["c", "a", "b"])}, "given")
    assert evidence.to_frame()["name"].tolist() == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"name": ["a"]}, r"missing \['score'\], unknown \[\]"),
        ({"name": ["a"], "score": [1.0], "weight": [1.0]}, r"unknown \['weight'\]"),
        ({"name": ["a", "b"], "score": [1.0]}, r"differ in length: \{'name': 2, 'score': 1\}"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts, sentence):
    with pytest.raises(InputError, match=f"Evidence for MSI: .*{sentence}"):
        gene_evidence(parts={name: np.array(column) for name, column in parts.items()})


def test_a_map_needs_a_frame_of_its_shape():
    with pytest.raises(ShapeError, match=r"Evidence: map must have shape \(a frame\), got \(2, 3\)"):
        gene_evidence(frame=None)
    with pytest.raises(ShapeError, match=r"must have shape \(3, 2\), got \(2, 3\)"):
        gene_evidence(frame=dataclasses.replace(FRAME, shape=(3, 2)))


def test_a_check_passes_up_to_its_bound():
    above = math.nextafter(0.5, 1.0)
    below = math.nextafter(0.5, 0.0)
    assert [Check.at_most("gap", x, 0.5, "").verdict for x in (below, 0.5, above)] == ["pass", "pass", "fail"]
    assert [Check.at_least("auc", x, 0.5, "").verdict for x in (below, 0.5, above)] == ["fail", "pass", "pass"]


@pytest.mark.parametrize("judge", [Check.at_most, Check.at_least], ids=["at most", "at least"])
def test_what_is_not_a_number_fails(judge):
    assert_what_is_not_a_number_fails(judge)


def test_a_judge_that_asks_the_other_way_round_is_caught():
    def judge(name, value, threshold, sentence):
        return Check(name, value, threshold, Verdict.FAIL if value > threshold else Verdict.PASS, sentence)

    with pytest.raises(AssertionError, match="NaN passed"):
        assert_what_is_not_a_number_fails(judge)


def test_a_test_that_could_not_be_made_has_neither_value_nor_bound():
    check = Check.not_applicable("planted truth", "No truth was planted.")
    assert (check.value, check.threshold, check.verdict) == (None, None, Verdict.NOT_APPLICABLE)
