"""How a network is trained, as plain numbers that can be written into a file."""

from dataclasses import asdict, dataclass
from typing import Any

from kotowari.core.errors import InputError

__all__ = ["TrainingPlan"]


@dataclass(frozen=True)
class TrainingPlan:
    """Settings of one training.

    Parameters
    ----------
    max_epochs
        Passes over the training samples, 1 or more; early stopping usually ends sooner.
    patience
        Epochs without a validation loss lower by 1e-4 after which to stop, 1 or more.
    batch_size
        Samples a step, 1 or more.
    learning_rate
        Highest step of AdamW, above 0; it rises over the first 15 % of all steps and falls along a cosine.
    weight_decay
        Decoupled weight decay of AdamW, 0 or more.
    mixup
        Shape of the beta distribution that mixes pairs of samples and their targets; 0 for none.
    interpolation
        Share of samples moved towards a random sample of the same target, 0 to 1 (classification only).
    noise
        Standard deviation of normal noise added to the inputs, in input units, 0 or more.
    seed
        Seed of the order of samples, of augmentation and of dropout.
    """

    max_epochs: int = 60
    patience: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    mixup: float = 0.0
    interpolation: float = 0.0
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        bounds = {
            "max_epochs": self.max_epochs >= 1,
            "patience": self.patience >= 1,
            "batch_size": self.batch_size >= 1,
            "learning_rate": self.learning_rate > 0,
            "weight_decay": self.weight_decay >= 0,
            "mixup": self.mixup >= 0,
            "interpolation": 0 <= self.interpolation <= 1,
            "noise": self.noise >= 0,
        }
        for name, fits in bounds.items():
            if not fits:
                raise InputError(f"TrainingPlan: {name} = {getattr(self, name)} is out of range. See its description.")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings by name."""
        return asdict(self)
