"""Every pixel is centred and weighted by constants that are saved with the network."""

import pytest
import torch

from kotowari.core.errors import ShapeError
from kotowari.networks import InputScaling


def make_scaling():
    generator = torch.Generator().manual_seed(0)
    return InputScaling(torch.randn(2, 3, 5, generator=generator), torch.rand(2, 3, 5, generator=generator))


def test_each_pixel_is_centred_and_weighted_by_its_own_constants():
    scaling = make_scaling()
    x = torch.randn(4, 2, 3, 5, generator=torch.Generator().manual_seed(1))
    expected = (x.numpy() - scaling.mean.numpy()) * scaling.gain.numpy()
    assert torch.equal(scaling(x), torch.as_tensor(expected))
    assert torch.equal(scaling(scaling.mean[None]), torch.zeros(1, 2, 3, 5))


def test_the_identity_leaves_every_pixel_as_it_is():
    x = torch.randn(4, 2, 3, 5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(InputScaling.identity((2, 3, 5))(x), x)


def test_a_gain_of_zero_silences_a_pixel():
    gain = torch.ones(1, 2, 2)
    gain[0, 1, 0] = 0.0
    scaled = InputScaling(torch.zeros(1, 2, 2), gain)(torch.full((3, 1, 2, 2), 7.0))
    assert scaled[:, 0, 1, 0].tolist() == [0.0] * 3
    assert (scaled == 7.0).sum() == 9


def test_the_constants_are_saved_and_not_learned():
    scaling = make_scaling()
    assert list(scaling.parameters()) == []
    other = InputScaling.identity((2, 3, 5))
    other.load_state_dict(scaling.state_dict())
    assert torch.equal(other.mean, scaling.mean)
    assert torch.equal(other.gain, scaling.gain)


def test_constants_and_images_that_torch_would_repeat_are_refused():
    with pytest.raises(ShapeError, match=r"InputScaling: gain must have shape \(1, 4, 4\), got \(1, 1, 1\)"):
        InputScaling(torch.zeros(1, 4, 4), torch.ones(1, 1, 1))
    with pytest.raises(
        ShapeError, match=r"InputScaling: images must have shape \(batch, 1, 4, 4\), got \(2, 1, 1, 4\)"
    ):
        InputScaling.identity((1, 4, 4))(torch.ones(2, 1, 1, 4))
