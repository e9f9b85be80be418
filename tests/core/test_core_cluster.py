"""Batches on the workers of Dask: the files of this machine, whoever made them; what is lost, and what is not there."""

import logging
import threading
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from distributed import Client, LocalCluster, get_worker

from kotowari.core import cluster as cluster_module
from kotowari.core import cluster_client
from kotowari.core.cluster import Cluster, as_cluster
from kotowari.core.errors import InputError
from kotowari.core.job import Job
from kotowari.core.jobs import map_jobs
from kotowari.core.options import Options
from kotowari.core.progress import Progress
from kotowari.core.runfolder import RunFolder
from kotowari.core.seeds import derive_seed
from kotowari.core.stages import Stage
from kotowari.core.study import run_study

TABLE = np.random.default_rng(1).normal(size=(80, 40))  # 25 kB: sent once
JOBS = {f"fold-{k}": (TABLE, k) for k in range(5)}
NOBODY = "tcp://127.0.0.1:9"
QUIET = {  # two test processes would meet at the one port of the dashboard
    "processes": False,
    "silence_logs": logging.CRITICAL,
    "scheduler_kwargs": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
}
together = SimpleNamespace(now=0, most=0, lock=threading.Lock(), pair=threading.Barrier(2))


@pytest.fixture(scope="module")
def address():
    """A scheduler and two workers of one thread each, on threads of this process: quick."""
    with LocalCluster(n_workers=2, threads_per_worker=1, **QUIET) as made:
        yield made.scheduler_address


def draw(table, k):
    """Products, whose last digits depend on how they are summed, and a view, which a file lays out otherwise."""
    numbers = np.random.default_rng(derive_seed(3, "draw", k)).normal(size=(40, 30)).astype(np.float32)
    return {"product": table @ numbers, "view": numbers[::3, ::-2], "turned": numbers.T, "name": np.array(f"fold {k}")}


def draw_by_worker(table, k):
    """Depends on who computes it, which no job may."""
    try:
        name = get_worker().address
    except ValueError:
        name = "here"
    return draw(table, k) | {"by": np.array(name)}


def draw_changing(table, k):
    """Changes its argument: harmless, since every job has its own."""
    table += 1
    return {"sum": np.array(table.sum() + k)}


def draw_but_three(table, k):
    if k == 3:
        raise InputError("expression.csv: gene CDH1 is constant. Leave it out.")
    return draw(table, k)


def draw_warning(table, k):
    warnings.warn(f"{4 * (k // 4)} is seldom", UserWarning, stacklevel=1)
    return draw(table, k)


def draw_counting(table, k):
    with together.lock:
        together.now += 1
        together.most = max(together.most, together.now)
    time.sleep(0.02)
    together.now -= 1
    return draw(table, k)


def meet():
    return together.pair.wait(10) >= 0


def silent(units=1):
    del units


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def run(function, folder, cluster=None, jobs=JOBS, advance=silent):
    map_jobs(function, jobs, shards=folder, workers=1, advance=advance, cluster=cluster)
    return files_of(folder)


def assert_files_do_not_depend_on_the_worker(function, address, folder):
    assert run(function, folder / "there", address) == run(function, folder / "here"), "files differ"


def test_a_cluster_gives_the_files_of_this_machine(address, tmp_path):
    assert_files_do_not_depend_on_the_worker(draw, address, tmp_path)


def test_a_job_that_looks_at_its_worker_is_caught(address, tmp_path):
    with pytest.raises(AssertionError, match="files differ"):
        assert_files_do_not_depend_on_the_worker(draw_by_worker, address, tmp_path)


def test_every_job_has_arguments_of_its_own(address, tmp_path):
    there = map_jobs(draw_changing, JOBS, shards=tmp_path, workers=1, advance=silent, cluster=address)
    np.testing.assert_allclose([job["sum"] for job in there.values()], TABLE.sum() + TABLE.size + np.arange(5))


def test_large_arguments_that_are_equal_are_sent_once(address, tmp_path, monkeypatch):
    submit, sent = Client.submit, []

    def counted(client, function, *arguments, **options):
        sent.extend([len(arguments[0])] if function is bytes else [])
        return submit(client, function, *arguments, **options)

    monkeypatch.setattr(Client, "submit", counted)
    run(draw, tmp_path, address, jobs={name: (TABLE.copy(), k) for name, (_, k) in JOBS.items()})
    assert len(sent) == 1
    assert TABLE.nbytes < sent[0] < 1.1 * TABLE.nbytes


def test_what_a_job_warns_of_is_told_here(address, tmp_path):
    with pytest.warns(UserWarning) as told:  # noqa: PT030  (both sentences are looked at below)
        run(draw_warning, tmp_path, address)
    assert {str(warning.message) for warning in told} == {"0 is seldom", "4 is seldom"}


def test_an_error_of_a_job_is_told_as_it_is_and_the_others_are_kept(address, tmp_path):
    with Cluster(address) as opened:
        with pytest.raises(InputError, match=r"^expression\.csv: gene CDH1 is constant\. Leave it out\.$"):
            run(draw_but_three, tmp_path / "there", opened)
        kept = files_of(tmp_path / "there") if (tmp_path / "there").exists() else {}
        assert "fold-3.npz" not in kept
        assert run(draw, tmp_path / "there", opened) == run(draw, tmp_path / "here")  # the same workers go on
    assert kept.items() <= files_of(tmp_path / "here").items()


def test_what_was_done_when_a_run_is_interrupted_is_not_done_again(address, tmp_path):
    arrived = []

    def stop(units=1):
        arrived.extend([units] * bool(units))
        if len(arrived) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(draw, tmp_path / "there", address, advance=stop)
    assert len(files_of(tmp_path / "there")) == 2
    units = []
    whole = run(draw, tmp_path / "there", address, advance=lambda n=1: units.append(n))
    assert units == [2, 1, 1, 1]
    assert whole == run(draw, tmp_path / "here")


def test_a_scheduler_that_is_not_there_is_told_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_client, "_CONNECT_SECONDS", 2.0)
    with pytest.raises(InputError, match=r"^cluster: no Dask scheduler answers at tcp://127\.0\.0\.1:9\. Start one"):
        run(draw, tmp_path, NOBODY)
    assert files_of(tmp_path) == {}


def test_nobody_is_asked_where_nothing_is_left_to_do(tmp_path):
    here = run(draw, tmp_path)
    assert run(draw, tmp_path, NOBODY) == here
    assert map_jobs(draw, {}, shards=tmp_path, workers=1, advance=silent, cluster=NOBODY) == {}


def test_a_worker_of_several_threads_runs_one_job_after_the_other(tmp_path):
    with LocalCluster(n_workers=1, threads_per_worker=3, **QUIET) as made, Cluster(made) as opened:
        with pytest.warns(UserWarning, match=r"a worker of 3 threads runs these jobs one after the other\. Start"):
            run(draw_counting, tmp_path, opened)
        assert together.most == 1
        assert (opened.n_processes, opened.n_threads) == (1, 3)
        # unless they may: two wait here for each other
        assert dict(opened.map(meet, {0: (), 1: ()}, on_threads=True)) == {0: True, 1: True}


def test_a_cluster_that_is_lent_stays_open_and_one_that_is_made_is_closed(address):
    with Cluster(address) as lent:
        assert lent.n_processes == 2
        with as_cluster(lent, n_workers=1) as opened:
            assert opened is lent
        assert lent._client.status == "running"
        client = lent._client
    assert client.status == "closed"
    with as_cluster(address, n_workers=1) as opened:
        assert opened.n_threads == 2
        client = opened._client
    assert client.status == "closed"
    with as_cluster(None, n_workers=1) as opened:
        assert opened is None


class Plan(Options):
    """Options with a place for a cluster."""

    seed: int = 0
    workers: int = 1
    cluster: str | None = None


def test_a_run_opens_its_cluster_once_and_parts_from_it_even_if_a_stage_fails(address, tmp_path, monkeypatch):
    connected, opened = cluster_module.connected, []

    def counted(*given):
        opened.append(given)
        return connected(*given)

    def two_batches(job, progress):
        assert opened == []
        for name in ("first", "second"):
            job.run(progress, name, name, draw, JOBS)
        clients.append(job.cluster._client)

    def stumble(_job, _progress):
        raise InputError("no flour")

    clients = []
    monkeypatch.setattr(cluster_module, "connected", counted)
    face = SimpleNamespace(
        NAME="cake",
        stages=lambda: [Stage("batches", "Batches", two_batches), Stage("stumble", "Stumble", stumble)],
        open_job=lambda folder: Job(Plan(**folder.record["config"]), folder),
    )
    with pytest.raises(InputError, match="no flour"):
        run_study(face, Plan(cluster=address), tmp_path / "run", progress=Progress(shown=False))
    assert opened == [(address, 1)]
    assert clients[0].status == "closed"
    job = Job(Plan(), RunFolder(tmp_path / "run"))
    assert job.cluster is None
    job.close()
    assert files_of(job.shards("second")) == run(draw, tmp_path / "here")
