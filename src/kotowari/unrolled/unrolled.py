"""A solver's steps as the layers of a network."""

import copy
from collections.abc import Collection
from typing import Any, Generic, final

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kotowari.core.errors import InputError
from kotowari.unrolled.scheme import Scheme, StateT

__all__ = ["Unrolled"]


@final
class Unrolled(nn.Module, Generic[StateT]):
    """``depth`` steps of a scheme. Untrained, it is the classical solver stopped after ``depth`` steps.

    Parameters
    ----------
    scheme
        The step, with the parts that are learned.
    depth
        Number of steps, 1 or more.
    free
        Names of the scheme's parts (``"step"``, ``"weight"``, ``"operator"``, ``"prior"``, ...) of which every layer
        gets its own copy; the others are tied over the layers. ``"all"`` for all of them.
    checkpoint_every
        Keep only every k-th state for the backward pass and compute the others again: less memory, about a third more
        time. 0 to keep all.
    truncate
        Let gradients reach the last so many steps only; None for all.

    Raises
    ------
    InputError
        When a number is out of range or ``free`` names a part that the scheme does not have.

    Source: Gregor and LeCun 2010, ICML (unrolled ISTA); Shaban et al. 2019, AISTATS (truncated gradients).
    """

    def __init__(
        self,
        scheme: Scheme[StateT],
        depth: int,
        *,
        free: Collection[str] | str = (),
        checkpoint_every: int = 0,
        truncate: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(scheme, Scheme):
            raise InputError(f"Unrolled: the first argument must be a scheme such as Ista(...), got {scheme!r}.")
        if depth < 1 or checkpoint_every < 0 or (truncate is not None and truncate < 1):
            raise InputError(
                f"Unrolled: depth = {depth}, checkpoint_every = {checkpoint_every}, truncate = {truncate}: depth and "
                "truncate must be 1 or more, checkpoint_every 0 or more."
            )
        parts = dict(scheme.named_children())
        names = list(parts) if free == "all" else [free] if isinstance(free, str) else list(free)
        unknown = sorted(set(names) - set(parts))
        if unknown:
            raise InputError(
                f"Unrolled: free names {', '.join(unknown)}; {type(scheme).__name__} has {', '.join(parts)}."
            )
        self.scheme, self.depth, self.free = scheme, depth, tuple(names)
        self.checkpoint_every, self.truncate = checkpoint_every, truncate
        # the scheme itself is the first layer; the others hold copies of what is free, and share what is tied
        self.copies = nn.ModuleList(
            nn.ModuleDict({name: _copied(parts[name]) for name in names}) for _ in range(depth - 1 if names else 0)
        )

    def forward(self, data: Tensor, start: Tensor | None = None) -> Tensor:
        """Run all steps: data ``(batch, *codomain)`` to the unknown ``(batch, *domain)``."""
        layers = self.layers()
        state = self.scheme.begin(data, start)
        n_blind = 0 if self.truncate is None else max(0, self.depth - self.truncate)
        with torch.no_grad():
            for layer in layers[:n_blind]:
                state = layer.advance(state, data)
        seeing = layers[n_blind:]
        if self.checkpoint_every and torch.is_grad_enabled():
            for first in range(0, len(seeing), self.checkpoint_every):
                state = _run_checkpointed(seeing[first : first + self.checkpoint_every], state, data)
        else:
            for layer in seeing:
                state = layer.advance(state, data)
        return layers[-1].solution(state)

    def layers(self) -> list[Scheme[StateT]]:
        """Return the scheme of each layer, from the first; tied parts are the same objects in all."""
        return (
            [self.scheme, *(_with_parts(self.scheme, own) for own in self.copies)]
            if self.free
            else ([self.scheme] * self.depth)
        )

    def objective(self, x: Tensor, data: Tensor) -> Tensor:
        """Return the scheme's objective of each sample, with the constants as they are learned now."""
        return self.scheme.objective(x, data)


def _run_checkpointed(layers: list[Scheme[StateT]], state: StateT, data: Tensor) -> StateT:
    def run(*members: Any) -> tuple[Any, ...]:
        inner = type(state)(*members)
        for layer in layers:
            inner = layer.advance(inner, data)
        return tuple(inner)

    # whatever a step needs is among the members and the layers; it draws no random numbers
    members = checkpoint(run, *state, use_reentrant=False, preserve_rng_state=False)
    return type(state)(*members)


def _copied(part: nn.Module) -> nn.Module:
    """Return a copy with parameters of its own that shares what is not learned, such as masks and coil maps."""
    shared = [t for t in (*part.parameters(), *part.buffers()) if not t.requires_grad]
    return copy.deepcopy(part, memo={id(tensor): tensor for tensor in shared})


def _with_parts(scheme: Scheme[StateT], own: nn.Module) -> Scheme[StateT]:
    """Return the scheme with some of its parts replaced; the scheme itself stays as it is."""
    layer = copy.copy(scheme)
    layer._modules = {**scheme._modules, **dict(own.named_children())}
    return layer
