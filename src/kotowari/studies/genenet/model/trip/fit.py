"""Fitting projections and head together: restarts, early stopping, the best kept."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from kotowari.core.errors import ConvergenceError
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.model.trip.heads import Head
from kotowari.studies.genenet.model.trip.projections import NetworkTensor
from kotowari.studies.genenet.model.trip.responses import Response
from kotowari.studies.genenet.model.trip.starts import STARTS, Part
from kotowari.studies.genenet.model.trip.steppers import FreeStepper, RetractionStepper, Stepper
from kotowari.studies.genenet.model.trip.stiefel import RETRACTIONS, orthonormal_columns

__all__ = ["FittedCore", "Recipe", "fit_core", "objective"]

RetractionName = Literal["free", "qr", "polar", "cayley"]
Kept = TypeVar("Kept")

# the head has been trained alone before; beside moving projections it only follows
_HEAD_STEP = 0.1
# strongest direction of the core, in units of the head's scale
_CORE_SPREAD = 1.5
_SMALLEST_GAIN = 1e-5


@dataclass(frozen=True)
class Recipe:
    """Settings of one fit; see :class:`TensorReconstructionRegressor`."""

    core_shape: tuple[int, ...]
    n_hidden: int
    reconstruction_weight: float
    head_weight: float
    starts: tuple[str, ...]
    retraction: RetractionName
    step: float
    head_steps: int
    max_steps: int
    patience: int


class FittedCore(NamedTuple):
    """One fitted model.

    Attributes
    ----------
    projections
        Orthonormal, shape ``(I, J)`` each, float64 on the CPU, in the gauge of the HOSVD.
    head
        Scores of the core, float64 on the CPU.
    loss
        Loss on the held-out samples; where none are held out, the objective on the learned ones.
    start
        Name of the start that led here.
    n_steps
        Joint steps taken up to the model that was kept.
    """

    projections: tuple[Tensor, ...]
    head: Head
    loss: float
    start: str
    n_steps: int

    def scores(self, networks: NetworkTensor) -> Tensor:
        """Return the scores of centred, scaled networks, ``(sample, n_scores)``."""
        scores: Tensor = self.head(networks.project(self.projections))
        return scores


def objective(
    part: Part, projections: Sequence[Tensor], head: Head, *, reconstruction_weight: float, head_weight: float
) -> Tensor:
    r"""Return prediction loss plus what the projection loses plus the size of the head.

    .. math:: \frac1n \sum_i l(y_i, f(\bar X_i; \theta)) + \lambda R(C) + \tfrac\eta2 |\theta|^2, \quad
        R(C) = 1 - \frac{\sum_i |\bar X_i|^2}{\sum_i |X_i|^2}

    R is the relative squared error of the reconstruction :math:`\bar X_i \times_1 C_1 \dots \times_K C_K`, which
    orthonormality gives without forming it. For two modes, with :math:`D_i = \partial l_i / \partial \bar X_i` and
    :math:`S = \sum_i |X_i|^2`, the gradients are

    .. math:: G_1 = \tfrac1n \sum X_i C_2 D_i' - \tfrac{2\lambda}{S} \sum X_i C_2 \bar X_i', \quad
        G_2 = \tfrac1n \sum X_i' C_1 D_i - \tfrac{2\lambda}{S} \sum X_i' C_1 \bar X_i

    Source: our reconstruction. Maruhashi et al. 2020, arXiv 2007.03912, say that accuracy is maximised "while retaining
    as much of the data as possible"; how they weigh the two is not known to us.
    """
    core = part.networks.project(projections)
    lost = 1 - core.square().sum() / part.networks.squared_norm()
    return part.response.loss(head(core)) + reconstruction_weight * lost + head_weight / 2 * head.squared_norm()


def fit_core(learned: Part, held: Part | None, recipe: Recipe, *, seed: int) -> FittedCore:
    """Fit from every start and keep the model with the smallest loss.

    From each start the head is trained alone; from the better half of the starts, projections and head are then
    trained together. Both stop when the loss on the
    held-out samples has not fallen for ``recipe.patience`` steps and go back to its smallest value.

    Parameters
    ----------
    learned
        Networks, centred and scaled, and responses.
    held
        Samples that decide when to stop and which start to keep; None takes all steps and the smallest objective.
    recipe
        Settings.
    seed
        For random starts and first weights.

    Raises
    ------
    ConvergenceError
        When every start ended in numbers that are not finite.
    """
    first = [_headed(number, name, learned, held, recipe, seed) for number, name in enumerate(recipe.starts)]
    leading = sorted(first, key=_finite_loss)[: math.ceil(len(first) / 2)]
    best = min((_train_jointly(fit, learned, held, recipe) for fit in leading), key=_finite_loss)
    if not math.isfinite(best.loss):
        raise ConvergenceError("Every start ended in NaN or infinity. Choose a smaller step, or check the networks.")
    return _in_hosvd_gauge(best, learned.networks)


def _finite_loss(fit: FittedCore) -> float:
    return fit.loss if math.isfinite(fit.loss) else math.inf


def _headed(number: int, name: str, learned: Part, held: Part | None, recipe: Recipe, seed: int) -> FittedCore:
    """Return first projections with a head that was trained on them."""
    rng = torch.Generator().manual_seed(derive_seed(seed, "start", number))
    with torch.no_grad():
        projections = STARTS[name](learned, held, recipe.core_shape, rng)
        core = learned.networks.project(projections)
        held_core = None if held is None else held.networks.project(projections)
    spread = float(torch.linalg.matrix_norm(core.reshape(len(core), -1).double(), 2)) / math.sqrt(len(core))
    head = Head(
        core[0].numel(),
        learned.response.n_scores,
        n_hidden=recipe.n_hidden,
        scale=_CORE_SPREAD * spread if spread > 0 else 1.0,
        generator=rng,
    ).to(learned.networks.values)
    with torch.no_grad():
        head.bias.copy_(learned.response.baseline())
    head.bias.requires_grad_(learned.response.sees_constant)
    loss = _train_head(head, core, held_core, learned.response, None if held is None else held.response, recipe)
    if held is None:
        loss = _objective_value(learned, projections, head, recipe)
    return FittedCore(tuple(projections), head, loss, name, 0)


def _train_head(
    head: Head, core: Tensor, held_core: Tensor | None, response: Response, held: Response | None, recipe: Recipe
) -> float:
    """Train the head on fixed cores; it holds the best weights afterwards. Return their held-out loss."""
    optimizer = torch.optim.Adam(head.parameters(), lr=recipe.step)

    def advance() -> None:
        optimizer.zero_grad()
        loss = response.loss(head(core)) + recipe.head_weight / 2 * head.squared_norm()
        torch.autograd.backward(loss)
        optimizer.step()

    def held_loss() -> float | None:
        return None if held is None or held_core is None else float(held.loss(head(held_core)))

    kept, best, _ = _descend(advance, held_loss, lambda: _copied(head), recipe.head_steps, recipe.patience)
    head.load_state_dict(kept)
    return best


def _train_jointly(fit: FittedCore, learned: Part, held: Part | None, recipe: Recipe) -> FittedCore:
    """Train both from a start with its head; the head is changed in place."""
    projections, head = fit.projections, fit.head
    stepper: Stepper = (
        FreeStepper(projections, recipe.step)
        if recipe.retraction == "free"
        else RetractionStepper(projections, recipe.step, RETRACTIONS[recipe.retraction])
    )
    optimizer = torch.optim.Adam(head.parameters(), lr=_HEAD_STEP * recipe.step)
    weights = {"reconstruction_weight": recipe.reconstruction_weight, "head_weight": recipe.head_weight}
    n_taken = 0

    def advance() -> None:
        nonlocal n_taken
        share = (1 + math.cos(math.pi * n_taken / recipe.max_steps)) / 2
        n_taken += 1
        optimizer.param_groups[0]["lr"] = _HEAD_STEP * recipe.step * share
        optimizer.zero_grad()
        stepper.zero_grad()
        torch.autograd.backward(objective(learned, stepper.projections(), head, **weights))
        optimizer.step()
        stepper.advance(share)

    def held_loss() -> float | None:
        return None if held is None else float(held.response.loss(head(held.networks.project(stepper.projections()))))

    def snapshot() -> tuple[list[Tensor], dict[str, Any]]:
        return [c.detach().clone() for c in stepper.projections()], _copied(head)

    (kept, weights_kept), loss, n_steps = _descend(advance, held_loss, snapshot, recipe.max_steps, recipe.patience)
    head.load_state_dict(weights_kept)
    if held is None:
        loss = _objective_value(learned, kept, head, recipe)
    return fit._replace(projections=tuple(kept), loss=loss, n_steps=n_steps)


@torch.no_grad()
def _objective_value(part: Part, projections: Sequence[Tensor], head: Head, recipe: Recipe) -> float:
    weights = {"reconstruction_weight": recipe.reconstruction_weight, "head_weight": recipe.head_weight}
    return float(objective(part, projections, head, **weights))


def _descend(
    advance: Callable[[], None],
    held_loss: Callable[[], float | None],
    snapshot: Callable[[], Kept],
    max_steps: int,
    patience: int,
) -> tuple[Kept, float, int]:
    """Take steps; return the best state, its held-out loss and the steps it took, or the last state without one."""

    @torch.no_grad()
    def measured() -> float | None:
        return held_loss()

    first = measured()
    best, best_loss, best_step = snapshot(), math.inf if first is None else first, 0
    for step in range(1, max_steps + 1):
        advance()
        loss = measured()
        if loss is None:
            continue
        # written so that NaN counts as no gain
        if loss < best_loss - _SMALLEST_GAIN * abs(best_loss):
            best, best_loss, best_step = snapshot(), loss, step
        elif step - best_step >= patience:
            break
    return (snapshot(), math.inf, max_steps) if first is None else (best, best_loss, best_step)


def _copied(head: Head) -> dict[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in head.state_dict().items()}


@torch.no_grad()
def _in_hosvd_gauge(fit: FittedCore, networks: NetworkTensor) -> FittedCore:
    """Rotate every projection to the principal directions of its core unfolding; scores stay as they are.

    Signs make the largest entry of every column positive. Without a gauge, two equal models may differ by a rotation.
    """
    projections = [orthonormal_columns(c.double().cpu()) for c in fit.projections]
    core = networks.project([c.to(networks.values) for c in projections]).double().cpu()
    head = copy.deepcopy(fit.head).double().cpu()
    whole = torch.ones(1, 1, dtype=torch.float64)
    turned = []
    for mode, projection in enumerate(projections):
        unfolding = core.movedim(mode + 1, 0).reshape(core.shape[mode + 1], -1)
        rotation = torch.linalg.eigh(unfolding @ unfolding.T)[1].flip(1)
        columns = projection @ rotation
        largest = columns.gather(0, columns.abs().argmax(0, keepdim=True))
        signs = torch.where(largest < 0, -1.0, 1.0).to(columns)
        turned.append(columns * signs)
        whole = torch.kron(whole, rotation * signs)
    head.turn(whole)
    return fit._replace(projections=tuple(turned), head=head)
