"""Micrometres per pixel from what microscopes and ImageJ write into a TIFF file."""

import re
from typing import Any

from kotowari.core.checks import require_extra
from kotowari.formats.image_source import plausible_um

__all__ = ["pixel_size"]

_UM = {"nm": 1e-3, "mm": 1e3, "cm": 1e4, "inch": 25400.0, "m": 1e6}
# two letters stand for the micro sign, and ImageJ writes one of them escaped
_UM |= dict.fromkeys(["um", "\u00b5m", "\u03bcm", "\\u00b5m", "micron", "microns", "micrometer"], 1.0)
_UM_OF_TAG = {2: 25400.0, 3: 1e4, 4: 1e3, 5: 1.0}  # ResolutionUnit: inch, centimetre; beyond TIFF 6.0 mm, um
_APERIO = re.compile(r"\bMPP\s*=\s*([0-9.]+)")

Size = tuple[float | None, tuple[str, ...]]


def pixel_size(tiff: Any, page: Any) -> Size:
    """Return micrometres per pixel or None, and notes.

    Read, in this order, from OME-XML, from ImageJ's unit, from the description of Aperio scanners, from the tags of
    resolution. A size above 20 um is that of a screen or printer and not taken.
    """
    for read in (_ome, _imagej, _aperio):
        found = read(tiff, page)
        if found is not None:
            return plausible_um(*found)
    found = _tags(page, _UM_OF_TAG.get(int(page.tags.valueof(296, 2)), 0.0))
    return plausible_um(*found) if found else (None, ())


def _ome(tiff: Any, page: Any) -> tuple[float, float] | None:
    del page
    if not tiff.is_ome:
        return None
    try:
        image = require_extra("tifffile", extra="images", by="Reading OME").xml2dict(tiff.ome_metadata)["OME"]["Image"]
        pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
        sizes = [_length(pixels, f"PhysicalSize{axis}") for axis in "XY"]
    except (KeyError, TypeError, ValueError, SyntaxError):  # a broken description describes no size
        return None
    return (sizes[0], sizes[1]) if all(sizes) else None


def _length(pixels: dict[str, Any], name: str) -> float:
    unit = str(pixels.get(f"{name}Unit", "um"))  # the default of the OME schema
    return float(pixels.get(name, 0.0)) * _UM.get(unit.lower(), 0.0)


def _imagej(tiff: Any, page: Any) -> tuple[float, float] | None:
    if not tiff.is_imagej:
        return None
    unit = str((tiff.imagej_metadata or {}).get("unit", "")).lower()
    return _tags(page, _UM.get(unit, 0.0))


def _aperio(tiff: Any, page: Any) -> tuple[float, float] | None:
    found = _APERIO.search(page.description) if tiff.is_svs else None
    return (float(found[1]), float(found[1])) if found else None


def _tags(page: Any, unit_um: float) -> tuple[float, float] | None:
    across, down = page.tags.valueof(282), page.tags.valueof(283)
    if not unit_um or not across or not down or 0 in (*across, *down):
        return None
    return unit_um * across[1] / across[0], unit_um * down[1] / down[0]
