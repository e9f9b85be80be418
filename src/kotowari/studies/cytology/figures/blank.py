"""What is found where there is nothing: blank fields made of the user's own background."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.style import AGAINST, HALF, OTHER, OURS, Sketch, new_canvas
from kotowari.studies.cytology.figures.arrays import kind_name

__all__ = ["blank_picture"]

_WIDTH = 0.16
FloatArray = npt.NDArray[np.float64]


def blank_picture(arrays: Arrays, place: int) -> Sketch | None:
    """Draw objects an image beside objects a blank field, for ours and for Otsu; nothing where no field was made."""
    needed = [f"{what}_{place}_{who}" for what in ("seen", "blank") for who in ("ours", "otsu")]
    if any(name not in arrays or not len(arrays[name]) for name in needed):
        return None
    columns = [arrays[name].astype(np.float64) for name in needed]
    names = ["ours,\nimages", "Otsu,\nimages", "ours,\nblank fields", "Otsu,\nblank fields"]
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    for x, (values, colour) in enumerate(zip(columns, (OURS, OTHER, OURS, OTHER), strict=True)):
        _column(axes, x, values, colour)
    axes.set_xticks(range(4), names)
    axes.set_ylabel("objects")
    axes.set_ylim(bottom=0)
    axes.set_title("Objects where there are none")
    means = [float(values.mean()) for values in columns]
    caption = (
        f"Objects in images kept aside (a dot an image, left) and on {count(len(columns[2]))} blank fields (right), "
        "which have the shading and the grain of the same images but no cell. Orange lines are means: ours finds "
        f"{fixed(means[0], 1)} an image and {fixed(means[2], 1)} a blank field, Otsu with the same instance stage "
        f"{fixed(means[1], 1)} and {fixed(means[3], 1)}."
    )
    whose = kind_name(arrays, place)
    return Sketch(f"blank-{place + 1}", canvas, "Blank fields" + (f" ({whose})" if whose else ""), caption, "trust")


def _column(axes: Axes, x: int, values: FloatArray, colour: str) -> None:
    order = np.argsort(values, kind="stable")
    aside = np.empty(len(values))
    aside[order] = ((np.arange(len(values)) * 0.618) % 1 - 0.5) * 2 * _WIDTH
    axes.scatter(x + aside, values, s=12, color=colour, lw=0, alpha=0.7)
    axes.hlines(values.mean(), x - 1.7 * _WIDTH, x + 1.7 * _WIDTH, color=AGAINST, lw=2, zorder=3)
