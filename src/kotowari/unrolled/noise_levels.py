"""Standard deviations that are learned."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError

__all__ = ["NoiseLevels"]


class NoiseLevels(nn.Module):
    """Independent noise of several quantities, each with its own standard deviation, learned by its logarithm.

    Parameters
    ----------
    std
        Standard deviations to start from, above 0, in units of the quantities.

    Attributes
    ----------
    log_std
        Parameter, float64, shape ``(n_quantities,)``.

    Examples
    --------
    >>> NoiseLevels([0.5, 2.0]).variance().tolist()
    [0.25, 4.0]
    """

    def __init__(self, std: Sequence[float]) -> None:
        super().__init__()
        levels = torch.tensor(list(std), dtype=torch.float64)
        if levels.ndim != 1 or not bool(((levels > 0) & levels.isfinite()).all()):
            raise InputError(f"NoiseLevels: standard deviations must be above 0 and finite, got {list(std)}.")
        self.log_std = nn.Parameter(levels.log())

    def std(self) -> Tensor:
        """Return the standard deviations, shape ``(n_quantities,)``."""
        return self.log_std.exp()

    def variance(self) -> Tensor:
        """Return the variances, shape ``(n_quantities,)``."""
        return (2 * self.log_std).exp()
