"""Jobs each in a process of its own, so that one that is killed takes no other with it."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from joblib.externals.loky import ProcessPoolExecutor

__all__ = ["run_apart"]

# read by ITK, OpenMP and BLAS when they are loaded; the order of sums over threads would change the last bits
_ONE_THREAD = dict.fromkeys(
    ("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


def run_apart(
    function: Callable[..., Any], jobs: Mapping[str, tuple[Any, ...]], *, workers: int
) -> Iterator[tuple[str, "Future[Any]"]]:
    """Yield key and finished future of ``function(*arguments)`` for every job, as they come.

    A process serves one job, with one thread; its memory is given back afterwards. A process that dies shows as the
    exception of its future. When the caller stops early, the processes under way are ended.

    Parameters
    ----------
    function
        Importable, or picklable by value.
    jobs
        Key to arguments.
    workers
        Processes at once, 1 or more.
    """
    waiting = deque(jobs.items())
    running: dict[Future[Any], tuple[str, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                key, arguments = waiting.popleft()
                executor = ProcessPoolExecutor(max_workers=1, env=_ONE_THREAD)
                running[executor.submit(function, *arguments)] = (key, executor)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                key, executor = running.pop(future)
                executor.shutdown()
                yield key, future
    finally:
        for _, executor in running.values():
            executor.shutdown(kill_workers=True)
