"""The one training loop, its settings and its files; training by a prior alone; fits of surrogates and posteriors."""

from kotowari.training.batches import Batches
from kotowari.training.by_prior import PriorHistory, PriorLoss, train_by_prior
from kotowari.training.checkpoint import load_network, save_network
from kotowari.training.devices import best_device
from kotowari.training.laplace import LaplacePosterior, laplace_posterior
from kotowari.training.loop import FollowsProgress, History, Samples, train
from kotowari.training.losses import class_weights, squared_error, weighted_cross_entropy
from kotowari.training.plan import TrainingPlan
from kotowari.training.precision import PrecisionChoice, choose_precision
from kotowari.training.surrogate import fit_surrogate

__all__ = [
    "Batches",
    "FollowsProgress",
    "History",
    "LaplacePosterior",
    "PrecisionChoice",
    "PriorHistory",
    "PriorLoss",
    "Samples",
    "TrainingPlan",
    "best_device",
    "choose_precision",
    "class_weights",
    "fit_surrogate",
    "laplace_posterior",
    "load_network",
    "save_network",
    "squared_error",
    "train",
    "train_by_prior",
    "weighted_cross_entropy",
]
