"""The one training loop, its settings and its files."""

from kotowari.training.checkpoint import load_network, save_network
from kotowari.training.devices import best_device
from kotowari.training.loop import History, train
from kotowari.training.losses import class_weights, squared_error, weighted_cross_entropy
from kotowari.training.plan import TrainingPlan

__all__ = [
    "History",
    "TrainingPlan",
    "best_device",
    "class_weights",
    "load_network",
    "save_network",
    "squared_error",
    "train",
    "weighted_cross_entropy",
]
