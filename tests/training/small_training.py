"""A training of a second or less, and what it may be compared by."""

import hashlib

import numpy as np
import torch
from torch import nn

from kotowari.training import TrainingPlan, squared_error, train, weighted_cross_entropy

CROSS_ENTROPY = weighted_cross_entropy(torch.ones(2))
ROWS = np.arange(48)
LEARN, HELD = ROWS[:32], ROWS[32:]
PLAN = TrainingPlan(max_epochs=6, patience=6, batch_size=10, learning_rate=3e-3, seed=5)
AUGMENTED = TrainingPlan(
    max_epochs=6, patience=6, batch_size=10, learning_rate=3e-3, mixup=0.3, interpolation=0.5, noise=0.1, seed=5
)


def make_network(seed=0):
    """Has what can go wrong in a training: dropout, and a norm that keeps running means."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(4 * 2 * 3, 2)
        )


def make_data(n=48):
    generator = torch.Generator().manual_seed(4)
    labels = torch.randint(2, (n,), generator=generator)
    inputs = torch.randn(n, 1, 4, 5, generator=generator) + labels.float().view(n, 1, 1, 1)
    return inputs, nn.functional.one_hot(labels, 2).float()


def run(network, data=None, *, learn=LEARN, held=HELD, loss=CROSS_ENTROPY, plan=PLAN, **options):
    inputs, targets = data or make_data()
    return train(network, inputs, targets, train_index=learn, validation_index=held, loss=loss, plan=plan, **options)


def fingerprint(network):
    """One word for all bytes of a network, names included."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def trained(plan=PLAN, seed=0, **options):
    network = make_network(seed)
    history = run(network, plan=plan, **options)
    return network, history


class ScriptedLoss:
    """Trains on the squared error, and says at validation what it was told to; keeps the weights of each epoch."""

    def __init__(self, network, values):
        self.network, self.values, self.seen = network, list(values), []

    def __call__(self, outputs, targets):
        if torch.is_grad_enabled():
            return squared_error(outputs, targets)
        self.seen.append(fingerprint(self.network))
        return torch.tensor(self.values[len(self.seen) - 1], dtype=torch.float64)


class BrokenLoss:
    """Raises as if the user had stopped the training, after so many batches."""

    def __init__(self, n_calls):
        self.left = n_calls

    def __call__(self, outputs, targets):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return CROSS_ENTROPY(outputs, targets)
