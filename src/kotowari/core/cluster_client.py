"""The door of a Dask cluster: who answers there, whether it holds this package, and how quietly."""

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import metadata
from types import ModuleType
from typing import Any

from kotowari.core.checks import few, require_extra
from kotowari.core.errors import InputError

__all__ = ["LOCAL", "connected", "dask_module", "own_version"]

LOCAL = "local"
_CONNECT_SECONDS = 5.0


def dask_module(name: str) -> ModuleType:
    """Import a module of Dask, or say how to install it."""
    return require_extra(name, extra="cluster", by="A cluster")


def own_version() -> str:
    """Return the version of this package that every worker must have."""
    return metadata.version("kotowari")


@contextmanager
def connected(where: Any, n_workers: int) -> Iterator[Any]:
    """Give a client of Dask whose scheduler and workers hold this version; what was made here is closed.

    Log lines of Dask, which tell at length of workers that come and go, are held back meanwhile.

    Parameters
    ----------
    where
        ``"local"``: processes on this machine. Else the address of a scheduler, or a Client or cluster object of Dask,
        left open.
    n_workers
        Processes, for ``"local"``.

    Raises
    ------
    InputError
        When no scheduler answers, or it or a worker holds another version of this package or none.
    MissingExtraError
        When Dask is not installed.
    """
    distributed = dask_module("distributed")
    with _quiet(), _opened(distributed, where, n_workers) as client:
        _require_version(client)
        yield client


@contextmanager
def _opened(distributed: Any, where: Any, n_workers: int) -> Iterator[Any]:
    if isinstance(where, distributed.Client):
        if where.asynchronous:
            raise InputError("cluster: an asynchronous Client cannot be waited for. Bring a synchronous one.")
        yield where
        return
    with ExitStack() as stack:
        if isinstance(where, str) and where == LOCAL:
            where = stack.enter_context(_local(distributed, n_workers))
        elif isinstance(where, str):
            _require_scheduler(where)
        elif not hasattr(where, "scheduler_address"):
            raise InputError(
                "cluster must be None, 'local', the address of a scheduler, or a Client or cluster object of Dask, got "
                f"{where!r}."
            )
        yield stack.enter_context(distributed.Client(where, set_as_default=False))


def _local(distributed: Any, n_workers: int) -> Any:
    """Return a scheduler in this process, and workers that are processes with one thread each.

    The workers are started as commands. Dask's own LocalCluster spawns them, which runs a script without a guard around
    its main part once more in every worker.
    """
    subprocess = dask_module("distributed.deploy.subprocess")
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
    comm = dask_module("distributed.comm")

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
    version = own_version()
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


@contextmanager
def _quiet() -> Iterator[None]:
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in {"distributed", "tornado"}]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
