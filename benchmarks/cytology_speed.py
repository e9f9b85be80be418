"""How long a fit takes, and how long one large image: the map, the cells, and their table."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from cytology_judged import detector
from harness import Figures
from kotowari.studies.cytology.cell_table import cells_of
from kotowari.studies.cytology.model.detector import CellDetector
from kotowari.studies.cytology.model.instances import find_instances
from kotowari.studies.cytology.phantom import simulate_cells
from kotowari.studies.cytology.phantom_settings import CellSettings

__all__ = ["seconds_of_cells"]

_N_IMAGES, _SIDE, _LARGE = 40, 256, 1024
_N_CELLS = 2000
_THREADS = 2
_ROUNDS = 7


def seconds_of_cells(quick: bool) -> Figures:
    """Measure ``fit_minutes`` and ``apply_1024_s``, on simulated fluorescent nuclei.

    ``fit_minutes``: CPU minutes of one thread for 40 images of 256 x 256, whatever is done in ``fit``.
    ``apply_1024_s``: wall seconds of ``predict`` on 1024 x 1024 pixels in a process of its own with two threads, after
    one call to warm up: the least of seven, since a shared machine only ever adds. The cell table is that of a
    simulated image of its own with 2,000 cells.
    """
    images = _simulated(4 if quick else _N_IMAGES, _SIDE, (20, 60)).images
    begin = time.process_time()
    fitted = detector("bright", 0, quick=quick).fit(images)
    minutes = (time.process_time() - begin) / 60
    large = _simulated(1, 256 if quick else _LARGE, (10, 30) if quick else (300, 300))
    with TemporaryDirectory() as name:
        folder = Path(name)
        fitted.save(folder / "detector")
        np.save(folder / "image.npy", large.images[0])
        applied = _applied(folder, 2 if quick else _ROUNDS)
    figures: Figures = {"fit_minutes": minutes, "fit_images": len(images)}
    for n_threads, end in ((_THREADS, ""), (1, "_one_thread")):
        wall, cpu = applied["wall"][str(n_threads)], applied["cpu"][str(n_threads)]
        figures[f"apply_1024_s{end}"], figures[f"apply_1024_s{end}_highest"] = min(wall), max(wall)
        figures[f"apply_1024_cpu_s{end}"] = statistics.median(cpu)
    figures |= {"apply_1024_cells": applied["n_cells"], "instances_1024_cpu_s": statistics.median(applied["instances"])}
    return figures | _table(quick=quick)


def _simulated(n_images: int, side: int, n_cells: tuple[int, int], **changed: Any) -> Any:
    settings = CellSettings(n_images=n_images, height=side, width=side, kind="fluorescence", n_cells=n_cells, **changed)
    return simulate_cells(settings, 0)


def _table(*, quick: bool) -> Figures:
    """Time the table of the true cells, so that it is one of so many whatever is found."""
    side, n_cells = (256, 60) if quick else (1536, _N_CELLS)
    crowd = _simulated(1, side, (n_cells, n_cells), radius=(7.0, 9.0), strength=(0.3, 0.3))
    _, seconds = _seconds(lambda: cells_of(crowd.labels[0], crowd.images[0]), 2 if quick else 5)
    return {"cell_table_cpu_s": statistics.median(seconds), "cell_table_cells": int(crowd.counts[0])}


def _applied(folder: Path, n_rounds: int) -> dict[str, Any]:
    """Apply the detector in a new process with two threads, and with one."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    command = [sys.executable, __file__, str(folder), "--rounds", str(n_rounds)]
    threads = dict.fromkeys(names, str(_THREADS))
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | threads)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _seconds(work: Callable[[], object], n_rounds: int) -> tuple[list[float], list[float]]:
    """Return wall and CPU seconds of a call, again and again after one to warm up."""
    wall, cpu = [], []
    work()
    for _ in range(n_rounds):
        begins = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - begins[0])
        cpu.append(time.process_time() - begins[1])
    return wall, cpu


def main() -> None:
    """Apply a saved detector to one image again and again and print seconds as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds detector/ and image.npy")
    parser.add_argument("--rounds", type=int, required=True)
    given = parser.parse_args()
    finder, image = CellDetector.load(given.folder / "detector"), np.load(given.folder / "image.npy")
    told: dict[str, Any] = {"wall": {}, "cpu": {}, "n_cells": len(finder.predict(image).confidence)}
    for n_threads in (_THREADS, 1):
        torch.set_num_threads(n_threads)
        told["wall"][n_threads], told["cpu"][n_threads] = _seconds(lambda: finder.predict(image), given.rounds)
    foreground = finder.foreground(image)
    cut = finder.cut(foreground)
    _, told["instances"] = _seconds(lambda: find_instances(foreground, cut, finder.instances), given.rounds)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
