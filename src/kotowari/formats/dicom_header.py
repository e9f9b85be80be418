"""The header of a DICOM file, read so that nothing that stands in it reaches a message, a warning or a log."""

import logging
import math
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError, KotowariError
from kotowari.formats.rows import require_file

__all__ = ["numbers", "quietly", "read_header", "require_xray", "word"]

_DAMAGED = (
    OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, RuntimeError, struct.error,
)  # fmt: skip
_DIRECTORY = "1.2.840.10008.1.3.10"
_VOLUME = "1.2.840.10008.5.1.4.1.1.13.1.1"
_RUN_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.12.1",  # X-ray angiography, and enhanced
    "1.2.840.10008.5.1.4.1.1.12.1.1",
    "1.2.840.10008.5.1.4.1.1.12.2",  # X-ray radiofluoroscopy, and enhanced
    "1.2.840.10008.5.1.4.1.1.12.2.1",
)
_RUN_MODALITIES = ("XA", "RF", "DS", "DF", "CF", "VF")  # PS3.3 C.7.3.1.1.1; the last four are retired
_OTHERS = {
    "CR": "computed radiography", "CT": "computed tomography", "DOC": "a document", "DX": "digital radiography",
    "ECG": "an electrocardiogram", "ES": "endoscopy", "HD": "a haemodynamic curve", "IVOCT": "optical coherence",
    "IVUS": "intravascular ultrasound", "KO": "a selection of objects", "MG": "mammography",
    "MR": "magnetic resonance", "NM": "nuclear medicine", "OT": "of another kind", "PR": "a state of presentation",
    "PT": "positron emission", "RTDOSE": "a dose", "RTIMAGE": "a radiotherapy image", "RTPLAN": "a treatment plan",
    "RTSTRUCT": "a set of outlines", "SC": "a captured screen", "SEG": "a segmentation", "SM": "slide microscopy",
    "SR": "a report", "US": "ultrasound", "XC": "a photograph",
}  # fmt: skip
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@contextmanager
def quietly(path: Path) -> Iterator[None]:
    """Keep warnings, logs and errors of pydicom from quoting the file; errors become one sentence without a value.

    Raises
    ------
    InputError
        For whatever fails within the block.
    """
    logger = logging.getLogger("pydicom")
    level = logger.level
    try:
        logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except KotowariError:
        raise
    except _DAMAGED:
        # from None: what pydicom says may quote the name of a patient
        raise InputError(f"{path}: is cut short or damaged, and cannot be read as DICOM. Fetch it again.") from None
    finally:
        logger.setLevel(level)


def read_header(path: Path) -> Any:
    """Return what stands in front of the pixels, as a pydicom data set.

    Raises
    ------
    InputError
        When there is no such file, or it is no DICOM file or a DICOMDIR.
    """
    pydicom = require_extra("pydicom", extra="images", by=f"Reading {path.name}")
    require_file(path)
    with quietly(path):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except pydicom.errors.InvalidDicomError:
            raise InputError(f"{path}: is no DICOM file (the mark DICM is missing at byte 128).") from None
        if str(header.file_meta.get("MediaStorageSOPClassUID", "")) == _DIRECTORY:
            raise InputError(f"{path}: is a DICOMDIR, a table of contents. Name one of the files that it lists.")
        return header


def require_xray(path: Path, header: Any) -> None:
    """Raise :class:`InputError`, naming the modality, when a file is no run of X-ray frames in grey."""
    kind = str(header.get("SOPClassUID", ""))
    modality = word(header, "Modality")
    if kind == _VOLUME:
        raise InputError(f"{path}: is a volume computed from an X-ray run, not the run. Name the file of the run.")
    if kind not in _RUN_CLASSES and modality not in _RUN_MODALITIES:
        # only words of this table are printed, since any text may stand in the file
        named = f"{_OTHERS[modality]} (modality {modality})" if modality in _OTHERS else "of an unknown modality"
        raise InputError(f"{path}: is no X-ray run but {named}. Name a file of angiography (XA) or fluoroscopy (RF).")
    if "Rows" not in header or "Columns" not in header:
        raise InputError(f"{path}: is an X-ray object without pixels, or is cut short before them. Name another file.")
    samples = numbers(header, "SamplesPerPixel") or (1.0,)
    if samples[0] != 1 or word(header, "PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):
        raise InputError(f"{path}: is in colour (a captured screen, or a coloured map), where grey frames are needed.")


def word(header: Any, keyword: str) -> str:
    """Return a value as a word in capitals; empty where it is missing."""
    value = _found(header, keyword)
    return "" if value is None else str(value).strip().upper()


def numbers(header: Any, keyword: str) -> tuple[float, ...]:
    """Return the finite numbers of a value; none where it is missing or holds anything else."""
    value = _found(header, keyword)
    if value is None:
        return ()
    try:
        values = tuple(float(one) for one in ([value] if isinstance(value, (int, float, str)) else value))
    except (TypeError, ValueError):
        return ()
    return values if all(math.isfinite(one) for one in values) else ()


def _found(header: Any, keyword: str) -> Any:
    """Return the first value under a keyword: in the header, else in what all frames share, else in the first frame."""
    for place in _places(header):
        if keyword in place:
            try:
                value = place[keyword].value
            except (TypeError, ValueError, OverflowError, KeyError):  # no value of its kind
                continue
            if value is not None and value not in ("", b""):
                return value
    return None


def _places(header: Any) -> Iterator[Any]:
    yield header
    for name in _GROUPS:
        for group in list(header.get(name) or [])[:1]:
            for element in group:
                if element.VR == "SQ" and element.value:
                    yield element.value[0]
