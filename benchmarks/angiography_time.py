"""Seconds and memory: the layers of a run, a long run from a file, and frames a second; on two threads, each alone."""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from harness import Figures, NotMeasured

__all__ = ["frames_a_second", "layers_of_clip", "long_run"]

Frames = npt.NDArray[np.float32]

_THREADS = 2
_TOL = 1e-4
_LEVELS = 65_535
_WARM = 3


def layers_of_clip(quick: bool) -> Figures:
    """Measure ``clip_ls_s`` and ``clip_ls_speedup`` on the clip of 96 x 512 x 512 frames.

    The first is the whole separation with total variation, wall seconds on two threads of a process of its own, without
    the compilation before it. The second compares robust PCA of the same frames inside the field, which both solve to
    a residual of 1e-4: our method, and the same with a full SVD in each step, CPU seconds of one thread.
    """
    from angiography_data import clip

    run = clip(quick=quick)
    with TemporaryDirectory() as name:
        path = Path(name) / "run.npz"
        np.savez(path, frames=run.frames, field=run.field)
        alone = _alone("layers", str(path))
    return {f"clip_ls_{key}": value for key, value in alone.items()} | _robust_pca_race(run.frames[:, run.field], quick)


def long_run(quick: bool) -> Figures:
    """Measure ``run_peak_gb``: 200 x 1024 x 1024 frames of 16 bits, mapped from a file, through a few steps.

    It is the largest resident set of the process in 10^9 bytes, pages of the mapped file included, up to a picture of
    the largest S over time. Steps do not add to it, so there are few, and the gap is far from closed.
    """
    n_frames, side, steps = (20, 128, 2) if quick else (200, 1024, 4)
    with TemporaryDirectory() as name:
        path = Path(name) / "frames.npy"
        _write_long_run(path, n_frames, side)
        alone = _alone("long", str(path), "--steps", str(steps))
    return {f"run_{key}": value for key, value in alone.items()} | {"run_file_gb": 2e-9 * n_frames * side * side}


def frames_a_second(quick: bool) -> Figures:
    """Measure ``frames_per_s`` at 256 x 256 and 512 x 512, two threads, float32 and bfloat16, and the AP of both.

    Median wall seconds of :meth:`VesselEnhancer.enhance_frame`, from attenuation to map, on frames of the clip; those
    of 256 are its middle. bfloat16 is PyTorch's autocast around the same call. AP is that of one half's network on the
    other half of CIMAT's angiograms.
    """
    from angiography_data import angiograms, cimat_network, clip, halves
    from kotowari.studies.angiography.ranking import ranking_scores

    enhancer, pictures, run = cimat_network(0, 0, quick=quick).enhancer, angiograms(quick=quick), clip(quick=quick)
    with TemporaryDirectory() as name:
        np.savez(Path(name) / "run.npz", frames=run.frames[-8:], field=run.field)
        enhancer.save(Path(name) / "network")
        words = ("--network", str(Path(name) / "network"), "--rounds", "3" if quick else "25")
        alone = _alone("speed", str(Path(name) / "run.npz"), *words)
    figures: Figures = dict(alone)
    for precision, half in {"": False, "_bfloat16": True}.items():
        scores = []
        for place in halves(len(pictures))[1]:
            own, truth = pictures[place].run, pictures[place].truth
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                values = enhancer.enhance_frame(own.frames[0], own.field)
            scores.append(ranking_scores(values[truth & own.field], values[own.field & ~truth])[1])
        figures[f"frames_ap{precision}"] = float(np.mean(scores))
    return figures


# --------------------------------------------------------------------------------------------- robust PCA, one thread


def _robust_pca_race(matrix: Frames, quick: bool) -> Figures:
    from kotowari.priors.robust_pca import robust_pca
    from priors_spectra import inexact_alm

    torch.set_num_threads(1)
    x = torch.from_numpy(np.ascontiguousarray(matrix))
    weight = 1 / max(x.shape) ** 0.5
    robust_pca(x[:, :2000], weight, _TOL)
    times = [_cpu_seconds(lambda: robust_pca(x, weight, _TOL)) for _ in range(2 if quick else 3)]
    found: list[Any] = []
    theirs = _cpu_seconds(lambda: found.append(inexact_alm(x, weight, _TOL)))
    ours = robust_pca(x, weight, _TOL).state
    ratio = _objective(ours.low_rank[0], ours.sparse[0], weight) / _objective(*found[0], weight)
    return {
        "clip_ls_speedup": theirs / statistics.median(times),
        "clip_rpca_cpu_s": statistics.median(times),
        "clip_rpca_svd_cpu_s": theirs,
        "clip_rpca_objective_ratio": ratio,
        "clip_rpca_pixels": x.shape[1],
    }


def _objective(low_rank: torch.Tensor, sparse: torch.Tensor, weight: float) -> float:
    """Return nuclear norm and weighted absolute sum, the former by the small Gram matrix in double."""
    gram = torch.zeros(len(low_rank), len(low_rank), dtype=torch.float64)
    for block in low_rank.split(1 << 14, dim=1):
        gram += block.double() @ block.double().T
    nuclear = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().sum()
    return float(nuclear + weight * sparse.abs().sum(dtype=torch.float64))


def _cpu_seconds(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


# ---------------------------------------------------------------------------------------------- processes of their own


def _alone(kind: str, *words: str) -> dict[str, float]:
    """Run one kind of work in a process that has done nothing else, on two threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, __file__, kind, *words],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | dict.fromkeys(names, str(_THREADS)),
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _layers(path: Path) -> dict[str, float]:
    from kotowari.priors.space_time import separate_run

    with np.load(path) as arrays:
        frames, field = arrays["frames"], arrays["field"]
    separate_run(frames[:4, :32, :32], n_threads=_THREADS, max_steps=2)  # compiles
    begin, wall = _own_cpu_seconds(), time.perf_counter()
    found = separate_run(frames, field, n_threads=_THREADS)
    return {
        "s": time.perf_counter() - wall,
        "cpu_s": _own_cpu_seconds() - begin,
        "peak_gb": _peak_gb(),
        "steps": found.n_steps,
        "gap": found.gap,
        "rank": found.time.shape[1],
        "threads": _THREADS,
    }


def _long(path: Path, steps: int) -> dict[str, float]:
    from kotowari.priors.run_rows import RunRows
    from kotowari.priors.space_time import separate_run
    from kotowari.studies.angiography.attenuation import to_attenuation

    frames = np.load(path, mmap_mode="r")
    rows = RunRows.of_levels(frames, to_attenuation(np.arange(_LEVELS + 1), _LEVELS))
    begin = _own_cpu_seconds()
    found = separate_run(rows, n_threads=_THREADS, max_steps=steps, compact=True)
    height = frames.shape[1]
    most = [found.sparse_rows(top, min(top + 32, height)).max(0) for top in range(0, height, 32)]
    if not np.isfinite(np.concatenate(most)).all():
        raise RuntimeError("The sparse part is not finite.")
    cpu_s = _own_cpu_seconds() - begin
    return {"peak_gb": _peak_gb(), "steps": found.n_steps, "cpu_s": cpu_s, "gap": found.gap}


def _speed(path: Path, network: Path, rounds: int) -> dict[str, float]:
    from kotowari.studies.angiography.model.enhancer import VesselEnhancer

    torch.set_num_threads(_THREADS)
    enhancer = VesselEnhancer.load(network)
    with np.load(path) as arrays:
        frames, field = arrays["frames"], arrays["field"]
    pictures = {side: (_middle(frames, side), _middle(field, side)) for side in (256, 512)}
    ways = [(side, half) for side in pictures for half in (False, True)]
    wall: dict[tuple[int, bool], list[float]] = {way: [] for way in ways}
    cpu: dict[tuple[int, bool], list[float]] = {way: [] for way in ways}
    for number in range(_WARM + rounds):
        for way in ways:  # in turn, so that what else the machine does falls on all of them
            own, inside = pictures[way[0]]
            with torch.autocast("cpu", torch.bfloat16, enabled=way[1]):
                begin, spent = time.perf_counter(), _own_cpu_seconds()
                enhancer.enhance_frame(own[number % len(own)], inside)
                wall[way].append(time.perf_counter() - begin)
                cpu[way].append(_own_cpu_seconds() - spent)
    found: dict[str, float] = {}
    for side, half in ways:
        rest = f"{'' if side == 256 else f'_{side}'}{'_bfloat16' if half else ''}"
        found[f"frames_per_s{rest}"] = 1 / statistics.median(wall[side, half][_WARM:])
        found[f"frames_per_cpu_s{rest}"] = 1 / statistics.median(cpu[side, half][_WARM:])
    return found


def _middle(array: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    height, width = array.shape[-2:]
    repeats = -(-side // min(height, width))  # the clip of a quick run is smaller
    tiled = np.tile(array, (*(1,) * (array.ndim - 2), repeats, repeats))
    top, left = (tiled.shape[-2] - side) // 2, (tiled.shape[-1] - side) // 2
    return np.ascontiguousarray(tiled[..., top : top + side, left : left + side])


def _write_long_run(path: Path, n_frames: int, side: int) -> None:
    """Write a simulated run, enlarged, again and again with new noise."""
    from scipy import ndimage

    from kotowari.studies.angiography.phantom import simulate_run
    from kotowari.studies.angiography.phantom_settings import RunSettings

    n_drawn = min(n_frames, 40)
    small = simulate_run(RunSettings(shape=(128, 128), n_frames=n_drawn, photons=1e5, bits=16), 0).intensity
    rng = np.random.default_rng(0)
    frames = np.lib.format.open_memmap(path, "w+", np.uint16, (n_frames, side, side))
    for number in range(n_frames):
        large = ndimage.zoom(small[number % n_drawn].astype(np.float32), side / 128, order=1)
        large *= 1 + 0.03 * rng.standard_normal(large.shape, np.float32)
        frames[number] = np.clip(large, 0, _LEVELS)
    frames.flush()


def _own_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_gb() -> float:
    """Return the peak of this process; that of ``getrusage`` is handed on by a large parent."""
    status = Path("/proc/self/status")
    if not status.exists():
        raise NotMeasured("Peak memory is read from /proc, which this system does not have.")
    lines = status.read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024e-9


def main() -> None:
    """Do one kind of work alone in its process and print what it took as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("layers", "long", "speed"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--network", type=Path, help="folder of a network, for speed")
    parser.add_argument("--rounds", type=int, help="frames that are timed, for speed", default=25)
    parser.add_argument("--steps", type=int, help="steps at full resolution, for long", default=4)
    given = parser.parse_args()
    if given.kind == "layers":
        found = _layers(given.path)
    elif given.kind == "long":
        found = _long(given.path, given.steps)
    else:
        found = _speed(given.path, given.network, given.rounds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
