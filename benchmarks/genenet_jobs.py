"""The job of 2011, the whole genome, and many machines: minutes, gigabytes, and what a lost worker costs.

Every measure has a process of its own, so that its clock and its memory are its own.
``python benchmarks/genenet_jobs.py [--quick]`` prints all of them.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from genenet_peers import varying_networks
from harness import Figures, NotMeasured
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler

__all__ = ["job_2011", "many_machines", "whole_genome"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_SIZE = (762, 1732, 100)  # samples, regulators, targets
_GENOME = 13_508
_CORES = 2
_OPTIONS: dict[str, Any] = {"n_lambdas": 30, "ridges": (0.01,), "max_rounds": 2}
_WHOLE_GRID: dict[str, Any] = {"n_lambdas": 30, "ridges": (0.001, 0.01, 0.1), "max_rounds": 10}
_BANDWIDTHS = 5


def job_2011(quick: bool) -> Figures:
    """Measure ``job2011_minutes`` and ``job2011_peak_gb``: 762 samples, 1,732 regulators, 100 targets.

    30 lambdas, 1 gamma, 2 rounds of weights, bandwidth by effective size; two threads, and the minutes are the larger
    of the wall clock and half of the CPU time. The same at 48 nodes, with its gap. The whole grid (3 gammas, up to
    10 rounds, each target's bandwidth out of 5 by prediction of a random half) is projected from fits at 15 nodes,
    2 % of them.
    """
    figures = _alone("whole", quick=quick) | _alone("nodes", quick=quick)
    return figures | _alone("grid", quick=quick)


def whole_genome(quick: bool) -> Figures:
    """Measure ``genome_hours`` and more: 13,508 targets, projected from 2 % of them, fitted at every sample.

    Hours are of two cores. Workers are of one core each, and spend what the CPU spent here.
    """
    return _alone("genome", quick=quick)


def many_machines(quick: bool) -> Figures:
    """Measure ``dask_speedup`` and ``dask_kill_equal``: two Dask workers against one, and one of two killed midway."""
    try:
        import distributed  # noqa: F401  # to say so in a sentence
    except ImportError as error:
        raise NotMeasured("Dask is not installed; pip install kotowari[cluster].") from error
    return _alone("dask", quick=quick)


# ------------------------------------------------------------------------------------------- in the process alone


def _measure_whole(*, quick: bool) -> Figures:
    job = _Job(quick=quick)
    seconds, cpu, profiler = job.run(_OPTIONS)
    table = profiler.fit_table()
    stack = profiler.networks()
    return {
        "job2011_minutes": max(seconds, cpu / _CORES) / 60,
        "job2011_wall_minutes": seconds / 60,
        "job2011_cpu_minutes": cpu / 60,
        "job2011_peak_gb": _peak_gb(),
        "job2011_fits": len(table),
        "job2011_max_gap": float(table["gap"].max()),
        "job2011_edges_a_fit": float(table["n_edges"].mean()),
        "job2011_networks_mb": 8e-6 * len(stack.entry_value),
    }


def _measure_nodes(*, quick: bool) -> Figures:
    seconds, cpu, profiler = _Job(quick=quick).run(_OPTIONS | {"n_nodes": 8 if quick else 48})
    return {
        "job2011_nodes": len(profiler.places_),
        "job2011_nodes_minutes": max(seconds, cpu / _CORES) / 60,
        "job2011_nodes_gap": profiler.node_gap_,
    }


def _measure_grid(*, quick: bool) -> Figures:
    """Split the cost at a few places into that of a place and that of a fit, and count both for the whole grid."""
    job = _Job(quick=quick)
    n_places, few = (4, 1) if quick else (15, 4)
    cost = [job.cpu_at_places(_WHOLE_GRID, n_places, n_targets) for n_targets in (few, job.n_targets)]
    a_fit = (cost[1] - cost[0]) / (n_places * (job.n_targets - few))
    a_place = max(cost[0] / n_places - few * a_fit, 0.0)
    n_samples = len(job.X)
    # half of the samples are predicted with every bandwidth; then all are fitted, at worst in a block a bandwidth
    places = _BANDWIDTHS * (n_samples // 2 + n_samples)
    fits = job.n_targets * (_BANDWIDTHS * (n_samples // 2) + n_samples)
    return {
        "job2011_grid_minutes": (places * a_place + fits * a_fit) / _CORES / 60,
        "job2011_grid_share": n_places / n_samples,
        "job2011_grid_ms_a_fit": 1e3 * a_fit,
        "job2011_grid_ms_a_place": 1e3 * a_place,
    }


def _measure_genome(*, quick: bool) -> Figures:
    job = _Job(quick=quick, n_targets=12 if quick else round(0.02 * _GENOME))
    wall, cpu, profiler = job.run(_OPTIONS)
    stack = profiler.networks()
    with TemporaryDirectory() as folder:
        stack.save(Path(folder))
        written = sum(path.stat().st_size for path in Path(folder).iterdir())
    times = _GENOME / job.n_targets
    return {
        "genome_hours": times * max(wall, cpu / _CORES) / 3600,
        "genome_cpu_hours": times * cpu / 3600,
        "genome_gb": times * written / 1e9,
        "genome_peak_gb": _peak_gb(),
        "genome_share": 1 / times,
        "genome_workers_for_one_hour": int(np.ceil(times * cpu / 3600)),
    }


def _measure_dask(*, quick: bool) -> Figures:
    from distributed import LocalCluster

    job = _Job.of(*varying_networks(*((120, 60, 16) if quick else (200, 200, 64))))
    options = _OPTIONS | {"max_rounds": 3, "block_size": 1 if quick else 4}
    expected = job.run(options, n_jobs=1)[2].networks()
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(1 if quick else 3):
        for n_workers, own in times.items():
            with LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None) as cluster:
                mine = options | {"cluster": cluster.scheduler_address}
                job.first(2 * n_workers).run(mine)  # imports and compiles
                own.append(job.run(mine)[0])
    speedups = [one / two for one, two in zip(times[1], times[2], strict=True)]
    killed = _with_a_worker_killed(job, options)
    return {
        "dask_speedup": statistics.median(speedups),
        "dask_speedup_lowest": min(speedups),
        "dask_one_worker_s": statistics.median(times[1]),
        "dask_two_workers_s": statistics.median(times[2]),
        "dask_kill_equal": killed is not None and _same_bytes(expected, killed),
        "dask_load_1min": os.getloadavg()[0],
    }


def _with_a_worker_killed(job: "_Job", options: dict[str, Any]) -> Any:
    """Return the networks of a run in which one of two workers was killed, or None when it came too late."""
    from distributed import LocalCluster

    with (
        TemporaryDirectory() as name,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        folder, n_blocks = Path(name) / "networks", -(-job.n_targets // options["block_size"])
        mine = options | {"cluster": cluster.scheduler_address}
        job.first(4).run(mine)
        pid = next(iter(cluster.workers.values())).pid
        struck, over = [], threading.Event()

        def strike() -> None:
            """Kill when a third of the blocks are there; half of them must still be missing."""
            while not over.wait(0.002):
                if n_blocks // 3 <= len(list(folder.glob("block-*.npz"))) <= n_blocks // 2:
                    os.kill(pid, 9)
                    struck.append(pid)
                    return

        watcher = threading.Thread(target=strike)
        watcher.start()
        try:
            found = job.run(mine | {"folder": folder})[2].networks()
        finally:
            over.set()
            watcher.join()
    return found if struck else None


def _same_bytes(a: Any, b: Any) -> bool:
    names = ("edge_regulator", "edge_target", "starts", "entry_edge", "entry_value", "intercepts", "fitted")
    return all(np.asarray(getattr(a, name)).tobytes() == np.asarray(getattr(b, name)).tobytes() for name in names)


class _Job:
    """A table of regulators and targets with its modulator, and how long the profiler takes on it."""

    def __init__(self, *, quick: bool, n_targets: int | None = None) -> None:
        n_samples, n_regulators, usual = (60, 80, 12) if quick else _SIZE
        X, Y, self.modulator = varying_networks(n_samples, n_regulators, n_targets or usual)
        self._take(X, Y)

    @classmethod
    def of(cls, X: Any, Y: Any, modulator: Any) -> "_Job":
        """Take a table that is there."""
        job = cls.__new__(cls)
        job.modulator = modulator
        job._take(X, Y)
        return job

    def _take(self, X: Any, Y: Any) -> None:
        self.X, self.n_regulators, self.n_targets = np.hstack([X, Y]), X.shape[1], Y.shape[1]

    def first(self, n_targets: int) -> "_Job":
        """Return the same with the first targets only."""
        edge = self.n_regulators
        return _Job.of(self.X[:, :edge], self.X[:, edge : edge + n_targets], self.modulator)

    def run(self, options: dict[str, Any], *, n_jobs: int = _CORES) -> tuple[float, float, NetworkProfiler]:
        """Return wall and CPU seconds of a fit, and the fitted profiler."""
        own: Sequence[int] = range(self.n_regulators)
        others: Sequence[int] = range(self.n_regulators, self.n_regulators + self.n_targets)
        profiler = NetworkProfiler(**options, n_jobs=n_jobs)
        wall, cpu = time.perf_counter(), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            profiler.fit(self.X, self.modulator, regulators=list(own), targets=list(others))
        return time.perf_counter() - wall, time.process_time() - cpu, profiler

    def cpu_at_places(self, options: dict[str, Any], n_places: int, n_targets: int) -> float:
        """Return CPU seconds of the fits of the first targets at some places of the modulator."""
        profiler = self.first(n_targets).run(options | {"n_nodes": 2}, n_jobs=1)[2]
        places = np.quantile(self.modulator, np.linspace(0, 1, n_places))
        begin = time.process_time()
        profiler.coefficients(places)
        return time.process_time() - begin


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


_MEASURES = {
    "whole": _measure_whole,
    "nodes": _measure_nodes,
    "grid": _measure_grid,
    "genome": _measure_genome,
    "dask": _measure_dask,
}


def _alone(name: str, *, quick: bool) -> Figures:
    """Run one measure in a new process, with one thread in every library."""
    environment = os.environ | dict.fromkeys(_THREADS, "1")
    command = [sys.executable, __file__, "--alone", name, *(["--quick"] if quick else [])]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Print the figures, or, with ``--alone``, measure one and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all runs")
    parser.add_argument("--alone", metavar="NAME", choices=_MEASURES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        print(json.dumps(_MEASURES[given.alone](quick=given.quick)))
        return
    for name in _MEASURES:
        for key, value in _alone(name, quick=given.quick).items():
            print(f"{key:<36} {value:.4g}", flush=True)


if __name__ == "__main__":
    main()
