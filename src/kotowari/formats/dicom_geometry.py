"""Of an X-ray run: when frames were taken, how large a pixel is, which part of the frame the shutter left open."""

from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import require_extra
from kotowari.formats.dicom_header import numbers, word

__all__ = ["frame_times", "pixel_size_mm", "read_shutter"]

_SAME = 0.01  # sides of a pixel that differ by less are taken as equal
_FRAME_TIMES = ("FrameReferenceDateTime", "FrameAcquisitionDateTime")


def frame_times(header: Any, count: int) -> tuple[npt.NDArray[np.float64] | None, tuple[str, ...]]:
    """Return the time of each frame in seconds from the first, shape ``(time,)``, or None with a note that says why.

    Read, in this order, from the frame time vector, the frame time, the times of an enhanced file's frames, the cine
    rate, and the rate recommended for display, which may differ from that of the acquisition and is told.
    """
    if count == 1:
        return np.zeros(1), ()
    steps = numbers(header, "FrameTimeVector")
    if len(steps) == count and min(steps[1:]) > 0:
        return np.cumsum(np.array([0.0, *steps[1:]], np.float64)) / 1e3, ()
    step_ms = numbers(header, "FrameTime")
    if len(step_ms) == 1 and step_ms[0] > 0:
        return np.arange(count, dtype=np.float64) * (step_ms[0] / 1e3), ()
    own = _times_of_groups(header, count)
    if own is not None:
        return own, ()
    rate = numbers(header, "CineRate")
    if len(rate) == 1 and rate[0] > 0:
        return np.arange(count, dtype=np.float64) / rate[0], ("its frame times were computed from its cine rate",)
    rate = numbers(header, "RecommendedDisplayFrameRate")
    if len(rate) == 1 and rate[0] > 0:
        return np.arange(count, dtype=np.float64) / rate[0], (
            "its frame times were computed from the rate recommended for display, which may not be that of acquisition",
        )
    return None, ("does not tell when its frames were taken",)


def _times_of_groups(header: Any, count: int) -> npt.NDArray[np.float64] | None:
    """Return differences of the frames' own times; the times themselves go nowhere."""
    moments: list[datetime] = []
    for group in header.get("PerFrameFunctionalGroupsSequence") or []:
        for content in (group.get("FrameContentSequence") or [])[:1]:
            told = next((content.get(name) for name in _FRAME_TIMES if content.get(name)), None)
            if told is not None:
                moments.append(_moment(str(told)))
    if len(moments) != count:
        return None
    times = np.array([(moment - moments[0]).total_seconds() for moment in moments])
    return times if (np.diff(times) > 0).all() else None


def _moment(told: str) -> datetime:
    """Return a DT of PS3.5 6.2, which begins with YYYYMMDDHHMMSS and may have a fraction; its zone is left out."""
    fraction = told[15:21] if told[14:15] == "." else ""
    digits = "".join(digit for digit in fraction if digit.isdigit())
    return datetime.strptime(told[:14] + digits.ljust(6, "0"), "%Y%m%d%H%M%S%f")  # differences only


def pixel_size_mm(header: Any) -> tuple[float | None, tuple[str, ...]]:
    """Return the side of a pixel in millimetres in the plane of the object, or None with a note that says why.

    A calibrated pixel spacing is taken as it is, and so is that in the centre of the beam of an enhanced file. The
    spacing on the detector is divided by the magnification: the estimated one, or distance source to detector over
    distance source to patient.
    """
    if word(header, "PixelSpacingCalibrationType"):
        return _side(numbers(header, "PixelSpacing"))
    centre = numbers(header, "ObjectPixelSpacingInCenterOfBeam")
    if centre:
        return _side(centre)
    side, notes = _side(numbers(header, "ImagerPixelSpacing"))
    if side is None:
        return (None, notes) if notes else (None, ("does not tell how large a pixel is",))
    factor = _magnification(header)
    if factor is None:
        return None, (f"tells {side:g} mm a pixel on the detector but no magnification, so its size is unknown",)
    return side / factor, (f"its pixels, {side:g} mm on the detector, were divided by the magnification {factor:.4g}",)


def _magnification(header: Any) -> float | None:
    told = numbers(header, "EstimatedRadiographicMagnificationFactor")
    if not told:
        to_detector, to_patient = (numbers(header, f"DistanceSourceTo{end}") for end in ("Detector", "Patient"))
        told = (to_detector[0] / to_patient[0],) if to_detector and to_patient and to_patient[0] > 0 else ()
    return told[0] if told and told[0] >= 1 else None


def _side(sides: tuple[float, ...]) -> tuple[float | None, tuple[str, ...]]:
    if len(sides) not in (1, 2) or min(sides) <= 0:
        return None, ()
    if abs(sides[0] - sides[-1]) > _SAME * sides[0]:
        return None, (f"its pixels are {sides[0]:g} mm high and {sides[-1]:g} mm wide, so no single size is taken",)
    return sides[0], ()


def read_shutter(header: Any, height: int, width: int) -> tuple[npt.NDArray[np.bool_] | None, tuple[str, ...]]:
    """Return where shutter and collimator left the frame open, shape ``(height, width)``, or None where none is told.

    Rectangles, circles, polygons and bitmaps are joined: open is what all leave open. The edges themselves are counted
    as open. Of frames with shutters of their own the first one's is taken.
    """
    open_to_all = np.ones((height, width), bool)
    shapes = {}
    for device in ("Shutter", "Collimator"):
        told = word(header, f"{device}Shape")
        for name, draw in (("RECTANGULAR", _rectangle), ("CIRCULAR", _circle), ("POLYGONAL", _polygon)):
            drawn = draw(header, device, height, width) if name in told else None
            if drawn is not None:
                shapes[device, name] = drawn
    overlay = _bitmap(header, height, width) if "BITMAP" in word(header, "ShutterShape") else None
    if overlay is not None:
        shapes["Shutter", "BITMAP"] = ~overlay
    for shape in shapes.values():
        open_to_all &= shape
    if not shapes or open_to_all.all():
        return None, ()
    if not open_to_all.any():
        return None, ("its shutter would cover the whole frame, and was left out",)
    return open_to_all, ()


def _rectangle(header: Any, device: str, height: int, width: int) -> npt.NDArray[np.bool_] | None:
    names = ("UpperHorizontalEdge", "LowerHorizontalEdge", "LeftVerticalEdge", "RightVerticalEdge")
    edges = [numbers(header, f"{device}{name}") for name in names]
    if not all(len(edge) == 1 for edge in edges):
        return None
    upper, lower, left, right = (edge[0] for edge in edges)
    rows, columns = _grid(height, width)
    inside: npt.NDArray[np.bool_] = (rows >= upper) & (rows <= lower) & (columns >= left) & (columns <= right)
    return inside


def _circle(header: Any, device: str, height: int, width: int) -> npt.NDArray[np.bool_] | None:
    centre, radius = numbers(header, f"CenterOfCircular{device}"), numbers(header, f"RadiusOfCircular{device}")
    if len(centre) != 2 or len(radius) != 1:
        return None
    rows, columns = _grid(height, width)
    inside: npt.NDArray[np.bool_] = np.hypot(rows - centre[0], columns - centre[1]) <= radius[0]
    return inside


def _polygon(header: Any, device: str, height: int, width: int) -> npt.NDArray[np.bool_] | None:
    corners = numbers(header, f"VerticesOfThePolygonal{device}")
    if len(corners) < 6 or len(corners) % 2:
        return None
    draw = require_extra("skimage.draw", extra="images", by="Drawing a polygonal shutter")
    rows_and_columns = np.reshape(corners, (-1, 2)) - 1.0
    inside: npt.NDArray[np.bool_] = draw.polygon2mask((height, width), rows_and_columns)
    return inside


def _bitmap(header: Any, height: int, width: int) -> npt.NDArray[np.bool_] | None:
    group = numbers(header, "ShutterOverlayGroup")
    if not group or (int(group[0]), 0x3000) not in header:
        return None
    covered = np.asarray(header.overlay_array(int(group[0]))).astype(bool)
    return covered if covered.shape == (height, width) else None


def _grid(height: int, width: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return rows and columns, counted from 1 as DICOM does."""
    rows, columns = np.ogrid[1 : height + 1, 1 : width + 1]
    return rows.astype(np.float64), columns.astype(np.float64)
