"""Every picture of brains is drawn from its arrays: small, alike twice, left where left is, and honest in words."""

import ast
import inspect
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from brain_pictures import STAMP, blob, make_brain_arrays, make_space
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.files import write_bytes
from kotowari.core.jobs import pack_arrays
from kotowari.core.page import Figure
from kotowari.formats.png import read_png
from kotowari.report.plots import style
from kotowari.report.plots.gallery import sketch_each
from kotowari.studies.brain import figures
from kotowari.studies.brain.figures import (
    beside_controls,
    chance,
    draw,
    gains,
    gallery,
    grid,
    models,
    panels,
    predicted,
    quality,
    reconstruction,
    regions,
    roles,
    sites,
    slices,
    synthetic,
    training,
)
from kotowari.studies.brain.figures.arrays import AXES, GAPS, read_pictures

PER_TARGET = ("models", "predicted", "slices", "glass-brain", "map-controls", "regions")
ONCE = {
    "paired-gains",
    "grid",
    "permutation-null",
    "stability",
    "implants",
    "sites",
    "training",
    "reconstruction",
    "input-quality",
    "synthetic-1",
}
ALL = ONCE | {f"{name}-{k}" for name in PER_TARGET for k in (1, 2)}
OF_ONE = {name for name in ALL if not name.endswith("-2")}
IN_ORDER = [
    *("models-1", "models-2", "paired-gains", "predicted-1", "predicted-2", "grid", "slices-1", "slices-2"),
    *("glass-brain-1", "glass-brain-2", "map-controls-1", "map-controls-2", "regions-1", "regions-2", "synthetic-1"),
    *("permutation-null", "stability", "implants", "sites", "training", "reconstruction", "input-quality"),
]
SIDES = {"L", "R", "P", "A"}
ODD = "$x_1^2$ & <i> 100 % {\\bf x} of a target whose name has no end and no_spaces_either_________"
HALF = {"stability", "implants", "predicted-1", "permutation-null"}


def draw_run(folder, arrays):
    """Draw a run and return its figures by name."""
    write_bytes(folder / "work" / "pictures.npz", pack_arrays(arrays))
    return {figure.file.removesuffix(".png"): figure for figure in draw(folder)}


def sketch_of(picture, arrays, **options):
    with style.house_style():
        return picture(arrays, **options)


def sketched(arrays):
    with style.house_style():
        return {sketch.name: sketch for sketch in sketch_each(gallery.PICTURES, arrays)}


def texts_of(canvas):
    return [text for text in canvas.findobj(Text) if text.get_text().strip() and text.get_visible()]


def words_of(canvas):
    return [text.get_text() for text in texts_of(canvas)]


def only(arrays, *starts):
    return {name: values for name, values in arrays.items() if name.startswith(starts)}


@pytest.fixture(scope="module", autouse=True)
def coarse():
    """Draw with fewer pixels than a report does, which takes a fifth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", (72,))
        yield


@pytest.fixture(scope="module")
def arrays():
    return make_brain_arrays(n_targets=2)


@pytest.fixture(scope="module")
def one():
    """Arrays of a run of one target, whose map the controls reject."""
    return make_brain_arrays(n_targets=1) | {"map_stamp": np.array([STAMP])}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, one):
    """A drawn run of one target: its folder, and its figures by name."""
    folder = tmp_path_factory.mktemp("brain")
    return folder, draw_run(folder, one)


def test_every_picture_is_drawn_with_words(drawn):
    folder, figures_by_name = drawn
    assert set(figures_by_name) == OF_ONE
    for name, figure in figures_by_name.items():
        picture = read_png(folder / "figures" / f"{name}.png")
        height, width = picture.shape[:2]
        assert (width > 1.4 * height) == (name not in HALF), name  # the report gives wide ones a row of their own
        assert picture.std() > 5
        assert isinstance(figure, Figure)
        assert figure.section in {"result", "reason", "trust"}
        assert figure.title
        assert figure.caption.endswith(".")
        assert "nan" not in figure.caption.lower().replace(",", " ").split()


def test_the_largest_picture_is_small_at_full_size(monkeypatch, one):
    monkeypatch.setattr(style, "DPI", (200, 150, 110))
    sketch = sketch_of(slices.slices_picture, one)
    png, lacks_signs = style.encode(sketch.canvas)
    assert len(png) < 400_000
    assert not lacks_signs
    assert sketch.canvas.get_figwidth() == 7.2


def test_equal_arrays_give_equal_bytes_whatever_the_users_settings(tmp_path, drawn, one):
    kept = only(one, "map_affine", "mask", "template", "synthetic", "quality")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "text.parse_math": True}):
        again = draw_run(tmp_path, kept)
        assert mpl.rcParams["font.size"] == 30
    assert set(again) == {"synthetic-1", "input-quality"}
    for name in again:
        file = Path("figures") / f"{name}.png"
        assert (tmp_path / file).read_bytes() == (drawn[0] / file).read_bytes(), name


def test_other_arrays_give_other_bytes(tmp_path, drawn):
    other = make_brain_arrays(n_targets=1, seed=1)
    again = draw_run(tmp_path, only(other, "map_affine", "mask", "template", "synthetic", "quality", "tested"))
    assert set(again) == {"synthetic-1", "input-quality", "permutation-null"}
    for name in again:
        file = Path("figures") / f"{name}.png"
        assert (tmp_path / file).read_bytes() != (drawn[0] / file).read_bytes(), name


def test_an_empty_run_folder_has_no_pictures(tmp_path):
    assert draw(tmp_path) == []
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize(
    ("absent", "lost"),
    [
        ("template", {"slices-1", "slices-2", "map-controls-1", "map-controls-2", "synthetic-1", "reconstruction"}),
        ("map_values", {f"{name}-{k}" for name in ("slices", "glass-brain", "map-controls") for k in (1, 2)}),
        ("control_maps", {"map-controls-1", "map-controls-2"}),
        ("score_chance", {"models-1", "models-2"}),
        ("gain_low", {"paired-gains"}),
        ("fold_true", {"predicted-1", "predicted-2"}),
        ("grid_mae", {"grid"}),
        ("training_share", {"training"}),
        ("tested_null", {"permutation-null"}),
        ("region_strength", {"regions-1", "regions-2"}),
        ("site_axes", {"sites"}),
        ("frequency", {"stability"}),
        ("implant_limit", {"implants"}),
        ("reconstruction_error", {"reconstruction"}),
        ("quality_outlier", {"input-quality"}),
        ("synthetic_high", {"synthetic-1"}),
    ],
)
def test_a_missing_array_leaves_its_pictures_out_and_no_other(arrays, absent, lost):
    needs = {}
    for picture, needed in gallery.PICTURES:
        place = getattr(picture, "keywords", {}).get("place")
        if place in {None, 0, 1}:
            needs[getattr(picture, "func", picture).__name__, place] = needed
    n_lost = sum(absent in needed for needed in needs.values())
    n_expected = len(lost) + (absent in {"template", "synthetic_high"})  # of synthetic axes the fixture has one
    assert n_lost == n_expected
    assert not any(absent in needed for picture, needed in gallery.PICTURES if not needed <= arrays.keys() | {absent})


def test_what_may_be_missing_may_be_missing(one):
    arrays = one
    needed = frozenset().union(*(needed for _, needed in gallery.PICTURES))
    bare = {name: values for name, values in arrays.items() if name in needed and not name.startswith("map")}
    bare |= {"map_affine": arrays["map_affine"], "mask": arrays["mask"]}
    names = set(sketched(bare))
    assert names == {name for name in OF_ONE if not name.startswith(("slices", "glass", "map-controls"))}


def test_every_array_is_known_to_the_reader(arrays):
    needed = frozenset().union(*(needed for _, needed in gallery.PICTURES))
    assert needed <= AXES.keys()
    assert arrays.keys() <= AXES.keys()
    assert AXES.keys() >= GAPS


def test_every_target_has_its_pictures(arrays):
    few = {name: values for name, values in arrays.items() if not name.startswith(("control", "site", "grid"))}
    lost = {"map-controls-1", "map-controls-2", "sites", "grid"}
    assert list(sketched(few)) == [name for name in IN_ORDER if name not in lost]


def test_words_keep_apart_and_on_the_canvas(one):
    for name, sketch in sketched(one).items():
        canvas = sketch.canvas
        renderer = FigureCanvasAgg(canvas).get_renderer()
        canvas.draw_without_rendering()
        hidden = {id(label) for axes in canvas.findobj(Axes) for label in out_of_view(axes)}
        shown = [text for text in texts_of(canvas) if text.get_text() not in SIDES and id(text) not in hidden]
        boxes = [(text.get_window_extent(renderer), text.get_text()) for text in shown]
        for box, words in boxes:
            assert box.x0 > -1, (name, words)
            assert box.x1 < canvas.bbox.x1 + 1, (name, words)
            assert box.y0 > -1, (name, words)
            assert box.y1 < canvas.bbox.y1 + 1, (name, words)
        for (a, first), (b, second) in combinations(boxes, 2):
            overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            assert min(overlap) < 1, (name, first, second)


def out_of_view(axes):
    """Tick labels that lie beyond the limits, and are not drawn."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        yield from (tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high)


def test_odd_names_are_shown_as_text(one):
    odd = dict(one)
    for key, values in one.items():
        if values.dtype.kind == "U" and values.ndim and not key.endswith(("role", "metric", "stamp", "units")):
            odd[key] = np.array([ODD] * len(values))
    for sketch in sketched(odd).values():
        assert not any(text.get_parse_math() or text.get_usetex() for text in texts_of(sketch.canvas))
        assert "\n" not in sketch.title


# At the door


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("map_values", np.zeros((2, 3, 3, 3))),
        ("map_affine", np.eye(3)),
        ("control_maps", np.zeros((2, 4, 5))),
        ("score_low", np.zeros(3)),
        ("grid_r", np.zeros((1, 16, 5))),
        ("site_axes", np.zeros((3, 125, 3))),
        ("reconstruction_error", np.zeros((2, 2, 2))),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_a_sentence(tmp_path, arrays, name, wrong):
    with pytest.raises(ShapeError, match="must have shape"):
        draw_run(tmp_path, arrays | {name: wrong})


@pytest.mark.parametrize(
    ("name", "position"), [("fold_target", 2), ("external_target", -1), ("site_codes", 2), ("training_final", 6)]
)
def test_a_position_that_does_not_exist_is_refused(tmp_path, arrays, name, position):
    wrong = arrays[name].copy()
    wrong[(0,) * wrong.ndim] = position
    write_bytes(tmp_path / "pictures.npz", pack_arrays(arrays | {name: wrong}))
    with pytest.raises(InputError, match=f"{name} holds the position {position}, but there are"):
        read_pictures(tmp_path / "pictures.npz")


def test_an_affine_without_depth_and_a_mask_without_voxels_are_refused(tmp_path, arrays):
    with pytest.raises(InputError, match="lays voxels onto a plane"):
        draw_run(tmp_path, arrays | {"map_affine": np.diag([8.0, 8.0, 0.0, 1.0])})
    with pytest.raises(InputError, match="mask holds no voxel"):
        draw_run(tmp_path, arrays | {"mask": np.zeros_like(arrays["mask"])})


def test_values_that_are_not_finite_are_refused_where_they_mean_nothing(tmp_path, arrays):
    wrong = arrays["map_values"].copy()
    wrong[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="map_values holds 1 values that are not finite"):
        draw_run(tmp_path, arrays | {"map_values": wrong})


# Stamps and words


def test_the_stamp_of_the_controls_is_printed_in_red(arrays):
    for picture in (slices.slices_picture, beside_controls.controls_picture):
        clean, stamped = (sketch_of(picture, arrays, place=place).canvas for place in (0, 1))
        assert not any(to_hex(text.get_color()) == panels.RED for text in texts_of(clean))
        (stamp,) = (text for text in texts_of(stamped) if to_hex(text.get_color()) == panels.RED)
        assert stamp.get_text().replace("\n", " ") == STAMP
        assert "is no evidence for a place" in stamp.get_text().replace("\n", " ")


def test_a_synthetic_brain_says_so(arrays):
    sketch = sketch_of(synthetic.synthetic_picture, arrays)
    (stamp,) = (text for text in texts_of(sketch.canvas) if to_hex(text.get_color()) == panels.RED)
    assert stamp.get_text() == "SYNTHETIC (decoded, no subject)"
    assert "synthetic: no subject looks like this" in sketch.caption
    none = arrays | {"synthetic_difference": np.zeros_like(arrays["synthetic_difference"])}
    assert sketch_of(synthetic.synthetic_picture, none) is None


def test_the_threshold_of_a_map_is_told(arrays):
    tested = sketch_of(slices.slices_picture, arrays).caption
    assert "family-wise p of 0.05 or less" in tested
    none = arrays | {"map_significant": np.zeros_like(arrays["map_significant"])}
    assert "and are no finding" in sketch_of(slices.slices_picture, none).caption
    untested = {name: values for name, values in arrays.items() if name != "map_significant"}
    assert "no significance was computed" in sketch_of(slices.slices_picture, untested).caption


def test_subjects_are_told_by_number_only(arrays):
    sketch = sketch_of(quality.quality_picture, arrays)
    assert "rows 18, 41, 93 of the table" in sketch.caption
    assert {word for word in words_of(sketch.canvas) if word.startswith("#")} == {"#18", "#41", "#93"}
    fine = arrays | {"quality_outlier": np.zeros(150, bool)}
    assert "None is marked" in sketch_of(quality.quality_picture, fine).caption


# Numbers


def test_the_figures_of_the_scatter_are_those_of_scipy(rng):
    from scipy.stats import pearsonr, spearmanr

    truth = rng.integers(0, 9, 40).astype(float)  # with ties
    pairs = np.array([truth, truth + rng.normal(0, 3, 40)])
    r, rank, explained, error = predicted._agreement(pairs)
    assert r == pytest.approx(pearsonr(*pairs).statistic)
    assert rank == pytest.approx(spearmanr(*pairs).statistic)
    assert explained == pytest.approx(1 - np.mean((pairs[0] - pairs[1]) ** 2) / np.var(truth))
    assert error == pytest.approx(np.mean(np.abs(pairs[0] - pairs[1])))
    assert rank != pytest.approx(pearsonr(*np.argsort(pairs)).statistic)  # positions in the order are no ranks
    assert np.isnan(predicted._agreement(np.array([np.ones(3), np.arange(3.0)]))[0])


def test_only_the_predictions_of_a_target_are_drawn(arrays):
    sketch = sketch_of(predicted.predicted_picture, arrays, place=1)
    inside, outside = sketch.canvas.axes[0].collections
    own = arrays["fold_target"] == 1
    np.testing.assert_allclose(inside.get_offsets(), np.array([arrays["fold_true"], arrays["fold_predicted"]]).T[own])
    assert len(outside.get_offsets()) == (arrays["external_target"] == 1).sum()
    assert sketch_of(predicted.predicted_picture, arrays, place=2) is None


def test_the_grid_puts_every_model_in_its_cell():
    arrays = make_brain_arrays(n_targets=1)
    shuffled = np.random.default_rng(0).permutation(16)
    moved = arrays | {name: arrays[name][shuffled] for name in ("grid_blocks", "grid_channels", "grid_mae")}
    moved["grid_r"] = arrays["grid_r"][:, shuffled]
    for drawn_grid in (arrays, moved):
        axes = sketch_of(grid.grid_picture, drawn_grid).canvas.axes[0]
        cell = arrays["grid_mae"][(arrays["grid_blocks"] == 3) & (arrays["grid_channels"] == 4)].mean()
        assert (
            next(text for text in axes.texts if text.get_position() == pytest.approx((1, 1.86))).get_text()
            == f"{cell:.2f}"
        )


def test_one_seed_has_no_spread_and_a_model_not_fitted_an_empty_cell():
    arrays = make_brain_arrays(n_targets=1)
    single = arrays | {"grid_mae": arrays["grid_mae"][:, :1].copy(), "grid_r": arrays["grid_r"][:, :, :1]}
    single["grid_mae"][0] = np.nan
    sketch = sketch_of(grid.grid_picture, single)
    assert "One seed." in sketch.caption
    assert len(sketch.canvas.axes[0].texts) == 15
    assert not any("±" in words for words in words_of(sketch.canvas))


def test_the_final_model_is_the_thick_line(arrays):
    axes = sketch_of(training.training_picture, arrays).canvas.axes[0]
    widths = [line.get_linewidth() for line in axes.lines[:6]]
    assert np.argmax(widths) == 5
    np.testing.assert_allclose(axes.lines[5].get_ydata(), arrays["training_share"][5])
    levels = [line.get_ydata()[0] for line in axes.lines[6:]]
    assert levels == [1.0, 0.82]
    alone = only(arrays, "training")
    assert len(sketch_of(training.training_picture, alone).canvas.axes) == 1


def test_models_stand_by_role_with_ours_first(arrays):
    axes = sketch_of(models.models_picture, arrays).canvas.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:2] == ["autoencoder, 3 blocks x 16 channels", "the same, untrained"]
    filled, opened = axes.collections[2].get_offsets(), axes.collections[4].get_offsets()
    assert filled[0][0] == pytest.approx(0.53)
    assert opened[0][0] == pytest.approx(arrays["score_external"][0])
    assert (opened[:, 1] > filled[:, 1]).all()


def test_roles_have_colours_of_their_own():
    assert len(set(roles.ROLE_COLOURS.values())) == len(roles.ROLE_COLOURS)


def test_gains_are_coloured_by_whether_they_contain_zero():
    made = {
        "gain_target": np.array(["dose", "dose", "age"]),
        "gain_name": np.array(["a", "b", "c"]),
        "gain_metric": np.array(["r", "r", "r"]),
        "gain_value": np.array([0.2, -0.2, 0.0]),
        "gain_low": np.array([0.1, -0.3, -0.1]),
        "gain_high": np.array([0.3, -0.1, 0.1]),
    }
    sketch = sketch_of(gains.gains_picture, made)
    colours = [to_hex(colour) for colour in sketch.canvas.axes[0].collections[-1].get_facecolors()]
    assert colours == [style.OURS, style.AGAINST, style.OTHER]
    assert "1 of 3 lie wholly above 0 (blue), 1 wholly below" in sketch.caption


def test_only_targets_beyond_the_family_wise_limit_are_named(arrays):
    assert "its limit is 0.05: dose lies beyond it." in sketch_of(chance.chance_picture, arrays).caption
    lost = arrays | {"tested_p_family": np.array([0.2, 0.4])}
    assert "No target lies beyond it" in sketch_of(chance.chance_picture, lost).caption


def test_regions_stand_by_strength_with_the_colour_of_their_sign(arrays):
    sketch = sketch_of(regions.regions_picture, arrays, place=1)
    bars = sketch.canvas.axes[0].patches
    own = arrays["region_target"] == "positive"
    strength = np.sort(arrays["region_strength"][own])[::-1][:18]
    np.testing.assert_allclose([bar.get_width() for bar in bars], strength)
    assert to_hex(bars[2].get_facecolor()) == style.OURS
    assert to_hex(bars[0].get_facecolor()) == style.AGAINST
    untested = {name: values for name, values in arrays.items() if name != "region_p"}
    assert "No p was computed" in sketch_of(regions.regions_picture, untested).caption


def test_sites_still_told_are_named(arrays):
    assert "still told above chance: as measured, ComBat." in sketch_of(sites.sites_picture, arrays).caption
    gone = arrays | {"site_low": np.full(3, 0.4)}
    assert "no interval is above chance" in sketch_of(sites.sites_picture, gone).caption


def test_a_far_longer_bar_is_cut_and_its_figure_stays(arrays):
    canvas = sketch_of(reconstruction.reconstruction_picture, arrays).canvas
    axes = canvas.axes[-1]
    widths = [bar.get_width() for bar in axes.patches]
    assert max(widths) == axes.get_xlim()[1] < 0.02
    assert "untrained  0.151" in words_of(canvas)


def test_pictures_need_neither_torch_nor_imaging_packages_nor_the_rooms_that_load_them():
    allowed = (
        "kotowari.core.",
        "kotowari.report.numerals",
        "kotowari.report.plots.",
        "kotowari.studies.brain.figures.",
    )
    refused = {"torch", "sklearn", "scipy", "nilearn", "nibabel", "pandas"}
    for path in Path(inspect.getfile(figures)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] not in refused, (path.name, name)
                assert "pyplot" not in name, path.name
                assert not name.startswith("kotowari") or name.startswith(allowed), (path.name, name)


def test_the_blob_of_the_fixture_lies_where_it_is_said_to_lie():
    affine, mask, _ = make_space()
    spot = blob(affine, mask.shape, (-40, 8, 0), 13)
    place = affine @ [*np.unravel_index(spot.argmax(), mask.shape), 1]
    np.testing.assert_allclose(place[:3], (-40, 8, 0), atol=4.01)
