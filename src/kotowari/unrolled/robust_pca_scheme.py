"""Robust principal components as a layer: data into low rank plus sparse."""

from typing import cast, final

from torch import Tensor, nn

from kotowari.core.checks import require_methods
from kotowari.core.errors import ShapeError
from kotowari.priors.functional.singular_values import nuclear_norm, singular_value_threshold, singular_values
from kotowari.priors.sparsity import L1
from kotowari.solvers.inexact_alm import InexactAlmState, inexact_alm_start, inexact_alm_step
from kotowari.solvers.protocols import Prox, Step
from kotowari.unrolled.scheme import Scheme, Value, require_proximal

__all__ = ["RobustPca"]


@final
class RobustPca(Scheme[InexactAlmState]):
    r"""Inexact augmented Lagrangian steps on :math:`\min_S \|D - S\|_* + \lambda g(S)`; the unknown is the sparse part.

    Parameters
    ----------
    shape
        Frames and pixels of one matrix D, ``(m, n)``.
    prior
        g: anything with ``prox(x, step)``; L1 where it is left out.
    weight
        :math:`\lambda` above 0; :math:`1/\sqrt{\max(m, n)}` where it is left out.
    growth
        Factor :math:`\rho` on the penalty from step to step, above 1.
    learn
        Which of ``"weight"``, ``"penalty"`` (a factor on the solver's first penalty) and ``"growth"`` (what it has
        above 1) are learned.

    Source: Lin, Chen and Ma 2010, arXiv 1009.5055, algorithm 5; as layers: Solomon et al. 2020, IEEE Trans. Med.
    Imaging 39(4), which learns convolutions beside.
    """

    settles = False

    def __init__(
        self,
        shape: tuple[int, int],
        prior: nn.Module | None = None,
        *,
        weight: float | None = None,
        growth: float = 1.5,
        learn: tuple[str, ...] | str = ("weight", "penalty", "growth"),
    ) -> None:
        super().__init__()
        self._require_known(learn, "weight", "penalty", "growth")
        self.shape = shape
        self.prior = L1() if prior is None else prior
        require_proximal(self.prior, by="RobustPca")
        self.weight = self._constant("weight", max(shape) ** -0.5 if weight is None else weight, learn)
        self.penalty = self._constant("penalty", 1.0, learn)
        self.growth = self._constant("growth", growth - 1.0, learn)

    def begin(self, data: Tensor, start: Tensor | None) -> InexactAlmState:
        """Start as the solver does, or with ``start`` as the sparse part."""
        if data.ndim != 3 or tuple(data.shape[1:]) != self.shape:
            raise ShapeError.mismatch("RobustPca", "data", ("batch", *self.shape), data.shape)
        norm = singular_values(data)[:, 0]
        # of the largest entry, so that it holds for L1; another prior begins nearer to or farther from its dual ball
        largest = data.abs().flatten(1).amax(1) / self.weight()
        state = inexact_alm_start(data, norm, norm.maximum(largest))
        state = state._replace(penalty=self.penalty() * state.penalty)
        return state if start is None else state._replace(sparse=start)

    def advance(self, state: InexactAlmState, data: Tensor) -> InexactAlmState:
        """Shrink the singular values, shrink the entries, move the multiplier, raise the penalty."""
        return inexact_alm_step(state, data, _low_rank_prox, self._sparse_prox, 1.0 + self.growth())

    def solution(self, state: InexactAlmState) -> Tensor:
        """Return the sparse part; the low-rank part is the data less it."""
        return state.sparse

    def objective(self, x: Tensor, data: Tensor) -> Tensor:
        r"""Return :math:`\|D - S\|_* + \lambda g(S)` of each sample, shape ``(batch,)``."""
        require_methods(self.prior, "value", by="the objective")
        value = cast(Value, self.prior.value)
        total: Tensor = nuclear_norm(data - x) + self.weight() * value(x)
        return total

    def _sparse_prox(self, x: Tensor, step: Step) -> Tensor:
        prox = cast(Prox, self.prior.prox)
        return prox(x, self.weight() * step)


def _low_rank_prox(x: Tensor, step: Step) -> Tensor:
    return singular_value_threshold(x, step)
