"""A run folder remembers what was done, by what and on what, and lets one process in."""

import errno
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from kotowari.core.errors import InputError, RunFolderError
from kotowari.core.files import read_json, write_json
from kotowari.core.runfolder import SCHEMA, Metric, RunFolder, next_run_folder

HOLDER = """
import sys
from pathlib import Path
from kotowari.core.runfolder import RunFolder

with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def new_run(path):
    command = ["kotowari", "run", "s.yaml"]
    return RunFolder.create(
        path, study="omics", config={"preset": "quick"}, seed=7, command=command, stages=("read", "fit")
    )


@contextmanager
def held_by_another_process(path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.kill()


def entry(name, content):
    return {"name": name, "sha256": content, "bytes": len(content)}


def test_a_new_run_records_what_it_was_asked(tmp_path):
    run = new_run(tmp_path / "runs" / "omics-1")
    record = read_json(run.path / "run.json")
    assert record == run.record
    assert record["schema"] == SCHEMA
    assert (record["study"], record["seed"], record["config"]) == ("omics", 7, {"preset": "quick"})
    assert record["command"] == ["kotowari", "run", "s.yaml"]
    assert record["created"].endswith("+00:00")
    assert {"python", "system", "numpy", "byteorder"} <= set(record["versions"])
    assert record["stages"] == [{"name": name, "state": "waiting", "seconds": None} for name in ("read", "fit")]


def test_a_folder_that_holds_a_run_takes_no_second_one(tmp_path):
    before = new_run(tmp_path).record
    with pytest.raises(RunFolderError, match=r"holds a run already\. Go on with it by `kotowari resume"):
        new_run(tmp_path)
    assert RunFolder(tmp_path).record == before


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match=r"is not a run folder \(it has no run\.json\)"):
        RunFolder(tmp_path)


@pytest.mark.parametrize("record", [{"schema": SCHEMA + 1}, {}, [], "run"], ids=str)
def test_a_record_of_another_schema_is_refused(tmp_path, record):
    write_json(tmp_path / "run.json", record)
    with pytest.raises(RunFolderError, match=rf"run\.json: schema .* knows schema {SCHEMA}"):
        RunFolder(tmp_path)


def test_a_record_cut_short_is_refused(tmp_path):
    (tmp_path / "run.json").write_text('{"schema": 1, "stu')
    with pytest.raises(InputError, match=r"run\.json: is not valid JSON"):
        RunFolder(tmp_path)


def test_a_folder_opened_anew_knows_the_stages_that_are_done(tmp_path):
    run = new_run(tmp_path)
    run.mark_stage("read", "running")
    run.mark_stage("read", "done", 1.23456)
    again = RunFolder(tmp_path)
    assert [again.stage_state(name) for name in ("read", "fit")] == ["done", "waiting"]
    assert again.record["stages"][0]["seconds"] == 1.23
    assert again.record["created"] == run.record["created"]


def test_a_stage_that_the_run_does_not_have_is_refused(tmp_path):
    run = new_run(tmp_path)
    with pytest.raises(RunFolderError, match="has no stage 'dream'"):
        run.stage_state("dream")
    with pytest.raises(RunFolderError, match="has no stage 'dream'"):
        run.mark_stage("dream", "done")


def test_events_are_lines_of_json_in_their_order(tmp_path):
    run = new_run(tmp_path)
    run.mark_stage("read", "running")
    run.event("note", sentence="naïve 理")
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["kind"] for line in lines] == ["stage", "note"]
    assert (lines[0]["name"], lines[0]["state"], lines[1]["sentence"]) == ("read", "running", "naïve 理")


def test_an_event_that_finds_no_room_is_told_in_one_sentence(tmp_path, monkeypatch):
    run = new_run(tmp_path)

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(RunFolderError, match=r"events\.jsonl: cannot be written \(No space left on device\)"):
        run.event("note")


def test_metrics_come_back_as_they_went(tmp_path):
    run = new_run(tmp_path)
    assert run.metrics() == []
    rows = [
        Metric("MSI", "auc", "cnn", "ours", 0.875, fold=0, low=0.7, high=0.96, p=0.05, n=18, n_null=19),
        Metric("MSI", "auc", "majority", "chance", None),
    ]
    run.write_metrics("compare", rows)
    assert RunFolder(tmp_path).metrics() == rows


def test_a_repeated_stage_replaces_its_own_rows_and_no_others(tmp_path):
    run = new_run(tmp_path)
    first, second, third = (Metric("MSI", "auc", model, "comparator", 0.5) for model in "abc")
    run.write_metrics("compare", [first])
    run.write_metrics("null", [second])
    run.write_metrics("compare", [third])
    assert run.metrics() == [second, third]
    run.write_metrics("null", [])
    assert run.metrics() == [third]


def test_inputs_that_have_not_changed_are_taken_again(tmp_path):
    inputs = [entry("table.csv", "aa"), entry("sets.gmt", "bb")]
    new_run(tmp_path).note_inputs(inputs)
    again = RunFolder(tmp_path)
    again.note_inputs(inputs)
    assert again.record["inputs"] == inputs


def test_an_input_that_has_changed_is_refused_and_the_old_fingerprint_kept(tmp_path):
    new_run(tmp_path).note_inputs([entry("table.csv", "aa"), entry("sets.gmt", "bb")])
    with pytest.raises(InputError, match=r"sets\.gmt: is not the file that this run began with"):
        RunFolder(tmp_path).note_inputs([entry("table.csv", "aa"), entry("sets.gmt", "cc")])
    assert RunFolder(tmp_path).record["inputs"][1]["sha256"] == "bb"


def test_inputs_of_one_name_from_two_folders_are_told_apart(tmp_path):
    inputs = [entry("table.csv", "aa"), entry("table.csv", "bb")]
    new_run(tmp_path).note_inputs(inputs)
    RunFolder(tmp_path).note_inputs(inputs)
    with pytest.raises(InputError, match="its content has changed"):
        RunFolder(tmp_path).note_inputs(inputs[::-1])


def test_a_folder_held_by_another_process_is_refused_until_that_process_ends(tmp_path):
    run = new_run(tmp_path)
    with (
        held_by_another_process(tmp_path),
        pytest.raises(RunFolderError, match=r"another process works on this run\. Wait until it ends"),
        run.locked(),
    ):
        pytest.fail("two processes hold one folder")
    with run.locked():  # that process was killed, not asked to let go
        assert run.stage_state("read") == "waiting"


def test_an_error_inside_the_lock_is_told_as_it_is_and_frees_the_folder(tmp_path):
    run = new_run(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"table\.csv"), run.locked():
        (tmp_path / "table.csv").read_text()
    with run.locked():
        assert run.stage_state("read") == "waiting"


def test_the_lock_shows_what_another_process_has_done_meanwhile(tmp_path):
    early = new_run(tmp_path)
    RunFolder(tmp_path).mark_stage("read", "done", 1.0)
    assert early.stage_state("read") == "waiting"
    with early.locked():
        assert early.stage_state("read") == "done"


def test_the_next_folder_has_the_first_free_number(tmp_path):
    assert next_run_folder("omics", tmp_path) == tmp_path / "omics-1"
    (tmp_path / "omics-1").mkdir()
    (tmp_path / "omics-3").mkdir()
    assert next_run_folder("omics", tmp_path) == tmp_path / "omics-2"
    assert next_run_folder("brain", tmp_path) == tmp_path / "brain-1"
