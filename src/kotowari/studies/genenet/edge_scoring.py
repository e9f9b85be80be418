"""How well estimated networks find planted ones, bin by bin of the modulator."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from kotowari.core.errors import InputError
from kotowari.studies.genenet.model.stack.stack import NetworkStack
from kotowari.trust.planted import planted_scores
from kotowari.trust.scores import spearman

__all__ = ["EdgeScores", "edge_scores"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EdgeScores:
    """Scores of estimated against planted networks.

    Attributes
    ----------
    bins
        One row a bin of the modulator: ``low``, ``high``, ``n_samples``, ``auroc`` (chance 0.5), ``average_precision``
        and its chance level ``prevalence``, ``n_planted``.
    auroc, average_precision, prevalence
        Means over bins.
    rmse
        Root mean squared error of the coefficients over planted pairs and all samples, in their units; NaN where the
        estimate is no coefficient.
    rms
        Root mean square of the planted coefficients over the same pairs: what a network without edges would get.
    rec_correlation
        Spearman correlation of estimated and true change of the regulatory effect, over the pairs that truly have one,
        be it over a gene in between; NaN where no expression was given or the estimate does not vary.
    """

    bins: pd.DataFrame
    auroc: float
    average_precision: float
    prevalence: float
    rmse: float
    rms: float
    rec_correlation: float


def edge_scores(
    stack: NetworkStack,
    truth: NetworkStack,
    *,
    X: pd.DataFrame | None = None,
    n_bins: int = 4,
    least: float = 0.1,
) -> EdgeScores:
    """Score a stack against the planted one.

    In each bin (equally many samples), a pair counts as planted where the mean absolute true coefficient is ``least``
    or more, and as no edge where it is 0; pairs in between, half on, are left out. The score of a pair is the mean
    absolute estimate in the bin.

    Parameters
    ----------
    stack, truth
        Of the same samples, regulators and targets; ``truth`` has a modulator of one column.
    X
        Expression, for the change of effect. An estimate that is no coefficient is taken as its own effect.
    n_bins
        1 or more.
    least
        Above 0, in units of the coefficients.

    Raises
    ------
    InputError
        When the stacks have other names, an option is out of range, or nothing was planted.
    """
    for axis in ("samples", "regulators", "targets"):
        if getattr(stack, axis) != getattr(truth, axis):
            raise InputError(f"edge_scores: the stacks differ in their {axis}. Give both the same, in one order.")
    if truth.modulator is None or truth.modulator.ndim != 1:
        raise InputError("edge_scores: the truth needs a modulator, one value a sample.")
    if n_bins < 1 or n_bins > len(truth.samples) or least <= 0:
        raise InputError(f"edge_scores: needs n_bins from 1 to the samples and least > 0, got {n_bins} and {least}.")
    if not truth.n_edges:
        raise InputError("edge_scores: nothing was planted.")
    own = np.array(truth.regulators, dtype=object)[:, None] == np.array(truth.targets, dtype=object)
    rows = []
    for members in np.array_split(np.argsort(truth.modulator, kind="stable"), n_bins):
        size, found = _mean_absolute(truth, members), _mean_absolute(stack, members)
        judged = ~own & ((size == 0) | (size >= least))
        scores = planted_scores(found[judged], size[judged] >= least)
        rows.append(
            {
                "low": truth.modulator[members[0]],
                "high": truth.modulator[members[-1]],
                "n_samples": len(members),
                **{name: scores[name] for name in ("auroc", "average_precision", "prevalence")},
                "n_planted": int((size[judged] >= least).sum()),
            }
        )
    bins = pd.DataFrame(rows)
    rmse, rms = _errors(stack, truth)
    return EdgeScores(
        bins=bins,
        auroc=float(bins["auroc"].mean()),
        average_precision=float(bins["average_precision"].mean()),
        prevalence=float(bins["prevalence"].mean()),
        rmse=rmse if stack.quantity == "coefficient" else np.nan,
        rms=rms,
        rec_correlation=np.nan if X is None else _rec_correlation(stack, truth, X),
    )


def _mean_absolute(stack: NetworkStack, members: npt.NDArray[np.intp]) -> FloatArray:
    mean = np.zeros((len(stack.regulators), len(stack.targets)))
    part = stack.values[members]
    total = np.bincount(part.indices, np.abs(part.data), stack.n_edges)
    mean[stack.edge_regulator, stack.edge_target] = total / len(members)
    return mean


def _errors(stack: NetworkStack, truth: NetworkStack) -> tuple[float, float]:
    """Return the error of the estimate and of nothing at all, over the planted pairs, one column a pair."""
    cells = truth.edge_target.astype(np.int64) * len(truth.regulators) + truth.edge_regulator
    theirs = stack.edge_target.astype(np.int64) * len(stack.regulators) + stack.edge_regulator
    place = np.searchsorted(theirs, cells)
    place = np.where(place < len(theirs), place, 0)
    held = np.zeros(len(cells), dtype=np.bool_) if not len(theirs) else theirs[place] == cells
    wanted = truth.values.toarray().astype(np.float64)
    found = np.zeros_like(wanted)
    found[:, held] = sparse.csc_array(stack.values)[:, place[held]].toarray()
    return float(np.sqrt(((found - wanted) ** 2).mean())), float(np.sqrt((wanted**2).mean()))


def _rec_correlation(stack: NetworkStack, truth: NetworkStack, X: pd.DataFrame) -> float:
    effects = stack.regulatory_effect(X) if stack.quantity == "coefficient" else stack
    true, found = truth.regulatory_effect(X).change_along_modulator(), effects.change_along_modulator()
    joined = true.merge(found, on=["regulator", "target"], how="left", suffixes=("_true", "_found"))
    return spearman(joined["change_true"].to_numpy(), joined["change_found"].fillna(0.0).to_numpy())
