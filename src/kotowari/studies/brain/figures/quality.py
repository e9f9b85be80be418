"""Whether a volume is unlike the others."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, significant
from kotowari.report.plots.spread import spread
from kotowari.report.plots.style import AGAINST, OTHER, Sketch, new_canvas
from kotowari.studies.brain.figures.arrays import one_word

__all__ = ["quality_picture"]

_SIZE = (7.2, 3.0)
_MOST_NAMED = 8
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def quality_picture(arrays: Arrays) -> Sketch | None:
    """Draw how like the mean brain each volume is, and its total grey matter; nothing where no subject was checked."""
    rows, odd = arrays["quality_row"].astype(np.intp), arrays["quality_outlier"].astype(bool)
    if not len(rows):
        return None
    correlation, total = (arrays[f"quality_{name}"].astype(np.float64) for name in ("correlation", "grey_matter"))
    unit = one_word(arrays, "quality_unit", "units of the volumes")
    canvas = new_canvas(_SIZE)
    left, right = canvas.subplots(1, 2)
    for axes, values, words in (
        (left, correlation, "correlation with the mean brain"),
        (right, total, f"total grey matter in the mask ({unit})"),
    ):
        _histogram(axes, values, rows, odd)
        axes.set_xlabel(words)
    left.set_ylabel("subjects")
    left.set_title("Like the mean brain")
    right.set_title("Total grey matter")
    found = ", ".join(str(row) for row in rows[odd][:20])
    more = f" and {count(int(odd.sum()) - 20)} more" if odd.sum() > 20 else ""
    verdict = (
        f"Orange: row{'s' if odd.sum() > 1 else ''} {found}{more} of the table, marked as unlike the others."
        if odd.any()
        else "None is marked as unlike the others."
    )
    middle, lowest = (significant(float(value)) for value in (np.median(correlation), correlation.min()))
    caption = (
        f"{count(len(rows))} volumes: correlation with the mean brain (median {middle}, lowest {lowest}) and total "
        f"grey matter. {verdict} Look at such a volume before believing a result: registration or segmentation may "
        "have failed."
    )
    return Sketch("input-quality", canvas, "The volumes that went in", caption, "trust")


def _histogram(axes: Axes, values: FloatArray, rows: npt.NDArray[np.intp], odd: BoolArray) -> None:
    """Draw a histogram; outliers stand above it by the number of their row, moved apart where they are close."""
    n_bins = int(np.clip(2 * len(values) ** (1 / 2), 8, 30))
    span = (float(values.min()), float(values.max()))
    if span[0] == span[1]:
        span = (span[0] - 0.5, span[1] + 0.5)
    edges = np.linspace(*span, n_bins + 1)
    axes.hist(
        [values[~odd], values[odd]],
        bins=edges.tolist(),
        stacked=True,
        color=[OTHER, AGAINST],
        edgecolor="white",
        lw=0.5,
    )
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    top = axes.get_ylim()[1]
    width = span[1] - span[0]
    axes.set_xlim(span[0] - 0.07 * width, span[1] + 0.07 * width)
    middle = np.median(values)
    farthest = np.flatnonzero(odd)[np.argsort(-np.abs(values[odd] - middle), kind="stable")][:_MOST_NAMED]
    if not len(farthest):
        return
    axes.set_ylim(0, top * 1.25)
    named = farthest[np.argsort(values[farthest], kind="stable")]
    places = spread(values[named], 0.11 * width, span[0], span[1])
    for k, place in zip(named, places, strict=True):
        axes.plot([values[k], values[k], place], [top * 0.06, top * 0.98, top * 1.06], color=AGAINST, lw=0.6, zorder=0)
        axes.text(place, top * 1.08, f"#{rows[k]}", ha="center", va="bottom", size=7.5, color=AGAINST)
