"""What is done is skipped, so going on is running again."""

import pytest

from kotowari.core.errors import InputError
from kotowari.core.progress import Progress
from kotowari.core.runfolder import RunFolder
from kotowari.core.stages import Stage, run_stages

NAMES = ("read", "fit", "report")
HIDDEN = Progress(shown=False)


def new_run(path):
    return RunFolder.create(path, study="omics", config={}, seed=0, command=[], stages=NAMES)


def stages(log, stop_in=None):
    """Stages that write their name into ``log``; one of them is stopped by the user."""

    def work(name):
        def run(job, _progress):
            log.append((job, name))
            if name == stop_in:
                raise KeyboardInterrupt

        return run

    return [Stage(name, name.title(), work(name)) for name in NAMES]


def states(path):
    run = RunFolder(path)
    return [run.stage_state(name) for name in NAMES]


def test_stages_run_in_order_with_the_job(tmp_path):
    log = []
    run_stages("job", stages(log), new_run(tmp_path), progress=HIDDEN)
    assert log == [("job", name) for name in NAMES]
    assert states(tmp_path) == ["done"] * 3
    assert all(stage["seconds"] >= 0 for stage in RunFolder(tmp_path).record["stages"])


def test_stages_that_are_done_are_skipped(tmp_path):
    run = new_run(tmp_path)
    run.mark_stage("read", "done", 1.0)
    log = []
    run_stages("job", stages(log), run, progress=HIDDEN)
    run_stages("job", stages(log), RunFolder(tmp_path), progress=HIDDEN)
    assert [name for _, name in log] == ["fit", "report"]


def test_a_run_stops_after_the_stage_it_was_told(tmp_path):
    log = []
    run = new_run(tmp_path)
    run_stages("job", stages(log), run, until="fit", progress=HIDDEN)
    run_stages("job", stages(log), run, until="read", progress=HIDDEN)  # done already, and nothing behind it runs
    assert states(tmp_path) == ["done", "done", "waiting"]
    run_stages("job", stages(log), run, progress=HIDDEN)
    assert [name for _, name in log] == list(NAMES)


def test_an_unknown_stage_is_refused_before_anything_runs(tmp_path):
    log = []
    with pytest.raises(InputError, match=r"--until dream: there is no such stage\. Choose one of read, fit, report"):
        run_stages("job", stages(log), new_run(tmp_path), until="dream", progress=HIDDEN)
    assert log == []
    assert states(tmp_path) == ["waiting"] * 3


def test_an_interrupted_run_says_how_to_go_on_and_goes_on_where_it_stood(tmp_path, capsys):
    log = []
    with pytest.raises(KeyboardInterrupt):
        run_stages("job", stages(log, stop_in="fit"), new_run(tmp_path), progress=Progress(shown=True))
    assert f"`kotowari resume {tmp_path}` goes on where it was." in capsys.readouterr().err
    assert states(tmp_path) == ["done", "running", "waiting"]
    run_stages("job", stages(log), RunFolder(tmp_path), progress=HIDDEN)
    assert [name for _, name in log] == ["read", "fit", "fit", "report"]
    assert states(tmp_path) == ["done"] * 3


def test_what_another_process_did_before_the_lock_was_had_is_not_done_twice(tmp_path):
    early, log = new_run(tmp_path), []
    run_stages("job", stages(log), RunFolder(tmp_path), progress=HIDDEN)
    run_stages("job", stages(log), early, progress=HIDDEN)
    assert [name for _, name in log] == list(NAMES)
