"""The one training loop: takes train and validation indices, never splits."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricOptimizer
from torch import Tensor, nn

from kotowari.core.errors import DesignError, ShapeError
from kotowari.core.seeds import derive_seed
from kotowari.training.augment import augmented
from kotowari.training.checkpoint import optimizer_tensors, read_checkpoint, restore_optimizer, write_checkpoint
from kotowari.training.plan import TrainingPlan

__all__ = ["History", "Loss", "train"]

Loss = Callable[[Tensor, Tensor], Tensor]
Index = npt.NDArray[np.integer]

_WARM_UP = 0.15
_SMALLEST_GAIN = 1e-4


@dataclass
class History:
    """What happened epoch by epoch.

    Attributes
    ----------
    train_loss, validation_loss
        Mean loss of each epoch run; validation is empty without validation samples.
    best_epoch
        Epoch, from 0, whose weights were kept.
    stopped_early
        Whether patience ended the training.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epoch: int = -1
    stopped_early: bool = False


@dataclass
class _State:
    network: nn.Module
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor] = field(default_factory=dict)
    history: History = field(default_factory=History)
    epoch: int = 0


def train(
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    train_index: Index,
    validation_index: Index,
    loss: Loss,
    plan: TrainingPlan,
    device: str = "cpu",
    precision: str = "32-true",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
) -> History:
    """Train ``network`` in place and leave it in eval mode with the weights of its best epoch.

    Parameters
    ----------
    network
        Maps ``(batch, channel, *space)`` to ``(batch, output)``.
    inputs
        All samples, shape ``(sample, channel, *space)``; rows outside of the two indices are never read.
    targets
        Shape ``(sample, output)``, floats.
    train_index, validation_index
        Rows to learn from, and rows that decide when to stop. Without validation rows the last epoch is kept.
    loss
        ``loss(outputs, targets)``, the mean over a batch; the same is used for validation.
    plan
        Settings; ``plan.seed`` decides order, augmentation and dropout, so that equal calls give equal bytes on one
        device with one number of threads.
    device, precision
        As lightning-fabric names them: ``"cpu"``, ``"cuda"``, ``"mps"``; ``"32-true"``, ``"bf16-mixed"`` and so on.
    checkpoint
        File for the state of the training; one that stands is continued, and it is removed at the end. Whoever calls
        must give one file to one training.
    checkpoint_seconds
        Least time between two checkpoints.

    Raises
    ------
    ShapeError
        When inputs and targets differ in length.
    DesignError
        When there is no row to train on, or the loss stops being finite.
    """
    if len(inputs) != len(targets):
        raise ShapeError.mismatch("train", "targets", (len(inputs), "output"), targets.shape)
    if len(train_index) == 0:
        raise DesignError("train: there is no sample to train on.")
    fabric = Fabric(accelerator=device, devices=1, precision=precision)  # type: ignore[arg-type]  # literals by name
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    state = _State(network, optimizer)
    if checkpoint is not None and checkpoint.exists():
        _restore(state, checkpoint)
    wrapped, wrapped_optimizer = fabric.setup(network, optimizer)
    course = _Course(fabric, wrapped, wrapped_optimizer, loss, plan)
    saved = time.monotonic()
    while state.epoch < plan.max_epochs and not state.history.stopped_early:
        with torch.random.fork_rng(devices=[]):  # dropout draws from the global stream: borrow it, give it back
            # one stream an epoch: a resumed training draws the same numbers without any saved generator
            torch.manual_seed(derive_seed(plan.seed, "dropout", state.epoch))
            state.history.train_loss.append(_run_epoch(course, inputs, targets, train_index, state.epoch))
        _judge(state, _mean_loss(course, inputs, targets, validation_index, state.epoch), plan.patience)
        if checkpoint is not None and time.monotonic() - saved >= checkpoint_seconds:
            _save(state, checkpoint)
            saved = time.monotonic()
    network.load_state_dict(state.best)
    network.eval()
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return state.history


@dataclass(frozen=True)
class _Course:
    """What stays the same from epoch to epoch."""

    fabric: Fabric
    network: nn.Module
    optimizer: _FabricOptimizer
    loss: Loss
    plan: TrainingPlan


def _run_epoch(course: _Course, inputs: Tensor, targets: Tensor, index: Index, epoch: int) -> float:
    plan = course.plan
    generator = torch.Generator().manual_seed(derive_seed(plan.seed, "order", epoch))
    order = torch.as_tensor(index)[torch.randperm(len(index), generator=generator)]
    batches = torch.split(order, plan.batch_size)
    course.network.train()
    total = 0.0
    for number, rows in enumerate(batches):
        rate = _rate(plan, epoch * len(batches) + number, plan.max_epochs * len(batches))
        for group in course.optimizer.param_groups:
            group["lr"] = rate
        x, y = course.fabric.to_device(augmented(inputs[rows], targets[rows], plan, generator))
        value = course.loss(course.network(x), y)
        course.optimizer.zero_grad()
        course.fabric.backward(value)
        course.optimizer.step()
        total += value.item() * len(rows)
    _require_finite(total, "loss", epoch)
    return total / len(index)


@torch.no_grad()
def _mean_loss(course: _Course, inputs: Tensor, targets: Tensor, index: Index, epoch: int) -> float | None:
    if len(index) == 0:
        return None
    course.network.eval()
    total = 0.0
    for rows in torch.split(torch.as_tensor(index), 4 * course.plan.batch_size):
        x, y = course.fabric.to_device((inputs[rows], targets[rows]))
        total += course.loss(course.network(x), y).item() * len(rows)
    _require_finite(total, "validation loss", epoch)
    return total / len(index)


def _require_finite(total: float, what: str, epoch: int) -> None:
    if not math.isfinite(total):
        raise DesignError(
            f"Training: the {what} became {total} in epoch {epoch + 1}. Lower learning_rate, and check the inputs."
        )


def _judge(state: _State, validation_loss: float | None, patience: int) -> None:
    """Keep the weights when they are the best so far, and decide whether to stop."""
    history = state.history
    if validation_loss is None:
        better = True
    else:
        # against the loss of the weights that are kept, so that many gains too small to count do add up
        kept = history.validation_loss[history.best_epoch] if state.best else math.inf
        history.validation_loss.append(validation_loss)
        better = validation_loss < kept - _SMALLEST_GAIN
    if better:
        state.best = {name: tensor.detach().clone() for name, tensor in state.network.state_dict().items()}
        history.best_epoch = state.epoch
    history.stopped_early = state.epoch - history.best_epoch >= patience
    state.epoch += 1


def _rate(plan: TrainingPlan, step: int, n_steps: int) -> float:
    """Rise linearly over the first steps, then fall along half a cosine."""
    warm_up = max(1.0, _WARM_UP * n_steps)
    if step < warm_up:
        return plan.learning_rate * (step + 1) / (warm_up + 1)
    return plan.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - warm_up) / max(1.0, n_steps - warm_up)))


def _save(state: _State, path: Path) -> None:
    groups = {
        "network": state.network.state_dict(),
        "best": state.best,
        "optimizer": optimizer_tensors(state.optimizer),
    }
    write_checkpoint(path, groups, {"epoch": state.epoch, "history": asdict(state.history)})


def _restore(state: _State, path: Path) -> None:
    groups, words = read_checkpoint(path)
    state.network.load_state_dict(groups["network"])
    restore_optimizer(state.optimizer, groups["optimizer"])
    state.best, state.epoch, state.history = groups["best"], words["epoch"], History(**words["history"])
