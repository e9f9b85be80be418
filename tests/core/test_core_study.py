"""Any study is started, stopped and gone on with by the same two functions."""

from types import SimpleNamespace

import pytest

from kotowari.core.errors import InputError, RunFolderError
from kotowari.core.options import Options
from kotowari.core.progress import Progress
from kotowari.core.runfolder import RunFolder
from kotowari.core.stages import Stage
from kotowari.core.study import resume_study, run_study

HIDDEN = Progress(shown=False)


class Cake(Options):
    """A study without a network."""

    seed: int = 7
    sweet: bool = True


def bakery(log, fault=None, at="bake"):
    """A study of three stages that write their names into ``log``; one of them stumbles over ``fault``."""

    def stage(name):
        def run(job, _progress):
            log.append((name, job.record["config"]["sweet"]))
            if name == at and fault is not None:
                raise fault

        return Stage(name, name.title(), run)

    return SimpleNamespace(
        NAME="cake",
        SUMMARY="a cake",
        Config=Cake,
        stages=lambda: [stage(name) for name in ("mix", "bake", "serve")],
        open_job=lambda folder: folder,
    )


def names(log):
    return [name for name, _ in log]


def test_a_run_goes_through_every_stage_and_records_what_was_asked(tmp_path):
    log = []
    folder = run_study(bakery(log), Cake(sweet=False), tmp_path / "run", command=["kotowari", "run"], progress=HIDDEN)
    assert log == [("mix", False), ("bake", False), ("serve", False)]
    record = RunFolder(folder.path).record
    assert (record["study"], record["seed"], record["command"]) == ("cake", 7, ["kotowari", "run"])
    assert record["config"] == {"seed": 7, "sweet": False}
    assert [stage["state"] for stage in record["stages"]] == ["done"] * 3


def test_folders_are_counted_up_by_themselves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [run_study(bakery([]), Cake(), progress=HIDDEN).path.as_posix() for _ in range(2)]
    assert found == ["runs/cake-1", "runs/cake-2"]


def test_a_stopped_run_goes_on_where_it_stood(tmp_path):
    log = []
    folder = run_study(bakery(log), Cake(), tmp_path / "run", until="mix", progress=HIDDEN)
    resume_study(bakery(log), RunFolder(folder.path), progress=HIDDEN)
    assert names(log) == ["mix", "bake", "serve"]


def test_a_run_refused_at_its_first_stage_leaves_nothing_behind(tmp_path):
    log, out = [], tmp_path / "run"
    with pytest.raises(InputError, match="no flour"):
        run_study(bakery(log, InputError("no flour"), at="mix"), Cake(), out, progress=HIDDEN)
    assert not out.exists()
    run_study(bakery(log), Cake(), out, progress=HIDDEN)
    assert names(log) == ["mix", "mix", "bake", "serve"]


def test_an_unknown_stage_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError, match="--until eat: there is no such stage"):
        run_study(bakery([]), Cake(), tmp_path / "run", until="eat", progress=HIDDEN)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_what_is_the_users_is_refused_and_stays_as_it_is(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    log = []
    with pytest.raises(InputError, match=r"holds files already, which might be written over\. Name a new folder"):
        run_study(bakery(log), Cake(), tmp_path, progress=HIDDEN)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert log == []
    (tmp_path / "empty").mkdir()
    run_study(bakery(log), Cake(), tmp_path / "empty", progress=HIDDEN)
    assert names(log) == ["mix", "bake", "serve"]


def test_a_run_refused_at_a_later_stage_is_kept(tmp_path):
    with pytest.raises(InputError, match="too hot"):
        run_study(bakery([], InputError("too hot")), Cake(), tmp_path / "run", progress=HIDDEN)
    log = []
    resume_study(bakery(log), RunFolder(tmp_path / "run"), progress=HIDDEN)
    assert names(log) == ["bake", "serve"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ZeroDivisionError("a fault of ours")])
def test_a_run_that_was_interrupted_or_fell_over_is_kept(fault, tmp_path):
    with pytest.raises(type(fault)):
        run_study(bakery([], fault, at="mix"), Cake(), tmp_path / "run", progress=HIDDEN)
    assert RunFolder(tmp_path / "run").stage_state("mix") == "running"


def test_a_folder_that_holds_a_run_is_not_touched(tmp_path):
    log = []
    run_study(bakery(log), Cake(), tmp_path, until="mix", progress=HIDDEN)
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(RunFolderError, match="holds a run already"):
        run_study(bakery(log), Cake(), tmp_path, progress=HIDDEN)
    assert (tmp_path / "run.json").read_bytes() == before
