"""Label images come back number by number, in the smallest type that holds them."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from kotowari.core.errors import InputError, ShapeError
from kotowari.formats.label_image import read_labels, write_label_png, write_label_tiff


@pytest.mark.parametrize(
    ("largest", "dtype"), [(200, np.uint16), (65535, np.uint16), (65536, np.uint32), (2**32 - 1, np.uint32)]
)
@pytest.mark.parametrize("shape", [(40, 33), (3, 40, 33)])
def test_labels_come_back_from_tiff(largest, dtype, shape, rng, tmp_path):
    labels = rng.integers(0, largest, shape)
    labels.flat[5] = largest
    write_label_tiff(tmp_path / "a.tif", labels)
    back = read_labels(tmp_path / "a.tif")
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, labels)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), labels)


def test_labels_come_back_from_png_and_pillow_reads_them(rng, tmp_path):
    labels = rng.integers(0, 65535, (40, 33), endpoint=True)
    write_label_png(tmp_path / "a.png", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), labels)
    labels[0, 0] = 65536
    with pytest.raises(
        InputError, match=r"a\.png: has labels up to 65,536, where a PNG holds 65,535\. Write them as TIFF"
    ):
        write_label_png(tmp_path / "a.png", labels)


def test_the_same_labels_give_the_same_bytes_without_a_date(rng, tmp_path):
    labels = rng.integers(0, 300, (40, 33))
    for name in ("a.tif", "b.tif"):
        write_label_tiff(tmp_path / name, labels.copy(), um_per_pixel=0.5)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert {"DateTime", "Software", "ImageDescription"}.isdisjoint(tag.name for tag in tiff.pages[0].tags)
        across = tiff.pages[0].tags["XResolution"].value
    assert across[0] / across[1] == pytest.approx(20000)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_masks_palettes_and_bits_are_read_as_they_stand(name, rng, tmp_path):
    mask = (rng.random((20, 21)) < 0.5) * np.uint8(255)
    Image.fromarray(mask).save(tmp_path / name)
    np.testing.assert_array_equal(read_labels(tmp_path / name), mask)
    Image.fromarray(mask > 0).save(tmp_path / name)
    np.testing.assert_array_equal(read_labels(tmp_path / name), mask > 0)
    palette = Image.fromarray(rng.integers(0, 9, (20, 21), dtype=np.uint8), mode=None)
    numbers = np.asarray(palette)
    palette.putpalette(list(rng.integers(0, 255, 768)))
    palette.save(tmp_path / name)
    np.testing.assert_array_equal(read_labels(tmp_path / name), numbers)


def test_signed_labels_are_read_and_negative_ones_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 70000]], np.int32))
    back = read_labels(tmp_path / "a.tif")
    assert (back.dtype, back.tolist()) == (np.uint32, [[0, 70000]])
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, -1]], np.int32))
    with pytest.raises(InputError, match="labels below 0"):
        read_labels(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_colour_is_no_label_image(name, tmp_path):
    Image.new("RGB", (5, 5)).save(tmp_path / name)
    with pytest.raises(InputError, match="A label image has one number a pixel"):
        read_labels(tmp_path / name)


def test_fractions_are_no_labels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.float32))
    with pytest.raises(InputError, match="holds float32 numbers"):
        read_labels(tmp_path / "a.tif")
    with pytest.raises(InputError, match="must be whole numbers, got float64"):
        write_label_tiff(tmp_path / "b.tif", np.zeros((4, 4)))
    with pytest.raises(InputError, match=r"must lie in 0 \.\. 4,294,967,295, got -1"):
        write_label_tiff(tmp_path / "b.tif", np.full((4, 4), -1))
    with pytest.raises(InputError, match="um_per_pixel must be above 0"):
        write_label_tiff(tmp_path / "b.tif", np.ones((4, 4), int), um_per_pixel=0.0)
    with pytest.raises(ShapeError, match=r"labels must have shape \(page, if several, height, width\)"):
        write_label_tiff(tmp_path / "b.tif", np.ones(4, int))
    with pytest.raises(ShapeError, match=r"labels must have shape \(height, width\)"):
        write_label_png(tmp_path / "b.png", np.ones((2, 4, 4), int))
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_a_label_image_cut_short_or_missing_is_refused(rng, tmp_path):
    write_label_tiff(tmp_path / "a.tif", rng.integers(0, 300, (40, 33)))
    write_label_png(tmp_path / "a.png", rng.integers(0, 300, (40, 33)))
    for name in ("a.tif", "a.png"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=r"is (no whole|cut short)"):
            read_labels(tmp_path / name)
    with pytest.raises(InputError, match="is not there"):
        read_labels(tmp_path / "none.tif")
