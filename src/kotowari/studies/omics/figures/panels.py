"""Images of classes in blocks: one heading, one scale and one colour bar a block, all panels of one size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure as Canvas

from kotowari.report.numerals import significant
from kotowari.report.plots.style import DPI, SOFT, WIDE, bare, new_canvas, shorten

__all__ = ["Block", "draw_blocks"]

# inches
_EDGE, _GAP, _BAR, _TICKS = 0.08, 0.1, 0.1, 0.52
_HEADING, _TITLE = 0.26, 0.19
_LARGEST = 3.0  # height of a panel
_LETTER = 0.072  # mean width of a sign in a title
_ROW = 6  # panels beside each other at most


@dataclass(frozen=True)
class Block:
    """Images that share a scale.

    Parameters
    ----------
    heading
        What the block shows and the unit of its colours.
    images
        What ``imshow`` takes, an image a panel: ``(height, width)`` values or ``(height, width, 3)`` colours.
    names
        Of the panels.
    colours, scale
        Of the values and of the colour bar.
    """

    heading: str
    images: Sequence[npt.NDArray[Any]]
    names: Sequence[str]
    colours: Colormap
    scale: Normalize


def draw_blocks(blocks: Sequence[Block], *, across: bool = False) -> Canvas:
    """Draw the blocks below each other, or ``across`` the page, as large as the page allows."""
    columns = [min(len(block.images), _ROW) for block in blocks]
    rows = [-(-len(block.images) // _ROW) for block in blocks]
    side = _EDGE + _BAR + _TICKS
    n_wide = sum(columns) if across else max(columns)
    sides = len(blocks) * side if across else side
    width = (WIDE[0] - 2 * _EDGE - sides - n_wide * _GAP) / n_wide
    n_high, headings = (max(rows), 1) if across else (sum(rows), len(blocks))
    tall, broad = blocks[0].images[0].shape[:2]
    height = min(_LARGEST, width * tall / broad, (WIDE[1] - _EDGE - headings * _HEADING) / n_high - _TITLE - _GAP)
    width = min(width, height * broad / tall)
    canvas = new_canvas((WIDE[0], _EDGE + headings * _HEADING + n_high * (height + _TITLE + _GAP)), constrained=False)
    left = (WIDE[0] - n_wide * (width + _GAP) - sides) / 2
    top = canvas.get_figheight() - _EDGE
    for block, n_columns, n_rows in zip(blocks, columns, rows, strict=True):
        _draw(canvas, block, (left, top - _HEADING), (width, height), n_columns)
        if across:
            left += n_columns * (width + _GAP) + side
        else:
            top -= _HEADING + n_rows * (height + _TITLE + _GAP)
    return canvas


def _draw(
    canvas: Canvas, block: Block, corner: tuple[float, float], panel: tuple[float, float], n_columns: int
) -> None:
    (left, top), (width, height) = corner, panel
    canvas.text(*_share(canvas, left, top + 0.07), block.heading, weight="bold", size=9)
    letters = int((width + _GAP) / _LETTER)
    for k, (image, name) in enumerate(zip(block.images, block.names, strict=True)):
        row, column = divmod(k, n_columns)
        x, y = left + column * (width + _GAP), top - (row + 1) * (height + _TITLE) - row * _GAP
        axes = _axes(canvas, (x, y), panel)
        axes.imshow(
            image, cmap=block.colours, norm=block.scale, aspect="auto", interpolation=_interpolation(image, width)
        )
        axes.set_title(shorten(name, letters, keep_end=True), loc="center", pad=3, size=8.5, weight="normal")
        bare(axes)
    n_rows = -(-len(block.images) // n_columns)
    x = left + n_columns * (width + _GAP)
    whole = n_rows * (height + _TITLE + _GAP) - _TITLE - _GAP
    _bar(canvas, _axes(canvas, (x, top - _TITLE - whole), (_BAR, whole)), block)


def _interpolation(image: npt.NDArray[Any], width: float) -> str:
    """Keep pixels sharp where they are drawn larger, and let none vanish where they are drawn smaller."""
    return "nearest" if image.shape[1] <= width * DPI[-1] else "auto"


def _bar(canvas: Canvas, axes: Axes, block: Block) -> None:
    bar = canvas.colorbar(ScalarMappable(block.scale, block.colours), cax=axes)
    low, high = float(block.scale.vmin or 0.0), float(block.scale.vmax or 1.0)
    ticks = [low, 0.0, high] if low < 0 else [low, high]
    bar.set_ticks(ticks, labels=[significant(tick, 2) for tick in ticks])
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=7.5, labelcolor=SOFT)


def _axes(canvas: Canvas, corner: tuple[float, float], size: tuple[float, float]) -> Axes:
    return canvas.add_axes((*_share(canvas, *corner), *_share(canvas, *size)))


def _share(canvas: Canvas, x: float, y: float) -> tuple[float, float]:
    return x / canvas.get_figwidth(), y / canvas.get_figheight()
