"""Frames of an X-ray run as brightness: decoded, freed of overlays, made linear where a table says how, upright."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError, MissingExtraError
from kotowari.formats.dicom_header import numbers, quietly, word
from kotowari.formats.memory import require_bytes

__all__ = ["Frames", "count_frames", "read_frames"]

Frames = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_JPEG = "1.2.840.10008.1.2.4."
# what a user installs so that pydicom decodes it; run lengths it decodes alone
_PACKAGES = {
    **dict.fromkeys((f"{_JPEG}{kind}" for kind in (50, 51, 57, 70, 80, 81, 90, 91)), "python-gdcm"),
    **dict.fromkeys((f"{_JPEG}{kind}" for kind in (201, 202, 203)), "pylibjpeg pylibjpeg-openjpeg"),
}
_CODEC_MODULES = {"python-gdcm": "gdcm", "pylibjpeg pylibjpeg-openjpeg": "openjpeg"}
_FULL_16 = 65535


def count_frames(header: Any) -> int:
    """Return the number of frames; 1 where the file tells none."""
    told = numbers(header, "NumberOfFrames")
    return max(int(told[0]), 1) if told else 1


def read_frames(path: Path, header: Any) -> tuple[Frames, float, bool, tuple[str, ...]]:
    """Return frames, full scale, whether they are logarithmic, and notes.

    Overlays in unused bits are masked off. The modality table or scale is applied. Values are inverted where small
    ones stand for much light: where the sign of the pixel intensity relationship says so or, where none is told, where
    the photometric interpretation is MONOCHROME1.

    Parameters
    ----------
    path
        The file.
    header
        Of that file, known to be an X-ray run in grey.

    Returns
    -------
    frames
        Shape ``(time, height, width)``, uint8 or uint16; bright where much light arrived.
    full_scale
        Largest value that a frame can hold.
    is_log
        Whether values are proportional to the logarithm of the intensity.
    notes
        What was done.

    Raises
    ------
    InputError
        When the file is cut short or damaged, or holds pixels of other sizes than 8 or 16 bits.
    MissingExtraError
        When its compression needs a library that is not installed.
    """
    allocated = int((numbers(header, "BitsAllocated") or (0.0,))[0])
    if not allocated:
        raise InputError(f"{path}: does not say how its pixels are stored; it is cut short or damaged. Fetch it again.")
    if allocated not in (8, 16):
        raise InputError(f"{path}: has pixels of {allocated} bits, where 8 or 16 are read. Convert it.")
    _require_decoder(path, header)
    notes: list[str] = []
    values = _after_modality(header, _stored_values(path, header, allocated), notes)
    values, full = _whole(values, notes)
    inverted, is_log = _relationship(header, notes)
    bright = full - values if inverted else values
    table: Frames = bright.astype(np.uint8) if full <= 255 else bright.astype(np.uint16)
    return _decoded(path, header, table), float(full), is_log, tuple(notes)


def _require_decoder(path: Path, header: Any) -> None:
    pixels = require_extra("pydicom.pixels", extra="images", by=f"Reading {path.name}")
    with quietly(path):
        syntax = header.file_meta.TransferSyntaxUID
        if not syntax.is_compressed:
            return
        try:
            available = pixels.get_decoder(syntax).is_available
        except NotImplementedError:
            raise InputError(
                f"{path}: is compressed as {syntax.name}, which is not read. Export the run without compression."
            ) from None
        if not available:
            package = _PACKAGES.get(str(syntax), "python-gdcm")
            raise MissingExtraError(
                f"{path}: is compressed as {syntax.name}, which needs {package}. Install it: pip install {package}"
            )


def _stored_values(path: Path, header: Any, allocated: int) -> npt.NDArray[np.int64]:
    """Return what each pattern of bits stands for; bits beside the stored ones belong to overlays."""
    bits = int((numbers(header, "BitsStored") or (allocated,))[0])
    high = int((numbers(header, "HighBit") or (bits - 1,))[0])
    if not (0 < bits <= allocated and bits - 1 <= high < allocated):
        raise InputError(f"{path}: stores {bits} bits up to {high}, which do not fit into {allocated}. Fetch it again.")
    values: npt.NDArray[np.int64] = (np.arange(2**allocated) >> (high + 1 - bits)) & (2**bits - 1)
    if numbers(header, "PixelRepresentation") == (1.0,):
        values = np.where(values >= 2 ** (bits - 1), values - 2**bits, values)
    return values


def _after_modality(
    header: Any, stored: npt.NDArray[np.int64], notes: list[str]
) -> npt.NDArray[np.float64] | npt.NDArray[np.int64]:
    if "ModalityLUTSequence" not in header and "RescaleSlope" not in header:
        return stored
    pixels = require_extra("pydicom.pixels", extra="images", by="Applying a modality table")
    # pydicom looks tables up by the stored value, so each pattern of bits becomes its value here
    values: npt.NDArray[np.float64] = np.asarray(pixels.apply_modality_lut(stored, header), np.float64)
    if not np.array_equal(values, stored):
        notes.append("its modality table or scale was applied")
    return values


def _whole(values: npt.NDArray[Any], notes: list[str]) -> tuple[npt.NDArray[np.int64], int]:
    """Return values as whole numbers from 0, and their largest."""
    low, high = float(values.min()), float(values.max())
    if np.array_equal(values, np.rint(values)) and high - min(low, 0.0) <= _FULL_16:
        if low < 0:
            notes.append(f"its values begin at {low:g}, and were shifted to begin at 0")
        shift = int(min(low, 0.0))
        return values.astype(np.int64) - shift, int(high) - shift
    notes.append(f"its values, {low:g} .. {high:g}, were scaled to 16 bits")
    return np.rint((values - low) / ((high - low) or 1.0) * _FULL_16).astype(np.int64), _FULL_16


def _relationship(header: Any, notes: list[str]) -> tuple[bool, bool]:
    """Return whether small values stand for much light, and whether values are logarithmic."""
    sign = numbers(header, "PixelIntensityRelationshipSign")
    inverted = word(header, "PhotometricInterpretation") == "MONOCHROME1"
    if sign in ((1.0,), (-1.0,)):
        inverted = sign == (-1.0,)
    if inverted:
        notes.append("was inverted, since its small values stand for much light")
    told = word(header, "PixelIntensityRelationship")
    if told == "LOG" and "ModalityLUTSequence" in header:  # which by PS3.3 C.8.7.1.1.2 leads back to intensity
        notes.append("was logarithmic, and its modality table made it linear")
        return inverted, False
    if told not in ("LIN", "LOG"):
        fault = "was scaled for display" if told == "DISP" else "does not say how its values follow the light"
        notes.append(f"{fault}; it is taken as linear")
    return inverted, told == "LOG"


def _decoded(path: Path, header: Any, table: Frames) -> Frames:
    """Decode frame by frame, so that the run stands in memory once."""
    count = count_frames(header)
    shape = (count, int(header.Rows), int(header.Columns))
    require_bytes(
        int(np.prod(shape)) * table.itemsize,
        what=f"{path}: {count} frames of {shape[1]} x {shape[2]} pixels",
        remedy="Cut the run into shorter ones",
    )
    pixels = require_extra("pydicom.pixels", extra="images", by=f"Reading {path.name}")
    frames: Frames = np.empty(shape, table.dtype)
    done = 0
    try:
        with quietly(path):
            for done, frame in enumerate(pixels.iter_pixels(path, correct_unused_bits=False), start=1):
                frames[done - 1] = table[frame.view(f"u{frame.itemsize}")]
    except InputError:
        done = min(done, count - 1)
    if done < count:
        raise InputError(f"{path}: ends or is damaged after {done} of {count} frames{_hint(header)}. Fetch it again.")
    return frames


def _hint(header: Any) -> str:
    syntax = header.file_meta.TransferSyntaxUID
    package = _PACKAGES.get(str(syntax))
    if package is None or find_spec(_CODEC_MODULES[package]) is not None:
        return ""
    return f", or is compressed in a way of {syntax.name} that needs {package} (pip install {package})"
