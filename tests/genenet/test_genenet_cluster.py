"""Many machines: blocks of networks on the workers of Dask, workers that die, schedulers that are not there."""

import errno
import logging
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from importlib import metadata

import dask
import numpy as np
import pandas as pd
import psutil
import pytest
from distributed import Client, LocalCluster
from sklearn.base import clone

from kotowari.core import cluster as cluster_module
from kotowari.core import cluster_client
from kotowari.core.cluster import Cluster
from kotowari.core.errors import InputError, MissingExtraError, RunFolderError
from kotowari.core.jobs import pack_arrays
from kotowari.studies.genenet.gene_permutation import edge_permutation
from kotowari.studies.genenet.model.edges.bootstrap import bootstrap_edges
from kotowari.studies.genenet.model.edges.selection_frequency import selection_frequency
from kotowari.studies.genenet.model.profile.blocks import fit_blocks
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler

OPTIONS = {"kernel": "knn", "n_lambdas": 8, "max_rounds": 1, "block_size": 4}
N_BLOCKS = 6
QUIET = {  # two test processes would meet at the one port of the dashboard
    "threads_per_worker": 1,
    "silence_logs": logging.CRITICAL,
    "scheduler_kwargs": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
}

# a worker is gone for a moment when it is killed, and its scheduler may be asked just then
pytestmark = pytest.mark.filterwarnings("ignore:cluster. the scheduler .* has no worker now")


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 24)), [f"P{k}" for k in range(60)], [f"G{k}" for k in range(24)])
    return X, np.sort(rng.random(60))


@pytest.fixture(scope="module")
def cluster():
    """Two processes of one thread, that come back when they are killed."""
    # on a machine with much else to do, a killed worker takes longer to come back than Dask's own 15 s
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"}),
        LocalCluster(n_workers=2, processes=True, **QUIET) as made,
    ):
        yield made


@pytest.fixture
def address(cluster):
    with Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2)
    return cluster.scheduler_address


@pytest.fixture
def threads():
    """A scheduler with one worker on a thread of this process: quick, and closed by whoever wants."""
    with LocalCluster(n_workers=1, processes=False, **QUIET) as made:
        yield made


@pytest.fixture(scope="module")
def local(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("local") / "run"
    return NetworkProfiler(folder=folder, **OPTIONS).fit(*table)


@pytest.fixture
def local_bytes(local):
    return bytes_of(local._folder)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def workers_of(address):
    with Client(address, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


def fit(local, folder, cluster, advance):
    """The blocks of a fit, with a hook at every block that arrives."""
    folder.mkdir(exist_ok=True)
    prepared = local._prepared
    fit_blocks(prepared.task, prepared.plan, folder=folder, n_jobs=2, advance=advance, cluster=cluster)
    return {name: content for name, content in bytes_of(folder).items() if name.startswith("block")}


def blocks_of(everything):
    return {name: content for name, content in everything.items() if name.startswith("block")}


# ------------------------------------------------------------------------------------------------------ equal results


def test_a_cluster_gives_the_bytes_of_this_machine(table, address, local_bytes, tmp_path):
    NetworkProfiler(folder=tmp_path / "run", cluster=address, **OPTIONS).fit(*table)
    assert bytes_of(tmp_path / "run") == local_bytes
    assert len(local_bytes) == N_BLOCKS + 2


def test_other_data_give_other_bytes(table, address, local_bytes, tmp_path):
    X, m = table
    NetworkProfiler(folder=tmp_path / "run", cluster=address, **OPTIONS).fit(X + 1e-6 * X**2, m)
    assert all(
        blocks_of(bytes_of(tmp_path / "run"))[name] != content for name, content in blocks_of(local_bytes).items()
    )


def test_processes_of_this_machine_give_its_bytes_and_are_closed(table, local):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    levels = logging.getLogger("distributed").level
    profiler = NetworkProfiler(cluster="local", n_jobs=2, **OPTIONS).fit(*table)
    assert [pack_arrays(arrays) for arrays in profiler._results()] == [pack_arrays(a) for a in local._results()]
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    assert logging.getLogger("distributed").level == levels


def test_a_client_and_a_cluster_are_used_and_left_open(table, cluster, local):
    with Client(cluster, set_as_default=False) as client:
        for given in (client, cluster):
            profiler = NetworkProfiler(cluster=given, **OPTIONS).fit(*table)
            np.testing.assert_array_equal(profiler.networks().to_dense(), local.networks().to_dense())
        assert client.status == "running"
        assert len(client.nthreads()) == 2


def test_an_address_survives_cloning():
    assert clone(NetworkProfiler(cluster="tcp://head:8786")).cluster == "tcp://head:8786"


def test_progress_is_told_once_a_block(address, local, tmp_path):
    advances = []
    fit(local, tmp_path / "run", address, advances.append)
    assert advances == [60 * 4] * N_BLOCKS


# ------------------------------------------------------------------------------------------------------ what is lost


@pytest.mark.parametrize("n_killed", [1, 2])  # two of two: the data that were sent go down with them
def test_killed_workers_cost_their_blocks_only_and_change_no_byte(n_killed, address, local, local_bytes, tmp_path):
    pids, arrived = workers_of(address), []

    def kill(_units):
        arrived.append(1)
        if len(arrived) == 1:
            for pid in pids[:n_killed]:
                os.kill(pid, signal.SIGKILL)

    assert fit(local, tmp_path / "run", address, kill) == blocks_of(local_bytes)
    assert len(arrived) == N_BLOCKS
    assert len(set(workers_of(address)) & set(pids)) <= 2 - n_killed


def test_refits_of_a_run_lose_a_worker_and_give_the_files_of_this_machine(table, address, tmp_path):
    X, m = table
    pids, arrived = workers_of(address), []
    sides = {"regulators": X.columns[:6], "targets": X.columns[6:10]}

    def kill(units=1):
        arrived.extend([units] * bool(units))
        if len(arrived) == 3:
            os.kill(pids[0], signal.SIGKILL)

    def refit(folder, **options):
        folder.mkdir()
        quick = NetworkProfiler(n_lambdas=6, max_rounds=1, n_nodes=6)
        selection_frequency(quick, X, m, **sides, n_pairs=4, shards=folder, **options)
        return bytes_of(folder)

    here = refit(tmp_path / "here")
    assert refit(tmp_path / "there", cluster=address, advance=kill) == here
    assert len(here) == sum(arrived) == 8
    assert pids[0] not in workers_of(address)


def test_every_test_of_edges_can_be_sent_to_a_cluster(table, address, tmp_path):
    X, m = table
    options = {"regulators": X.columns[:4], "targets": X.columns[4:6], "random_state": 1}
    quick = NetworkProfiler(n_lambdas=4, max_rounds=1, n_nodes=4)

    def tested(cluster):
        folder = tmp_path / str(cluster is None)
        kept = {"shards": folder, "cluster": cluster}
        permuted = edge_permutation(quick, X, m, **options, n_permutations=4, n_exceeding=2, **kept)
        bootstrapped = bootstrap_edges(quick, X, m, **options, n_bootstraps=2, least_fitted=0.1, **kept)
        return permuted.to_frame(), bootstrapped.to_frame()

    with Cluster(address) as workers:
        for there, here in zip(tested(workers), tested(None), strict=True):
            pd.testing.assert_frame_equal(there, here, check_exact=True)
    with pytest.raises(
        InputError, match=r"^cluster: results are kept in a folder as they come\. Name one for shards\.$"
    ):
        selection_frequency(quick, X, m, n_pairs=1, cluster=address)


def test_a_job_that_kills_its_workers_is_told_in_a_sentence(cluster, address):
    before, cluster.scheduler.allowed_failures = cluster.scheduler.allowed_failures, 0
    try:
        sentence = r"job [34] was given to 1 workers, and all of them died.* Give workers more memory"
        with Cluster(address) as workers, pytest.raises(InputError, match=sentence):
            list(workers.map(signal.raise_signal, dict.fromkeys((3, 4), (signal.SIGKILL,))))
    finally:
        cluster.scheduler.allowed_failures = before


def test_a_full_disk_is_told_and_the_fit_goes_on_later(table, address, local_bytes, tmp_path, monkeypatch):
    profiler, synced = NetworkProfiler(folder=tmp_path, cluster=address, **OPTIONS), []

    def full(_):
        synced.append(1)
        if len(synced) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunFolderError, match="No space left on device"):
            profiler.fit(*table)
    assert len(blocks_of(bytes_of(tmp_path))) == 2
    profiler.fit(*table)
    assert bytes_of(tmp_path) == local_bytes


def test_a_scheduler_that_goes_away_is_told_and_written_blocks_stay(threads, local, local_bytes, tmp_path):
    def close(_units):
        threads.close()

    with pytest.raises(InputError, match=r"the scheduler went away\. What was written to a folder stays"):
        fit(local, tmp_path / "run", threads.scheduler_address, close)
    written = bytes_of(tmp_path / "run")
    assert 1 <= len(written) < N_BLOCKS
    assert written.items() <= local_bytes.items()


# ---------------------------------------------------------------------------------------------------- what is not there


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("tcp://127.0.0.1:9", r"no Dask scheduler answers at tcp://127\.0\.0\.1:9\. Start one"),
        ("head", "'head' is no address of a scheduler"),
        (8786, "cluster must be None, 'local', the address of a scheduler, or a Client .* got 8786"),
    ],
)
def test_a_scheduler_that_is_not_there_is_told_in_seconds(given, sentence, table, monkeypatch):
    monkeypatch.setattr(cluster_client, "_CONNECT_SECONDS", 2.0)
    begin = time.monotonic()
    with pytest.raises(InputError, match=sentence):
        NetworkProfiler(cluster=given, **OPTIONS).fit(*table)
    assert time.monotonic() - begin < 10


def test_a_library_that_is_not_there_is_told_with_the_line_that_installs_it(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"needs distributed, .* pip install 'kotowari\[cluster\]'"):
        NetworkProfiler(cluster="local", **OPTIONS).fit(*table)


def test_workers_with_another_version_are_refused(table, address, monkeypatch):
    for module in (cluster_module, cluster_client):
        monkeypatch.setattr(module, "own_version", lambda: "9.9")
    with pytest.raises(InputError, match=r"scheduler, tcp://.* have kotowari .*, and this is 9\.9\. Install the same"):
        NetworkProfiler(cluster=address, **OPTIONS).fit(*table)
    with pytest.raises(InputError, match=r"a worker has kotowari 9\.9, and this is 8\.8"):  # one that came later
        cluster_module._call("8.8", False)


def test_workers_without_this_package_are_refused():
    class Bare:
        def run_on_scheduler(self, function, name):
            return function(name)

        def run(self, function, name, on_error):
            assert (function, name, on_error) == (metadata.version, "kotowari", "return")
            return {"tcp://a:1": metadata.PackageNotFoundError("kotowari"), "tcp://b:1": metadata.version("kotowari")}

    class BareScheduler:
        def run_on_scheduler(self, function, name):
            raise metadata.PackageNotFoundError(f"{function.__name__} of {name}")

    with pytest.raises(InputError, match=r"no kotowari on the workers tcp://a:1\. Install kotowari \d"):
        cluster_client._require_version(Bare())
    with pytest.raises(InputError, match=r"no kotowari on the scheduler\. Install kotowari \d"):
        cluster_client._require_version(BareScheduler())


def test_a_scheduler_without_workers_is_waited_for(local, local_bytes, tmp_path):
    with LocalCluster(n_workers=0, processes=False, **QUIET) as empty, ThreadPoolExecutor(1) as pool:
        coming = pool.submit(lambda: (time.sleep(0.5), empty.scale(1)))
        with pytest.warns(UserWarning, match="has no worker now; waiting for one"):
            written = fit(local, tmp_path / "run", empty.scheduler_address, lambda _: None)
        coming.result()
    assert written == blocks_of(local_bytes)


def test_processes_that_never_start_are_told(monkeypatch):
    class Empty:
        def nthreads(self):
            return {}

    monkeypatch.setattr(cluster_module, "_START_SECONDS", 0.1)
    monkeypatch.setattr(cluster_module, "connected", lambda *_: nullcontext(Empty()))
    with pytest.raises(InputError, match=r"no process of this machine started within 0\.1 s"):
        _ = Cluster("local").n_processes


def test_more_workers_than_blocks_are_told(table, address):
    with pytest.warns(UserWarning, match="1 blocks keep only 1 of 2 workers busy"):
        NetworkProfiler(cluster=address, **(OPTIONS | {"block_size": 24})).fit(*table)
