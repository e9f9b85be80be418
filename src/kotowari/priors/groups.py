"""Entries differ from zero in groups: sums of the norms of groups, disjoint or overlapping."""

from collections.abc import Iterable
from itertools import chain
from typing import final

import torch
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError
from kotowari.operators.sampling import Sampling
from kotowari.priors.functional.scalar_prox import charbonnier, shrink_block
from kotowari.priors.prior import Prior, ProximalPrior
from kotowari.priors.sparsity import L1
from kotowari.priors.weight import Weight, adopt_weight, fitted, told, weighted_step
from kotowari.solvers.protocols import Step

__all__ = ["GroupL2", "LabelledGroupL2", "SparseGroupL2", "overlapping_group_l2"]


@final
class GroupL2(ProximalPrior):
    r"""Sum of the norms over given axes, :math:`g(x) = \sum_j \lambda_j \|x_j\|_2`; real or complex.

    Entries that differ only in their place along ``dims`` form one group, which is zero as a whole or not at all: the
    channels of a pixel, the frames of a place. Its smooth neighbour is
    :math:`\sum_j \lambda_j (\sqrt{\|x_j\|^2 + \epsilon^2} - \epsilon)`.

    Parameters
    ----------
    dims
        Axes of x, shape ``(batch, ...)``, that the norm is taken over: negative ones count from the end, and axis 0,
        the batch, is not among them.
    weight
        :math:`\lambda \ge 0`: a number; a tensor that broadcasts against one sample with length 1 along ``dims``; or an
        ``nn.Parameter`` of either form.

    Raises
    ------
    InputError
        When ``dims`` names no axis, an axis twice, or the batch; when a weight is negative or not finite.
    ShapeError
        When x lacks one of the axes.

    Examples
    --------
    >>> GroupL2(dims=1).value(torch.tensor([[[3.0, 0.0], [4.0, 0.0]]]))
    tensor([5.])
    """

    weight: Weight

    def __init__(self, dims: int | Iterable[int], weight: Weight = 1.0) -> None:
        super().__init__()
        self.dims = (dims,) if isinstance(dims, int) else tuple(dims)
        if not self.dims or 0 in self.dims or len(set(self.dims)) < len(self.dims):
            raise InputError(f"GroupL2: dims must name axes other than the batch, each once, got {self.dims}.")
        adopt_weight(self, "weight", weight)

    def _value(self, x: Tensor) -> Tensor:
        norms = self._norms(x)
        return (self._weight(norms) * norms).flatten(1).sum(1)

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        norms = self._norms(x)
        return (self._weight(norms) * charbonnier(norms, eps)).flatten(1).sum(1)

    def _prox(self, x: Tensor, step: Step) -> Tensor:
        norms = self._norms(x)
        return x * shrink_block(norms, weighted_step(self, self._weight(norms), step, norms))

    def _norms(self, x: Tensor) -> Tensor:
        axes = {dim + x.ndim if dim < 0 else dim for dim in self.dims}
        if len(axes) < len(self.dims) or not axes <= set(range(1, x.ndim)):
            raise ShapeError(f"{self}: an input of shape {tuple(x.shape)} lacks these axes, or has one of them twice.")
        norms: Tensor = torch.linalg.vector_norm(x, dim=tuple(sorted(axes)), keepdim=True)
        return norms

    def _weight(self, norms: Tensor) -> Weight:
        return fitted(self, "weight", self.weight, norms)

    def extra_repr(self) -> str:
        """Say the axes and the weight."""
        return f"dims={self.dims}, weight={told(self.weight)}"


@final
class LabelledGroupL2(ProximalPrior):
    r"""Sum of the norms of the groups of a partition, :math:`g(x) = \sum_j \lambda_j \|x_j\|_2`; real or complex.

    Groups of any form and size: genes of a pathway, voxels of a region. The smooth neighbour is that of
    :class:`GroupL2`.

    Parameters
    ----------
    labels
        Integers of 0 or more, the group of each entry. They cover the last axes of x; where x has axes between them
        and the batch, each place there has groups of its own.
    weight
        :math:`\lambda \ge 0`: a number, one number a group (shape ``(n_groups,)``, n_groups being the largest label
        plus 1), or an ``nn.Parameter`` of either form. The square root of the size of each group is common.

    Raises
    ------
    InputError
        When labels are no integers of 0 or more; when a weight is negative or not finite.
    ShapeError
        When the last axes of x are not those of ``labels``.

    Examples
    --------
    >>> LabelledGroupL2(torch.tensor([0, 1, 0])).value(torch.tensor([[3.0, 2.0, 4.0]]))
    tensor([7.])
    """

    labels: Tensor
    weight: Weight

    def __init__(self, labels: Tensor, weight: Weight = 1.0) -> None:
        super().__init__()
        integer = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
        if not integer or not labels.ndim or not labels.numel() or int(labels.min()) < 0:
            raise InputError("LabelledGroupL2: labels must be a tensor of integers of 0 or more, one for each entry.")
        self.register_buffer("labels", labels.long())
        self.n_groups = int(labels.max()) + 1
        adopt_weight(self, "weight", weight)

    def _value(self, x: Tensor) -> Tensor:
        norms = self._norms(self._flat(x))
        return (self._weight(norms) * norms).flatten(1).sum(1)

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        norms = self._norms(self._flat(x))
        return (self._weight(norms) * charbonnier(norms, eps)).flatten(1).sum(1)

    def _prox(self, x: Tensor, step: Step) -> Tensor:
        flat = self._flat(x)
        norms = self._norms(flat)
        step = step.flatten(x.ndim - self.labels.ndim) if isinstance(step, Tensor) and step.ndim else step
        factor = shrink_block(norms, weighted_step(self, self._weight(norms), step, norms))
        return (flat * factor.index_select(-1, self.labels.flatten())).reshape(x.shape)

    def _flat(self, x: Tensor) -> Tensor:
        n_axes = self.labels.ndim
        if x.ndim <= n_axes or x.shape[x.ndim - n_axes :] != self.labels.shape:
            raise ShapeError.mismatch(self, "input", ("batch", "...", *self.labels.shape), x.shape)
        return x.flatten(x.ndim - n_axes)

    def _norms(self, flat: Tensor) -> Tensor:
        energy = flat.real.square() + flat.imag.square() if flat.is_complex() else flat.square()
        sums = energy.new_zeros((*flat.shape[:-1], self.n_groups)).index_add(-1, self.labels.flatten(), energy)
        positive = sums > 0
        return torch.where(positive, torch.where(positive, sums, 1.0).sqrt(), 0.0)  # the gradient at 0 is 0

    def _weight(self, norms: Tensor) -> Weight:
        return fitted(self, "weight", self.weight, norms)

    def extra_repr(self) -> str:
        """Say the number of groups and the weight."""
        return f"n_groups={self.n_groups}, weight={told(self.weight)}"


@final
class SparseGroupL2(ProximalPrior):
    r"""Few groups, and few entries in each: :math:`g(x) = \sum_i \lambda_i |x_i| + \sum_j \kappa_j \|x_j\|_2`.

    Its prox is exact: soft thresholding of the entries, then that of the groups.

    Parameters
    ----------
    dims
        Axes of a group, as in :class:`GroupL2`.
    weight
        :math:`\lambda` of the entries, as in :class:`~kotowari.priors.sparsity.L1`.
    group_weight
        :math:`\kappa` of the groups, as in :class:`GroupL2`.

    Source: Simon, Friedman, Hastie and Tibshirani 2013, J. Comput. Graph. Stat. 22(2); the prox of such a sum: Yu 2013,
    Advances in Neural Information Processing Systems 26.
    """

    def __init__(self, dims: int | Iterable[int], weight: Weight = 1.0, group_weight: Weight = 1.0) -> None:
        super().__init__()
        self.entries = L1(weight)
        self.groups = GroupL2(dims, group_weight)

    def _value(self, x: Tensor) -> Tensor:
        return self.entries._value(x) + self.groups._value(x)

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        return self.entries._smooth_value(x, eps) + self.groups._smooth_value(x, eps)

    def _prox(self, x: Tensor, step: Step) -> Tensor:
        return self.groups._prox(self.entries._prox(x, step), step)

    def extra_repr(self) -> str:
        """Say both parts."""
        return f"{self.entries!r} + {self.groups!r}"


def overlapping_group_l2(groups: Iterable[Iterable[int]], domain: Iterable[int], weight: Weight = 1.0) -> Prior:
    r"""Return the sum of the norms of groups that may share entries, :math:`g(x) = \sum_j \lambda_j \|x_j\|_2`.

    It is :class:`LabelledGroupL2` behind the operator that lays the groups one after another, with a copy of each
    shared entry. That sum has no closed prox, so the result offers none where groups overlap; a Problem takes the two
    parts and solves it by splitting. Where no groups overlap it has its exact prox.

    Parameters
    ----------
    groups
        Indices into the flattened sample, a sequence for each group; an entry in no group is free.
    domain
        Shape of one sample, without the batch axis.
    weight
        :math:`\lambda \ge 0`: a number or one number a group, as in :class:`LabelledGroupL2`.

    Returns
    -------
    Prior
        Takes x of shape ``(batch, *domain)``.

    Raises
    ------
    InputError
        When a group is empty, holds an entry twice, or an index lies outside the sample.

    Source: the penalty is that of Jenatton, Audibert and Bach 2011, J. Mach. Learn. Res. 12, not the latent one of
    Jacob, Obozinski and Vert 2009.

    Examples
    --------
    >>> overlapping_group_l2([[0, 1], [1, 2]], (3,)).value(torch.tensor([[3.0, 4.0, 0.0]]))
    tensor([9.])
    """
    members = [[int(entry) for entry in group] for group in groups]
    for number, group in enumerate(members):
        if not group or len(set(group)) < len(group):
            raise InputError(f"overlapping_group_l2: group {number} is empty or holds an entry twice.")
    labels = torch.tensor([number for number, group in enumerate(members) for _ in group], dtype=torch.long)
    index = torch.tensor(list(chain.from_iterable(members)), dtype=torch.long)
    return LabelledGroupL2(labels, weight) @ Sampling(index, domain)
