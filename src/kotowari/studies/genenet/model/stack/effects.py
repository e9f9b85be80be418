"""What a regulator does to a target: along the edge, and along paths over one gene in between."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from kotowari.core.errors import InputError
from kotowari.formats.memory import require_bytes
from kotowari.studies.genenet.model.stack.arrays import StackArrays
from kotowari.studies.genenet.model.stack.expression import regulator_expression

__all__ = ["path_effects"]

Entries = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]
_ENTRY_BYTES = 60  # three positions and a value, and what sorting them takes


def path_effects(
    stack: StackArrays,
    X: Any,
    max_length: int = 2,
    *,
    centred: bool = True,
    targets: Any = None,
    limit_gb: float | None = None,
) -> Entries:
    r"""Multiply the coefficients along all paths from regulator to target, and by the regulator's deviation.

    .. math:: \mathrm{RE}_{jka} =
        \Big(\beta_{jka} + \sum_{l \ne j, k} \beta_{jla} \beta_{lka}\Big) (r_{aj} - \bar r_j)

    A gene in between must stand among the targets and among the regulators, under one name. Paths that come back to
    where they were, among them edges of a gene to itself, do not count. Holds the expression of the sample itself, so
    it is not a function of the modulator alone.

    Parameters
    ----------
    stack
        Networks of coefficients.
    X
        Expression: a table with the samples in the index and the regulators among the columns, or an array
        ``(sample, regulator)`` in the order of the stack. In the units that the networks were estimated in.
    max_length
        1 (edges only) or 2.
    centred
        Whether each regulator counts less its mean over these samples, so that an edge counts by what it carries and
        not by how high its regulator stands. False takes X as it is: the paper's form, or a table that is centred
        already, as by the mean of the training samples.
    targets
        Names of the targets asked for; None takes all. Genes in between are not restricted.
    limit_gb
        Largest size of the result on the way, in units of 10^9 bytes; None stands for half of this machine's memory.

    Returns
    -------
    sample, regulator, target, value
        Shape ``(entry,)`` each; ``target`` counts among those asked for.

    Raises
    ------
    InputError
        When ``max_length`` is neither 1 nor 2, the table lacks a name or holds a gap, or the result would be too large.
    ShapeError
        When an array has another shape.

    Source: Shimamura et al. 2011, PLoS ONE 6:e20804 (regulatory effect, paths of length 1 and 2); the mean is ours.
    """
    if max_length not in (1, 2):
        raise InputError(f"regulatory_effect: max_length must be 1 or 2, got {max_length}.")
    expression = regulator_expression(stack, X, by="regulatory_effect")
    if centred:
        expression = expression - expression.mean(0)
    chosen = stack.positions("targets", targets)
    place = {name: k for k, name in enumerate(stack.regulators)}
    twin = np.array([place.get(name, -1) for name in stack.targets], dtype=np.intp)  # the target as a regulator
    own = twin[stack.edge_target] == stack.edge_regulator
    _require_room(stack, twin, own, chosen, max_length, limit_gb)
    between = np.flatnonzero(twin >= 0)
    parts = []
    for row, strength in enumerate(expression):
        network = _without_own(stack, row, own)
        effect = network[:, chosen]
        if max_length == 2 and between.size:
            effect = effect + network[:, between] @ network[twin[between]][:, chosen]
        effect = effect.tocoo()
        regulator, target = effect.coords
        value = effect.data * strength[regulator]
        kept = (twin[chosen][target] != regulator) & (value != 0)
        parts.append((np.full(kept.sum(), row), regulator[kept], target[kept], value[kept]))
    sample, regulator, target, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    return sample.astype(np.int32), regulator.astype(np.int32), target.astype(np.int32), value.astype(np.float32)


def _without_own(stack: StackArrays, row: int, own: npt.NDArray[np.bool_]) -> sparse.csr_array:
    """Return one network, shape ``(regulator, target)``, float64, without edges of a gene to itself."""
    entries = slice(stack.starts[row], stack.starts[row + 1])
    kept = ~own[stack.entry_edge[entries]]
    edge = stack.entry_edge[entries][kept]
    value = stack.entry_value[entries][kept].astype(np.float64)
    shape = (len(stack.regulators), len(stack.targets))
    return sparse.coo_array((value, (stack.edge_regulator[edge], stack.edge_target[edge])), shape=shape).tocsr()


def _require_room(
    stack: StackArrays,
    twin: npt.NDArray[np.intp],
    own: npt.NDArray[np.bool_],
    chosen: npt.NDArray[np.intp],
    max_length: int,
    limit_gb: float | None,
) -> None:
    """Count paths before they are walked; several paths of one pair become one entry, so it is an upper bound."""
    wanted = np.isin(stack.edge_target, chosen) & ~own
    n_paths = int(wanted[stack.entry_edge].sum())
    if max_length == 2:
        into = twin[stack.edge_target]
        for row in range(len(stack.samples)):
            edge = stack.entry_edge[stack.starts[row] : stack.starts[row + 1]]
            first, last = edge[(into[edge] >= 0) & ~own[edge]], edge[wanted[edge]]
            arriving = np.bincount(into[first], minlength=len(stack.regulators))
            n_paths += int(arriving @ np.bincount(stack.edge_regulator[last], minlength=len(stack.regulators)))
    require_bytes(
        n_paths * _ENTRY_BYTES,
        what=f"The effects over up to {n_paths} paths of all samples",
        remedy="Name fewer targets, or take paths of length 1",
        limit_gb=limit_gb,
    )
