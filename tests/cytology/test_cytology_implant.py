"""Cells put into real images lie at free places, with the contrast asked for and its noise."""

from dataclasses import replace

import numpy as np
import pytest

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.cytology.implant import CellImplant
from kotowari.studies.cytology.implant_density import cut_cells, measure_density
from kotowari.studies.cytology.phantom import simulate_cells
from kotowari.studies.cytology.phantom_settings import CellSettings

SETTINGS = CellSettings(n_images=2, height=160, width=200, n_cells=(8, 12), overlap=0.0, clustering=0.0, defocus=0.0)


def phantom_of(kind):
    return simulate_cells(replace(SETTINGS, kind=kind), seed=2)


def implant_of(kind, **options):
    real = phantom_of(kind)
    return CellImplant(real.images, real.labels, real.polarity, **options)


@pytest.mark.parametrize("kind", ["grey", "colour", "fluorescence"])
@pytest.mark.parametrize("shapes", ["simulated", "own"])
def test_the_planted_cells_have_the_contrast_of_the_own_ones(kind, shapes):
    plant = implant_of(kind, shapes=shapes)
    images, planted = plant(1.0, np.random.default_rng(0))
    for image, before, contrast, truth in zip(images, plant.images, plant.contrasts, planted.labels, strict=True):
        inside = truth > 0
        assert inside.any()
        change = np.log(before[inside] / np.maximum(image[inside], 1e-3)) if kind != "fluorescence" else None
        seen = (image - before)[inside].mean(0) if change is None else change.mean(0)
        np.testing.assert_allclose(seen, contrast, rtol=0.25)


def test_cells_lie_where_none_was_and_the_rest_is_left_as_it_was():
    plant = implant_of("grey")
    images, planted = plant(1.0, np.random.default_rng(0))
    for image, before, own, truth in zip(images, plant.images, plant.labels, planted.labels, strict=True):
        assert not (own[truth > 0] > 0).any()
        changed = (image != before).any(-1)
        assert changed[truth > 0].mean() > 0.9
        assert changed.sum() < 2.2 * (truth > 0).sum()


def test_grade_zero_changes_nothing_at_the_same_places():
    plant = implant_of("grey")
    (none, where), (_, same) = (plant(grade, np.random.default_rng(1)) for grade in (0.0, 0.7))
    for image, before in zip(none, plant.images, strict=True):
        np.testing.assert_array_equal(image, before)
    for one, other in zip(where.labels, same.labels, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_same_stream_gives_the_same_bytes():
    plant = implant_of("colour")
    one, other = (plant(0.5, np.random.default_rng(1))[0] for _ in range(2))
    assert [image.tobytes() for image in one] == [image.tobytes() for image in other]


def test_absolute_grades_need_no_cells():
    flat = [np.full((90, 90, 1), 0.8, np.float32)]
    nothing = [np.zeros((90, 90), np.int32)]
    plant = CellImplant(flat, nothing, "dark", relative=False, radius=8.0, n_cells=3, full_scale=None)
    images, planted = plant(0.4, np.random.default_rng(0))
    inside = planted.labels[0] > 0
    assert planted.n_cells == 3
    assert np.log(0.8 / images[0][inside]).mean() == pytest.approx(0.4, rel=0.05)
    with pytest.raises(DesignError, match="relative=False"):
        CellImplant(flat, nothing, "dark")(0.4, np.random.default_rng(0))


def test_darker_pixels_get_the_noise_of_their_own_light(rng):
    photons = 500.0
    flat = [(rng.poisson(0.9 * photons, (300, 300, 1)) / photons).astype(np.float32)]
    plant = CellImplant(
        flat, [np.zeros((300, 300), np.int32)], "dark", relative=False, radius=30.0, n_cells=6, full_scale=None
    )
    density = np.full((300, 300, 1), 0.7, np.float32)
    left = plant._exposed(flat[0], density, rng)
    assert left.std() == pytest.approx(np.sqrt(left.mean() / photons), rel=0.05)
    assert (flat[0] * np.exp(-0.7)).std() < 0.8 * left.std()


def test_density_is_zero_on_the_background_and_the_contrast_that_was_drawn_in_a_cell():
    y, x = np.mgrid[:100, :100]
    labels = (np.hypot(y - 50, x - 50) < 10).astype(np.int32)
    ramp = 0.8 * (1 + 0.2 * (x - 50) / 100)
    image = (ramp * np.exp(-0.3 * labels))[..., None].astype(np.float32)
    found = measure_density(image, labels, "dark")
    assert found.contrast[0] == pytest.approx(0.3, abs=0.02)
    assert abs(np.median(found.values[labels == 0])) < 0.02
    assert measure_density(image, labels, "bright").contrast[0] < 0


def test_only_cells_that_stand_alone_are_cut_out():
    labels = np.zeros((60, 60), np.int32)
    labels[20:30, 20:30] = 1
    labels[45:55, 20:30], labels[45:55, 31:41] = 2, 3
    labels[0:10, 45:55] = 4
    image = np.where(labels > 0, 0.4, 0.8)[..., None].astype(np.float32)
    cells = cut_cells(measure_density(image, labels, "dark"), labels)
    assert len(cells) == 1
    assert cells[0].density[cells[0].inside].mean() == pytest.approx(1)


def test_a_full_image_and_cells_that_all_touch_are_refused(rng):
    image, full = [np.full((64, 64, 1), 0.5, np.float32)], [np.ones((64, 64), np.int32)]
    with pytest.raises(DesignError, match="free place"):
        CellImplant(image, full, "dark", relative=False)(0.5, rng)
    real = phantom_of("grey")
    with pytest.raises(DesignError, match="cut out"):
        CellImplant(real.images[:1], full_like(real.labels[:1]), "dark", shapes="own", relative=False)(0.5, rng)


def full_like(labels):
    """One object at the border, which cannot be cut out."""
    found = [np.zeros_like(each) for each in labels]
    for each in found:
        each[:12, :12] = 1
    return found


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"labels": []}, InputError, "as many label images"),
        ({"labels": [np.zeros((3, 3), np.int32)]}, ShapeError, "labels"),
        ({"polarity": "grey"}, InputError, "bright or dark"),
        ({"n_cells": 0}, InputError, "n_cells"),
        ({"radius": 1.0}, InputError, "radius"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, error, words):
    usual = {"images": [np.zeros((64, 64, 1), np.float32)], "labels": [np.zeros((64, 64), np.int32)]}
    with pytest.raises(error, match=words):
        CellImplant(**(usual | {"polarity": "dark"} | options))


def test_a_negative_grade_is_refused(rng):
    with pytest.raises(InputError, match="0 or more"):
        implant_of("grey")(-1.0, rng)
