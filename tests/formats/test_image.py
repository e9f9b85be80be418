"""Images come back pixel by pixel with what was done to them; what is no image is refused in one sentence."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from kotowari.core import checks
from kotowari.core.errors import InputError, MissingExtraError
from kotowari.formats import image_raster
from kotowari.formats.image import n_pages, read_page, read_pages


def noise(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


GREY, GREY16, COLOUR = noise((12, 17)), noise((12, 17), np.uint16), noise((12, 17, 3))


@pytest.mark.parametrize("image", [GREY, GREY16, COLOUR], ids=["grey", "grey of 16 bits", "colour"])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_an_image_comes_back_with_its_full_scale(image, kind, tmp_path):
    Image.fromarray(image).save(tmp_path / f"a.{kind}")
    pages = read_pages(tmp_path / f"a.{kind}")
    np.testing.assert_array_equal(pages.values[0], np.atleast_3d(image))
    assert pages.values.dtype == image.dtype
    assert (pages.full_scale, pages.um_per_pixel, pages.notes) == (np.iinfo(image.dtype).max, None, ())
    assert pages.unit.dtype == np.float32
    np.testing.assert_allclose(pages.unit[0], np.atleast_3d(image) / pages.full_scale, rtol=2e-7)
    assert pages.is_grey == (image.ndim == 2)


def test_what_a_file_is_shows_by_its_bytes_and_not_by_its_name(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.tif", format="PNG")
    np.testing.assert_array_equal(read_pages(tmp_path / "a.tif").values[0, ..., 0], GREY)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_near_what_was_stored(mode, tmp_path):
    smooth = Image.fromarray(np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8) * 2).convert(mode)
    smooth.save(tmp_path / "a.jpg", quality=95)
    values = read_pages(tmp_path / "a.jpg").values
    assert values.shape == (1, 40, 50, len(mode))
    assert np.abs(values[0].astype(int) - np.atleast_3d(np.asarray(smooth))).max() <= 6


def test_cmyk_of_jpeg_becomes_colour_and_is_told(tmp_path):
    ink = np.tile(np.array([0, 255, 255, 0], np.uint8), (16, 16, 1))  # magenta and yellow make red
    ink[8:] = [255, 0, 255, 0]  # cyan and yellow make green
    Image.frombytes("CMYK", (16, 16), ink.tobytes()).save(tmp_path / "a.jpg", quality=100)
    pages = read_pages(tmp_path / "a.jpg")
    assert np.abs(pages.values[0, :8].astype(int) - [255, 0, 0]).max() <= 3
    assert np.abs(pages.values[0, 8:].astype(int) - [0, 255, 0]).max() <= 3
    assert pages.notes == ("was turned from CMYK into red, green and blue without a colour profile",)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cmyk_of_tiff_becomes_colour_as_its_formula_says(dtype, tmp_path):
    full = np.iinfo(dtype).max
    ink = noise((6, 7, 4), dtype)
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated", metadata=None)
    pages = read_pages(tmp_path / "a.tif")
    light = full - ink.astype(float)
    assert np.abs(pages.values[0] - light[..., :3] * light[..., 3:] / full).max() <= 0.5
    assert "CMYK" in pages.notes[0]


@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opacity_is_left_out_where_all_is_opaque_and_refused_elsewhere(kind, mode, tmp_path):
    image = Image.fromarray(GREY if mode == "LA" else COLOUR).convert(mode)
    image.save(tmp_path / f"a.{kind}")
    pages = read_pages(tmp_path / f"a.{kind}")
    np.testing.assert_array_equal(pages.values[0], np.asarray(image)[..., :-1])
    assert pages.notes == ("its channel of opacity is full everywhere and was left out",)
    image.putpixel((3, 4), (9,) * len(mode))
    image.save(tmp_path / f"clear.{kind}")
    with pytest.raises(InputError, match=rf"clear\.{kind}: is transparent in 1 of 204 pixels.* without opacity"):
        read_pages(tmp_path / f"clear.{kind}")


@pytest.mark.parametrize("image", [GREY, GREY16])
def test_a_grey_that_stands_for_nothing_is_refused(image, tmp_path):
    Image.fromarray(image).save(tmp_path / "a.png", transparency=int(image[0, 0]))
    with pytest.raises(InputError, match="is transparent in"):
        read_pages(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_a_palette_becomes_its_colours_and_one_of_greys_becomes_grey(kind, tmp_path):
    image = Image.fromarray(COLOUR).quantize(16)
    image.save(tmp_path / f"a.{kind}")
    pages = read_pages(tmp_path / f"a.{kind}")
    np.testing.assert_array_equal(pages.values[0], np.asarray(image.convert("RGB")))
    assert pages.notes == ("its palette was turned into the colours that it stands for",)
    Image.fromarray(GREY).quantize(8).save(tmp_path / f"grey.{kind}")
    assert read_pages(tmp_path / f"grey.{kind}").values.shape == (1, 12, 17, 1)


@pytest.mark.parametrize("compression", [None, "group4"])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_one_bit_becomes_0_and_255(kind, compression, tmp_path):
    bits = GREY > 100
    Image.fromarray(bits).save(tmp_path / f"a.{kind}", **({"compression": compression} if kind == "tif" else {}))
    pages = read_pages(tmp_path / f"a.{kind}")
    np.testing.assert_array_equal(pages.values[0, ..., 0], bits * np.uint8(255))
    assert "holds two values, read as 0 and 255" in pages.notes


@pytest.mark.parametrize("image", [GREY, GREY16])
def test_white_is_zero_is_inverted(image, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="miniswhite", metadata=None)
    pages = read_pages(tmp_path / "a.tif")
    np.testing.assert_array_equal(pages.values[0, ..., 0], np.iinfo(image.dtype).max - image)
    assert pages.notes == ("was inverted, since its 0 stands for white",)


LAYOUTS = {
    "strips": {"rowsperstrip": 5},
    "tiles": {"tile": (16, 16)},
    "deflate": {"compression": "zlib"},
    "deflate with predictor": {"compression": "zlib", "predictor": True},
    "tiles, deflate": {"tile": (32, 16), "compression": "zlib"},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
}


@pytest.mark.parametrize(
    ("layout", "dtype"),
    [
        pytest.param(layout, dtype, id=f"{name}, {dtype.__name__}")
        for name, layout in LAYOUTS.items()
        for dtype in (np.uint8, np.uint16, np.float32)
        if not (layout.get("predictor") and dtype == np.float32)  # which nobody here can write
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_layout_of_tiff_gives_the_same_pages(layout, dtype, channels, tmp_path, rng):
    stack = rng.random((3, 40, 33, channels)).astype(np.float32)
    if dtype != np.float32:
        stack = (stack * np.iinfo(dtype).max).astype(dtype)
    of_file = {name: layout[name] for name in layout.keys() & {"byteorder", "bigtiff"}}
    rest = {name: layout[name] for name in layout.keys() - of_file.keys()}
    with tifffile.TiffWriter(tmp_path / "a.tif", **of_file) as tiff:
        for page in stack if channels == 3 else stack[..., 0]:
            tiff.write(page, photometric="rgb" if channels == 3 else "minisblack", metadata=None, **rest)
    pages = read_pages(tmp_path / "a.tif")
    np.testing.assert_array_equal(pages.values, stack)
    assert n_pages(tmp_path / "a.tif") == 3
    for number in range(3):
        np.testing.assert_array_equal(read_page(tmp_path / "a.tif", number).values, stack[number : number + 1])
    with pytest.raises(InputError, match=r"has 3 pages, so number must be 0 \.\. 2, got 3"):
        read_page(tmp_path / "a.tif", 3)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("image", [GREY, GREY16, COLOUR, GREY.astype(np.float32) / 255])
def test_what_tifffile_alone_cannot_decode_pillow_decodes(image, compression, tmp_path):
    Image.fromarray(image).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(read_pages(tmp_path / "a.tif").values[0], np.atleast_3d(image))


def test_a_tiff_of_jpeg_in_luma_and_chroma_becomes_colour(tmp_path):
    Image.new("RGB", (32, 32), (200, 40, 60)).save(tmp_path / "a.tif", compression="jpeg", quality=95)
    assert np.abs(read_pages(tmp_path / "a.tif").values.astype(int) - [200, 40, 60]).max() <= 4


def test_a_compression_that_nobody_here_knows_is_told_with_its_library(tmp_path):
    image = noise((16, 16, 3), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", compression="zlib", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages[0].tags[259].overwrite(5)  # LZW, which Pillow would cut to 8 bits
    with pytest.raises(MissingExtraError, match=r"a\.tif: is compressed by LZW, .* pip install imagecodecs"):
        read_pages(tmp_path / "a.tif")


UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def test_orientation_is_carried_out_as_pillow_does(tmp_path):
    for orientation in range(1, 9):
        image = Image.fromarray(GREY)
        exif = image.getexif()
        exif[0x0112] = orientation
        expected = np.asarray(image.transpose(UPRIGHT[orientation]) if orientation > 1 else image)
        image.save(tmp_path / "a.png", exif=exif)
        tifffile.imwrite(tmp_path / "a.tif", GREY, metadata=None, extratags=[(274, "H", 1, orientation, True)])
        for name in ("a.png", "a.tif"):
            pages = read_pages(tmp_path / name)
            np.testing.assert_array_equal(pages.values[0, ..., 0], expected)
            assert bool(pages.notes) == (orientation > 1)


def test_pages_of_a_stack_are_told_by_their_axes(tmp_path):
    stack = noise((4, 3, 12, 17), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "TZYX"})
    pages = read_pages(tmp_path / "a.tif")
    np.testing.assert_array_equal(pages.values[..., 0], stack.reshape(12, 12, 17))
    assert pages.notes == ("its pages run over time (T, 4) and, within it, depth (Z, 3)",)
    np.testing.assert_array_equal(read_page(tmp_path / "a.tif", 7).values[0, ..., 0], stack[2, 1])


@pytest.mark.parametrize("form", [{"imagej": True}, {"ome": True}])
def test_three_channels_become_colour_and_of_others_one_is_chosen(form, tmp_path):
    stack = noise((5, 3, 12, 17), np.uint16)
    tifffile.imwrite(tmp_path / "three.tif", stack, metadata={"axes": "ZCYX"}, photometric="minisblack", **form)
    np.testing.assert_array_equal(read_pages(tmp_path / "three.tif").values, np.moveaxis(stack, 1, -1))
    np.testing.assert_array_equal(read_pages(tmp_path / "three.tif", channel=1).values[..., 0], stack[:, 1])
    tifffile.imwrite(tmp_path / "two.tif", stack[:, :2], metadata={"axes": "ZCYX"}, photometric="minisblack", **form)
    with pytest.raises(
        InputError, match=r"two\.tif, page 1: has 2 channels.* Say which one is meant: channel=0 \.\. 1"
    ):
        read_pages(tmp_path / "two.tif")
    np.testing.assert_array_equal(read_pages(tmp_path / "two.tif", channel=1).values[..., 0], stack[:, 1])
    with pytest.raises(InputError, match=r"has 2 channels; channel must be 0 \.\. 1, got 2"):
        read_pages(tmp_path / "two.tif", channel=2)


def test_one_channel_of_colour_can_be_chosen_and_more_than_three_samples_cannot_be_read_at_once(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_pages(tmp_path / "a.png", channel=2).values[0, ..., 0], COLOUR[..., 2])
    five = noise((12, 17, 5))
    tifffile.imwrite(tmp_path / "five.tif", five, photometric="minisblack", planarconfig="contig", metadata=None)
    with pytest.raises(InputError, match="has 5 channels"):
        read_pages(tmp_path / "five.tif")
    np.testing.assert_array_equal(read_pages(tmp_path / "five.tif", channel=4).values[0, ..., 0], five[..., 4])


def test_samples_stored_apart_are_put_together(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(COLOUR, 2, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_pages(tmp_path / "a.tif").values[0], COLOUR)


def test_pages_of_different_sizes_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GREY, metadata=None)
        tiff.write(GREY[:5], metadata=None)
    with pytest.raises(InputError, match=r"a\.tif: holds 2 images of different sizes or kinds \(12x17, 5x17\)"):
        read_pages(tmp_path / "a.tif")


SIZES = {
    "ImageJ": ({"imagej": True, "resolution": (2.0, 2.0), "metadata": {"unit": "um"}}, 0.5),
    "ImageJ, micro sign": ({"imagej": True, "resolution": (4.0, 4.0), "metadata": {"unit": "\\u00B5m"}}, 0.25),
    "ImageJ, pixels": ({"imagej": True, "resolution": (2.0, 2.0), "metadata": {"unit": "pixel"}}, None),
    "OME": ({"ome": True, "metadata": {"PhysicalSizeX": 0.325, "PhysicalSizeY": 0.325}}, 0.325),
    "OME, nm": (
        {
            "ome": True,
            "metadata": {
                "PhysicalSizeX": 65.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 65.0, "PhysicalSizeYUnit": "nm",
            },
        },
        0.065,
    ),
    "OME, none": ({"ome": True}, None),
    "centimetre": ({"resolution": (20000.0, 20000.0), "resolutionunit": "CENTIMETER", "metadata": None}, 0.5),
    "inch": ({"resolution": (25400.0, 25400.0), "resolutionunit": "INCH", "metadata": None}, 1.0),
    "of a screen": ({"resolution": (72.0, 72.0), "resolutionunit": "INCH", "metadata": None}, None),
    "not square": ({"resolution": (20000.0, 10000.0), "resolutionunit": "CENTIMETER", "metadata": None}, None),
    "no unit": ({"resolution": (20000.0, 20000.0), "resolutionunit": "NONE", "metadata": None}, None),
    "Aperio": ({"description": "Aperio Image Library v1\n12x17 |AppMag = 20|MPP = 0.4990", "metadata": None}, 0.499),
}  # fmt: skip


@pytest.mark.parametrize(("written", "um"), SIZES.values(), ids=SIZES)
def test_the_size_of_a_pixel_is_read_where_microscopes_write_it(written, um, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, **written)
    pages = read_pages(tmp_path / "a.tif")
    assert pages.um_per_pixel == (um if um is None else pytest.approx(um, rel=1e-6))
    if written.get("resolution") == (72.0, 72.0):
        assert pages.notes == (
            "its resolution, 352.8 um per pixel, is that of a screen or printer and is not taken for "
            "that of a microscope",
        )


def test_the_size_of_a_pixel_of_png_and_jpeg_is_read(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png", dpi=(50800, 50800))
    assert read_pages(tmp_path / "a.png").um_per_pixel == pytest.approx(0.5, rel=1e-4)
    Image.fromarray(GREY).save(tmp_path / "a.jpg", dpi=(25400, 25400))
    assert read_pages(tmp_path / "a.jpg").um_per_pixel == pytest.approx(1.0)
    Image.fromarray(GREY).save(tmp_path / "b.png", dpi=(96, 96))
    assert read_pages(tmp_path / "b.png").um_per_pixel is None


def test_fractions_in_0_to_1_stay_and_others_are_scaled_by_the_range_of_all_pages(tmp_path, rng):
    unit = rng.random((3, 12, 17)).astype(np.float32)
    tifffile.imwrite(tmp_path / "unit.tif", unit, photometric="minisblack")
    np.testing.assert_array_equal(read_pages(tmp_path / "unit.tif").values[..., 0], unit)
    wide = unit * 5000 - 100 * np.arange(3)[:, None, None].astype(np.float32)
    tifffile.imwrite(tmp_path / "wide.tif", wide, photometric="minisblack")
    pages = read_pages(tmp_path / "wide.tif")
    expected = (wide.astype(float) - wide.min()) / (float(wide.max()) - float(wide.min()))
    np.testing.assert_allclose(pages.values[..., 0], expected, atol=1e-7)
    assert (pages.values.min(), pages.values.max(), pages.full_scale) == (0.0, 1.0, 1.0)
    assert "were scaled to 0 .. 1 by their range over all pages" in pages.notes[-1]
    np.testing.assert_array_equal(read_page(tmp_path / "wide.tif", 1).values, pages.values[1:2])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_value_that_is_no_number_is_named(bad, tmp_path):
    stack = np.zeros((3, 12, 17), np.float32)
    stack[1, 4, 9] = stack[1, 5, 1] = bad
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    with pytest.raises(InputError, match=r"2 values that are NaN or infinite, the first on page 2, row 5, column 10"):
        read_pages(tmp_path / "a.tif")


def test_a_page_of_one_value_is_read_and_told(tmp_path):
    stack = noise((3, 12, 17))
    stack[1] = 7
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", metadata=None)
    assert read_pages(tmp_path / "a.tif").notes == ("page 2: every pixel has one value (7)",)
    tifffile.imwrite(tmp_path / "flat.tif", np.full((4, 4), 3.5, np.float32))
    pages = read_pages(tmp_path / "flat.tif")
    assert (pages.values == 0).all()
    assert pages.notes[0] == "every pixel has one value (3.5)"


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_signed_numbers_are_read_where_none_is_below_0(dtype, tmp_path):
    image = np.arange(100, dtype=dtype).reshape(10, 10)
    tifffile.imwrite(tmp_path / "a.tif", image)
    pages = read_pages(tmp_path / "a.tif")
    np.testing.assert_array_equal(pages.values[0, ..., 0], image)
    assert pages.values.dtype.kind == "u"
    assert "signed" in pages.notes[0]
    tifffile.imwrite(tmp_path / "a.tif", image - dtype(1))
    with pytest.raises(InputError, match=r"holds int(8|16) numbers"):
        read_pages(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.complex64])
def test_numbers_that_are_no_brightness_are_refused(dtype, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), dtype))
    with pytest.raises(InputError, match=rf"holds {np.dtype(dtype).name} numbers"):
        read_pages(tmp_path / "a.tif")


def test_twelve_bits_have_their_own_full_scale(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 8), np.uint16) >> 4)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages[0].tags[258].overwrite(12)
    with pytest.raises(InputError):  # 8 x 8 pixels of 12 bits would be fewer bytes, so the file contradicts itself
        read_pages(tmp_path / "a.tif")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["a.tif", "imagej.tif", "zipped.tif", "tiles.tif", "lzw.tif", "a.png", "a.jpg"])
def test_a_file_cut_short_is_refused(name, share, tmp_path):
    stack = noise((4, 40, 48))
    writers = {
        "a.tif": lambda file: tifffile.imwrite(file, stack, photometric="minisblack", metadata=None),
        "imagej.tif": lambda file: tifffile.imwrite(file, stack, imagej=True, metadata={"axes": "ZYX"}),
        "zipped.tif": lambda file: tifffile.imwrite(file, stack, photometric="minisblack", compression="zlib"),
        "tiles.tif": lambda file: tifffile.imwrite(file, stack, photometric="minisblack", tile=(16, 16)),
        "lzw.tif": lambda file: Image.fromarray(stack[0]).save(file, "TIFF", compression="tiff_lzw"),
        "a.png": lambda file: Image.fromarray(stack[0]).save(file, "PNG"),
        "a.jpg": lambda file: Image.fromarray(stack[0]).save(file, "JPEG"),
    }
    writers[name](buffer := BytesIO())
    whole = buffer.getvalue()
    (tmp_path / name).write_bytes(whole)
    expected = read_pages(tmp_path / name).values
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    if (name, share) == ("imagej.tif", 0.99):  # what is cut away is a second description of whole pixels
        np.testing.assert_array_equal(read_pages(tmp_path / name).values, expected)
        return
    with pytest.raises(InputError, match=rf"{name}(, page \d)?: is (no|cut short)"):
        read_pages(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"II*\0", b"II*\0\xff\xff\xff\x7f", b"\x89PNG\r\n\x1a\n", b"text"])
def test_what_is_no_image_is_refused(content, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png: is (no|cut)"):
        n_pages(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"none\.png: is not there"):
        read_pages(tmp_path / "none.png")
    with pytest.raises(InputError, match="is a folder, not a file"):
        read_pages(tmp_path)


@pytest.mark.parametrize(("kind", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_16_bits_in_several_channels_of_png_are_refused_and_not_cut(kind, samples, tmp_path):
    rows = b"".join(b"\0" + struct.pack(f">{2 * samples}H", *range(2 * samples)) for _ in range(2))
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, kind, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    )
    with pytest.raises(InputError, match=r"a\.png: has 16 bits in each of several channels"):
        read_pages(tmp_path / "a.png")


def test_a_file_that_unpacks_to_too_many_pixels_is_refused(tmp_path):
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(b"")))
    with pytest.raises(InputError, match=r"a\.png: unpacks to more than [\d,]+ pixels"):
        read_pages(tmp_path / "a.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "b.tif", compression="tiff_adobe_deflate")
    with tifffile.TiffFile(tmp_path / "b.tif", mode="r+b") as tiff:
        for tag, value in ((256, 65535), (257, 65535), (278, 65535)):
            tiff.pages[0].tags[tag].overwrite(value)
    with pytest.raises(InputError, match=r"b\.tif: .*(need|no whole)"):
        read_pages(tmp_path / "b.tif")


def test_an_animation_is_refused(tmp_path):
    frames = [Image.fromarray(noise((8, 8), seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=r"a\.png: is an animation of 3 pictures"):
        read_pages(tmp_path / "a.png")


def test_pages_larger_than_half_of_the_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", noise((4, 64, 64)), photometric="minisblack")
    monkeypatch.setattr("kotowari.formats.memory._half_of_memory", lambda: 10_000.0)
    with pytest.raises(InputError, match=r"4 pages of 64 x 64 pixels.*Read it page by page"):
        read_pages(tmp_path / "a.tif")
    assert read_page(tmp_path / "a.tif", 3).values.shape == (1, 64, 64, 1)


@pytest.mark.parametrize(("name", "library"), [("a.tif", "tifffile"), ("a.png", "PIL")])
def test_a_missing_library_is_told_with_the_line_that_installs_it(name, library, tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / name)

    def gone(module):
        raise ImportError(module)

    monkeypatch.setattr(checks, "import_module", gone)
    with pytest.raises(MissingExtraError, match=rf"needs {library}, .* pip install 'kotowari\[images\]'"):
        read_pages(tmp_path / name)


def test_text_in_a_png_is_not_taken_for_a_size(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 70)
    Image.fromarray(GREY).save(tmp_path / "a.png", pnginfo=info, dpi=(50800, 50800))
    assert image_raster._png_resolution(tmp_path / "a.png")[0] == pytest.approx(0.5, rel=1e-4)
