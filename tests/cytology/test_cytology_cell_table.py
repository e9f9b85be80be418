"""The cell table against scikit-image and against closed forms."""

import numpy as np
import pytest
from skimage.measure import regionprops_table

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.cytology.cell_table import cells_of


@pytest.fixture
def scene():
    rows, columns = np.indices((60, 80))
    labels = np.zeros((60, 80), dtype=np.int32)
    labels[((rows - 20) / 8) ** 2 + ((columns - 20) / 14) ** 2 <= 1] = 1
    labels[10:20, 50:70] = 2
    labels[50:60, 0:9] = 5
    labels[35:48, 40:44] = labels[44:48, 40:60] = 7
    image = np.full((60, 80, 3), 0.9, dtype=np.float32)
    image[labels > 0] = 0.9 * np.exp(-np.array([0.6, 0.7, 0.2], dtype=np.float32))
    return labels, image


def test_shapes_are_those_of_scikit_image(scene):
    labels, image = scene
    table = cells_of(labels, image)
    names = ("label", "centroid", "area", "equivalent_diameter_area", "eccentricity", "orientation", "perimeter")
    expected = regionprops_table(labels, properties=names)
    ours = ("label", "row", "column", "area_px", "equivalent_diameter_px", "eccentricity", "orientation")
    theirs = ("label", "centroid-0", "centroid-1", "area", "equivalent_diameter_area", "eccentricity", "orientation")
    for own, other in zip((*ours, "perimeter_px"), (*theirs, "perimeter"), strict=True):
        np.testing.assert_allclose(table[own], expected[other], atol=1e-9)


def test_solidity_is_one_for_a_rectangle_and_low_for_an_angle(scene):
    table = cells_of(*scene).set_index("label")
    assert table.loc[2, "solidity"] == pytest.approx(1.0)
    assert 0.9 < table.loc[1, "solidity"] < 1
    assert table.loc[7, "solidity"] < 0.8


def test_stain_and_scale_follow_their_definitions(scene):
    labels, image = scene
    table = cells_of(labels, image, confidence=[0.1, 0.2, 0.3, 0.4], um_per_pixel=0.5).set_index("label")
    assert table.loc[2, "area_px"] == 200
    assert table.loc[2, "area_um2"] == 50
    assert table.loc[2, "row_um"] == pytest.approx(7.25)
    np.testing.assert_allclose(table["mean_red"], 0.9 * np.exp(-0.6), rtol=1e-6)
    np.testing.assert_allclose(table["density_green"], 0.7, rtol=1e-5)
    assert table.loc[2, "sum_density_green"] == pytest.approx(140, rel=1e-5)
    assert table["touches_border"].tolist() == [False, False, True, False]
    assert table["confidence"].tolist() == [0.1, 0.2, 0.3, 0.4]


def test_columns_that_do_not_apply_are_empty(scene):
    labels, image = scene
    fluorescence = cells_of(labels, 1 - image[..., :1])
    assert fluorescence["density_grey"].isna().all()
    assert fluorescence[["row_um", "area_um2", "confidence", "stain_share"]].isna().all(axis=None)


def test_no_cell_gives_the_same_columns_without_rows(scene):
    labels, image = scene
    assert list(cells_of(np.zeros_like(labels), image).columns) == list(cells_of(labels, image).columns)
    assert len(cells_of(np.zeros_like(labels), image)) == 0


def test_bad_input_is_refused_in_words(scene):
    labels, image = scene
    with pytest.raises(ShapeError, match="labels"):
        cells_of(labels[1:], image)
    with pytest.raises(ShapeError, match="confidence"):
        cells_of(labels, image, confidence=[0.5])
    with pytest.raises(InputError, match="um_per_pixel"):
        cells_of(labels, image, um_per_pixel=0)
    with pytest.raises(InputError, match="whole numbers"):
        cells_of(labels.astype(float), image)
