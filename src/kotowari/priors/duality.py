"""The duality gap of a problem, where one can be had in closed form."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from kotowari.core.errors import CapabilityError
from kotowari.priors.quadratic import SquaredL2
from kotowari.priors.sparsity import L1
from kotowari.priors.terms import Term, centre, is_smooth, slope
from kotowari.priors.weight import fitted
from kotowari.solvers.inner_product import inner_product

__all__ = ["DualPoint", "dual_point", "find_anchor", "relative_gap"]


class DualPoint(NamedTuple):
    r"""A dual variable y of one term :math:`h(A x)`.

    ``pulled_back`` is :math:`A^H y`, shape of the unknown; ``conjugate`` is :math:`h^*(y)`, shape ``(batch,)``.
    """

    term: Term
    pulled_back: Tensor
    conjugate: Tensor


def dual_point(term: Term, u: Tensor, y: Tensor, pulled_back: Tensor, value: Tensor) -> DualPoint:
    r"""Return the dual point y of a term, a subgradient of its prior at u, where the prior has this value.

    There Fenchel's inequality is an equation, :math:`h^*(y) = \langle u, y \rangle - h(u)`, so that no conjugate has to
    be known: the proximal map of any convex prior gives u and y.

    Source: Rockafellar 1970, Convex Analysis, theorem 23.5.
    """
    return DualPoint(term, pulled_back, inner_product(u, y) - value)


def find_anchor(terms: Sequence[Term]) -> Term:
    """Return the term whose conjugate takes up what the dual points of all others leave over.

    Raises
    ------
    CapabilityError
        When there is none: a dual point would have to meet an equation that holds only in the limit.
    """
    own = [term for term in terms if term.operator is None]
    for term in own:
        if isinstance(term.prior, SquaredL2) and bool((torch.as_tensor(term.prior.weight) > 0).all()):
            return term
    for term in own:
        if isinstance(term.prior, L1):
            return term
    raise CapabilityError(
        "Problem: this problem has no duality gap in closed form. It needs a SquaredL2 with weights above 0, or an L1, "
        "of the unknown itself (a term without operator). Take stop='change'."
    )


def relative_gap(terms: Sequence[Term], anchor: Term, x: Tensor, points: Sequence[DualPoint]) -> Tensor:
    r"""Return the duality gap over the larger of primal and dual objective, ``(batch,)``, between 0 and about 1.

    With :math:`z = -\sum_i A_i^H y_i` over all terms but the anchor g, the dual objective is
    :math:`-g^*(z) - \sum_i h_i^*(y_i)`. Where g is an L1, all y are first multiplied by the largest s up to 1 with
    :math:`|s z| \le \lambda`, and :math:`h_i^*(s y_i) \le s h_i^*(y_i)` since no term is negative. Smooth terms get
    their dual points here, from their gradients at x; ``points`` holds those of the others.
    """
    values = {id(term): term.value(x) for term in terms}
    others = [point for point in points if point.term is not anchor]
    served = {id(anchor), *(id(point.term) for point in points)}
    for term in terms:
        if id(term) not in served and is_smooth(term):
            image = term.image(x)
            y = slope(term, image)
            others.append(dual_point(term, image, y, term.pulled_back(y), values[id(term)]))
    primal = torch.stack(list(values.values())).sum(0)
    left_over, conjugates = torch.zeros_like(x), torch.zeros_like(primal)
    for point in others:
        left_over, conjugates = left_over - point.pulled_back, conjugates + point.conjugate
    if isinstance(anchor.prior, SquaredL2):
        dual = -_quadratic_conjugate(anchor, left_over) - conjugates
    else:
        dual = -_feasible_share(anchor, left_over) * conjugates
    scale = torch.maximum(primal.abs(), dual.abs()).clamp_min(torch.finfo(primal.dtype).tiny)
    # a constraint that x does not fulfil yet makes the primal objective infinite: the limit of the ratio is 1
    return torch.where(primal == torch.inf, 1.0, ((primal - dual) / scale).clamp_min(0))


def _quadratic_conjugate(anchor: Term, z: Tensor) -> Tensor:
    prior = cast(SquaredL2, anchor.prior)
    weight = torch.as_tensor(fitted(prior, "weight", prior.weight, z), dtype=z.real.dtype, device=z.device)
    return inner_product(z, z / (2 * anchor.weight * weight) + centre(prior, z))


def _feasible_share(anchor: Term, z: Tensor) -> Tensor:
    prior = cast(L1, anchor.prior)
    weight = anchor.weight * torch.as_tensor(
        fitted(prior, "weight", prior.weight, z), dtype=z.real.dtype, device=z.device
    )
    magnitude = z.abs()
    share = torch.where(magnitude > weight, weight / magnitude, 1.0)
    return share.flatten(1).amin(1)
