"""Blank fields keep shading and grain of a background, hold no cell, and repeat from their seed."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.feature import blob_log

from kotowari.studies.cytology.blank_fields import blank_field

SIDE = 96


@pytest.fixture
def field(rng):
    """Shading and correlated grain, three dark cells, and where they are."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    ramp = 0.5 + 0.2 * columns / SIDE
    grain = 0.02 * gaussian_filter(rng.standard_normal((SIDE, SIDE)), 1.5) / 0.19
    image = np.repeat((ramp + grain)[..., None], 3, axis=2)
    image[..., 2] -= 0.1
    cells = np.zeros((SIDE, SIDE), bool)
    for y, x in ((25, 25), (60, 40), (40, 75)):
        cells |= np.hypot(rows - y, columns - x) < 8
    image[cells] -= 0.3
    return image.astype(np.float32), cells


def test_no_cell_is_left_where_each_was_seen_before(field, rng):
    image, cells = field
    blank = blank_field(image, cells, rng)

    def blobs(picture):
        return len(blob_log(1 - picture.mean(2), min_sigma=4, max_sigma=7, threshold=0.1))

    assert blobs(image) == 3
    assert blobs(blank) == 0
    assert blobs(blank_field(image, np.zeros_like(cells), rng)) != 3, "cells that are not named become grain, not cells"


def test_shading_hue_and_grain_are_those_of_the_background(field, rng):
    image, cells = field
    blank = blank_field(image, cells, rng)
    assert blank.shape == image.shape
    assert blank.dtype == np.float32
    background = np.where(cells[..., None], np.nan, image)
    left, right = np.nanmean(background[:, :20], axis=(0, 1)), np.nanmean(background[:, -20:], axis=(0, 1))
    np.testing.assert_allclose(blank[:, :20].mean((0, 1)), left, atol=0.03)
    np.testing.assert_allclose(blank[:, -20:].mean((0, 1)), right, atol=0.03)
    fine = (image - gaussian_filter(image, (6, 6, 0)))[~cells].std()
    assert (blank - gaussian_filter(blank, (6, 6, 0))).std() == pytest.approx(fine, rel=0.5)


def test_equal_seeds_give_equal_fields_and_others_do_not(field):
    image, cells = field
    first, again, other = (blank_field(image, cells, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_image_full_of_cells_has_no_background_to_be_known(field, rng):
    image, cells = field
    assert blank_field(image, np.ones_like(cells), rng) is None
