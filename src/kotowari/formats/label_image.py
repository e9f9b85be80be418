"""Label images: one whole number a pixel, 0 for background, 1 .. n for the things found; TIFF and PNG."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError, ShapeError
from kotowari.core.files import write_bytes
from kotowari.formats.image_raster import open_pillow
from kotowari.formats.memory import require_bytes
from kotowari.formats.png import encode_png
from kotowari.formats.rows import require_file
from kotowari.formats.tiff_stored import open_stored

__all__ = ["read_labels", "write_label_png", "write_label_tiff"]

_PNG = b"\x89PNG"
_LARGEST_16 = 65535
_UM_PER_CM = 1e4


def write_label_tiff(path: Path, labels: npt.NDArray[Any], *, um_per_pixel: float | None = None) -> None:
    """Replace the file at ``path`` by a label image in one step; the same labels give the same bytes.

    Stored without loss (deflate) as uint16, or as uint32 where a label exceeds 65,535, which not every viewer opens.

    Parameters
    ----------
    path
        The file.
    labels
        Shape ``(height, width)``, or ``(page, height, width)`` for several pages: whole numbers, 0 or more.
    um_per_pixel
        Side of a pixel in micrometres, written where viewers look for it; None writes none.

    Raises
    ------
    ShapeError
        When the array has other axes or no pixel.
    InputError
        When labels are no whole numbers from 0 to 4,294,967,295, or ``um_per_pixel`` is not above 0.
    RunFolderError
        When the file cannot be written.
    """
    stored = _storable(labels, "write_label_tiff", axes=(2, 3))
    if um_per_pixel is not None and not 0 < um_per_pixel < np.inf:
        raise InputError(f"write_label_tiff: um_per_pixel must be above 0, got {um_per_pixel}.")
    tifffile = require_extra("tifffile", extra="images", by=f"Writing {Path(path).name}")
    buffer = BytesIO()
    size = {} if um_per_pixel is None else {"resolution": (_UM_PER_CM / um_per_pixel,) * 2, "resolutionunit": 3}
    pages = stored if stored.ndim == 3 else stored[None]
    with tifffile.TiffWriter(buffer) as tiff:
        for page in pages:
            # neither the name of the library nor a date, so that the bytes hang on the labels alone
            tiff.write(
                page, photometric="minisblack", compression="zlib", metadata=None, software=False, datetime=None, **size
            )
    write_bytes(Path(path), buffer.getvalue())


def write_label_png(path: Path, labels: npt.NDArray[Any]) -> None:
    """Replace the file at ``path`` by a label image of 16 bits in one step; the same labels give the same bytes.

    Parameters
    ----------
    path
        The file.
    labels
        Shape ``(height, width)``: whole numbers from 0 to 65,535.

    Raises
    ------
    ShapeError
        When the array has other axes or no pixel.
    InputError
        When labels are no whole numbers from 0 to 65,535.
    RunFolderError
        When the file cannot be written.
    """
    stored = _storable(labels, "write_label_png", axes=(2,))
    if stored.dtype != np.uint16:
        raise InputError(
            f"{path}: has labels up to {int(stored.max()):,}, where a PNG holds {_LARGEST_16:,}. Write them as TIFF."
        )
    write_bytes(Path(path), encode_png(stored))


def read_labels(path: Path) -> npt.NDArray[Any]:
    """Return the labels of a TIFF or PNG file as they are stored.

    Nothing is joined or numbered anew: a mask of 0 and 255 comes back as 0 and 255, one bit as 0 and 1, a palette as
    the numbers of its entries.

    Returns
    -------
    array
        Shape ``(height, width)``, or ``(page, height, width)`` where the file has several pages: uint8, uint16 or
        uint32; signed whole numbers come back as unsigned of the same size.

    Raises
    ------
    InputError
        When the file is neither, is cut short or damaged, has more than one channel, or holds fractions or labels
        below 0.
    """
    path = Path(path)
    require_file(path)
    with path.open("rb") as file:
        is_png = file.read(len(_PNG)) == _PNG
    return _png_labels(path) if is_png else _tiff_labels(path)


def _storable(labels: npt.NDArray[Any], by: str, axes: tuple[int, ...]) -> npt.NDArray[Any]:
    if labels.ndim not in axes or labels.size == 0:
        wanted = ("page, if several", "height", "width")[-max(axes) :]
        raise ShapeError.mismatch(by, "labels", wanted, labels.shape)
    if labels.dtype.kind not in "bui":
        raise InputError(f"{by}: labels must be whole numbers, got {labels.dtype}.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > np.iinfo(np.uint32).max:
        raise InputError(f"{by}: labels must lie in 0 .. 4,294,967,295, got {low} .. {high}.")
    return np.ascontiguousarray(labels, np.uint16 if high <= _LARGEST_16 else np.uint32)


def _png_labels(path: Path) -> npt.NDArray[Any]:
    with open_pillow(path, ["PNG"]) as image:
        if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
            raise InputError(f"{path}: has more than one channel ({image.mode}). A label image has one number a pixel.")
        stored = np.asarray(image)
    return stored.astype(np.uint16 if image.mode.startswith("I") else np.uint8)


def _tiff_labels(path: Path) -> npt.NDArray[Any]:
    pages: list[npt.NDArray[Any]] = []
    with open_stored(path) as stored:
        count = len(stored.planes)
        for number in range(count):
            page = stored.load(number)
            if page.shape[2] != 1:
                raise InputError(f"{path}: has {page.shape[2]} channels. A label image has one number a pixel.")
            if not number:
                require_bytes(page.nbytes * count, what=f"{path}: {count} pages of labels", remedy="Split the file")
            pages.append(_unsigned(path, page[..., 0]))
    return pages[0] if count == 1 else np.stack(pages)


def _unsigned(path: Path, page: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if page.dtype.kind == "b":
        return page.astype(np.uint8)
    if page.dtype.kind not in "ui" or page.min() < 0:
        raise InputError(f"{path}: holds {page.dtype.name} numbers or labels below 0. Labels are whole numbers from 0.")
    return page.astype(f"u{page.dtype.itemsize}")
