"""Numbers, evidence tables and CSV files, each in words a reader can use."""

import math

import numpy as np
import pytest

from kotowari.core import Check, Evidence, Table
from kotowari.core.files import write_text
from kotowari.report.numerals import MINUS, TIMES, decimals_for, duration, fixed, p_value, significant, size
from kotowari.report.reasons import MAX_PARTS, all_checks, reasons
from kotowari.report.tables import MAX_ROWS, is_plain_name, read_table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (math.nan, "—"),
        (math.inf, "∞"),
        (0.0, "0"),
        (90, "90"),
        (0.5, "0.5"),
        (-0.02, f"{MINUS}0.02"),
        (1234.56, "1235"),
        (2.5e6, f"2.5 {TIMES} 10⁶"),
        (-4e-7, f"{MINUS}4 {TIMES} 10⁻⁷"),
    ],
)
def test_numbers_have_three_significant_digits_at_most(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("p", "refits", "text"),
    [
        (1 / 21, 20, "0.048 (20 refits)"),
        (0.005, 1999, "0.0050 (1,999 refits)"),
        (1.0, None, "1.00"),
        (0.0, None, "0.00"),
        (None, 20, "—"),
        (math.nan, None, "—"),
    ],
)
def test_p_has_two_significant_digits_and_its_refits(p, refits, text):
    assert p_value(p, refits) == text


def test_a_rounded_zero_has_no_sign():
    assert fixed(-0.0001, 2) == "0.00"
    assert fixed(None, 2) == "—"


def test_decimals_follow_the_interval_first_and_the_size_second():
    assert decimals_for([0.19], [0.84]) == 2
    assert decimals_for([], [0.84]) == 3
    assert decimals_for([], [123.4]) == 0
    assert decimals_for([], []) == 0


def test_times_and_sizes_use_the_units_of_daily_life():
    assert [duration(s) for s in (None, 59.94, 60, 3600)] == ["—", "59.9 s", "1 min 0 s", "1 h 0 min"]
    assert [size(n) for n in (999, 1000, 4_999_999)] == ["999 B", "1 kB", "5.0 MB"]


def evidence(n=40, target="MSI", **more):
    parts = {"name": np.array([f"g{i}" for i in range(n)]), "score": np.linspace(2, -1, n)}
    return Evidence(target, parts | more.pop("parts", {}), "gradient", **more)


def test_the_first_parts_are_shown_and_all_are_counted():
    (view,) = reasons({"genes": evidence()})
    assert (len(view.rows), view.total, view.file) == (MAX_PARTS, 40, "evidence/genes.npz")
    assert [view.rows[0].name, view.rows[0].score, view.rows[0].bar] == ["g0", "2.00", 100.0]


def test_equal_refits_are_said_once_and_unequal_ones_in_each_row():
    n = 3
    same = evidence(n, parts={"p": np.full(n, 0.5), "n_null": np.full(n, 20)})
    other = evidence(n, parts={"p": np.full(n, 0.5), "n_null": np.array([20, 20, 199])})
    assert reasons({"a": same})[0].headers == ("p (20 refits)",)
    assert reasons({"a": other})[0].headers == ("p", "refits")
    assert [row.cells for row in reasons({"a": other})[0].rows] == [("0.50", "20"), ("0.50", "20"), ("0.50", "199")]
    assert reasons({"a": other})[0].refits == (20, 199)


def test_signs_are_glyphs_and_parts_against_are_marked():
    (view,) = reasons({"a": evidence(3, parts={"sign": np.array([1, -1, 0])})})
    assert [row.cells[0] for row in view.rows] == ["+", MINUS, "0"]
    assert [row.is_against for row in view.rows] == [False, True, True]


def test_scores_that_are_not_numbers_or_absent_do_not_break_the_table():
    (view,) = reasons({"a": evidence(2, parts={"score": np.array([1.0, np.nan]), "q": np.array([np.nan, 0.2])})})
    assert [(row.score, row.cells) for row in view.rows] == [("1.00", ("—",)), ("—", ("0.20",))]
    assert reasons({"a": evidence(0)})[0].rows == ()


def test_evidence_for_one_target_is_told_apart_by_name():
    assert [view.title for view in reasons({"genes": evidence(), "class_map": evidence()})] == [
        "MSI: genes",
        "MSI: class map",
    ]
    assert [view.title for view in reasons({"genes": evidence()})] == ["MSI"]


def test_failed_tests_come_first():
    passed, failed = Check.at_most("a", 0, 1, "well"), Check.at_most("b", 2, 1, "badly")
    views = reasons({"x": evidence(checks=(Check.not_applicable("c", "why"), passed)), "y": evidence(checks=(failed,))})
    assert [check.name for check in all_checks(views)] == ["b", "a", "c"]
    assert [len(view.failed) for view in views] == [0, 1]


def table(tmp_path, text, rows=15):
    write_text(tmp_path / "t.csv", text)
    return read_table(Table("t.csv", "title", "caption", "result", rows), tmp_path)


def test_a_table_shows_its_first_rows_and_counts_all(tmp_path):
    view = table(tmp_path, "gene,score\n" + "A,1.5\n" * 40, rows=8)
    assert (len(view.rows), view.total) == (8, 40)
    assert len(table(tmp_path, "gene,score\n" + "A,1.5\n" * 900, rows=900).rows) == MAX_ROWS


def test_columns_of_numbers_are_lined_up_and_words_are_left_alone(tmp_path):
    view = table(
        tmp_path, "gene_name,z,entrez,p_value,mixed\nA,-1.256,4292,0.0000032,7\nB,,4293,0.31,e\nC,0.001,,nan,\n"
    )
    assert view.columns == (("gene name", False), ("z", True), ("entrez", True), ("p value", True), ("mixed", False))
    assert view.rows == (
        ("A", f"{MINUS}1.26", "4292", f"3.2 {TIMES} 10⁻⁶", "7"),
        ("B", "—", "4293", "0.31", "e"),
        ("C", "0.001", "—", "—", "—"),
    )


def test_ragged_blank_and_quoted_lines_keep_their_columns(tmp_path):
    view = table(tmp_path, 'a,b\n"x, ""y""\nz"\n\n1,2,3\n')
    assert view.rows == (('x, "y"\nz', "—"), ("1", "2"))


def test_an_empty_table_is_empty_and_not_missing(tmp_path):
    assert (table(tmp_path, "a,b\n").total, table(tmp_path, "").rows, table(tmp_path, "").missing) == (0, (), "")


def test_a_very_long_cell_is_cut(tmp_path):
    assert table(tmp_path, f"a\n{'x' * 1000}\n").rows[0][0].endswith(" …")


@pytest.mark.parametrize("name", ["../a.csv", "/etc/passwd", "a\\b", "..", "", "a\0"])
def test_names_that_lead_elsewhere_are_not_plain(name):
    assert not is_plain_name(name)
    assert is_plain_name("genes 1.csv")
