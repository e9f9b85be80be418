"""Centrelines: lengths, radii, crossings and spurs."""

import numpy as np
import pytest

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.centrelines import BRANCH_COLUMNS, NODE_COLUMNS, draw_centrelines, find_centrelines
from kotowari.studies.angiography.skeleton_graph import skeleton_graph


def _tube(start, end, radius, shape=(80, 100)):
    """Pixels within a radius of the straight line between two points."""
    point = np.stack(np.mgrid[: shape[0], : shape[1]], -1).astype(float)
    start, way = np.array(start, float), np.subtract(end, start).astype(float)
    share = np.clip(((point - start) @ way) / (way @ way), 0, 1)[..., None]
    return np.hypot(*np.moveaxis(point - start - share * way, -1, 0)) <= radius


@pytest.mark.parametrize("end", [(40, 85), (70, 75), (60, 85)])
def test_straight_tube_is_one_branch_of_its_length_and_radius(end):
    found = find_centrelines(_tube((20, 15), end, 4), pixel_mm=0.5)
    assert len(found.branches) == 1
    branch = found.branches.iloc[0]
    length = np.hypot(*np.subtract(end, (20, 15)))
    assert length - 10 <= branch["length_px"] <= length + 10  # a skeleton ends within a radius of the tube's end
    assert branch["length_mm"] == pytest.approx(branch["length_px"] / 2)
    assert branch["radius_px"] == pytest.approx(4, abs=0.6)
    assert branch["tortuosity"] == pytest.approx(1, abs=0.02)
    assert list(found.nodes["kind"]) == ["end", "end"]


def test_ring_is_one_closed_branch_as_long_as_its_circle():
    row, column = np.mgrid[:80, :100] - np.array([40, 50])[:, None, None]
    distance = np.hypot(row, column)
    found = find_centrelines(np.abs(distance - 25) <= 3)
    assert len(found.branches) == 1
    branch = found.branches.iloc[0]
    assert branch["length_px"] == pytest.approx(2 * np.pi * 25, rel=0.03)
    assert branch["n_free_ends"] == 0
    assert not len(found.nodes)


def test_fork_has_one_crossing_three_ends_and_three_branches():
    mask = _tube((40, 10), (40, 50), 3) | _tube((40, 50), (15, 90), 2) | _tube((40, 50), (65, 90), 2)
    found = find_centrelines(mask)
    assert sorted(found.nodes["kind"]) == ["crossing", "end", "end", "end"]
    assert len(found.branches) == 3
    crossing = found.nodes[found.nodes["kind"] == "crossing"].iloc[0]
    assert np.hypot(crossing["row"] - 40, crossing["column"] - 50) < 6
    assert (found.branches["n_free_ends"] == 1).all()


def test_spurs_of_a_rough_outline_are_cut_and_side_branches_stay():
    smooth = _tube((40, 10), (40, 90), 4) | _tube((40, 50), (10, 55), 2)
    rough = smooth.copy()
    rough[45:48, 20:81:15] = True
    cut = find_centrelines(rough)
    assert len(cut.branches) == len(find_centrelines(smooth).branches) == 3
    kept = find_centrelines(rough, least_spur_px=0)
    assert len(kept.branches) >= len(cut.branches)


def test_specks_are_no_vessels_and_nothing_is_a_result():
    mask = np.zeros((30, 30), np.bool_)
    mask[3:6, 3:6] = True
    empty = find_centrelines(mask)
    assert not empty.lines.any()
    assert list(empty.branches.columns) == list(BRANCH_COLUMNS)
    assert list(empty.nodes.columns) == list(NODE_COLUMNS)
    assert not len(empty.branches)
    assert len(find_centrelines(mask, least_vessel_px=5, least_spur_px=0).branches) == 1


def test_vesselness_is_averaged_along_the_branch():
    mask = _tube((40, 10), (40, 90), 3)
    values = np.where(mask, 0.7, 0.1)
    assert find_centrelines(mask, values).branches["mean_vesselness"][0] == pytest.approx(0.7)
    assert np.isnan(find_centrelines(mask).branches["mean_vesselness"][0])


def test_every_pixel_of_a_skeleton_belongs_to_a_branch_or_a_crossing(rng):
    mask = np.zeros((80, 100), np.bool_)
    for _ in range(6):
        ends = rng.uniform([5, 5], [75, 95], (2, 2))
        mask |= _tube(*ends, 2)
    found = find_centrelines(mask)
    graph = skeleton_graph(found.lines)
    taken = np.zeros_like(mask)
    for branch in graph.branches:
        assert not taken[tuple(branch.pixels.T)].any()
        taken[tuple(branch.pixels.T)] = True
    near = np.zeros_like(mask)
    for row, column in graph.crossings:
        near[max(int(row) - 4, 0) : int(row) + 5, max(int(column) - 4, 0) : int(column) + 5] = True
    assert not (found.lines & ~taken & ~near).any()


def test_overlay_shows_lines_on_a_radiograph(rng):
    mask = _tube((40, 10), (40, 90), 3)
    found = find_centrelines(mask)
    picture = draw_centrelines(mask + rng.normal(0, 0.1, mask.shape), found)
    assert picture.shape == (80, 100, 3)
    assert (picture[found.lines] == (255, 176, 0)).all()
    assert picture[38, 50].mean() < picture[10, 50].mean()  # vessels dark


def test_wrong_arguments_are_refused():
    mask = _tube((40, 10), (40, 90), 3)
    with pytest.raises(ShapeError):
        find_centrelines(mask, np.zeros((3, 3)))
    with pytest.raises(InputError, match="pixel_mm"):
        find_centrelines(mask, pixel_mm=0)
    with pytest.raises(ShapeError):
        draw_centrelines(np.zeros((3, 3)), find_centrelines(mask))
