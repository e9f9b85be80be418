"""A sheet of planes through a signed map over the mean brain."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from kotowari.report.plots.style import OTHER, SOFT, WIDE, new_canvas, shorten
from kotowari.studies.brain.figures.panels import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    BoolArray,
    Brain,
    Scale,
    Volume,
    add_panel,
    coordinate,
    draw_bar,
    draw_outline,
    draw_plane,
    draw_template,
    mark_sides,
    print_stamp,
    stamp_height,
)

__all__ = ["Sheet", "draw_sheet", "peak", "planes_through"]

_COLUMNS, _ROWS = 4, 2
_EDGE, _GAP, _NAME = 0.1, 0.05, 0.17  # inches: margin, between panels, for the coordinate under a panel
_HEAD, _BAR = 0.27, 0.52
_LEAST_AREA = 0.3  # of the largest plane: below, it shows little brain
_OUTLINE = "#111111"


@dataclass(frozen=True, eq=False)
class Sheet:
    """What is drawn on a sheet; volumes are turned for display.

    Attributes
    ----------
    values
        Signed.
    shown
        Which voxels are painted.
    title, note
        Above the planes, left in bold and right.
    unit
        Of the values.
    stamp
        Printed in red across the top; "" for none.
    truth
        What is outlined; None for nothing.
    """

    values: Volume
    shown: BoolArray
    title: str
    note: str
    unit: str
    stamp: str = ""
    truth: BoolArray | None = None


def draw_sheet(brain: Brain, sheet: Sheet) -> Canvas:
    """Draw eight axial planes through what is strongest, a sagittal and a coronal one through the peak."""
    wide, long, high = (brain.width(axis) for axis in range(3))
    tall = max(long, high)
    room = WIDE[1] - _HEAD - _BAR - _ROWS * _NAME - 0.5
    across = WIDE[0] - 2 * _EDGE - _COLUMNS * _GAP
    scale = min(across / (_COLUMNS * wide + max(long, wide)), room / (_ROWS * tall))
    scale_of_values = Scale.of(sheet.values, sheet.shown)
    stamp = stamp_height(sheet.stamp)
    canvas = new_canvas((WIDE[0], _HEAD + stamp + _ROWS * (tall * scale + _NAME) + _BAR), constrained=False)
    down = canvas.get_size_inches()[1]
    print_stamp(canvas, sheet.stamp)
    base = 1 - (stamp + 0.13) / down
    canvas.text(_EDGE / WIDE[0], base, shorten(sheet.title, 60), weight="bold", size=9, va="center")
    canvas.text(1 - _EDGE / WIDE[0], base, sheet.note, size=8, va="center", ha="right", color=SOFT)
    top = stamp + _HEAD
    left = (WIDE[0] - scale * (_COLUMNS * wide + max(long, wide)) - _COLUMNS * _GAP) / 2
    axial = planes_through(brain, np.where(sheet.shown, np.abs(sheet.values), 0), _COLUMNS * _ROWS)
    for number, height in enumerate(axial):
        row, column = divmod(number, _COLUMNS)
        place = left + column * (wide * scale + _GAP), top + row * (tall * scale + _NAME)
        _panel(canvas, brain, sheet, (AXIAL, height), (*place, scale), tall)
    x, y, _ = peak(sheet.values, sheet.shown, brain.mask)
    start = left + _COLUMNS * (wide * scale + _GAP)
    side = _panel(canvas, brain, sheet, (SAGITTAL, x), (start, top, scale), tall)
    for index in axial:
        side.axhline(float(brain.space.places(AXIAL)[index]), color=OTHER, lw=0.35, zorder=0.5)
    _panel(canvas, brain, sheet, (CORONAL, y), (start, top + tall * scale + _NAME, scale), tall, across=max(long, wide))
    bar = add_panel(canvas, (WIDE[0] / 2 - 1.5, down - _BAR + 0.06, 3.0, 0.11))
    draw_bar(bar, scale_of_values, sheet.unit)
    return canvas


def planes_through(brain: Brain, strength: Volume, n: int) -> list[int]:
    """Choose ``n`` axial planes: the strongest ones that keep apart, then such as fill the largest gaps; rising.

    Evenly spaced ones where nothing is strong.

    Parameters
    ----------
    brain
        Whose mask bounds them.
    strength
        Turned, 0 or more.
    n
        How many; fewer where the brain has fewer planes.
    """
    filled = np.flatnonzero(brain.mask.any(axis=(0, 1)))
    apart = max(1, round(len(filled) / (1.6 * n)))
    score = strength.sum(axis=(0, 1), dtype=np.float64)[filled]
    area = brain.mask.sum(axis=(0, 1))[filled]
    inner = np.flatnonzero(area >= _LEAST_AREA * area.max())
    if not score.any():
        spaced = np.unique(np.rint(np.linspace(0.1, 0.9, n) * (len(inner) - 1)).astype(np.intp))
        return [int(filled[place]) for place in inner[spaced]]
    chosen: list[int] = []
    free = np.ones(len(filled), bool)
    while len(chosen) < n and (score * free).max() > 0:
        best = int(np.argmax(np.where(free, score, -1.0)))
        chosen.append(best)
        free[max(best - apart, 0) : best + apart + 1] = False
    while len(chosen) < min(n, len(inner)):
        distance = np.abs(inner[:, None] - np.array(chosen)[None]).min(1)
        if not distance.max():
            break
        chosen.append(int(inner[distance.argmax()]))
    return sorted(int(filled[place]) for place in chosen)


def peak(values: Volume, shown: BoolArray, mask: BoolArray) -> tuple[int, int, int]:
    """Return the voxel that is farthest from 0 among those shown; the middle of the mask where none is."""
    if not shown.any():
        inside = np.argwhere(mask)
        x, y, z = (int(place) for place in np.rint(inside.mean(0)))
        return x, y, z
    x, y, z = (int(k) for k in np.unravel_index(np.where(shown, np.abs(values), -1).argmax(), values.shape))
    return x, y, z


def _panel(
    canvas: Canvas,
    brain: Brain,
    sheet: Sheet,
    plane: tuple[int, int],
    place: tuple[float, float, float],
    tall: float,
    *,
    across: float | None = None,
) -> Axes:
    """Draw one plane, in the middle of a row of ``tall`` mm, with its coordinate under it."""
    axis, index = plane
    left, top, scale = place
    right, up = brain.sides(axis)
    width, height = brain.width(right), brain.width(up)
    left += scale * ((across or width) - width) / 2
    axes = add_panel(canvas, (left, top + scale * (tall - height) / 2, width * scale, height * scale))
    draw_template(axes, brain, axis, index)
    values, shown = (np.take(volume, index, axis=axis) for volume in (sheet.values, sheet.shown))
    limits = Scale.of(sheet.values, sheet.shown)
    draw_plane(axes, brain, axis, np.where(shown, values, np.nan), limits.colours, limits.norm)
    if sheet.truth is not None:
        outlined: npt.NDArray[np.bool_] = np.take(sheet.truth, index, axis=axis)
        draw_outline(axes, brain, axis, outlined, colour=_OUTLINE, rounding=0.0)
    mark_sides(axes, axis)
    words = coordinate(axis, float(brain.space.places(axis)[index]))
    axes.text(0.5, -0.01, words, transform=axes.transAxes, ha="center", va="top", size=8, color=SOFT)
    return axes
