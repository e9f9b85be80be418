"""The whole tree of a run, and when contrast comes to each part of it."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.report.plots.style import GREY, INK, SEQUENTIAL, Sketch, bare, new_canvas, shorten
from kotowari.studies.angiography.figures.arrays import MOST_SHOWN

__all__ = ["arrival_picture"]

_WIDTH = 7.2


def arrival_picture(arrays: Arrays) -> Sketch | None:
    """Draw the picture of most contrast and the times of arrival; nothing where no run was timed."""
    shown = [k for k in range(MOST_SHOWN) if f"shown_{k}_arrival" in arrays]
    shown = [k for k in shown if (arrays[f"shown_{k}_arrival"] >= 0).any()]
    if not shown:
        return None
    ratios = [arrays[f"shown_{k}_frame"].shape[0] / arrays[f"shown_{k}_frame"].shape[1] for k in shown]
    canvas = new_canvas((_WIDTH, 0.3 + sum(0.3 + 0.44 * _WIDTH * ratio for ratio in ratios)))
    grid = canvas.subplots(len(shown), 2, squeeze=False, gridspec_kw={"height_ratios": ratios})
    for (left, right), k in zip(grid, shown, strict=True):
        most, field = arrays[f"shown_{k}_maximum"], arrays[f"shown_{k}_field"]
        left.imshow(most, cmap=GREY, vmin=0, vmax=float(np.percentile(most[field], 99.7)) or 1.0)
        left.set_title("most contrast")
        left.set_xlabel(shorten(arrays["shown_words"][k], 40), color=INK, loc="left", size=8)
        times = np.ma.masked_less(arrays[f"shown_{k}_arrival"], 0)
        drawn = right.imshow(times, cmap=SEQUENTIAL, interpolation="nearest")
        right.set_title("arrival")
        canvas.colorbar(drawn, ax=right, shrink=0.8, label="s, or frames where no times are known")
        if arrays[f"shown_{k}_device"].any():
            right.contour(arrays[f"shown_{k}_device"].astype(float), [0.5], colors="#c2611a", linewidths=0.8)
        for axes in (left, right):
            bare(axes)
    caption = (
        "Left: the largest value of the vessel layer over time. Right: when the layer rises to half of it, in pixels "
        "that are ever called vessel; orange outlines what was there before contrast (a catheter) and is left out. A "
        "vessel that the heart moves into a pixel arrives there when it does."
    )
    return Sketch("arrival", canvas, "The whole tree, and when contrast comes", caption, "reason")
