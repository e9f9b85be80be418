"""Coarse jobs on the workers of a Dask cluster: what they share is sent once, and each answer comes as it is done."""

import hashlib
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self, TypeVar

from threadpoolctl import threadpool_limits

from kotowari.core.cluster_client import LOCAL, connected, dask_module, own_version
from kotowari.core.errors import InputError

__all__ = ["Cluster", "as_cluster"]

KeyT = TypeVar("KeyT")
ResultT = TypeVar("ResultT")
Told = list[tuple[type[Warning], str]]

_START_SECONDS = 120.0
_LOOK_SECONDS, _NAP_SECONDS = 2.0, 0.2
_LARGE_BYTES = 10_000
_NO_LIMIT = "1 TB"
_WENT_AWAY = "cluster: the scheduler went away."
_GOES_ON = "What was written to a folder stays, and the same call goes on there."

# on a worker: jobs that change settings of their process, such as warnings and threads, come one after the other
_TURN = threading.Lock()


class Cluster:
    """Workers of Dask: opened when they are first asked for something, and kept for as many batches of jobs as follow.

    A job whose worker is lost is given to another one; the other jobs go on. Every job gets arguments of its own, and
    linear algebra has one thread there, so that a result depends neither on the worker nor on what ran before it.

    Parameters
    ----------
    where
        ``"local"``: processes on this machine, ended by :meth:`close`. Else the address of a scheduler, such as
        ``"tcp://host:8786"``, or a Client or cluster object of Dask, left open. All workers need this version of the
        package.
    n_workers
        Processes, for ``"local"``.
    """

    def __init__(self, where: Any, *, n_workers: int = 1) -> None:
        self._where = where
        self._n_workers = n_workers
        self._client: Any = None
        self._stack = ExitStack()
        self._threads_told = False

    def __repr__(self) -> str:
        return f"Cluster({self._where!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Part from the scheduler, and end what was made here; the next batch opens it again."""
        self._client = None
        self._stack.close()

    @property
    def n_processes(self) -> int:
        """Worker processes now, 1 or more; waits for the first."""
        self._await_worker()
        return len(self._threads())

    @property
    def n_threads(self) -> int:
        """Threads of all workers now, 1 or more; waits for the first."""
        self._await_worker()
        return sum(self._threads().values())

    def map(
        self,
        function: Callable[..., ResultT],
        jobs: Mapping[KeyT, tuple[Any, ...]],
        *,
        on_threads: bool = False,
        unit: str = "job",
        relief: str = "Give workers more memory.",
    ) -> Generator[tuple[KeyT, ResultT], None, None]:
        """Yield key and result of ``function(*arguments)`` for every job, in the order in which they are done.

        What a job warns of is warned of here. Large arguments that are equal are sent once.

        Parameters
        ----------
        function
            Its result depends on its arguments alone; whatever it is defined in can be loaded on the workers.
        jobs
            Key to arguments.
        on_threads
            Whether a worker of several threads may run several of these jobs at once. Without, it runs one after the
            other: settings of a process, such as the filters of warnings, are no thread's own. Nothing is warned of
            here then.
        unit, relief
            For sentences: what a job is called, and what helps if its workers die.

        Raises
        ------
        InputError
            When no scheduler answers, a worker holds another version of this package or none, workers die of the same
            job again and again, or the scheduler goes away.
        MissingExtraError
            When Dask is not installed.
        Exception
            What a job raises; the others that are not done are given up.
        """
        if not jobs:
            return
        distributed = dask_module("distributed")
        self._await_worker()
        if not on_threads:
            self._tell_threads()
        futures = self._submitted(function, jobs, on_threads=on_threads)
        try:
            while futures:
                self._await_one(distributed, list(futures))
                for future in [future for future in futures if future.status != "pending"]:
                    key = futures.pop(future)
                    if future.status == "error":
                        raise _explained(distributed, f"{unit} {key}", future.exception(), relief)
                    result, told = _fetched(distributed, future)
                    for category, text in told:
                        warnings.warn(text, category, stacklevel=2)
                    yield key, result
        finally:
            # an error's traceback would hold them, and so keep their jobs going
            for future in futures:
                future.release()

    def _connected(self) -> Any:
        if self._client is None:
            self._client = self._stack.enter_context(connected(self._where, self._n_workers))
        return self._client

    def _submitted(
        self, function: Callable[..., ResultT], jobs: Mapping[KeyT, tuple[Any, ...]], *, on_threads: bool
    ) -> dict[Any, KeyT]:
        """Hand over all jobs; a large piece goes as the result of a job of its own.

        Data that are scattered go down with the last worker that holds them, and every job with them; a job is done
        again.
        """
        client, version = self._connected(), own_version()
        pieces: dict[int, Any] = {}
        sent: dict[bytes, Any] = {}

        def piece(part: object) -> Any:
            if id(part) not in pieces:
                content = _dumps(part)
                pieces[id(part)] = content if len(content) < _LARGE_BYTES else large(content)
            return pieces[id(part)]

        def large(content: bytes) -> Any:
            digest = hashlib.blake2b(content).digest()
            if digest not in sent:
                sent[digest] = client.submit(bytes, content, pure=False)
            return sent[digest]

        with dask_module("dask.config").set({"distributed.admin.large-graph-warning-threshold": _NO_LIMIT}):
            return {
                client.submit(_call, version, on_threads, *map(piece, (function, *arguments)), pure=False): key
                for key, arguments in jobs.items()
            }

    def _await_one(self, distributed: Any, futures: list[Any]) -> None:
        """Wait until one is done, failed or lost."""
        while all(future.status == "pending" for future in futures):
            try:
                with self._connected().as_current():
                    distributed.wait(futures, timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED")
            except distributed.client.FuturesCancelledError:
                return
            except TimeoutError:
                self._await_worker()

    def _await_worker(self) -> None:
        """Wait while there is no worker: a queue may give one in an hour, but this machine's own come at once."""
        begin, own = time.monotonic(), isinstance(self._where, str) and self._where == LOCAL
        while not self._threads():
            if own and time.monotonic() - begin > _START_SECONDS:
                raise InputError(f"cluster: no process of this machine started within {_START_SECONDS:g} s. {_GOES_ON}")
            if not own:
                warnings.warn(
                    f"cluster: the scheduler {self._connected().scheduler.address} has no worker now; waiting for one.",
                    UserWarning,
                    stacklevel=2,
                )
            time.sleep(_NAP_SECONDS)

    def _threads(self) -> dict[str, int]:
        """Return the threads of every worker by its address."""
        try:
            found: dict[str, int] = self._connected().nthreads()
        except OSError as error:
            raise InputError(f"{_WENT_AWAY} {_GOES_ON}") from error
        return found

    def _tell_threads(self) -> None:
        if not self._threads_told and (most := max(self._threads().values(), default=1)) > 1:
            self._threads_told = True
            warnings.warn(
                f"cluster: a worker of {most} threads runs these jobs one after the other. Start workers of one thread "
                "each (dask worker --nworkers N --nthreads 1).",
                UserWarning,
                stacklevel=2,
            )


@contextmanager
def as_cluster(where: Any, *, n_workers: int) -> Iterator[Cluster | None]:
    """Give the :class:`Cluster` that is meant: one that is given is left open, another is closed; None stays None.

    Parameters
    ----------
    where
        None, a :class:`Cluster`, or what it is made of.
    n_workers
        Processes, for ``"local"``.
    """
    if where is None or isinstance(where, Cluster):
        yield where
        return
    with Cluster(where, n_workers=n_workers) as made:
        yield made


def _dumps(part: object) -> bytes:
    """Pickle, functions of a script or notebook by what they do: a worker knows no such module."""
    content: bytes = dask_module("cloudpickle").dumps(part)
    return content


def _call(version: str, on_threads: bool, *pieces: bytes) -> tuple[Any, Told]:
    """Run on a worker, which may have come after the others were looked at."""
    if own_version() != version:
        raise InputError(
            f"cluster: a worker has kotowari {own_version()}, and this is {version}. Install the same there."
        )
    # for good: two jobs on threads of one worker would undo each other's limits
    threadpool_limits(1, user_api="blas")
    function, *arguments = (pickle.loads(piece) for piece in pieces)  # noqa: S301  (made by whoever sent the job)
    if on_threads:
        return function(*arguments), []
    with _TURN, warnings.catch_warnings(record=True) as told:
        result = function(*arguments)
    return result, [(warning.category, str(warning.message)) for warning in told]


def _fetched(distributed: Any, future: Any) -> tuple[Any, Told]:
    try:
        answer: tuple[Any, Told] = future.result()
    except distributed.client.FutureCancelledError as error:
        raise InputError(f"{_WENT_AWAY} {_GOES_ON}") from error
    return answer


def _explained(distributed: Any, job: str, error: BaseException, relief: str) -> BaseException:
    """Return what a job failed of, in a sentence where the reason is the cluster."""
    if isinstance(error, distributed.scheduler.KilledWorker):
        return InputError(
            f"cluster: {job} was given to {error.allowed_failures + 1} workers, and all of them died, most likely for "
            f"lack of memory. {relief} {_GOES_ON}"
        )
    if isinstance(error, ImportError):
        return InputError(
            f"cluster: a worker cannot load what it needs ({error}). Install kotowari {own_version()} and its extras "
            "there, as here."
        )
    return error
