"""The frame: smallest rectangle, distances kept by the rotation, degenerate points."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from kotowari.core.errors import InputError
from kotowari.studies.omics.model.frame import collision_free_side, pixel_places, rectangle_rotation, spaced_shape


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(80, 2)) * (3, 1)


def turned(points, angle):
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, -s], [s, c]]).T


def require_isometry(matrix, points):
    np.testing.assert_allclose(pdist(points @ matrix.T), pdist(points), rtol=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_rotation_keeps_distances_and_handedness(points):
    require_isometry(rectangle_rotation(turned(points, 0.7)), points)


def test_a_matrix_that_scales_or_mirrors_is_caught(points):
    with pytest.raises(AssertionError):
        require_isometry(1.01 * np.eye(2), points)
    with pytest.raises(AssertionError):
        require_isometry(np.diag([1.0, -1.0]), points)


def test_no_angle_gives_a_smaller_rectangle(points):
    found = np.ptp(points @ rectangle_rotation(points).T, axis=0).prod()
    tried = min(np.ptp(turned(points, angle), axis=0).prod() for angle in np.linspace(0, np.pi / 2, 2000))
    assert found <= tried * (1 + 1e-9)
    assert found < 0.99 * np.ptp(turned(points, 0.5), axis=0).prod()


def test_a_turned_rectangle_is_laid_straight_with_its_longer_side_across():
    rectangle = np.array([[0, 0], [0, 5], [2, 0], [2, 5], [1.0, 2.5]])
    for angle in (0.0, 0.3, 1.2, 2.5):
        lying = turned(rectangle, angle) @ rectangle_rotation(turned(rectangle, angle)).T
        np.testing.assert_allclose(np.ptp(lying, axis=0), (2, 5), rtol=1e-9)


@pytest.mark.parametrize("shape", [(16, 16), (10, 30), (30, 10), (1, 7)])
def test_places_fill_the_frame_and_stay_inside(points, shape):
    places = pixel_places(turned(points, 0.4), shape)
    np.testing.assert_array_equal(places.min(0), 0)
    assert (places < shape).all()
    np.testing.assert_allclose(places.max(0), shape, rtol=1e-12)


def test_a_tall_frame_is_the_wide_one_turned_by_a_quarter(points):
    wide, tall = pixel_places(points, (10, 30)), pixel_places(points, (30, 10))
    np.testing.assert_allclose(np.c_[tall[:, 0], 10 - tall[:, 1]], wide[:, ::-1], atol=1e-9)


def test_points_on_a_line_lie_in_the_middle_of_the_rows():
    line = np.linspace(-1, 3, 9)[:, None] * (0.6, 0.8) + 5
    places = pixel_places(line, (8, 12))
    np.testing.assert_allclose(places[:, 0], 4)
    np.testing.assert_allclose(np.diff(np.sort(places[:, 1])), 1.5, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_points_in_one_place_lie_in_the_middle(count):
    np.testing.assert_array_equal(pixel_places(np.full((count, 2), 3.3), (4, 6)), np.tile((2.0, 3.0), (count, 1)))


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2.5, 4), "large", (2, 3, 4)])
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(InputError, match="shape must be height and width"):
        pixel_places(np.eye(2), shape)


def test_spaced_shape_keeps_the_nearest_two_points_apart():
    grid = np.indices((4, 9)).reshape(2, -1).T.astype(float)
    height, width = spaced_shape(turned(grid, 0.3), limit=200)
    assert (height, width) == (5, 12)  # ceil(3 sqrt 2), ceil(8 sqrt 2)
    assert len(np.unique(np.floor(pixel_places(grid, (height, width))), axis=0)) == 36


def test_spaced_shape_is_scaled_down_to_the_limit():
    grid = np.indices((4, 9)).reshape(2, -1).T.astype(float)
    assert spaced_shape(grid, limit=6) == (3, 6)
    assert spaced_shape(np.zeros((5, 2)), limit=6) == (1, 1)
    with pytest.raises(InputError, match="1 or more pixels"):
        spaced_shape(grid, limit=0)


@pytest.mark.parametrize("genes", [1, 2, 9, 3899, 20000])
def test_the_automatic_side_holds_all_genes_with_little_to_spare(genes):
    side = collision_free_side(genes)
    assert side**2 >= 1.05 * genes
    assert (side - 1) ** 2 < 1.05 * genes
