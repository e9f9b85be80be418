"""Every picture of the study is drawn from its arrays, says what is seen, and is left out where there is nothing."""

from functools import partial

import numpy as np
import pytest

from kotowari.core.errors import ShapeError
from kotowari.core.jobs import pack_arrays
from kotowari.report.plots import style
from kotowari.report.plots.gallery import sketch_each
from kotowari.report.plots.style import house_style
from kotowari.studies.cytology.figures.arrays import AXES, PLACES
from kotowari.studies.cytology.figures.blank import blank_picture
from kotowari.studies.cytology.figures.controls import controls_picture
from kotowari.studies.cytology.figures.counts import counts_picture
from kotowari.studies.cytology.figures.curves import curves_picture
from kotowari.studies.cytology.figures.gallery import PICTURES, draw
from kotowari.studies.cytology.figures.overlays import overlay_picture
from kotowari.studies.cytology.figures.placement import placement_picture
from kotowari.studies.cytology.figures.sensitivity import sensitivity_picture
from kotowari.studies.cytology.figures.sizes import sizes_picture
from kotowari.studies.cytology.figures.training import training_picture

KINDS = ("bright-field, dark cells", "fluorescence, bright cells")


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    drawn = style._drawn
    monkeypatch.setattr(style, "_drawn", lambda canvas, dpi: drawn(canvas, dpi / 6))


def of_kind(k, rng):
    """Arrays of one kind, images of several sizes among them."""
    found = {}
    for place, side in zip(PLACES, (40, 52, 30), strict=True):
        for part in ("image", "cells"):
            found[f"overlay_{k}_{place}_{part}"] = rng.integers(0, 255, (side, 48, 3), dtype=np.uint8)
        found[f"overlay_{k}_{place}_map"] = rng.random((side, 48))
    return found | {
        f"overlay_{k}_words": np.array(["F1 0.91", "F1 0.80", "F1 0.12"]),
        f"overlay_{k}_by": np.array("F1 at IoU 0.5 against the masks"),
        f"overlay_{k}_beside": np.array("the masks"),
        f"counts_{k}_ours": rng.integers(0, 40, 12),
        f"counts_{k}_other": rng.integers(0, 40, 12),
        f"counts_{k}_beside": np.array("the masks"),
        f"loss_{k}": np.array([[4.0, 3.0, np.nan], [5.0, 3.5, 3.1]]),
        f"published_{k}_loss": np.array([9.0, 5.0, 4.0]),
        f"published_{k}_optimum": np.array(2.8),
        f"published_{k}_reached": np.array(3.08),
        f"areas_{k}": rng.gamma(8, 12, 80),
        f"areas_{k}_unit": np.array("pixels"),
        f"blank_{k}_ours": np.array([0, 0, 1, 0]),
        f"blank_{k}_otsu": np.array([12, 30, 22, 9]),
        f"seen_{k}_ours": rng.integers(5, 20, 12),
        f"seen_{k}_otsu": rng.integers(5, 40, 12),
        f"placement_{k}_null": rng.random(99) / 10,
        f"placement_{k}_observed": np.array(0.8),
        f"control_{k}_names": np.array(["ours", "ours, another seed", "untrained network"]),
        f"control_{k}_maps": rng.random((3, 30, 40)),
        f"control_{k}_rank": np.array([np.nan, 0.9, 0.3]),
        f"sensitivity_{k}": rng.random((3, 3)),
        f"sensitivity_{k}_factors": np.array([0.5, 1.0, 2.0]),
        f"sensitivity_{k}_of": np.array("the masks"),
    }


def all_arrays():
    """All arrays of a run with two kinds of images."""
    rng = np.random.default_rng(0)
    names = np.repeat(KINDS, 5)
    f1 = rng.random(10)
    return {
        "kind_names": np.array(KINDS),
        "curve_kind": names,
        "curve_model": np.array(["ours", "ours", "ours", "Otsu threshold", "supervised U-Net"] * 2),
        "curve_images": np.array([5, 10, 20, 0, 2] * 2),
        "curve_f1": f1,
        "curve_low": f1 - 0.1,
        "curve_high": np.where(np.arange(10) == 3, np.nan, f1 + 0.1),
        "curve_least": f1 - 0.05,
        "curve_most": f1 + 0.05,
        "curve_of": np.array(["masks"] * 10),
        "implant_grades": np.array([0.25, 0.5, 1.0]),
        "implant_frequency": np.array([0.1, 0.6, 0.9]),
        "implant_low": np.array([0.0, 0.4, 0.7]),
        "implant_high": np.array([0.3, 0.8, 1.0]),
        "implant_limit": np.array(1.0),
        **of_kind(0, rng),
        **of_kind(1, rng),
    }


@pytest.fixture
def arrays():
    return all_arrays()


@pytest.fixture(scope="module")
def sketches():
    with house_style():
        return {sketch.name: sketch for sketch in sketch_each(PICTURES, all_arrays())}


def test_every_array_has_its_axes(arrays):
    assert arrays.keys() <= AXES.keys()


def test_all_pictures_are_drawn_once_a_kind(sketches):
    words = ["counts", "curves", "sizes", "controls", "blank", "placement", "training", "sensitivity"]
    shown = {f"overlays-{k}-{place}" for k in (1, 2) for place in PLACES}
    assert set(sketches) == {f"{word}-{k}" for word in words for k in (1, 2)} | shown | {"implants"}
    for sketch in sketches.values():
        assert sketch.caption.endswith((".", ")."))
        number = [int(word) for word in sketch.name.split("-") if word.isdigit()]
        assert sketch.name == "implants" or KINDS[number[0] - 1] in sketch.title


def test_failures_are_shown_beside_successes(sketches):
    for place, words in zip(PLACES, ("F1 0.91", "F1 0.80", "F1 0.12"), strict=True):
        assert sketches[f"overlays-1-{place}"].caption.startswith(
            f"The {place} image by F1 at IoU 0.5 against the masks: {words}."
        )


def test_captions_carry_the_figures_of_the_arrays(sketches, arrays):
    bias = float((arrays["counts_0_ours"] - arrays["counts_0_other"]).mean())
    assert f"{abs(bias):.1f} cells an image" in sketches["counts-1"].caption
    assert "1.10 times the least value" in sketches["training-1"].caption
    assert "Otsu with the same instance stage" in sketches["blank-1"].caption
    assert "18.2." in sketches["blank-1"].caption
    assert f"{np.median(arrays['areas_0']):.3g}" in sketches["sizes-1"].caption


def test_one_kind_needs_no_name_in_the_titles(arrays):
    arrays["kind_names"] = arrays["kind_names"][:1]
    with house_style():
        assert sizes_picture(arrays, 0).title == "Size of the cells"
        assert curves_picture(arrays, 1) is None, "there is no second kind"


@pytest.mark.parametrize(
    ("picture", "absent"),
    [
        (partial(overlay_picture, which=1), "overlay_0_words"),
        (counts_picture, "counts_0_ours"),
        (sizes_picture, "areas_0"),
        (blank_picture, "blank_0_ours"),
        (placement_picture, "placement_0_null"),
        (training_picture, "loss_0"),
        (controls_picture, "control_0_maps"),
        (sensitivity_picture, "sensitivity_0"),
    ],
)
def test_a_picture_without_anything_to_show_is_left_out(arrays, picture, absent):
    if absent not in {"overlay_0_words", "sensitivity_0"}:  # found nothing
        assert picture(arrays | {absent: arrays[absent][:0]}, place=0) is None
    del arrays[absent]  # never looked
    assert picture(arrays, place=0) is None


def test_pictures_are_written_with_equal_bytes_from_equal_arrays(arrays, tmp_path):
    kept = {name: own for name, own in arrays.items() if name.startswith(("kind", "areas", "placement"))}
    for name in ("a", "b"):
        (tmp_path / name / "work").mkdir(parents=True)
        (tmp_path / name / "work" / "pictures.npz").write_bytes(pack_arrays(kept))
    figures = draw(tmp_path / "a")
    assert [figure.file for figure in figures] == ["sizes-1.png", "sizes-2.png", "placement-1.png", "placement-2.png"]
    assert draw(tmp_path / "b") == figures
    for figure in figures:
        assert (tmp_path / "a/figures" / figure.file).read_bytes() == (
            tmp_path / "b/figures" / figure.file
        ).read_bytes()


def test_arrays_that_do_not_fit_each_other_are_refused(arrays, tmp_path):
    (tmp_path / "work").mkdir()
    arrays["counts_0_other"] = arrays["counts_0_other"][:-1]
    (tmp_path / "work" / "pictures.npz").write_bytes(pack_arrays(arrays))
    with pytest.raises(ShapeError, match="counts_0"):
        draw(tmp_path)


def test_a_folder_without_arrays_has_no_pictures(tmp_path):
    assert draw(tmp_path) == []
