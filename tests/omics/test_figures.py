"""Every picture is drawn from its arrays, small, alike twice, true to its scale and safe with any name."""

import ast
import inspect
import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text
from PIL import Image

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.files import write_bytes
from kotowari.core.jobs import pack_arrays
from kotowari.core.page import Figure, write_table
from kotowari.formats.png import read_png
from kotowari.report.plots import outcome, stability, style
from kotowari.studies.omics import figures
from kotowari.studies.omics.figures import (
    class_images,
    draw,
    faithfulness,
    gallery,
    gene_map,
    pathways,
    random_network,
    top_genes,
)
from kotowari.studies.omics.figures.arrays import AXES

SIDE, N_GENES, N_ROWS = 24, 500, 40
SECTIONS = {"result", "reason", "trust", "pathways", "patients"}
SHARED = {
    "gene-map.png": "pixels",
    "top-genes.png": "class_means",
    "mean-images.png": "mean_images",
    "class-maps.png": "relevance_maps",
    "permutation-null.png": "null_values",
    "random-network.png": "random_strength",
    "stability.png": "frequency",
    "implants.png": "implant_limit",
    "faithfulness.png": "deletion",
}
ODD = ["$x_1^2$", "a_b & c<d>", "100 % {\\bf x}", "50$ to 60$"]


def make_arrays(n_classes=2, *, seed=0, side=SIDE, n_genes=N_GENES, names=None):
    """Arrays of a run; ``n_classes=0`` for a regression."""
    rng = np.random.default_rng(seed)
    n = max(n_classes, 1)
    pixels = np.column_stack(np.divmod(rng.permutation(side * side)[:n_genes], side))
    means = rng.standard_normal((n, n_genes)) * 0.01
    relevance = np.zeros((n, side, side))
    relevance[:, pixels[:, 0], pixels[:, 1]] = means
    steps = np.linspace(0, 1, 11)
    frequency = np.zeros(n_genes)
    frequency[rng.permutation(n_genes)[:80]] = np.linspace(1, 0.05, 80)
    made = {
        "genes": np.array([f"GENE{k}" for k in range(n_genes)]),
        "pixels": pixels,
        "shape": np.array([side, side]),
        "classes": np.array(names or [f"type {k}" for k in range(n_classes)], dtype=str),
        "target": np.array("age" if n_classes == 0 else "subtype"),
        "mean_images": rng.random((n, side, side)),
        "class_maps": rng.standard_normal((n, side, side)),
        "relevance_maps": relevance,
        "strength": np.abs(means).mean(0),
        "class_means": means,
        "p": rng.random(n_genes),
        "q": np.where(np.arange(n_genes) < 200, 0.01, np.nan),
        "frequency": frequency,
        "n_selections": np.array(20),
        "null_values": rng.normal(0.5, 0.05, 20),
        "observed_value": np.array(0.8),
        "null_metric": np.array("auroc"),
        "implant_grades": np.array([0.25, 0.5, 1.0]),
        "implant_frequency": np.array([0.0, 0.5, 1.0]),
        "implant_low": np.array([0.0, 0.2, 0.6]),
        "implant_high": np.array([0.3, 0.8, 1.0]),
        "implant_limit": np.array(1.0),
        "fractions": steps,
        "deletion": np.exp(-4 * steps),
        "insertion": 1 - np.exp(-4 * steps),
        "random_deletion": 1 - steps,
        "random_insertion": steps,
        "stability": np.array([0.6, 0.5, 0.7]),
        "random_strength": rng.random(n_genes),
    }
    if n_classes == 0:
        truth = rng.normal(60, 10, N_ROWS)
        return made | {"truth_values": truth, "predicted_values": truth + rng.normal(0, 5, N_ROWS)}
    codes = np.arange(N_ROWS) % n_classes
    scores = np.exp(1.5 * np.eye(n_classes)[codes] + rng.standard_normal((N_ROWS, n_classes)))
    return made | {"truth_codes": codes, "out_of_fold": scores / scores.sum(1, keepdims=True)}


def over_represented(n=20, name="set"):
    p = np.logspace(-6, -0.1, n)
    return pd.DataFrame(
        {
            "set": [f"{name} {k}" for k in range(n)],
            "k": 5,
            "size": 40,
            "expected": 1.2,
            "p": p,
            "q": np.minimum(p * 5, 1),
            "layout_p": np.sqrt(p),
            "genes": "TP53;KRAS;APC",
        }
    )


def ranked(n=20):
    nes = np.linspace(-2, 2, n)
    p = np.linspace(0.001, 1, n)
    genes = "TP53;KRAS"
    return pd.DataFrame(
        {"set": [f"set {k}" for k in range(n)], "es": nes / 4, "nes": nes, "p": p, "q": p, "leading_edge": genes}
    )


def write_run(folder, arrays, *, tables=True):
    write_bytes(folder / "work" / "pictures.npz", pack_arrays(arrays))
    if tables:
        write_table(folder / "tables" / "pathways-over-representation.csv", over_represented())
        write_table(folder / "tables" / "pathways-gsea.csv", ranked())
    return folder


def draw_run(folder, arrays, *, tables=True):
    """Draw a run and return its figures by file name."""
    return {figure.file: figure for figure in draw(write_run(folder, arrays, tables=tables))}


def sketch_of(picture, *inputs):
    with style.house_style():
        return picture(*inputs)


def texts_of(canvas):
    return [text for text in canvas.findobj(Text) if text.get_text()]


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory):
    """A drawn run of two classes: its folder, and its figures by file name."""
    folder = tmp_path_factory.mktemp("two")
    return folder, draw_run(folder, make_arrays(2))


def test_every_picture_of_two_classes_is_drawn_and_small(two_classes):
    assert_drawn(*two_classes, "roc.png")


@pytest.mark.parametrize(("n_classes", "result"), [(11, "confusion.png"), (0, "predicted-measured.png")])
def test_every_picture_is_drawn_and_small(tmp_path, n_classes, result):
    assert_drawn(tmp_path, draw_run(tmp_path, make_arrays(n_classes)), result)


def assert_drawn(folder, drawn, result):
    assert set(drawn) == {result, *SHARED, "pathways-over-representation.png", "pathways-gsea.png"}
    assert {path.name for path in (folder / "figures").iterdir()} == set(drawn)
    sizes = [(folder / "figures" / file).stat().st_size for file in drawn]
    assert max(sizes) < 400_000
    assert sum(sizes) < 3_000_000
    for file, figure in drawn.items():
        picture = read_png(folder / "figures" / file)
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


def test_one_class_has_maps_but_no_verdict_on_prediction():
    arrays = make_arrays(1)
    assert sketch_of(outcome.classes_picture, arrays) is None
    for picture in (class_images.class_maps_picture, class_images.mean_images_picture, top_genes.top_genes_picture):
        assert "type 0" in {text.get_text() for text in texts_of(sketch_of(picture, arrays).canvas)}


def test_equal_arrays_give_equal_bytes_whatever_the_users_settings(tmp_path, two_classes):
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "text.parse_math": True}):
        draw_run(tmp_path, make_arrays())
        assert mpl.rcParams["font.size"] == 30  # and the settings are the user's again
    for path in (two_classes[0] / "figures").iterdir():
        assert path.read_bytes() == (tmp_path / "figures" / path.name).read_bytes(), path.name
        assert b"matplotlib" not in path.read_bytes().lower()


def test_other_arrays_give_other_bytes(tmp_path, two_classes):
    other = make_arrays(seed=1)
    draw_run(
        tmp_path, {key: other[key] for key in ("classes", "mean_images", "null_values", "observed_value")}, tables=False
    )
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"mean-images.png", "permutation-null.png"}
    for path in (tmp_path / "figures").iterdir():
        assert path.read_bytes() != (two_classes[0] / "figures" / path.name).read_bytes()


@pytest.mark.parametrize(("file", "absent"), SHARED.items())
def test_a_missing_array_leaves_its_picture_out(file, absent):
    arrays = make_arrays()
    del arrays[absent]
    with_all = {name for name, needed in picture_needs().items() if needed <= make_arrays().keys()}
    without = {name for name, needed in picture_needs().items() if needed <= arrays.keys()}
    named = file.removesuffix(".png").replace("-", "_")
    assert with_all - without == ({named, "class_maps"} if absent == "mean_images" else {named})


def picture_needs():
    names = {
        "null_picture": "permutation_null",
        "classes_picture": "roc",
    }
    return {
        names.get(name, name.removesuffix("_picture")): needed
        for picture, needed in gallery.PICTURES
        for name in [getattr(picture, "func", picture).__name__]
    }


def test_an_empty_run_folder_has_no_pictures(tmp_path):
    assert draw(tmp_path) == []
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize("n_classes", [2, 4])
def test_odd_names_are_shown_as_they_are(tmp_path, n_classes):
    names = ODD[:n_classes]
    arrays = make_arrays(n_classes, names=names, n_genes=100)
    arrays["genes"] = np.array([f"{ODD[k % 4]} {k}" for k in range(100)])
    write_table(tmp_path / "tables" / "pathways-odd.csv", over_represented(name="$\\frac$ & <i> _x^"))
    sketches = [
        sketch_of(gene_map.gene_map_picture, arrays),
        sketch_of(top_genes.top_genes_picture, arrays),
        sketch_of(class_images.class_maps_picture, arrays),
        sketch_of(outcome.classes_picture, arrays),
        sketch_of(pathways.pathways_picture, tmp_path / "tables" / "pathways-odd.csv", arrays),
    ]
    for sketch in sketches:
        assert_shown_as_text(sketch.canvas)
        assert style.encode(sketch.canvas)[0].startswith(b"\x89PNG")
    assert sum("$x_1^2$" in text.get_text() for text in texts_of(sketches[0].canvas)) >= 1
    for name in names:
        assert any(name in text.get_text() for text in texts_of(sketches[2].canvas))


def test_mathematics_in_a_name_would_be_caught():
    wrong = Canvas()
    wrong.text(0.5, 0.5, "$x_1^2$", parse_math=True)
    with pytest.raises(AssertionError):
        assert_shown_as_text(wrong)


def assert_shown_as_text(canvas):
    assert not any(text.get_parse_math() or text.get_usetex() for text in texts_of(canvas))


def test_a_sign_that_no_font_has_is_told_in_the_caption(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "_installed_far_eastern", tuple)
    arrays = make_arrays(names=["大腸", "直腸"])
    needed = ("classes", "truth_codes", "out_of_fold", "frequency")
    drawn = draw_run(tmp_path, {key: arrays[key] for key in needed}, tables=False)
    assert "shown as boxes" in drawn["roc.png"].caption
    assert "shown as boxes" not in drawn["stability.png"].caption


@pytest.mark.parametrize("n_classes", [0, 2, 3, 11])
def test_signed_colours_are_centred_on_zero(n_classes):
    arrays = make_arrays(n_classes)
    for key in ("class_maps", "relevance_maps", "class_means"):
        arrays[key] = np.abs(arrays[key]) + 0.5  # one sign alone must not stretch the scale
    for picture in (class_images.class_maps_picture, class_images.mean_images_picture, top_genes.top_genes_picture):
        assert_centred(sketch_of(picture, arrays).canvas)


def test_a_scale_that_is_not_centred_would_be_caught():
    wrong = Canvas()
    wrong.subplots().imshow([[0.5, 1.0]], cmap=style.DIVERGING)
    with pytest.raises(AssertionError):
        assert_centred(wrong)


def assert_centred(canvas):
    images = [image for axes in canvas.axes for image in axes.images if image.cmap.name == style.DIVERGING.name]
    for image in images:
        assert image.norm.vmin == -image.norm.vmax
        assert image.norm(0.0) == pytest.approx(0.5)
        values = np.asarray(image.get_array())
        if values.ndim == 2:  # an overlay is coloured already
            assert image.norm.vmax >= np.abs(values).max()


def test_all_classes_share_one_scale():
    canvas = sketch_of(class_images.mean_images_picture, make_arrays(3)).canvas
    scales = {(image.cmap.name, image.norm.vmin, image.norm.vmax) for axes in canvas.axes for image in axes.images}
    assert len(scales) == 2  # means, and what sets the classes apart


def test_the_overlay_has_the_colour_of_the_map_and_the_shade_of_the_image():
    images, maps = np.array([[[0.0, 1.0]]]), np.array([[[-2.0, -2.0]]])
    light, dark = class_images._overlay(images, maps)[0][0]
    np.testing.assert_allclose(light, style.DIVERGING(0.0)[:3])
    np.testing.assert_allclose(dark, 0.55 * light)


@pytest.mark.parametrize("shape", [(24, 24), (12, 60), (60, 12), (3, 200)])
def test_names_on_the_gene_map_do_not_overlap(shape):
    arrays = make_arrays()
    rng = np.random.default_rng(3)
    flat = rng.permutation(shape[0] * shape[1])[:N_GENES]
    arrays |= {"shape": np.array(shape), "pixels": np.column_stack(np.divmod(flat, shape[1]))}
    arrays["strength"][:10] = 1.0  # ten of the strongest crowd in one corner
    arrays["pixels"][:10] = np.column_stack([np.arange(10) // 5, np.arange(10) % 5])
    canvas = sketch_of(gene_map.gene_map_picture, arrays).canvas
    named = [text for text in texts_of(canvas) if "GENE" in text.get_text()]
    assert len(named) == 10
    renderer = FigureCanvasAgg(canvas).get_renderer()
    canvas.draw_without_rendering()  # a map takes its place when it is drawn
    boxes = [text.get_window_extent(renderer) for text in named]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    assert all(box.x0 >= 0 and box.x1 <= canvas.bbox.x1 and box.y0 >= 0 and box.y1 <= canvas.bbox.y1 for box in boxes)


def test_genes_of_one_pixel_show_the_strongest():
    arrays = make_arrays()
    arrays["pixels"][:] = [2, 3]
    sketch = sketch_of(gene_map.gene_map_picture, arrays)
    image = sketch.canvas.axes[0].images[0].get_array()
    assert image.count() == 1
    assert image[2, 3] == arrays["strength"].max()
    assert "499" in sketch.caption


def test_the_strongest_genes_stand_in_order_with_their_marks():
    arrays = make_arrays()
    arrays["q"] = np.where(arrays["strength"] >= np.sort(arrays["strength"])[-3], 0.01, 0.5)
    sketch = sketch_of(top_genes.top_genes_picture, arrays)
    names = [label.get_text() for label in sketch.canvas.axes[0].get_yticklabels()]
    assert names == arrays["genes"][np.argsort(-arrays["strength"])][:25].tolist()
    assert sum(text.get_text() == style.SIGNIFICANT for text in texts_of(sketch.canvas)) == 3
    assert "3 of them have q < 0.05" in sketch.caption


def test_genes_without_q_are_called_a_suggestion():
    arrays = make_arrays() | {"q": np.full(N_GENES, np.nan), "frequency": np.full(N_GENES, np.nan)}
    sketch = sketch_of(top_genes.top_genes_picture, arrays)
    assert "a suggestion, not a finding" in sketch.caption
    assert "No bootstraps were run" in sketch.caption
    assert len(sketch.canvas.axes) == 3  # strength, sign, colour bar
    assert sketch_of(stability.stability_picture, arrays) is None


def test_ranks_are_those_of_scipy(rng):
    from scipy.stats import rankdata

    values = rng.integers(0, 9, 50).astype(float)
    np.testing.assert_array_equal(random_network.ranks(values), rankdata(values))


def test_an_untrained_look_alike_is_called_out():
    arrays = make_arrays()
    alike = sketch_of(random_network.random_network_picture, arrays | {"random_strength": 7 * arrays["strength"]})
    other = sketch_of(random_network.random_network_picture, arrays)
    assert "do not read it as reasons" in alike.caption
    assert "depends on what was learned" in other.caption


def test_a_named_order_no_better_than_random_is_told():
    arrays = make_arrays()
    good = sketch_of(faithfulness.faithfulness_picture, arrays)
    swapped = arrays | {"deletion": arrays["insertion"], "insertion": arrays["deletion"]}
    bad = sketch_of(faithfulness.faithfulness_picture, swapped)
    alone = sketch_of(
        faithfulness.faithfulness_picture, {key: arrays[key] for key in ("fractions", "deletion", "insertion")}
    )
    assert "hangs on the named genes" in good.caption
    assert "do not trust their order" in bad.caption
    assert "says little" in alone.caption


def test_pathways_without_a_layout_test_have_one_kind_of_dot(tmp_path):
    path = tmp_path / "pathways-x.csv"
    write_table(path, over_represented().drop(columns="layout_p"))
    sketch = sketch_of(pathways.pathways_picture, path, {})
    labels = [text.get_text() for text in sketch.canvas.axes[0].get_legend().get_texts()]
    assert labels == ["counting genes", "p = 0.05"]
    assert "neighbours in an image are not" in sketch.caption


def test_a_set_that_is_named_like_a_missing_value_keeps_its_name(tmp_path):
    path = tmp_path / "pathways-x.csv"
    write_table(path, over_represented(2).assign(set=["NA", "null"], genes=["NA", ""]))
    sketch = sketch_of(pathways.pathways_picture, path, {})
    names = [label.get_text().strip() for label in sketch.canvas.axes[0].get_yticklabels()]
    assert [name.split()[0] for name in names] == ["NA", "null"]


def test_an_empty_pathway_table_is_not_drawn(tmp_path):
    write_table(tmp_path / "tables" / "pathways-x.csv", over_represented().iloc[:0])
    write_table(tmp_path / "tables" / "pathways-y.csv", ranked().assign(nes=np.nan))
    assert draw(tmp_path) == []


def test_a_table_of_another_kind_is_refused(tmp_path):
    write_table(tmp_path / "tables" / "pathways-x.csv", pd.DataFrame({"set": ["a"], "score": [1.0]}))
    with pytest.raises(InputError, match="neither the columns"):
        draw(tmp_path)


@pytest.mark.parametrize("n_classes", [13, 30])
def test_more_classes_than_a_page_can_show_are_cut_and_counted(n_classes):
    arrays = make_arrays(n_classes, seed=2)
    sketch = sketch_of(class_images.mean_images_picture, arrays)
    assert sketch.caption.startswith(f"The first 12 of {n_classes} classes.")
    assert f"The first 12 of {n_classes} classes" in sketch_of(top_genes.top_genes_picture, arrays).caption
    confused = sketch_of(outcome.classes_picture, arrays)
    assert len(confused.canvas.axes[0].get_yticks()) == n_classes


def test_the_largest_pictures_keep_their_colours_within_the_size():
    arrays = make_arrays(12, side=224, n_genes=20_000)
    arrays["class_maps"] = np.kron(arrays["class_maps"][:, :7, :7], np.ones((32, 32)))
    canvas = sketch_of(class_images.class_maps_picture, arrays).canvas
    png, _ = style.encode(canvas)
    assert len(png) <= style.MOST_BYTES
    small = Image.open(io.BytesIO(png)).convert("RGB")
    dpi = round(small.width / canvas.get_figwidth())
    true, _ = style._drawn(canvas, dpi)
    assert np.abs(np.asarray(small, int) - np.asarray(true, int)).max() < 24  # of 255, in the rarest colour too
    assert small.getpixel((0, 0)) == (255, 255, 255)


def test_arrays_that_do_not_fit_each_other_are_refused(tmp_path):
    with pytest.raises(ShapeError, match="strength must have shape"):
        draw_run(tmp_path, make_arrays() | {"strength": np.ones(N_GENES + 1)})
    with pytest.raises(ShapeError, match="classes must have shape"):
        draw_run(tmp_path, make_arrays() | {"classes": np.array(["a", "b", "c"])})


def test_values_that_are_not_finite_are_refused_where_they_mean_nothing(tmp_path):
    arrays = make_arrays()
    arrays["null_values"][3] = np.nan
    with pytest.raises(InputError, match="null_values holds 1 values that are not finite"):
        draw_run(tmp_path, arrays)


def test_a_damaged_file_is_refused_in_words(tmp_path):
    buffer = io.BytesIO(pack_arrays(make_arrays()))
    for content in (b"", b"no arrays", buffer.getvalue()[:5000]):
        write_bytes(tmp_path / "work" / "pictures.npz", content)
        with pytest.raises(InputError, match="cannot be read"):
            draw(tmp_path)


def test_pickled_objects_are_refused(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, genes=np.array([{"a": 1}], dtype=object))
    write_bytes(tmp_path / "work" / "pictures.npz", buffer.getvalue())
    with pytest.raises(InputError, match="cannot be read"):
        draw(tmp_path)


def test_pictures_need_neither_torch_nor_scikit_learn_nor_the_rooms_that_load_them():
    home = Path(inspect.getfile(figures)).parent
    allowed = (
        "kotowari.core.",
        "kotowari.report.numerals",
        "kotowari.report.plots.",
        "kotowari.studies.omics.figures.",
    )
    for path in home.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] not in {"torch", "sklearn", "pyplot"}, (path.name, name)
                assert "pyplot" not in name, path.name
                assert not name.startswith("kotowari") or name.startswith(allowed), (path.name, name)


def test_every_array_of_the_gallery_is_known_to_the_reader():
    needed = frozenset().union(*(needs for _, needs in gallery.PICTURES))
    assert needed <= AXES.keys()
