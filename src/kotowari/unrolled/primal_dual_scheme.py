"""The primal-dual method as a layer: a prior behind an operator without an exact prox, such as total variation."""

from typing import cast, final

from torch import Tensor, nn

from kotowari.core.checks import require_methods
from kotowari.core.errors import InputError, ShapeError
from kotowari.operators.linear import LinearOperator
from kotowari.priors.prior import squared_distance
from kotowari.solvers.pdhg import PdhgState, condat_vu_step, pdhg_start
from kotowari.solvers.protocols import Prox, Step, per_sample
from kotowari.unrolled.scheme import MARGIN, LeastSquaresScheme, Value

__all__ = ["PrimalDual"]

_ROOM = 0.1  # how far a learned primal step may come nearer to its limit
_SHARE = 0.95  # of the largest dual step, to begin with


@final
class PrimalDual(LeastSquaresScheme[PdhgState]):
    r"""The method of Condat and Vu on :math:`\tfrac12\|Ax - y\|^2 + \lambda g(Kx)`.

    Parameters
    ----------
    operator
        A. One with learned parameters is trained along.
    prior
        g: anything with ``prox(x, step)``; its conjugate's prox is taken by Moreau's identity.
    transform
        K, such as :class:`~kotowari.operators.FiniteDifference` for total variation, or a learned filter bank.
    primal_step
        :math:`\tau`, below :math:`2/\|A\|^2`; None for :math:`1/\|A\|^2`.
    weight
        :math:`\lambda` above 0.
    learn
        Which of ``"primal_step"``, ``"dual_step"`` and ``"weight"`` are learned. The primal step may come a tenth of
        the way nearer to its limit :math:`2/\|A\|^2`, and the dual step keeps
        :math:`\sigma \|K\|^2 \le 1/\tau - \|A\|^2/2` at the largest of them.

    Raises
    ------
    InputError
        When the primal step is at or above its bound.

    Source: Condat 2013, J. Optim. Theory Appl. 158, algorithm 3.1 and theorem 3.1.
    """

    def __init__(
        self,
        operator: LinearOperator,
        prior: nn.Module,
        transform: LinearOperator,
        *,
        primal_step: float | None = None,
        weight: float = 1.0,
        learn: tuple[str, ...] | str = ("primal_step", "dual_step", "weight"),
    ) -> None:
        super().__init__(operator, prior, weight=weight, learn=learn)
        self._require_known(learn, "primal_step", "dual_step", "weight")
        if transform.domain != operator.domain:
            raise ShapeError.mismatch("PrimalDual", "input of the transform", operator.domain, transform.domain)
        self.transform = transform
        lipschitz = self._lipschitz()
        start = 1.0 / lipschitz if primal_step is None else primal_step
        if not 0 < start < 2.0 / lipschitz:
            raise InputError(f"PrimalDual: primal_step = {start:g} must be above 0 and below {2.0 / lipschitz:g}.")
        largest = start + _ROOM * (2.0 / lipschitz - start)
        self.primal_step = self._constant("primal_step", start, learn, bound=largest)
        # what the condition leaves at the largest primal step, so that no pair of learned steps breaks it
        left = (1.0 / largest - lipschitz / 2.0) / (MARGIN * transform.norm()) ** 2
        self.dual_step = self._constant("dual_step", _SHARE * left, learn, bound=left)

    def begin(self, data: Tensor, start: Tensor | None) -> PdhgState:
        """Start at zero, or at ``start``, with the dual at zero."""
        return pdhg_start(self._zeros(data, start), [self.transform])

    def advance(self, state: PdhgState, data: Tensor) -> PdhgState:
        """Move the dual, then the primal point."""
        return condat_vu_step(
            state,
            lambda x: self._gradient(x, data),
            _unchanged,
            [self._conjugate_prox],
            [self.transform],
            [self.transform.adjoint],
            primal_step=self.primal_step(),
            dual_step=self.dual_step(),
        )

    def solution(self, state: PdhgState) -> Tensor:
        """Return the primal point."""
        return state.x

    def objective(self, x: Tensor, data: Tensor) -> Tensor:
        r"""Return :math:`\tfrac12\|Ax - y\|^2 + \lambda g(Kx)` of each sample, shape ``(batch,)``."""
        require_methods(self.prior, "value", by="the objective")
        value = cast(Value, self.prior.value)
        total: Tensor = 0.5 * squared_distance(self.operator(x), data) + self.weight() * value(self.transform(x))
        return total

    def _conjugate_prox(self, x: Tensor, step: Step) -> Tensor:
        prox = cast(Prox, self.prior.prox)
        step = per_sample(step, x)
        return x - step * prox(x / step, self.weight() / step)


def _unchanged(x: Tensor, step: Step) -> Tensor:  # noqa: ARG001  # the prox of nothing
    return x
