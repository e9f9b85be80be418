"""bfloat16 is taken where a trial shows it right and faster, and nowhere else."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from kotowari.core.errors import DesignError, InputError
from kotowari.networks.autoencoder3d import Autoencoder3d
from kotowari.training import precision
from kotowari.training.precision import PrecisionChoice, choose_precision

LARGE = (1, 1, 64, 64, 64)


class Scripted(nn.Module):
    """Answers at once, and in bfloat16 with a fault or without; what bfloat16 costs is told to the clock."""

    def __init__(self, clock, *, fault=None, seconds=0.5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))
        self.clock, self.fault, self.seconds = clock, fault, seconds

    def __deepcopy__(self, memo):
        copied = Scripted(self.clock, fault=self.fault, seconds=self.seconds)
        memo[id(self)] = copied
        return copied

    def forward(self, x):
        short = torch.is_autocast_enabled("cpu")
        self.clock.now += self.seconds if short else 1.0
        weight, gain = self.weight, 1.0
        if short and (self.fault == "loss" or (self.fault == "size-1 axis" and x.shape[-1] == 1)):
            gain = 1.01
        elif short and self.fault == "gradient":
            weight = weight.detach() + (weight - weight.detach()).flip(0) * torch.linspace(-3, 3, 8)
        elif short and self.fault == "nan":
            weight = weight * torch.nan
        return gain * (1000 + (weight * torch.arange(1.0, 9.0)).sum()) * torch.ones(len(x), 1)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def squared(outputs, _targets):
    return outputs.square().mean()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(precision.time, "process_time", clock)
    monkeypatch.setattr(precision, "_CHOICES", {})
    return clock


def choose(network, shape=LARGE, **options):
    return choose_precision(network, torch.zeros(shape), torch.zeros(shape[0], 1), squared, **options)


def test_bfloat16_is_taken_where_it_is_right_and_faster(clock):
    choice = choose(Scripted(clock))
    assert (choice.precision, choice.channels_last) == ("bf16-mixed", True)
    assert choice.reason == (
        "bfloat16: same loss and gradients as float32 here; a training step takes 0.5 s in bfloat16 and 1 s in float32."
    )


@pytest.mark.parametrize("seconds", [0.95, 1.0, 3.0])
def test_bfloat16_that_is_right_but_no_faster_is_not_taken(clock, seconds):
    choice = choose(Scripted(clock, seconds=seconds))
    assert choice.precision == "32-true"
    assert "right but no faster" in choice.reason


@pytest.mark.parametrize(
    ("fault", "reason"), [("loss", "loss in bfloat16 differs"), ("gradient", "point elsewhere"), ("nan", "not finite")]
)
def test_bfloat16_that_is_wrong_is_not_taken_however_fast(clock, fault, reason):
    choice = choose(Scripted(clock, fault=fault, seconds=0.01))
    assert choice.precision == "32-true"
    assert reason in choice.reason
    with pytest.raises(DesignError, match=f"precision bfloat16: .*{reason}.* Choose precision auto or float32"):
        choose(Scripted(clock, fault=fault, seconds=0.01), wanted="bfloat16")


def test_a_fault_on_axes_of_one_voxel_is_found_there_and_nowhere_else(clock):
    network = Scripted(clock, fault="size-1 axis")
    assert choose(network, (1, 1, 512, 512, 1)).precision == "32-true"
    assert choose(network, (1, 1, 256, 512, 2)).precision == "bf16-mixed"


def test_bfloat16_that_is_asked_for_is_taken_where_it_is_right_however_slow(clock):
    assert choose(Scripted(clock, seconds=3.0), wanted="bfloat16").precision == "bf16-mixed"


def test_float32_that_is_asked_for_and_small_volumes_are_not_tried(clock):
    assert choose(Scripted(clock), wanted="float32").reason == "float32: as asked for."
    assert "so small" in choose(Scripted(clock), (2, 1, 16, 16, 16)).reason
    assert clock.now == 0.0


def test_equal_layers_and_shapes_are_tried_once_a_process(clock):
    first = choose(Scripted(clock))
    spent = clock.now
    assert choose(Scripted(clock, seconds=9.0)) is first
    assert clock.now == spent
    choose(Scripted(clock), (2, *LARGE[1:]))
    assert clock.now > spent


def test_a_trial_changes_neither_the_network_nor_the_global_generators(monkeypatch):
    monkeypatch.setattr(precision, "_CHOICES", {})
    network = nn.Sequential(Autoencoder3d(1, 2), nn.Dropout(0.1)).eval()
    x = torch.rand(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    choice = choose_precision(network, x, x, nn.functional.l1_loss, n_steps=2)
    assert choice.reason
    assert not network.training
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]


def test_bfloat16_is_right_for_the_autoencoder_on_this_machine():
    x = torch.rand(1, 1, 12, 10, 8, generator=torch.Generator().manual_seed(0))
    choice = choose_precision(Autoencoder3d(2, 4), x, x, nn.functional.l1_loss, wanted="bfloat16")
    assert choice.precision == "bf16-mixed"


def test_the_layout_changes_no_value():
    network, x = Autoencoder3d(2, 4).eval(), torch.rand(1, 1, 8, 8, 8)
    expected = network(x)
    PrecisionChoice("32-true", True, "").prepare(network)
    assert network.encoders[1][0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(network(x), expected)


def test_settings_out_of_range_are_refused():
    for options in ({"wanted": "float16"}, {"n_steps": 1}):
        with pytest.raises(InputError, match="choose_precision: wanted must be auto"):
            choose(nn.Identity(), **options)
