"""Tables come back as they were written, and every fault is named by row and column."""

import gzip
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core.errors import InputError, RunFolderError
from kotowari.formats import read_annotations, read_table, require_numeric_table, write_table

SUFFIXES = ["csv", "tsv", "txt", "csv.gz", "tsv.gz", "txt.gz", "parquet"]
GOOD = "sample,TP53,KRAS\nS1,1.5,2\nS2,3,4\nS3,5,6\n"

names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
numbers = st.floats(allow_infinity=False)


def written(tmp_path, text, name="expression.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def frame():
    values = np.random.default_rng(0).normal(size=(5, 3)) * [1e-300, 1.0, 1e300]
    values[1, 2] = np.nan
    return pd.DataFrame(values, index=["S 1", "S,2", 'S"3', "S\t4", "五"], columns=["TP53", "HLA-A", "g,3"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_comes_back_to_the_last_bit(frame, suffix, tmp_path):
    path = tmp_path / f"expression.{suffix}"
    write_table(path, frame)
    pd.testing.assert_frame_equal(read_table(path), frame, check_exact=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_of_genes_is_turned_round(frame, suffix, tmp_path):
    path = tmp_path / f"expression.{suffix}"
    write_table(path, frame.T)
    pd.testing.assert_frame_equal(read_table(path, orientation="genes"), frame, check_exact=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_an_index_rows_are_named_by_their_number(frame, suffix, tmp_path):
    path = tmp_path / f"expression.{suffix}"
    write_table(path, frame, index=False)
    back = read_table(path, index=False)
    assert list(back.index) == ["0", "1", "2", "3", "4"]
    np.testing.assert_array_equal(back, frame)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_table_gives_the_same_bytes(frame, suffix, tmp_path):
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    write_table(first, frame)
    write_table(second, frame)
    assert first.read_bytes() == second.read_bytes()


@given(
    rows=st.lists(names, min_size=1, max_size=4, unique=True),
    columns=st.lists(names, min_size=1, max_size=4, unique=True),
    data=st.data(),
)
def test_any_names_and_numbers_come_back(rows, columns, data, tmp_path_factory):
    cells = st.lists(numbers, min_size=len(columns), max_size=len(columns))
    values = data.draw(st.lists(cells, min_size=len(rows), max_size=len(rows)))
    frame = pd.DataFrame(np.array(values, dtype=float), index=rows, columns=columns)
    path = tmp_path_factory.getbasetemp() / "any.csv"
    write_table(path, frame)
    pd.testing.assert_frame_equal(read_table(path), frame, check_exact=True)


def test_byte_order_mark_crlf_spaces_and_blank_lines_are_passed_over(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbfsample, TP53 ,KRAS\r\n\r\nS1 , 1.5 ,2\r\nS2,3,4\r\n\r\n")
    pd.testing.assert_frame_equal(
        read_table(path), pd.DataFrame([[1.5, 2.0], [3.0, 4.0]], index=["S1", "S2"], columns=["TP53", "KRAS"])
    )


def test_a_header_of_r_is_one_name_short(tmp_path):
    path = written(tmp_path, "TP53\tKRAS\nS1\t1\t2\nS2\t3\t4\n", "expression.tsv")
    pd.testing.assert_frame_equal(
        read_table(path), pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], index=["S1", "S2"], columns=["TP53", "KRAS"])
    )


@pytest.mark.parametrize("word", ["", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", " "])
def test_words_for_missing_are_read_as_missing(word, tmp_path):
    table = read_table(written(tmp_path, f"sample,TP53,KRAS\nS1,{word},2\n"))
    assert np.isnan(table.loc["S1", "TP53"])
    assert table.loc["S1", "KRAS"] == 2.0


FAULTS = {
    "text in a cell": (
        "sample,TP53,KRAS\nS1,1,2\nS2,1,2\n\nS3,abc,2\n",
        r"expression\.csv: row 'S3' \(line 5\), column 'TP53': 'abc' is not a number\.",
    ),
    "text beside a missing value": ("sample,TP53,KRAS\nS1,NA,low\n", r"row 'S1' \(line 2\), column 'KRAS': 'low'"),
    "an underscore in a number": ("sample,TP53\nS1,1_000\n", r"column 'TP53': '1_000' is not a number"),
    "an underscore beside text": ("sample,TP53,KRAS\nS1,1_000,x\n", r"column 'TP53': '1_000' is not a number"),
    "a decimal comma": ('sample,TP53\nS1,"1,5"\n', r"'1,5' is not a number\. Write a number with a decimal point"),
    "sample names twice": ("sample,TP53\nS1,1\nS2,2\nS1,3\n", r"1 sample names stand more than once \(S1\)"),
    "feature names twice": ("sample,TP53,KRAS,TP53\nS1,1,2,3\n", r"1 feature names stand more than once \(TP53\)"),
    "a feature without a name": ("sample,TP53,,KRAS\nS1,1,2,3\n", r"1 feature names are empty \(number 2, counted"),
    "a row without a name": ("sample,TP53\nS1,1\n,2\n", r"line 3 has no row name in its first cell"),
    "a short row": (
        "sample,TP53,KRAS\nS1,1,2\nS2,1\n",
        r"row 'S2' \(line 3\) has 2 cells where the header has 3",
    ),
    "a long row": (
        "sample,TP53,KRAS\nS1,1,2\nS2,1,2,3\n",
        r"row 'S2' \(line 3\) has 4 cells where the header has 3",
    ),
    "a comma at the end of every row": ("sample,TP53\nS1,1,\nS2,2,\n", r"row 'S1' \(line 2\) has 3 cells"),
    "an open quotation mark": ('sample,TP53\nS1,1\n"S2,' + "1\n" * 70_000, r"cannot be parted into cells"),
    "an empty file": ("", r"expression\.csv: is empty"),
    "blank lines alone": ("\n\n\n", r"expression\.csv: is empty"),
    "a header only": ("sample,TP53\n", r"has a header but no rows"),
    "one column": ("sample;TP53\nS1;1\n", r"has one column only\. .* by commas"),
    "another encoding": ("sample,TP53\nJosé,1\n".encode("latin-1"), r"is not UTF-8 text \(it holds the byte 0xe9"),
    "UTF-16": (GOOD.encode("utf-16"), r"is not UTF-8 text \(it holds the byte 0xff"),
}


@pytest.mark.parametrize(("content", "sentence"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_a_text_table_is_named(content, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        read_table(written(tmp_path, content))


@pytest.mark.parametrize("name", [name for name in FAULTS if "name" in name])
def test_names_are_called_by_what_they_are_in_a_table_of_genes(name, tmp_path):
    content, sentence = FAULTS[name]
    swapped = sentence.replace("feature", "FEATURE").replace("sample", "feature").replace("FEATURE", "sample")
    with pytest.raises(InputError, match=swapped):
        read_table(written(tmp_path, content), orientation="genes")


def test_a_good_table_raises_nothing(tmp_path):
    assert read_table(written(tmp_path, GOOD)).shape == (3, 2)


def test_a_file_that_is_not_there_a_folder_and_an_unknown_suffix_are_refused(tmp_path):
    for name in ("none.csv", "none.csv.gz", "none.parquet"):
        with pytest.raises(InputError, match=r"none.*: (cannot be read \(No such file|is not there)"):
            read_table(tmp_path / name)
    for name in ("folder.csv", "folder.parquet"):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match=r"folder.*: (cannot be read \(Is a directory|is a folder)"):
            read_table(tmp_path / name)
    for verb in (read_table, lambda path: write_table(path, pd.DataFrame({"a": [1]}))):
        with pytest.raises(InputError, match=r"table\.xlsx: is no table .* csv, tsv or txt"):
            verb(tmp_path / "table.xlsx")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = written(tmp_path, GOOD)
    path.chmod(0)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)"):
        read_table(path)


@pytest.mark.parametrize(
    "content", [GOOD.encode(), gzip.compress(GOOD.encode(), mtime=0)[:-12], b""], ids=["plain", "cut", "empty"]
)
def test_a_damaged_gzip_file_is_refused(content, tmp_path):
    with pytest.raises(InputError, match=r"expression\.csv\.gz: is (not a whole gzip file|empty)"):
        read_table(written(tmp_path, content, "expression.csv.gz"))


def test_a_damaged_parquet_file_is_refused(frame, tmp_path):
    path = tmp_path / "expression.parquet"
    write_table(path, frame)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"expression\.parquet: is not a whole parquet file"):
        read_table(path)


def test_parquet_names_row_and_column_of_text(tmp_path):
    path = tmp_path / "expression.parquet"
    frame = pd.DataFrame({"TP53": [1.0, 2.0], "KRAS": [None, "high"]}, index=["S1", "S2"])
    write_table(path, frame)
    with pytest.raises(InputError, match=r"row 'S2' \(row 2\), column 'KRAS': 'high' is not a number; .* string"):
        read_table(path)


def test_parquet_takes_the_stored_index_else_the_first_column(tmp_path):
    path = tmp_path / "expression.parquet"
    frame = pd.DataFrame({"TP53": [1, None], "up": [True, False], "few": [3, 4]}, index=["S1", "S2"])
    write_table(path, frame)
    stored = read_table(path)
    write_table(path, frame.reset_index(), index=False)
    pd.testing.assert_frame_equal(read_table(path), stored)
    np.testing.assert_array_equal(stored, [[1, 1, 3], [np.nan, 0, 4]])


def test_parquet_refuses_names_that_are_missing_or_stand_twice(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "expression.parquet"
    parquet.write_table(pa.table([["S1", "S2"], [1, 2], [3, 4]], names=["sample", "TP53", "TP53"]), path)
    with pytest.raises(InputError, match=r"1 column names stand more than once \(TP53\)"):
        read_table(path)
    parquet.write_table(pa.table([["S1", None], [1, 2]], names=["sample", "TP53"]), path)
    with pytest.raises(InputError, match=r"row 2 \(counted from 1\) has no name"):
        read_table(path)
    parquet.write_table(pa.table([pa.array([], pa.string()), pa.array([], pa.int8())], names=["sample", "TP53"]), path)
    with pytest.raises(InputError, match=r"has 0 rows and 1 columns beside the row names"):
        read_table(path)


def test_a_numeric_table_passes_and_its_faults_are_named():
    good = pd.DataFrame({"TP53": [1.0, 2.0, 3.0], "KRAS": [1, 2, 3]}, index=["S1", "S2", "S3"])
    require_numeric_table(good, where="expression")
    holed = good.astype(float)
    holed.loc["S3", "TP53"] = holed.loc["S2", "KRAS"] = np.nan
    with pytest.raises(InputError, match=r"^expression: 2 values are missing, first in row 'S2', column 'KRAS'\."):
        require_numeric_table(holed, where="expression")
    require_numeric_table(holed, where="expression", allow_missing=True)
    holed.loc["S2", "KRAS"] = -np.inf
    with pytest.raises(InputError, match=r"^expression: 1 value is infinite, first in row 'S2', column 'KRAS'\."):
        require_numeric_table(holed, where="expression", allow_missing=True)
    with pytest.raises(InputError, match=r"row 'S2', column 'KRAS': 'x' is not a number"):
        require_numeric_table(good.assign(KRAS=[1, "x", 3]), where="expression")
    nullable = good.assign(KRAS=pd.array([1, None, 3], dtype="Int64"))
    with pytest.raises(InputError, match=r"1 value is missing, first in row 'S2', column 'KRAS'"):
        require_numeric_table(nullable, where="expression")


def test_annotations_keep_what_a_number_would_lose(tmp_path):
    text = "id,age,stage,code,weight,long,none\n1,35,ii,007,1.5,12345678901234567,\n2,90,NA,010,,98765432109876543,\n"
    table = read_annotations(written(tmp_path, text))
    assert list(table.index) == ["1", "2"]
    assert table["age"].tolist() == [35, 90]
    assert table["age"].dtype == np.int64
    assert table["code"].tolist() == ["007", "010"]
    assert table["long"].tolist() == ["12345678901234567", "98765432109876543"]
    assert table["stage"].isna().tolist() == [False, True]
    np.testing.assert_array_equal(table["weight"], [1.5, np.nan])
    assert table["none"].isna().all()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_annotations_come_back(suffix, tmp_path):
    frame = pd.DataFrame({"class": ["a", "b"], "age": [3, 4], "dose": [0.1, np.nan]}, index=["S1", "S2"])
    write_table(tmp_path / f"labels.{suffix}", frame)
    pd.testing.assert_frame_equal(read_annotations(tmp_path / f"labels.{suffix}"), frame)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id,class\nS1,a\nS1,b\n", r"labels\.csv: 1 sample names stand more than once \(S1\)"),
        ("id,class,class\nS1,a,b\n", r"labels\.csv: 1 column names stand more than once \(class\)"),
        ("id,class\nS1,a,b,c\n", r"row 'S1' \(line 2\) has 4 cells"),
    ],
)
def test_faults_of_annotations_are_named(text, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        read_annotations(written(tmp_path, text, "labels.csv"))


def test_a_table_that_cannot_be_written_leaves_the_old_one(frame, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_table(tmp_path / "file" / "expression.csv", frame)
    path = written(tmp_path, GOOD)
    write_table(path, frame)
    assert [entry.name for entry in sorted(tmp_path.iterdir())] == ["expression.csv", "file"]
