"""One cell is taken out of an image, and nothing else is."""

import numpy as np
import pytest

from kotowari.studies.cytology.counterfactual import without_cell


@pytest.fixture
def image_of_two():
    """Two touching dark cells on a bright ramp."""
    image = np.linspace(0.6, 0.8, 40, dtype=np.float32)[None, :, None] * np.ones((30, 40, 1), np.float32)
    cells = np.zeros((30, 40), np.int32)
    cells[8:16, 8:16], cells[8:16, 16:24] = 1, 2
    image[cells > 0] = 0.2
    return image, cells


def test_the_cell_gets_the_brightness_of_its_surroundings(image_of_two):
    image, cells = image_of_two
    own = without_cell(image, cells, 1)[cells == 1]
    assert own.min() > 0.6
    assert own.max() < 0.75, "nothing of the neighbour or of the far side of the ramp"


def test_the_neighbour_and_the_far_background_stay_bit_by_bit(image_of_two):
    image, cells = image_of_two
    changed = np.argwhere((without_cell(image, cells, 1) != image).any(2))
    assert not (cells[tuple(changed.T)] == 2).any()
    np.testing.assert_array_less(np.abs(changed - (12, 12)).max(1), 9)


def test_a_cell_without_any_background_beside_it_is_left(image_of_two):
    image, _ = image_of_two
    whole = np.ones((30, 40), np.int32)
    np.testing.assert_array_equal(without_cell(image, whole, 1), image)
