"""How single coefficients run along the modulator."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count
from kotowari.report.plots.style import OTHER, OURS, SOFT, WIDE, Sketch, new_canvas
from kotowari.studies.genenet.figures.along import few_words, limits, rug, shade_few
from kotowari.studies.genenet.figures.arrays import column, edge_names, modulator_name

__all__ = ["courses_picture"]

_COLUMNS, _MOST = 3, 6
_HEIGHT = {1: 2.45, 2: 4.3}  # inches, by rows of panels
FloatArray = npt.NDArray[np.float64]


def courses_picture(arrays: Arrays) -> Sketch | None:
    """Draw the coefficients of a few edges along the modulator, with their bands; nothing without an edge."""
    value = arrays["course_value"].astype(np.float64)[:_MOST]
    n, n_places = value.shape
    if not n or n_places < 2:
        return None
    bands = [
        arrays[name].astype(np.float64)[:_MOST] if name in arrays else np.full(value.shape, np.nan)
        for name in ("course_low", "course_high")
    ]
    places, modulator = arrays["course_places"].astype(np.float64), arrays["modulator"].astype(np.float64)
    columns, rows = min(n, _COLUMNS), -(-n // _COLUMNS)
    canvas = new_canvas((WIDE[0], _HEIGHT[rows]))
    panels = canvas.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    order = np.argsort(places, kind="stable")
    names = edge_names(arrays, arrays["course_edges"][:_MOST], 9 if columns == _COLUMNS else 16)
    for k, axes in enumerate(panels):
        if k >= n:
            axes.set_axis_off()
            continue
        shade_few(axes, arrays)
        _course(axes, places[order], value[k, order], bands[0][k, order], bands[1][k, order])
        rug(axes, modulator)
        axes.set(title=names[k], xlim=limits(modulator))
        if k % columns == 0:
            axes.set_ylabel("coefficient, sd per sd")
        if k + columns >= n:
            axes.set_xlabel(modulator_name(arrays, 22))
            axes.tick_params(labelbottom=True)
    return Sketch("courses", canvas, "How edges run along the modulator", _caption(arrays, n, *bands), "reason")


def _course(axes: Axes, places: FloatArray, value: FloatArray, low: FloatArray, high: FloatArray) -> None:
    axes.axhline(0, color=OTHER, lw=0.8)
    axes.fill_between(places, low, high, color=OURS, alpha=0.18, lw=0)
    axes.plot(places, value, color=OURS, lw=1.8)
    reach = np.concatenate([value, low, high, [0.0]])
    reach = reach[np.isfinite(reach)]
    span = float(np.ptp(reach)) or 1.0
    axes.set_ylim(float(reach.min()) - 0.16 * span, float(reach.max()) + 0.08 * span)  # the rug lies below the course
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelcolor=SOFT)


def _caption(arrays: Arrays, n: int, low: FloatArray, high: FloatArray) -> str:
    first = (
        f"The coefficients of the {count(n)} edges whose effect varies most"
        if n > 1
        else "The coefficient of the edge whose effect varies most"
    )
    banded = np.isfinite(low) & np.isfinite(high)
    if banded.any():
        clear = int(((low > 0) | (high < 0)).any(1).sum())
        words = (
            f" The bands are 95 % bootstrap intervals at each place; {count(clear)} of {count(n)} "
            f"{'lies' if clear == 1 else 'lie'} wholly on one side of zero somewhere. Shrinkage draws coefficients to "
            "zero, so a band that touches zero does not prove that there is no edge."
        )
    else:
        words = " No bootstraps were run, so nothing is known of how far these lines could lie elsewhere."
    samples = count(len(column(arrays, "modulator", 0)))
    return (
        f"{first}, along {modulator_name(arrays)} where the middle 80 % of the samples lie, in standard deviations of "
        f"the target for one of the regulator, each on a scale of its own; every line at the bottom is one of "
        f"{samples} samples.{words}{few_words(arrays)}"
    )
