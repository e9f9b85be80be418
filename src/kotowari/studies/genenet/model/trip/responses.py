"""What a core tensor is to predict: a number, a class or a survival time, each with its loss."""

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ClassResponse", "NumberResponse", "Response", "SurvivalResponse"]

_SMALLEST_SHARE = 1e-6


class Response(ABC):
    """The responses of some samples and the loss of a model's scores for them.

    Attributes
    ----------
    n_scores
        Scores that the model gives a sample.
    sees_constant
        Whether a constant added to all scores changes the loss; where not, it must not be learned from rounding.
    """

    n_scores: int
    sees_constant = True

    @abstractmethod
    def loss(self, scores: Tensor) -> Tensor:
        """Return the mean loss of scores of shape ``(sample, n_scores)``."""

    @abstractmethod
    def baseline(self) -> Tensor:
        """Return the scores, shape ``(n_scores,)``, that are best when all samples get the same."""

    @abstractmethod
    def rows(self, index: npt.NDArray[np.intp]) -> Self:
        """Return some of the samples."""

    @property
    @abstractmethod
    def n_samples(self) -> int:
        """Number of samples."""

    def residuals(self, at: Tensor | None = None) -> Tensor:
        r"""Return :math:`-n\,\partial L/\partial f` at equal scores ``at``, shape ``(sample, n_scores)``.

        None takes the baseline, where the mean is 0.

        For numbers this is twice :math:`y - \bar y`, for classes the indicator less its mean, for survival times the
        martingale residual: what a first linear step would follow.
        """
        with torch.enable_grad():
            scores = (self.baseline() if at is None else at).expand(self.n_samples, -1).clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.loss(scores), scores)
        residuals: Tensor = -self.n_samples * gradient
        return residuals


class NumberResponse(Response):
    """Squared error of one number a sample, ``y`` of shape ``(sample,)``."""

    n_scores = 1

    def __init__(self, y: Tensor) -> None:
        self.y = y

    def loss(self, scores: Tensor) -> Tensor:
        """Return the mean squared error."""
        return (scores[:, 0] - self.y).square().mean()

    def baseline(self) -> Tensor:
        """Return the mean."""
        return self.y.mean().reshape(1)

    def rows(self, index: npt.NDArray[np.intp]) -> Self:
        """Return some of the samples."""
        return type(self)(self.y[torch.as_tensor(index, device=self.y.device)])

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.y)


class ClassResponse(Response):
    """Cross-entropy of classes; two classes have one score, the log odds of the second.

    Parameters
    ----------
    codes
        Class numbers from 0, shape ``(sample,)``, int64.
    n_classes
        2 or more.
    like
        A tensor whose number format and device the scores have.
    """

    def __init__(self, codes: Tensor, n_classes: int, *, like: Tensor) -> None:
        self.codes, self.n_classes, self.like = codes, n_classes, like.new_empty(0)
        self.n_scores = 1 if n_classes == 2 else n_classes

    def loss(self, scores: Tensor) -> Tensor:
        """Return the mean cross-entropy, in nats."""
        if self.n_scores == 1:
            return functional.binary_cross_entropy_with_logits(scores[:, 0], self.codes.to(scores.dtype))
        return functional.cross_entropy(scores, self.codes)

    def baseline(self) -> Tensor:
        """Return the logarithms of the class shares; for two classes their difference."""
        counts = torch.bincount(self.codes, minlength=self.n_classes).to(self.like)
        logs = (counts / counts.sum()).clamp_min(_SMALLEST_SHARE).log()
        return (logs[1] - logs[0]).reshape(1) if self.n_scores == 1 else logs

    def rows(self, index: npt.NDArray[np.intp]) -> Self:
        """Return some of the samples."""
        chosen = self.codes[torch.as_tensor(index, device=self.codes.device)]
        return type(self)(chosen, self.n_classes, like=self.like)

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.codes)


class SurvivalResponse(Response):
    r"""Negative log partial likelihood of Cox's model, ties after Breslow, per event.

    .. math:: \frac{1}{\#\text{events}} \sum_{i: \text{event}} \Big(\log \sum_{j: t_j \ge t_i} e^{f_j} - f_i\Big)

    Parameters
    ----------
    time
        Time of the event or of the end of observation, shape ``(sample,)``.
    event
        1 where the event was seen, 0 where not, shape ``(sample,)``. Without any event the loss is 0.

    Source: Cox 1972, J. R. Stat. Soc. B 34:187-220; Breslow 1974, Biometrics 30:89-99.
    """

    n_scores = 1
    sees_constant = False

    def __init__(self, time: Tensor, event: Tensor) -> None:
        self.time, self.event = time, event
        self._order = torch.argsort(time, descending=True, stable=True)
        falling = time[self._order]
        # last place in the falling order that still belongs to the risk set of each time
        self._last = torch.searchsorted(-falling, -falling, right=True) - 1

    def loss(self, scores: Tensor) -> Tensor:
        """Return the loss of log hazard ratios, shape ``(sample, 1)``."""
        falling, event = scores[self._order, 0], self.event[self._order]
        at_risk = torch.logcumsumexp(falling, 0)[self._last]
        return (event * (at_risk - falling)).sum() / event.sum().clamp_min(1)

    def baseline(self) -> Tensor:
        """Return 0: the partial likelihood does not see a constant."""
        return self.time.new_zeros(1)

    def rows(self, index: npt.NDArray[np.intp]) -> Self:
        """Return some of the samples."""
        chosen = torch.as_tensor(index, device=self.time.device)
        return type(self)(self.time[chosen], self.event[chosen])

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.time)
