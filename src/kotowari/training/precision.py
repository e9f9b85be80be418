"""Whether bfloat16 is right and faster here: decided by trying it on the very network and shape."""

import copy
import time
from collections.abc import Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from kotowari.core.errors import DesignError, InputError
from kotowari.training.loop import Loss

__all__ = ["PrecisionChoice", "PrecisionName", "choose_precision"]

PrecisionName = Literal["auto", "float32", "bfloat16"]

_LEAST_POSITIONS = 1 << 18
_LOSS_TOL = 2e-3
_LEAST_COSINE = 0.98
_LEAST_SPEEDUP = 1.1
_LEARNING_RATE = 1e-3

_CHOICES: dict[Hashable, "PrecisionChoice"] = {}


@dataclass(frozen=True)
class PrecisionChoice:
    """How to compute a training, and why.

    Parameters
    ----------
    precision
        As lightning-fabric names it: ``"32-true"`` or ``"bf16-mixed"``.
    channels_last
        Whether to keep the channels of a position side by side in memory, which CPUs compute faster.
    reason
        A sentence.
    """

    precision: str
    channels_last: bool
    reason: str

    def prepare(self, network: nn.Module) -> None:
        """Lay out the weights of ``network`` as chosen; values stay as they are."""
        if self.channels_last:
            network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # its stub lacks this


def choose_precision(
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Loss,
    *,
    wanted: PrecisionName = "auto",
    device: str = "cpu",
    n_steps: int = 3,
) -> PrecisionChoice:
    """Try some training steps in float32 and in bfloat16, and take bfloat16 where it is right and faster.

    Right means: every loss agrees with that of float32 to 0.2 %, and the gradients summed over the steps are finite and
    point the same way (cosine 0.98 or more). Faster means: 1.1 times or more, so that the noise of a clock seldom
    decides. Small inputs are not tried, since the test would cost more than it could save. The network is not changed,
    and the global generators are left as they were. A choice is made once a process for equal layers, shapes, device
    and threads.

    Parameters
    ----------
    network
        With three-dimensional convolutions; copied.
    inputs, targets
        One batch, shapes ``(batch, channel, depth, height, width)`` and ``(batch, output)``.
    loss
        As in :func:`kotowari.training.train`.
    wanted
        ``"auto"``; ``"float32"``, without a test; ``"bfloat16"`` wherever it is right, however fast.
    device
        Where to try; seconds are those of the processor on ``"cpu"``, those of the clock elsewhere.
    n_steps
        Training steps of each trial, 2 or more; the first is not timed.

    Raises
    ------
    InputError
        When ``wanted`` or ``n_steps`` is out of range.
    DesignError
        When ``"bfloat16"`` is wanted and not right here.

    Examples
    --------
    >>> volumes = torch.zeros(1, 1, 4, 4, 4)
    >>> choose_precision(nn.Conv3d(1, 1, 3, padding=1), volumes, volumes, nn.functional.l1_loss).precision
    '32-true'
    """
    if wanted not in ("auto", "float32", "bfloat16") or n_steps < 2:
        raise InputError(
            "choose_precision: wanted must be auto, float32 or bfloat16 and n_steps 2 or more, "
            f"got {wanted!r} and {n_steps}."
        )
    on_cpu = device == "cpu"
    if wanted == "float32":
        return PrecisionChoice("32-true", on_cpu, "float32: as asked for.")
    if wanted == "auto" and inputs.numel() < _LEAST_POSITIONS:
        reason = "float32: the volumes are so small that a test of bfloat16 would cost more than it could save."
        return PrecisionChoice("32-true", on_cpu, reason)
    layers = (repr(network), inputs.shape, targets.shape, wanted, device, torch.get_num_threads(), n_steps)
    if layers not in _CHOICES:
        exact, short = (
            _trial(network, (inputs, targets), loss, dtype=dtype, device=device, n_steps=n_steps)
            for dtype in (torch.float32, torch.bfloat16)
        )
        _CHOICES[layers] = _chosen(exact, short, on_cpu=on_cpu, wanted=wanted)
    return _CHOICES[layers]


class _Trial(NamedTuple):
    """What some training steps gave: losses, the sum of all gradients as one vector, seconds of the fastest step."""

    losses: Sequence[float]
    gradient: Tensor
    seconds: float


def _trial(
    network: nn.Module, batch: tuple[Tensor, Tensor], loss: Loss, *, dtype: torch.dtype, device: str, n_steps: int
) -> _Trial:
    clock = time.process_time if device == "cpu" else time.perf_counter
    tried = copy.deepcopy(network).to(device).train()
    if device == "cpu":
        tried.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # its stub lacks this
    x, y = batch[0].to(device), batch[1].to(device)
    optimizer = torch.optim.AdamW(tried.parameters(), lr=_LEARNING_RATE)
    losses, seconds, gradients = [], [], []
    for step in range(n_steps):
        begin = clock()
        # the same draws in each trial, and none taken from the caller
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(step)
            with torch.autocast(device, dtype) if dtype != torch.float32 else nullcontext():
                outputs = tried(x)
            value = loss(outputs.float(), y)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]  # its stub lacks a type
        # their sum: a last layer of zeros lets no gradient through in the first step
        gradients.append(torch.cat([p.grad.flatten() for p in tried.parameters() if p.grad is not None]).cpu())
        optimizer.step()
        losses.append(value.item())
        seconds.append(clock() - begin)
    return _Trial(losses, torch.stack(gradients).double().sum(0), min(seconds[1:]))


def _chosen(exact: _Trial, short: _Trial, *, on_cpu: bool, wanted: PrecisionName) -> PrecisionChoice:
    fault = _fault(exact, short)
    speedup = exact.seconds / max(short.seconds, 1e-9)
    if fault and wanted == "bfloat16":
        raise DesignError(f"precision bfloat16: {fault} on this machine. Choose precision auto or float32.")
    if fault:
        return PrecisionChoice("32-true", on_cpu, f"float32: {fault} on this machine.")
    times = f"a training step takes {short.seconds:.2g} s in bfloat16 and {exact.seconds:.2g} s in float32"
    if wanted == "bfloat16" or speedup >= _LEAST_SPEEDUP:
        return PrecisionChoice("bf16-mixed", on_cpu, f"bfloat16: same loss and gradients as float32 here; {times}.")
    return PrecisionChoice("32-true", on_cpu, f"float32: bfloat16 is right but no faster on this machine; {times}.")


def _fault(exact: _Trial, short: _Trial) -> str:
    """Say what is wrong with the trial in bfloat16, in words that follow "float32: "; empty where nothing is."""
    if not (torch.isfinite(short.gradient).all() and torch.isfinite(torch.tensor(short.losses)).all()):
        return "losses or gradients are not finite in bfloat16"
    gap = max(abs(a - b) / max(abs(a), 1e-12) for a, b in zip(exact.losses, short.losses, strict=True))
    if gap > _LOSS_TOL:
        return f"the loss in bfloat16 differs by {gap:.2%}"
    size = exact.gradient.norm() * short.gradient.norm()
    cosine = float(exact.gradient @ short.gradient / size) if size > 0 else 0.0
    if cosine < _LEAST_COSINE:
        return f"the gradients in bfloat16 point elsewhere (cosine {cosine:.3f})"
    return ""
