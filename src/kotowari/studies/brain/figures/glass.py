"""The map of a target as if the brain were of glass."""

import numpy as np
from matplotlib.figure import Figure as Canvas

from kotowari.core.jobs import Arrays
from kotowari.report.plots.style import LINE, SOFT, WIDE, Sketch, new_canvas, shorten
from kotowari.studies.brain.figures.displayed import DisplayedMap, displayed_map, map_unit, method_words
from kotowari.studies.brain.figures.panels import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    BoolArray,
    Brain,
    Scale,
    Volume,
    add_panel,
    draw_bar,
    draw_outline,
    draw_plane,
    mark_sides,
    print_stamp,
    stamp_height,
)

__all__ = ["glass_picture", "projection"]

_EDGE, _GAP, _HEAD, _FOOT = 0.15, 0.2, 0.3, 0.62
_VIEWS = ((SAGITTAL, "from the side"), (CORONAL, "from behind"), (AXIAL, "from above"))
_OUTLINE = "#4a515c"


def glass_picture(arrays: Arrays, *, place: int = 0) -> Sketch | None:
    """Draw the value that is farthest from 0 along each line of sight, inside the outline of the mask.

    Nothing where there is no such map, or it is 0 everywhere.
    """
    if place >= len(arrays["map_targets"]):
        return None
    brain = Brain.of(arrays)
    shown = displayed_map(arrays, brain, place)
    if not shown.shown.any():
        return None
    target = shorten(arrays["map_targets"][place], 40)
    canvas = _canvas(brain, shown, f"{target}{method_words(arrays)}", map_unit(arrays, place))
    caption = (
        f"The map of {target} seen through the brain from the side, from behind and from above: each point is the "
        f"value farthest from 0 on its line of sight. {shown.sentence} Left is left; the outline is that of the mask."
    )
    return Sketch(f"glass-brain-{place + 1}", canvas, f"Glass brain: {target}", caption, "reason")


def projection(values: Volume, shown: BoolArray, axis: int) -> Volume:
    """Return the shown value that is farthest from 0 along an axis; NaN where none is shown."""
    sizes = np.where(shown, np.abs(values), -1.0)
    best = sizes.argmax(axis=axis, keepdims=True)
    found: Volume = np.take_along_axis(values.astype(np.float64), best, axis=axis).squeeze(axis)
    return np.where(shown.any(axis=axis), found, np.nan)


def _canvas(brain: Brain, shown: DisplayedMap, title: str, unit: str) -> Canvas:
    wide, long, high = (brain.width(axis) for axis in range(3))
    scale = (WIDE[0] - 2 * _EDGE - 2 * _GAP) / (2 * wide + long)
    scale = min(scale, 3.4 / max(long, high))
    tall = max(long, high) * scale
    stamp = stamp_height(shown.stamp)
    canvas = new_canvas((WIDE[0], _HEAD + stamp + tall + _FOOT), constrained=False)
    down = canvas.get_size_inches()[1]
    print_stamp(canvas, shown.stamp)
    base = 1 - (stamp + 0.13) / down
    canvas.text(_EDGE / WIDE[0], base, shorten(title, 60), weight="bold", size=9, va="center")
    canvas.text(1 - _EDGE / WIDE[0], base, f"{shown.note}; L is left", size=8, va="center", ha="right", color=SOFT)
    limits = Scale.of(shown.values, shown.shown)
    left = (WIDE[0] - scale * (2 * wide + long) - 2 * _GAP) / 2
    for axis, words in _VIEWS:
        right, up = brain.sides(axis)
        width, height = brain.width(right) * scale, brain.width(up) * scale
        axes = add_panel(canvas, (left, stamp + _HEAD + (tall - height) / 2, width, height))
        outline: BoolArray = np.any(brain.mask, axis=axis)
        axes.axhline(0, color=LINE, lw=0.6, zorder=0)
        axes.axvline(0, color=LINE, lw=0.6, zorder=0)
        draw_plane(axes, brain, axis, projection(shown.values, shown.shown, axis), limits.colours, limits.norm)
        draw_outline(axes, brain, axis, outline, colour=_OUTLINE, width=1.1, rounding=2.25)
        mark_sides(axes, axis, size=9)
        middle = (left + width / 2) / WIDE[0]
        foot = 1 - (stamp + _HEAD + (tall + height) / 2 + 0.04) / down
        canvas.text(middle, foot, words, ha="center", va="top", size=8, color=SOFT)
        left += width + _GAP
    bar = add_panel(canvas, (WIDE[0] / 2 - 1.5, down - 0.43, 3.0, 0.11))
    draw_bar(bar, limits, unit)
    return canvas
