"""How many cells match by their place alone."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.null import draw_null
from kotowari.report.plots.style import HALF, Sketch, new_canvas
from kotowari.studies.cytology.figures.arrays import kind_name

__all__ = ["placement_picture"]


def placement_picture(arrays: Arrays, place: int) -> Sketch | None:
    """Draw F1 against the masks of other images, and against the right ones; nothing without masks."""
    if f"placement_{place}_null" not in arrays:
        return None
    null, observed = arrays[f"placement_{place}_null"].astype(np.float64), float(arrays[f"placement_{place}_observed"])
    if not len(null) or not np.isfinite(observed):
        return None
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    draw_null(axes, null, observed, names=("masks of other images", "own masks"), unit="order")
    axes.set_xlabel("F1 at IoU 0.5" + axes.get_xlabel())
    axes.set_title("Matches by place alone")
    caption = (
        f"The cells of each image were held against the mask of another one, in {count(len(null))} random orders: F1 "
        f"is {fixed(float(null.mean()), 2)} by chance and {fixed(observed, 2)} with the right masks (line)."
    )
    whose = kind_name(arrays, place)
    return Sketch(
        f"placement-{place + 1}",
        canvas,
        "Against masks of other images" + (f" ({whose})" if whose else ""),
        caption,
        "trust",
    )
