"""What our model gains over others on the same subjects."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.null import metric_words
from kotowari.report.plots.style import AGAINST, INK, LINE, OTHER, OURS, SOFT, WIDE, Sketch, new_canvas, shorten
from kotowari.studies.brain.figures.arrays import names_in_order
from kotowari.studies.brain.figures.columns import write_cells

__all__ = ["gains_picture"]

_MOST = 18
FloatArray = npt.NDArray[np.float64]


def gains_picture(arrays: Arrays) -> Sketch | None:
    """Draw paired differences with intervals and a line at zero, target by target; nothing where none is known."""
    targets = names_in_order(arrays["gain_target"])
    value = arrays["gain_value"].astype(np.float64)
    order = np.array(
        [k for name in targets for k in np.flatnonzero(arrays["gain_target"] == name) if np.isfinite(value[k])][:_MOST],
        np.intp,
    )
    if not len(order):
        return None
    scores = tuple(arrays[f"gain_{end}"].astype(np.float64)[order] for end in ("value", "low", "high"))
    whose = [str(arrays["gain_target"][k]) for k in order]
    places = _places(whose)
    n_rows = max(float(places[-1]) + 1, 4.0)
    canvas = new_canvas((WIDE[0], min(0.62 + 0.22 * n_rows, WIDE[1])))
    axes = canvas.subplots()
    colours = [_colour(low, high) for _, low, high in zip(*scores, strict=True)]
    axes.axvline(0, color=SOFT, lw=1.2, zorder=1)
    axes.hlines(places, scores[1], scores[2], color=colours, lw=1.8, zorder=2)
    axes.scatter(scores[0], places, s=32, c=colours, zorder=3)
    _rows(axes, [shorten(arrays["gain_name"][k], 44) for k in order], whose, places)
    axes.set_ylim(n_rows - 0.4, -0.6)
    seen = np.concatenate([*scores, [0.0]])
    seen = seen[np.isfinite(seen)]
    room = 0.05 * (float(np.ptp(seen)) or 1.0)
    axes.set_xlim(float(seen.min()) - room, float(seen.max()) + room)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    _figures(axes, scores, places)
    metrics = names_in_order(arrays["gain_metric"][order])
    axes.set_xlabel(f"difference of {' or '.join(metric_words(metric) for metric in metrics)}; right of 0 is better")
    above = sum(colour == OURS for colour in colours)
    below = sum(colour == AGAINST for colour in colours)
    caption = (
        f"Differences between two models on the same subjects, with paired 95 % intervals: {count(above)} "
        f"of {count(len(order))} lie wholly above 0 (blue), {count(below)} wholly below (orange). A grey interval "
        "contains 0: the data do not tell which of the two is better."
    )
    return Sketch("paired-gains", canvas, "What is gained, pair by pair", caption, "result")


def _colour(low: float, high: float) -> str:
    return OURS if low > 0 else AGAINST if high < 0 else OTHER


def _places(whose: list[str]) -> FloatArray:
    """Return where the rows stand, from 0 down; each target has a line of its own above its first row."""
    first = [k == 0 or whose[k] != whose[k - 1] for k in range(len(whose))]
    places: FloatArray = np.arange(len(whose), dtype=np.float64) + np.cumsum(first)
    return places


def _rows(axes: Axes, names: list[str], whose: list[str], places: FloatArray) -> None:
    axes.set_yticks(places, names, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for k, place in enumerate(places):
        axes.axhline(place - 0.5, color=LINE, lw=0.4, zorder=0)
        if k and whose[k] == whose[k - 1]:
            continue
        axes.annotate(
            shorten(whose[k], 30),
            (0, place - 1),
            (-4, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
            weight="bold",
            annotation_clip=False,
        )


def _figures(axes: Axes, scores: tuple[FloatArray, ...], places: FloatArray) -> None:
    """Write differences and their intervals beside the rows."""
    for place, value, low, high in zip(places, *scores, strict=True):
        words = f"{'+' if round(value, 2) > 0 else ''}{fixed(value, 2)}"
        ends = f"{fixed(low, 2)} to {fixed(high, 2)}" if np.isfinite(low) and np.isfinite(high) else ""
        write_cells(axes, float(place), ((34, words, INK), (110, ends, SOFT)))
