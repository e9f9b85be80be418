"""Whether the same regions would be named by other folds and seeds."""

from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.plots.stability import stability_picture
from kotowari.report.plots.style import Sketch

__all__ = ["region_stability_picture"]


def region_stability_picture(arrays: Arrays) -> Sketch | None:
    """Draw how often each region is selected, against a random choice; nothing where no selection was made.

    Parameters
    ----------
    arrays
        As of :func:`kotowari.report.plots.stability.stability_picture`.
    """
    sketch = stability_picture(arrays, part="region", draws="folds and seeds", instead="lobes or networks")
    if sketch is not None:
        sketch.canvas.axes[0].xaxis.set_major_locator(MaxNLocator(6, integer=True))  # regions are few
    return sketch
