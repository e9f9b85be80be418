"""The parts below the detector: light that adds up, scenes of known truth, the folded network and its tiles."""

import numpy as np
import pytest
import torch

from kotowari.studies.cytology.model.detector_input import additive_light, prepare_image, unseen, visible
from kotowari.studies.cytology.model.detector_network import FoldedUNet, map_image
from kotowari.studies.cytology.model.detector_parts import take_apart
from kotowari.studies.cytology.model.detector_scenes import compose_scene, depth_target


def discs(side=96, gain=1.0, ground=0.05):
    y, x = np.mgrid[:side, :side]
    light = np.zeros((side, side))
    for row, column in [(20, 20), (20, 60), (60, 30), (70, 72)]:
        light += 0.5 / (1 + np.exp(2 * (np.hypot(y - row, x - column) - 7)))
    noise = np.random.default_rng(5).normal(0, 0.004, light.shape)
    return (gain * (ground + light + np.abs(noise)))[..., None].astype(np.float32)


def test_light_of_dark_cells_adds_up_where_transmissions_multiply():
    first, second = np.full((1, 1, 1), 0.5, np.float32), np.full((1, 1, 1), 0.25, np.float32)
    black = 4 / 255
    both = (first + black) * (second + black) / (1 + black) - black
    added = additive_light(first, "dark") + additive_light(second, "dark")
    np.testing.assert_allclose(additive_light(both, "dark"), added, rtol=1e-6)
    assert additive_light(np.ones((1, 1, 3), np.float32), "dark") == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("polarity", ["bright", "dark"])
def test_visible_light_goes_back_to_the_image(polarity, rng):
    image = rng.uniform(0, 1, (5, 6, 3)).astype(np.float32)
    seen = visible(additive_light(image, polarity), polarity)
    np.testing.assert_allclose(np.moveaxis(unseen(seen, polarity), 0, 2), image, atol=1e-6)


def test_a_dim_image_counts_as_much_as_a_bright_one():
    np.testing.assert_allclose(
        prepare_image(discs(gain=0.4), "bright").scaled, prepare_image(discs(), "bright").scaled, atol=1e-4
    )
    raw = discs(gain=0.4), discs()
    assert np.abs(raw[0] - raw[1]).max() > 0.2


def test_an_image_comes_apart_into_its_cells_and_a_background_without_them(rng):
    image = discs()
    parts = take_apart(prepare_image(image, "bright"), rng)
    assert len(parts.cells) == 4
    assert parts.radius == pytest.approx(7, abs=1)
    assert parts.background.max() < 0.15 < image.max()


def test_scenes_hold_cells_where_their_labels_say(rng):
    parts = [take_apart(prepare_image(discs(), "bright"), rng)]
    inside, outside, counts = [], [], []
    for _ in range(20):
        scaled, labels = compose_scene(parts, "bright", 64, rng)
        assert scaled.shape == (1, 64, 64)
        if 0.05 < (labels > 0).mean() < 0.9:
            far = np.isclose(depth_target(labels), 0)
            inside.append(scaled[0][labels > 0].mean())
            outside.append(scaled[0][far].mean() if far.any() else 0.0)
            counts.append(len(np.unique(labels)) - 1)
    assert np.mean(inside) > 0.6
    assert np.mean(outside) < 0.2
    assert max(counts) > 3


def test_the_same_generator_composes_the_same_scene():
    parts = [take_apart(prepare_image(discs(), "bright"), np.random.default_rng(1))]
    first, again = (compose_scene(parts, "bright", 64, np.random.default_rng(2)) for _ in range(2))
    assert first[0].tobytes() == again[0].tobytes()
    assert (first[1] == again[1]).all()


def test_the_target_is_one_in_the_middle_one_half_at_outlines_and_dips_between_neighbours():
    labels = np.zeros((40, 40), np.int32)
    labels[10:21, 10:21] = 1
    labels[10:21, 21:32] = 2
    target = depth_target(labels)
    assert target[15, 15] == pytest.approx(1)
    assert target[15, 26] == pytest.approx(1)
    assert target[15, 10] == pytest.approx(0.5, abs=0.05)
    assert target[15, 20] == pytest.approx(0.25, abs=0.05)
    assert 0 < target[15, 8] < 0.5
    assert target[0, 0] == 0
    assert depth_target(np.zeros((8, 8), np.int32)).max() == 0
    joined = depth_target((labels > 0).astype(np.int32))
    assert joined[15, 20] > 0.9  # one cell in place of two has no dip


@pytest.mark.parametrize("shape", [(64, 48), (33, 51)])
def test_the_folded_network_keeps_the_grid(shape, rng):
    network = FoldedUNet(3, 2).eval()
    image = rng.normal(size=(3, *shape)).astype(np.float32)
    assert map_image(network, image).shape == (1, *shape)


def test_tiles_give_what_the_whole_image_gives(rng):
    torch.manual_seed(0)
    network = FoldedUNet(1, 6).eval()
    image = rng.normal(size=(1, 400, 368)).astype(np.float32)
    whole, tiled = map_image(network, image), map_image(network, image, tile=192)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    narrow = np.concatenate([map_image(network, image[:, :, :192]), map_image(network, image[:, :, 192:])], 2)
    assert np.abs(narrow - whole).max() > 0.01 * np.abs(whole).max() > 0  # without a margin the seam shows
