"""Layers computed slab by slab are the layers: same values, same gradients, same running statistics."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from kotowari.networks import slabwise
from kotowari.networks.autoencoder3d import Autoencoder3d

SPACE = (13, 9, 11)


def trained_once(network, x):
    """Values, gradients of everything, and buffers after one pass."""
    own = x.clone().requires_grad_()
    output = network(own)
    (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).reshape(output.shape)).sum().backward()
    return [output.detach(), own.grad, *(p.grad for p in network.parameters()), *network.buffers()]


def make_network(stem="plain", dtype=torch.float64):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Autoencoder3d(2, 3, stem=stem).to(dtype).train()


def volumes(dtype=torch.float64):
    return torch.randn(2, 1, *SPACE, generator=torch.Generator().manual_seed(1), dtype=dtype)


def in_slabs(monkeypatch, size):
    monkeypatch.setattr(slabwise, "_FEWEST_POSITIONS", 1)
    monkeypatch.setattr(slabwise, "_LARGEST_SLAB", size)


@pytest.mark.parametrize("stem", ["plain", "strided"])
@pytest.mark.parametrize("size", [1, 1500, 1 << 30], ids=["one plane", "some planes", "whole"])
def test_slabs_compute_what_the_layers_compute(monkeypatch, stem, size):
    expected = trained_once(make_network(stem), volumes())
    in_slabs(monkeypatch, size)
    found = trained_once(make_network(stem), volumes())
    scale = max(float(tensor.abs().max()) for tensor in expected)
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).abs().max()) <= 1e-12 * scale


def test_a_lost_neighbouring_plane_is_caught(monkeypatch):
    expected = trained_once(make_network(), volumes())
    in_slabs(monkeypatch, 1500)
    honest = slabwise._Slab.with_neighbours

    def blind(slab, x):
        planes, missing = honest(slab, x)
        return (torch.zeros_like(planes) if slab.first else planes), missing

    monkeypatch.setattr(slabwise._Slab, "with_neighbours", blind)
    found = trained_once(make_network(), volumes())
    assert float((found[0] - expected[0]).abs().max()) > 1e-3


def test_slabs_are_taken_for_large_volumes_in_training_only():
    norm, large, small = nn.BatchNorm3d(2), torch.zeros(1, 2, 64, 64, 64), torch.zeros(1, 2, 8, 8, 8)
    assert slabwise.works_in_slabs(large, norm)
    assert not slabwise.works_in_slabs(small, norm)
    assert slabwise.works_in_slabs(small, norm, growth=512)
    assert not slabwise.works_in_slabs(large, nn.BatchNorm3d(2).eval())
    with torch.no_grad():
        assert not slabwise.works_in_slabs(large, norm)


def test_bfloat16_agrees_with_the_layers_to_its_rounding(monkeypatch):
    def passed():
        network = make_network(dtype=torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            output = network(volumes(torch.float32))
        output.float().abs().mean().backward()
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    expected = passed()
    in_slabs(monkeypatch, 1500)
    assert functional.cosine_similarity(passed(), expected, dim=0) > 0.99
