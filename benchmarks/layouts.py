"""Layouts, assignments and images: time of one thread, peak memory, distance from the optimum.

Every figure has a process of its own, with one thread. ``python benchmarks/layouts.py [--quick]`` prints all of them.
"""

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

from kotowari.studies.omics.model.assignment import assign_pixels
from kotowari.studies.omics.model.embedding import embed, kl_divergence
from kotowari.studies.omics.model.transformer import DeepInsightTransformer

__all__ = ["assignment_20k", "cost_ratio", "images_memory", "tsne"]

Array = npt.NDArray[Any]
Figures = dict[str, float]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def tsne(*, quick: bool = False, rounds: int = 3) -> Figures:
    """Compare t-SNE by the cosine distance with scikit-learn's on 6,000 genes of 500 samples.

    ``tsne_speedup`` is the median, over rounds in which both run once, of their ratio of CPU times; ``tsne_kl_ratio``
    the median ratio of the exact divergences from one sparse P, scikit-learn's.
    """
    return _alone("tsne", quick=quick, rounds=1 if quick else rounds)


def assignment_20k(*, quick: bool = False, rounds: int = 5) -> Figures:
    """Measure ``layout20k_cpu_s`` (median) and ``layout20k_peak_gb`` (whole process): 20,000 genes on 224 x 224."""
    return _alone("assignment_20k", quick=quick, rounds=1 if quick else rounds)


def cost_ratio(*, quick: bool = False) -> Figures:
    """Measure ``layout_cost_ratio``: the largest ratio of mean squared shifts to SciPy's optimum.

    2,000 and 4,000 genes on 64 x 64 and on 128 x 128 pixels, each case also under a key of its own.
    """
    return _alone("cost_ratio", quick=quick)


def images_memory(*, quick: bool = False) -> Figures:
    """Measure ``images_peak_gb``: images of 10,000 samples x 20,000 genes from a backed h5ad, fit included.

    The layout is t-SNE of the first 500 samples, the frame 224 x 224; images are made, summed and dropped.
    """
    samples, genes = (600, 500) if quick else (10_000, 20_000)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.h5ad"
        _alone("write_table", quick=quick, path=path, samples=samples, genes=genes)
        return _alone("images", quick=quick, path=path)


# ------------------------------------------------------------------------------------------- in the process alone


def _measure_tsne(*, quick: bool, rounds: int) -> Figures:
    from sklearn.manifold import TSNE

    table = _expression(60, 400) if quick else _expression(500, 6000)
    profiles = np.ascontiguousarray(table.T)
    embed(profiles[:200])  # compiles
    joint = _scikit_learn_affinities(profiles)
    ours, theirs, divergences = [], [], []
    for seed in range(rounds):
        cpu, places = _timed(lambda seed=seed: embed(profiles, random_state=seed))
        ours.append(cpu)
        cpu, peer = _timed(
            lambda seed=seed: TSNE(2, metric="cosine", random_state=seed, n_jobs=1).fit_transform(profiles)
        )
        theirs.append(cpu)
        divergences.append((kl_divergence(joint, places), kl_divergence(joint, peer)))
    return {
        "tsne_speedup": statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
        "tsne_kl_ratio": statistics.median(a / b for a, b in divergences),
        "tsne_cpu_s": statistics.median(ours),
        "tsne_peer_cpu_s": statistics.median(theirs),
        "tsne_kl": statistics.median(a for a, _ in divergences),
        "tsne_peer_kl": statistics.median(b for _, b in divergences),
    }


def _measure_assignment_20k(*, quick: bool, rounds: int) -> Figures:
    genes, side = (2000, 64) if quick else (20_000, 224)
    places = _clustered(genes, side)
    assign_pixels(places[:50], (side, side))  # compiles
    runs = [_timed(lambda: assign_pixels(places, (side, side))) for _ in range(rounds)]
    _, found = runs[0]
    if len(np.unique(found.pixels, axis=0)) != genes:
        raise RuntimeError("Two genes share a pixel.")
    return {
        "layout20k_cpu_s": statistics.median(cpu for cpu, _ in runs),
        "layout20k_peak_gb": _peak_gb(),
        "layout20k_proven_ratio": found.shift / found.bound,
    }


def _measure_cost_ratio(*, quick: bool) -> Figures:
    figures = {}
    for genes in (200, 400) if quick else (2000, 4000):
        for side in (24, 48) if quick else (64, 128):
            places = _clustered(genes, side)
            shift, best = (assign_pixels(places, (side, side), assignment=a).shift for a in ("bisect", "lsa"))
            figures[f"layout_cost_ratio_{genes}_on_{side}"] = shift / best
    return {"layout_cost_ratio": max(figures.values())} | figures


def _measure_write_table(*, quick: bool, path: Path, samples: int, genes: int) -> Figures:
    """Write a dense h5ad block by block."""
    import anndata
    import h5py
    import pandas as pd

    del quick
    obs = pd.DataFrame(index=[f"S{number}" for number in range(samples)])
    var = pd.DataFrame(index=[f"G{number}" for number in range(genes)])
    anndata.AnnData(obs=obs, var=var, shape=(samples, genes)).write_h5ad(path)
    rng = np.random.default_rng(0)
    member, weight = rng.integers(0, 40, genes), rng.uniform(0.3, 1, genes)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        stored = file.create_dataset("X", (samples, genes), "f4")
        stored.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        for begin in range(0, samples, 500):
            rows = min(500, samples - begin)
            modules = rng.normal(size=(rows, 40))
            stored[begin : begin + rows] = 6 + modules[:, member] * weight + 0.7 * rng.normal(size=(rows, genes))
    return {"bytes": float(path.stat().st_size)}


def _measure_images(*, quick: bool, path: Path) -> Figures:
    import pandas as pd

    from kotowari.formats.blocks import TableBlocks

    table = TableBlocks(path, rows=500)
    begin = time.process_time()
    names, values = next(iter(table))
    side = 32 if quick else 224
    transformer = DeepInsightTransformer(shape=(side, side))
    transformer.fit(pd.DataFrame(values, index=list(names), columns=list(table.names)))
    fitted, count, total = time.process_time(), 0, 0.0
    for batch, images in transformer.batches(table, size=250):
        count += len(batch)
        total += float(images.sum(dtype=np.float64))
    if count != table.n_rows or not np.isfinite(total):
        raise RuntimeError(f"{count} images came of {table.n_rows} samples.")
    return {
        "images_peak_gb": _peak_gb(),
        "images_fit_cpu_s": fitted - begin,
        "images_transform_cpu_s": time.process_time() - fitted,
    }


_MEASURES: dict[str, Callable[..., Figures]] = {
    "tsne": _measure_tsne,
    "assignment_20k": _measure_assignment_20k,
    "cost_ratio": _measure_cost_ratio,
    "write_table": _measure_write_table,
    "images": _measure_images,
}


# ------------------------------------------------------------------------------------------------------- data, clocks


def _expression(samples: int, genes: int) -> Array:
    """Genes in 40 correlated modules, every gene scaled to [0, 1]; the same numbers as in the peers' script."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(samples, 40))[:, rng.integers(0, 40, genes)] * rng.uniform(0.3, 1, genes)
    values = values + 0.7 * rng.normal(size=(samples, genes))
    return np.asarray((values - values.min(0)) / np.ptp(values, axis=0))


def _clustered(genes: int, side: int) -> Array:
    """Points in 40 tight groups, scaled to fill the image; the same numbers as in the peers' script."""
    rng = np.random.default_rng(0)
    member = rng.integers(0, 40, genes)
    centres = 3 * rng.normal(size=(40, 2))[member]
    places = centres + rng.normal(size=(genes, 2)) * rng.uniform(0.1, 0.8, 40)[member, None]
    return np.asarray((places - places.min(0)) / np.ptp(places, axis=0) * (side - 1e-9))


def _scikit_learn_affinities(profiles: Array) -> Any:
    """Return the sparse P that scikit-learn's t-SNE descends on."""
    from sklearn.manifold._t_sne import _joint_probabilities_nn
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=min(91, len(profiles) - 1), metric="cosine").fit(profiles)
    distances = search.kneighbors_graph(mode="distance")
    distances.data **= 2
    return _joint_probabilities_nn(distances, 30, 0)


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.process_time()
    value = run()
    return time.process_time() - begin, value


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _alone(name: str, **options: Any) -> Figures:
    """Run one measure in a new process with one thread, so that its clock and its memory are its own."""
    environment = os.environ | dict.fromkeys(_THREADS, "1")
    texts = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    command = [sys.executable, __file__, "--alone", name, json.dumps(texts)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Print the figures, or, with ``--alone``, measure one and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all runs")
    parser.add_argument("--alone", nargs=2, metavar=("NAME", "OPTIONS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        name, options = given.alone[0], json.loads(given.alone[1])
        if "path" in options:
            options["path"] = Path(options["path"])
        print(json.dumps(_MEASURES[name](**options)))
        return
    for measure in (tsne, assignment_20k, cost_ratio, images_memory):
        for key, value in measure(quick=given.quick).items():
            print(f"{key:<36} {value:.4g}", flush=True)


if __name__ == "__main__":
    main()
