"""Coefficients that change along the modulator: false alarms where none does, and what is found where some do."""

import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness import Figures
from kotowari.studies.genenet.changing_coefficients import varying_edges
from kotowari.studies.genenet.gene_permutation import edge_permutation
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.studies.genenet.phantom import NetworkPhantom, simulate_networks

__all__ = ["changing_coefficients"]

Floats = npt.NDArray[np.float64]
Pairs = set[tuple[str, str]]

_LEVEL = 0.05
_SIZE = (80, 8, 4)  # samples, regulators, targets
_CONSTANT = "constant"


def changing_coefficients(quick: bool) -> Figures:
    """Measure ``changing_rejected`` and ``changing_found``.

    Rejected: share of tables of constant coefficients in which some edge has a family-wise p of 0.05 or less; means,
    spread and relations of the regulators and the variance of skewed noise follow the modulator. Found: the same share
    of the edges of simulated networks that change, beside those that are constant, and what the test for the presence
    of an edge says of both.
    """
    n_tables, n_phantoms = (4, 1) if quick else (100, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # ends of the modulator without a network
        rejected = [_smallest_p(seed) <= _LEVEL for seed in range(1000, 1000 + n_tables)]
        found = [_found(seed, quick=quick) for seed in range(n_phantoms)]
    means = {f"changing_{name}": float(np.mean([one[name] for one in found])) for name in found[0]}
    return means | {"changing_rejected": float(np.mean(rejected)), "changing_tables": n_tables}


def _smallest_p(seed: int) -> float:
    X, modulator, regulators, targets = _steady(np.random.default_rng(seed))
    profiler = NetworkProfiler(kernel="knn", effective_samples=0.5, max_rounds=1)
    found = varying_edges(profiler, X, modulator, regulators=regulators, targets=targets, n_draws=39, random_state=seed)
    return float(found.p.min(initial=1.0))


def _steady(rng: np.random.Generator) -> tuple[pd.DataFrame, Floats, list[str], list[str]]:
    """Return a table in which all moves along the modulator but the coefficients."""
    n_samples, n_regulators, n_targets = _SIZE
    m = np.sort(rng.uniform(size=n_samples))
    shared = rng.normal(size=(n_samples, 1)) * rng.choice([-1, 1], n_regulators)
    sources = (rng.normal(size=(n_samples, n_regulators)) + 1.5 * m[:, None] * shared) * (0.5 + m[:, None])
    sources += np.outer(np.sin(3 * m), rng.normal(size=n_regulators))
    beta = np.where(rng.random((n_regulators, n_targets)) < 0.3, rng.normal(size=(n_regulators, n_targets)), 0.0)
    signal = sources @ beta
    skewed = rng.exponential(size=signal.shape) - 1
    spread = np.maximum(signal.std(0), 0.5) * (1.3 - m[:, None])
    ends = signal + spread * skewed + np.outer(np.cos(3 * m), rng.normal(size=n_targets))
    names = [f"R{k}" for k in range(n_regulators)], [f"T{k}" for k in range(n_targets)]
    return pd.DataFrame(np.hstack([sources, ends]), columns=[*names[0], *names[1]]), m, *names


def _found(seed: int, *, quick: bool) -> dict[str, float]:
    sizes = {"n_samples": 60, "n_regulators": 12} if quick else {"n_samples": 200, "n_regulators": 30}
    phantom = simulate_networks(**sizes, n_targets=8, n_active=3, random_state=seed)
    genes = {"regulators": phantom.regulators, "targets": phantom.targets}
    profiler = NetworkProfiler(kernel="knn", effective_samples=0.5, max_rounds=1)
    n_refits = 19 if quick else 39
    changing = varying_edges(profiler, phantom.X, phantom.modulator, **genes, n_draws=n_refits, random_state=seed)
    present = edge_permutation(
        profiler, phantom.X, phantom.modulator, **genes, n_permutations=n_refits, random_state=seed
    )
    shares = {}
    for prefix, table in (("", changing.to_frame()), ("presence_", present.to_frame())):
        sure = _pairs(table[table["p"] <= _LEVEL])
        for name, truth in _planted(phantom).items():
            shares[f"{prefix}{name}"] = len(sure & truth) / max(len(truth), 1)
    return shares


def _planted(phantom: NetworkPhantom) -> dict[str, Pairs]:
    steady = phantom.shapes["shape"] == _CONSTANT
    return {"found": _pairs(phantom.shapes[~steady]), "found_constant": _pairs(phantom.shapes[steady])}


def _pairs(table: pd.DataFrame) -> Pairs:
    return set(zip(table["regulator"], table["target"], strict=True))
