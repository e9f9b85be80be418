"""Figures over seeds: their means with intervals, and finished seeds kept so that a stopped run goes on."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness import Figures

__all__ = ["CACHE", "by_seed", "kept_folder", "mean_with_interval", "summary"]

CACHE = "KOTOWARI_BENCHMARK_CACHE"
"""Environment variable with the folder that keeps finished seeds; without it nothing is kept."""

Row = dict[str, float]


def by_seed(part: str, seeds: Sequence[Any], measure: Callable[[Any], Row], settings: Any) -> list[Row]:
    """Return the figures of every seed; those that stand in the folder are not computed again.

    Parameters
    ----------
    part
        Name of the files.
    seeds
        What ``measure`` is called with, one after the other.
    measure
        Returns the figures of one seed.
    settings
        Everything that the figures depend on beside the seed and the code; other settings, other files.
    """
    rows, folder = [], kept_folder(part, settings)
    for number, seed in enumerate(seeds, start=1):
        path = None if folder is None else folder / f"{seed}.json"
        if path is not None and path.is_file():
            rows.append(json.loads(path.read_text(encoding="utf-8")))
            continue
        begin = time.process_time()
        rows.append(measure(seed))
        spent = time.process_time() - begin
        print(f"  {part} {seed} ({number} of {len(seeds)}): {spent:.0f} CPU s", file=sys.stderr, flush=True)
        if path is not None:
            beside = path.with_suffix(".part")
            beside.write_text(json.dumps(rows[-1]), encoding="utf-8")
            beside.replace(path)
    return rows


def kept_folder(part: str, settings: Any) -> Path | None:
    """Return the folder of a part and its settings, made where it is missing; None where nothing is to be kept."""
    if CACHE not in os.environ:
        return None
    word = hashlib.sha256(repr(settings).encode()).hexdigest()[:12]
    folder = Path(os.environ[CACHE]) / f"{part}-{word}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def summary(rows: Sequence[Mapping[str, float]], *, lists: Sequence[str] = ()) -> Figures:
    """Return the mean of every figure over seeds with its 95 % interval, and some of them seed by seed as text."""
    figures: Figures = {}
    for key in rows[0]:
        values = np.array([row[key] for row in rows], dtype=np.float64)
        figures |= mean_with_interval(key, values[np.isfinite(values)] if np.isfinite(values).any() else values)
    for key in lists:
        figures[f"{key}_by_seed"] = " ".join(f"{row[key]:.4f}" for row in rows)
    return figures


def mean_with_interval(key: str, values: npt.NDArray[np.float64]) -> Figures:
    """Return a mean over phantoms and the ends of its 95 % interval by Student's t; none for one phantom."""
    mean = float(values.mean())
    if len(values) < 2:
        return {key: mean}
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return {key: mean, f"{key}_low": mean - half, f"{key}_high": mean + half}
