"""Several small networks on images of one table, each with its own hold-out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError
from kotowari.core.files import read_json, write_json
from kotowari.core.seeds import derive_seed
from kotowari.networks.residual import ResidualNetwork
from kotowari.networks.scaling import InputScaling
from kotowari.networks.squeeze import SqueezeNetwork
from kotowari.networks.two_branch import TwoBranchNetwork
from kotowari.studies.omics.model.statistics import Pairs, pixel_scaling, screened_pairs
from kotowari.training.checkpoint import load_network, save_network
from kotowari.training.loop import Loss, train
from kotowari.training.losses import class_weights, squared_error, weighted_cross_entropy
from kotowari.training.plan import TrainingPlan
from kotowari.trust.folds import Fold, hold_out

__all__ = [
    "Member",
    "NetworkName",
    "Recipe",
    "Targets",
    "as_tensor",
    "build_member",
    "fit_member",
    "load_members",
    "save_members",
]

FloatArray = npt.NDArray[np.float32]
NetworkName = Literal["residual", "two_branch", "squeeze"]


@dataclass(frozen=True)
class Recipe:
    """How one network of an ensemble is made.

    Parameters
    ----------
    network
        ``"residual"`` (ours), ``"two_branch"`` (DeepInsight) or ``"squeeze"`` (DeepFeature).
    options
        Keyword arguments of the network, such as ``width`` or ``filters``.
    shrink
        Whether pixels that no target moves are shrunk; see :func:`pixel_scaling`.
    n_pairs
        Most products of two pixels offered to a residual network, classification only; 0 for none.
    validation_fraction
        Share of the training groups that decides when to stop, 0 up to 0.5; 0 trains all epochs.
    plan
        The training.
    device, precision
        As lightning-fabric names them.
    """

    network: NetworkName = "residual"
    options: dict[str, Any] = field(default_factory=dict)
    shrink: bool = True
    n_pairs: int = 64
    validation_fraction: float = 0.2
    plan: TrainingPlan = field(default_factory=TrainingPlan)
    device: str = "cpu"
    precision: str = "32-true"

    def __post_init__(self) -> None:
        if self.n_pairs < 0 or not 0 <= self.validation_fraction <= 0.5:
            raise InputError(
                "n_pairs must be 0 or more and validation_fraction 0 up to 0.5, "
                f"got {self.n_pairs} and {self.validation_fraction}."
            )


class Targets(NamedTuple):
    """What a network learns.

    ``values`` has the shape ``(sample, output)``: class shares, or standardised values. ``labels`` are the class
    numbers, or None for a regression; ``classes`` are the user's own words for them, for messages.
    """

    values: FloatArray
    labels: npt.NDArray[np.int64] | None
    classes: npt.NDArray[Any] | None = None

    @classmethod
    def of_classes(
        cls, labels: npt.NDArray[np.int64], n_classes: int, classes: npt.NDArray[Any] | None = None
    ) -> "Targets":
        """Class numbers to shares of 0 and 1."""
        return cls(np.eye(n_classes, dtype=np.float32)[labels], labels, classes)

    def rows(self, index: npt.NDArray[np.intp]) -> "Targets":
        """Return the targets of some samples."""
        return Targets(self.values[index], None if self.labels is None else self.labels[index], self.classes)

    def hold_out(self, groups: npt.NDArray[Any] | None, fraction: float, seed: int) -> Fold:
        """Keep a share of every class, or of the range of values, aside; see :func:`kotowari.trust.hold_out`."""
        y: npt.NDArray[Any] = self.values[:, 0]
        if self.labels is not None:
            y = self.labels if self.classes is None else self.classes[self.labels]
        return hold_out(y, groups=groups, fraction=fraction, continuous=self.labels is None, random_state=seed)


@dataclass(frozen=True)
class Member:
    """One trained network and what is needed to build it again.

    Attributes
    ----------
    network
        In eval mode; has ``body`` and ``head``.
    description
        Plain words and numbers from which :func:`build_member` makes the same architecture.
    """

    network: nn.Module
    description: dict[str, Any]

    @property
    def scaling(self) -> InputScaling:
        """The first step of the network."""
        (scaling,) = (part for part in self.network.modules() if isinstance(part, InputScaling))
        return scaling

    @property
    def reference(self) -> Tensor:
        """The mean training image, shape ``(channel, height, width)``: what integrated gradients start from."""
        return self.scaling.mean

    @torch.no_grad()
    def scores(self, images: FloatArray, *, batch_size: int = 256) -> FloatArray:
        """``(sample, channel, height, width) -> (sample, output)``."""
        device = next(self.network.parameters()).device
        parts = [
            self.network(as_tensor(images[i : i + batch_size]).to(device)).cpu() for i in _starts(images, batch_size)
        ]
        scores: FloatArray = torch.cat(parts).numpy()
        return scores


def fit_member(
    images: FloatArray,
    targets: Targets,
    recipe: Recipe,
    *,
    groups: npt.NDArray[Any] | None = None,
    seed: int,
    checkpoint: Path | None = None,
) -> Member:
    """Train one network; what it learns from the images besides weights is learned from its own training part.

    Parameters
    ----------
    images
        Shape ``(sample, channel, height, width)``.
    targets
        One row a sample.
    recipe
        Architecture and training.
    groups
        Who owns each sample; an owner is never both trained on and validated on.
    seed
        Decides the hold-out, the first weights and the order of samples.
    checkpoint
        File in which a long training keeps its state.
    """
    index = _learning_and_stopping(targets, recipe, groups, derive_seed(seed, "hold-out"))
    learning, own = images[index[0]], targets.rows(index[0])
    scaling = pixel_scaling(learning, own.values, shrink=recipe.shrink)
    pairs = _pairs(learning, own.labels, scaling, recipe, derive_seed(seed, "pairs"))
    description = {
        "network": recipe.network,
        "options": recipe.options,
        "image_shape": list(images.shape[1:]),
        "n_outputs": targets.values.shape[1],
        "n_pairs": len(pairs.scale),
    }
    network = _network(description, InputScaling(*map(torch.as_tensor, scaling)), pairs, derive_seed(seed, "weights"))
    loss: Loss = squared_error
    if own.labels is not None:
        loss = weighted_cross_entropy(class_weights(own.labels, targets.values.shape[1]))
    plan = TrainingPlan(**recipe.plan.to_dict() | {"seed": derive_seed(seed, "training")})
    history = train(
        network,
        as_tensor(images),
        as_tensor(targets.values),
        train_index=index[0],
        validation_index=index[1],
        loss=loss,
        plan=plan,
        device=recipe.device,
        precision=recipe.precision,
        checkpoint=checkpoint,
    )
    return Member(network, description | {"history": asdict(history)})


def build_member(description: dict[str, Any]) -> Member:
    """Build the architecture that ``description`` names, to be filled by :func:`load_members`."""
    shape = tuple(description["image_shape"])
    empty = Pairs(np.zeros((description["n_pairs"], 2), np.int64), np.ones(description["n_pairs"], np.float32))
    return Member(_network(description, InputScaling.identity(shape), empty, 0).eval(), description)


def save_members(folder: Path, members: Sequence[Member]) -> None:
    """Write one safetensors file a network and ``members.json``."""
    for number, member in enumerate(members):
        save_network(folder / f"member-{number}.safetensors", member.network)
    write_json(folder / "members.json", [member.description for member in members])


def load_members(folder: Path) -> list[Member]:
    """Read back what :func:`save_members` wrote."""
    members = [build_member(description) for description in read_json(folder / "members.json")]
    for number, member in enumerate(members):
        load_network(folder / f"member-{number}.safetensors", member.network)
    return members


def as_tensor(values: npt.NDArray[Any]) -> Tensor:
    """Return a tensor that shares memory with the array, or a copy of one that may only be read."""
    return torch.as_tensor(values if values.flags.writeable else values.copy())


def _network(description: dict[str, Any], scaling: InputScaling, pairs: Pairs, seed: int) -> nn.Module:
    options, n_outputs = description["options"], description["n_outputs"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        match description["network"]:
            case "residual":
                offered = (torch.as_tensor(pairs.pixels), torch.as_tensor(pairs.scale))
                return ResidualNetwork(scaling, n_outputs, pairs=offered, **options)
            case "two_branch":
                return TwoBranchNetwork(scaling, n_outputs, **options)
            case "squeeze":
                return SqueezeNetwork(scaling, n_outputs, **options)
            case unknown:
                raise InputError(f"network {unknown!r}: choose residual, two_branch or squeeze.")


def _pairs(images: FloatArray, labels: npt.NDArray[np.int64] | None, scaling: Any, recipe: Recipe, seed: int) -> Pairs:
    n_pairs = recipe.n_pairs if recipe.network == "residual" and labels is not None else 0
    given = labels if labels is not None else np.zeros(len(images), np.int64)
    return screened_pairs(images, given, scaling, n_pairs=n_pairs, rng=np.random.default_rng(seed))


def _learning_and_stopping(
    targets: Targets, recipe: Recipe, groups: npt.NDArray[Any] | None, seed: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    if recipe.validation_fraction == 0:
        return np.arange(len(targets.values)), np.arange(0)
    fold = targets.hold_out(groups, recipe.validation_fraction, seed)
    return fold.train, fold.test


def _starts(images: FloatArray, batch_size: int) -> range:
    return range(0, len(images), batch_size)
