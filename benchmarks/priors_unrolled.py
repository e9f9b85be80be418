"""Time and memory of a trained stack of ISTA layers beside the same layers written plainly."""

import statistics
import time
from collections.abc import Callable
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from harness import Figures
from kotowari.operators.convolution import Convolution
from kotowari.priors.sparsity import L1
from kotowari.unrolled.gradient_schemes import Ista
from kotowari.unrolled.unrolled import Unrolled

__all__ = ["learned_ista", "unrolled_ista"]

Gradients = tuple[float, Tensor, Tensor]
_THRESHOLD = 0.1


def unrolled_ista(quick: bool) -> Figures:
    """Measure convolutional sparse coding by ISTA layers, each with its own threshold, forward and backward."""
    batch, length, atoms, width, depth = (4, 500, 8, 32, 4) if quick else (32, 4000, 16, 64, 10)
    generator = torch.Generator().manual_seed(0)
    signals = torch.randn(batch, 1, length, generator=generator)
    dictionary = functional.normalize(torch.randn(atoms, 1, width, generator=generator), dim=-1)
    power = torch.fft.rfft(dictionary[:, 0], 2 * length).abs().square().sum(0).max()
    step = float(1 / power)
    runs = {
        "plain": _plain(signals, dictionary, step, depth),
        "ours": learned_ista(signals, dictionary, step, _THRESHOLD, depth),
    }
    loss, *gradients = runs["ours"]()
    plain_loss, *plain_gradients = runs["plain"]()
    apart = [float((a - b).norm() / b.norm()) for a, b in zip(gradients, plain_gradients, strict=True)]
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(2 if quick else 7):
        for name, run in runs.items():
            begin = time.process_time()
            run()
            times[name].append(time.process_time() - begin)
    memory = {name: _peak_mib(run) for name, run in runs.items()}
    ratios = [ours / plain for ours, plain in zip(times["ours"], times["plain"], strict=True)]
    return {
        "ista_memory_ratio": memory["plain"] / memory["ours"],
        "ista_time_ratio": statistics.median(ratios),
        "ista_memory_mib": memory["ours"],
        "ista_plain_memory_mib": memory["plain"],
        "ista_cpu_s": statistics.median(times["ours"]),
        "ista_plain_cpu_s": statistics.median(times["plain"]),
        "ista_gradient_error": max(apart),
        "ista_loss_error": abs(loss / plain_loss - 1),
    }


def learned_ista(signals: Tensor, atoms: Tensor, step: float, threshold: float, depth: int) -> Callable[[], Gradients]:
    """Return a function that runs our layers once and gives loss, gradient of the atoms, gradients of thresholds."""
    synthesis = Convolution(
        atoms.transpose(0, 1).clone(), (len(atoms), signals.shape[-1]), boundary="zero", anchor="causal", learn=True
    )
    scheme = Ista(synthesis, L1(), step=step, weight=threshold, learn=("weight",))
    network = Unrolled(scheme, depth, free=("weight",))

    def run() -> Gradients:
        network.zero_grad(set_to_none=True)
        codes = network(signals)
        loss = (synthesis(codes) - signals).square().mean() + 1e-3 * codes.abs().mean()
        loss.backward()
        kernel = synthesis.kernel.grad
        weights = [layer.get_submodule("weight") for layer in network.layers()]
        # at its start a constant moves by its own size for one unit of its parameter
        slopes = torch.stack([weight.delta.grad / threshold for weight in weights])
        return loss.item(), kernel.transpose(0, 1), slopes

    return run


def _plain(signals: Tensor, dictionary: Tensor, step: float, depth: int) -> Callable[[], Gradients]:
    length, width = signals.shape[-1], dictionary.shape[-1]

    def synthesis(codes: Tensor, atoms: Tensor) -> Tensor:
        return functional.conv_transpose1d(codes, atoms)[..., :length]

    def run() -> Gradients:
        atoms = dictionary.clone().requires_grad_()
        thresholds = torch.full((depth,), _THRESHOLD, requires_grad=True)
        codes = torch.zeros(len(signals), len(dictionary), length)
        for threshold in thresholds:
            residual = functional.pad(synthesis(codes, atoms) - signals, (0, width - 1))
            moved = codes - step * functional.conv1d(residual, atoms)
            codes = torch.sign(moved) * functional.relu(moved.abs() - step * threshold)
        loss = (synthesis(codes, atoms) - signals).square().mean() + 1e-3 * codes.abs().mean()
        loss.backward()
        return loss.item(), atoms.grad, thresholds.grad

    return run


def _peak_mib(run: Callable[[], object]) -> float:
    """Highest sum of live tensors during one call, in MiB above its start."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    changes = [event.nbytes() for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate(changes, initial=0)) / 2**20
