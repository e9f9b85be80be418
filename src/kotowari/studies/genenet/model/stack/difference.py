"""Which edges differ between two groups of samples."""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.genenet.model.stack.arrays import StackArrays
from kotowari.trust.permutation import benjamini_hochberg

__all__ = ["edge_difference"]

FloatArray = npt.NDArray[np.float64]
RowArray = npt.NDArray[np.intp]
Test = Literal["welch", "permutation"]

_TIE = 1e-9  # sums of the same numbers in another order differ in their last digits
_DRAWS_AT_ONCE = 256


def edge_difference(
    stack: StackArrays,
    group_a: Any,
    group_b: Any,
    *,
    test: Test = "welch",
    n_permutations: int = 999,
    random_state: int = 0,
) -> pd.DataFrame:
    r"""Compare the mean of every edge between two groups of samples; a sample without the edge counts as 0.

    ``"welch"`` is Welch's t test; ``"permutation"`` holds its :math:`|t|` against that of shuffled groups,

    .. math:: p = \frac{1 + \#\{b : |t_b| \ge |t|\}}{1 + B}.

    Both take the networks of different samples as independent. Networks that share samples are not: those of a kernel
    along a modulator, and to a lesser degree LIONESS. For them p is far too small, ranks edges and tests nothing; test
    such edges by estimating anew after permuting the table.

    Parameters
    ----------
    stack
        The networks.
    group_a, group_b
        Names of samples, or masks of shape ``(sample,)``; no sample in both.
    test
        ``"welch"`` or ``"permutation"``.
    n_permutations
        B, 1 or more.
    random_state
        Seed of the permutations.

    Returns
    -------
    DataFrame
        ``regulator``, ``target``, ``mean_a``, ``mean_b``, ``difference`` (a less b), ``p``, ``q`` (Benjamini and
        Hochberg over all tested edges), ``n_a``, ``n_b`` (samples with a fitted network); smallest p first. p is NaN
        where a group has fewer than two samples or nothing varies.

    Raises
    ------
    InputError
        When a group is empty, both share a sample, a name is not there, or an option is out of range.
    """
    if test not in get_args(Test) or n_permutations < 1:
        raise InputError(
            f"difference: needs test welch or permutation and 1 permutation or more, got {test}, {n_permutations}."
        )
    rows_a, rows_b = _rows(stack, group_a, "group_a"), _rows(stack, group_b, "group_b")
    if shared := np.intersect1d(rows_a, rows_b).size:
        raise InputError(f"difference: {shared} samples stand in both groups. Put each into one.")
    mean_a, variance_a, n_a = _moments(stack, rows_a)
    mean_b, variance_b, n_b = _moments(stack, rows_b)
    t, freedom = _welch(mean_a - mean_b, variance_a, variance_b, n_a, n_b)
    if test == "welch":
        p = 2 * stats.t.sf(np.abs(t), freedom)
    else:
        p = _permuted_p(stack, rows_a, rows_b, np.abs(t), n_permutations, np.random.default_rng(random_state))
    table = pd.DataFrame(
        {
            "regulator": stack.edge_names("regulators"),
            "target": stack.edge_names("targets"),
            "mean_a": mean_a,
            "mean_b": mean_b,
            "difference": mean_a - mean_b,
            "p": p,
            "q": benjamini_hochberg(p),
            "n_a": n_a,
            "n_b": n_b,
        }
    )
    order = np.lexsort((-np.abs(table["difference"]), table["p"]))
    return table.iloc[order].reset_index(drop=True)


def _rows(stack: StackArrays, group: Any, what: str) -> RowArray:
    mask = np.asarray(group)
    if mask.dtype == np.bool_:
        if mask.shape != (len(stack.samples),):
            raise ShapeError.mismatch("difference", what, (len(stack.samples),), mask.shape)
        rows = np.flatnonzero(mask)
    else:
        rows = np.unique(stack.positions("samples", group))
    if not rows.size:
        raise InputError(f"difference: {what} has no sample.")
    return rows


def _moments(stack: StackArrays, rows: RowArray) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int64]]:
    """Return mean, variance (n - 1) and number of samples of every edge, absent ones counted as 0."""
    part = stack.values[rows]
    n = stack.n_fitted(rows)[stack.edge_target]
    held = np.bincount(part.indices, minlength=stack.n_edges)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(part.indices, part.data, stack.n_edges) / n
        # two passes: squares less squared means would lose all digits of edges that hardly vary
        squares = np.bincount(part.indices, (part.data - mean[part.indices]) ** 2, stack.n_edges)
        variance = (squares + (n - held) * mean**2) / (n - 1)
    return mean, np.where(n > 1, variance, np.nan), n


def _welch(
    difference: FloatArray, variance_a: FloatArray, variance_b: FloatArray, n_a: Any, n_b: Any
) -> tuple[FloatArray, FloatArray]:
    with np.errstate(invalid="ignore", divide="ignore"):
        share_a, share_b = variance_a / n_a, variance_b / n_b
        total = share_a + share_b
        t = np.where(total > 0, difference / np.sqrt(total), np.nan)
        freedom = total**2 / (share_a**2 / (n_a - 1) + share_b**2 / (n_b - 1))
    return t, freedom


def _permuted_p(
    stack: StackArrays, rows_a: RowArray, rows_b: RowArray, observed: FloatArray, n: int, rng: np.random.Generator
) -> FloatArray:
    """Shuffle the groups, the same way for all edges; one target at a time bounds memory."""
    rows = np.concatenate([rows_a, rows_b])
    in_a = np.tile(np.arange(len(rows)) < len(rows_a), (n, 1))
    in_a = rng.permuted(in_a, axis=1)
    columns = stack.values[rows].tocsc()
    exceeding = np.zeros(stack.n_edges, dtype=np.int64)
    ends = np.searchsorted(stack.edge_target, np.arange(len(stack.targets) + 1))
    for target in np.flatnonzero(np.diff(ends)):
        edges = slice(ends[target], ends[target + 1])
        block = columns[:, edges].toarray().astype(np.float64)
        known = np.ones(len(rows), dtype=np.bool_) if stack.fitted is None else stack.fitted[rows, target]
        block = block[known] - block[known].mean(0)
        for begin in range(0, n, _DRAWS_AT_ONCE):
            t = _shuffled_t(block, in_a[begin : begin + _DRAWS_AT_ONCE, known].astype(np.float64))
            exceeding[edges] += (np.abs(t) >= observed[edges] * (1 - _TIE)).sum(0)
    return np.where(np.isnan(observed), np.nan, (1 + exceeding) / (1 + n))


def _shuffled_t(block: FloatArray, in_a: FloatArray) -> FloatArray:
    """Return Welch's t of every shuffle and edge, shape ``(shuffle, edge)``, from centred values."""
    total, squares = block.sum(0), (block**2).sum(0)
    n_a = in_a.sum(1, keepdims=True)
    n_b = len(block) - n_a
    with np.errstate(invalid="ignore", divide="ignore"):
        sum_a, squares_a = in_a @ block, in_a @ block**2
        mean_a, mean_b = sum_a / n_a, (total - sum_a) / n_b
        variance_a = np.maximum(squares_a - n_a * mean_a**2, 0.0) / (n_a - 1)
        variance_b = np.maximum(squares - squares_a - n_b * mean_b**2, 0.0) / (n_b - 1)
        return _welch(mean_a - mean_b, variance_a, variance_b, n_a, n_b)[0]
