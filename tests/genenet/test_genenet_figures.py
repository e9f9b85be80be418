"""Every picture of networks is drawn from its arrays, small, alike twice, true to its signs and safe with any name."""

import ast
import inspect
from itertools import combinations, permutations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.files import write_bytes
from kotowari.core.jobs import pack_arrays
from kotowari.core.page import Figure
from kotowari.formats.png import read_png
from kotowari.report.numerals import MINUS
from kotowari.report.plots import style
from kotowari.report.plots.gallery import sketch_each
from kotowari.studies.genenet import figures
from kotowari.studies.genenet.figures import (
    along,
    contributions,
    courses,
    draw,
    effective,
    gallery,
    hubs,
    knocked,
    layout,
    networks,
    ranking,
    target_scores,
    verdict,
)
from kotowari.studies.genenet.figures.arrays import AXES, edge_names, read_pictures

FACTORS = ["ZEB1", "ZEB2", "SNAI1", "SNAI2", "TWIST1", "GRHL2", "OVOL2", "ELF3", "KLF4", "HNF4A", "CDX2", "SOX9"]
GENES = ["CDH1", "CDH2", "VIM", "FN1", "EPCAM", "KRT8", "KRT18", "CLDN4", "ESRP1", "SERPINE1", "COL1A1", "MMP14"]
N, N_REGULATORS, N_TARGETS, N_EDGES = 40, 60, 50, 90
SECTIONS = {"result", "reason", "trust"}
COMMON = {
    "guard.png": "guard_value",
    "target-scores.png": "target_scores",
    "networks.png": "shown_samples",
    "edge-ranking.png": "edge_change",
    "courses.png": "course_value",
    "hubs.png": "hub_out",
    "contributions.png": "contribution_samples",
    "permutation-null.png": "null_values",
    "knock-out.png": "knock_drop",
    "stability.png": "frequency",
    "implants.png": "implant_limit",
    "effective-samples.png": "effective_samples",
}
OF_EDGES = ("networks.png", "edge-ranking.png", "courses.png", "hubs.png", "contributions.png")


def make_arrays(n_edges=N_EDGES, *, classes=("MSS", "MSI"), seed=0):
    """Arrays of a run; no ``classes`` for a regression."""
    rng = np.random.default_rng(seed)
    modulator = rng.permutation(np.concatenate([rng.normal(-1, 0.4, N - 10), rng.normal(2, 0.5, 10)]))
    order, cells = np.argsort(modulator), rng.permutation(N_REGULATORS * N_TARGETS)[:n_edges]
    rank = np.empty(N)
    rank[order] = np.linspace(0, 1, N)
    size = rng.gamma(2, 0.2, n_edges) * rng.choice([-1, 1], n_edges)
    values = np.where(rng.random(n_edges) < 0.5, rank[:, None], 1 - rank[:, None]) * size
    values[np.abs(values) < 0.1] = 0
    places = np.linspace(modulator.min(), modulator.max(), 15)
    shown = np.arange(n_edges)[:6]
    course = np.array([np.interp(places, modulator[order], values[order, k]) for k in shown]).reshape(-1, 15)
    top = np.arange(n_edges)[:20]
    regulators = np.array(FACTORS + [f"ZNF{k}" for k in range(N_REGULATORS - len(FACTORS))])
    targets = np.array(GENES + [f"SLC{k}A1" for k in range(N_TARGETS - len(GENES))])
    source, target = np.divmod(cells, N_TARGETS)
    rows = rng.permutation(N)
    made = {
        "regulators": regulators,
        "targets": targets,
        "samples": np.array([f"TCGA-{k}" for k in range(N)]),
        "modulator": modulator,
        "modulator_name": np.array("EMT score"),
        "effective_samples": np.where(modulator > 0.5, 9.0, 25.0),
        "edge_regulator": source,
        "edge_target": target,
        "edge_values": values,
        "edge_change": np.abs(size) * rng.uniform(0.8, 1.2, n_edges),
        "edge_p": np.linspace(0.01, 1, n_edges),
        "edge_frequency": np.linspace(1, 0, n_edges),
        "shown_samples": order[[2, N // 2, N - 3]],
        "course_places": places,
        "course_value": course,
        "course_low": course - 0.1,
        "course_high": course + 0.1,
        "course_edges": shown,
        "hub_names": regulators[:12] if n_edges else regulators[:0],
        "hub_out": rng.integers(0, 9, (12, 3)).astype(float) if n_edges else np.zeros((0, 3)),
        "target_models": np.array(["NetworkProfiler", "global elastic net", "spline of the modulator"]),
        "target_scores": rng.beta(2, 3, (3, N_TARGETS)) - np.array([[0.0], [0.05], [0.3]]),
        "guard_names": np.array(["TRIP", "ridge on raw genes", "spline of the modulator", "chance"]),
        "guard_role": np.array(["ours", "comparator", "trivial null", "chance"]),
        "guard_value": np.array([0.85, 0.9, 0.66, 0.5]),
        "guard_low": np.array([0.7, 0.8, 0.5, np.nan]),
        "guard_high": np.array([0.9, 0.95, 0.8, np.nan]),
        "guard_metric": np.array("AUC"),
        "guard_predicts": np.array(False),
        "guard_sentence": np.array("TRIP is not shown to say more of msi than ridge on raw genes."),
        "response_name": np.array("msi"),
        "classes": np.array(classes, dtype=str),
        "row_samples": rows,
        "contribution_names": np.array(
            [f"{regulators[source[k]]} -> {targets[target[k]]}" for k in top], dtype=str if n_edges else "<U1"
        ),
        "contribution_p": np.linspace(0.01, 0.6, len(top)),
        "null_values": rng.normal(0.5, 0.05, 20),
        "observed_value": np.array(0.85),
        "null_metric": np.array("AUC"),
        "knock_drop": np.array(0.1),
        "knock_random": rng.normal(0.02, 0.01, 19),
        "knock_n": np.array(20),
        "frequency": np.concatenate([np.linspace(1, 0.1, 30), np.zeros(970)]),
        "n_selections": np.array(20),
        "stability": np.array([0.5, 0.4, 0.6]),
        "implant_grades": np.array([0.25, 0.5, 1.0]),
        "implant_frequency": np.array([0.0, 0.5, 1.0]),
        "implant_low": np.array([0.0, 0.2, 0.6]),
        "implant_high": np.array([0.3, 0.8, 1.0]),
        "implant_limit": np.array(1.0),
    }
    if classes:
        codes = np.arange(N) % len(classes)
        scores = np.exp(1.5 * np.eye(len(classes))[codes] + rng.standard_normal((N, len(classes))))
        truth = codes.astype(float)
        made |= {"truth_codes": codes[rows], "out_of_fold": (scores / scores.sum(1, keepdims=True))[rows]}
    else:
        truth = rng.normal(60, 10, N)
        made |= {"truth_values": truth[rows], "predicted_values": (truth + rng.normal(0, 5, N))[rows]}
    effect = (truth - truth.mean()) / truth.std()
    shares = np.outer(effect, np.linspace(1, 0.1, len(top))) + 0.3 * rng.standard_normal((N, len(top)))
    return made | {"contribution_samples": shares, "contribution_mean": shares.mean(0)}


def draw_run(folder, arrays):
    """Draw a run and return its figures by file name."""
    write_bytes(folder / "work" / "pictures.npz", pack_arrays(arrays))
    return {figure.file: figure for figure in draw(folder)}


def sketch_of(picture, arrays):
    with style.house_style():
        return picture(arrays)


def words_of(canvas):
    return [text.get_text() for text in canvas.findobj(Text) if text.get_text()]


def row_names(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory):
    """A drawn run of two classes: its folder, and its figures by file name."""
    folder = tmp_path_factory.mktemp("two")
    return folder, draw_run(folder, make_arrays())


def test_every_picture_of_two_classes_is_drawn_and_small(two_classes):
    folder, drawn = two_classes
    assert set(drawn) == {"roc.png", *COMMON}
    for file, figure in drawn.items():
        path = folder / "figures" / file
        assert path.stat().st_size < 400_000
        picture = read_png(path)
        height, width = picture.shape[:2]
        assert width in {840, 1440}  # half a page or a page, two pixels each
        assert (width > 1.4 * height) == (width == 1440)  # the report gives wide ones a row of their own
        assert (picture[0] == 255).all()  # the ground is white on a dark page too
        assert picture.std() > 5
        assert isinstance(figure, Figure)
        assert figure.section in SECTIONS
        assert figure.title
        assert figure.caption.endswith(".")
        assert "nan" not in figure.caption.lower().split()


def test_equal_arrays_give_equal_bytes_whatever_the_users_settings(tmp_path, two_classes):
    arrays = make_arrays()
    kept = {name: arrays[name] for name in needs()["networks.png"] | needs()["hubs.png"] | {"edge_p", "edge_frequency"}}
    kept |= {name: arrays[name] for name in ("modulator_name", "effective_samples")}
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "text.parse_math": True}):
        drawn = draw_run(tmp_path, kept)
        assert mpl.rcParams["font.size"] == 30  # and the settings are the user's again
    assert set(drawn) == {"networks.png", "edge-ranking.png", "hubs.png", "effective-samples.png"}
    for file in drawn:
        assert (tmp_path / "figures" / file).read_bytes() == (two_classes[0] / "figures" / file).read_bytes(), file


def test_other_arrays_give_other_bytes(tmp_path, two_classes):
    other = make_arrays(seed=1)
    drawn = draw_run(tmp_path, {name: other[name] for name in ("hub_names", "hub_out", "knock_drop", "knock_random")})
    assert set(drawn) == {"hubs.png", "knock-out.png"}
    for file in drawn:
        assert (tmp_path / "figures" / file).read_bytes() != (two_classes[0] / "figures" / file).read_bytes()


@pytest.mark.parametrize(("file", "absent"), COMMON.items())
def test_a_missing_array_leaves_its_picture_out(file, absent):
    lost = {name for name, needed in needs().items() if absent in needed}
    also = {"edge-ranking.png"} if file == "networks.png" else {"networks.png"} if file == "edge-ranking.png" else set()
    assert lost == {file, *also}


def needs():
    """The arrays that each picture cannot do without, by its file."""
    names = {
        "null": "permutation-null",
        "verdict": "guard",
        "effective": "effective-samples",
        "ranking": "edge-ranking",
    }
    found = {}
    for picture, needed in gallery.PICTURES:
        name = getattr(picture, "func", picture).__name__.removesuffix("_picture")
        found[f"{names.get(name, name).replace('_', '-')}.png"] = needed
    return found


def test_every_array_of_the_gallery_is_known_to_the_reader():
    assert frozenset().union(*needs().values()) <= AXES.keys()
    assert make_arrays().keys() <= AXES.keys()


def test_an_empty_run_folder_has_no_pictures(tmp_path):
    assert draw(tmp_path) == []
    assert not (tmp_path / "figures").exists()


def test_a_run_without_edges_has_the_other_pictures():
    assert sketched(make_arrays(0)).keys() == {"roc", *(file.removesuffix(".png") for file in COMMON)} - {
        file.removesuffix(".png") for file in OF_EDGES
    }


def test_one_edge_is_drawn_and_spoken_of_in_the_singular():
    drawn = sketched(make_arrays(1))
    assert drawn["networks"].caption.startswith("The edge whose effect")
    assert drawn["edge-ranking"].caption.startswith("The edge whose")
    assert drawn["courses"].caption.startswith("The coefficient of the edge")
    for file in OF_EDGES:
        canvas = drawn[file.removesuffix(".png")].canvas
        assert style.encode(canvas)[0].startswith(b"\x89PNG")
        assert (canvas.get_figwidth() > 1.4 * canvas.get_figheight()) == (file != "hubs.png")


def sketched(arrays):
    with style.house_style():
        return {sketch.name: sketch for sketch in sketch_each(gallery.PICTURES, arrays)}


def test_a_regression_has_its_own_picture_of_the_outcome(tmp_path):
    arrays = make_arrays(classes=())
    kept = {k: v for k, v in arrays.items() if k.startswith(("contribution", "truth", "pred", "resp", "row", "sam"))}
    drawn = draw_run(tmp_path, kept)
    assert set(drawn) == {"contributions.png", "predicted-measured.png"}
    assert "measured msi" in drawn["contributions.png"].caption


# The network pictures


def test_the_three_networks_have_one_layout():
    canvas = sketch_of(networks.networks_picture, make_arrays()).canvas
    low, middle, high = (node_places(axes) for axes in canvas.axes)
    np.testing.assert_array_equal(low, middle)
    np.testing.assert_array_equal(low, high)


def node_places(axes):
    scatters = [c for c in axes.collections if isinstance(c, PathCollection) and len(c.get_offsets()) > 1]
    return np.concatenate([scatter.get_offsets() for scatter in scatters])


def test_edges_have_the_colour_of_their_sign_and_the_width_of_their_size():
    arrays = make_arrays(3)
    arrays["edge_values"][:] = [0.5, -1.0, 0.0]
    arrays["edge_values"][0, 2] = 0.1  # there in a sample that is not shown
    arrays["shown_samples"] = np.array([1, 2, 3])
    for axes in sketch_of(networks.networks_picture, arrays).canvas.axes:
        curves = axes.collections[1]
        assert [to_hex(colour) for colour in curves.get_edgecolors()] == [style.AGAINST, style.OURS]
        small, large = curves.get_linewidths()
        assert small == pytest.approx((networks._THINNEST + networks._THICKEST) / 2)
        assert large == networks._THICKEST
        assert len(axes.collections[0].get_paths()) == 3  # the absent one stays as a hairline


def test_an_effect_without_a_coefficient_is_not_an_edge_of_the_network():
    arrays = make_arrays(3)
    arrays["edge_values"][:, 1] = 0.0
    sketch = sketch_of(networks.networks_picture, arrays)
    assert sketch.caption.startswith("The 2 edges")
    arrays["edge_values"][:] = 0.0
    assert sketch_of(networks.networks_picture, arrays) is None


@pytest.mark.parametrize("n_edges", [1, 5, 30, N_EDGES])
def test_names_of_the_networks_do_not_overlap(n_edges):
    arrays = make_arrays(n_edges)
    arrays["regulators"] = np.array([f"HLA-DRB1|long name {k}" for k in range(N_REGULATORS)])
    canvas = sketch_of(networks.networks_picture, arrays).canvas
    boxes = boxes_of(canvas, [text for axes in canvas.axes for text in axes.texts])
    assert len(boxes) >= 2
    assert_apart(canvas, boxes)


@pytest.mark.parametrize("level", [0.0, 5.0])
def test_names_of_hubs_do_not_overlap(level):
    arrays = make_arrays() | {"hub_out": np.full((12, 3), level)}
    arrays["hub_out"][0, 1] = 9
    canvas = sketch_of(hubs.hubs_picture, arrays).canvas
    assert_apart(canvas, boxes_of(canvas, canvas.axes[0].texts))


def test_names_that_overlap_would_be_caught():
    wrong = Canvas()
    texts = [wrong.text(0.5, place, "GENE") for place in (0.5, 0.51)]
    with pytest.raises(AssertionError):
        assert_apart(wrong, boxes_of(wrong, texts))


def boxes_of(canvas, texts):
    renderer = FigureCanvasAgg(canvas).get_renderer()
    return [text.get_window_extent(renderer) for text in texts]


def assert_apart(canvas, boxes):
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert all(box.x0 >= 0 and box.x1 <= canvas.bbox.x1 and box.y0 >= 0 and box.y1 <= canvas.bbox.y1 for box in boxes)


def test_the_strongest_edges_are_shown_as_long_as_the_page_has_room():
    arrays = make_arrays()
    shown = networks._shown(arrays)
    assert shown.tolist() == np.argsort(-arrays["edge_change"], kind="stable")[: len(shown)].tolist()
    assert len(shown) <= 40
    for ends in (arrays["edge_regulator"], arrays["edge_target"]):
        assert len(np.unique(ends[shown])) <= 28


def test_a_layout_is_a_permutation_with_no_more_crossings_than_the_given_order(rng):
    for _ in range(20):
        source, target = (np.unique(rng.integers(0, 12, 25), return_inverse=True)[1] for _ in range(2))
        left, right = layout.layered_order(source, target)
        assert sorted(left) == list(range(source.max() + 1))
        assert sorted(right) == list(range(target.max() + 1))
        assert layout.n_crossings(left[source], right[target]) <= layout.n_crossings(source, target)


def test_a_tangle_that_can_be_undone_is_undone(rng):
    chain = np.arange(15)
    shuffled = rng.permutation(15)
    ends = np.concatenate([chain, chain[:-1]]), np.concatenate([shuffled, shuffled[1:]])  # a path zig-zags: planar
    left, right = layout.layered_order(*ends)
    assert layout.n_crossings(left[ends[0]], right[ends[1]]) == 0
    assert layout.n_crossings(*ends) > 0


def test_small_layouts_come_close_to_the_fewest_crossings(rng):
    excess = 0
    for _ in range(10):
        source, target = (np.unique(rng.integers(0, 5, 9), return_inverse=True)[1] for _ in range(2))
        left, right = layout.layered_order(source, target)
        fewest = min(
            layout.n_crossings(np.array(a)[source], np.array(b)[target])
            for a in permutations(range(source.max() + 1))
            for b in permutations(range(target.max() + 1))
        )
        excess += layout.n_crossings(left[source], right[target]) - fewest
    assert excess <= 5  # half a crossing a drawing


def test_crossings_are_counted_pair_by_pair(rng):
    left, right = rng.integers(0, 9, (2, 30))
    wanted = sum((a - b) * (c - d) < 0 for (a, c), (b, d) in combinations(zip(left, right, strict=True), 2))
    assert layout.n_crossings(left, right) == wanted


# Ranking, courses, hubs, samples


def test_the_edges_of_largest_change_stand_in_order_with_their_marks():
    arrays = make_arrays()
    order = np.argsort(-arrays["edge_change"], kind="stable")
    arrays["edge_p"] = np.where(np.isin(np.arange(N_EDGES), order[:3]), 0.01, 0.5)
    sketch = sketch_of(ranking.ranking_picture, arrays)
    assert row_names(sketch.canvas.axes[0]) == edge_names(arrays, order[:25], 11)
    assert words_of(sketch.canvas).count(style.SIGNIFICANT) == 3
    assert "3 of them have p < 0.05" in sketch.caption


def test_edges_without_p_and_frequency_are_called_a_suggestion():
    arrays = make_arrays() | {"edge_p": np.full(N_EDGES, np.nan), "edge_frequency": np.full(N_EDGES, np.nan)}
    sketch = sketch_of(ranking.ranking_picture, arrays)
    assert "a suggestion, not a finding" in sketch.caption
    assert "nothing is known of their stability" in sketch.caption
    assert len(sketch.canvas.axes) == 2
    del arrays["edge_p"], arrays["edge_frequency"]
    assert sketch_of(ranking.ranking_picture, arrays).caption == sketch.caption


def test_a_rising_coefficient_is_orange_and_a_falling_one_blue():
    arrays = make_arrays(2)
    arrays["edge_values"][arrays["shown_samples"]] = [[0.0, 0.5], [0.2, 0.2], [0.4, -0.3]]
    arrays["edge_change"] = np.array([2.0, 1.0])
    _, low, high = sketch_of(ranking.ranking_picture, arrays).canvas.axes[1].collections[1:4]
    assert [to_hex(colour) for colour in high.get_facecolors()] == [style.AGAINST, style.OURS]
    np.testing.assert_allclose(high.get_offsets()[:, 0], [0.4, -0.3])
    np.testing.assert_allclose(low.get_offsets()[:, 0], [0.0, 0.5])


def test_courses_without_bootstraps_say_so_and_have_no_band():
    arrays = make_arrays()
    banded = sketch_of(courses.courses_picture, arrays)
    del arrays["course_low"], arrays["course_high"]
    plain = sketch_of(courses.courses_picture, arrays)
    assert "95 % bootstrap intervals" in banded.caption
    assert "No bootstraps were run" in plain.caption
    assert len(banded.canvas.axes) == len(plain.canvas.axes) == 6


def test_places_with_few_samples_are_grey_from_where_the_line_passes_the_limit():
    arrays = {"modulator": np.array([3.0, 0.0, 1.0, 2.0]), "effective_samples": np.array([10.0, 10.0, 30.0, 30.0])}
    axes = Canvas().subplots()
    along.shade_few(axes, arrays)
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
    low, high = along.limits(arrays["modulator"])
    np.testing.assert_allclose(spans, [(low, 0.5), (2.5, high)])
    assert "it concerns 2 of 4" in along.few_words(arrays)


def test_nothing_is_grey_where_samples_suffice_or_are_not_known():
    for arrays in ({"modulator": np.arange(3.0), "effective_samples": np.full(3, 20.0)}, {"modulator": np.arange(3.0)}):
        axes = Canvas().subplots()
        along.shade_few(axes, arrays)
        assert not axes.patches
        assert along.few_words(arrays) == ""


def test_the_limit_of_few_samples_is_that_of_a_correlation_of_044():
    from scipy.stats import t

    quantile = t.ppf(0.975, along.FEW_SAMPLES - 2)
    assert round(quantile / np.sqrt(along.FEW_SAMPLES - 2 + quantile**2), 2) == 0.44


@pytest.mark.parametrize(("modulator", "words"), [([0, 1, 2], "at the low end"), ([2, 1, 0], "at the high end")])
def test_where_samples_are_fewest_is_told(modulator, words):
    modulator = np.repeat(np.array(modulator, float), [1, 10, 10])
    arrays = {"modulator": modulator, "effective_samples": np.repeat([5.0, 30.0, 40.0], [1, 10, 10])}
    assert words in sketch_of(effective.effective_picture, arrays).caption


def test_hubs_that_gain_are_orange_and_those_that_lose_blue():
    arrays = {"hub_names": np.array(["UP", "DOWN", "EVEN"]), "hub_out": np.array([[1, 5, 9], [9, 5, 1], [4, 9, 4.0]])}
    sketch = sketch_of(hubs.hubs_picture, arrays)
    colours = {text.get_text().split()[-1]: text.get_color() for text in sketch.canvas.axes[0].texts[3:]}
    assert colours == {"UP": style.AGAINST, "DOWN": style.OURS, "EVEN": style.INK}
    assert "(+8 from the low to the high end)" in sketch.caption


# Scores


def test_targets_tell_which_model_is_better_and_how_often():
    scores = np.array([[0.5, 0.4, 0.3, np.nan], [0.4, 0.3, 0.35, 0.9], [0.1, -3.0, 0.0, 0.1]])
    arrays = {"target_models": np.array(["ours", "global", "spline"]), "target_scores": scores}
    sketch = sketch_of(target_scores.target_scores_picture, arrays)
    assert "3 target genes" in sketch.caption
    assert "ours is better than global on 67 %" in sketch.caption
    assert f"Of 1 below {MINUS}0.5 only the edge" in sketch.caption
    assert "has the highest median" in sketch.caption
    swapped = arrays | {"target_scores": scores[[1, 0, 2]][:, :2]}
    assert "global has the higher median" in sketch_of(target_scores.target_scores_picture, swapped).caption
    assert sketch_of(target_scores.target_scores_picture, arrays | {"target_scores": scores * np.nan}) is None


def test_the_guard_puts_ours_first_and_gives_its_own_sentence():
    arrays = make_arrays()
    arrays["guard_role"] = arrays["guard_role"][::-1]
    sketch = sketch_of(verdict.verdict_picture, arrays)
    names = row_names(sketch.canvas.axes[0])
    assert names == ["chance", "ridge on raw genes", "spline of the modulator", "TRIP"]
    assert sketch.caption.startswith(str(arrays["guard_sentence"]))
    assert sketch.canvas.axes[0].get_title(loc="left") == "Not shown to predict the target"
    allowed = sketch_of(verdict.verdict_picture, arrays | {"guard_predicts": np.array(True)})
    assert allowed.canvas.axes[0].get_title(loc="left") == "The networks predict the target"


def test_the_word_predict_needs_the_guard():
    arrays = make_arrays()
    refused, allowed = (
        sketch_of(verdict.verdict_picture, arrays | {"guard_predicts": np.array(said)}).title for said in (False, True)
    )
    assert refused.endswith("not shown to predict")
    assert allowed.endswith("they predict")


def test_a_knock_out_no_worse_than_random_is_told():
    arrays = make_arrays()
    assert "hangs on these edges" in sketch_of(knocked.knock_out_picture, arrays).caption
    weak = arrays | {"knock_drop": np.array(0.0)}
    assert "does not hang on the named edges" in sketch_of(knocked.knock_out_picture, weak).caption
    assert sketch_of(knocked.knock_out_picture, arrays | {"knock_drop": np.array(np.nan)}) is None


def test_p_of_the_knock_out_is_that_of_the_permutation_test():
    from kotowari.report.numerals import p_value
    from kotowari.trust.permutation import permutation_p

    arrays = make_arrays() | {"knock_drop": np.array(0.025)}
    wanted = p_value(permutation_p(0.025, arrays["knock_random"]))
    assert f"p = {wanted}." in sketch_of(knocked.knock_out_picture, arrays).caption


# Contributions


@pytest.mark.parametrize("classes", [("MSS", "MSI"), ("a", "b", "c"), ()])
def test_samples_of_the_heat_map_stand_in_the_order_of_their_own_truth(classes):
    arrays = make_arrays(classes=classes)
    order = contributions.sample_order(arrays)
    truth = np.empty(N)
    truth[arrays["row_samples"]] = arrays["truth_codes" if classes else "truth_values"]
    np.testing.assert_array_equal(order.truth, truth)
    assert (np.diff(truth[order.samples]) >= 0).all()
    assert sorted(order.samples) == list(range(N))


def test_rows_out_of_place_would_be_caught():
    arrays = make_arrays()
    wrong = arrays | {"row_samples": np.arange(N)}  # rows come fold after fold, not sample after sample
    truth = np.empty(N)
    truth[arrays["row_samples"]] = arrays["truth_codes"]
    with pytest.raises(AssertionError):
        assert (np.diff(truth[contributions.sample_order(wrong).samples]) >= 0).all()


def test_without_knowing_whose_a_prediction_is_samples_are_ordered_by_their_contributions():
    arrays = make_arrays()
    del arrays["row_samples"]
    order = contributions.sample_order(arrays)
    assert order.truth is None
    assert (np.diff(arrays["contribution_samples"].sum(1)[order.samples]) >= 0).all()


def test_a_sample_without_a_prediction_stands_last():
    arrays = make_arrays()
    for name in ("row_samples", "truth_codes", "out_of_fold"):
        arrays[name] = arrays[name][1:]
    order = contributions.sample_order(arrays)
    assert np.isnan(order.truth[order.samples[-1]])
    assert np.isfinite(order.truth[order.samples[:-1]]).all()
    assert sketch_of(contributions.contributions_picture, arrays) is not None


def test_contributions_are_centred_on_zero_and_shown_edge_by_edge():
    arrays = make_arrays()
    arrays["contribution_samples"] = np.abs(arrays["contribution_samples"])  # one sign must not stretch the scale
    heat = sketch_of(contributions.contributions_picture, arrays).canvas.axes[1].images[0]
    assert heat.norm.vmin == -heat.norm.vmax
    assert heat.norm(0.0) == pytest.approx(0.5)
    order = contributions.sample_order(arrays).samples
    np.testing.assert_array_equal(heat.get_array(), arrays["contribution_samples"][order].T)


def test_bars_show_what_edges_were_ranked_by_where_it_is_known():
    arrays = make_arrays()
    mean = sketch_of(contributions.contributions_picture, arrays)
    ranked = sketch_of(
        contributions.contributions_picture, arrays | {"contribution_importance": np.linspace(2, 0.1, 20)}
    )
    assert mean.canvas.axes[0].get_xlabel() == "mean contribution to MSI"
    assert ranked.canvas.axes[0].get_xlabel() == "covariance with prediction"
    assert next(bar.get_width() for bar in ranked.canvas.axes[0].patches) == 2
    assert "variance of the prediction" in ranked.caption
    assert "variance of the prediction" not in mean.caption


# At the door


@pytest.mark.parametrize("name", ["$x_1^2$ & <i>", "HLA-DRB1|a name that has no end", "100 % {\\bf x}"])
def test_odd_names_are_shown_as_text(name):
    arrays = make_arrays(8)
    arrays |= {key: np.array([name] * len(arrays[key])) for key in ("regulators", "targets", "hub_names")}
    arrays |= {"contribution_names": np.array([f"{name} -> {name}"] * 8), "modulator_name": np.array(name)}
    for picture in (
        networks.networks_picture,
        ranking.ranking_picture,
        courses.courses_picture,
        hubs.hubs_picture,
        contributions.contributions_picture,
    ):
        canvas = sketch_of(picture, arrays).canvas
        assert not any(text.get_parse_math() or text.get_usetex() for text in canvas.findobj(Text) if text.get_text())
        assert any(style.shorten(name, 9, keep_end=True)[:3] in words for words in words_of(canvas))


def test_arrays_that_do_not_fit_each_other_are_refused(tmp_path):
    with pytest.raises(ShapeError, match="edge_target must have shape"):
        draw_run(tmp_path, make_arrays() | {"edge_target": np.zeros(3, int)})
    with pytest.raises(ShapeError, match="hub_out must have shape"):
        draw_run(tmp_path, make_arrays() | {"hub_out": np.zeros((12, 2))})


@pytest.mark.parametrize(
    ("name", "position"), [("edge_regulator", N_REGULATORS), ("shown_samples", -1), ("course_edges", N_EDGES)]
)
def test_a_position_that_does_not_exist_is_refused(tmp_path, name, position):
    arrays = make_arrays()
    arrays[name][0] = position
    write_bytes(tmp_path / "pictures.npz", pack_arrays(arrays))
    with pytest.raises(InputError, match=f"{name} holds the position {position}, but there are"):
        read_pictures(tmp_path / "pictures.npz")


def test_values_that_are_not_finite_are_refused_where_they_mean_nothing(tmp_path):
    arrays = make_arrays()
    arrays["edge_values"][0, 0] = np.nan
    with pytest.raises(InputError, match="edge_values holds 1 values that are not finite"):
        draw_run(tmp_path, arrays)


def test_pictures_need_neither_torch_nor_scikit_learn_nor_the_rooms_that_load_them():
    allowed = (
        "kotowari.core.",
        "kotowari.report.numerals",
        "kotowari.report.plots.",
        "kotowari.studies.genenet.figures.",
    )
    for path in Path(inspect.getfile(figures)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] not in {"torch", "sklearn", "scipy", "networkx"}, (path.name, name)
                assert "pyplot" not in name, path.name
                assert not name.startswith("kotowari") or name.startswith(allowed), (path.name, name)
