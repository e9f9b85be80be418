"""Completeness holds where mathematics says so, and its failure is seen."""

import numpy as np
import pytest
import torch
from torch import nn

from kotowari.core import InputError, Verdict
from kotowari.explain import completeness_gap
from kotowari.trust import completeness_check


def gradient(net, x):
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(net(x).sum(), x)
    return slope


def scores(net, x):
    with torch.no_grad():
        return net(x)[:, 0].double()


def nets(activation, *, bias):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16, bias=bias), activation, nn.Linear(16, 1, bias=bias)).double()


X = torch.randn(30, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_linear_model_has_no_gap():
    w = torch.linspace(-1, 2, 6, dtype=torch.float64)
    gap = completeness_gap(X * w, X @ w)
    assert gap.max() < 1e-6
    assert completeness_check(gap.numpy()).verdict is Verdict.PASS


def test_gradient_times_input_is_complete_for_a_relu_net_without_bias():
    net = nets(nn.ReLU(), bias=False)
    gap = completeness_gap(X * gradient(net, X), scores(net, X))
    assert gap.max() < 1e-4
    assert completeness_check(gap.numpy()).verdict is Verdict.PASS


def test_integrated_gradients_are_complete_for_a_tanh_net_and_gradient_times_input_is_not():
    net = nets(nn.Tanh(), bias=True)
    with torch.no_grad():
        net[0].weight.mul_(3)
    points = (torch.arange(256, dtype=torch.float64) + 0.5) / 256
    path = torch.stack([gradient(net, X * share) for share in points]).mean(0)
    change = scores(net, X) - scores(net, torch.zeros(1, 6, dtype=torch.float64))
    integrated = completeness_gap(X * path, change).numpy()
    plain = completeness_gap(X * gradient(net, X), change).numpy()
    assert np.median(integrated) < 1e-3
    assert completeness_check(integrated).verdict is Verdict.PASS
    assert np.median(plain) > 1e-2
    failed = completeness_check(plain)
    assert failed.verdict is Verdict.FAIL
    assert "not complete" in failed.sentence


def test_a_gap_that_is_not_a_number_fails():
    assert completeness_check([0.0, np.nan]).verdict is Verdict.FAIL


def test_no_samples_are_refused():
    with pytest.raises(InputError, match="no samples"):
        completeness_check([])
