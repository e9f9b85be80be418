"""Few edges: total variation of signals, images and volumes, real or complex."""

from collections.abc import Sequence
from math import isfinite
from typing import final

import torch
from torch import Tensor

from kotowari.core.errors import InputError, ShapeError
from kotowari.priors.functional.tv_prox import tv_prox
from kotowari.priors.functional.tv_slices import Differences, Folding
from kotowari.priors.prior import ProximalPrior
from kotowari.priors.weight import Weight, adopt_weight, fitted, told
from kotowari.solvers.protocols import Step

__all__ = ["TotalVariation"]


@final
class TotalVariation(ProximalPrior):
    r"""Weighted total variation, the sum of the magnitudes of the differences between neighbours.

    .. math:: g(x) = \lambda \sum_i \sqrt{\sum_k |(D_k x)_i|^2} \ \text{(isotropic)}, \quad
        g(x) = \lambda \sum_i \sum_k |(D_k x)_i| \ \text{(anisotropic)}

    :math:`(D_k x)_i = (x_{i+1} - x_i)/h_k` along the k-th of ``axes``, 0 at the far end. The other axes, such as
    channels or time, count independent images, whose penalties add up. Where :math:`Dx = 0` the subgradient is 0, so
    constant images have a finite gradient. The smooth neighbour has :math:`\sqrt{|\cdot|^2 + \epsilon^2} - \epsilon` in
    place of each magnitude, :math:`\epsilon` in units of Dx. The prox is
    :func:`~kotowari.priors.functional.tv_prox.tv_prox`.

    Parameters
    ----------
    weight
        :math:`\lambda \ge 0`: a number, a tensor without axes, or an ``nn.Parameter`` without axes, which gets its
        gradient from value, losses and prox. Training must keep it at 0 or more.
    axes
        Axes of the image, not the first one, which is the batch.
    isotropic
        Whether edges count by their length, or by the sum over the axes.
    spacing
        Distance :math:`h_k` above 0 between neighbours along each of ``axes``, in one unit, such as millimetres; 1 by
        default. There is no factor of the volume of a pixel.
    gap, max_steps
        Relative duality gap at which a prox is solved, and the limit of its iterations.

    Raises
    ------
    InputError
        When an option is out of range.
    ShapeError
        When ``spacing`` does not have one number for each axis; at use, when the input lacks one of ``axes``.
    ConvergenceError
        At use, when a prox does not reach ``gap`` in ``max_steps`` iterations.

    Source: Rudin, Osher and Fatemi 1992, Physica D 60; the discretisation is that of Chambolle 2004, J. Math. Imaging
    Vis. 20.

    Examples
    --------
    >>> TotalVariation(0.5).value(torch.tensor([[[0.0, 3.0], [4.0, 4.0]]]))
    tensor([3.])
    """

    weight: Weight

    def __init__(
        self,
        weight: Weight = 1.0,
        *,
        axes: Sequence[int] = (-2, -1),
        isotropic: bool = True,
        spacing: Sequence[float] | None = None,
        gap: float = 1e-5,
        max_steps: int = 5000,
    ) -> None:
        super().__init__()
        adopt_weight(self, "weight", weight, scalar=True)
        spacing = [1.0] * len(axes) if spacing is None else spacing
        if len(spacing) != len(axes):
            raise ShapeError(f"TotalVariation: {len(spacing)} spacings were given for the axes {tuple(axes)}.")
        if not all(isfinite(distance) and distance > 0 for distance in spacing):
            raise InputError(f"TotalVariation: spacing must be finite and above 0, got {tuple(spacing)}.")
        if not gap > 0 or max_steps < 1:
            raise InputError(f"TotalVariation: gap must be above 0 and max_steps 1 or more, got {gap}, {max_steps}.")
        self.axes, self.gap, self.max_steps = tuple(axes), gap, max_steps
        self.differences = Differences(tuple(1.0 / distance for distance in spacing), isotropic)

    def _value(self, x: Tensor) -> Tensor:
        # the gradient of this norm at 0 is 0
        return self._total(torch.linalg.vector_norm(self._edges(x), dim=self.differences.joined), x)

    def _smooth_value(self, x: Tensor, eps: float) -> Tensor:
        squared = self._edges(x).square().sum(self.differences.joined)
        return self._total(squared / ((squared + eps**2).sqrt() + eps), x)  # the difference without cancellation

    def _prox(self, x: Tensor, step: Step) -> Tensor:
        return tv_prox(
            x,
            fitted(self, "weight", self.weight, x) * step,
            axes=self.axes,
            weights=self.differences.weights,
            isotropic=self.differences.isotropic,
            gap=self.gap,
            max_steps=self.max_steps,
        )

    def _edges(self, x: Tensor) -> Tensor:
        return self.differences.apply(Folding.of(x, self.axes).fold(x))

    def _total(self, magnitudes: Tensor, x: Tensor) -> Tensor:
        return fitted(self, "weight", self.weight, x) * magnitudes.reshape(len(x), -1).sum(1)

    def extra_repr(self) -> str:
        """Say the weight, the axes and the kind."""
        kind = "isotropic" if self.differences.isotropic else "anisotropic"
        return f"weight={told(self.weight)}, axes={self.axes}, {kind}"
