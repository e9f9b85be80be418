"""Low rank plus sparse as a prior, and its use on frames that were not seen."""

from typing import final

import torch
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.outcome import Outcome, Status
from kotowari.priors.functional.column_blocks import LowRankSparse
from kotowari.priors.functional.singular_values import nuclear_norm, singular_values
from kotowari.priors.infimal_sum import InfimalSum, require_convex_prox
from kotowari.priors.prior import Prior, ProximalPrior, Smooth
from kotowari.priors.robust_pca import require_finite, robust_pca
from kotowari.priors.sparsity import L1
from kotowari.priors.spectral import Nuclear
from kotowari.solvers.inner_product import inner_product

__all__ = ["LowRankPlusSparse", "background_basis", "project_out"]

_GROWTHS = (1.5, 1.2, 1.1, 1.05)
_MATRIX_AXES = 2


@final
class LowRankPlusSparse(Prior):
    r"""The least price of matrices as low rank plus sparse, :math:`g(X) = \min_{L + S = X} \|L\|_* + h(S)`.

    The sparse penalty h is :math:`\lambda \|S\|_1` unless another is given. The gradient of the value is the multiplier
    of :math:`L + S = X`; the smooth neighbour is the Moreau envelope of g, as in
    :class:`~kotowari.priors.infimal_sum.InfimalSum`.

    For :math:`\lambda \|S\|_1` and real matrices the value is the upper end of a duality gap: the penalty of
    :func:`~kotowari.priors.robust_pca.robust_pca` grows more and more slowly until the gap is at most ``gap``.

    Parameters
    ----------
    weight
        :math:`\lambda` above 0; :math:`1/\sqrt{\max(m, n)}` if left out.
    sparse
        h, a convex prior of ``(batch, m, n)``, such as groups of pixels or entries of 0 or more, in place of
        :math:`\lambda \|S\|_1`.
    gap
        Relative duality gap at which the value stands, above 0. Where h is given, the data complex, or a side too long
        for a Gram matrix, and for the smooth neighbour, ADMM goes to its own bars instead.

    Raises
    ------
    InputError
        When ``weight`` or ``gap`` is not above 0, or both ``weight`` and ``sparse`` are given.
    CapabilityError
        When ``sparse`` is not convex or has no prox.
    ShapeError
        When x is not ``(batch, m, n)``.
    ConvergenceError
        By value and losses, when the gap stays above ``gap``.

    Source: Candes, Li, Ma and Wright 2011, J. ACM 58(3), eq. 1.1 and theorem 1.1.

    Examples
    --------
    >>> prior = LowRankPlusSparse(weight=0.5)
    >>> prior.value(torch.eye(2, dtype=torch.float64)[None])  # both entries are cheaper as sparse ones
    tensor([1.], dtype=torch.float64)
    """

    def __init__(self, weight: float | None = None, sparse: ProximalPrior | None = None, *, gap: float = 1e-3) -> None:
        super().__init__()
        if weight is not None and sparse is not None:
            raise InputError("LowRankPlusSparse: give weight or sparse, not both: a prior has a weight of its own.")
        if (weight is not None and not weight > 0) or not gap > 0:
            raise InputError(f"LowRankPlusSparse: weight = {weight} and gap = {gap} must be above 0.")
        if sparse is not None:
            require_convex_prox("LowRankPlusSparse", sparse)
        self.weight, self.sparse, self.gap = weight, sparse, gap

    def split(self, x: Tensor) -> Outcome[LowRankSparse]:
        """Return the parts of ``x``, ``(batch, m, n)``, with why the iteration stopped; they carry no gradient.

        Raises
        ------
        InputError
            When ``x`` is not finite.
        """
        self._require_fit(x)
        _require_matrices(self, x)
        require_finite("LowRankPlusSparse", x)
        if self._is_plain(x):
            solved = [_certified(sample[None], self._weight_for(x), self.gap) for sample in x.detach()]
            parts = (torch.cat(part) for part in zip(*(outcome.state for outcome in solved), strict=True))
            statuses = tuple(outcome.statuses[0] for outcome in solved)
            n_steps = tuple(outcome.n_steps[0] for outcome in solved)
            return Outcome(LowRankSparse(*parts), statuses, n_steps, (tuple(o.trace[-1][0] for o in solved),))
        found = self._infimal_sum(x).split(x)
        return Outcome(LowRankSparse(*found.state), found.statuses, found.n_steps, found.trace)

    def _value(self, x: Tensor) -> Tensor:
        _require_matrices(self, x)
        if not self._is_plain(x):
            return self._infimal_sum(x).value(x)
        low_rank, sparse, multiplier = self.split(x).or_raise().state
        price = nuclear_norm(low_rank) + self._weight_for(x) * sparse.abs().flatten(1).sum(1)
        return price + inner_product(multiplier, x - x.detach())

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        _require_matrices(self, x)
        return self._infimal_sum(x).smooth_value(x, eps)

    def _sample_loss(self, x: Tensor, smooth: Smooth, amount: float) -> Tensor:
        if smooth in {"moreau", "target"}:
            _require_matrices(self, x)
            return self._infimal_sum(x)._sample_loss(x, smooth, amount)
        return super()._sample_loss(x, smooth, amount)

    def _infimal_sum(self, x: Tensor) -> InfimalSum:
        return InfimalSum(Nuclear(), L1(self._weight_for(x)) if self.sparse is None else self.sparse)

    def _weight_for(self, x: Tensor) -> float:
        return 1.0 / max(x.shape[1:]) ** 0.5 if self.weight is None else self.weight

    def _is_plain(self, x: Tensor) -> bool:
        return self.sparse is None and x.dtype in {torch.float32, torch.float64}

    def extra_repr(self) -> str:
        """Say the weight or the sparse prior."""
        return f"weight={self.weight}" if self.sparse is None else f"sparse={self.sparse!r}"


def background_basis(low_rank: Tensor, tol: float = 1e-3) -> Tensor:
    r"""Return an orthonormal basis of the rows of a low-rank part: what the background of a frame can be.

    Parameters
    ----------
    low_rank
        Shape ``(frames, pixels)``, such as one sample of the low-rank part of
        :func:`~kotowari.priors.robust_pca.robust_pca`.
    tol
        Directions with a singular value of at most this times the largest are left out; from 0 to 1.

    Returns
    -------
    Tensor
        Shape ``(pixels, rank)``, with orthonormal columns; no column for a matrix of zeros.

    Raises
    ------
    ShapeError
        When ``low_rank`` is no matrix.
    InputError
        When ``tol`` is out of range, or an entry is not finite.
    """
    if low_rank.ndim != _MATRIX_AXES:
        raise ShapeError.mismatch("background_basis", "low_rank", ("frames", "pixels"), low_rank.shape)
    if not 0 <= tol < 1:
        raise InputError(f"background_basis: tol must be from 0 to 1, got {tol}.")
    require_finite("background_basis", low_rank)
    # with column pivots left out, the rows are first turned so that the directions that count stand first
    left, values, _ = torch.linalg.svd(torch.linalg.qr(low_rank.mH, mode="r").R.mH)
    rank = int((values > tol * values[0]).sum())
    basis: Tensor = torch.linalg.qr(low_rank.mT @ left[:, :rank].conj()).Q
    return basis


def project_out(frames: Tensor, basis: Tensor) -> Tensor:
    r"""Return what of frames lies outside a background, :math:`d - U U^H d`: the sparse part of frames not seen before.

    Parameters
    ----------
    frames
        Shape ``(..., pixels)``.
    basis
        U, shape ``(pixels, rank)``, orthonormal columns; see :func:`background_basis`.

    Raises
    ------
    ShapeError
        When the numbers of pixels differ.
    """
    if basis.ndim != _MATRIX_AXES or frames.ndim < 1 or frames.shape[-1] != basis.shape[0]:
        raise ShapeError.mismatch("project_out", "frames", ("...", *basis.shape[:1]), frames.shape)
    return frames - (frames @ basis.conj()) @ basis.mT


def _require_matrices(owner: Prior, x: Tensor) -> None:
    if x.ndim != _MATRIX_AXES + 1:
        raise ShapeError.mismatch(owner, "input", ("batch", "m", "n"), x.shape)


def _certified(x: Tensor, weight: float, gap: float) -> Outcome[LowRankSparse]:
    """Split one matrix with a duality gap of at most ``gap`` relative, or say that it was not reached.

    The penalty grows more and more slowly; where it still outruns the multiplier, which small matrices allow, ADMM with
    a penalty that does not grow has the last word. The trace holds the gap.
    """
    tol = 1e-7 if x.dtype == torch.float64 else 1e-6
    n_steps = 0
    for growth in _GROWTHS:
        found = robust_pca(x, weight, tol, 5000, growth=growth)
        n_steps += found.n_steps[0]
        outcome = _judged(x, found.state, weight, gap, n_steps)
        if outcome.converged:
            return outcome
    last = InfimalSum(Nuclear(), L1(weight)).split(x)
    return _judged(x, LowRankSparse(*last.state), weight, gap, n_steps + last.n_steps[0])


def _judged(x: Tensor, found: LowRankSparse, weight: float, gap: float, n_steps: int) -> Outcome[LowRankSparse]:
    r"""Return parts that add up to X with their duality gap.

    L and X - L give an upper bound. The multiplier, divided until its spectral norm is at most 1 and its entries are at
    most :math:`\lambda`, is feasible for the dual and gives a lower one.
    """
    low_rank, _, multiplier = found
    sparse = x - low_rank
    norm = max(float(singular_values(multiplier)[0, 0]), float(multiplier.abs().max()) / weight, 1.0)
    upper = float(nuclear_norm(low_rank)) + weight * float(sparse.abs().sum(dtype=torch.float64))
    lower = float((multiplier * x).sum(dtype=torch.float64)) / norm
    reached = (upper - lower) / upper if upper > 0 else 0.0
    status = Status.CONVERGED if reached <= gap else Status.MAX_STEPS
    return Outcome(LowRankSparse(low_rank, sparse, multiplier / norm), (status,), (n_steps,), ((reached,),))
