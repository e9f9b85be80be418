"""Cells counted image by image: two ways of counting beside each other, and how far they are apart."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.style import AGAINST, OTHER, OURS, Sketch, new_canvas
from kotowari.studies.cytology.figures.arrays import kind_name

__all__ = ["counts_picture"]

_SIZE = (7.2, 3.2)
_WIDE = 1.96  # standard deviations of the limits of agreement


def counts_picture(arrays: Arrays, place: int) -> Sketch | None:
    """Draw counts against counts, and their differences with the limits of agreement; nothing of fewer than two."""
    if f"counts_{place}_ours" not in arrays:
        return None
    ours, other = (arrays[f"counts_{place}_{name}"].astype(np.float64) for name in ("ours", "other"))
    if len(ours) < 2:
        return None
    beside = str(arrays[f"counts_{place}_beside"])
    difference, middle = ours - other, (ours + other) / 2
    bias, spread = float(difference.mean()), float(difference.std(ddof=1))
    canvas = new_canvas(_SIZE)
    left, right = canvas.subplots(1, 2)
    top = max(float(ours.max()), float(other.max()), 1.0) * 1.05
    left.plot([0, top], [0, top], color=OTHER, lw=1)
    left.scatter(other, ours, s=18, color=OURS, lw=0, alpha=0.8)
    left.set(xlim=(0, top), ylim=(0, top), xlabel=f"cells an image, {beside}", ylabel="cells an image, ours")
    left.set_title("Counts")
    right.axhline(0, color=OTHER, lw=1)
    right.axhline(bias, color=OURS, lw=1.2)
    for end in (bias - _WIDE * spread, bias + _WIDE * spread):
        right.axhline(end, color=AGAINST, lw=1, ls=(0, (3, 3)))
    right.scatter(middle, difference, s=18, color=OURS, lw=0, alpha=0.8)
    right.set(xlabel="mean of both", ylabel=f"ours less {beside}")
    right.set_title("Bland and Altman")
    caption = (
        f"Cells in {count(len(ours))} images kept aside, ours against {beside}. The mean difference is "
        f"{fixed(bias, 1)} cells an image; 95 % of the images lie between {fixed(bias - _WIDE * spread, 1)} and "
        f"{fixed(bias + _WIDE * spread, 1)} (dashed), if differences are normal."
    )
    whose = kind_name(arrays, place)
    title = f"Counts beside {beside}" + (f" ({whose})" if whose else "")
    return Sketch(f"counts-{place + 1}", canvas, title, caption, "result")
