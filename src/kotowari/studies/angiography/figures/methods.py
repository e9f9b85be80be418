"""Average precision of every method, recording by recording."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.style import AGAINST, INK, OTHER, OURS, Sketch, new_canvas
from kotowari.studies.angiography.figures.arrays import KINDS

__all__ = ["methods_picture"]

_WIDTH, _ROW, _REST = 7.2, 0.24, 0.9


def methods_picture(arrays: Arrays, kind: str) -> Sketch:
    """Draw one dot a recording and the mean of each method; ours in blue, the untrained network in orange."""
    names = [str(name) for name in arrays[f"methods_{kind}_names"]]
    values = arrays[f"methods_{kind}_ap"].astype(np.float64)
    order = np.argsort(np.nanmean(values, axis=1), kind="stable")
    canvas = new_canvas((_WIDTH, _REST + _ROW * len(names)))
    axes = canvas.subplots()
    for place, row in enumerate(order):
        colour = OURS if "kotowari" in names[row] else AGAINST if "untrained" in names[row] else OTHER
        axes.scatter(values[row], np.full(values.shape[1], place), s=9, color=colour, alpha=0.45, lw=0)
        axes.plot([np.nanmean(values[row])], [place], "|", color=colour if colour != OTHER else INK, ms=13, mew=2)
    chance = float(arrays[f"methods_{kind}_prevalence"])
    axes.axvline(chance, color=OTHER, lw=1, ls=(0, (3, 3)))
    axes.set_yticks(range(len(names)), [names[row] for row in order])
    axes.set(xlim=(0, 1), xlabel="average precision of pixels", title=KINDS[kind])
    best = order[-1]
    caption = (
        f"Each dot is a recording ({count(values.shape[1])} in all), the bar the mean over them; the dashed line is "
        f"the share of vessels, which chance reaches ({fixed(chance, 2)}). The highest mean has {names[best]}. "
        "Networks are those that never saw the patient; nothing but frames was shown to them."
    )
    return Sketch(f"methods-{kind}", canvas, f"All methods: {KINDS[kind]}", caption, "result")
