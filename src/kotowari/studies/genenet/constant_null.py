"""Targets as they would be if no coefficient changed along the modulator: one network, residuals of random sign."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError
from kotowari.studies.genenet.baselines.modulator_spline import ModulatorSpline
from kotowari.studies.genenet.model.edges.refits import RefitTable
from kotowari.studies.genenet.model.profile.input import penalty_factors
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["ConstantNull", "split_roles"]

Floats = npt.NDArray[np.float64]

_WIDE = 1e9  # squared ranges of the modulator: all samples weigh the same
_MOST_OWN = 0.5  # of a fitted value may come from the sample itself; beyond, its residual says little
_KNOTS, _DEGREE = {1: 5, 2: 3}, {1: 3, 2: 2}  # of a gene's course, by the number of modulators
_SAMPLES_A_COLUMN = 3
_NOTHING = 1e-9  # of a gene's deviation: what is left of one that only follows the modulator


@dataclass(frozen=True, eq=False)
class ConstantNull:
    r"""Targets of which every coefficient is constant, as near to the table as that allows.

    .. math:: t^*_{ik} = c_k(m_i) + \sum_j \beta_{0jk} \big(r_{ij} - c_j(m_i)\big) + s_i e_{ik}, \qquad s_i = \pm 1

    with the course c of a gene along the modulator, one network :math:`\beta_0` for all samples, and what the networks
    leave, e; see :meth:`of`.

    Attributes
    ----------
    constant
        The first two terms, shape ``(sample, target)``.
    residual
        e, shape ``(sample, target)``.
    """

    constant: Floats
    residual: Floats

    @classmethod
    def of(cls, roles: RefitTable, profiler: NetworkProfiler, stack: NetworkStack) -> Self:
        r"""Estimate courses, networks and residuals.

        .. math:: e_{ik} = \frac{t_{ik} - c_k(m_i) - \sum_j \beta_{jk}(m_i) \big(r_{ij} - c_j(m_i)\big)}
            {1 - l_i - w_{ii} d_{ik}}

        The course is a least squares cubic spline with five knots; of two modulators, products of quadratic ones with
        three. What genes are beside their courses gives :math:`\beta_0` by the same elastic net, with all samples
        weighing the same; being shrunk, it stays below the true coefficients.

        Residuals are what the networks that change leave, so that a change does not make the null wide. The divisor
        makes up for what a sample does to its own fit: l is its leverage on a course, w its own weight in its network,
        d the number of regulators there; wd is about the leverage. Where the divisor is below a half, or there is no
        network, :math:`\beta_0` stands in for the coefficients and its number of regulators over that of the samples
        for wd, and the divisor is a half at least.

        Parameters
        ----------
        roles
            As :func:`split_roles` gives it.
        profiler, stack
            Fitted to ``roles``, and its networks.

        Raises
        ------
        DesignError
            When there are too few samples for the courses.
        """
        beside, leverage = _beside_courses(roles.values, roles.modulator)
        sources, ends = np.hsplit(beside, [len(roles.regulators)])
        network = _one_network(roles, beside)
        left = ends - sources @ network
        shared = leverage[:, None] + (network != 0).sum(0) / len(ends)
        residual = left / (1 - np.minimum(shared, _MOST_OWN))
        changing, own = ends - _explained(stack, sources), leverage[:, None] + _own_share(profiler, stack)
        known = own <= _MOST_OWN if stack.fitted is None else stack.fitted & (own <= _MOST_OWN)
        residual[known] = changing[known] / (1 - own[known])
        return cls(roles.values[:, len(roles.regulators) :] - left, residual)

    def targets(self, signs: Floats) -> Floats:
        """Return targets for signs of shape ``(sample,)``, the same for all targets, which keeps their dependence."""
        return self.constant + signs[:, None] * self.residual


def split_roles(table: RefitTable) -> RefitTable:
    """Return the table with every target in a column of its own, beside the regulators, and genes centred.

    A gene that is both can then be changed as a target while it stays as a regulator; its edge to itself is excluded by
    an infinite penalty factor. Cells keep their numbers.
    """
    columns = [[table.genes.index(name) for name in names] for names in (table.regulators, table.targets)]
    shape = len(table.targets), len(table.regulators)
    factors = np.broadcast_to(penalty_factors(table.profiler.penalty_factors, *shape), shape)
    itself = np.equal.outer(np.array(table.targets, dtype=object), np.array(table.regulators, dtype=object))
    regulators = tuple(f"regulator {k}" for k in range(shape[1]))
    targets = tuple(f"target {k}" for k in range(shape[0]))
    # coefficients are stored with seven digits; a high level would use them up
    values = np.ascontiguousarray((table.values - table.values.mean(0))[:, columns[0] + columns[1]])
    options = table.profiler.get_params() | {"penalty_factors": np.where(itself.astype(np.bool_), np.inf, factors)}
    return replace(
        table,
        profiler=NetworkProfiler(**options),
        values=values,
        genes=regulators + targets,
        regulators=regulators,
        targets=targets,
    )


def _beside_courses(values: Floats, modulator: Floats) -> tuple[Floats, Floats]:
    """Return genes less their courses along the modulator, and the leverage of every sample on a course."""
    n_axes = modulator.shape[1]
    spline = ModulatorSpline(n_knots=_KNOTS[n_axes], degree=_DEGREE[n_axes]).fit_transform(modulator)
    left, size, _ = np.linalg.svd(spline, full_matrices=False)
    basis = left[:, size > _NOTHING * size[0]]
    fewest = _SAMPLES_A_COLUMN * basis.shape[1]
    if len(values) < fewest:
        raise DesignError(
            f"varying_edges: {len(values)} samples are too few for courses of {basis.shape[1]} numbers a gene. Bring "
            f"{fewest} or more."
        )
    beside = values - basis @ (basis.T @ values)
    beside[:, beside.std(0) <= _NOTHING * values.std(0)] = 0.0
    return beside, (basis**2).sum(1)


def _one_network(roles: RefitTable, beside: Floats) -> Floats:
    """Return the coefficients ``(regulator, target)`` when all samples weigh the same."""
    axis = roles.modulator[:, :1]
    wide = {"kernel": "gaussian", "bandwidth": _WIDE * float(np.ptp(axis)) ** 2, "n_nodes": 2}
    stack = roles.networks_of(roles.fit(beside, axis, **wide))
    network = np.zeros((len(roles.regulators), len(roles.targets)))
    part = stack.network(stack.samples[0]).tocoo()
    sources, ends = roles.positions("regulators", stack.regulators), roles.positions("targets", stack.targets)
    network[sources[part.coords[0]], ends[part.coords[1]]] = part.data
    return network


def _entry_places(stack: NetworkStack) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Return the sample of every entry, and its place in a flat table ``(sample, target)``."""
    sample = np.repeat(np.arange(len(stack.samples)), np.diff(stack.starts))
    return sample, sample.astype(np.int64) * len(stack.targets) + stack.edge_target[stack.entry_edge]


def _explained(stack: NetworkStack, sources: Floats) -> Floats:
    """Return what the regulators give the targets in every sample, shape ``(sample, target)``."""
    sample, place = _entry_places(stack)
    given = stack.entry_value * sources[sample, stack.edge_regulator[stack.entry_edge]]
    shape = len(stack.samples), len(stack.targets)
    return np.asarray(np.bincount(place, given, shape[0] * shape[1]).reshape(shape), dtype=np.float64)


def _own_share(profiler: NetworkProfiler, stack: NetworkStack) -> Floats:
    """Return about how much of what a network gives comes from the sample itself, shape ``(sample, target)``."""
    share_of = {}
    for kernel in set(profiler.kernels_):
        weights = kernel.weights(profiler.modulator_, profiler.modulator_)
        share_of[kernel] = np.diagonal(weights) / weights.sum(1)
    shape = len(stack.samples), len(stack.targets)
    n_regulators = np.bincount(_entry_places(stack)[1], minlength=shape[0] * shape[1]).reshape(shape)
    return np.column_stack([share_of[kernel] for kernel in profiler.kernels_]) * n_regulators
