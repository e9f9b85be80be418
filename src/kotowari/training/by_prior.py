"""Training without targets: a prior is the loss, and the convex optimum of the same loss is the yardstick."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from kotowari.core.checks import require_methods
from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.training.batches import Batches
from kotowari.training.loop import History, Index, train
from kotowari.training.plan import TrainingPlan

__all__ = ["Optimum", "PriorHistory", "PriorLoss", "train_by_prior"]


class Optimum(Protocol):
    """The least value of a loss."""

    @property
    def objective(self) -> float:
        """The loss at the best point found."""

    @property
    def bound(self) -> float:
        """A value that no point has a loss below."""


class PriorLoss(Protocol):
    """A loss of what a network found in some data, and of the data."""

    def __call__(self, found: Tensor, data: Tensor) -> Tensor:
        """Return a scalar to call ``backward()`` on."""

    def parts(self, found: Tensor, data: Tensor) -> dict[str, Tensor]:
        """Return the terms of the loss by name; their sum is what :meth:`optimum` is the least value of."""

    def optimum(self, data: Tensor) -> Optimum:
        """Return the least value over everything that might be found."""

    def share(self, found: Tensor, data: Tensor) -> float:
        """Return the size of what was found relative to the data, and warn where the answer is trivial."""


@dataclass
class PriorHistory(History):
    """What happened epoch by epoch, and where it ended.

    The last four are those of the first batch of training rows, in their order, by the network that was kept.

    Attributes
    ----------
    parts
        The terms of the loss by name.
    optimum, bound
        The least sum of the terms that a convex solver found, and what no answer can be below; NaN when not asked for.
    share
        Size of what was found relative to the data.
    """

    parts: dict[str, float] = field(default_factory=dict)
    optimum: float = float("nan")
    bound: float = float("nan")
    share: float = float("nan")

    @property
    def objective(self) -> float:
        """Sum of the parts."""
        return sum(self.parts.values())

    @property
    def ratio(self) -> float:
        """The network's objective over the convex optimum: 1 where the network is as good as the solver."""
        return self.objective / self.optimum if self.optimum > 0 else float("nan")


def train_by_prior(
    network: nn.Module,
    data: Tensor,
    *,
    loss: PriorLoss,
    plan: TrainingPlan,
    train_index: Index,
    validation_index: Index,
    groups: npt.NDArray[Any] | None = None,
    consecutive: bool = False,
    with_optimum: bool = True,
    device: str = "cpu",
    precision: str = "32-true",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
) -> PriorHistory:
    """Train ``network`` in place so that ``loss(network(x), x)`` gets small; there are no targets.

    Everything else is as in :func:`kotowari.training.train`: a loss that is a module is trained along, put into eval
    mode for validation and told the progress if it wants it, and a training that was stopped goes on from its
    checkpoint to the same bytes.

    Parameters
    ----------
    network
        Maps ``(batch, channel, *space)`` to what the loss takes, for a foreground the same shape.
    data
        Shape ``(sample, channel, *space)``; rows outside of the two indices are never read.
    loss
        The prior, such as :class:`kotowari.priors.losses.LowRankSparseLoss`. It looks at the rows of a batch together.
    plan
        Settings. ``batch_size`` is the most rows of a step; as many as there are put the whole set into one.
        ``noise`` is added to what the network sees, not to what the loss sees. ``mixup`` and ``interpolation``
        belong to targets and are refused.
    train_index, validation_index
        As in ``train``. Validation rows are put into batches in their order.
    groups, consecutive
        As in :class:`kotowari.training.batches.Batches`: batches within one recording or slide, and of neighbouring
        frames.
    with_optimum
        Solve the convex problem of the first batch at the end, to state how far from it the network stopped.
    device, precision, checkpoint, checkpoint_seconds
        As in ``train``.

    Raises
    ------
    CapabilityError
        When the loss cannot tell its parts, its optimum or the share found.
    InputError
        When the plan asks for what only targets give.
    ShapeError
        When ``groups`` does not name every row.
    DesignError
        When a batch would hold a single row, of which no background can be told, or as in ``train``.
    """
    require_methods(loss, "parts", "optimum", "share", by="train_by_prior")
    if plan.mixup or plan.interpolation:
        raise InputError("train_by_prior: mixup and interpolation need targets. Set them to 0.")
    _require_rows(data, train_index, validation_index)
    if groups is not None and len(groups) != len(data):
        raise ShapeError.mismatch("train_by_prior", "groups", (len(data),), np.shape(groups))
    batches = Batches(plan.batch_size, groups, consecutive)
    for what, index in {"training": train_index, "validation": validation_index}.items():
        _require_company(batches.ordered(index), what)
    history = train(
        network,
        data,
        data,
        train_index=train_index,
        validation_index=validation_index,
        loss=loss,
        plan=plan,
        batches=batches,
        device=device,
        precision=precision,
        checkpoint=checkpoint,
        checkpoint_seconds=checkpoint_seconds,
    )
    return _told(history, network, data[batches.ordered(train_index)[0]], loss, with_optimum=with_optimum)


def _require_rows(data: Tensor, train_index: Index, validation_index: Index) -> None:
    rows = np.concatenate([train_index, validation_index]).astype(int)
    outside = rows[(rows < 0) | (rows >= len(data))]
    if len(outside):
        raise InputError(f"train_by_prior: row {outside[0]} is not among the {len(data)} rows of the data.")
    shared = np.intersect1d(train_index, validation_index)
    if len(shared):
        raise DesignError(f"train_by_prior: row {shared[0]} is both in training and in validation. Keep them apart.")
    if not data.is_floating_point():
        raise InputError(
            f"train_by_prior: data must hold floats, got {data.dtype}. Convert it, for example by .float()."
        )
    broken = [int(row) for row in rows if not bool(data[row].isfinite().all())]
    if broken:
        raise InputError(f"train_by_prior: row {broken[0]} holds NaN or infinite entries. Fill them, or leave it out.")


def _require_company(batches: list[Tensor], what: str) -> None:
    for rows in batches:
        if len(rows) < 2:
            raise DesignError(
                f"train_by_prior: row {int(rows[0])} would be alone in a {what} batch, and a background is what rows "
                "have in common. Take a larger batch_size, or leave out groups of one row."
            )


@torch.no_grad()
def _told(history: History, network: nn.Module, rows: Tensor, loss: PriorLoss, *, with_optimum: bool) -> PriorHistory:
    weight = next(network.parameters(), rows)
    rows = rows.to(weight.device)
    found = network(rows)
    told = PriorHistory(**asdict(history), share=loss.share(found, rows))
    told.parts = {name: float(value) for name, value in loss.parts(found, rows).items()}
    if with_optimum:
        best = loss.optimum(rows)
        told.optimum, told.bound = float(best.objective), float(best.bound)
    return told
