"""One number for every edge of a stack: how strong it is, or how much it changes along the samples."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.studies.genenet.model.edges.refits import RefitTable
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["Statistic", "edge_statistic"]

Floats = npt.NDArray[np.float64]
Statistic = Literal["strength", "change"]


def edge_statistic(
    table: RefitTable, values: Floats, stack: NetworkStack, statistic: Statistic, *, path_length: Literal[1, 2] = 2
) -> tuple[npt.NDArray[np.int64], Floats]:
    r"""Return the statistic of every edge, all on one scale, so that edges of different genes can be compared.

    .. math::
        \text{strength: } \frac{s_j}{s_k}\, \mathrm{mean}_a |\beta_{jka}|, \qquad
        \text{change: } \frac{1}{s_k}
        \big(\mathrm{high}_a\, \mathrm{RE}_{jka} - \mathrm{low}_a\, \mathrm{RE}_{jka}\big)

    over the samples in which the target has a network, with the standard deviation s of a gene over all samples, the
    95th and the 5th percentile, and effects of regulators less their mean. The factors are constants of the genes: they
    leave the order of one edge's values over permutations as it is.

    Parameters
    ----------
    table
        Numbers the edges.
    values
        What the networks were estimated from, shape ``(row, gene)``.
    stack
        Coefficients, one network a row.
    statistic
        ``"strength"`` or ``"change"``.
    path_length
        Longest path of a regulatory effect, for ``"change"``.

    Returns
    -------
    cell, value
        Shape ``(edge,)`` each, cells rising, values above 0; all other possible edges have the value 0.
    """
    deviation = dict(zip(table.genes, values.std(0), strict=True))
    source = np.array([deviation[name] for name in stack.regulators])
    end = np.array([deviation[name] for name in stack.targets])
    if statistic == "strength":
        scale = source[stack.edge_regulator] / end[stack.edge_target]
        total = np.bincount(stack.entry_edge, np.abs(stack.entry_value), stack.n_edges)
        return _sorted(table.edge_cells(stack), scale * total / stack.n_fitted()[stack.edge_target])
    frame = pd.DataFrame(values, columns=list(table.genes)).loc[:, list(stack.regulators)].to_numpy()
    change = stack.regulatory_effect(frame, path_length).change_along_modulator("percentile")
    regulator, target = change["regulator"].tolist(), change["target"].tolist()
    cells = table.positions("targets", target) * len(table.regulators) + table.positions("regulators", regulator)
    return _sorted(cells, change["change"].to_numpy() / np.array([deviation[name] for name in target]))


def _sorted(cells: npt.NDArray[np.int64], values: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    kept = np.flatnonzero(values > 0)
    order = kept[np.argsort(cells[kept])]
    return cells[order], values[order].astype(np.float64)
