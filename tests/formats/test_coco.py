"""Instances come back from COCO files, and pycocotools reads them as we wrote them."""

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core.errors import InputError, ShapeError
from kotowari.formats.coco import read_coco, write_coco
from kotowari.formats.run_length import decode_runs, encode_runs, runs_from_text, runs_to_text

pycocotools = pytest.importorskip("pycocotools.mask")


def scattered(rng, shape=(37, 53), n=12):
    """Boxes that may be cut in two by later ones, every number present."""
    labels = np.zeros(shape, np.int32)
    for number in range(1, n + 1):
        top, left = rng.integers(0, shape[0] - 6), rng.integers(0, shape[1] - 6)
        labels[top : top + rng.integers(1, 9), left : left + rng.integers(1, 9)] = number
    for number in range(1, n + 1):
        labels[number, number] = number
    return labels


def test_instances_come_back(rng, tmp_path):
    labels = [scattered(rng), np.zeros((8, 9), np.uint16), np.ones((5, 4), np.uint8)]
    confidence = [rng.random(12), np.zeros(0), np.array([1.0])]
    write_coco(tmp_path / "a.json", ["a.png", "b.png", "c.png"], labels, confidence, category="nucleus")
    back = read_coco(tmp_path / "a.json")
    assert back.images == ("a.png", "b.png", "c.png")
    for given_, found, score, told in zip(labels, back.labels, confidence, back.confidence, strict=True):
        np.testing.assert_array_equal(found, given_)
        np.testing.assert_allclose(told, score, atol=1e-6)
    assert back.category == (("nucleus",) * 12, (), ("nucleus",))
    assert back.notes == ()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_pycocotools_reads_what_is_written(rng, tmp_path):
    from pycocotools.coco import COCO

    labels = scattered(rng)
    write_coco(tmp_path / "a.json", ["a.png"], [labels], [np.linspace(0, 1, 12)])
    with contextlib.redirect_stdout(io.StringIO()):
        peer = COCO(str(tmp_path / "a.json"))
    for label, instance in enumerate(peer.loadAnns(peer.getAnnIds()), start=1):
        np.testing.assert_array_equal(peer.annToMask(instance), labels == label)
        rle = instance["segmentation"]
        assert instance["area"] == pycocotools.area(rle) == (labels == label).sum()
        assert instance["bbox"] == pycocotools.toBbox(rle).tolist()
        assert (instance["iscrowd"], instance["category_id"], instance["image_id"]) == (0, 1, 1)
        assert instance["score"] == pytest.approx((label - 1) / 11, abs=1e-6)
    assert len(peer.loadAnns(peer.getAnnIds())) == 12


def test_the_string_is_that_of_pycocotools(rng):
    for density in (0.0, 0.01, 0.5, 0.99, 1.0):
        for shape in ((1, 1), (1, 70), (70, 1), (300, 41)):
            mask = rng.random(shape) < density
            peer = pycocotools.encode(np.asfortranarray(mask.astype(np.uint8)))
            places = np.flatnonzero(mask.ravel(order="F"))
            assert runs_to_text(encode_runs(places, mask.size)) == peer["counts"].decode()


def test_a_wrong_order_of_pixels_is_seen_by_pycocotools(rng):
    mask = rng.random((30, 41)) < 0.5
    by_rows = runs_to_text(encode_runs(np.flatnonzero(mask), mask.size))
    assert by_rows != pycocotools.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


@given(st.lists(st.integers(0, 2**31), max_size=30))
def test_run_lengths_come_back_from_their_string(lengths):
    assert runs_from_text(runs_to_text(lengths), "a") == lengths


@given(st.sets(st.integers(0, 59)))
def test_masks_come_back_from_their_run_lengths(places):
    mask = np.zeros(60, bool)
    mask[list(places)] = True
    np.testing.assert_array_equal(decode_runs(encode_runs(np.flatnonzero(mask), 60), 60, "a"), mask)


def test_run_lengths_as_a_list_are_read_and_crowds_and_shared_pixels_are_told(tmp_path):
    def instance(number, counts, **more):
        segmentation = {"size": [2, 3], "counts": counts}
        return {"id": number, "image_id": 7, "category_id": 3, "segmentation": segmentation, **more}

    content = {
        "images": [{"id": 7, "file_name": "a.png", "height": 2, "width": 3}],
        "categories": [{"id": 3, "name": "cell"}],
        "annotations": [instance(1, [0, 3, 3]), instance(2, [2, 2, 2], score=0.5), instance(3, [0, 6], iscrowd=1)],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    back = read_coco(tmp_path / "a.json")
    np.testing.assert_array_equal(back.labels[0], [[1, 2, 0], [1, 2, 0]])
    np.testing.assert_array_equal(back.confidence[0], [np.nan, 0.5])
    assert back.notes == (
        "1 regions of many instances (iscrowd) were left out",
        "1 pixels belong to several instances and were given to the later one",
    )


def test_a_number_that_no_pixel_has_is_left_out(tmp_path):
    labels = np.array([[0, 1, 0, 4]])
    write_coco(tmp_path / "a.json", ["a.png"], [labels], [np.array([0.1, 0.2, 0.3, 0.4])])
    back = read_coco(tmp_path / "a.json")
    np.testing.assert_array_equal(back.labels[0], [[0, 1, 0, 2]])
    np.testing.assert_allclose(back.confidence[0], [0.1, 0.4], rtol=1e-6)


def test_the_same_instances_give_the_same_bytes(rng, tmp_path):
    labels = scattered(rng)
    for name in ("a.json", "b.json"):
        write_coco(tmp_path / name, ["a.png"], [labels.copy()])
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert "score" not in (tmp_path / "a.json").read_text()


@pytest.mark.parametrize(
    ("labels", "confidence", "error", "sentence"),
    [
        ([np.zeros((2, 2), int)] * 2, None, ShapeError, r"labels must have shape \(1 images\), got \(2,\)"),
        ([np.zeros((2, 2, 1), int)], None, ShapeError, r"a\.png: labels must have shape \(height, width\)"),
        ([np.zeros((2, 2))], None, InputError, "whole numbers from 0, got float64"),
        ([np.full((2, 2), -1)], None, InputError, "whole numbers from 0"),
        ([np.full((2, 2), 3)], [np.ones(2)], ShapeError, r"confidence must have shape \(3 or more\), got \(2,\)"),
        ([np.full((2, 2), 1)], [np.array([np.nan])], InputError, r"must lie in 0 \.\. 1"),
        ([np.full((2, 2), 1)], [np.array([1.1])], InputError, r"must lie in 0 \.\. 1"),
    ],
)
def test_what_cannot_be_written_is_refused(labels, confidence, error, sentence, tmp_path):
    with pytest.raises(error, match=sentence):
        write_coco(tmp_path / "a.json", ["a.png"], labels, confidence)
    assert not list(tmp_path.iterdir())


def test_images_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="1 images stand more than once"):
        write_coco(tmp_path / "a.json", ["a.png", "a.png"], [np.zeros((2, 2), int)] * 2)


WRONG = {
    "runs too short": ({"size": [2, 3], "counts": [1, 2]}, r"instance 1: its runs add up to 3 pixels, where .* has 6"),
    "other size": ({"size": [3, 2], "counts": [6]}, r"has a mask of \[3, 2\] in an image of \[2, 3\]"),
    "outline": ([[0, 0, 1, 1, 0, 1]], r"is an outline \(polygon\)"),
    "other characters": ({"size": [2, 3], "counts": "\x1f"}, "hold the character"),
    "cut within a number": ({"size": [2, 3], "counts": "P"}, "end within a number"),
    "nothing": (None, "is no COCO file of instances"),
}


@pytest.mark.parametrize(("segmentation", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_mask_is_refused(segmentation, sentence, tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 2, "width": 3}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=sentence):
        read_coco(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [], "categories": []}', "{"])
def test_what_is_no_coco_file_is_refused(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json: is (no COCO|not valid JSON)"):
        read_coco(tmp_path / "a.json")
