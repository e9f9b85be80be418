"""Coarse jobs on the workers of a Dask cluster: what they share is sent once, and each answer comes as it is done."""

import asyncio
import logging
import pickle
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import metadata
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from kotowari.core.checks import few, require_extra
from kotowari.core.errors import InputError
from kotowari.core.jobs import Arrays

__all__ = ["map_cluster"]

SharedT = TypeVar("SharedT")
JobT = TypeVar("JobT")

_LOCAL = "local"
_CONNECT_SECONDS = 5.0
_START_SECONDS = 120.0
_LOOK_SECONDS, _NAP_SECONDS = 2.0, 0.2
_GRAPH_BYTES = 1_000_000
_USER = "NetworkProfiler(cluster=...)"
_WENT_AWAY = "cluster: the scheduler went away."
_GOES_ON = "What was written to a folder stays, and the same call goes on there."


def map_cluster(
    function: Callable[[SharedT, JobT], Arrays],
    shared: SharedT,
    jobs: Mapping[int, JobT],
    *,
    cluster: Any,
    n_workers: int,
) -> Generator[tuple[int, Arrays], None, None]:
    """Yield number and result of ``function(shared, job)`` for every job, in the order in which they are done.

    A job whose worker is lost is given to another one; the other jobs go on. Linear algebra has one thread in a worker,
    so that a sum does not depend on the machine's cores. Log lines of Dask are held back meanwhile.

    Parameters
    ----------
    function
        Importable on the workers; its result depends on its arguments alone.
    shared
        Sent to the workers once.
    jobs
        By number.
    cluster
        ``"local"``: processes on this machine, closed at the end. Else the address of a scheduler, such as
        ``"tcp://host:8786"``, or a Client or cluster object of Dask, left open.
    n_workers
        Processes, for ``"local"``.

    Raises
    ------
    InputError
        When no scheduler answers, a worker holds another version of this package or none, workers die of the same job
        again and again, or the scheduler goes away.
    MissingExtraError
        When Dask is not installed.
    """
    distributed = require_extra("distributed", extra="cluster", by=_USER)
    with _quiet(), _opened(distributed, cluster, min(n_workers, len(jobs))) as client:
        own = isinstance(cluster, str) and cluster == _LOCAL
        _await_worker(client, own=own)
        _require_version(client)
        _tell_idle(client, len(jobs))
        version, data = _version(), _sent(client, shared)
        futures = {client.submit(_call, function, data, job, version, pure=False): n for n, job in jobs.items()}
        while futures:
            _await_one(distributed, client, list(futures), own=own)
            for future in [future for future in futures if future.status != "pending"]:
                number = futures.pop(future)
                if future.status == "error":
                    raise _told(distributed, number, future.exception())
                yield number, _fetched(distributed, future)


def _sent(client: Any, shared: object) -> Any:
    """Hand over what all jobs share, as the result of a job.

    Data that are scattered go down with the last worker that holds them, and every job with them; a job is done again.
    """
    config = require_extra("dask.config", extra="cluster", by=_USER)
    content = pickle.dumps(shared)
    with config.set({"distributed.admin.large-graph-warning-threshold": f"{len(content) + _GRAPH_BYTES} B"}):
        return client.submit(pickle.loads, content, pure=False)  # noqa: S301  (made two lines above)


def _fetched(distributed: Any, future: Any) -> Arrays:
    try:
        arrays: Arrays = future.result()
    except distributed.client.FutureCancelledError as error:
        raise InputError(f"{_WENT_AWAY} {_GOES_ON}") from error
    return arrays


def _await_one(distributed: Any, client: Any, futures: list[Any], *, own: bool) -> None:
    """Wait until one is done, failed or lost."""
    while all(future.status == "pending" for future in futures):
        try:
            with client.as_current():
                distributed.wait(futures, timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED")
        except distributed.client.FuturesCancelledError:
            return
        except TimeoutError:
            _await_worker(client, own=own)


def _await_worker(client: Any, *, own: bool) -> None:
    """Wait while there is no worker: a queue may give one in an hour, but this machine's own come at once or never."""
    begin = time.monotonic()
    while not _n_threads(client):
        if own and time.monotonic() - begin > _START_SECONDS:
            raise InputError(f"cluster: no process of this machine started within {_START_SECONDS:g} s. {_GOES_ON}")
        if not own:
            warnings.warn(
                f"NetworkProfiler: the scheduler {client.scheduler.address} has no worker now; waiting for one.",
                UserWarning,
                stacklevel=2,
            )
        time.sleep(_NAP_SECONDS)


def _n_threads(client: Any) -> int:
    try:
        return sum(client.nthreads().values())
    except OSError as error:
        raise InputError(f"{_WENT_AWAY} {_GOES_ON}") from error


def _call(function: Callable[[SharedT, JobT], Arrays], shared: SharedT, job: JobT, version: str) -> Arrays:
    """Run on a worker, which may have come after the others were looked at."""
    if _version() != version:
        raise InputError(f"cluster: a worker has kotowari {_version()}, and this is {version}. Install the same there.")
    # for good: two jobs on threads of one worker would undo each other's limits
    threadpool_limits(1, user_api="blas")
    return function(shared, job)


def _told(distributed: Any, number: int, error: BaseException) -> BaseException:
    """Return what a job failed of, in a sentence where the reason is the cluster."""
    if isinstance(error, distributed.scheduler.KilledWorker):
        return InputError(
            f"cluster: block {number} was given to {error.allowed_failures + 1} workers, and all of them died, most "
            f"likely for lack of memory. Lower block_size, or give workers more memory. {_GOES_ON}"
        )
    if isinstance(error, ImportError):
        return InputError(f"cluster: a worker cannot load this package ({error}). Install kotowari {_version()} there.")
    return error


@contextmanager
def _opened(distributed: Any, cluster: Any, n_workers: int) -> Iterator[Any]:
    """Give a client; what was made here is closed."""
    if isinstance(cluster, distributed.Client):
        if cluster.asynchronous:
            raise InputError("cluster: an asynchronous Client cannot be waited for. Bring a synchronous one.")
        yield cluster
        return
    with ExitStack() as stack:
        if isinstance(cluster, str) and cluster == _LOCAL:
            cluster = stack.enter_context(_local(distributed, n_workers))
        elif isinstance(cluster, str):
            _require_scheduler(cluster)
        elif not hasattr(cluster, "scheduler_address"):
            raise InputError(
                "cluster must be None, 'local', the address of a scheduler, or a Client or cluster object of Dask, got "
                f"{cluster!r}."
            )
        yield stack.enter_context(distributed.Client(cluster, set_as_default=False))


def _local(distributed: Any, n_workers: int) -> Any:
    """Return a scheduler in this process, and workers that are processes with one thread each.

    The workers are started as commands. Dask's own LocalCluster spawns them, which runs a script without a guard around
    its main part once more in every worker.
    """
    subprocess = require_extra("distributed.deploy.subprocess", extra="cluster", by=_USER)
    common = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    # no limit, as for threads of this process: a worker that is paused at a share of the memory would wait for ever
    options = common | {"nthreads": 1, "silence_logs": logging.CRITICAL, "memory_limit": 0}
    worker = {"cls": subprocess.SubprocessWorker, "options": {"worker_kwargs": options}}
    return distributed.SpecCluster(
        scheduler={"cls": distributed.Scheduler, "options": common | {"port": 0}},
        workers=dict.fromkeys(range(n_workers), worker),
        silence_logs=logging.CRITICAL,
    )


def _require_scheduler(address: str) -> None:
    """Knock at the door: a Client would wait half a minute for nobody, and for ever for a stranger that is silent."""
    comm = require_extra("distributed.comm", extra="cluster", by=_USER)

    async def knock() -> None:
        answer = await asyncio.wait_for(comm.connect(address, timeout=_CONNECT_SECONDS - 1), _CONNECT_SECONDS)
        await answer.close()

    try:
        # on a thread: there may be a loop in this one, as in a notebook
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(knock())).result()
    except ValueError as error:
        raise InputError(f"cluster: {address!r} is no address of a scheduler ({error}).") from error
    except Exception as error:  # a stranger may answer anything
        raise InputError(
            f"cluster: no Dask scheduler answers at {address}. Start one (dask scheduler), or check host and port."
        ) from error


def _require_version(client: Any) -> None:
    """Ask with a function of the standard library, which everyone can load; a scheduler reads what it hands on."""
    version = _version()
    try:
        found = {"scheduler": client.run_on_scheduler(metadata.version, "kotowari")}
    except ImportError as error:
        raise InputError(
            f"cluster: there is no kotowari on the scheduler. Install kotowari {version} there."
        ) from error
    found |= client.run(metadata.version, "kotowari", on_error="return")
    absent = [address for address, answer in found.items() if isinstance(answer, ImportError)]
    if absent:
        raise InputError(
            f"cluster: there is no kotowari on the workers {few(absent)}. Install kotowari {version} there."
        )
    # any other error is of a worker that went away; whoever comes later is asked with its first job
    told = {address: answer for address, answer in found.items() if isinstance(answer, str)}
    if other := {address: answer for address, answer in told.items() if answer != version}:
        raise InputError(
            f"cluster: {few(other)} have kotowari {few(set(other.values()))}, and this is {version}. "
            "Install the same there."
        )


def _tell_idle(client: Any, n_jobs: int) -> None:
    n_threads = _n_threads(client)
    if n_jobs < n_threads:
        warnings.warn(
            f"NetworkProfiler: {n_jobs} blocks keep only {n_jobs} of {n_threads} workers busy. A smaller block_size "
            "makes more of them.",
            UserWarning,
            stacklevel=2,
        )


def _version() -> str:
    return metadata.version("kotowari")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the log of Dask, which tells at length of workers that come and go."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in {"distributed", "tornado"}]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
