"""Whether the score falls when the named features are taken away, and rises when they are given back."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.evidence import Check
from kotowari.trust.permutation import permutation_p

__all__ = ["FaithfulnessResult", "deletion_insertion", "faithfulness_check"]

FloatArray = npt.NDArray[np.float64]
Predict = Callable[[FloatArray], npt.ArrayLike]


@dataclass(frozen=True)
class FaithfulnessResult:
    """Deletion and insertion curves, and what random orders give.

    Parameters
    ----------
    fractions
        Share of the features deleted or inserted, shape ``(step,)``, 0 to 1.
    deletion, insertion
        Mean score over the samples at each share.
    deletion_area, insertion_area
        Areas under the curves, in units of the score.
    random_gaps
        Insertion area less deletion area of each random order, shape ``(order,)``.
    univariate_gap
        The same for the univariate order; None where none was given.
    """

    fractions: FloatArray
    deletion: FloatArray
    insertion: FloatArray
    deletion_area: float
    insertion_area: float
    random_gaps: FloatArray
    univariate_gap: float | None

    @property
    def gap(self) -> float:
        """Insertion area less deletion area: large when the order is faithful."""
        return self.insertion_area - self.deletion_area

    @property
    def p(self) -> float:
        """Chance that a random order is at least as faithful."""
        return permutation_p(self.gap, self.random_gaps)


def deletion_insertion(
    predict: Predict,
    X: npt.ArrayLike,
    relevance: npt.ArrayLike,
    *,
    reference: npt.ArrayLike,
    univariate: npt.ArrayLike | None = None,
    fractions: npt.ArrayLike | None = None,
    n_random: int = 19,
    random_state: int,
) -> FaithfulnessResult:
    """Replace features by the reference, the most relevant first, and watch the score; then the other way round.

    Features are replaced whatever their correlation: such rows may lie off the data, for every order alike.

    Parameters
    ----------
    predict
        Maps ``(sample, feature)`` to the explained score, shape ``(sample,)``.
    X
        Held-out rows, shape ``(sample, feature)``.
    relevance
        Shape ``(feature,)`` or ``(sample, feature)``; the largest goes first, ties in random order.
    reference
        Shape ``(feature,)``: what a missing feature is set to, the mean of the training rows.
    univariate
        Scores of a one-feature-at-a-time test, shape ``(feature,)``, as a yardstick.
    fractions
        Rising from 0 to 1; None takes eleven equal steps.
    n_random
        Random orders; 19 is the least that can give p = 0.05.
    random_state
        Seed of the random orders and ties.

    Source: Petsiuk et al. 2018, BMVC (deletion and insertion); on tables, with the training mean, ours.
    """
    rows, base = np.asarray(X, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    scores = np.asarray(relevance, dtype=np.float64)
    if scores.shape not in (rows.shape, rows.shape[1:]):
        raise ShapeError.mismatch("deletion_insertion", "relevance", rows.shape, scores.shape)
    if base.shape != rows.shape[1:]:
        raise ShapeError.mismatch("deletion_insertion", "reference", rows.shape[1:], base.shape)
    shares = np.linspace(0, 1, 11) if fractions is None else np.asarray(fractions, dtype=np.float64)
    if shares[0] != 0 or shares[-1] != 1 or (np.diff(shares) <= 0).any():
        raise InputError("deletion_insertion: fractions must rise from 0 to 1.")
    rng = np.random.default_rng(random_state)

    def curves(order_by: FloatArray) -> tuple[FloatArray, FloatArray]:
        place = _places(np.broadcast_to(order_by, rows.shape) if order_by.ndim == 1 else order_by, order_by.ndim, rng)
        first = [place < round(share * rows.shape[1]) for share in shares]
        deleted = np.array([_mean_score(predict, np.where(taken, base, rows)) for taken in first])
        inserted = np.array([_mean_score(predict, np.where(taken, rows, base)) for taken in first])
        return deleted, inserted

    def gap(order_by: FloatArray) -> float:
        deleted, inserted = curves(order_by)
        return float(np.trapezoid(inserted - deleted, shares))

    deletion, insertion = curves(scores)
    return FaithfulnessResult(
        fractions=shares,
        deletion=deletion,
        insertion=insertion,
        deletion_area=float(np.trapezoid(deletion, shares)),
        insertion_area=float(np.trapezoid(insertion, shares)),
        random_gaps=np.array([gap(rng.random(scores.shape)) for _ in range(n_random)]),
        univariate_gap=None if univariate is None else gap(np.asarray(univariate, dtype=np.float64)),
    )


def faithfulness_check(result: FaithfulnessResult, *, level: float = 0.05) -> Check:
    """Pass when at most ``level`` of the random orders would be as faithful."""
    verdict = "more" if result.p <= level else "not reliably more"
    beside = "" if result.univariate_gap is None else f"; the univariate order reaches {result.univariate_gap:.3g}"
    return Check.at_most(
        "faithfulness",
        result.p,
        level,
        f"Taking features away and giving them back in the named order moves the score {verdict} than random orders do "
        f"(insertion less deletion area {result.gap:.3g}, random {result.random_gaps.mean():.3g}, p = {result.p:.2g} "
        f"from {len(result.random_gaps)} orders{beside}).",
    )


def _places(scores: FloatArray, ndim: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return the place of every feature in its row's order, 0 for the first; shared scores give one shared order."""
    shuffle = rng.permutation(scores.shape[1])
    table = scores[:1] if ndim == 1 else scores
    order = shuffle[np.argsort(-table[:, shuffle], axis=1, kind="stable")]
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.broadcast_to(np.arange(scores.shape[1]), order.shape), axis=1)
    return np.broadcast_to(places, scores.shape)


def _mean_score(predict: Predict, rows: FloatArray) -> float:
    scores = np.asarray(predict(rows), dtype=np.float64)
    if scores.shape != rows.shape[:1]:
        raise ShapeError.mismatch("deletion_insertion", "the score", rows.shape[:1], scores.shape)
    return float(scores.mean())
