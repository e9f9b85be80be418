"""Shared pictures say what their arrays say, in any study's words."""

import ast
import inspect
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.files import write_bytes
from kotowari.core.jobs import pack_arrays
from kotowari.report import plots
from kotowari.report.plots import confusion, outcome, stability, style
from kotowari.report.plots.arrays import read_arrays
from kotowari.report.plots.detection import implants_picture
from kotowari.report.plots.gallery import save_sketches, sketch_each
from kotowari.report.plots.null import null_picture
from kotowari.report.plots.spread import spread

IMPLANTS = {
    "implant_grades": np.array([0.25, 0.5, 1.0]),
    "implant_frequency": np.array([0.0, 0.5, 1.0]),
    "implant_low": np.array([0.0, 0.2, 0.6]),
    "implant_high": np.array([0.3, 0.8, 1.0]),
    "implant_limit": np.array(1.0),
}


def sketch_of(picture, *inputs):
    with style.house_style():
        return picture(*inputs)


def texts_of(canvas):
    return [text.get_text() for text in canvas.findobj(Text) if text.get_text()]


def test_line_breaks_and_control_signs_do_not_break_a_label():
    assert style.shorten("a\nb\t c\x07d", 20) == "a b c d"
    assert style.shorten("x" * 30, 10) == "x" * 9 + "…"


def test_names_that_differ_at_the_end_stay_apart():
    names = ["microsatellite stable", "microsatellite instable, low", "microsatellite instable, high"]
    assert len({style.shorten(name, 12, keep_end=True) for name in names}) == 3
    assert len({style.shorten(name, 12) for name in names}) == 1  # cut at the end they would be one
    assert all(len(style.shorten(name, 12, keep_end=True)) <= 12 for name in names)


@pytest.mark.parametrize("scale", [style.centred, style.centred_root])
def test_a_centred_scale_reaches_the_largest_value_of_either_sign(scale):
    norm = scale(np.array([-3.0, 1.0]))
    assert (norm.vmin, norm.vmax) == (-3.0, 3.0)
    np.testing.assert_allclose(norm([-3.0, 0.0, 3.0]), [0, 0.5, 1], atol=1e-12)
    assert scale(np.zeros(3)).vmax == 1.0


def test_spreading_keeps_the_gap_and_moves_nothing_that_has_room():
    rng = np.random.default_rng(0)
    for _ in range(50):
        places = np.sort(rng.random(5))
        moved = spread(places, 0.15, 0.0, 1.0)
        assert (np.diff(moved) >= 0.15 - 1e-12).all()
        assert moved.min() >= -1e-12
        assert moved.max() <= 1 + 1e-12
    apart = np.array([0.1, 0.4, 0.9])
    np.testing.assert_allclose(spread(apart, 0.15, 0.0, 1.0), apart)


def test_the_roc_curve_is_that_of_scikit_learn(rng):
    from sklearn.metrics import roc_auc_score, roc_curve

    positive, score = rng.random(200) < 0.3, np.round(rng.random(200), 1)
    false, true = outcome.roc_points(positive, score)
    wanted = roc_curve(positive, score, drop_intermediate=False)
    np.testing.assert_allclose((false, true), wanted[:2])
    assert np.trapezoid(true, false) == pytest.approx(roc_auc_score(positive, score))


def test_dots_of_the_probabilities_stay_in_their_row(rng):
    for n in (1, 30, 3000):
        offsets = outcome._offsets(rng.random(n))
        assert np.abs(offsets).max() <= 0.42 + 1e-12
    assert len(np.unique(outcome._offsets(np.full(5, 0.3)))) == 5


def test_the_confusion_matrix_counts_truth_by_row():
    truth, said = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    sketch = sketch_of(confusion.confusion_picture, truth, said, ["a", "b", "c"])
    counts = {text.get_position(): text.get_text() for text in sketch.canvas.axes[0].texts}
    assert counts == {(0, 0): "1", (1, 0): "1", (1, 1): "1", (2, 2): "1"}
    assert "Most often a is taken for b (1 of 2)" in sketch.caption


def test_wilson_intervals_are_those_of_the_implants():
    from kotowari.trust.implants import detection_limit

    found = np.array([[True] * k + [False] * (10 - k) for k in (0, 3, 10)])
    limit = detection_limit([1.0, 2.0, 3.0], found)
    np.testing.assert_allclose(confusion.wilson(found.sum(1), np.full(3, 10)), (limit.low, limit.high), atol=1e-6)


@pytest.mark.parametrize(
    ("metric", "observed", "p"),
    [("auroc", 0.9, "0.048"), ("auroc", 0.0, "1.00"), ("log_loss", 0.0, "0.048"), ("log_loss", 0.9, "1.00")],
)
def test_p_knows_which_way_is_better(metric, observed, p):
    null = {
        "null_values": np.linspace(0.3, 0.7, 20),
        "observed_value": np.array(observed),
        "null_metric": np.array(metric),
    }
    sketch = sketch_of(null_picture, null)
    assert f"p = {p}" in sketch.title
    assert f"p = {p} from 20 refits" in sketch.canvas.axes[0].get_title(loc="left")


def test_p_of_the_null_is_that_of_the_permutation_test(rng):
    from kotowari.report.numerals import p_value
    from kotowari.trust.permutation import permutation_p

    null = rng.random(199)
    sketch = sketch_of(null_picture, {"null_values": null, "observed_value": np.array(0.9)})
    assert sketch.title.endswith(f"p = {p_value(permutation_p(0.9, null))}")


def test_a_null_without_refits_is_not_drawn():
    assert sketch_of(null_picture, {"null_values": np.zeros(0), "observed_value": np.array(0.9)}) is None


def test_many_refits_are_a_histogram_and_few_are_dots():
    few, many = (
        sketch_of(null_picture, {"null_values": np.linspace(0, 1, n), "observed_value": np.array(0.9)})
        for n in (49, 50)
    )
    assert not few.canvas.axes[0].patches
    assert len(many.canvas.axes[0].patches) == 20


def test_a_random_choice_keeps_the_mean_frequency():
    expected = stability._random_frequencies({"n_selections": np.array(20)}, 4000, 100.0)
    assert expected.mean() == pytest.approx(100 / 4000, rel=0.02)
    assert (np.diff(expected) <= 0).all()
    assert set(stability._random_frequencies({}, 4000, 100.0)) == {0.025}


def test_a_limit_that_was_not_reached_is_told():
    arrays = IMPLANTS | {"implant_limit": np.array(np.inf)}
    assert "says little" in sketch_of(implants_picture, arrays).caption
    assert "0.5 sd or more" in sketch_of(implants_picture, arrays | {"implant_limit": np.array(0.5)}).caption


@pytest.mark.parametrize(("index", "verdict"), [(0.8, "good"), (0.5, "middling"), (0.1, "read hubs rather than")])
def test_stability_speaks_in_the_words_of_the_study(index, verdict):
    arrays = {"frequency": np.linspace(1, 0, 50), "stability": np.array([index, index - 0.1, index + 0.1])}
    picture = partial(stability.stability_picture, part="edge", draws="half samples", instead="hubs")
    sketch = sketch_of(picture, arrays)
    assert verdict in sketch.caption
    assert "of 50 edges, repeated on half samples" in sketch.caption
    assert "always the same edges" in texts_of(sketch.canvas)
    assert "gene" not in sketch.title + sketch.caption


def test_what_was_planted_is_told_in_the_words_of_the_study():
    sketch = sketch_of(partial(implants_picture, unit="planted edge (sd)", planted="Edges were planted"), IMPLANTS)
    assert sketch.caption.startswith("Edges were planted in the user's own table")
    assert "planted edge (sd)" in texts_of(sketch.canvas)


def test_a_selection_of_nothing_has_no_picture():
    for frequency in (np.zeros(5), np.full(5, np.nan), np.zeros(0)):
        assert sketch_of(stability.stability_picture, {"frequency": frequency}) is None


@pytest.fixture
def packed(tmp_path):
    """What writes arrays to a file and reads them back against a table of axes."""

    def read(arrays, axes, **options):
        write_bytes(tmp_path / "pictures.npz", pack_arrays(arrays))
        return read_arrays(tmp_path / "pictures.npz", axes, **options)

    return read


def test_a_study_names_the_axes_of_its_arrays(packed):
    arrays = {"heights": np.ones(3), "names": np.array(["a", "b", "c"]), "unknown": np.ones((7, 7))}
    read = packed(arrays, {"heights": ("tree",), "names": ("tree",), "absent": ("tree", 2)})
    assert read.keys() == arrays.keys()
    with pytest.raises(ShapeError, match="names must have shape"):
        packed(arrays | {"names": np.array(["a"])}, {"heights": ("tree",), "names": ("tree",)})
    with pytest.raises(ShapeError, match="heights must have shape"):
        packed(arrays, {"heights": (2,)})


def test_only_arrays_with_gaps_may_lack_numbers(packed):
    arrays = {"p": np.array([0.1, np.nan])}
    assert np.isnan(packed(arrays, {"p": ("edge",)}, gaps=frozenset({"p"}))["p"][1])
    with pytest.raises(InputError, match="p holds 1 values that are not finite"):
        packed(arrays, {"p": ("edge",)})


def test_a_file_that_is_not_there_holds_no_arrays(tmp_path):
    assert read_arrays(tmp_path / "none.npz", {}) == {}


def test_pictures_without_their_arrays_or_with_nothing_to_show_are_left_out(tmp_path):
    pictures = (
        (null_picture, frozenset({"null_values", "observed_value"})),
        (implants_picture, frozenset(IMPLANTS)),
    )
    assert [sketch.name for sketch in sketch_each(pictures, IMPLANTS)] == ["implants"]
    none = IMPLANTS | {name: np.zeros(0) for name in IMPLANTS if name != "implant_limit"}
    assert save_sketches(tmp_path, sketch_each(pictures, none)) == []
    (figure,) = save_sketches(tmp_path, sketch_each(pictures, IMPLANTS))
    assert (tmp_path / "figures" / figure.file).read_bytes().startswith(b"\x89PNG")


def test_shared_pictures_know_no_study_and_no_numerics():
    allowed = ("kotowari.core.", "kotowari.report.numerals", "kotowari.report.plots.")
    for path in Path(inspect.getfile(plots)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] not in {"torch", "sklearn", "scipy"}, (path.name, name)
                assert "pyplot" not in name, path.name
                assert not name.startswith("kotowari") or name.startswith(allowed), (path.name, name)
