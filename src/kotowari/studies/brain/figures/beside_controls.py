"""The map of a target beside what an untrained network, a shuffled target, or the brain's own shape would give."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import DASH, MINUS, fixed
from kotowari.report.plots.style import INK, LINE, OURS, SOFT, WIDE, Sketch, new_canvas, shorten
from kotowari.studies.brain.figures.arrays import numbers
from kotowari.studies.brain.figures.displayed import TOP_SHARE, displayed_map
from kotowari.studies.brain.figures.panels import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    Brain,
    Scale,
    Volume,
    add_panel,
    coordinate,
    draw_bar,
    draw_plane,
    draw_template,
    mark_sides,
    print_stamp,
    stamp_height,
    strongest_share,
)
from kotowari.studies.brain.figures.sheet import peak

__all__ = ["controls_picture"]

_NAME, _HEAD, _FIGURES, _BAR, _GAP = 0.98, 0.38, 0.62, 0.5, 0.04
_MOST = 5
_FIGURE_NAMES = (
    ("control_spearman", "rank correlation"),
    ("control_sharp", "… without shape"),
    ("control_overlap", f"top {100 * TOP_SHARE:.0f} % shared"),
)


def controls_picture(arrays: Arrays, *, place: int = 0) -> Sketch | None:
    """Draw the same planes of a map and of its controls, and how alike they are.

    Nothing where there is no such map, or it is 0 everywhere.
    """
    if place >= len(arrays["map_targets"]) or not len(arrays["control_names"]):
        return None
    brain = Brain.of(arrays)
    shown = displayed_map(arrays, brain, place)
    if not shown.shown.any():
        return None
    volumes = [shown.values]
    for volume in arrays["control_maps"][place][:_MOST]:
        volumes.append(np.where(brain.mask, brain.space.turned(volume), 0))
    target = shorten(arrays["map_targets"][place], 40)
    canvas = _canvas(arrays, brain, volumes, place, shown.stamp)
    caption = (
        f"The map of {target} beside its controls, the same planes through its peak; of each map the strongest "
        f"{100 * TOP_SHARE:.0f} % are painted, on a scale of its own. A map that looks like a control (rank "
        "correlation near 1, also without the broad shape) says nothing of its own. Left is left."
    )
    return Sketch(f"map-controls-{place + 1}", canvas, f"The map of {target} beside its controls", caption, "reason")


def _canvas(arrays: Arrays, brain: Brain, volumes: list[Volume], place: int, stamp: str) -> Canvas:
    column = (WIDE[0] - _NAME - 0.08 - _GAP * len(volumes)) / len(volumes)
    stamped = stamp_height(stamp)
    planes = _planes(brain, volumes[0])
    heights = [brain.width(brain.sides(axis)[1]) for axis, _ in planes]
    widest = max(brain.width(brain.sides(axis)[0]) for axis, _ in planes)
    room = WIDE[1] - _HEAD - _FIGURES - _BAR - stamped - _GAP * len(planes)
    scale = min(column / widest, room / sum(heights))
    rows = scale * sum(heights) + _GAP * len(planes)
    canvas = new_canvas((WIDE[0], _HEAD + stamped + rows + _FIGURES + _BAR), constrained=False)
    down = canvas.get_size_inches()[1]
    print_stamp(canvas, stamp)
    top = stamped + _HEAD
    names = ["this map", *(str(name) for name in arrays["control_names"][: len(volumes) - 1])]
    for number, (name, volume) in enumerate(zip(names, volumes, strict=True)):
        left = _NAME + number * (column + _GAP)
        middle = (left + column / 2) / WIDE[0]
        colour = OURS if number == 0 else INK
        words = "\n".join(textwrap.wrap(shorten(name, 40), max(int(column * 12), 8))[:2])
        canvas.text(
            middle, 1 - (top - 0.06) / down, words, ha="center", weight="bold", size=8.5, color=colour, linespacing=1.1
        )
        _column(canvas, brain, volume, planes, (left, top, column, scale))
    for (axis, index), height in zip(planes, heights, strict=True):
        words = coordinate(axis, float(brain.space.places(axis)[index]))
        middle = 1 - (top + height * scale / 2) / down
        canvas.text(0.08 / WIDE[0], middle, words, size=8, color=SOFT, va="center")
        top += height * scale + _GAP
    _figures(canvas, arrays, place, (len(volumes), column, top))
    bar = add_panel(canvas, (WIDE[0] / 2 - 1.2, down - _BAR + 0.06, 2.4, 0.1))
    draw_bar(bar, Scale(1.0, 0.3), "each map on a scale of its own; grey is not painted")
    bar.set_xticks([-1, 0, 1], [f"{MINUS}largest", "0", "largest"])
    return canvas


def _planes(brain: Brain, values: Volume) -> list[tuple[int, int]]:
    x, y, z = peak(values, values != 0, brain.mask)
    return [(AXIAL, z), (CORONAL, y), (SAGITTAL, x)]


def _column(
    canvas: Canvas,
    brain: Brain,
    values: Volume,
    planes: list[tuple[int, int]],
    place: tuple[float, float, float, float],
) -> None:
    left, top, column, scale = place
    shown = strongest_share(values, brain.mask, TOP_SHARE) if values[brain.mask].any() else np.zeros_like(brain.mask)
    limits = Scale.of(values, shown)
    for axis, index in planes:
        right, up = brain.sides(axis)
        width, height = brain.width(right) * scale, brain.width(up) * scale
        axes = add_panel(canvas, (left + (column - width) / 2, top, width, height))
        draw_template(axes, brain, axis, index)
        plane = np.where(np.take(shown, index, axis=axis), np.take(values, index, axis=axis), np.nan)
        draw_plane(axes, brain, axis, plane, limits.colours, limits.norm)
        mark_sides(axes, axis, size=7)
        top += height + _GAP


def _figures(canvas: Canvas, arrays: Arrays, place: int, layout: tuple[int, float, float]) -> None:
    """Write how alike each control is, in rows under the planes."""
    n, column, top = layout
    down = canvas.get_size_inches()[1]
    line = add_panel(canvas, (0.08, top + 0.02, WIDE[0] - 0.16, 0.01))
    _rule(line)
    for row, (name, words) in enumerate(_FIGURE_NAMES):
        base = 1 - (top + 0.12 + 0.165 * row) / down
        canvas.text(0.08 / WIDE[0], base, words, size=7.5, color=SOFT, va="center")
        values = numbers(arrays, name, 0)
        for number in range(1, n):
            value = float(values[place, number - 1]) if values.size else np.nan
            text = (
                DASH
                if not np.isfinite(value)
                else fixed(100 * value, 0) + " %"
                if "overlap" in name
                else fixed(value, 2)
            )
            middle = (_NAME + number * (column + _GAP) + column / 2) / WIDE[0]
            canvas.text(middle, base, text, size=8, ha="center", va="center", color=INK)


def _rule(axes: Axes) -> None:
    axes.axhline(0.5, color=LINE, lw=0.8)
    axes.set(xlim=(0, 1), ylim=(0, 1))
