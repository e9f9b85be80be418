"""What all pictures share: palette, type, canvas, colour scales that can be trusted, and their bytes."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, FuncNorm, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import fontManager
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

__all__ = [
    "AGAINST",
    "DIVERGING",
    "DPI",
    "FAINT",
    "GREY",
    "HALF",
    "INK",
    "LINE",
    "MOST_BYTES",
    "OTHER",
    "OURS",
    "SEQUENTIAL",
    "SIGNIFICANT",
    "SOFT",
    "WIDE",
    "Sketch",
    "bare",
    "centred",
    "centred_root",
    "encode",
    "house_style",
    "new_canvas",
    "shorten",
]

INK, SOFT, LINE, FAINT = "#1c2027", "#5b6370", "#d5d2ca", "#f1f0ec"
OURS, AGAINST, OTHER = "#2b4c7e", "#c2611a", "#98a1ad"  # blue and orange stay apart for every kind of colour vision
SIGNIFICANT = "\N{BLACK STAR}"

# inches; a hundred pixels of the page each, so that type of 8 points has the size of a caption. The report gives a row
# of its own to a picture wider than 1.4 times its height, and sets two others side by side.
WIDE, HALF = (7.2, 5.1), (4.2, 3.3)
DPI = (200, 150, 110)
MOST_BYTES = 400_000

SEQUENTIAL: Colormap = LinearSegmentedColormap.from_list("strength", ["#e8ebf0", "#a9bdd8", "#4d76ac", OURS, "#101f3a"])
GREY: Colormap = LinearSegmentedColormap.from_list("expression", ["#ffffff", "#8d939c", INK])
DIVERGING: Colormap = LinearSegmentedColormap.from_list(
    "for and against", ["#16305c", "#3f6ea8", "#a9c3de", "#f6f5f2", "#eeb98d", AGAINST, "#74330a"]
)

_FAR_EASTERN = (
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "Hiragino Sans",
    "Yu Gothic",
    "Meiryo",
    "IPAexGothic",
    "TakaoGothic",
)
_STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # a dollar sign in the name of a gene or class is a dollar sign
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 6,
    "axes.labelsize": 8.5,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": OTHER,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": OTHER,
    "ytick.color": OTHER,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "text.color": INK,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@dataclass(frozen=True)
class Sketch:
    """A picture that is drawn but not yet saved.

    Parameters
    ----------
    name
        File name without its ending.
    canvas
        The drawing.
    title, caption, section
        As in :class:`kotowari.core.page.Figure`.
    """

    name: str
    canvas: Canvas
    title: str
    caption: str
    section: str


@contextmanager
def house_style() -> Iterator[None]:
    """Draw alike whatever the user's own matplotlib settings are; these come back afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE | {"font.family": ["DejaVu Sans", *_installed_far_eastern()]})
        yield


def new_canvas(size: tuple[float, float], *, constrained: bool = True) -> Canvas:
    """Return an empty white canvas of ``size`` inches, legible on a light and on a dark page."""
    engine = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.02, hspace=0.02) if constrained else None
    return Canvas(figsize=size, dpi=DPI[0], facecolor="white", layout=engine)


def encode(canvas: Canvas) -> tuple[bytes, bool]:
    """Return the canvas as PNG, and whether its fonts lack a sign that it shows; equal canvases give equal bytes.

    A picture larger than :data:`MOST_BYTES` gets 256 colours, none of them far from its own; if that is not enough it
    is drawn coarser, down to the lowest of :data:`DPI`.
    """
    png, lacks_signs = b"", False
    for dpi in DPI:
        image, lacks_signs = _drawn(canvas, dpi)
        png = _packed(image)
        if len(png) > MOST_BYTES:
            # by coverage, not by count: a rare colour is a strong value
            png = _packed(image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE))
        if len(png) <= MOST_BYTES:
            break
    return png, lacks_signs


def centred(values: npt.NDArray[Any]) -> Normalize:
    """Return a scale from ``-max|v|`` to ``max|v|``, so that zero has the neutral colour and both signs weigh alike."""
    bound = _largest(values)
    return Normalize(-bound, bound)


def centred_root(values: npt.NDArray[Any]) -> FuncNorm:
    """Return :func:`centred` on signed square roots, so that weak values are seen beside a few strong ones."""
    bound = _largest(values)
    return FuncNorm((_signed_root, _signed_square), vmin=-bound, vmax=bound)


def bare(axes: Axes) -> None:
    """Take the ticks off the frame of an image, whose axes have no unit, and draw the frame thin."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=LINE)


def shorten(text: object, limit: int, *, keep_end: bool = False) -> str:
    """Return a name on one line of at most ``limit`` signs; names that differ at their ends keep these.

    Examples
    --------
    >>> shorten("microsatellite instability", 15)
    'microsatellite…'
    >>> shorten("microsatellite instability", 15, keep_end=True)
    'microsa…ability'
    """
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)).split())
    if len(line) <= limit:
        return line
    tail = (limit - 1) // 2 if keep_end else 0
    return f"{line[: limit - 1 - tail].rstrip()}…{line[len(line) - tail :].lstrip()}"


def _drawn(canvas: Canvas, dpi: int) -> tuple[Image.Image, bool]:
    """Return the pixels of a canvas, and whether a font lacked a sign; whatever else was warned of is passed on."""
    buffer = BytesIO()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        canvas.savefig(buffer, format="png", dpi=dpi, pil_kwargs={"compress_level": 1})
    lacking = [bool(re.match(r"Glyph .* missing from", str(warning.message))) for warning in heard]
    for warning, known in zip(heard, lacking, strict=True):
        if not known:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    with Image.open(buffer) as image:
        return image.convert("RGB"), any(lacking)


def _packed(image: Image.Image) -> bytes:
    """Return the bytes of a PNG, without a word of date or version."""
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _largest(values: npt.NDArray[Any]) -> float:
    return float(np.max(np.abs(values), where=np.isfinite(values), initial=0.0)) or 1.0


def _signed_root(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    root: npt.NDArray[Any] = np.sign(values) * np.sqrt(np.abs(values))
    return root


def _signed_square(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    square: npt.NDArray[Any] = np.sign(values) * np.square(values)
    return square


@cache
def _installed_far_eastern() -> tuple[str, ...]:
    """Fonts for names that the packaged one cannot write; asked for only if there, since a missing font is noise."""
    there = {font.name for font in fontManager.ttflist}
    return tuple(name for name in _FAR_EASTERN if name in there)
