"""The one training loop: takes train and validation indices, never splits."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from kotowari.core.errors import DesignError, ShapeError
from kotowari.core.seeds import derive_seed
from kotowari.training.augment import augmented
from kotowari.training.batches import Batches
from kotowari.training.checkpoint import optimizer_tensors, read_checkpoint, restore_optimizer, write_checkpoint
from kotowari.training.plan import TrainingPlan

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricOptimizer

__all__ = ["FollowsProgress", "History", "Loss", "Samples", "train"]

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


@runtime_checkable
class FollowsProgress(Protocol):
    """A loss that changes along the training."""

    def at(self, progress: float) -> None:
        """Hear how far the training is: 0 in the first step, 1 in the last of all epochs."""


class Samples(Protocol):
    """What the loop asks of inputs and targets; a tensor is one, and so is a view of files too large for memory."""

    @property
    def shape(self) -> Sequence[int]:
        """``(sample, ...)``."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """Return the samples of some row numbers, which the caller may change."""


@dataclass
class _State:
    learners: dict[str, nn.Module]
    optimizer: torch.optim.Optimizer
    best: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    history: History = field(default_factory=History)
    epoch: int = 0


def train(
    network: nn.Module,
    inputs: Samples,
    targets: Samples,
    *,
    train_index: Index,
    validation_index: Index,
    loss: Loss,
    plan: TrainingPlan,
    batches: Batches | None = None,
    device: str = "cpu",
    precision: str = "32-true",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
) -> History:
    """Train ``network`` in place and leave it in eval mode with the weights of its best epoch.

    A loss that is a module goes along: its parameters are learned (without weight decay), kept and saved with those of
    the network, and it is in train mode for a step, in eval mode for validation and at the end.

    Parameters
    ----------
    network
        Maps ``(batch, channel, *space)`` to ``(batch, output)``.
    inputs
        All samples, shape ``(sample, channel, *space)``; rows outside of the two indices are never read. A tensor, or
        :class:`Samples` that read the rows they are asked for.
    targets
        Shape ``(sample, output)``, floats.
    train_index, validation_index
        Rows to learn from, and rows that decide when to stop. Without validation rows the last epoch is kept.
    loss
        ``loss(outputs, targets)``, the mean over a batch; the same is used for validation. One that
        :class:`FollowsProgress` is told before each step how far the training is.
    plan
        Settings; ``plan.seed`` decides order, augmentation and dropout, so that equal calls give equal bytes on one
        device with one number of threads.
    batches
        Which rows stand together in a step; their sizes then rule, not ``plan.batch_size``. None draws all rows anew in
        each epoch and cuts them into full batches and a rest.
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
    from lightning_fabric import Fabric  # it loads torch's compiler, for seconds, which only a training needs

    fabric = Fabric(accelerator=device, devices=1, precision=precision)  # type: ignore[arg-type]  # literals by name
    state = _begun(network, loss, plan)
    if checkpoint is not None and checkpoint.exists():
        _restore(state, checkpoint)
    wrapped, wrapped_optimizer = fabric.setup(network, state.optimizer)
    if isinstance(loss, nn.Module):
        fabric.to_device(loss)
    course = _Course(fabric, wrapped, wrapped_optimizer, loss, plan, batches)
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
    for name, learner in state.learners.items():
        learner.load_state_dict(state.best[name])
    course.mode(training=False)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return state.history


@dataclass(frozen=True)
class _Course:
    """What stays the same from epoch to epoch."""

    fabric: "Fabric"
    network: nn.Module
    optimizer: "_FabricOptimizer"
    loss: Loss
    plan: TrainingPlan
    batches: Batches | None

    def mode(self, *, training: bool) -> None:
        """Put the network, and a loss that is a module, into train or eval mode."""
        self.network.train(training)
        if isinstance(self.loss, nn.Module):
            self.loss.train(training)

    def drawn(self, index: Index, generator: torch.Generator) -> Sequence[Tensor]:
        """Return the rows of each step of one epoch."""
        if self.batches is not None:
            return self.batches.drawn(index, generator)
        order = torch.as_tensor(index)[torch.randperm(len(index), generator=generator)]
        return torch.split(order, self.plan.batch_size)

    def ordered(self, index: Index) -> Sequence[Tensor]:
        """Return the rows of each look at the validation samples."""
        if self.batches is not None:
            return self.batches.ordered(index)
        return torch.split(torch.as_tensor(index), 4 * self.plan.batch_size)


def _begun(network: nn.Module, loss: Loss, plan: TrainingPlan) -> _State:
    learners = {"network": network}
    groups = [{"params": list(network.parameters()), "weight_decay": plan.weight_decay}]
    if isinstance(loss, nn.Module) and any(True for _ in loss.parameters()):
        learners["loss"] = loss
        groups.append({"params": list(loss.parameters()), "weight_decay": 0.0})
    return _State(learners, torch.optim.AdamW(groups, lr=plan.learning_rate))


def _run_epoch(course: _Course, inputs: Samples, targets: Samples, index: Index, epoch: int) -> float:
    plan = course.plan
    generator = torch.Generator().manual_seed(derive_seed(plan.seed, "order", epoch))
    batches = course.drawn(index, generator)
    course.mode(training=True)
    total = 0.0
    for number, rows in enumerate(batches):
        step, n_steps = epoch * len(batches) + number, plan.max_epochs * len(batches)
        for group in course.optimizer.param_groups:
            group["lr"] = _rate(plan, step, n_steps)
        if isinstance(course.loss, FollowsProgress):
            course.loss.at(step / max(1, n_steps - 1))
        x, y = course.fabric.to_device(augmented(inputs[rows], targets[rows], plan, generator))
        value = course.loss(course.network(x), y)
        course.optimizer.zero_grad()
        course.fabric.backward(value)
        course.optimizer.step()
        total += value.item() * len(rows)
    _require_finite(total, "loss", epoch)
    return total / len(index)


@torch.no_grad()
def _mean_loss(course: _Course, inputs: Samples, targets: Samples, index: Index, epoch: int) -> float | None:
    if len(index) == 0:
        return None
    course.mode(training=False)
    total = 0.0
    for rows in course.ordered(index):
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
        state.best = {
            who: {name: tensor.detach().clone() for name, tensor in learner.state_dict().items()}
            for who, learner in state.learners.items()
        }
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
    groups = {name: learner.state_dict() for name, learner in state.learners.items()}
    groups |= {_best(name): tensors for name, tensors in state.best.items()}
    groups["optimizer"] = optimizer_tensors(state.optimizer)
    write_checkpoint(path, groups, {"epoch": state.epoch, "history": asdict(state.history)})


def _restore(state: _State, path: Path) -> None:
    groups, words = read_checkpoint(path)
    for name, learner in state.learners.items():
        learner.load_state_dict(groups[name])
    restore_optimizer(state.optimizer, groups["optimizer"])
    state.best = {name: groups[_best(name)] for name in state.learners}
    state.epoch, state.history = words["epoch"], History(**words["history"])


def _best(name: str) -> str:
    return "best" if name == "network" else f"best_{name}"
