"""X-ray runs come in as brightness over time, whatever wraps them, and nothing of the patient comes with them."""

import struct
from dataclasses import fields
from io import BytesIO

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames

from kotowari.core import checks
from kotowari.core.errors import InputError, MissingExtraError, ShapeError
from kotowari.formats import dicom_frames
from kotowari.formats.dicom import read_xray
from kotowari.formats.xray_write import write_xray

NAME, NUMBER, DAY = "Yamada^Hanako", "PID-4711-X", "19560229"
XA, JPEG = "1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.1.2.4."


def run_of(frames, *, bits=None, **told):
    """A classic XA file as a C-arm writes it, with a patient in it."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.SOPClassUID = XA
    ds.SOPInstanceUID = "1.2.3.4.5"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = NAME, NUMBER, DAY
    ds.StudyDate, ds.InstitutionName, ds.OperatorsName = DAY, f"Clinic of {NAME}", NAME
    ds.Modality = "XA"
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated = 8 * frames.itemsize
    ds.BitsStored = bits or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.FrameIncrementPointer, ds.FrameTime = 0x00181063, "66.6"
    ds.PixelIntensityRelationship = "LIN"
    content = frames.tobytes()
    ds.add_new("PixelData", "OB" if frames.itemsize == 1 else "OW", content + b"\0" * (len(content) % 2))
    for keyword, value in told.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    return ds


def saved(path, ds):
    ds.save_as(path, enforce_file_format=True)
    return path


def noise(shape, bits=8, seed=0):
    return np.random.default_rng(seed).integers(0, 2**bits, shape, dtype=np.uint8 if bits <= 8 else np.uint16)


def smooth(count=3, height=32, width=40):
    rows, columns = np.ogrid[:height, :width]
    return np.stack([3 * rows + 2 * columns + 5 * number for number in range(count)]).astype(np.uint8)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_run_comes_back(bits, tmp_path):
    frames = noise((4, 12, 17), bits)
    run = read_xray(saved(tmp_path / "a.dcm", run_of(frames, bits=bits)))
    np.testing.assert_array_equal(run.frames, frames)
    assert run.frames.dtype == frames.dtype
    assert (run.full_scale, run.is_log, run.shutter) == (2**bits - 1, False, None)
    np.testing.assert_allclose(run.frame_s, np.arange(4) * 0.0666)
    assert (run.pixel_mm, run.notes) == (None, ("does not tell how large a pixel is",))


def test_a_single_frame_is_a_run_of_one(tmp_path):
    ds = run_of(noise((1, 12, 17)), NumberOfFrames=None, FrameTime=None, FrameIncrementPointer=None)
    run = read_xray(saved(tmp_path / "a.dcm", ds))
    assert (run.frames.shape, run.frame_s.tolist()) == ((1, 12, 17), [0.0])


def test_bright_is_much_light_whatever_the_display(tmp_path):
    frames = noise((2, 6, 8), 12)
    inverted = 4095 - frames
    cases = [
        ({"PhotometricInterpretation": "MONOCHROME2"}, frames),
        ({"PhotometricInterpretation": "MONOCHROME1"}, inverted),
        ({"PhotometricInterpretation": "MONOCHROME1", "PixelIntensityRelationshipSign": 1}, frames),
        ({"PhotometricInterpretation": "MONOCHROME2", "PixelIntensityRelationshipSign": -1}, inverted),
    ]
    for told, expected in cases:
        run = read_xray(saved(tmp_path / "a.dcm", run_of(frames, bits=12, **told)))
        np.testing.assert_array_equal(run.frames, expected)
        assert any("was inverted" in note for note in run.notes) == (expected is inverted)


def test_overlays_in_unused_bits_are_masked_off_and_those_beside_are_left_out(tmp_path):
    frames = noise((2, 6, 8), 12)
    drawn = frames | np.uint16(0x8000) * noise(frames.shape, 1)
    ds = run_of(drawn, bits=12)
    ds.add_new(0x60000010, "US", 6)
    ds.add_new(0x60000011, "US", 8)
    ds.add_new(0x60000102, "US", 15)
    run = read_xray(saved(tmp_path / "a.dcm", ds))
    np.testing.assert_array_equal(run.frames, frames)
    assert "1 overlays were left out" in run.notes
    shifted = run_of(frames << 4, bits=12, HighBit=15)
    np.testing.assert_array_equal(read_xray(saved(tmp_path / "a.dcm", shifted)).frames, frames)


def lossless_jpeg(frame):
    """JPEG of process 14, selection value 1 (ITU-T T.81, annex H): differences to the left, in 17 codes of 5 bits."""
    height, width = frame.shape
    bits, code = [], {category: f"{category:05b}" for category in range(17)}
    before = np.concatenate([[1 << 7], frame[:-1, 0].astype(int)])
    predicted = np.hstack([before[:, None], frame[:, :-1].astype(int)])
    for value in (frame.astype(int) - predicted).ravel():
        category = int(abs(value)).bit_length()
        bits.append(code[category])
        if category:
            bits.append(f"{value if value > 0 else value + 2**category - 1:0{category}b}")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    scan = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")
    table = bytes([0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    return (
        b"\xff\xd8\xff\xc3" + struct.pack(">HBHHB3B", 11, 8, height, width, 1, 1, 0x11, 0)
        + b"\xff\xc4" + struct.pack(">HB", 3 + len(table), 0) + table
        + b"\xff\xda" + struct.pack(">HB2B3B", 8, 1, 1, 0, 1, 0, 0) + scan + b"\xff\xd9"
    )  # fmt: skip


def baseline_jpeg(frame):
    Image.fromarray(frame).save(buffer := BytesIO(), "JPEG", quality=95)
    return buffer.getvalue()


def jpeg_2000(frame):
    Image.fromarray(frame).save(buffer := BytesIO(), "JPEG2000", no_jp2=True, irreversible=False)
    return buffer.getvalue()


def packed(frames, syntax, encode=None, **told):
    ds = run_of(frames, **told)
    if encode is None:
        ds.compress(syntax, generate_instance_uid=False)
        return ds
    ds.PixelData = encapsulate([encode(frame) for frame in frames])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


PACKED = {
    "RLE": (pydicom.uid.RLELossless, None, 0),
    "JPEG 2000": (pydicom.uid.JPEG2000Lossless, jpeg_2000, 0),
    "JPEG lossless": (pydicom.uid.JPEGLosslessSV1, lossless_jpeg, 0),
    "JPEG baseline": (pydicom.uid.JPEGBaseline8Bit, baseline_jpeg, 4),
}


@pytest.mark.parametrize(("syntax", "encode", "tolerance"), PACKED.values(), ids=PACKED)
def test_compressed_runs_come_back(syntax, encode, tolerance, tmp_path):
    frames = smooth()
    run = read_xray(saved(tmp_path / "a.dcm", packed(frames, syntax, encode)))
    assert np.abs(run.frames.astype(int) - frames).max() <= tolerance
    assert run.frames.dtype == np.uint8


def test_a_run_in_jpeg_ls_comes_back(tmp_path):
    source = pydicom.dcmread(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False))
    expected = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False)).pixel_array
    packed_frame = next(generate_frames(source.PixelData, number_of_frames=1))
    ds = packed(noise((2, 64, 64), 16), pydicom.uid.JPEGLSLossless, lambda _: packed_frame)
    ds.PixelRepresentation, ds.BitsStored, ds.HighBit = 1, source.BitsStored, source.HighBit
    run = read_xray(saved(tmp_path / "a.dcm", ds))
    shift = -(2 ** (source.BitsStored - 1))
    for frame in run.frames:
        np.testing.assert_array_equal(frame.astype(int) + shift, expected)
    assert any("were shifted to begin at 0" in note for note in run.notes)


def test_a_scale_and_a_table_of_the_modality_are_applied(tmp_path):
    frames = noise((2, 6, 8), 10)
    run = read_xray(saved(tmp_path / "a.dcm", run_of(frames, bits=10, RescaleSlope=2, RescaleIntercept=7)))
    np.testing.assert_array_equal(run.frames, 2 * frames.astype(int) + 7)
    assert run.full_scale == 2 * 1023 + 7
    fractions = read_xray(saved(tmp_path / "a.dcm", run_of(frames, bits=10, RescaleSlope=0.3, RescaleIntercept=0)))
    np.testing.assert_allclose(fractions.frames / fractions.full_scale, frames / 1023, atol=1 / 65535)
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [1024, 0, 16], "US"
    values = np.rint(60.0 * np.exp(np.arange(1024) / 150)).astype("<u2")
    table.add_new("LUTData", "OW", values.tobytes())
    ds = run_of(frames, bits=10, PixelIntensityRelationship="LOG", ModalityLUTSequence=[table])
    run = read_xray(saved(tmp_path / "a.dcm", ds))
    np.testing.assert_array_equal(run.frames, values[frames])
    assert not run.is_log
    assert "was logarithmic, and its modality table made it linear" in run.notes


@pytest.mark.parametrize(
    ("told", "is_log", "note"), [("LIN", False, None), ("LOG", True, None), ("DISP", False, "scaled for display")]
)
def test_whether_values_are_logarithmic_is_told(told, is_log, note, tmp_path):
    run = read_xray(saved(tmp_path / "a.dcm", run_of(noise((2, 6, 8)), PixelIntensityRelationship=told)))
    assert run.is_log is is_log
    assert any(note in one for one in run.notes) if note else not any("linear" in one for one in run.notes)


TIMES = {
    "vector": ({"FrameTimeVector": [0, 40, 50, 60]}, [0, 0.04, 0.09, 0.15], None),
    "vector of other length": ({"FrameTimeVector": [0, 40]}, [0, 0.0666, 0.1332, 0.1998], None),
    "cine rate": ({"FrameTime": None, "CineRate": 25}, [0, 0.04, 0.08, 0.12], "cine rate"),
    "display rate": ({"FrameTime": None, "RecommendedDisplayFrameRate": 10}, [0, 0.1, 0.2, 0.3], "for display"),
    "zero": ({"FrameTime": 0, "CineRate": 0}, None, "does not tell when"),
    "none": ({"FrameTime": None}, None, "does not tell when"),
}


@pytest.mark.parametrize(("told", "expected", "note"), TIMES.values(), ids=TIMES)
def test_frame_times_are_read_where_they_are_told(told, expected, note, tmp_path):
    run = read_xray(saved(tmp_path / "a.dcm", run_of(noise((4, 6, 8)), **told)))
    if expected is None:
        assert run.frame_s is None
    else:
        np.testing.assert_allclose(run.frame_s, expected, atol=1e-12)
    assert note is None or any(note in one for one in run.notes)


SIZES = {
    "factor": ({"ImagerPixelSpacing": [0.3, 0.3], "EstimatedRadiographicMagnificationFactor": 1.5}, 0.2),
    "distances": (
        {"ImagerPixelSpacing": [0.3, 0.3], "DistanceSourceToDetector": 1200, "DistanceSourceToPatient": 800}, 0.2,
    ),
    "no magnification": ({"ImagerPixelSpacing": [0.3, 0.3]}, None),
    "wrong magnification": (
        {"ImagerPixelSpacing": [0.3, 0.3], "DistanceSourceToDetector": 800, "DistanceSourceToPatient": 1200}, None,
    ),
    "not square": ({"ImagerPixelSpacing": [0.3, 0.4], "EstimatedRadiographicMagnificationFactor": 1.5}, None),
    "calibrated": (
        {"PixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL", "ImagerPixelSpacing": [0.3, 0.3]}, 0.2,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("told", "expected"), SIZES.values(), ids=SIZES)
def test_the_size_of_a_pixel_is_that_in_the_body(told, expected, tmp_path):
    run = read_xray(saved(tmp_path / "a.dcm", run_of(noise((2, 6, 8)), **told)))
    assert run.pixel_mm == (expected if expected is None else pytest.approx(expected))
    assert expected is not None or any("mm" in note for note in run.notes)


def edges(device, upper, lower, left, right):
    names = ("UpperHorizontalEdge", "LowerHorizontalEdge", "LeftVerticalEdge", "RightVerticalEdge")
    return {f"{device}{name}": value for name, value in zip(names, (upper, lower, left, right), strict=True)}


def test_shutters_of_every_shape_are_joined(tmp_path):
    rows, columns = np.ogrid[1:41, 1:51]
    rectangle = (rows >= 5) & (rows <= 36) & (columns >= 3) & (columns <= 48)
    circle = np.hypot(rows - 20, columns - 25) <= 18
    round_one = {"CenterOfCircularShutter": [20, 25], "RadiusOfCircularShutter": 18}
    square = {"VerticesOfThePolygonalShutter": [10, 10, 10, 40, 30, 40, 30, 10]}
    cases = [
        ({"ShutterShape": "RECTANGULAR", **edges("Shutter", 5, 36, 3, 48)}, rectangle),
        ({"CollimatorShape": "RECTANGULAR", **edges("Collimator", 5, 36, 3, 48)}, rectangle),
        ({"ShutterShape": "CIRCULAR", **round_one}, circle),
        (
            {"ShutterShape": ["RECTANGULAR", "CIRCULAR"], **edges("Shutter", 5, 36, 3, 48), **round_one},
            rectangle & circle,
        ),
        ({"ShutterShape": "POLYGONAL", **square}, (rows >= 10) & (rows <= 30) & (columns >= 10) & (columns <= 40)),
        ({"ShutterShape": "RECTANGULAR", **edges("Shutter", 0, 99, 0, 99)}, None),
        ({"ShutterShape": "RECTANGULAR", **edges("Shutter", 90, 99, 0, 99)}, None),
        ({"ShutterShape": "RECTANGULAR"}, None),
    ]
    for told, expected in cases:
        run = read_xray(saved(tmp_path / "a.dcm", run_of(noise((2, 40, 50)), **told)))
        if expected is None:
            assert run.shutter is None
        else:
            np.testing.assert_array_equal(run.shutter, expected)


def test_an_enhanced_run_is_read_from_its_groups(tmp_path):
    def item(**told):
        ds = Dataset()
        for keyword, value in told.items():
            setattr(ds, keyword, value)
        return ds

    frames = noise((3, 40, 50), 12)
    ds = run_of(frames, bits=12, FrameTime=None, PixelIntensityRelationship=None)
    ds.SOPClassUID = f"{XA}.1"
    ds.SharedFunctionalGroupsSequence = [
        item(
            FramePixelDataPropertiesSequence=[item(PixelIntensityRelationship="LOG")],
            ProjectionPixelCalibrationSequence=[item(ObjectPixelSpacingInCenterOfBeam=[0.2, 0.2])],
        )
    ]
    shutter = {"ShutterShape": "RECTANGULAR", **edges("Shutter", 3, 38, 1, 50)}
    ds.PerFrameFunctionalGroupsSequence = [
        item(
            FrameContentSequence=[item(FrameReferenceDateTime=f"{DAY}101500.{number}50000")],
            FrameDisplayShutterSequence=[item(**shutter)],
        )
        for number in range(3)
    ]
    run = read_xray(saved(tmp_path / "a.dcm", ds))
    np.testing.assert_array_equal(run.frames, frames)
    np.testing.assert_allclose(run.frame_s, [0.0, 0.1, 0.2])
    assert (run.is_log, run.notes) == (True, ())
    assert run.pixel_mm == pytest.approx(0.2)
    assert run.shutter.sum() == 36 * 50


WRONG = {
    "CT": (
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"},
        r"no X-ray run but computed tomography \(mod",
    ),
    "unknown": ({"SOPClassUID": "1.2.3", "Modality": "YAMADA"}, "no X-ray run but of an unknown modality"),
    "volume": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.1"}, "is a volume computed from an X-ray run"),
    "colour": ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "is in colour"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "is in colour"),
    "no pixels": ({"PixelData": None, "Rows": None}, "is an X-ray object without pixels"),
    "no data": ({"PixelData": None}, "ends or is damaged after 0 of 2 frames"),
    "32 bits": ({"BitsAllocated": 32}, "has pixels of 32 bits"),
    "bits": ({"HighBit": 3}, "stores 8 bits up to 3, which do not fit into 8"),
    "too few": ({"NumberOfFrames": 9}, "ends or is damaged after 2 of 9 frames"),
}


@pytest.mark.parametrize(("told", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_no_run_in_grey_is_refused(told, sentence, tmp_path):
    with pytest.raises(InputError, match=rf"a\.dcm: .*{sentence}"):
        read_xray(saved(tmp_path / "a.dcm", run_of(noise((2, 6, 8)), **told)))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("reportsi.dcm", r"no X-ray run but a report \(modality SR\)"),
        ("MR_small.dcm", r"no X-ray run but magnetic resonance \(modality MR\)"),
        ("dicomdirtests/DICOMDIR", "is a DICOMDIR, a table of contents"),
    ],
)
def test_other_objects_of_dicom_are_refused(name, sentence):
    with pytest.raises(InputError, match=sentence):
        read_xray(get_testdata_file(name, download=False))


@pytest.mark.parametrize("content", [b"", b"text" * 100])
def test_what_is_no_dicom_file_is_refused(content, tmp_path):
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.dcm: is (no DICOM file|cut short)"):
        read_xray(tmp_path / "a.dcm")
    with pytest.raises(InputError, match=r"none\.dcm: is not there"):
        read_xray(tmp_path / "none.dcm")


@pytest.mark.parametrize("syntax", [None, *PACKED])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_file_cut_short_is_refused_without_a_word_of_the_patient(syntax, share, tmp_path, capfd):
    frames = noise((6, 32, 40))
    ds = run_of(frames) if syntax is None else packed(frames, *PACKED[syntax][:2])
    whole = saved(tmp_path / "a.dcm", ds).read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"a\.dcm: .*(is no |cut short|damaged)") as caught:
        read_xray(tmp_path / "a.dcm")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert not told_of_patient(str(caught.value) + "".join(capfd.readouterr()))


def told_of_patient(text):
    return [word for word in ("Yamada", "Hanako", NUMBER, DAY) if word.lower() in text.lower()]


def test_nothing_of_the_patient_comes_in_or_goes_out(tmp_path, capfd, recwarn):
    frames = noise((3, 32, 40))
    ds = run_of(frames)
    ds.add_new("FrameTime", "DS", "66.6")
    ds["FrameTime"]._value = NAME  # a value that is no number, as faulty software writes it
    ds["FrameTime"].VR = "LO"
    run = read_xray(saved(tmp_path / "in.dcm", ds))
    assert run.frame_s is None
    times = np.arange(3) / 15
    write_xray(tmp_path / "out.dcm", run.frames, frame_s=times, pixel_mm=0.2, description="vessels", study_key="0a1b")
    content = (tmp_path / "out.dcm").read_bytes()
    assert not told_of_patient(content.decode("latin-1"))
    assert not told_of_patient("".join(f"{getattr(run, field.name)}" for field in fields(run)))
    assert not told_of_patient("".join(capfd.readouterr()))
    assert not list(recwarn)
    assert told_of_patient((tmp_path / "in.dcm").read_bytes().decode("latin-1"))  # the search itself can find


def test_burned_in_text_is_told(tmp_path):
    run = read_xray(saved(tmp_path / "a.dcm", run_of(noise((2, 6, 8)), BurnedInAnnotation="YES")))
    assert "has text burned into its pixels, which pictures made from it may show" in run.notes


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("times", [None, [0.0, 0.1, 0.2], [0.0, 0.1, 0.25]])
def test_a_written_run_is_read_back_by_us_and_by_pydicom(bits, times, tmp_path):
    frames = noise((3, 5, 7), bits)
    write_xray(tmp_path / "a.dcm", frames, frame_s=None if times is None else np.array(times), pixel_mm=0.21)
    run = read_xray(tmp_path / "a.dcm")
    np.testing.assert_array_equal(run.frames, frames)
    assert run.pixel_mm == pytest.approx(0.21)
    assert run.frame_s is None if times is None else np.allclose(run.frame_s, times, atol=1e-9)
    peer = pydicom.dcmread(tmp_path / "a.dcm")
    np.testing.assert_array_equal(peer.pixel_array, frames)
    assert (peer.PatientName, peer.PatientID, peer.StudyDate, peer.BurnedInAnnotation) == (
        "ANONYMOUS",
        "ANONYMOUS",
        "",
        "NO",
    )
    assert list(peer.ImageType) == ["DERIVED", "SECONDARY"]
    assert peer[peer.FrameIncrementPointer].value is not None  # the pointer points at what is there
    for uid in (
        peer.SOPInstanceUID,
        peer.SeriesInstanceUID,
        peer.StudyInstanceUID,
        peer.file_meta.ImplementationClassUID,
    ):
        assert uid.is_valid
    assert peer.SOPClassUID == peer.file_meta.MediaStorageSOPClassUID


def test_the_same_frames_give_the_same_bytes_and_one_key_one_study(tmp_path):
    frames = noise((3, 5, 7))
    for name in ("a.dcm", "b.dcm"):
        write_xray(tmp_path / name, frames.copy(), study_key="run 1")
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    write_xray(tmp_path / "c.dcm", 255 - frames, study_key="run 1")
    write_xray(tmp_path / "d.dcm", frames, study_key="run 2")
    a, c, d = (pydicom.dcmread(tmp_path / f"{name}.dcm") for name in "acd")
    assert a.StudyInstanceUID == c.StudyInstanceUID != d.StudyInstanceUID
    assert len({ds.SOPInstanceUID for ds in (a, c, d)}) == len({ds.SeriesInstanceUID for ds in (a, c, d)}) == 3


def test_what_cannot_be_written_is_refused(tmp_path):
    frames = noise((3, 5, 7))
    cases = [
        (ShapeError, r"frames must have shape \(time, height, width\)", frames[0], {}),
        (InputError, "frames must be uint8 or uint16, got float64", frames / 2, {}),
        (ShapeError, r"frame_s must have shape \(3\), got \(2,\)", frames, {"frame_s": np.arange(2.0)}),
        (InputError, "frame_s must increase", frames, {"frame_s": np.zeros(3)}),
        (InputError, "pixel_mm must be above 0", frames, {"pixel_mm": -1.0}),
        (InputError, "description must be up to 64 characters", frames, {"description": "x" * 65}),
    ]
    for error, sentence, given, told in cases:
        with pytest.raises(error, match=sentence):
            write_xray(tmp_path / "a.dcm", given, **told)
    assert not list(tmp_path.iterdir())


def test_a_missing_codec_is_told_with_its_package(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.dcm", packed(smooth(), *PACKED["JPEG lossless"][:2]))
    decoder = pydicom.pixels.get_decoder(pydicom.uid.JPEGLosslessSV1)
    monkeypatch.setattr(type(decoder), "is_available", property(lambda _: False))
    with pytest.raises(MissingExtraError, match=r"JPEG Lossless.*, which needs python-gdcm.*pip install python-gdcm"):
        read_xray(path)
    film = saved(tmp_path / "b.dcm", packed(smooth(), f"{JPEG}102", baseline_jpeg))
    with pytest.raises(InputError, match=r"is compressed as MPEG-4.* Export the run without compression"):
        read_xray(film)


def test_a_codec_that_fails_is_hinted_at(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.dcm", packed(smooth(), f"{JPEG}51", lambda _: b"\xff\xd8 no JPEG"))
    monkeypatch.setattr(dicom_frames, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"after 0 of 3 frames, or is compressed .*pip install python-gdcm"):
        read_xray(path)


def test_a_run_larger_than_half_of_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("kotowari.formats.memory._half_of_memory", lambda: 1000.0)
    with pytest.raises(InputError, match=r"20 frames of 12 x 17 pixels need .*Cut the run into shorter ones"):
        read_xray(saved(tmp_path / "a.dcm", run_of(noise((20, 12, 17)))))


def test_a_missing_library_is_told_with_the_line_that_installs_it(tmp_path, monkeypatch):
    def gone(module):
        raise ImportError(module)

    path = saved(tmp_path / "a.dcm", run_of(noise((2, 6, 8))))
    monkeypatch.setattr(checks, "import_module", gone)
    for verb in (lambda: read_xray(path), lambda: write_xray(path, noise((2, 6, 8)))):
        with pytest.raises(MissingExtraError, match=r"needs pydicom, .* pip install 'kotowari\[images\]'"):
            verb()
