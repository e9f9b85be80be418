"""A tiled map equals the whole one where the function looks no further than half of the overlap."""

import numpy as np
import pytest
from scipy import ndimage

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.cytology.model.tiles import apply_by_tiles


def blurred(size):
    def function(image):
        return ndimage.uniform_filter(image.sum(-1), size, mode="constant")

    return function


@pytest.mark.parametrize("shape", [(10, 10, 3), (64, 64, 1), (65, 200, 3), (131, 77, 1)])
def test_a_local_function_shows_no_seam(rng, shape):
    image = rng.random(shape).astype(np.float32)
    tiled = apply_by_tiles(blurred(9), image, tile=64, overlap=8)
    np.testing.assert_allclose(tiled, blurred(9)(image), atol=1e-6)


def test_a_function_that_looks_further_is_caught(rng):
    image = rng.random((131, 77, 1)).astype(np.float32)
    assert np.abs(apply_by_tiles(blurred(31), image, tile=64, overlap=8) - blurred(31)(image)).max() > 1e-3


def test_every_tile_has_one_size(rng):
    sizes = set()

    def function(image):
        sizes.add(image.shape)
        return image[..., 0]

    image = rng.random((150, 99, 1)).astype(np.float32)
    np.testing.assert_allclose(apply_by_tiles(function, image, tile=40, overlap=0), image[..., 0], rtol=1e-6)
    assert sizes == {(40, 40, 1)}


def test_bad_input_is_refused_in_words():
    image = np.zeros((50, 50, 1), dtype=np.float32)
    with pytest.raises(InputError, match="tile"):
        apply_by_tiles(blurred(3), image, tile=16, overlap=8)
    with pytest.raises(ShapeError, match="image"):
        apply_by_tiles(blurred(3), image[..., 0])
    with pytest.raises(ShapeError, match="map"):
        apply_by_tiles(lambda tile: tile[:-1, :, 0], image)
