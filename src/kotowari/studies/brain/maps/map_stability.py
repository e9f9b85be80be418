"""Whether other folds, seeds or networks would have shown the same regions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.evidence import Check
from kotowari.trust.stability import Stability, selection_frequency, selection_stability, stability_check

__all__ = ["MapStability", "icc_agreement", "map_stability", "strongest"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MapStability:
    """Agreement of maps from several fits.

    Attributes
    ----------
    frequency
        Share of the fits that have a region among their strongest, shape ``(region,)``.
    selection
        Nogueira index of these selections.
    agreement
        ICC(2,1) over regions: whether fits give regions the same values.
    region_agreement
        ICC(2,1) of each region over subjects, whether fits give a subject the same value there, shape ``(region,)``;
        None where single subjects were not given.
    check
        The index held against 0.75.
    """

    frequency: FloatArray
    selection: Stability
    agreement: float
    region_agreement: FloatArray | None
    check: Check


def map_stability(values: npt.ArrayLike, *, n_strongest: int, subjects: npt.ArrayLike | None = None) -> MapStability:
    """Compare the region values of several fits.

    Parameters
    ----------
    values
        Strength of each region, larger is stronger, shape ``(fit, region)``; two fits or more. Values of different fits
        are compared on one scale: divide them by their own size first where it means nothing.
    n_strongest
        How many regions of each fit count as chosen; at least 1, fewer than there are.
    subjects
        Signed values of the same subjects in every fit, shape ``(fit, subject, region)``.

    Source: Nogueira et al. 2018, JMLR 18(174); Shrout and Fleiss 1979, Psychol. Bull. 86:420-428.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or len(table) < 2:
        raise ShapeError.mismatch("map_stability", "values", ("2 or more fits", "region"), table.shape)
    chosen = strongest(table, n_strongest)
    selection = selection_stability(chosen)
    by_region = None
    if subjects is not None:
        single = np.asarray(subjects, dtype=np.float64)
        if single.ndim != 3 or single.shape[::2] != table.shape:
            expected = (len(table), "subject", table.shape[1])
            raise ShapeError.mismatch("map_stability", "subjects", expected, single.shape)
        by_region = icc_agreement(single)
    return MapStability(
        selection_frequency(chosen), selection, float(icc_agreement(table)), by_region, stability_check(selection)
    )


def strongest(values: npt.ArrayLike, n: int) -> npt.NDArray[np.bool_]:
    """Mark the ``n`` largest of each row, the first of equals: ``(fit, region) -> (fit, region)``."""
    table = np.asarray(values, dtype=np.float64)
    if not 1 <= n < table.shape[-1]:
        raise InputError(f"strongest: n must lie between 1 and {table.shape[-1] - 1}, got {n}.")
    if not np.isfinite(table).all():
        raise InputError("strongest: a region has a value that is not finite.")
    order = np.argsort(-table, axis=-1, kind="stable")[..., :n]
    chosen = np.zeros(table.shape, dtype=bool)
    np.put_along_axis(chosen, order, True, axis=-1)
    return chosen


def icc_agreement(values: npt.ArrayLike) -> FloatArray:
    r"""Return the intraclass correlation of absolute agreement, two-way random, single measure: ICC(2,1).

    .. math:: \frac{B - E}{B + (k - 1) E + k (R - E) / n}

    with mean squares B between n targets, R between k raters, and E of what is left.

    Parameters
    ----------
    values
        Shape ``(rater, target, ...)``: two raters (fits) and two targets (subjects, regions) or more.

    Returns
    -------
    array
        Shape ``(...)``: 1 for full agreement, about 0 for none; NaN where nothing varies.

    Source: Shrout and Fleiss 1979, Psychol. Bull. 86:420-428, table 1 and case 2.

    Examples
    --------
    >>> float(icc_agreement([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]]))
    1.0
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim < 2 or x.shape[0] < 2 or x.shape[1] < 2:
        raise ShapeError.mismatch("icc_agreement", "values", ("2 or more", "2 or more", "..."), x.shape)
    k, n = x.shape[:2]
    mean, by_rater, by_target = x.mean((0, 1)), x.mean(1), x.mean(0)
    raters = n * ((by_rater - mean) ** 2).sum(0) / (k - 1)
    targets = k * ((by_target - mean) ** 2).sum(0) / (n - 1)
    error = ((x - by_rater[:, None] - by_target + mean) ** 2).sum((0, 1)) / ((n - 1) * (k - 1))
    scale = targets + (k - 1) * error + k * (raters - error) / n
    icc: FloatArray = np.divide(targets - error, scale, out=np.full_like(np.asarray(scale), np.nan), where=scale != 0)
    return icc
