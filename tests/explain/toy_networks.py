"""Small networks with known properties, for the tests of explanations."""

import torch
from torch import nn

from kotowari.networks.heads import AverageHead, LocatedHead


class BodyAndHead(nn.Module):
    """Two convolutions with batch norm and dropout, and a readable head; image 8 x 6, features 4 x 3, 3 classes."""

    def __init__(self, head):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.5),
            nn.Conv2d(4, 5, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.head = head

    def forward(self, x):
        return self.head(self.body(x))


def make_images(n_samples=7, dtype=torch.float64):
    return torch.randn(n_samples, 2, 8, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)


def make_network(head="average", seed=0, dtype=torch.float64):
    """Batch norm has seen data; modes are mixed, as in a network that is partly frozen."""
    torch.manual_seed(seed)
    model = BodyAndHead(AverageHead(5, 3) if head == "average" else LocatedHead(5, 3, (4, 3))).double()
    with torch.no_grad():
        for _ in range(3):
            model(2 * make_images() + 1)
    model.head.eval()
    return model.to(dtype)


def make_tanh_network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)).double()
    with torch.no_grad():
        net[0].weight *= 3
    return net


def make_relu_network():
    """Piecewise linear and without bias, so that f(ax) = a f(x) for a >= 0."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 5, 3, bias=False), nn.ReLU(), nn.Flatten(),
        nn.Linear(5 * 4 * 2, 3, bias=False),
    )  # fmt: skip
