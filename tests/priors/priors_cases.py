"""One case or more of every prior: what the laws are checked on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from kotowari.operators.elementary import Matrix
from kotowari.operators.linear import LinearOperator
from kotowari.operators.sampling import Sampling
from kotowari.priors.affine import AffineSet
from kotowari.priors.balls import L1Ball, L2Ball, NuclearBall
from kotowari.priors.groups import GroupL2, LabelledGroupL2, SparseGroupL2, overlapping_group_l2
from kotowari.priors.indicators import Box, NonNegative, Simplex
from kotowari.priors.infimal_sum import InfimalSum
from kotowari.priors.low_rank_sparse import LowRankPlusSparse
from kotowari.priors.prior import Prior
from kotowari.priors.quadratic import L2, SquaredL2
from kotowari.priors.sparsity import L1, Huber, LogSum, Lp
from kotowari.priors.spectral import LogDet, Nuclear, SchattenP, WeightedNuclear
from kotowari.priors.total_variation import TotalVariation


@dataclass(frozen=True)
class Case:
    """A prior, the shape of a batch for it, and what is known of it.

    ``conjugate`` is the convex conjugate in closed form, written without the prior. ``fixes_zero``: prox(0) = 0.
    ``accuracy``: how far a prox that iterates may stay above the minimum, relative. ``by_iteration``: the value itself
    is a minimum that an iteration looks for.
    """

    prior: Prior
    shape: tuple[int, ...] = (3, 4, 5)
    conjugate: Callable[[torch.Tensor], torch.Tensor] | None = None
    real_only: bool = False
    fixes_zero: bool = True
    accuracy: float = 0.0
    by_iteration: bool = False


def numbers(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def wide(rows, columns, seed=0):
    return Matrix(torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


class TightRows(LinearOperator):
    """Random rows that are orthogonal and of length 2."""

    coisometry = 4.0

    def __init__(self, rows, columns):
        super().__init__()
        draw = torch.randn(columns, columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.matrix = 2.0 * torch.linalg.qr(draw)[0][:rows]
        self.domain, self.codomain = (columns,), (rows,)

    def _forward(self, x):
        return x @ self.matrix.T.to(x.dtype)

    def _adjoint(self, y):
        return y @ self.matrix.to(y.dtype)


def where_at_most(measure, bound):
    """0 where ``measure`` is at most ``bound`` up to rounding, infinite elsewhere."""
    return torch.where(measure <= bound + 1e-9, 0.0, torch.inf).to(measure.dtype)


def flat(v):
    return v.flatten(1)


def largest(v):
    return flat(v.abs()).amax(1)


def spectral(v):
    return torch.linalg.svdvals(v).reshape(len(v), -1).amax(1)


def support_of_box(low, high):
    return lambda v: flat(torch.where(v > 0, high * v, low * v)).sum(1)


def squared(v):
    return flat(v.abs().square()).sum(1)


LABELS = torch.tensor([0, 2, 1, 0, 1])
CENTRE = numbers(4, 5)

CASES = {
    "l1": Case(L1(0.7), conjugate=lambda v: where_at_most(largest(v), 0.7)),
    "l1, entrywise": Case(L1(numbers(5)), conjugate=lambda v: where_at_most(flat(v.abs() - numbers(5)).amax(1), 0.0)),
    "l1, weight 0": Case(L1(0.0)),
    "huber": Case(Huber(0.5, 2.0), conjugate=lambda v: squared(v) * 0.5 / (2 * 2.0) + where_at_most(largest(v), 2.0)),
    "lp 1/2": Case(Lp(0.5, 0.4)),
    "lp 2/3": Case(Lp(2 / 3, numbers(4, 5))),
    "lp 0.9": Case(Lp(0.9, 0.4)),
    "log sum": Case(LogSum(0.1, 0.4)),
    "squared l2": Case(SquaredL2(2.0), conjugate=lambda v: squared(v) / 4.0),
    "squared l2, entrywise, centred": Case(
        SquaredL2(0.5 + numbers(4, 5), CENTRE),
        conjugate=lambda v: flat(v.abs().square() / (1.0 + 2.0 * numbers(4, 5)) + (v.conj() * CENTRE).real).sum(1),
        fixes_zero=False,
    ),
    "l2": Case(L2(2.0), conjugate=lambda v: where_at_most(squared(v).sqrt(), 2.0)),
    "groups": Case(GroupL2(1, 0.6), conjugate=lambda v: where_at_most(largest(v.norm(dim=1)), 0.6)),
    "groups over two axes": Case(GroupL2((-1, 1), numbers(1, 2, 1)), (2, 3, 2, 2)),
    "labelled groups": Case(LabelledGroupL2(LABELS, numbers(3))),
    "labelled groups of all entries": Case(LabelledGroupL2(torch.arange(20).reshape(4, 5) % 3, 0.5)),
    "sparse groups": Case(SparseGroupL2(-1, 0.2, 0.4)),
    "overlapping groups": Case(overlapping_group_l2([[0, 1, 2], [2, 3], [3, 4]], (5,)), (3, 5)),
    "disjoint groups by index": Case(overlapping_group_l2([[0, 2], [3]], (5,)), (3, 5)),
    "nuclear": Case(Nuclear(0.5), conjugate=lambda v: where_at_most(spectral(v), 0.5)),
    "nuclear, several matrices": Case(Nuclear(0.5), (2, 2, 3, 4)),
    "weighted nuclear": Case(WeightedNuclear(torch.tensor([0.1, 0.4, 0.6, 0.9], dtype=torch.float64))),
    "weighted nuclear, constant": Case(WeightedNuclear(torch.full((4,), 0.5)), (3, 6, 4)),
    "schatten 1/2": Case(SchattenP(0.5, 0.4)),
    "schatten 2/3": Case(SchattenP(2 / 3, 0.4)),
    "schatten 1": Case(SchattenP(1, 0.5), conjugate=lambda v: where_at_most(spectral(v), 0.5)),
    "schatten 2": Case(SchattenP(2, 0.5), (2, 2, 3, 4), conjugate=lambda v: squared(v) / 2.0),
    "log det": Case(LogDet(0.1, 0.4)),
    "box": Case(Box(-0.5, 0.3), conjugate=support_of_box(-0.5, 0.3), real_only=True),
    "box, entrywise": Case(Box(numbers(5), torch.tensor(2.0)), real_only=True, fixes_zero=False),
    "non-negative": Case(NonNegative(), conjugate=lambda v: where_at_most(flat(v).amax(1), 0.0), real_only=True),
    "simplex": Case(Simplex(2.0, dim=1), conjugate=lambda v: 2.0 * v.amax(1).sum(1), real_only=True, fixes_zero=False),
    "affine set": Case(AffineSet(wide(3, 6), numbers(3)), (3, 6), fixes_zero=False),
    "affine set, tight": Case(AffineSet(TightRows(3, 6), numbers(3)), (3, 6), fixes_zero=False),
    "l1 ball": Case(L1Ball(1.5), conjugate=lambda v: 1.5 * largest(v)),
    "l2 ball": Case(L2Ball(1.0), conjugate=lambda v: squared(v).sqrt()),
    "l2 ball, centred": Case(L2Ball(1.0, CENTRE), fixes_zero=False),
    "nuclear ball": Case(NuclearBall(1.5), conjugate=lambda v: 1.5 * spectral(v)),
    "scaled": Case(2.0 * L1(0.3), conjugate=lambda v: where_at_most(largest(v), 0.6)),
    "scaled by 0": Case(0 * L1(0.3)),
    "weighted": Case(2.0 * (L1(0.3) + Nuclear(0.2))),
    "summed": Case(L1(0.3) + Nuclear(0.2)),
    "composed": Case(L1(0.3) @ wide(3, 6), (3, 6)),
    "composed, tight": Case(L1(0.3) @ TightRows(3, 6), (3, 6)),
    "total variation": Case(TotalVariation(0.3, gap=1e-9), (2, 5, 6), accuracy=1e-9),
    "total variation, anisotropic, of signals": Case(
        TotalVariation(0.3, axes=(-1,), isotropic=False, spacing=(0.5,), gap=1e-9), (2, 3, 6), accuracy=1e-9
    ),
    "infimal sum": Case(InfimalSum(L1(0.6), SquaredL2(0.5)), accuracy=1e-8, by_iteration=True),
    "low rank plus sparse": Case(LowRankPlusSparse(0.5), (2, 3, 4), accuracy=1e-3, by_iteration=True),
    "composed, some entries": Case(GroupL2(-1) @ Sampling(torch.tensor([4, 1]), (5,)), (3, 5)),
}
