"""Blocks are the table, cut; and a table larger than the limit is streamed or refused with its size."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from kotowari.core.errors import InputError
from kotowari.formats import (
    TableBlocks,
    estimate_bytes,
    memory,
    read_h5ad,
    read_table,
    require_fits_memory,
    write_h5ad,
    write_table,
)

SUFFIXES = ["csv", "tsv.gz", "parquet", "h5ad"]


@pytest.fixture
def frame():
    values = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    return pd.DataFrame(values, index=[f"S{i}" for i in range(7)], columns=["a", "b", "c"])


def save(path, frame):
    if path.suffix == ".h5ad":
        write_h5ad(path, frame, pd.DataFrame({"label": "x"}, index=frame.index))
    else:
        write_table(path, frame)
    return path


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_blocks_put_together_are_the_table(suffix, rows, frame, tmp_path):
    blocks = TableBlocks(save(tmp_path / f"expression.{suffix}", frame), rows=rows)
    assert blocks.names == ("a", "b", "c")
    assert blocks.n_rows == 7
    for _ in range(2):  # they may be gone through again
        pieces = list(blocks)
        assert all(len(samples) == len(values) <= rows for samples, values in pieces)
        assert all(values.dtype == np.float32 for _, values in pieces)
        assert [name for samples, _ in pieces for name in samples] == list(frame.index)
        np.testing.assert_array_equal(np.concatenate([values for _, values in pieces]), frame)


def test_a_parquet_file_of_one_large_group_is_refused_when_it_does_not_fit(frame, tmp_path, monkeypatch):
    path = save(tmp_path / "expression.parquet", frame)
    monkeypatch.setattr(memory, "_half_of_memory", lambda: 7 * 3 * 4 - 1)
    sentence = r"the 7 rows that the file keeps together, as one array, need 8\.4e-08 GB, .* smaller groups of rows"
    with pytest.raises(InputError, match=sentence):
        list(TableBlocks(path, rows=1))


@pytest.mark.parametrize("width", [1, 499, 500, 501, 1500])
def test_parquet_is_read_over_several_groups_and_shares_of_columns(width, tmp_path):
    values = np.random.default_rng(0).normal(size=(2500, width)).astype(np.float32)
    path = tmp_path / "expression.parquet"
    names = [f"S{i}" for i in range(2500)]
    write_table(path, pd.DataFrame(values, index=names, columns=[f"g{j}" for j in range(width)]))
    pieces = list(TableBlocks(path, rows=1000))
    assert [name for samples, _ in pieces for name in samples] == names
    np.testing.assert_array_equal(np.concatenate([part for _, part in pieces]), values)


def test_parquet_names_with_a_dot_are_not_taken_for_parts_of_others(tmp_path):
    frame = pd.DataFrame([[1.0, 2.0, 3.0]], index=["S1"], columns=["HLA.A", "HLA", "HLA.A.1"])
    write_table(tmp_path / "expression.parquet", frame)
    pd.testing.assert_frame_equal(read_table(tmp_path / "expression.parquet"), frame)


def test_a_block_is_its_own_and_not_written_over_by_the_next(frame, tmp_path):
    first, *_ = list(TableBlocks(save(tmp_path / "expression.csv", frame), rows=3))
    np.testing.assert_array_equal(first[1], frame.iloc[:3])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_sample_name_in_two_blocks_is_caught(suffix, frame, tmp_path):
    path = save(tmp_path / f"expression.{suffix}", frame.rename({"S5": "S0"}))
    with pytest.raises(InputError, match=r"1 sample names stand more than once \(S0\)"):
        list(TableBlocks(path, rows=2))


def test_text_in_a_late_block_is_named(tmp_path):
    path = tmp_path / "expression.csv"
    path.write_text("sample,a\n" + "".join(f"S{i},1\n" for i in range(9)) + "S9,high\n")
    blocks = TableBlocks(path, rows=4)
    with pytest.raises(InputError, match=r"row 'S9' \(line 11\), column 'a': 'high' is not a number"):
        list(blocks)


def test_blocks_without_rows_and_layers_outside_h5ad_are_refused(frame, tmp_path):
    path = save(tmp_path / "expression.csv", frame)
    with pytest.raises(InputError, match="rows must be 1 or more, got 0"):
        TableBlocks(path, rows=0)
    with pytest.raises(InputError, match=r"only h5ad files have layers.* 'counts'"):
        TableBlocks(path, layer="counts")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_estimate_is_the_size_in_memory(suffix, frame, tmp_path):
    path = save(tmp_path / f"expression.{suffix}", frame)
    assert estimate_bytes(path) == 7 * 3 * 8
    require_fits_memory(path)


@pytest.mark.parametrize("text", ["s,a\nx,1\ny,2", "s,a\r\nx,1\r\ny,2\r\n", "s,a\rx,1\ry,2\r", "s,a\nx,1\n\n\ny,2\n"])
def test_the_estimate_of_a_text_is_never_below_its_size(text, tmp_path):
    path = tmp_path / "expression.csv"
    path.write_bytes(text.encode())
    assert read_table(path).shape == (2, 1)
    assert TableBlocks(path).n_rows == 2
    assert 16 <= estimate_bytes(path) <= 32


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_above_the_limit_is_refused_with_its_size(suffix, tmp_path):
    frame = pd.DataFrame(np.zeros((250, 500)), index=[f"S{i}" for i in range(250)])
    path = save(tmp_path / f"large.{suffix}", frame.rename(columns=str))
    read = read_h5ad if suffix == "h5ad" else read_table
    sentence = r"large.*: 250 rows of 500 columns, as one array, need 0\.001 GB, above .* 0\.0009 GB\. .*TableBlocks"
    for verb in (read, require_fits_memory):
        with pytest.raises(InputError, match=sentence):
            verb(path, limit_gb=0.0009)
        verb(path, limit_gb=0.001)


@pytest.mark.parametrize("suffix", ["csv", "h5ad"])
def test_streaming_holds_a_few_blocks_and_not_the_table(suffix, tmp_path):
    frame = pd.DataFrame(np.full((3000, 200), 0.5, dtype=np.float32), index=[f"S{i}" for i in range(3000)])
    blocks = TableBlocks(save(tmp_path / f"large.{suffix}", frame.rename(columns=str)), rows=50)
    next(iter(blocks))  # whatever is loaded once is loaded
    tracemalloc.start()
    total = sum(float(values.sum()) for _, values in blocks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 3000 * 200 * 0.5
    assert peak < frame.size * 4 / 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_parquet_above_the_limit_streams_in_little_memory(tmp_path):
    n, width = 100_000, 300  # 240 MB as float64
    values = np.random.default_rng(0).random((n, width), dtype=np.float32)
    path = tmp_path / "large.parquet"
    write_table(path, pd.DataFrame(values, index=np.arange(n).astype(str), columns=[f"g{j}" for j in range(width)]))
    with pytest.raises(InputError, match=r"need 0\.24 GB"):
        read_table(path, limit_gb=0.1)
    code = """
import re, sys
from pathlib import Path
import pyarrow.parquet
from kotowari.formats import TableBlocks

def kilobytes(key):
    return int(re.search(key + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before, total = kilobytes("VmRSS"), 0.0
for _, values in TableBlocks(Path(sys.argv[1])):
    total += float(values.sum(dtype=float))
print(kilobytes("VmHWM") - before, total)
"""
    answer = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    extra, total = answer.split()
    assert float(total) == pytest.approx(values.sum(dtype=float), rel=1e-12)
    assert int(extra) / 1024 < 80  # MB; whole, the table takes 120 as float32
