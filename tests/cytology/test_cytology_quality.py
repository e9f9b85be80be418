"""Blur, saturation, single values and copies are seen, and what is sound is not flagged."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from small_cytology import smears

from kotowari.studies.cytology.quality import blurred, joined_slides, look_at


def test_an_image_of_one_value_is_known_as_such():
    seen = look_at(np.full((40, 50, 3), 0.25, np.float32))
    assert seen.is_constant
    assert (seen.focus, seen.saturated) == (0.0, 0.0)
    assert not seen.thumbnail.any()


def test_focus_does_not_hang_on_contrast_and_falls_with_blur():
    (image,) = smears(1).images
    sharp = look_at(image).focus
    assert look_at(0.3 + 0.4 * image).focus == pytest.approx(sharp, rel=1e-3)
    assert look_at(gaussian_filter(image, (3, 3, 0))).focus < sharp / 2


def test_the_share_of_saturated_pixels_is_counted():
    image = np.full((10, 10, 1), 0.5, np.float32)
    image[:2, :5] = 1.0
    assert look_at(image).saturated == pytest.approx(0.1)


def test_a_blurred_image_stands_out_and_sound_ones_do_not():
    images = smears(8).images
    focus = [look_at(image).focus for image in images]
    assert not blurred(focus).any()
    focus[3] = look_at(gaussian_filter(images[3], (4, 4, 0))).focus
    assert np.flatnonzero(blurred(focus)).tolist() == [3]
    assert not blurred(focus[:4]).any(), "of four images none is told to be an outlier"


def test_copies_join_their_slides_although_they_are_brighter_noisier_or_scaled(rng):
    images = list(smears(6).images)
    slides = np.array(["a", "a", "b", "b", "c", "c"])
    copy = np.clip(0.8 * images[0] + rng.normal(0, 0.01, images[0].shape), 0, 1).astype(np.float32)
    alone, none = joined_slides(slides, np.stack([look_at(image).thumbnail for image in images]))
    assert none == []
    assert alone.tolist() == [0, 0, 1, 1, 2, 2]
    images[4] = copy
    joined, copies = joined_slides(slides, np.stack([look_at(image).thumbnail for image in images]))
    assert copies == [(0, 4)]
    assert joined.tolist() == [0, 0, 1, 1, 0, 0]
