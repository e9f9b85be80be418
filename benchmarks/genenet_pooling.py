"""What drawing networks towards one network for all samples gains, on genes that had no part in its choice."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from genenet_regulators import Tumours
from harness import Figures, NotMeasured
from kotowari.studies.genenet.adjustment import CovariateAdjustment
from kotowari.studies.genenet.config import Config
from kotowari.studies.genenet.data import read_samples
from kotowari.studies.genenet.fitting import make_profiler, one_network_for_all
from kotowari.studies.genenet.model.profile.signature import SignatureScore
from kotowari.studies.genenet.preparation import Preparation
from kotowari.trust.folds import Fold, grouped_folds
from kotowari.trust.intervals import bootstrap_interval

__all__ = ["pooling_gain"]

Floats = npt.NDArray[np.float64]

_CHOICE_SEED = 7  # of the halves of the genes; the other half was looked at while pooling was built
_MOST_VARYING = 400


class _Part(NamedTuple):
    """One fold: expression less covariates, modulator, regulators, targets that are kept aside, and owners."""

    X: pd.DataFrame
    modulator: Floats
    regulators: list[str]
    targets: list[str]
    fold: Fold
    owners: npt.NDArray[Any]


def pooling_gain(quick: bool) -> Figures:
    """Measure ``pooling_<table>_gain``: R2 of held-out expression of the targets over one network for all samples.

    ``local`` has no pooling, ``shuffled`` pools networks along a shuffled modulator, which says how much of the gain is
    averaging. The study's options on five folds; intervals are bootstraps over owners.
    """
    figures: Figures = {}
    for name, parts in {"colorectal": _colorectal, "tumours": _tumours}.items():
        try:
            figures |= _gains(f"pooling_{name}", parts(quick), quick=quick)
        except NotMeasured as reason:
            figures[f"not_measured_pooling_{name}"] = str(reason)
    return figures


def _gains(prefix: str, parts: Iterator[_Part], *, quick: bool) -> Figures:
    config = Config.demo()
    variants: dict[str, dict[str, Any]] = {"local": {"pooling": 0.0}, "gain": {}, "shuffled": {}}
    squares: dict[str, list[Floats]] = {name: [] for name in (*variants, "one", "mean")}
    owners = []
    for number, part in enumerate(parts):
        rng = np.random.default_rng([_CHOICE_SEED, number])
        names = {"regulators": part.regulators, "targets": part.targets}
        train, test = part.X.iloc[part.fold.train], part.X.iloc[part.fold.test]
        truth, mean = test[part.targets].to_numpy(), train[part.targets].to_numpy().mean(0)
        spread = train[part.targets].to_numpy().std(0)
        said = {"mean": np.broadcast_to(mean, truth.shape)}
        for name, options in variants.items():
            axis = rng.permutation(part.modulator) if name == "shuffled" else part.modulator
            inside = axis[part.fold.train]
            profiler = make_profiler(config, 0, **options).fit(train, inside, **names)
            values = profiler.predict(test, np.clip(axis[part.fold.test], inside.min(), inside.max()))
            said[name] = np.where(np.isfinite(values), values, mean)
        one = one_network_for_all(config, 0).fit(train, part.modulator[part.fold.train], **names)
        said["one"] = one.predict(test, part.modulator[part.fold.test].clip(*one.modulator_[[0, -1], 0]))
        for name, values in said.items():
            squares[name].append((((truth - values) / spread) ** 2).sum(1))
        owners.append(part.owners[part.fold.test])
    joined = {name: np.concatenate(own) for name, own in squares.items()}
    figures: Figures = {f"{prefix}_r2_{name}": _explained(joined[name], joined["mean"]) for name in ("one", "local")}
    figures[f"{prefix}_r2"] = _explained(joined["gain"], joined["mean"])
    for name in variants:
        key = prefix + {"gain": "_gain", "local": "_gain_local", "shuffled": "_gain_shuffled"}[name]
        found = bootstrap_interval(
            _difference,
            joined[name],
            joined["one"],
            joined["mean"],
            groups=np.concatenate(owners),
            n_draws=100 if quick else 2000,
            random_state=0,
        )
        figures |= {key: found.value, f"{key}_low": found.low, f"{key}_high": found.high}
    return figures


def _explained(error: Floats, mean: Floats) -> float:
    return float(1 - error.sum() / mean.sum())


def _difference(ours: Floats, other: Floats, mean: Floats) -> float:
    return _explained(ours, mean) - _explained(other, mean)


def _kept_aside(genes: pd.Index) -> set[str]:
    """Return the half of the genes that pooling was not chosen on."""
    names = np.array(sorted(genes))
    return set(names[np.random.default_rng(_CHOICE_SEED).random(len(names)) >= 0.5])


def _colorectal(quick: bool) -> Iterator[_Part]:
    config = Config.model_validate({"data": {"n_targets": 20 if quick else _MOST_VARYING}})
    samples = read_samples(config)
    aside = _kept_aside(samples.X.columns)
    folds = grouped_folds(
        samples.y, groups=samples.groups, n_splits=2 if quick else 5, continuous=False, random_state=1
    )
    for fold in folds:
        given = Preparation(samples, config, fold.train)
        X = given.adjusted(samples.X, samples.covariates)
        axis = given.axis(X, samples.modulator, samples.second)
        targets = [gene for gene in given.targets if gene in aside]
        yield _Part(X, axis, list(given.regulators), targets, fold, samples.groups)


def _tumours(quick: bool) -> Iterator[_Part]:
    tumours = Tumours.read()
    aside, factors = _kept_aside(tumours.X.columns), set(tumours.factors)
    up, down = ([gene for gene in side if gene not in factors] for side in (tumours.up, tumours.down))
    cancer = pd.DataFrame({"cancer": tumours.cancer}, index=tumours.X.index)
    order = np.random.default_rng(1).normal(size=len(tumours.X))  # folds need no response
    folds = grouped_folds(order, groups=tumours.patient, n_splits=2 if quick else 5, continuous=True, random_state=1)
    for fold in folds:
        adjustment = CovariateAdjustment().fit(tumours.X.iloc[fold.train], cancer.iloc[fold.train])
        X = adjustment.transform(tumours.X, cancer)
        axis = SignatureScore(up, down).fit(X.iloc[fold.train]).transform(X)[:, 0]
        spread = X.iloc[fold.train].drop(columns=sorted({*up, *down, *factors})).var()
        first = spread.sort_values(ascending=False, kind="stable").index[: 20 if quick else _MOST_VARYING]
        targets = [gene for gene in first if gene in aside]
        yield _Part(X, axis, list(tumours.factors), targets, fold, tumours.patient)
