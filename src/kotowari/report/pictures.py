"""PNG files of a run folder as data inside the page, as many as its size allows."""

import struct
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from kotowari.core.page import Figure
from kotowari.report.numerals import size
from kotowari.report.tables import is_plain_name

__all__ = ["Picture", "embed"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_LENGTH = 24  # signature, length, IHDR, width, height
_WIDE = 1.4


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it.

    Parameters
    ----------
    uri
        The picture as ``data:image/png;base64,...``; empty when it is left out.
    width, height
        Pixels.
    note
        What was done to it, or why it is left out; empty for a picture shown as it is.
    """

    file: str
    title: str
    caption: str
    section: str
    uri: str = ""
    width: int = 0
    height: int = 0
    note: str = ""

    @property
    def is_wide(self) -> bool:
        """Tell whether it wants a row for itself."""
        return self.width > _WIDE * self.height


def embed(figures: Sequence[Figure], folder: Path, budget: int) -> tuple[Picture, ...]:
    """Return the figures as text, together not longer than ``budget`` characters.

    Where they would be longer, all are drawn with 256 colours; if that is not enough, those that no longer fit are
    left out, in the order of the page, and say so.
    """
    read = [(figure, *_read(figure, folder)) for figure in figures]
    if sum(_encoded_length(png) for _, png, _ in read) > budget:
        read = [(figure, *_with_fewer_colours(png, note)) for figure, png, note in read]
    pictures, left = [], budget
    for figure, png, note in read:
        picture = Picture(figure.file, figure.title, figure.caption, figure.section, note=note)
        if png and _encoded_length(png) > left:
            picture = replace(picture, note=f"with {size(len(png))} it would make the page too large")
        elif png:
            left -= _encoded_length(png)
            width, height = struct.unpack(">II", png[16:24])
            uri = f"data:image/png;base64,{b64encode(png).decode()}"
            picture = replace(picture, uri=uri, width=width, height=height)
        pictures.append(picture)
    return tuple(pictures)


def _read(figure: Figure, folder: Path) -> tuple[bytes, str]:
    """Return the bytes of a PNG, or none and the reason."""
    if not is_plain_name(figure.file):
        return b"", "its name leads out of the run folder"
    try:
        content = (folder / figure.file).read_bytes()
    except OSError as error:
        return b"", f"it cannot be read ({error.strerror})"
    if not content.startswith(_SIGNATURE) or content[12:16] != b"IHDR" or len(content) < _HEADER_LENGTH:
        return b"", "it is not a PNG"
    return content, ""


def _with_fewer_colours(png: bytes, note: str) -> tuple[bytes, str]:
    if not png:
        return png, note
    from PIL import Image  # needed by few pages; matplotlib brings it

    try:
        with Image.open(BytesIO(png)) as image:
            paper = Image.new("RGBA", image.size, "white")
            paper.alpha_composite(image.convert("RGBA"))
            smaller = BytesIO()
            paper.convert("RGB").quantize(256).save(smaller, "PNG", optimize=True)
    except OSError:  # half a picture: shown as it is, and the browser says so
        return png, note
    if smaller.tell() >= len(png):
        return png, note
    return smaller.getvalue(), "shown with 256 colours to keep the page small"


def _encoded_length(png: bytes) -> int:
    return (len(png) + 2) // 3 * 4
