"""X-ray runs from DICOM: frames, times, size of a pixel, shutter; nothing of the patient."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.formats.dicom_frames import Frames, read_frames
from kotowari.formats.dicom_geometry import frame_times, pixel_size_mm, read_shutter
from kotowari.formats.dicom_header import quietly, read_header, require_xray, word

__all__ = ["XrayFrames", "read_xray"]

_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
_OVERLAY_ROWS = 0x0010


@dataclass(frozen=True, eq=False)
class XrayFrames:
    """A run of X-ray frames, with nothing in it that names a patient, a day or a place.

    Parameters
    ----------
    frames
        Shape ``(time, height, width)``, uint8 or uint16; bright where much light arrived, so that vessels with contrast
        medium are dark.
    full_scale
        Largest value that a frame can hold.
    frame_s
        Time of each frame in seconds from the first, shape ``(time,)``; None where the file does not tell.
    pixel_mm
        Side of a pixel in millimetres in the plane of the object; None where the file does not tell.
    shutter
        Where shutter and collimator left the frame open, shape ``(height, width)``; None where none is told.
    is_log
        Whether values are proportional to the logarithm of the intensity already.
    notes
        What was done or found while reading, a sentence each.
    """

    frames: Frames
    full_scale: float
    frame_s: npt.NDArray[np.float64] | None
    pixel_mm: float | None
    shutter: npt.NDArray[np.bool_] | None
    is_log: bool
    notes: tuple[str, ...]


def read_xray(path: Path) -> XrayFrames:
    """Read an X-ray run (angiography or radiofluoroscopy, classic or enhanced) of one frame or more.

    Overlays are left out, also those in unused bits of the pixels. No message quotes a value of the file.

    Raises
    ------
    InputError
        When there is no such file; when it is no DICOM file, a DICOMDIR, another object than an X-ray run (its
        modality is told), in colour, cut short or damaged; when it needs more than half of the memory.
    MissingExtraError
        When pydicom or the library of its compression is not installed.
    """
    path = Path(path)
    header = read_header(path)
    with quietly(path):
        require_xray(path, header)
        frames, full_scale, is_log, of_frames = read_frames(path, header)
        times, of_times = frame_times(header, len(frames))
        pixel_mm, of_size = pixel_size_mm(header)
        shutter, of_shutter = read_shutter(header, *frames.shape[1:])
        notes = (*of_frames, *of_times, *of_size, *of_shutter, *_cautions(header))
    return XrayFrames(frames, full_scale, times, pixel_mm, shutter, is_log, notes)


def _cautions(header: Any) -> tuple[str, ...]:
    overlays = sum((group, _OVERLAY_ROWS) in header for group in _OVERLAY_GROUPS)
    told = (f"{overlays} overlays were left out",) if overlays else ()
    if word(header, "BurnedInAnnotation") == "YES":
        told = (*told, "has text burned into its pixels, which pictures made from it may show")
    return told
