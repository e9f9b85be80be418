"""What has to be learned before networks can be: adjustment, modulator, choice of targets; all on training rows."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.studies.genenet.adjustment import CovariateAdjustment
from kotowari.studies.genenet.baselines.predictors import ridge_predictor
from kotowari.studies.genenet.config import Config
from kotowari.studies.genenet.data import (
    Samples,
    fill_missing,
    targets_by_variance,
    varying_genes,
    without_signature,
)
from kotowari.studies.genenet.model.profile.signature import SignatureScore

__all__ = ["MODULATOR", "Preparation", "columns_of", "modulator_columns"]

FloatArray = npt.NDArray[np.float64]

MODULATOR = "modulator"


class Preparation:
    """Adjustment for covariates, the modulator's axis and the genes of the networks, fitted on training rows alone.

    Parameters
    ----------
    samples, config
        The study's data and options.
    train
        Rows that may be learned from.

    Attributes
    ----------
    regulators, targets
        Gene names. Where the response is the modulator, by name or in another form, the genes of its signature are none
        of them.
    explained
        Share of the signature's variance that its first component carries; NaN elsewhere.
    needed
        Genes that a new sample must have: regulators, targets, and those of the score; all genes where the score ranks
        them all, or where the modulator of a sample is foretold from all.
    left_out
        Genes of the signature that do not move with the others, where ``modulator.coherent`` asks for those that do.
    """

    def __init__(self, samples: Samples, config: Config, train: npt.NDArray[np.intp]) -> None:
        self._lowest_of = samples.X.iloc[train]
        self._adjustment = None
        if samples.covariates is not None:
            filled = fill_missing(self._lowest_of, self._lowest_of)
            self._adjustment = CovariateAdjustment().fit(filled, samples.covariates.iloc[train])
        X = self.adjusted(samples.X, samples.covariates).iloc[train]
        self._score, self.explained = None, np.nan
        self.left_out: tuple[str, ...] = ()
        if samples.modulator is None:
            how = config.modulator
            score = SignatureScore(
                samples.signature_up, samples.signature_down, method=how.method, coherent=how.coherent
            )
            self._score, self.left_out = score.fit(X), score.left_out_
            self.explained = float(getattr(score, "explained_", np.nan))
        axis = self.axis(
            X,
            None if samples.modulator is None else samples.modulator[train],
            None if samples.second is None else samples.second[train],
        )
        self._low, self._high = axis.min(0), axis.max(0)
        self._banned = {*samples.signature_up, *samples.signature_down} if samples.circular else set()
        self._stand_in = None
        if samples.circular:
            self._stand_in = ridge_predictor("regression").fit(self._rest(X), axis)
        targets = samples.targets
        # genes that the modulator was computed from are related given its value; a user may name them all the same
        signature = {*samples.signature_up, *samples.signature_down}
        if targets is None:
            targets = targets_by_variance(X, config.data.n_targets, exclude=signature)
        regulators = samples.regulators
        if config.data.regulators == "reactome":
            regulators = tuple(gene for gene in regulators if gene not in signature)
        if samples.circular:
            regulators = without_signature(regulators, samples, what="data.regulators")
            targets = without_signature(targets, samples, what="data.targets")
        self.regulators, self.targets = varying_genes(regulators, X), varying_genes(targets, X)
        whole = samples.circular or (self._score is not None and config.modulator.method == "ks")
        scored = () if self._score is None else self._score.genes_
        named = {*self.regulators, *self.targets, *scored}
        self.needed = tuple(gene for gene in X.columns if whole or gene in named)

    def adjusted(self, X: pd.DataFrame, covariates: pd.DataFrame | None) -> pd.DataFrame:
        """Return samples x genes without gaps, and without what the covariates explain."""
        filled = fill_missing(X, self._lowest_of)
        if self._adjustment is None or covariates is None:
            return filled
        adjusted: pd.DataFrame = self._adjustment.transform(filled, covariates)
        return adjusted

    def axis(self, X: pd.DataFrame, modulator: FloatArray | None, second: FloatArray | None) -> FloatArray:
        """Return the modulator of adjusted samples, shape ``(sample,)``, or ``(sample, 2)`` with a second one."""
        first = np.asarray(modulator if self._score is None else self._score.transform(X)[:, 0], dtype=np.float64)
        return first if second is None else np.column_stack([first, second])

    def places(self, axis: FloatArray, X: pd.DataFrame) -> tuple[FloatArray, int]:
        """Return where the networks of unseen samples are taken from, and how many lay beyond the training range.

        Those are held at its ends. Where the response is the modulator itself, a sample's own value would hand it the
        answer: ridge on all other genes stands in for it.
        """
        wanted = axis if self._stand_in is None else self._stand_in.predict(self._rest(X)).reshape(axis.shape)
        beyond = columns_of((wanted < self._low) | (wanted > self._high)).any(1)
        return np.clip(wanted, self._low, self._high), int(beyond.sum())

    def _rest(self, X: pd.DataFrame) -> FloatArray:
        kept = [gene for gene in X.columns if gene not in self._banned]
        return X[kept].to_numpy(np.float64)


def columns_of(axis: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return one column a modulator, ``(sample,)`` or ``(sample, modulator) -> (sample, modulator)``."""
    return axis.reshape(len(axis), -1)


def modulator_columns(axis: FloatArray) -> dict[str, FloatArray]:
    """Return the columns of a table by name: modulator, and modulator 2 where there is one."""
    return {"modulator" if k == 0 else f"modulator {k + 1}": column for k, column in enumerate(columns_of(axis).T)}
