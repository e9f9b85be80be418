"""Scores of genes without images: univariate F, gradient boosting, a network on the table."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from kotowari.explain.integrated_gradients import integrated_gradients
from kotowari.studies.omics.baselines.perceptron import PerceptronClassifier
from kotowari.trust.folds import Fold

__all__ = ["mlp_integrated_gradients", "tree_shap_scores", "univariate_scores"]

FloatArray = npt.NDArray[np.float64]

_DEALT_ROWS = 200
_CHUNK = 32
_TINY = np.finfo(np.float64).tiny


def univariate_scores(X: npt.ArrayLike, y: npt.ArrayLike, *, continuous: bool = False) -> FloatArray:
    r"""Return the F ratio of each gene, between classes or of its line on a continuous target.

    .. math:: F = \frac{\sum_c n_c (\bar x_c - \bar x)^2 / (C - 1)}{\sum_c \sum_{i \in c} (x_i - \bar x_c)^2 / (n - C)}

    A gene that is constant scores 0, one without variation inside the classes infinity; nothing is warned of.

    Parameters
    ----------
    X
        Shape ``(sample, gene)``, finite.
    y
        Shape ``(sample,)``: classes, or values.
    continuous
        Whether ``y`` are values.

    Source: Fisher 1925, Statistical Methods for Research Workers (analysis of variance).
    """
    values = np.asarray(X, dtype=np.float64)
    centred = values - values.mean(0)
    total = np.square(centred).sum(0)
    if continuous:
        aim = np.asarray(y, dtype=np.float64)
        aim = aim - aim.mean()
        explained = np.square(aim @ centred) / max(float(aim @ aim), _TINY)
        freedom = 1, len(values) - 2
    else:
        classes, codes = np.unique(np.asarray(y), return_inverse=True)
        means = np.stack([centred[codes == k].mean(0) for k in range(len(classes))])
        explained = np.bincount(codes) @ np.square(means)
        freedom = len(classes) - 1, len(values) - len(classes)
    # what rounding leaves of a constant gene is not variation
    varies = total > len(values) * np.square(np.finfo(np.float64).eps * np.abs(values).max(0, initial=0.0))
    left = np.where(varies, np.maximum(total - explained, 0.0), 1.0) / freedom[1]
    ratio = np.divide(explained / freedom[0], left, out=np.full(len(total), np.inf), where=left > 0)
    return np.where(varies, ratio, 0.0)


def tree_shap_scores(model: Any, X: Any, *, random_state: int = 0) -> FloatArray:
    """Return how much each gene moves the output of a fitted gradient boosting, mean over samples and classes.

    LightGBM: mean absolute TreeSHAP value. scikit-learn's boosting has none, so there it is the mean absolute change of
    the probabilities (or of the prediction) when the values of the gene are dealt anew among the samples, once; it
    costs one prediction a gene, on 200 samples at most. Neither needs labels; their scales differ. Genes that a step
    named ``"select"`` keeps from the model score 0.

    Parameters
    ----------
    model
        A fitted pipeline that ends in a boosting model, or the boosting model itself.
    X
        Shape ``(sample, gene)``, as the model was fitted on.
    random_state
        Seed of the dealing.

    Returns
    -------
    array
        Shape ``(gene,)``, 0 or more.

    Source: Lundberg et al. 2020, Nature Machine Intelligence 2 (TreeSHAP); Breiman 2001, Machine Learning 45
    (permutation), here held against the model's own output.
    """
    steps = model if isinstance(model, Pipeline) else Pipeline([("model", model)])
    booster, values = steps[-1], np.asarray(steps[:-1].transform(X) if len(steps) > 1 else X, dtype=np.float64)
    if hasattr(booster, "booster_"):
        seen = _tree_shap(booster, values)
    else:
        seen = _dealt_scores(booster, values[:_DEALT_ROWS], np.random.default_rng(random_state))
    if "select" not in steps.named_steps:
        return seen
    scores = np.zeros(np.shape(X)[1])
    scores[steps["select"].get_support(indices=True)] = seen
    return scores


def mlp_integrated_gradients(
    X: npt.ArrayLike, y: npt.ArrayLike, *, fold: Fold | None = None, random_state: int, quick: bool = False
) -> FloatArray:
    """Train an MLP on the table and return how much each gene speaks for the class of a sample.

    The score is the mean over the samples of a class of the integrated gradients of their own class's score, from the
    mean sample on; then the mean over the classes of its absolute value.

    Parameters
    ----------
    X
        Shape ``(sample, gene)``, finite.
    y
        Classes, shape ``(sample,)``.
    fold
        Trains on ``fold.train`` and explains ``fold.test``; None takes all samples for both, which flatters.
    random_state
        Seed.
    quick
        Half of the epochs.

    Returns
    -------
    array
        Shape ``(gene,)``, 0 or more, in score units.

    Source: Sundararajan et al. 2017, ICML (integrated gradients).
    """
    values, labels = np.asarray(X, dtype=np.float64), np.asarray(y)
    everyone = np.arange(len(labels))
    fold = fold or Fold(everyone, everyone)
    scaling = StandardScaler().fit(values[fold.train])
    model = PerceptronClassifier(max_epochs=25 if quick else 50, random_state=random_state)
    model.fit(scaling.transform(values[fold.train]), labels[fold.train])
    held = torch.as_tensor(scaling.transform(values[fold.test]), dtype=torch.float32)
    codes = np.searchsorted(model.classes_, labels[fold.test])
    found = integrated_gradients(model.network_, held, torch.as_tensor(codes)).values.double().numpy()
    scores: FloatArray = np.mean([np.abs(found[codes == code].mean(0)) for code in np.unique(codes)], axis=0)
    return scores


def _tree_shap(model: Any, values: FloatArray) -> FloatArray:
    n, n_genes = values.shape
    total, n_outputs = np.zeros(n_genes), 1
    for begin in range(0, n, _CHUNK):
        # a block of all genes and one constant for each output
        shares = np.abs(model.predict(values[begin : begin + _CHUNK], pred_contrib=True))
        n_outputs = shares.shape[1] // (n_genes + 1)
        total += shares.reshape(-1, n_genes + 1)[:, :-1].sum(0)
    mean: FloatArray = total / (n * n_outputs)
    return mean


def _dealt_scores(model: Any, values: FloatArray, rng: np.random.Generator) -> FloatArray:
    said = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    before = said(values)
    order = rng.permutation(len(values))
    scores = np.zeros(values.shape[1])
    changed = values.copy()
    for gene in range(values.shape[1]):
        changed[:, gene] = values[order, gene]
        scores[gene] = np.abs(said(changed) - before).mean()
        changed[:, gene] = values[:, gene]
    return scores
