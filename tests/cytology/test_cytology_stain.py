"""Kind, polarity and stains of images made to be known."""

import csv

import numpy as np
import pytest
from scipy import ndimage
from skimage.io import imread

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.cytology.mixed_stains import stain_gap
from kotowari.studies.cytology.stain import find_stain, optical_density
from kotowari.studies.cytology.stain_vectors import cell_map, find_stain_vectors, stain_amounts

HAEMATOXYLIN = np.array([0.65, 0.70, 0.29]) / np.linalg.norm([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11]) / np.linalg.norm([0.07, 0.99, 0.11])


def cells(rng, n=25, side=128, radius=7):
    rows, columns = np.indices((side, side))
    mask = np.zeros((side, side), dtype=np.bool_)
    for row, column in rng.integers(0, side, (n, 2)):
        mask |= np.hypot(rows - row, columns - column) < radius
    return mask


def fluorescent(rng):
    image = 0.05 + 0.5 * ndimage.gaussian_filter(cells(rng).astype(float), 1) + rng.normal(0, 0.005, (128, 128))
    return image[..., None].clip(0, 1).astype(np.float32)


def stained(rng, amount=1.0):
    nuclei = ndimage.gaussian_filter(cells(rng, 12).astype(float), 1)
    bodies = ndimage.gaussian_filter(cells(rng, 8, radius=14).astype(float), 1)
    density = amount * (nuclei[..., None] * HAEMATOXYLIN + 0.5 * bodies[..., None] * EOSIN)
    return (0.92 * np.exp(-density) + rng.normal(0, 0.003, (128, 128, 3))).clip(0, 1).astype(np.float32)


def phase(rng):
    mask = cells(rng).astype(float)
    halo = ndimage.gaussian_filter(mask, 1) - ndimage.gaussian_filter(mask, 4)
    return (0.5 - 0.6 * halo + rng.normal(0, 0.01, mask.shape))[..., None].clip(0, 1).astype(np.float32)


def test_kind_and_polarity_of_made_images_are_found(rng):
    for make, kind, polarity in ((fluorescent, "fluorescence", "bright"), (stained, "bright-field", "dark")):
        found = find_stain(make(rng))
        assert (found.kind, found.polarity) == (kind, polarity)
        assert found.sure > 0.5
    assert find_stain(phase(rng)).kind == "phase"


def test_the_negative_of_an_image_has_the_other_polarity(rng):
    image = fluorescent(rng)
    assert find_stain(1 - image).polarity == "dark"


def test_an_image_of_one_value_is_undecided():
    for level in (0.0, 0.4, 1.0):
        assert find_stain(np.full((8, 8, 3), level)).sure == 0.0


def test_optical_density_is_additive_and_zero_without_a_cell():
    light = np.array([0.9, 0.8, 0.7])
    first, second = np.array([0.3, 0.2, 0.1]), np.array([0.1, 0.4, 0.2])

    def density(amount):
        return optical_density(np.broadcast_to(light * np.exp(-amount), (2, 2, 3)), light)

    np.testing.assert_allclose(density(first) + density(second), density(first + second), atol=1e-6)
    assert density(np.zeros(3)).max() <= 1e-6
    assert np.isfinite(optical_density(np.zeros((2, 2, 1)))).all()


def test_the_two_stains_of_a_mixture_are_found_and_ordered(rng):
    vectors = find_stain_vectors(optical_density(stained(rng, 1.5)))
    assert vectors[0] @ HAEMATOXYLIN > 0.99
    assert vectors[1] @ EOSIN > 0.98
    assert vectors[0] @ EOSIN < 0.9  # the wrong order would be caught


def test_amounts_undo_a_mixture_exactly():
    amounts = np.random.default_rng(1).random((5, 4, 2))
    vectors = np.stack([HAEMATOXYLIN, EOSIN])
    np.testing.assert_allclose(stain_amounts(amounts @ vectors, vectors), amounts, atol=1e-5)


def test_cells_are_bright_on_the_map_of_every_kind():
    for make in (fluorescent, stained):
        image = make(np.random.default_rng(3))
        mask = cells(np.random.default_rng(3), 25 if make is fluorescent else 12)
        found = cell_map(image)
        assert found.shape == image.shape[:2]
        assert found.dtype == np.float32
        assert found[mask].mean() > found[~mask].mean() + 0.2


def test_two_stains_in_a_folder_are_warned_of_and_one_is_not(rng):
    alike = [stained(rng, amount) for amount in (0.8, 0.9, 1.0, 1.1, 1.2, 1.0)]
    assert not stain_gap(alike).mixed
    kinds = stain_gap([*alike, fluorescent(rng), fluorescent(rng)])
    assert kinds.mixed
    assert "kinds differ" in kinds.sentence
    assert kinds.group.sum() in {2, 6}
    greenish = [image * np.array([0.5, 0.95, 0.5], dtype=np.float32) for image in alike]
    colours = stain_gap([*alike, *greenish])
    assert colours.mixed
    assert "two groups of 6 and 6" in colours.sentence
    assert colours.rank > colours.rank_apart


def test_images_alike_are_not_mixed_however_many(rng):
    image = stained(rng)
    gap = stain_gap([image] * 6)
    assert not gap.mixed
    assert gap.rank == gap.rank_apart == 1


def test_bad_images_are_refused_in_words():
    for shape in ((4, 4), (4, 4, 2), (4, 4, 4), (0, 4, 3)):
        with pytest.raises(ShapeError, match="image"):
            find_stain(np.zeros(shape))
    with pytest.raises(InputError, match="NaN"):
        find_stain(np.full((4, 4, 1), np.nan))
    with pytest.raises(DesignError, match="stained"):
        find_stain_vectors(np.zeros((10, 10, 3)))
    with pytest.raises(ShapeError, match="density"):
        find_stain_vectors(np.zeros((10, 10, 1)))
    with pytest.raises(InputError, match="one image"):
        stain_gap([])


@pytest.mark.field_data
def test_kinds_of_field_images_are_found(field_data):
    folder = field_data / "cytology" / "dsb2018"
    with (folder / "index.csv").open() as file:
        rows = list(csv.DictReader(file))[::2]
    right = 0
    for row in rows:
        image = np.atleast_3d(imread(folder / "images" / f"{row['image_id']}.png"))[..., :3] / 255
        expected = "fluorescence" if row["kind"] == "grey" else "bright-field"
        right += find_stain(image).kind == expected
    assert right >= len(rows) - 1
