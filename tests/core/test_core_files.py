"""A reader sees the old file or the new one, whatever happens to the writer."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core.errors import InputError, KotowariError, RunFolderError
from kotowari.core.files import fingerprint, read_json, write_bytes, write_json, write_text

KILLED_AT_THE_RENAME = """
import os, signal, sys
from pathlib import Path
from kotowari.core.files import write_text

Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
write_text(Path(sys.argv[1]), "new")
"""


def full(*_args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def assert_the_old_file_survives_a_full_disk(write, path):
    path.write_bytes(b"old")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device"):
            write(path, b"new")
    assert path.read_bytes() == b"old", f"{path.name} holds {path.read_bytes()!r} after a write that failed"


def test_a_write_makes_parents_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "a" / "b" / "c.bin"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "run.json"
    assert_the_old_file_survives_a_full_disk(write_bytes, path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_in_place_is_caught(tmp_path):
    def write(path, content):
        with path.open("wb") as file:
            file.write(content)
            os.fsync(file.fileno())

    with pytest.raises(AssertionError, match="after a write that failed"):
        assert_the_old_file_survives_a_full_disk(write, tmp_path / "run.json")


def test_a_disk_too_full_to_open_a_file_is_told_in_one_sentence(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    write_text(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(
            RunFolderError, match=r"run\.json: cannot be written \(No space left on device\)\. Free space"
        ):
            write_text(path, "new")
    assert path.read_text() == "old"


def test_a_writer_killed_before_the_rename_leaves_the_old_file(tmp_path):
    path = tmp_path / "run.json"
    write_text(path, "old")
    run = subprocess.run([sys.executable, "-c", KILLED_AT_THE_RENAME, path], check=False)
    assert run.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"


def test_content_is_on_the_disk_before_the_name_points_to_it(tmp_path, monkeypatch):
    order = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (order.append("sync"), sync(number)))
    monkeypatch.setattr(Path, "replace", lambda path, target: (order.append("rename"), replace(path, target)))
    write_text(tmp_path / "a.txt", "new")
    assert order == ["sync", "rename"]


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_text(tmp_path / "file" / "run.json", "new")
    with pytest.raises(RunFolderError, match=r"folder: cannot be written \(Is a directory\)"):
        write_text(tmp_path / "folder", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=8,
    )
)
def test_json_comes_back_as_it_went(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_refuses_what_is_not_a_number_and_keeps_the_old_file(tmp_path, value):
    path = tmp_path / "value.json"
    write_json(path, {"score": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"score": value})
    assert read_json(path) == {"score": 1.0}


def test_json_that_is_missing_or_cut_short_is_told_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: cannot be read \(No such file or directory\)"):
        read_json(tmp_path / "none.json")
    (tmp_path / "cut.json").write_text('{"rows": [1, 2')
    with pytest.raises(InputError, match=r"cut\.json: is not valid JSON"):
        read_json(tmp_path / "cut.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(KotowariError, match=r"bytes\.json: is not valid JSON"):
        read_json(tmp_path / "bytes.json")


def test_a_fingerprint_is_the_name_sum_and_size_of_a_file(tmp_path):
    content = bytes(range(256)) * 5000  # longer than one block
    (tmp_path / "table.csv").write_bytes(content)
    expected = {"name": "table.csv", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert fingerprint(tmp_path / "table.csv") == expected
    (tmp_path / "table.csv").write_bytes(content[:-1] + b"x")
    assert fingerprint(tmp_path / "table.csv")["sha256"] != expected["sha256"]
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        fingerprint(tmp_path / "none.csv")
