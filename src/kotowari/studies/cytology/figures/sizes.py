"""How large the cells are."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, significant
from kotowari.report.plots.style import AGAINST, HALF, OURS, Sketch, new_canvas
from kotowari.studies.cytology.figures.arrays import kind_name

__all__ = ["sizes_picture"]

_MOST_BINS = 40


def sizes_picture(arrays: Arrays, place: int) -> Sketch | None:
    """Draw a histogram of the areas of all cells found; nothing where no cell was found."""
    if f"areas_{place}" not in arrays or not len(arrays[f"areas_{place}"]):
        return None
    areas = arrays[f"areas_{place}"].astype(np.float64)
    unit = str(arrays[f"areas_{place}_unit"])
    middle = float(np.median(areas))
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    axes.hist(areas, bins=int(np.clip(np.sqrt(len(areas)), 6, _MOST_BINS)), color=OURS, edgecolor="white", lw=0.5)
    axes.axvline(middle, color=AGAINST, lw=1.4)
    axes.set(xlabel=f"area ({unit})", ylabel="cells")
    axes.set_title("Area of the cells")
    low, high = (float(end) for end in np.quantile(areas, [0.05, 0.95]))
    caption = (
        f"Areas of {count(len(areas))} cells found in images kept aside; the line is the median, {significant(middle)} "
        f"{unit}; nine in ten lie between {significant(low)} and {significant(high)} {unit}. A second peak at twice "
        "the median is often cells that were not split."
    )
    whose = kind_name(arrays, place)
    return Sketch(
        f"sizes-{place + 1}", canvas, "Size of the cells" + (f" ({whose})" if whose else ""), caption, "result"
    )
