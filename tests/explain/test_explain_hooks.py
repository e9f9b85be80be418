"""The hook that looks into a layer and is gone afterwards."""

import pytest
import torch
from torch import nn

from kotowari.explain import recorded_output
from kotowari.explain.hooks import undisturbed


def test_outputs_are_recorded_in_order_while_the_block_runs():
    layer = nn.Linear(3, 2)
    x = torch.ones(4, 3)
    with recorded_output(layer) as outputs:
        layer(x)
        layer(2 * x)
    layer(3 * x)
    assert len(outputs) == 2
    assert torch.equal(outputs[1], layer(2 * x))


def test_the_hook_is_gone_after_a_crash():
    layer = nn.Linear(3, 2)
    with pytest.raises(ZeroDivisionError), recorded_output(layer):
        raise ZeroDivisionError
    assert not layer._forward_hooks


def test_a_later_step_in_place_cannot_change_what_was_recorded():
    layer = nn.Identity()
    with recorded_output(layer) as outputs:
        nn.Sequential(layer, nn.ReLU(inplace=True))(torch.tensor([-1.0]))
    assert outputs[0].item() == -1.0


def test_recording_does_not_change_the_gradient():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x = torch.ones(1, 3, requires_grad=True)
    (plain,) = torch.autograd.grad(net(x).sum(), x)
    with recorded_output(net[1]):
        (recorded,) = torch.autograd.grad(net(x).sum(), x)
    assert torch.equal(recorded, plain)


def test_every_module_gets_its_own_mode_back():
    net = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3), nn.Linear(3, 1)).train()
    net[1].eval()
    modes = []

    def crash():
        with undisturbed(net):
            modes.extend(module.training for module in net.modules())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        crash()
    assert modes == [False] * 4
    assert [module.training for module in net.modules()] == [True, True, False, True]
