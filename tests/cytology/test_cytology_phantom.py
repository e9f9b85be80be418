"""Simulated smears hold what they say they hold, and only those as hard as life are locked."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from kotowari.core.errors import DesignError, InputError
from kotowari.studies.cytology.phantom import simulate_cells
from kotowari.studies.cytology.phantom_layout import lay_out
from kotowari.studies.cytology.phantom_lock import lock_watershed, phantom_lock
from kotowari.studies.cytology.phantom_settings import CellSettings
from kotowari.studies.cytology.phantom_shapes import draw_shape, pasted
from kotowari.studies.cytology.phantom_stain import illumination

KINDS = ("grey", "colour", "fluorescence")
SMALL = CellSettings(n_images=3, height=128, width=160, n_cells=(10, 20), n_per_slide=2)
EASY = {"overlap": 0.0, "ramp": 0.0, "spread": 0.1, "defocus": 0.0, "clustering": 0.0}


@pytest.mark.parametrize("kind", KINDS)
def test_images_labels_and_slides_are_as_promised(kind):
    phantom = simulate_cells(replace(SMALL, kind=kind), seed=1)
    channels = 3 if kind == "colour" else 1
    for image, labels, debris in zip(phantom.images, phantom.labels, phantom.debris, strict=True):
        assert image.shape == (128, 160, channels)
        assert image.dtype == np.float32
        assert labels.dtype == np.int32
        assert debris.dtype == np.bool_
        assert 0 <= image.min() < image.max() <= 1
        np.testing.assert_allclose(255 * image, (255 * image).round(), atol=1e-4)
        np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert phantom.slides.tolist() == [0, 0, 1]
    assert ((phantom.counts >= 8) & (phantom.counts <= 20)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_cells_have_the_polarity_that_is_told(kind):
    phantom = simulate_cells(replace(SMALL, kind=kind), seed=1)
    sign = 1 if phantom.polarity == "bright" else -1
    for image, labels in zip(phantom.images, phantom.labels, strict=True):
        grey = image.mean(-1)
        assert sign * (grey[labels > 0].mean() - grey[labels == 0].mean()) > 0


def test_the_same_seed_gives_the_same_bytes_however_many_are_drawn():
    few, many = simulate_cells(SMALL, seed=4), simulate_cells(replace(SMALL, n_images=5), seed=4)
    for one, other in zip(few.images, many.images, strict=False):
        assert one.tobytes() == other.tobytes()
    assert simulate_cells(SMALL, seed=5).images[0].tobytes() != few.images[0].tobytes()


def test_without_overlap_no_cell_touches_what_another_covers():
    layers = lay_out(replace(SMALL, overlap=0.0, n_cells=(40, 40)), np.random.default_rng(0))
    crowded = lay_out(replace(SMALL, overlap=0.3, n_cells=(40, 40)), np.random.default_rng(0))
    areas = [np.bincount(each.labels.ravel())[1:] for each in (layers, crowded)]
    body = [each.body > 0.05 for each in (layers, crowded)]
    assert all(ndimage.label(layers.labels == number + 1)[1] == 1 for number in range(len(areas[0])))
    assert areas[1].min() < areas[0].max()
    assert body[1].sum() > 0


def test_a_cell_keeps_what_the_overlap_leaves_it():
    settings = replace(SMALL, overlap=0.3, n_cells=(60, 60), radius=(8.0, 8.0), clustering=1.0)
    labels = lay_out(settings, np.random.default_rng(2)).labels
    inner = ndimage.binary_dilation(np.zeros_like(labels, bool), border_value=1, iterations=12)
    full = np.setdiff1d(np.unique(labels), np.unique(labels[inner]))
    areas = np.bincount(labels.ravel())[full[full > 0]]
    assert areas.min() > 0.6 * np.pi * 8.0**2


def test_illumination_changes_by_no_more_than_the_ramp_and_lies_in_three_dimensions():
    planes = np.stack([illumination(replace(SMALL, ramp=0.4), np.random.default_rng(seed)) for seed in range(12)])
    assert (np.ptp(planes, axis=(1, 2)) <= 0.4 + 1e-9).all()
    assert np.ptp(planes, axis=(1, 2)).min() >= 0.16 - 1e-9
    assert np.linalg.matrix_rank(planes.reshape(12, -1), tol=1e-8) == 3


def test_background_noise_is_that_of_its_photons():
    blank = replace(SMALL, n_cells=(0, 0), n_debris=0, ramp=0.0, texture=0.0, blur_px=0.0, photons=9000.0)
    image = simulate_cells(blank, seed=0).images[0]
    assert image.std() == pytest.approx(np.sqrt(image.mean() / 9000), rel=0.05)


def test_no_cells_are_an_empty_truth():
    phantom = simulate_cells(replace(SMALL, n_cells=(0, 0)), seed=0)
    assert phantom.counts.tolist() == [0, 0, 0]


def test_an_outline_has_the_area_of_its_radius(rng):
    areas = [draw_shape(rng, 10.0).inside.sum() for _ in range(40)]
    assert np.mean(areas) == pytest.approx(np.pi * 100, rel=0.03)
    shape = draw_shape(rng, 10.0)
    assert (shape.nucleus <= shape.body).all()
    assert shape.body[shape.inside].min() >= 0.45


def test_a_square_is_cut_at_the_border_of_the_image():
    patch = pasted((5, 5), (0, 9), (10, 10))
    assert patch.image == (slice(0, 3), slice(7, 10))
    assert patch.square == (slice(2, 5), slice(0, 3))
    assert pasted((5, 5), (-9, 3), (10, 10)) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "x-ray"}, "grey, colour or fluorescence"),
        ({"height": 20}, "64 pixels"),
        ({"overlap": 0.7}, "0.6 or less"),
        ({"ramp": 1.5}, "ramp must lie between"),
        ({"n_cells": (9, 3)}, "n_cells must rise"),
        ({"strength": (0.0, 0.1)}, "strength and photons"),
        ({"texture": -1.0}, "0 or more"),
    ],
)
def test_settings_out_of_range_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        CellSettings(**options)


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_is_as_hard_as_life(kind):
    report = phantom_lock(simulate_cells(CellSettings(n_images=5, kind=kind), seed=1))
    assert report.locked, report.faults


@pytest.mark.parametrize("kind", KINDS[::2])
def test_smears_that_are_too_easy_are_not_locked(kind):
    easy = phantom_lock(simulate_cells(CellSettings(n_images=4, kind=kind, **EASY), seed=1))
    assert not easy.locked
    assert "life has" in easy.faults[0]


def test_a_handful_of_cells_cannot_be_judged():
    with pytest.raises(DesignError, match="Simulate more"):
        phantom_lock(simulate_cells(SMALL))


def test_an_image_of_one_value_holds_no_cells_for_the_watershed():
    assert lock_watershed(np.full((64, 64, 1), 0.5, np.float32), "bright")[0].max() == 0
