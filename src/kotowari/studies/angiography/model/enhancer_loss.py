"""What is asked of a network that learns from vessels put into frames."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ImplantLoss"]

_SOFTENING = 50.0


@final
class ImplantLoss(nn.Module):
    r"""Cross entropy and soft Dice where the truth is known, a prior where it is not.

    .. math:: \ell = \frac{\sum w\, H(t, p)}{\sum w} + 1 - \frac{2 \sum w t p + c}{\sum w (t + p) + c}
        + \frac{1}{n} \sum (1 - w) \left( \lambda p + \lambda_{TV} \|\nabla p\|_1 \right)

    with t of 0 or 1, w = 1 where an implant or its absence is certain and 0 over the frame's own suspected vessels, and
    p in (0, 1), so non-negative by construction. The last sum runs over the n pixels of doubt: vessels are sparse and
    even there too, though nobody says where they are.

    Parameters
    ----------
    sparse_weight, tv_weight
        :math:`\lambda` and :math:`\lambda_{TV}`, 0 or more.
    advance
        Called once a step.
    """

    def __init__(
        self, sparse_weight: float = 0.0, tv_weight: float = 0.0, advance: Callable[[], None] | None = None
    ) -> None:
        super().__init__()
        self.sparse_weight, self.tv_weight = sparse_weight, tv_weight
        self.advance = advance

    def at(self, progress: float) -> None:  # noqa: ARG002
        """Hear that a step begins."""
        if self.advance is not None:
            self.advance()

    def forward(self, scores: Tensor, known: Tensor) -> Tensor:
        """Return the mean over the batch; ``known`` is ``(batch, 2, height, width)``: truth and weight."""
        score, truth, weight = scores[:, 0].float(), known[:, 0], known[:, 1]
        entropy = functional.binary_cross_entropy_with_logits(score, truth, reduction="none")
        found = score.sigmoid()
        both = (weight * truth * found).sum((1, 2))
        either = (weight * (truth + found)).sum((1, 2))
        dice = (2 * both + _SOFTENING) / (either + _SOFTENING)
        loss = (weight * entropy).sum() / weight.sum().clamp_min(1) + 1 - dice.mean()
        if self.sparse_weight or self.tv_weight:
            loss = loss + self._prior(found, 1 - weight)
        return loss

    def _prior(self, found: Tensor, doubt: Tensor) -> Tensor:
        n = doubt.sum().clamp_min(1)
        down = (found.diff(dim=1).abs() * doubt[:, 1:]).sum()
        across = (found.diff(dim=2).abs() * doubt[:, :, 1:]).sum()
        value: Tensor = (self.sparse_weight * (found * doubt).sum() + self.tv_weight * (down + across)) / n
        return torch.as_tensor(value)
