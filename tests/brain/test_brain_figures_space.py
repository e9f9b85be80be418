"""Left is left: any order of axes is turned alike, and a spot at negative x is drawn on the side marked L."""

from itertools import permutations, product

import numpy as np
import pytest
from brain_pictures import blob, make_space
from matplotlib.backends.backend_agg import FigureCanvasAgg

from kotowari.report.plots import style
from kotowari.studies.brain.figures import glass, panels, sheet, slices
from kotowari.studies.brain.figures.orientation import display_space
from kotowari.studies.brain.figures.panels import AXIAL, CORONAL, SAGITTAL, Brain, Scale

SPOT = (-40.0, 20.0, 12.0)  # left, front, above the middle


def stored(affine, volume, order, flips):
    """The same volume with its axes exchanged and flipped, and the affine that says so."""
    moved = np.transpose(volume, order)
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for new, old in enumerate(order):
        turn[old, new] = -1 if flips[new] else 1
        turn[old, 3] = volume.shape[old] - 1 if flips[new] else 0
    return affine @ turn, np.flip(moved, [axis for axis in range(3) if flips[axis]])


def spot_arrays(order=(0, 1, 2), flips=(False, False, False)):
    """Arrays of one map whose only value lies at ``SPOT``."""
    affine, mask, template = make_space()
    spot = np.where(mask, blob(affine, mask.shape, SPOT, 9.0), 0)
    spot[spot < 0.4] = 0
    made = {
        name: stored(affine, volume, order, flips)[1]
        for name, volume in {"mask": mask, "template": template, "map": spot}.items()
    }
    return {
        "map_affine": stored(affine, mask, order, flips)[0],
        "mask": made["mask"],
        "template": made["template"],
        "map_targets": np.array(["dose"]),
        "map_values": made["map"][None],
    }


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("flips", list(product((False, True), repeat=3)), ids=str)
def test_any_order_of_axes_is_turned_to_the_same_volume(order, flips):
    affine, _, template = make_space()
    moved_affine, moved = stored(affine, template, order, flips)
    space = display_space(moved_affine, moved.shape)
    np.testing.assert_array_equal(space.turned(moved), template)
    np.testing.assert_allclose(space.low, affine[:3, 3])
    np.testing.assert_allclose(space.step, 8.0)


def test_a_forgotten_flip_is_caught():
    affine, _, template = make_space()
    template = template * np.linspace(0.5, 1, len(template))[:, None, None]  # a head is never quite symmetric
    _, moved = stored(affine, template, (0, 1, 2), (True, False, False))
    wrong = display_space(affine, moved.shape).turned(moved)  # told that x runs to the right, which it does not
    assert not np.array_equal(wrong, template)


def test_an_oblique_grid_keeps_the_place_of_a_spot():
    affine, mask, _ = make_space()
    angle = np.deg2rad(12)
    tilt = np.eye(4)
    tilt[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    tilted = tilt @ affine
    spot = blob(tilted, mask.shape, SPOT, 9.0)
    space = display_space(tilted, mask.shape)
    turned = space.turned(spot)
    place = np.array(np.unravel_index(turned.argmax(), turned.shape))
    np.testing.assert_allclose(space.low + space.step * place, SPOT, atol=8.0)
    assert turned.shape != mask.shape


def drawn_colours(canvas, axes):
    """Pixels of one panel with their colour, shape ``(row, column, 3)``, and the panel's box."""
    agg = FigureCanvasAgg(canvas)
    agg.draw()
    picture = np.asarray(agg.buffer_rgba())[..., :3].astype(int)
    box = axes.get_window_extent()
    high = picture.shape[0]
    return picture[high - int(box.y1) : high - int(box.y0), int(box.x0) : int(box.x1)]


def painted(pixels):
    """Where a panel is orange: columns and rows as shares of its width and height, from the lower left."""
    orange = (pixels[..., 0] - pixels[..., 2] > 60).nonzero()
    assert len(orange[0]) > 10
    return orange[1].mean() / pixels.shape[1], 1 - orange[0].mean() / pixels.shape[0]


@pytest.mark.parametrize("flips", [(False, False, False), (True, False, False)], ids=["LR", "RL"])
@pytest.mark.parametrize("picture", [slices.slices_picture, glass.glass_picture])
def test_a_spot_at_negative_x_is_on_the_side_marked_left(monkeypatch, picture, flips):
    monkeypatch.setattr(style, "DPI", (72,))  # fewer pixels than in a report
    with style.house_style():
        canvas = picture(spot_arrays(flips=flips)).canvas
    brain = Brain.of(spot_arrays())
    checked = set()
    for axes in canvas.axes:
        marks = {text.get_text(): text.get_position()[0] for text in axes.texts}
        pixels = drawn_colours(canvas, axes)
        if not (pixels[..., 0] - pixels[..., 2] > 60).any() or not marks.keys() & {"L", "P"}:
            continue
        across, up = painted(pixels)
        if "L" in marks:
            assert marks["L"] < 0.5 < marks["R"]
            assert across < 0.45  # where x is negative, under the mark L
            checked.add("left")
        else:
            assert marks["P"] < 0.5 < marks["A"]
            assert across > 0.5  # to the front
            wanted = (SPOT[2] - brain.bounds[2][0]) / brain.width(2)
            assert up == pytest.approx(wanted, abs=0.12)
            checked.add("side")
    assert checked == {"left", "side"}


def test_coordinates_are_those_of_the_planes():
    arrays = spot_arrays()
    brain = Brain.of(arrays)
    values = brain.space.turned(arrays["map_values"][0])
    x, y, z = sheet.peak(values, values > 0, brain.mask)
    place = [brain.space.places(axis)[k] for axis, k in enumerate((x, y, z))]
    np.testing.assert_allclose(place, SPOT, atol=4.01)
    words = [text.get_text() for axes in slices.slices_picture(arrays).canvas.axes for text in axes.texts]
    assert panels.coordinate(SAGITTAL, place[0]) in words
    assert panels.coordinate(CORONAL, place[1]) in words
    assert panels.coordinate(AXIAL, place[2]) in words


def test_planes_go_through_what_is_strongest_and_rise():
    affine, mask, template = make_space()
    brain = Brain.of({"map_affine": affine, "mask": mask, "template": template})
    strength = np.zeros(mask.shape)
    strength[5, 5, 4], strength[9, 9, 13] = 2, 1
    chosen = sheet.planes_through(brain, strength, 8)
    assert {4, 13} <= set(chosen)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 8
    assert sheet.planes_through(brain, np.zeros(mask.shape), 3) == sorted(set(sheet.planes_through(brain, mask * 0, 3)))
    thin = Brain.of({"map_affine": affine, "mask": mask & (np.arange(mask.shape[2]) < 3)})
    assert len(sheet.planes_through(thin, strength, 8)) <= 3


def test_a_projection_keeps_the_value_farthest_from_zero_with_its_sign():
    values = np.zeros((4, 3, 2))
    values[1, 1, 0], values[2, 1, 0], values[0, 2, 1] = 1.0, -3.0, 2.0
    seen = glass.projection(values, values != 0, 0)
    assert seen[1, 0] == -3.0
    assert seen[2, 1] == 2.0
    assert np.isnan(seen[0, 0])
    assert seen[1, 0] != np.max(values, axis=0)[1, 0]  # a plain maximum would lose the negative value


def test_the_scale_weighs_both_signs_alike_and_leaves_small_values_grey():
    values = np.array([-4.0, -1.0, 0.5, 2.0])
    scale = Scale.of(values, np.abs(values) >= 1)
    assert (scale.bound, scale.least) == (4.0, 1.0)
    colours = scale.colours(scale.norm(np.array([-4.0, -2.0, -0.5, 0.0, 0.5, 2.0, 4.0])))
    np.testing.assert_allclose(colours[2], colours[4])
    np.testing.assert_allclose(colours[2], colours[3])
    light = colours[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert light[0] < light[1] < light[2]  # darker with size, on both sides
    assert light[6] < light[5] < light[4]
    assert colours[0, 2] > colours[0, 0]  # blue below
    assert colours[6, 0] > colours[6, 2]  # orange above


def test_a_scale_of_nothing_can_still_be_drawn():
    scale = Scale.of(np.zeros(3), np.zeros(3, bool))
    panels.draw_bar(panels.add_panel(style.new_canvas((3, 2)), (0.1, 0.1, 1, 0.2)), scale, "unit")
    assert scale.bound == 1.0


def test_the_strongest_share_is_what_it_says_and_never_zero(rng):
    values, mask = rng.normal(size=(10, 10, 10)), np.ones((10, 10, 10), bool)
    assert panels.strongest_share(values, mask, 0.05).sum() == 50
    values[...] = 0
    values[0, 0, 0] = 1
    assert panels.strongest_share(values, mask, 0.05).sum() == 1


def test_the_outline_surrounds_what_it_outlines():
    affine, mask, _ = make_space()
    brain = Brain.of({"map_affine": affine, "mask": mask})
    axes = panels.add_panel(style.new_canvas((3, 3)), (0, 0, 3, 3))
    inside = np.zeros(mask.shape[:2], bool)
    inside[4:8, 10:12] = True
    panels.draw_outline(axes, brain, AXIAL, inside, rounding=0.0)
    points = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    x, y = brain.space.places(0), brain.space.places(1)
    np.testing.assert_allclose(points[:, 0].min(), x[4] - 4, atol=1.1)  # a quarter of a voxel
    np.testing.assert_allclose(points[:, 0].max(), x[7] + 4, atol=1.1)
    np.testing.assert_allclose(points[:, 1].min(), y[10] - 4, atol=1.1)
    np.testing.assert_allclose(points[:, 1].max(), y[11] + 4, atol=1.1)


def test_float16_volumes_are_drawn_as_float32():
    affine, _, template = make_space()
    space = display_space(affine, template.shape)
    assert space.turned(template.astype(np.float16)).dtype == np.float32
    assert space.turned(template > 0).dtype == bool
