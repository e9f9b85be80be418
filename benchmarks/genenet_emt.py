"""Networks that predict epithelial-mesenchymal transition, under guard: what they say beyond the score itself."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import r2_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from genenet_regulators import Tumours
from harness import Figures
from kotowari.studies.genenet.baselines.predictors import ridge_predictor
from kotowari.studies.genenet.guard import GENES_ROW, SPLINE_ROW, judge_prediction
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.studies.genenet.model.profile.signature import SignatureScore
from kotowari.studies.genenet.model.trip.trip import TensorReconstructionRegressor
from kotowari.trust.comparators import OutOfFold, cross_validate
from kotowari.trust.folds import Fold, grouped_folds

__all__ = ["emt_prediction"]

Floats = npt.NDArray[np.float64]

_N_TARGETS = 100
_TRIP, _RIDGE = "TRIP on regulatory effects", "ridge on regulatory effects"


def emt_prediction(quick: bool) -> Figures:
    """Judge predictions of the transition score from networks along that very score: ``emt_predicts`` should be no.

    The response is the mean z of mesenchymal less that of epithelial signature genes. Inside every fold: the modulator
    (first component of the signature), the targets (100 genes of largest variance outside of the signature), the
    networks (32 nodes), their regulatory effects, and what predicts from them. Tumours beyond the range of the training
    modulator take the network at its end. Ridge has all genes outside of the signature.
    """
    tumours = Tumours.read()
    X = tumours.X.iloc[::4] if quick else tumours.X
    rows = tumours.X.index.get_indexer(X.index)
    cancer, patient = tumours.cancer[rows], tumours.patient[rows]
    signature = {*tumours.up, *tumours.down}
    genes = X[[gene for gene in X.columns if gene not in signature]]
    y = SignatureScore(tumours.up, tumours.down, method="mean_z").fit(X).transform(X)[:, 0]
    folds = grouped_folds(y, groups=patient, n_splits=3 if quick else 5, continuous=True, random_state=0)
    factors = [factor for factor in tumours.factors if factor not in signature]
    axes, said = _judged(X, genes, factors, y, tumours, folds, quick=quick)
    verdict = judge_prediction(
        y,
        axes,
        said,
        X=genes.to_numpy(),
        folds=folds,
        groups=patient,
        target="the transition score",
        n_draws=100 if quick else 2000,
        random_state=0,
    )
    r2 = {row.model: row.value for row in verdict.rows if row.metric == "R2"}
    alone = Pipeline([("one hot", OneHotEncoder(sparse_output=False)), *ridge_predictor().steps])
    cancer_alone = cross_validate({"": alone}, cancer[:, None], y, folds, groups=patient)[""]
    return {
        "emt_r2": r2[_TRIP],
        "emt_r2_ridge_on_effects": r2[_RIDGE],
        "emt_r2_spline": r2[SPLINE_ROW],
        "emt_r2_genes": r2[GENES_ROW],
        "emt_r2_cancer": float(r2_score(y[cancer_alone.rows], cancer_alone.prediction)),
        "emt_predicts": verdict.predicts[_TRIP] or verdict.predicts[_RIDGE],
        "emt_verdict": verdict.sentences[_TRIP],
        "emt_verdict_ridge_on_effects": verdict.sentences[_RIDGE],
        "emt_beyond": verdict.beyond[_TRIP],
    }


def _judged(
    X: pd.DataFrame,
    genes: pd.DataFrame,
    factors: list[str],
    y: Floats,
    tumours: Tumours,
    folds: list[Fold],
    *,
    quick: bool,
) -> tuple[list[Floats], dict[str, OutOfFold]]:
    """Return the modulator of every fold, for all tumours, and what two models said out of fold."""
    axes, parts = [], {_TRIP: [], _RIDGE: []}
    options: dict[str, Any] = {"n_members": 1, "max_steps": 10, "head_steps": 30} if quick else {"n_members": 2}
    for number, fold in enumerate(folds):
        score = SignatureScore(tumours.up, tumours.down).fit(X.iloc[fold.train])
        axis = score.transform(X)[:, 0]
        axes.append(axis)
        effects = _effects(genes, factors, axis, fold, n_targets=10 if quick else _N_TARGETS)
        flat = effects.reshape(len(effects), -1)
        flat = flat[:, flat[fold.train].std(0) > 0]
        models: dict[str, tuple[Any, Floats]] = {
            _TRIP: (TensorReconstructionRegressor(**options, random_state=number), effects),
            _RIDGE: (ridge_predictor(), flat),
        }
        for name, (model, inputs) in models.items():
            parts[name].append(model.fit(inputs[fold.train], y[fold.train]).predict(inputs[fold.test]))
    rows = np.concatenate([fold.test for fold in folds])
    number = np.concatenate([np.full(len(fold.test), k) for k, fold in enumerate(folds)])
    return axes, {name: OutOfFold(rows, number, np.concatenate(own)) for name, own in parts.items()}


def _effects(genes: pd.DataFrame, factors: list[str], axis: Floats, fold: Fold, *, n_targets: int) -> Floats:
    """Return regulatory effects of all tumours by networks of the training tumours, ``(sample, factor, target)``."""
    training = genes.iloc[fold.train]
    spread = training.drop(columns=factors).var().sort_values(ascending=False, kind="stable")
    targets = list(spread.index[:n_targets])
    profiler = NetworkProfiler(n_nodes=32).fit(training, axis[fold.train], regulators=factors, targets=targets)
    ends = axis[fold.train].min(), axis[fold.train].max()
    places = pd.Series(np.clip(axis, *ends), index=genes.index)
    stack = profiler.coefficients(places)
    centred = genes[factors] - training[factors].mean()
    return stack.regulatory_effect(centred, 1, centred=False).to_dense(limit_gb=2).astype(np.float64)
