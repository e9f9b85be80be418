"""A loss that is a prior: sparse foregrounds before a low-rank background, without any label."""

import warnings
from typing import Literal, final

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError, ShapeError
from kotowari.operators.difference import FiniteDifference
from kotowari.priors.functional.singular_values import nuclear_norm, singular_value_threshold
from kotowari.priors.groups import GroupL2
from kotowari.priors.loss_minimiser import Minimum, as_rows, minimise_low_rank_sparse
from kotowari.priors.loss_weights import Continuation, LearnedScales
from kotowari.priors.prior import Prior
from kotowari.priors.sparsity import L1

__all__ = ["Face", "LowRankSparseLoss"]

Face = Literal["none", "eps", "moreau", "target", "prox-backward"]

_FACES = ("none", "eps", "moreau", "target", "prox-backward")
_LEAST_SHARE, _MOST_SHARE = 1e-3, 0.999


@final
class LowRankSparseLoss(nn.Module):
    r"""What is left of a batch of images without their foreground has low rank; the foreground is sparse and even.

    .. math::
        \ell(S) = \|D - S\|_* + \lambda \sum_i \|S_i\|_2 + \lambda_{TV} \sum_k \|D_k S\|_1

    D is the batch and S what a network made of it. The matrix in the nuclear norm has one row an image; i runs over the
    pixels of all images, and the norm inside over channels (with one channel the sum is that of :math:`|S_i|`);
    :math:`D_k` are differences of neighbours along the axes of space. The value is a sum over the batch, as it was
    published, and D should lie in [0, 1].

    The terms have kinks just where they are to do their work, at S = 0 and at rank-deficient D - S. In train mode the
    loss shows one of five faces:

    * ``"none"``: the loss itself with one of its subgradients.
    * ``"eps"``: every magnitude m becomes :math:`\sqrt{m^2 + \epsilon^2}` (less a constant).
    * ``"moreau"``: the sum of the Moreau envelopes of the terms, value and gradient of one function. That of total
      variation is the envelope of the absolute sum, taken of the differences.
    * ``"target"``: :math:`\|S - Z\|^2 / 2\mu`, where Z is the proximal point of the whole loss at S, held fixed. A step
      of a proximal-point method in the space of images; our construction.
    * ``"prox-backward"``: the value of ``"none"`` with the gradient of ``"moreau"``, which belong to two different
      functions; for reproducing published work only.

    In eval mode it is the loss itself whatever the face, so that epochs and faces can be compared. The first face is
    the default because no other one beat it on planted cells (``benchmarks/priors_faces.py``).

    Parameters
    ----------
    weight
        :math:`\lambda` above 0. None: :math:`1 / \sqrt{\max(\text{images}, \text{pixels})}` of each batch.
    tv_weight
        :math:`\lambda_{TV}`, 0 or more.
    smooth
        The face.
    amount
        How much a face rounds, above 0, in units of a singular value of D. It is :math:`\mu` of the envelopes and of
        the target; a term of weight w is rounded where a magnitude is below w times the amount. A
        :class:`Continuation` changes it along the training.
    factor
        Multiplies both weights, above 0; a :class:`Continuation` makes sparsity set in slowly. In eval mode, and for
        all that is told, its end counts.
    learned
        Learn one scale of the low-rank term and one of the two others (:class:`LearnedScales`; n is the number of
        entries of D, in units of :math:`\|D\|_* / n`). The two terms on S share a scale: of their sum the normaliser is
        known, of each alone it is not.
    pull
        Of the learned scales towards 1. With none, network and scale can make each other ever more certain of an empty
        foreground.
    tol, max_steps
        Of the proximal point of ``"target"``: the share of the possible fall that may be missed, and the step limit.

    Raises
    ------
    InputError
        When one of them is out of range, or weights are to be learned from a target, which holds them fixed.

    Source: Takeda, Sakai and Mitate 2024, IJCARS, 10.1007/s11548-024-03169-0 (the loss); Sakai 2021, arXiv:2106.10923
    (prox-backward); Candes et al. 2011, J. ACM 58(3) (the default weight). The other faces are ours.
    """

    def __init__(
        self,
        weight: float | None = None,
        tv_weight: float = 5e-3,
        *,
        smooth: Face = "none",
        amount: float | Continuation = 1.0,
        factor: float | Continuation = 1.0,
        learned: bool = False,
        pull: float = 10.0,
        tol: float = 0.1,
        max_steps: int = 100,
    ) -> None:
        super().__init__()
        if smooth not in _FACES:
            raise InputError(f"LowRankSparseLoss: smooth must be one of {', '.join(_FACES)}, got {smooth!r}.")
        if learned and smooth == "target":
            raise InputError("LowRankSparseLoss: a target holds the weights fixed. Take another face to learn them.")
        for name, value in {"weight": weight, "amount": amount, "factor": factor}.items():
            if isinstance(value, int | float) and not value > 0:
                raise InputError(f"LowRankSparseLoss: {name} must be above 0, got {value}.")
        if not tv_weight >= 0:
            raise InputError(f"LowRankSparseLoss: tv_weight must be 0 or more, got {tv_weight}.")
        self.weight, self.tv_weight, self.smooth = weight, tv_weight, smooth
        self.amount, self.factor = amount, factor
        self.tol, self.max_steps = tol, max_steps
        self.scales = LearnedScales(2, pull=pull) if learned else None
        self.progress = 1.0

    def at(self, progress: float) -> None:
        """Set how far the training is, 0 to 1, for an amount or factor that follows it."""
        self.progress = progress

    def forward(self, sparse: Tensor, data: Tensor) -> Tensor:
        """Return the loss of S given D, both of shape ``(batch, channel, *space)``, as a scalar.

        Raises
        ------
        ShapeError
            When the shapes differ, or there are fewer than two images, of which none can share a background.
        """
        sparse = _fitted(sparse, data)
        if not self.training:
            return self._weighted(self._terms(sparse, data, "none", _number(self.factor, 1.0)), data)
        factor, amount = _number(self.factor, self.progress), _number(self.amount, self.progress)
        if self.smooth == "target":
            return self._to_target(sparse, data, factor, amount)
        if self.smooth == "prox-backward":
            value = self._weighted(self._terms(sparse, data, "none", factor), data)
            rounded = self._weighted(self._terms(sparse, data, "moreau", factor, amount), data)
            return rounded + (value - rounded).detach()
        return self._weighted(self._terms(sparse, data, self.smooth, factor, amount), data)

    @torch.no_grad()
    def parts(self, sparse: Tensor, data: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms of the loss itself, ``nuclear``, ``sparse`` and ``tv``; learned weights are in."""
        low_rank, entries, variation = self._terms(_fitted(sparse, data), data, "none", self._relative())
        return {"nuclear": low_rank, "sparse": entries, "tv": variation}

    def optimum(self, data: Tensor, *, tol: float = 1e-3, max_steps: int = 2000) -> Minimum:
        """Return the least value of the sum of :meth:`parts` over all S, network or not, with a certified bound."""
        weight, tv_weight = self._weights(data, self._relative())
        return minimise_low_rank_sparse(data, weight, tv_weight, tol=tol, max_steps=max_steps)

    @torch.no_grad()
    def share(self, sparse: Tensor, data: Tensor) -> float:
        """Return the norm of S over that of D, and warn where S is nothing or all: a trivial minimiser.

        S = 0 is what too large a weight gives, S = D too small a one. Meant to be asked once a training.
        """
        share = float(sparse.norm() / data.norm().clamp_min(torch.finfo(data.dtype).tiny))
        if share < _LEAST_SHARE or share > _MOST_SHARE:
            found, cure = ("nothing", "smaller") if share < _LEAST_SHARE else ("all", "larger")
            warnings.warn(
                f"LowRankSparseLoss: the foreground is {found} of the data (|S| / |D| = {share:.2g}), which minimises "
                f"the loss trivially. Take a {cure} weight, and check that the images share a background.",
                UserWarning,
                stacklevel=2,
            )
        return share

    def extra_repr(self) -> str:
        """Say weights and face."""
        return f"weight={self.weight}, tv_weight={self.tv_weight}, smooth={self.smooth!r}, amount={self.amount}"

    def _relative(self) -> float:
        """Return what the weights on S are multiplied by in the end, with the low-rank term as the unit."""
        if self.scales is None:
            return _number(self.factor, 1.0)
        low_rank, sparse = self.scales.weights.tolist()
        return float(_number(self.factor, 1.0) * sparse / low_rank)

    def _weights(self, data: Tensor, factor: float) -> tuple[float, float]:
        pixels = data[0, 0].numel()
        weight = max(len(data), pixels) ** -0.5 if self.weight is None else self.weight
        return factor * weight, factor * self.tv_weight

    def _terms(self, sparse: Tensor, data: Tensor, face: Face, factor: float, amount: float = 1.0) -> list[Tensor]:
        weight, tv_weight = self._weights(data, factor)
        entries: Prior = L1(weight) if data.shape[1] == 1 else GroupL2(1, weight)
        variation = L1(tv_weight) @ FiniteDifference(data.shape[1:], range(1, data.ndim - 1))
        low_rank = _rounded_nuclear(as_rows(data - sparse), face, amount)
        return [
            low_rank,
            _rounded(entries, sparse, face, amount, weight),
            _rounded(variation, sparse, face, amount, tv_weight),
        ]

    def _weighted(self, terms: list[Tensor], data: Tensor) -> Tensor:
        low_rank, entries, variation = terms
        if self.scales is None:
            return low_rank + entries + variation
        unit = nuclear_norm(as_rows(data))
        scaled: Tensor = self.scales(torch.stack([low_rank, entries + variation]), torch.stack([unit, unit]))
        return scaled

    def _to_target(self, sparse: Tensor, data: Tensor, factor: float, mu: float) -> Tensor:
        weight, tv_weight = self._weights(data, factor)
        near = sparse.detach()
        found = minimise_low_rank_sparse(
            data, weight, tv_weight, near=near, mu=mu, tol=self.tol, max_steps=self.max_steps
        )
        return (sparse - found.sparse).square().sum() / (2 * mu)


def _rounded(prior: Prior, x: Tensor, face: Face, amount: float, weight: float) -> Tensor:
    """Return a term on S over the whole batch, as its face shows it."""
    if weight == 0 or face == "none":
        return prior.value(x).sum()
    if face == "eps":
        return prior.smooth_value(x, weight * amount).sum()
    return len(x) * prior.loss(x, "moreau", amount)


def _rounded_nuclear(x: Tensor, face: Face, amount: float) -> Tensor:
    if face != "moreau":
        return nuclear_norm(x, amount if face == "eps" else 0.0)
    with torch.no_grad():
        nearest = singular_value_threshold(x, amount)
        least = nuclear_norm(nearest)
    return least + (x - nearest).square().sum() / (2 * amount)


def _number(value: float | Continuation, progress: float) -> float:
    return value.at(progress) if isinstance(value, Continuation) else value


def _fitted(sparse: Tensor, data: Tensor) -> Tensor:
    if data.ndim < 3 or len(data) < 2:
        raise ShapeError.mismatch("LowRankSparseLoss", "data", ("2 or more", "channel", "*space"), data.shape)
    if sparse.shape != data.shape:
        raise ShapeError.mismatch("LowRankSparseLoss", "sparse", data.shape, sparse.shape)
    return sparse.to(data.dtype)  # a network in half precision gives half precision
