"""From a core tensor to scores: a linear map, alone or beside a layer of tanh units."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Head", "HeadName"]

HeadName = Literal["linear", "perceptron"]

# the second layer starts small, so that training begins near the linear model
_FIRST_OUTPUT = 0.1


class Head(nn.Module):
    r"""Scores of a vectorised core, :math:`f(z) = b + A'z/s + W_2' \tanh(W_1'z/s + b_1)`.

    Parameters
    ----------
    n_inputs
        Length of the vectorised core.
    n_scores
        Scores a sample.
    n_hidden
        Units of tanh; 0 leaves the linear map.
    scale
        s, above 0: one number for all inputs, so that weak directions of the core are not blown up.
    generator
        Draws the first weights; the linear map starts at 0.
    """

    scale: Tensor

    def __init__(
        self, n_inputs: int, n_scores: int, *, n_hidden: int, scale: float = 1.0, generator: torch.Generator
    ) -> None:
        super().__init__()

        def drawn(rows: int, columns: int, spread: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns, generator=generator, dtype=torch.float64) * spread)

        self.bias = nn.Parameter(torch.zeros(n_scores, dtype=torch.float64))
        self.linear = nn.Parameter(torch.zeros(n_inputs, n_scores, dtype=torch.float64))
        self.hidden = drawn(n_inputs, n_hidden, 1 / math.sqrt(n_inputs))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden, dtype=torch.float64))
        self.output = drawn(n_hidden, n_scores, _FIRST_OUTPUT / math.sqrt(max(n_hidden, 1)))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64))

    def forward(self, core: Tensor) -> Tensor:
        """``(sample, J1, .., JK) -> (sample, n_scores)``."""
        z = core.reshape(len(core), -1) / self.scale
        return self.bias + z @ self.linear + torch.tanh(z @ self.hidden + self.hidden_bias) @ self.output

    def squared_norm(self) -> Tensor:
        """Return the sum of squares of all weights."""
        return torch.stack([weight.square().sum() for weight in self.parameters()]).sum()

    @torch.no_grad()
    def turn(self, rotation: Tensor) -> None:
        """Make the scores of ``core @ rotation`` what those of ``core`` were; ``rotation`` is orthogonal."""
        self.linear.copy_(rotation.T @ self.linear)
        self.hidden.copy_(rotation.T @ self.hidden)
