"""Prediction from networks with planted modules, the edges that decide, and p values where nothing is planted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from harness import Figures
from kotowari.studies.genenet.baselines.predictors import edge_comparators
from kotowari.studies.genenet.model.trip.permutation import permutation_p_values
from kotowari.studies.genenet.model.trip.trip import TensorReconstructionRegressor
from kotowari.studies.genenet.phantom_modules import ModulePhantom, planted_modules
from kotowari.trust.planted import planted_scores
from seeds import mean_with_interval

__all__ = ["null_p_values", "planted_response"]

Floats = npt.NDArray[np.float64]

_PLS = "PLS + perceptron on edges"
_RIDGE = "ridge on edges"


def planted_response(quick: bool) -> Figures:
    """Measure ``trip_r2``, ``trip_edge_ap``, ``trip_edge_auroc`` and ``contribution_gap`` on planted modules.

    Ten phantoms with the response tanh a + b/2 + ab, 640 networks to learn from and 2,000 others to judge by; the
    estimator has its defaults. Intervals are over the phantoms, by Student's t.
    """
    n_seeds, n_train, n_test = (1, 80, 80) if quick else (10, 640, 2000)
    rows = [_one_phantom(seed, n_train, n_test, quick=quick) for seed in range(n_seeds)]
    figures: Figures = {}
    for key in rows[0].keys() - {"contribution_gap"}:
        figures |= mean_with_interval(key, np.array([row[key] for row in rows]))
    for other in ("kernel_ridge", "pls_mlp", "hosvd"):
        lead = np.array([row["trip_r2"] - row[f"trip_r2_{other}"] for row in rows])
        figures |= mean_with_interval(f"trip_r2_less_{other}", lead)
    figures["trip_edge_ap_lowest"] = min(row["trip_edge_ap"] for row in rows)
    figures["trip_r2_share_lowest"] = min(row["trip_r2_share"] for row in rows)
    figures["contribution_gap"] = max(row["contribution_gap"] for row in rows)
    return figures | {"trip_seeds": n_seeds}


def null_p_values(quick: bool) -> Figures:
    """Measure ``null_ks_p``: whether the family-wise p value of the strongest edge is uniform where nothing is planted.

    Every repeat has a phantom of its own, 20 refits on shuffled responses and no early stop. The p value is the rank of
    the observed maximum; it is spread evenly over its step, so that it can be compared with a uniform one.
    """
    n_repeats, n_permutations = (4, 4) if quick else (200, 19)
    small = {"core_shape": 2, "n_hidden": 4, "head_steps": 60, "max_steps": 40, "patience": 20, "n_members": 1}
    rng, p = np.random.default_rng(0), []
    for seed in range(n_repeats):
        phantom = planted_modules(60, response="null", shape=(12, 8), random_state=seed)
        model = TensorReconstructionRegressor(**small, starts=("hosvd", "pls"), random_state=seed)
        found = permutation_p_values(
            model,
            phantom.X,
            phantom.y,
            n_permutations=n_permutations,
            n_exceeding=n_permutations + 1,
            random_state=seed,
        )
        p.append(float(found.p.min()))
    spread = np.array(p) - rng.random(n_repeats) / (n_permutations + 1)
    return {
        "null_ks_p": float(stats.kstest(spread, "uniform").pvalue),
        "null_rejected": float(np.mean(np.array(p) <= 1 / (n_permutations + 1))),
        "null_rejected_expected": 1 / (n_permutations + 1),
        "null_repeats": n_repeats,
    }


def _one_phantom(seed: int, n_train: int, n_test: int, *, quick: bool) -> dict[str, float]:
    phantom = planted_modules(n_train + n_test, random_state=seed)
    options: dict[str, Any] = {"n_members": 1, "max_steps": 20, "head_steps": 50} if quick else {}
    ours = TensorReconstructionRegressor(random_state=seed, **options)
    # without a step the projections stay those of the unsupervised start
    fixed = TensorReconstructionRegressor(random_state=seed, **options | {"starts": ("hosvd",), "max_steps": 0})
    ours.fit(phantom.X[:n_train], phantom.y[:n_train])
    fixed.fit(phantom.X[:n_train], phantom.y[:n_train])
    contributions = ours.edge_contributions(phantom.X[n_train:])
    edges = planted_scores(contributions.importance(), phantom.planted)
    absolute = planted_scores(contributions.importance("absolute"), phantom.planted)
    r2 = r2_score(phantom.y[n_train:], ours.predict(phantom.X[n_train:]))
    return {
        "trip_r2": r2,
        "trip_r2_share": r2 / phantom.attainable_r2,
        "trip_r2_attainable": phantom.attainable_r2,
        "trip_r2_hosvd": r2_score(phantom.y[n_train:], fixed.predict(phantom.X[n_train:])),
        "trip_edge_ap": edges["average_precision"],
        "trip_edge_auroc": edges["auroc"],
        "trip_edge_chance_ap": edges["prevalence"],
        "trip_edge_absolute_ap": absolute["average_precision"],
        "contribution_gap": float(contributions.gap.max()),
        **_comparators(phantom, n_train, seed),
    }


def _comparators(phantom: ModulePhantom, n_train: int, seed: int) -> dict[str, float]:
    """Fit models on the edges side by side; kernel and penalty of kernel ridge by inner cross-validation."""
    edges = phantom.X.reshape(len(phantom.X), -1) / phantom.X[:n_train].std()
    machine = Pipeline([("scale", "passthrough"), ("model", KernelRidge(kernel="rbf"))])
    grid = {
        "scale": ["passthrough", StandardScaler()],
        "model__alpha": [1e-3, 1e-2, 1e-1, 1.0],
        "model__gamma": (np.array([0.03, 0.1, 0.3, 1.0]) / edges.shape[1]).tolist(),
    }
    taken = edge_comparators("regression", random_state=seed)
    models: Mapping[str, Any] = {
        "kernel_ridge": GridSearchCV(machine, grid, cv=5, scoring="r2"),
        "pls_mlp": taken[_PLS],
        "ridge": taken[_RIDGE],
    }
    said = {}
    for name, model in models.items():
        centred = phantom.y[:n_train].mean()
        model.fit(edges[:n_train], phantom.y[:n_train] - centred)
        said[f"trip_r2_{name}"] = r2_score(phantom.y[n_train:], centred + model.predict(edges[n_train:]))
    weights = np.abs(models["ridge"][-1].coef_).reshape(phantom.planted.shape)
    return said | {"trip_edge_ap_ridge": planted_scores(weights, phantom.planted)["average_precision"]}
