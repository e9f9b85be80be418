"""Regulators with many edges, and how they gain and lose them along the modulator."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import MINUS, count, significant
from kotowari.report.plots.spread import spread
from kotowari.report.plots.style import AGAINST, HALF, INK, LINE, OTHER, OURS, SOFT, Sketch, new_canvas, shorten
from kotowari.studies.genenet.figures.arrays import modulator_name

__all__ = ["hubs_picture"]

_N_SHOWN = 10
_STEADY = 0.15  # change below this share of the largest hub is called none
_ROW = 0.17  # inches between two names
_LEFT, _BOTTOM, _WIDTH, _HEIGHT = 1.22, 0.42, 1.76, 2.55
FloatArray = npt.NDArray[np.float64]


def hubs_picture(arrays: Arrays) -> Sketch | None:
    """Draw what goes out of the largest hubs at low, middle and high modulator; nothing where nothing does."""
    out = arrays["hub_out"].astype(np.float64)
    top = np.argsort(-out.max(1, initial=0), kind="stable")[:_N_SHOWN]
    top = top[out[top].any(1)]
    if not len(top):
        return None
    out = out[top]
    names = [shorten(name, 9, keep_end=True) for name in arrays["hub_names"][top]]
    canvas = new_canvas(HALF, constrained=False)
    width, height = HALF
    axes = canvas.add_axes((_LEFT / width, _BOTTOM / height, _WIDTH / width, _HEIGHT / height))
    largest = float(out.max())
    gain = out[:, 2] - out[:, 0]
    colours = np.where(np.abs(gain) < _STEADY * largest, OTHER, np.where(gain > 0, AGAINST, OURS))
    for x in range(3):
        axes.axvline(x, color=LINE, lw=0.8, zorder=0)
    for row, colour in zip(out, colours, strict=True):
        axes.plot([0, 1, 2], row, "o-", color=colour, lw=1.5, ms=4, clip_on=False)
    axes.set(xlim=(0, 2), ylim=(0, largest))
    for side in (0, 2):
        # of equal ends, the one that comes from above stands above
        _label(axes, side, np.lexsort((out[:, 1], out[:, side])), out[:, side], names, colours)
    axes.set_axis_off()
    canvas.text(0.03, 1 - 0.17 / height, "Edges out", weight="bold", size=9)
    for x, word in enumerate(("low", "middle", "high")):
        place = (_LEFT + x * _WIDTH / 2) / width
        canvas.text(place, 0.26 / height, word, ha="center", va="top", color=INK, size=8)
    place = (_LEFT + _WIDTH / 2) / width
    canvas.text(place, 0.13 / height, modulator_name(arrays, 40), ha="center", va="top", color=SOFT, size=8)
    return Sketch("hubs", canvas, "Hubs along the modulator", _caption(arrays, top, gain, colours), "reason")


def _label(
    axes: Axes,
    side: int,
    order: npt.NDArray[np.intp],
    values: FloatArray,
    names: list[str],
    colours: npt.NDArray[np.str_],
) -> None:
    """Name every hub beside its end, moved apart where ends are close, with a thin line to where it belongs."""
    top = float(axes.get_ylim()[1])
    gap = _ROW / _HEIGHT * top
    need = gap * (len(values) - 1)
    middle = top / 2
    places = spread(values[order], gap, min(0.0, middle - need / 2), max(top, middle + need / 2))
    way = 1 if side else -1
    for k, place in zip(order, places, strict=True):
        axes.plot([side + way * 0.05, side + way * 0.16], [values[k], place], color=LINE, lw=0.7, clip_on=False)
        number = significant(float(values[k]), 2)
        axes.text(
            side + way * 0.2,
            place,
            f"{number}  {names[k]}" if side else f"{names[k]}  {number}",
            ha="left" if side else "right",
            va="center",
            color=INK if colours[k] == OTHER else str(colours[k]),
            size=7.5,
        )


def _caption(arrays: Arrays, top: npt.NDArray[np.intp], gain: FloatArray, colours: npt.NDArray[np.str_]) -> str:
    shown = f"The {count(len(top))} regulators" if len(top) > 1 else "The regulator"
    words = (
        f"{shown} with the most edges to targets, in networks of low, middle and high {modulator_name(arrays)}; orange "
        "gains, blue loses, grey changes little."
    )
    moved = np.flatnonzero(colours != OTHER)
    if len(moved):
        most = int(moved[np.abs(gain[moved]).argmax()])
        by = significant(abs(float(gain[most])), 2)
        sign = "+" if gain[most] > 0 else MINUS
        words += (
            f" Most of all {shorten(arrays['hub_names'][top[most]], 40)} ({sign}{by} from the low to the high end)."
        )
    return (
        words
        + " Networks with few effective samples have fewer edges for that reason alone, so hold a rise or fall that "
        "all hubs share against the picture of effective samples."
    )
