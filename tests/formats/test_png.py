"""Pictures come back pixel by pixel; what PNG or Pillow would change is refused."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kotowari.core.errors import InputError, ShapeError
from kotowari.formats import encode_png, read_png, write_png


def noise(shape, dtype):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


CASES = {
    "grey of 8 bits": noise((5, 7), np.uint8),
    "grey of 16 bits": noise((5, 7), np.uint16),
    "grey of 16 bits, big-endian": noise((5, 7), np.uint16).astype(">u2"),
    "colour": noise((5, 7, 3), np.uint8),
    "colour, every other pixel": noise((10, 14, 3), np.uint8)[::2, ::2],
    "one pixel": noise((1, 1), np.uint8),
}


@pytest.mark.parametrize("image", CASES.values(), ids=CASES)
def test_a_picture_comes_back(image, tmp_path):
    write_png(tmp_path / "a.png", image)
    back = read_png(tmp_path / "a.png")
    assert back.dtype == image.dtype.newbyteorder("=")
    np.testing.assert_array_equal(back, image)


def test_the_same_picture_gives_the_same_bytes():
    assert encode_png(CASES["colour"]) == encode_png(CASES["colour"].copy())


@pytest.mark.parametrize("shape", [(5,), (5, 7, 4), (5, 7, 1), (0, 7), (2, 5, 7, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ShapeError, match=r"image must have shape \(height, width, 3 if in colour\), got"):
        encode_png(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize(("shape", "dtype"), [((5, 7), float), ((5, 7), bool), ((5, 7, 3), np.uint16)])
def test_other_types_are_refused(shape, dtype):
    with pytest.raises(InputError, match=r"cannot be written\. Grey may be uint8 or uint16, colour uint8"):
        encode_png(np.zeros(shape, dtype=dtype))


def test_opacity_is_left_out_where_all_is_opaque_and_refused_elsewhere(tmp_path):
    colour = Image.fromarray(CASES["colour"]).convert("RGBA")
    colour.save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(read_png(tmp_path / "opaque.png"), CASES["colour"])
    grey = Image.fromarray(CASES["grey of 8 bits"]).convert("LA")
    grey.save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_png(tmp_path / "grey.png"), CASES["grey of 8 bits"])
    colour.putpixel((0, 0), (1, 2, 3, 4))
    colour.save(tmp_path / "clear.png")
    with pytest.raises(InputError, match=r"clear\.png: is transparent in places"):
        read_png(tmp_path / "clear.png")


def test_palettes_and_black_and_white_are_read_as_pixels(tmp_path):
    Image.fromarray(np.full((4, 4, 3), [10, 20, 30], dtype=np.uint8)).quantize(2).save(tmp_path / "palette.png")
    assert read_png(tmp_path / "palette.png")[0, 0].tolist() == [10, 20, 30]
    Image.fromarray(np.eye(3, dtype=bool)).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_png(tmp_path / "bits.png"), np.eye(3, dtype=np.uint8) * 255)


def test_colour_of_16_bits_is_refused_and_not_cut(tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">HHH", 1, 2, 3))) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    with pytest.raises(InputError, match=r"deep\.png: has colour of 16 bits a channel"):
        read_png(tmp_path / "deep.png")


@pytest.mark.parametrize("content", [b"", b"GIF89a", encode_png(CASES["colour"])[:60]])
def test_a_file_that_is_no_whole_png_is_refused(content, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png: cannot be read as PNG"):
        read_png(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"none\.png: is not there"):
        read_png(tmp_path / "none.png")
