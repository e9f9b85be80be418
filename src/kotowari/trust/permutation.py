"""What chance alone would give: permutations, their p values, and how small a p they can reach."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError

__all__ = [
    "QValues",
    "SequentialP",
    "benjamini_hochberg",
    "max_t_p",
    "permutation_p",
    "permuted",
    "pooled_p",
    "q_values",
    "sequential_p",
    "smallest_p",
    "smallest_p_sentence",
]

FloatArray = npt.NDArray[np.float64]
Alternative = Literal["greater", "less", "two-sided"]
_TIE = 1e-12


@dataclass(frozen=True)
class QValues:
    """q values, or the reason why the refits do not allow them.

    Parameters
    ----------
    q
        Shape ``(part,)``; None where the refits are too few.
    sentence
        What stands behind q, or what is missing.
    """

    q: FloatArray | None
    sentence: str


@dataclass(frozen=True)
class SequentialP:
    """A p value from draws that were stopped as soon as the answer was plain.

    Parameters
    ----------
    p
        Valid at whatever draw the sampling stopped.
    n_draws, n_exceeding
        Draws made, and those at least as large as the observed value.
    """

    p: float
    n_draws: int
    n_exceeding: int


def permuted(
    y: npt.ArrayLike,
    *,
    blocks: npt.ArrayLike | None = None,
    units: npt.ArrayLike | None = None,
    rng: np.random.Generator,
) -> npt.NDArray[Any]:
    """Return a shuffled copy of ``y``; ``y`` stays as it was.

    Parameters
    ----------
    y
        Shape ``(sample, ...)``.
    blocks
        Shape ``(sample,)``, such as sites or batches: values change places only inside a block.
    units
        Shape ``(sample,)``, such as patients with several samples of one label: units change their labels as wholes.
        ``y`` and ``blocks`` must be constant within a unit.
    rng
        Draws the permutation.

    Raises
    ------
    InputError
        When a unit holds more than one label or lies in more than one block, so that its samples cannot move together.
    """
    values = np.asarray(y)
    where = np.zeros(len(values), dtype=np.intp) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    if len(where) != len(values):
        raise ShapeError.mismatch("permuted", "blocks", (len(values),), where.shape)
    if units is None:
        return values[_shuffle_within(where, rng)]
    _, first, unit_of_row = np.unique(units, return_index=True, return_inverse=True)
    if len(unit_of_row) != len(values):
        raise ShapeError.mismatch("permuted", "units", (len(values),), unit_of_row.shape)
    if (values[first][unit_of_row] != values).any() or (where[first][unit_of_row] != where).any():
        raise InputError(
            "permuted: a unit holds several labels or lies in several blocks. Permute inside units instead."
        )
    return values[first][_shuffle_within(where[first], rng)][unit_of_row]


def permutation_p(observed: float, null: npt.ArrayLike, *, alternative: Alternative = "greater") -> float:
    r"""Chance of a value at least as extreme as the observed one.

    .. math:: p = \frac{1 + \#\{b : t_b \ge t\}}{1 + B}

    Never 0: the observed arrangement is itself one of the arrangements. Values that differ by rounding only count as
    ties, against the claim. Two-sided is twice the smaller tail, at most 1.

    Parameters
    ----------
    observed
        The statistic of the data as they are.
    null
        Shape ``(refit,)``, the same statistic after permutation.
    alternative
        Which side is extreme.

    Source: Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9:39.

    Examples
    --------
    >>> permutation_p(3.0, [1.0, 2.0, 4.0])
    0.5
    """
    draws = _finite("permutation_p", null, 1)
    greater = float(_exceeding_share(np.array([float(observed)]), draws)[0])
    less = float(_exceeding_share(np.array([-float(observed)]), -draws)[0])
    return {"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}[alternative]


def pooled_p(observed: npt.ArrayLike, null: npt.ArrayLike) -> FloatArray:
    r"""Hold every part against the null values of all parts together, for a p value each.

    .. math:: p_j = \frac{1 + \#\{(b, k) : t_{bk} \ge t_j\}}{1 + B d}

    Right where all parts have the same null distribution, such as scores on one scale; a part with a wider null of its
    own gets p values that are too small. Bring the parts to one scale first.

    Parameters
    ----------
    observed
        Shape ``(part,)``, larger is stronger.
    null
        Shape ``(refit, part)``.
    """
    scores, draws = _parts("pooled_p", observed, null)
    return _exceeding_share(scores, draws.ravel())


def max_t_p(observed: npt.ArrayLike, null: npt.ArrayLike) -> FloatArray:
    r"""Family-wise p values by the step-down maximum.

    .. math:: p_{(j)} = \max_{i \le j} \frac{1 + \#\{b : \max_{k \ge i} t_{b(k)} \ge t_{(i)}\}}{1 + B},
        \quad t_{(1)} \ge t_{(2)} \ge \dots

    The chance that any unrelated part has p below a level is at most that level.

    Parameters
    ----------
    observed
        Shape ``(part,)``, larger is stronger, parts on comparable scales.
    null
        Shape ``(refit, part)``; a row comes from one permutation, so that parts keep their correlation.

    Source: Westfall and Young 1993, Resampling-Based Multiple Testing, algorithm 4.1.
    """
    scores, draws = _parts("max_t_p", observed, null)
    order = np.argsort(-scores, kind="stable")
    maxima = np.maximum.accumulate(draws[:, order[::-1]], axis=1)[:, ::-1]
    bound = _lowered(scores[order])
    p = np.empty(len(scores))
    p[order] = np.maximum.accumulate((1 + (maxima >= bound).sum(0)) / (1 + len(draws)))
    return p


def benjamini_hochberg(p: npt.ArrayLike) -> FloatArray:
    r"""Return q values, :math:`q_{(i)} = \min_{k \ge i} \min(1, m\,p_{(k)}/k)`; NaN stays NaN and is not counted.

    Source: Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57:289-300.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    values = np.asarray(p, dtype=np.float64)
    q = np.full(values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(-values[tested], kind="stable")]
    m = len(order)
    q[order] = np.minimum.accumulate(np.minimum(1.0, values[order] * m / np.arange(m, 0, -1)))
    return q


def q_values(p: npt.ArrayLike, *, smallest: float, level: float = 0.05) -> QValues:
    """Return q values by Benjamini and Hochberg, or refuse when they could not mean anything.

    Refused when even a single part with the smallest reachable p could not get q at or below ``level``: then every q
    would be large whatever the data say, and a reader would take silence for an answer.

    Parameters
    ----------
    p
        Shape ``(part,)``.
    smallest
        Smallest reachable p, from :func:`smallest_p`.
    level
        The q that is asked for.
    """
    values = np.asarray(p, dtype=np.float64)
    n_parts = int((~np.isnan(values)).sum())
    reachable = min(1.0, n_parts * smallest)
    if reachable > level * (1 + _TIE):
        return QValues(
            None,
            f"No q value: with {n_parts} parts and a smallest reachable p of {smallest:.2g}, one part alone could "
            f"reach q = {reachable:.2g} at best, not {level:g}. Use more refits, a null pooled over parts, or max-T.",
        )
    return QValues(
        benjamini_hochberg(values),
        f"q by Benjamini and Hochberg over {n_parts} parts; one part alone could reach q = {reachable:.2g}.",
    )


def smallest_p(n_refits: int, *, n_pooled: int = 1) -> float:
    """Return the smallest p that ``n_refits`` can give, pooled over ``n_pooled`` parts.

    Examples
    --------
    >>> smallest_p(199)
    0.005
    """
    return 1.0 / (1 + n_refits * n_pooled)


def smallest_p_sentence(n_refits: int, *, n_pooled: int = 1) -> str:
    """Say how many refits stand behind p, and how small p can get."""
    pooled = f", pooled over {n_pooled} parts" if n_pooled > 1 else ""
    floor = smallest_p(n_refits, n_pooled=n_pooled)
    return f"The null rests on {n_refits} refits{pooled}; the smallest p that can be reached is {floor:.2g}."


def sequential_p(
    observed: float, draws: Iterable[float], *, n_exceeding: int = 10, max_draws: int = 999
) -> SequentialP:
    r"""Draw from the null only until the answer is plain.

    .. math:: p = h / l \ \text{when the } h\text{-th exceedance comes at draw } l, \quad
        p = (1 + g)/(1 + B) \ \text{when } B \text{ draws hold only } g < h

    Parameters
    ----------
    observed
        Larger is stronger.
    draws
        Null values, best a generator: it is asked for no more values than needed.
    n_exceeding
        h, 1 or more.
    max_draws
        B.

    Raises
    ------
    InputError
        When ``draws`` ends before either rule is met.

    Source: Besag and Clifford 1991, Biometrika 78:301-304.
    """
    bound, exceeding, made = float(_lowered(np.array([float(observed)]))[0]), 0, 0
    for made, draw in enumerate(islice(draws, max_draws), start=1):
        exceeding += draw >= bound
        if exceeding == n_exceeding:
            return SequentialP(exceeding / made, made, exceeding)
    if made < max_draws:
        raise InputError(f"sequential_p: the null ended after {made} draws; {max_draws} were asked for.")
    return SequentialP((1 + exceeding) / (1 + made), made, exceeding)


def _shuffle_within(where: npt.NDArray[np.intp], rng: np.random.Generator) -> npt.NDArray[np.intp]:
    source = np.arange(len(where))
    for block in range(int(where.max(initial=0)) + 1):
        rows = np.flatnonzero(where == block)
        source[rows] = rng.permutation(rows)
    return source


def _exceeding_share(scores: FloatArray, draws: FloatArray) -> FloatArray:
    ascending = np.sort(draws)
    count = len(ascending) - np.searchsorted(ascending, _lowered(scores), side="left")
    share: FloatArray = (1 + count) / (1 + len(ascending))
    return share


def _lowered(scores: FloatArray) -> FloatArray:
    # the same sum taken in another order differs in its last digits; that must not count as smaller
    return scores - _TIE * np.abs(scores)


def _finite(who: str, values: npt.ArrayLike, ndim: int) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim or not len(array):
        raise ShapeError.mismatch(who, "null", ("refit", "part")[:ndim], array.shape)
    if not np.isfinite(array).all():
        raise InputError(f"{who}: {int((~np.isfinite(array)).sum())} values are not finite. A failed refit is no draw.")
    return array


def _parts(who: str, observed: npt.ArrayLike, null: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    draws = _finite(who, null, 2)
    scores = np.asarray(observed, dtype=np.float64)
    if scores.shape != draws.shape[1:]:
        raise ShapeError.mismatch(who, "observed", draws.shape[1:], scores.shape)
    if not np.isfinite(scores).all():
        raise InputError(f"{who}: {int((~np.isfinite(scores)).sum())} observed scores are not finite.")
    return scores, draws
