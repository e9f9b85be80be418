"""One round of learning from implants, which can be killed and goes on."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from kotowari.core.progress import Progress
from kotowari.studies.angiography.model.enhancer_lessons import ImplantLessons
from kotowari.studies.angiography.model.enhancer_loss import ImplantLoss
from kotowari.training.checkpoint import read_checkpoint, write_checkpoint
from kotowari.training.loop import History, train
from kotowari.training.plan import TrainingPlan

__all__ = ["ImplantRound", "n_rows", "train_on_implants", "training_name"]

_STEPS_AN_EPOCH = 100


@dataclass(frozen=True)
class ImplantRound:
    """How one round is trained.

    Parameters
    ----------
    n_steps, batch_size, learning_rate, seed
        Of the optimiser; see :class:`kotowari.training.plan.TrainingPlan`.
    sparse_weight, tv_weight
        Of the prior; see :class:`kotowari.studies.angiography.model.enhancer_loss.ImplantLoss`.
    device
        As lightning-fabric names it.
    title
        For the progress bar; empty prints none.
    checkpoint, checkpoint_seconds
        As in :func:`kotowari.training.loop.train`. A finished round stays beside it as ``<name>.done``, so that a fit
        that is killed in the next round does not repeat it.
    """

    n_steps: int
    batch_size: int
    learning_rate: float
    seed: int
    sparse_weight: float
    tv_weight: float
    device: str
    title: str
    checkpoint: Path | None
    checkpoint_seconds: float

    @property
    def n_epochs(self) -> int:
        """Passes over the rows: a checkpoint can be written after each."""
        return max(1, self.n_steps // _STEPS_AN_EPOCH)

    @property
    def done(self) -> Path | None:
        """File of the finished round."""
        return None if self.checkpoint is None else self.checkpoint.with_suffix(".done")


def n_rows(n_steps: int, batch_size: int) -> int:
    """Return how many composed frames a round of so many steps wants: each is seen once in 100 steps."""
    return batch_size * min(n_steps, _STEPS_AN_EPOCH)


def train_on_implants(network: nn.Module, lessons: ImplantLessons, plan: ImplantRound) -> History:
    """Train ``network`` in place to find the vessels that were put in."""
    if plan.done is not None and plan.done.is_file():
        groups, words = read_checkpoint(plan.done)
        network.load_state_dict(groups["network"])
        return History(**words["history"])
    total = plan.n_epochs * len(lessons.inputs) // plan.batch_size
    with Progress(shown=bool(plan.title)).bar(plan.title, total) as bar:
        history = train(
            network,
            lessons.inputs,
            lessons.targets,
            train_index=np.arange(len(lessons.inputs)),
            validation_index=np.arange(0),
            loss=ImplantLoss(plan.sparse_weight, plan.tv_weight, bar),
            plan=TrainingPlan(
                max_epochs=plan.n_epochs,
                batch_size=plan.batch_size,
                learning_rate=plan.learning_rate,
                seed=plan.seed,
            ),
            device=plan.device,
            checkpoint=plan.checkpoint,
            checkpoint_seconds=plan.checkpoint_seconds,
        )
    if plan.done is not None:
        write_checkpoint(plan.done, {"network": network.state_dict()}, {"history": asdict(history)})
    return history


def training_name(options: Mapping[str, Any], arrays: Iterable[npt.NDArray[Any]]) -> str:
    """Return a file name that no other training has: of other options or recordings."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for array in arrays:
        digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return f"vessels-{digest.hexdigest()[:16]}"
