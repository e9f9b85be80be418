"""How far learning has carried a model's constants away from what was known, and what that costs."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError
from kotowari.unrolled.constants import Constant
from kotowari.unrolled.unrolled import Unrolled

__all__ = ["Drift", "KnowledgeCost", "KnowledgeGuard"]


@dataclass(frozen=True)
class Drift:
    """One learned part beside its start.

    Attributes
    ----------
    name
        What was learned: ``weight``, or ``layers.3.weight`` where layers have their own; layers count from 0.
    start, now
        The number of a constant before and after learning; the Euclidean norm of any other parameter.
    relative
        Distance from the start by the size of the start; for a part that starts at 0, the distance itself.
    """

    name: str
    start: float
    now: float
    relative: float


@dataclass(frozen=True)
class KnowledgeCost:
    """What the drift costs in the model's own terms, as means over the samples.

    Attributes
    ----------
    objective_before, objective_after
        The model's objective, with the constants it began with, at the output of the untrained and of the learned
        network. A higher one after learning means that the network no longer solves the model that it was built on.
    relative
        Growth of the objective by the size of ``objective_before``; below 0 where learning solves it faster.
    sentence
        The same in words.
    """

    objective_before: float
    objective_after: float
    relative: float
    sentence: str


@final
class KnowledgeGuard:
    r"""Remembers a network as the model built it; tells the drift, pulls back to it, and says what the drift costs.

    Our reconstruction: that learning can destroy the knowledge a network began with is known, the counter-measures of
    the authors are not published.

    Parameters
    ----------
    network
        Any module; what it has learned is compared with what it is now. Make the guard before training.

    Examples
    --------
    >>> constant = Constant(2.0)
    >>> KnowledgeGuard(constant).drift()[0].relative
    0.0
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._begun = {name: tensor.detach().clone() for name, tensor in self._learned().items()}

    def drift(self) -> list[Drift]:
        """Return every learned part beside its start, the farthest first."""
        found = []
        for name, parameter in self._learned().items():
            begun = self._begun[name]
            start, now = self._number(name, begun), self._number(name, parameter.detach())
            if self._constant(name) is not None:
                relative = abs(now - start) / start
            else:
                distance = float((parameter.detach() - begun).norm())
                relative = distance / start if start > 0 else distance
            found.append(Drift(self._shown(name), start, now, relative))
        return sorted(found, key=lambda drift: -drift.relative)

    def pull(self, strength: float) -> Tensor:
        r"""Return :math:`\gamma \sum_i \|\theta_i - \theta_i^0\|^2 / s_i` to add to a training loss.

        The size :math:`s_i` is 1 for a constant (its parameter is a drift in log units already) and
        :math:`\max(\|\theta_i^0\|^2, 1)` for any other parameter.

        Parameters
        ----------
        strength
            :math:`\gamma` of 0 or more.

        Raises
        ------
        InputError
            When ``strength`` is below 0.
        """
        if strength < 0:
            raise InputError(f"KnowledgeGuard: strength must be 0 or more, got {strength}.")
        distances = []
        for name, parameter in self._learned().items():
            begun = self._begun[name].to(parameter.device)
            size = 1.0 if self._constant(name) is not None else float(begun.norm().square().clamp_min(1.0))
            distances.append((parameter - begun).abs().square().sum() / size)
        return strength * torch.stack(distances).sum() if distances else torch.zeros(())

    @torch.no_grad()
    def cost(self, data: Tensor) -> KnowledgeCost:
        """Run the network as it began and as it is, and compare the model's objective at both outputs.

        Parameters
        ----------
        data
            Measurements, shape ``(batch, *codomain)``.

        Raises
        ------
        InputError
            When the network is not an :class:`~kotowari.unrolled.Unrolled`, which knows its objective.
        """
        network = self.network
        if not isinstance(network, Unrolled):
            raise InputError(f"KnowledgeGuard: {type(network).__name__} states no objective; an Unrolled network does.")
        if not bool(data.isfinite().all()):
            raise InputError("KnowledgeGuard: the data hold NaN or infinite entries. Fill or drop them first.")
        learned = network(data)
        kept = {name: parameter.detach().clone() for name, parameter in self._learned().items()}
        self._fill(self._begun)
        try:
            before = float(network.objective(network(data), data).mean())
            after = float(network.objective(learned, data).mean())
        finally:
            self._fill(kept)
        growth = (after - before) / max(abs(before), torch.finfo(torch.float32).tiny)
        return KnowledgeCost(before, after, growth, _sentence(growth))

    def release(self, name: str) -> None:
        """Put one learned part back to its start.

        Raises
        ------
        InputError
            When no learned part is called so.
        """
        parameters = {self._shown(parameter): parameter for parameter in self._begun}
        if name not in parameters:
            raise InputError(f"KnowledgeGuard: nothing learned is called {name}; there are {', '.join(parameters)}.")
        self._fill({parameters[name]: self._begun[parameters[name]]})

    def _learned(self) -> dict[str, nn.Parameter]:
        return {name: parameter for name, parameter in self.network.named_parameters() if parameter.requires_grad}

    def _constant(self, name: str) -> Constant | None:
        owner = self.network.get_submodule(name.rpartition(".")[0])
        return owner if isinstance(owner, Constant) else None

    def _shown(self, parameter: str) -> str:
        """Return the name that is shown, with the layer's number where layers have parts of their own."""
        shown = parameter.removesuffix(".delta") if self._constant(parameter) is not None else parameter
        if not isinstance(self.network, Unrolled):
            return shown
        room, _, rest = shown.partition(".")
        if room == "copies":
            number, _, rest = rest.partition(".")
            return f"layers.{int(number) + 1}.{rest}"
        return f"layers.0.{rest}" if rest.partition(".")[0] in self.network.free else rest

    @torch.no_grad()
    def _number(self, name: str, parameter: Tensor) -> float:
        constant = self._constant(name)
        if constant is None:
            return float(parameter.norm())
        kept = constant.delta.detach().clone()
        self._fill({name: parameter})
        number = float(constant())
        self._fill({name: kept})
        return number

    @torch.no_grad()
    def _fill(self, values: dict[str, Any]) -> None:
        learned = self._learned()
        for name, value in values.items():
            learned[name].copy_(value)


def _sentence(growth: float) -> str:
    if growth == 0:
        return "The network ends where the model's own steps end."
    if growth < 0:
        return f"The learned network reaches an objective {-growth:.1%} lower than the model's own steps do."
    return (
        f"The learned network ends {growth:.1%} above the objective that the model's own steps reach: what it learned "
        "serves its training loss, not the model."
    )
