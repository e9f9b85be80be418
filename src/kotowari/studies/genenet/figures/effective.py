"""How many samples stand behind the network of each sample."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.style import HALF, OTHER, OURS, SOFT, Sketch, new_canvas
from kotowari.studies.genenet.figures.along import FEW_SAMPLES, few_words, limits, rug, shade_few
from kotowari.studies.genenet.figures.arrays import modulator_name

__all__ = ["effective_picture"]


def effective_picture(arrays: Arrays) -> Sketch | None:
    """Draw effective samples along the modulator; nothing without samples."""
    modulator, effective = (arrays[name].astype(np.float64) for name in ("modulator", "effective_samples"))
    if not len(modulator):
        return None
    order = np.argsort(modulator, kind="stable")
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    shade_few(axes, arrays)
    axes.axhline(FEW_SAMPLES, color=OTHER, lw=1, ls=(0, (3, 3)))
    axes.plot(modulator[order], effective[order], color=OURS, lw=1.2, alpha=0.6)
    axes.scatter(modulator, effective, s=11, color=OURS, lw=0, zorder=3)
    rug(axes, modulator)
    axes.set(xlim=limits(modulator), ylim=(0, max(float(effective.max()) * 1.12, FEW_SAMPLES * 1.3)))
    axes.set(xlabel=modulator_name(arrays), ylabel="effective samples")
    axes.text(
        0.99,
        FEW_SAMPLES,
        f"{FEW_SAMPLES}",
        transform=axes.get_yaxis_transform(),
        va="bottom",
        ha="right",
        color=SOFT,
        size=7.5,
    )
    least, median = float(effective.min()), float(np.median(effective))
    axes.set_title(f"Median {fixed(median, 0)}, fewest {fixed(least, 0)} of {count(len(modulator))} samples")
    lowest = int(effective.argmin())
    share = float((modulator < modulator[lowest]).mean())
    where = "at the low end" if share < 0.1 else "at the high end" if share > 0.9 else "inside the range"
    caption = (
        "Each dot is a sample: its network is learned from its neighbours along the modulator, which together are "
        f"worth so many samples (median over targets). The fewest, {fixed(least, 1)}, are {where}.{few_words(arrays)} "
        "Where the curve is low, edges are missed rather than invented, and an edge may seem to vanish for want of "
        "samples: compare this picture before reading a change at an end."
    )
    return Sketch("effective-samples", canvas, "Samples behind every network", caption, "trust")
