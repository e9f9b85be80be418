"""What is fitted on one fold: modulator, networks, and what is predicted from them. Plain arrays come back."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.jobs import Arrays
from kotowari.studies.genenet.baselines.predictors import spline_predictor
from kotowari.studies.genenet.config import Config, ResponseKind
from kotowari.studies.genenet.data import Samples
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.studies.genenet.model.stack.stack import NetworkStack
from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks
from kotowari.studies.genenet.model.trip.trip import (
    TensorReconstructionClassifier,
    TensorReconstructionCox,
    TensorReconstructionRegressor,
)
from kotowari.studies.genenet.preparation import Preparation, columns_of
from kotowari.training.devices import one_thread
from kotowari.trust.folds import Fold

__all__ = [
    "ESTIMATORS",
    "contributions_of",
    "effect_changes",
    "effects_of",
    "explain_fold",
    "fit_networks",
    "make_profiler",
    "make_trip",
    "one_network_for_all",
    "packed_effects",
    "predict_fold",
    "unpacked_effects",
]

FloatArray = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

ESTIMATORS: dict[ResponseKind, type[Any]] = {
    "classification": TensorReconstructionClassifier,
    "regression": TensorReconstructionRegressor,
    "survival": TensorReconstructionCox,
}
_WIDE = 1e9  # a bandwidth at which all samples weigh the same


def make_profiler(config: Config, seed: int, **options: Any) -> NetworkProfiler:
    """Return an unfitted profiler as configured; ``options`` are laid over."""
    network = config.network
    settings: dict[str, Any] = {
        "kernel": network.kernel,
        "bandwidth": network.bandwidth,
        "effective_samples": network.effective_samples,
        "criterion": network.criterion,
        "n_lambdas": network.n_lambdas,
        "ridges": network.ridges,
        "max_rounds": network.max_rounds,
        "pooling": network.pooling,
        "n_nodes": network.n_nodes,
        "block_size": network.block_size,
        "random_state": seed,
    }
    return NetworkProfiler(**(settings | options))


def one_network_for_all(config: Config, seed: int) -> NetworkProfiler:
    """Return the comparator: the same regression with all samples weighing the same everywhere, so one network."""
    return make_profiler(config, seed, kernel="gaussian", bandwidth=_WIDE, n_nodes=2, pooling=0.0)


def fit_networks(samples: Samples, config: Config, fold: Fold, seed: int) -> Arrays:
    """Estimate networks on the training rows and say what they make of the rows kept aside.

    Returns
    -------
    dict
        Those of :func:`packed_effects` for all rows, training rows by their own networks; ``modulator`` of all rows;
        ``n_held``; ``regulators``, ``targets``; and of shape ``(held-out row, target)``, squared and in
        variances of the training rows, what the ``varying`` networks, one ``global`` network, a ``spline`` of the
        modulator and the training ``mean`` are off by.
    """
    given = Preparation(samples, config, fold.train)
    X = given.adjusted(samples.X, samples.covariates)
    axis = given.axis(X, samples.modulator, samples.second)
    train, test = X.iloc[fold.train], X.iloc[fold.test]
    names = {"regulators": given.regulators, "targets": given.targets}
    profiler = make_profiler(config, seed).fit(train, axis[fold.train], **names)
    places, n_held = given.places(axis[fold.test], test)
    held = profiler.coefficients(_labelled(places, test.index))
    effects = effects_of([profiler.networks(), held], train, [train, test], config)
    arrays = packed_effects(effects, np.concatenate([fold.train, fold.test]))
    # all samples weigh the same, so that one of two modulators will do
    single = one_network_for_all(config, seed).fit(train, columns_of(axis[fold.train])[:, 0], **names)
    genes = list(given.targets)
    course = spline_predictor().fit(columns_of(axis[fold.train]), train[genes].to_numpy())
    truth, mean = test[genes].to_numpy(np.float64), train[genes].to_numpy(np.float64).mean(0)
    varying = profiler.predict(test, places)
    said = {
        # a sample without a network is predicted by the mean
        "varying": np.where(np.isfinite(varying), varying, mean),
        "global": single.predict(test, columns_of(places)[:, 0]),
        "spline": course.predict(columns_of(places)),
        "mean": np.broadcast_to(mean, truth.shape),
    }
    variance = train[genes].to_numpy(np.float64).var(0)
    arrays |= {name: (truth - values) ** 2 / variance for name, values in said.items()}
    arrays |= {
        "modulator": axis,
        "n_held": np.array(n_held),
        "targets": np.array(genes),
        "regulators": np.array(given.regulators),
    }
    return arrays


def effects_of(
    stacks: list[NetworkStack], train: pd.DataFrame, tables: list[pd.DataFrame], config: Config
) -> SparseNetworks:
    """Return regulatory effects in standard deviations of the target, on the edges that vary most in training.

    The expression is centred by the training mean: an edge then counts by what it carries, not by how high its
    regulator stands.

    Parameters
    ----------
    stacks, tables
        Networks and expression of the same samples; those of training first.
    train
        Expression of the training samples.
    config
        ``network.path_length`` and ``prediction.max_edges``.
    """
    centre = train.mean()
    effects = [
        stack.regulatory_effect(table - centre, config.network.path_length, centred=False)
        for stack, table in zip(stacks, tables, strict=True)
    ]
    first = effects[0].edge_list()
    unit = train[list(effects[0].targets)].std(ddof=0).to_numpy()
    shape = (len(effects[0].regulators), len(effects[0].targets))
    own = np.asarray(first.values.todense(), dtype=np.float64) / unit[first.target]
    variance = own.var(0)
    chosen = np.argsort(-variance, kind="stable")[: config.prediction.max_edges]
    # rising, so that an edge of other networks can be looked up
    chosen = chosen[np.argsort(first.regulator[chosen].astype(np.int64) * shape[1] + first.target[chosen])]
    edges = np.stack([first.regulator[chosen], first.target[chosen]], 1).astype(np.int64)
    places = np.ravel_multi_index(tuple(edges.T), shape)
    parts = [own[:, chosen]]
    for other in effects[1:]:
        found = other.edge_list()
        values = np.zeros((len(other.samples), len(edges)))
        spots = np.ravel_multi_index((found.regulator, found.target), shape)
        here = np.flatnonzero(np.isin(spots, places))
        dense = np.asarray(found.values[:, here].todense(), dtype=np.float64) / unit[found.target[here]]
        values[:, np.searchsorted(places, spots[here])] = dense
        parts.append(values)
    return SparseNetworks(np.concatenate(parts).astype(np.float32), edges, shape)


def effect_changes(stack: NetworkStack, X: pd.DataFrame, path_length: Literal[1, 2]) -> pd.DataFrame:
    """Return every edge with the change of its regulatory effect over the samples, in sd of the target, largest first.

    ``X`` is the table of the stack's samples; each gene counts less its mean.
    """
    table = stack.regulatory_effect(X, path_length).change_along_modulator("percentile")
    unit = X.std(ddof=0)[table["target"]].to_numpy()
    for column in ("low", "high", "change"):
        table[column] = table[column] / unit
    return table.sort_values("change", ascending=False, kind="stable", ignore_index=True)


def packed_effects(effects: SparseNetworks, rows: Indices) -> Arrays:
    """Return effects as arrays by name, their rows put in the order of the samples."""
    order = np.argsort(rows, kind="stable")
    return {"effects": effects.values[order], "edges": effects.edges, "mode_shape": np.array(effects.mode_shape)}


def unpacked_effects(arrays: Arrays) -> SparseNetworks:
    """Return what :func:`packed_effects` packed."""
    return SparseNetworks(arrays["effects"], arrays["edges"], tuple(int(n) for n in arrays["mode_shape"]))


def make_trip(config: Config, task: ResponseKind, seed: int, **options: Any) -> Any:
    """Return an unfitted estimator of the response; ``options`` are laid over what is configured."""
    prediction = config.prediction
    settings: dict[str, Any] = {
        "core_shape": prediction.core,
        "head": prediction.head,
        "n_members": prediction.n_members,
        "reconstruction_weight": prediction.reconstruction_weight,
        "starts": prediction.starts,
        "random_state": seed,
    }
    return ESTIMATORS[task](**(settings | options))


def predict_fold(estimator: Any, effects: SparseNetworks, y: npt.NDArray[Any], fold: Fold, groups: Any) -> Arrays:
    """Fit on the training rows; return ``scores`` of the others: probabilities by class, values or log hazards."""
    with one_thread():
        estimator.fit(effects[fold.train], y[fold.train], groups=groups[fold.train])
        return {"scores": _said(estimator, effects[fold.test])}


def explain_fold(estimator: Any, effects: SparseNetworks, y: npt.NDArray[Any], fold: Fold, groups: Any) -> Arrays:
    """Fit as :func:`predict_fold`, and give every edge its part of each held-out prediction.

    Returns
    -------
    dict
        ``scores``, and those of :func:`contributions_of` for the rows kept aside, against the mean training network.
    """
    said = predict_fold(estimator, effects, y, fold, groups)
    with one_thread():
        return said | contributions_of(estimator, effects[fold.test])


def contributions_of(estimator: Any, effects: SparseNetworks) -> Arrays:
    """Return what each edge contributes to what is said of each sample.

    Returns
    -------
    dict
        ``contributions`` of shape ``(sample, edge)``, ``change`` and ``gap`` of shape ``(sample,)``: towards the value
        or the log hazard, towards the second of two classes, and of more classes towards the one that is predicted.
        ``importance`` of shape ``(edge,)``, the mean over classes.
    """
    classes = getattr(estimator, "classes_", ())
    outputs = list(classes) if len(classes) > 2 else [None]
    found = [estimator.edge_contributions(effects, output=output) for output in outputs]
    said = np.searchsorted(classes, estimator.predict(effects)) if len(outputs) > 1 else np.zeros(len(effects), np.intp)
    sample = np.arange(len(effects))
    return {
        "contributions": np.array([one.values for one in found])[said, sample].astype(np.float32),
        "change": np.array([one.change for one in found])[said, sample],
        "gap": np.array([one.gap for one in found])[said, sample],
        "importance": np.mean([one.importance() for one in found], axis=0),
    }


def _said(estimator: Any, effects: SparseNetworks) -> FloatArray:
    if isinstance(estimator, TensorReconstructionClassifier):
        return estimator.predict_proba(effects)
    return np.asarray(estimator.predict(effects), dtype=np.float64)[:, None]


def _labelled(places: FloatArray, index: pd.Index) -> pd.Series | pd.DataFrame:
    return pd.Series(places, index=index) if places.ndim == 1 else pd.DataFrame(places, index=index)
