"""NIfTI volumes come back with their values and their place; what cannot be trusted is refused."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core import checks
from kotowari.core.errors import InputError, MissingExtraError, ShapeError
from kotowari.formats.nifti import decode_nifti, read_nifti, read_nifti_header, write_nifti

OBLIQUE = np.array([[-1.4, 0.3, 0.1, 80.0], [0.2, 1.5, -0.4, -110.0], [0.1, 0.5, 1.6, -60.0], [0, 0, 0, 1]])
AFFINES = {
    "neurological": np.diag([2.0, 3.0, 4.0, 1.0]),
    "radiological": np.array([[-1.5, 0, 0, 90], [0, 1.5, 0, -126], [0, 0, 1.5, -72], [0, 0, 0, 1.0]]),
    "axes exchanged": np.array([[0, 0, 2.0, -88.16], [-2.0, 0, 0, 118.23], [0, 2.0, 0, -135.27], [0, 0, 0, 1]]),
    "sheared": OBLIQUE,
}


def saved(path, values, affine=AFFINES["neurological"], kind=nibabel.Nifti1Image, **fields):
    """A file written by nibabel, with fields of its header set by hand."""
    image = kind(values, affine)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def patched(path, offset, content):
    """The file with a few bytes of its header exchanged, as a faulty program would write them."""
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(content)] = content
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("name", ["map.nii", "map.nii.gz"])
def test_a_map_comes_back_with_its_place(affine, name, rng, tmp_path):
    values = rng.standard_normal((4, 5, 6)).astype(np.float32)
    write_nifti(tmp_path / name, values, affine, space_code=4)
    back, header = read_nifti(tmp_path / name)
    np.testing.assert_array_equal(back, values)
    np.testing.assert_array_equal(header.affine, affine.astype(np.float32))  # what an sform keeps
    assert (header.space_code, header.form_gap < 1e-4) == (4, True)
    peer = nibabel.load(tmp_path / name)
    np.testing.assert_array_equal(peer.get_fdata(dtype=np.float32), values)
    np.testing.assert_array_equal(peer.affine, header.affine)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, bool, np.float16, np.float64])
def test_types_that_can_be_kept_are_kept(dtype, tmp_path):
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    write_nifti(tmp_path / "a.nii.gz", values, np.eye(4))
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii.gz")[0], values.astype(np.float32))


def test_the_same_map_gives_the_same_bytes(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, np.ones((2, 2, 2)), np.eye(4))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_versions_and_both_byte_orders_are_read(kind, order, rng, tmp_path):
    values = rng.integers(-900, 900, (3, 4, 5)).astype(f"{order}i2")
    header = kind.header_class(endianness=order)
    header.set_data_dtype(values.dtype)
    nibabel.save(kind(values, OBLIQUE, header), tmp_path / "a.nii")
    back, told = read_nifti(tmp_path / "a.nii")
    np.testing.assert_array_equal(back, values)
    np.testing.assert_allclose(told.affine, OBLIQUE, atol=1e-5)


@given(st.floats(1e-4, 10), st.floats(-100, 100))
def test_a_scale_of_whole_numbers_is_applied(slope, intercept):
    stored = np.arange(-12, 12, dtype=np.int16).reshape(2, 3, 4)
    image = nibabel.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(slope, intercept)
    content = bytearray(image.to_bytes())
    # nibabel takes the scale away on writing, so it is put back where nifti1.h has it
    content[112:120] = np.array([slope, intercept], "<f4").tobytes()
    back, header = decode_nifti(bytes(content), Path("a.nii"))
    expected = nibabel.Nifti1Image.from_bytes(bytes(content)).get_fdata()
    np.testing.assert_allclose(back, expected, rtol=2e-7, atol=1e-9)
    assert header.is_scaled == (np.float32([slope, intercept]).tolist() != [1.0, 0.0])


def test_large_labels_need_and_have_float64(tmp_path):
    label = 614454277  # of the Allen atlas
    saved(tmp_path / "a.nii", np.full((2, 2, 2), label, np.int32))
    assert read_nifti(tmp_path / "a.nii", dtype=np.float64)[0][0, 0, 0] == label
    assert int(read_nifti(tmp_path / "a.nii")[0][0, 0, 0]) != label


def test_the_qform_places_a_volume_that_has_no_sform(tmp_path):
    path = saved(tmp_path / "a.nii", np.ones((3, 3, 3), np.float32), AFFINES["radiological"], qform_code=1)
    image = nibabel.load(path)
    image.set_qform(AFFINES["radiological"], 1)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "q.nii")
    header = read_nifti_header(tmp_path / "q.nii")
    np.testing.assert_allclose(header.affine, AFFINES["radiological"], atol=1e-5)
    assert (header.space_code, header.form_gap) == (1, 0.0)


def test_the_gap_between_sform_and_qform_is_the_largest_at_a_corner(tmp_path):
    image = nibabel.Nifti1Image(np.ones((11, 3, 3), np.float32), np.eye(4))
    image.set_qform(np.eye(4), 1)
    image.set_sform(np.diag([1.5, 1, 1, 1]), 1)
    nibabel.save(image, tmp_path / "a.nii")
    assert read_nifti_header(tmp_path / "a.nii").form_gap == pytest.approx(0.5 * 10)


def test_axes_of_one_behind_the_third_are_left_out_and_a_fourth_is_refused(tmp_path):
    saved(tmp_path / "one.nii", np.ones((2, 3, 4, 1), np.float32))
    assert read_nifti(tmp_path / "one.nii")[0].shape == (2, 3, 4)
    saved(tmp_path / "four.nii", np.ones((2, 3, 4, 5), np.float32))
    assert read_nifti_header(tmp_path / "four.nii").shape == (2, 3, 4, 5)
    with pytest.raises(InputError, match=r"four\.nii: has 4 axes \(2, 3, 4, 5\) where one volume has three"):
        read_nifti(tmp_path / "four.nii")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_a_file_cut_short_is_refused(share, rng, tmp_path):
    values = rng.standard_normal((20, 20, 20)).astype(np.float32)
    for name in ("a.nii", "a.nii.gz"):
        whole = saved(tmp_path / name, values).read_bytes()
        (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match=r"is cut short"):
            read_nifti(tmp_path / name)


def test_a_damaged_gzip_file_is_refused_by_its_checksum(tmp_path):
    path = saved(tmp_path / "a.nii.gz", np.ones((8, 8, 8), np.float32))
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + bytes(4) + whole[-4:])
    with pytest.raises(InputError, match=r"cut short or damaged \(CRC"):
        read_nifti(path)


def test_what_is_no_nifti_file_is_refused(tmp_path):
    cases = {"text.nii": b"voxels" * 100, "short.nii": b"\x5c\x01", "packed.nii.gz": gzip.compress(b"voxels" * 100)}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"is no NIfTI file"):
            read_nifti_header(tmp_path / name)
    with pytest.raises(InputError, match=r"none\.nii: is not there"):
        read_nifti(tmp_path / "none.nii")


@pytest.mark.parametrize(
    ("offset", "content", "sentence"),
    [
        (344, b"ni1\0", r"one half of a pair \(\.hdr, \.img\)"),
        (344, bytes(4), "an Analyze file"),
        (252, bytes(4), "neither an sform nor a qform, so left and right cannot be told"),
        (280, bytes(48), "an sform|no map from voxels"),
        (123, b"\x03", "not measured in millimetres"),
        (70, np.int16(9999).tobytes(), "contradicts itself"),
        (70, np.int16(128).tobytes(), "colours or complex"),
        (70, np.int16(32).tobytes(), "colours or complex"),
        (112, np.float32(np.inf).tobytes(), "contradicts itself"),
        (42, np.int16(0).tobytes(), "has no voxel"),
    ],
)
def test_a_header_that_cannot_be_trusted_is_refused(offset, content, sentence, tmp_path):
    path = patched(saved(tmp_path / "a.nii", np.ones((3, 3, 3), np.float32)), offset, content)
    with pytest.raises(InputError, match=sentence):
        read_nifti_header(path)


def test_a_qfac_of_0_stands_for_1(tmp_path, capfd):
    path = saved(tmp_path / "a.nii", np.ones((3, 3, 3), np.float32))
    patched(path, 76, bytes(4))
    patched(path, 252, np.int16(1).tobytes())
    assert read_nifti_header(path).form_gap < 1e-5
    assert capfd.readouterr().err == ""  # nibabel would print here


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ShapeError, match="values must have shape"):
        write_nifti(tmp_path / "a.nii", np.ones((2, 2)), np.eye(4))
    with pytest.raises(ShapeError, match="affine must have shape"):
        write_nifti(tmp_path / "a.nii", np.ones((2, 2, 2)), np.eye(3))
    with pytest.raises(InputError, match="int64 cannot be written"):
        write_nifti(tmp_path / "a.nii", np.ones((2, 2, 2), np.int64), np.eye(4))
    with pytest.raises(InputError, match=r"ends in \.nii or \.nii\.gz"):
        write_nifti(tmp_path / "a.img", np.ones((2, 2, 2)), np.eye(4))
    assert not list(tmp_path.iterdir())


def test_a_missing_nibabel_is_told_with_the_line_that_installs_it(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.nii", np.ones((3, 3, 3), np.float32))

    def gone(module):
        raise ImportError(module)

    monkeypatch.setattr(checks, "import_module", gone)
    with pytest.raises(MissingExtraError, match=r"needs nibabel, .* pip install 'kotowari\[brain\]'"):
        read_nifti(path)


@pytest.mark.field_data
def test_real_volumes_agree_with_nibabel(field_data):
    paths = sorted((field_data / "brain" / "ixi" / "t1_2mm").glob("*.nii.gz"))[:2]
    for path in [*paths, field_data / "brain" / "itk_t1" / "T1.nii.gz"]:
        values, header = read_nifti(path)
        peer = nibabel.load(path)
        np.testing.assert_array_equal(values, peer.get_fdata(dtype=np.float32))
        np.testing.assert_array_equal(header.affine, peer.affine)
