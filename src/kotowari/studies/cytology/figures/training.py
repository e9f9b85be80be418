"""How the loss of the detectors falls, and that of the published recipe beside what a convex solver reaches."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.style import AGAINST, HALF, OTHER, OURS, WIDE, Sketch, new_canvas
from kotowari.studies.cytology.figures.arrays import kind_name

__all__ = ["training_picture"]

_WIDE = (WIDE[0], 3.0)


def training_picture(arrays: Arrays, place: int) -> Sketch | None:
    """Draw the loss by epoch, each over its first value, the last fit thick; nothing where no epoch was told."""
    if f"loss_{place}" not in arrays:
        return None
    loss = arrays[f"loss_{place}"].astype(np.float64)
    if not loss.size or not np.isfinite(loss).any():
        return None
    published = arrays.get(f"published_{place}_loss")
    canvas = new_canvas(HALF if published is None else _WIDE)
    panels = canvas.subplots(1, 1 if published is None else 2, squeeze=False)[0]
    _curves(panels[0], loss, "Ours")
    caption = (
        f"The loss of {count(len(loss))} fits, each over that of its first epoch; thick is the detector of all images. "
        "No label is in it."
    )
    if published is not None:
        caption += _published(panels[1], arrays, place, published.astype(np.float64))
    whose = kind_name(arrays, place)
    title = "Training without labels" + (f" ({whose})" if whose else "")
    return Sketch(f"training-{place + 1}", canvas, title, caption, "trust")


def _curves(axes: Axes, loss: npt.NDArray[np.float64], title: str) -> None:
    epochs = np.arange(1, loss.shape[1] + 1)
    for row, curve in enumerate(loss):
        final = row == len(loss) - 1
        axes.plot(epochs, curve / curve[0], color=OURS if final else OTHER, lw=2.2 if final else 0.9, zorder=3 + final)
    axes.set(xlabel="epoch", ylabel="loss / loss of the first epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_title(title)


def _published(axes: Axes, arrays: Arrays, place: int, loss: npt.NDArray[np.float64]) -> str:
    """Draw the curve of the published recipe; returns what is to be said of it."""
    _curves(axes, loss[None], "L+S recipe as published")
    optimum, reached = (float(arrays[f"published_{place}_{name}"]) for name in ("optimum", "reached"))
    if not (np.isfinite(optimum) and np.isfinite(reached) and optimum > 0):
        return ""
    ratio = fixed(reached / optimum, 2)
    axes.annotate(
        f"ends at {ratio} x the convex optimum",
        (0.98, 0.95),
        xycoords="axes fraction",
        ha="right",
        va="top",
        size=8,
        color=AGAINST,
    )
    return (
        f" Right: the published recipe on the first fold; on its first batch it stops at {ratio} times the least value "
        "that a convex solver finds. Below 1 would be an error."
    )
