"""Vessel trees obey Murray's law, stay in the picture, and are projected as the chords of their tubes."""

import numpy as np
import pytest

from kotowari.core.errors import InputError
from kotowari.studies.angiography.vessel_rendering import draw_tubes, fork_reach
from kotowari.studies.angiography.vessel_tree import VesselTree, grow_tree, smooth_curve, typical_root_radius

SHAPE = (160, 200)


def worst_fork(tree):
    """Largest relative gap between the cube of a parent's last radius and those of its two branches."""
    ends = np.append(tree.starts[1:], len(tree.branch)) - 1
    gaps = []
    for parent in np.unique(tree.parents[tree.parents >= 0]):
        children = np.flatnonzero(tree.parents == parent)
        assert len(children) == 2
        cubes = (tree.radius[tree.starts[children]] ** 3).sum()
        gaps.append(abs(cubes / tree.radius[ends[parent]] ** 3 - 1))
    return max(gaps)


def line_of(radius, dose=1.0, *, row=20.0, angle=0.0, number=0):
    """A straight tube through the middle of a picture of 41 x 81 pixels."""
    along = np.linspace(-60, 60, 81)
    points = np.column_stack([row + along * np.sin(angle), 40 + along * np.cos(angle)])
    return points, np.full(81, radius), np.full(81, dose), np.full(81, number)


def drawn(*tubes, reach=0.0, least_dose=0.0):
    points, radius, dose, branch = (np.concatenate(part) for part in zip(*tubes, strict=True))
    return draw_tubes(points, radius, dose, branch, np.full(len(tubes), reach), shape=(41, 81), least_dose=least_dose)


@pytest.mark.parametrize("kind", ["left", "right"])
def test_the_cubes_of_the_radii_add_up_at_every_fork(kind):
    for seed in range(4):
        tree = grow_tree(SHAPE, np.random.default_rng(seed), kind=kind)
        assert len(tree.parents) >= 9
        assert worst_fork(tree) < 1e-12


def test_a_tree_with_branches_as_thick_as_their_parent_is_caught(rng):
    tree = grow_tree(SHAPE, rng)
    wrong = VesselTree(tree.points, np.full_like(tree.radius, 2.0), tree.path, tree.branch, tree.parents)
    assert worst_fork(wrong) > 0.9


def test_branches_begin_on_the_last_point_of_their_parent_and_go_on_with_its_way(rng):
    tree = grow_tree(SHAPE, rng)
    ends = np.append(tree.starts[1:], len(tree.branch)) - 1
    for child, parent in enumerate(tree.parents):
        if parent >= 0:
            assert parent < child
            np.testing.assert_allclose(tree.points[tree.starts[child]], tree.points[ends[parent]])
            np.testing.assert_allclose(tree.path[tree.starts[child]], tree.path[ends[parent]])


def test_vessels_stay_in_the_picture_thin_along_their_way_and_wind_smoothly():
    for seed in range(6):
        tree = grow_tree(SHAPE, np.random.default_rng(seed))
        assert tree.points.min() >= 0
        assert (tree.points <= np.array(SHAPE) - 1).all()
        assert tree.radius.min() >= 1.0
        assert tree.root_radius == typical_root_radius(SHAPE) == tree.radius.max()
        within = np.diff(tree.branch) == 0
        assert (np.diff(tree.radius)[within] <= 1e-12).all()
        steps = np.linalg.norm(np.diff(tree.points, axis=0), axis=1)[within]
        assert 0.8 < steps.min() <= steps.max() < 1.8


def test_the_same_seed_gives_the_same_tree():
    one, same, other = (grow_tree(SHAPE, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.points, same.points)
    assert one.points.shape != other.points.shape


def test_a_curve_goes_through_its_control_points():
    controls = np.array([[0.0, 0.0], [10.0, 20.0], [40.0, 30.0]])
    curve = smooth_curve(controls, 0.5)
    assert max(np.linalg.norm(curve - point, axis=1).min() for point in controls) < 0.3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": (20, 90)}, "32 pixels"),
        ({"root_radius": 0.5}, "least_radius"),
        ({"tortuosity": -1.0}, "tortuosity"),
        ({"kind": "middle"}, "left, right or any"),
    ],
)
def test_an_impossible_tree_is_refused(options, words, rng):
    with pytest.raises(InputError, match=words):
        grow_tree(**({"shape": SHAPE, "rng": rng} | options))


def test_a_tube_is_as_thick_as_its_chords():
    radius, dose = 5.0, 0.04
    attenuation, mask, thickest = drawn(line_of(radius, dose))
    away = np.abs(np.arange(41) - 20.0)
    u = away[:, None] + np.linspace(-0.5, 0.5, 2001)
    mean_chord = 2 * np.sqrt(np.maximum(radius**2 - u**2, 0)).mean(1)
    np.testing.assert_allclose(attenuation[:, 40], dose * mean_chord, atol=1e-4 * dose * radius)
    np.testing.assert_array_equal(mask[:, 40], away <= radius)
    np.testing.assert_array_equal(thickest[:, 40], np.where(away <= radius, radius, 0))


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 4])
def test_contrast_is_kept_at_any_angle_and_between_pixels(angle):
    radius = 3.3
    for row in (20.0, 20.37):
        attenuation, _, _ = drawn(line_of(radius, row=row, angle=angle))
        across = attenuation[:, 30:51].sum() / 21 * np.cos(angle)
        assert across == pytest.approx(np.pi * radius**2, rel=0.01)


def test_crossing_branches_add_and_the_points_of_one_branch_do_not():
    one, other = line_of(3.0), line_of(3.0, angle=0.5, number=1)
    single = drawn(one)[0][20, 40]
    assert drawn(one, other)[0][20, 40] == pytest.approx(2 * single, rel=0.01)
    assert drawn(one, other, reach=1e9)[0][20, 40] == pytest.approx(single, rel=0.01)


def test_an_empty_tube_has_a_radius_but_no_mask():
    attenuation, mask, thickest = drawn(line_of(3.0, 0.0), least_dose=1e-9)
    assert attenuation.max() == 0
    assert not mask.any()
    assert thickest.max() == 3.0


def test_branches_are_one_with_their_parent_only_near_the_fork(rng):
    tree = grow_tree(SHAPE, rng)
    reach = fork_reach(tree)
    assert reach[0] == 0
    assert (reach[1:] > 2).all()
    assert reach.max() <= 2.5 * tree.root_radius
