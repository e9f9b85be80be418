"""Frames computed from an X-ray run as a new DICOM file that viewers open and that names nobody."""

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError, ShapeError
from kotowari.core.files import write_bytes

__all__ = ["write_xray"]

# Multi-frame Grayscale Byte and Word Secondary Capture Image Storage (PS3.4 B.5)
_CLASSES = {1: "1.2.840.10008.5.1.4.1.1.7.2", 2: "1.2.840.10008.5.1.4.1.1.7.3"}
_NOBODY = "ANONYMOUS"
_SAME_STEP = 1e-6  # steps of time that differ by less, relative to the first, are told as one number
_LONGEST_TEXT = 64  # of a LO (PS3.5 6.2)
_FRAME_TIME, _FRAME_TIME_VECTOR, _PAGE_NUMBER_VECTOR = 0x00181063, 0x00181065, 0x00182001


def write_xray(
    path: Path,
    frames: npt.NDArray[Any],
    *,
    frame_s: npt.NDArray[np.float64] | None = None,
    pixel_mm: float | None = None,
    description: str = "",
    study_key: str = "",
    burned_in: bool = False,
) -> None:
    """Replace the file at ``path`` by a DICOM file of frames in one step; the same frames give the same bytes.

    The file is a multi-frame grey secondary capture (derived, explicit little-endian, not compressed) of modality XA.
    Nothing is taken over from another file: name and number of the patient are ``ANONYMOUS``, dates are empty, and the
    identifiers follow from the frames and what is told here.

    Parameters
    ----------
    path
        The file.
    frames
        Shape ``(time, height, width)``, uint8 or uint16; large values are shown bright.
    frame_s
        Time of each frame in seconds, shape ``(time,)``, increasing; None writes none.
    pixel_mm
        Side of a pixel in millimetres in the plane of the object; None writes none.
    description
        Of the series, up to 64 characters of ASCII.
    study_key
        Any text that belongs to one run, such as the sha256 of its file: files of one key lie in one study. Only a hash
        of it is stored, from which a short text such as a name could be guessed; so no name.
    burned_in
        Whether text may be burned into the frames.

    Raises
    ------
    ShapeError
        When frames have other axes or no pixel, or times are not one a frame.
    InputError
        When frames are of another type, a side exceeds 65,535 pixels, times do not increase, ``pixel_mm`` is not above
        0, or the description is too long or not ASCII.
    RunFolderError
        When the file cannot be written.
    """
    stored = _storable(frames)
    _require_sound(len(stored), frame_s, pixel_mm, description)
    dataset = require_extra("pydicom.dataset", extra="images", by=f"Writing {Path(path).name}").Dataset()
    times = None if frame_s is None else np.asarray(frame_s, np.float64).tolist()
    _put_identity(dataset, stored, repr((times, pixel_mm, description, burned_in)), study_key)
    _put_general(dataset, description, burned_in)
    _put_pixels(dataset, stored)
    _put_times(dataset, len(stored), frame_s)
    if pixel_mm is not None:
        dataset.PixelSpacing = [_decimal(pixel_mm)] * 2
        dataset.PixelSpacingCalibrationType = "GEOMETRY"
        dataset.PixelSpacingCalibrationDescription = "in the plane of the object"
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    write_bytes(Path(path), buffer.getvalue())


def _storable(frames: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if frames.ndim != 3 or frames.size == 0:
        raise ShapeError.mismatch("write_xray", "frames", ("time", "height", "width"), frames.shape)
    native = np.ascontiguousarray(frames, dtype=frames.dtype.newbyteorder("<"))
    if native.dtype not in (np.uint8, np.dtype("<u2")):
        raise InputError(f"write_xray: frames must be uint8 or uint16, got {frames.dtype}. Scale them first.")
    if max(frames.shape[1:]) > 65535:
        raise InputError(f"write_xray: DICOM holds up to 65,535 pixels a side, got {frames.shape[1:]}.")
    return native


def _require_sound(count: int, frame_s: Any, pixel_mm: float | None, description: str) -> None:
    if frame_s is not None:
        if np.shape(frame_s) != (count,):
            raise ShapeError.mismatch("write_xray", "frame_s", (count,), np.shape(frame_s))
        if not (np.isfinite(frame_s).all() and (np.diff(frame_s) > 0).all()):
            raise InputError("write_xray: frame_s must increase from frame to frame.")
    if pixel_mm is not None and not 0 < pixel_mm < np.inf:
        raise InputError(f"write_xray: pixel_mm must be above 0, got {pixel_mm}.")
    if len(description) > _LONGEST_TEXT or not description.isascii() or "\\" in description:
        raise InputError(
            f"write_xray: description must be up to {_LONGEST_TEXT} characters of ASCII without a backslash."
        )


def _put_identity(dataset: Any, frames: npt.NDArray[Any], told: str, study_key: str) -> None:
    """Set identifiers that follow from the content, so that the same content is the same object."""
    uid = require_extra("pydicom.uid", extra="images", by="Writing DICOM")
    digest = hashlib.sha256(f"{frames.shape}{frames.dtype}{told}{study_key}".encode())
    digest.update(frames.data)
    content = digest.hexdigest()

    def identifier(*sources: str) -> Any:
        return uid.generate_uid(entropy_srcs=["kotowari", *sources])

    meta = require_extra("pydicom.dataset", extra="images", by="Writing DICOM").FileMetaDataset()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.ImplementationClassUID = identifier("implementation")
    meta.ImplementationVersionName = "KOTOWARI"
    dataset.file_meta = meta
    dataset.SOPClassUID = _CLASSES[frames.itemsize]
    dataset.SOPInstanceUID = identifier("instance", content)
    dataset.SeriesInstanceUID = identifier("series", content)
    dataset.StudyInstanceUID = identifier("study", study_key or content)


def _put_general(dataset: Any, description: str, burned_in: bool) -> None:
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.PatientName = dataset.PatientID = _NOBODY
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Made anew; nothing taken over"
    # of these the standard wants the place, which may be empty
    for keyword in (
        "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID",
        "AccessionNumber", "PatientOrientation",
    ):  # fmt: skip
        setattr(dataset, keyword, "")
    dataset.Modality = "XA"
    dataset.ConversionType = "WSD"
    dataset.Manufacturer = "kotowari"
    dataset.SeriesDescription = description
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.BurnedInAnnotation = "YES" if burned_in else "NO"


def _put_pixels(dataset: Any, frames: npt.NDArray[Any]) -> None:
    bits = 8 * frames.itemsize
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape = "IDENTITY"
    content = frames.tobytes()
    dataset.add_new("PixelData", "OB" if bits == 8 else "OW", content + b"\0" * (len(content) % 2))


def _put_times(dataset: Any, count: int, frame_s: npt.NDArray[np.float64] | None) -> None:
    if frame_s is None or count == 1:
        dataset.FrameIncrementPointer = _PAGE_NUMBER_VECTOR
        dataset.PageNumberVector = list(range(1, count + 1))
        return
    steps = np.diff(np.asarray(frame_s, np.float64)) * 1e3
    if np.ptp(steps) <= _SAME_STEP * steps[0]:
        dataset.FrameIncrementPointer = _FRAME_TIME
        dataset.FrameTime = _decimal(float(steps.mean()))
        return
    dataset.FrameIncrementPointer = _FRAME_TIME_VECTOR
    dataset.FrameTimeVector = ["0", *(_decimal(float(step)) for step in steps)]


def _decimal(value: float) -> str:
    """Return a number as a DS, which has 16 characters at most (PS3.5 6.2)."""
    return f"{value:.9g}"
