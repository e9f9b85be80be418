"""Which class is taken for which, beyond two classes."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from kotowari.report.numerals import count
from kotowari.report.plots.style import INK, OTHER, OURS, SEQUENTIAL, WIDE, Sketch, bare, new_canvas, shorten

__all__ = ["confusion_picture", "wilson"]

_Z = 1.959964  # 97.5 % quantile of the normal distribution
_LETTERS = 260  # points of height that the names of all classes share
_MOST_COUNTED = 15  # classes up to which a count can be read in its square
IntArray = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]


def confusion_picture(truth: IntArray, said: IntArray, names: list[str]) -> Sketch:
    """Draw counts of truth against prediction, and the share of each class that is found."""
    n = len(names)
    table = np.zeros((n, n), np.intp)
    np.add.at(table, (truth, said), 1)
    sizes = table.sum(1)
    canvas = new_canvas((WIDE[0], min(WIDE[1], 2.6 + 0.26 * n)))
    left, right = canvas.subplots(1, 2, width_ratios=[2.1, 1], sharey=True)
    _matrix(left, table, [shorten(name, 16, keep_end=True) for name in names])
    _found(right, np.diag(table), sizes)
    share = np.diag(table)[sizes > 0] / sizes[sizes > 0]
    mixed = table - np.diag(np.diag(table))
    caption = (
        f"{count(int(sizes.sum()))} samples, each predicted by a model that never saw it: rows are the truth, "
        "columns the prediction, colour the share of the row. Right: the share of each class that is found, with its "
        f"95 % interval; the dashed line is guessing. The mean over classes is {100 * share.mean():.0f} %. "
    )
    if mixed.any():
        row, column = np.unravel_index(int(mixed.argmax()), mixed.shape)
        caption += (
            f"Most often {shorten(names[row], 40, keep_end=True)} is taken for "
            f"{shorten(names[column], 40, keep_end=True)} ({count(int(mixed[row, column]))} of "
            f"{count(int(sizes[row]))}). A wide interval means few samples: do "
            "not rank classes whose intervals overlap."
        )
    else:
        caption += "No sample is mistaken; look for a leak before believing it."
    return Sketch("confusion", canvas, "Which class is taken for which", caption, "result")


def wilson(found: npt.NDArray[np.integer], n: npt.NDArray[np.integer]) -> tuple[FloatArray, FloatArray]:
    r"""Return the 95 % interval of a share, :math:`(k + z^2/2)/(n + z^2)` and its half width.

    Parameters
    ----------
    found, n
        Successes and trials, shape ``(share,)``; ``n`` of 1 or more.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22:209-212.

    Examples
    --------
    >>> low, high = wilson(np.array([8]), np.array([10]))
    >>> low.round(2).item(), high.round(2).item()
    (0.49, 0.94)
    """
    centre = (found + _Z**2 / 2) / (n + _Z**2)
    half = _Z / (n + _Z**2) * np.sqrt(found * (n - found) / n + _Z**2 / 4)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def _matrix(axes: Axes, table: npt.NDArray[np.intp], names: list[str]) -> None:
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    axes.imshow(np.where(table > 0, share, np.nan), cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    bare(axes)
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.set_xticks(range(len(names)), names, color=INK, rotation=90 if max(map(len, names)) > 4 else 0)
    axes.tick_params(length=0, labelsize=min(8, _LETTERS / len(names)))
    axes.set(xlabel="predicted", ylabel="truth", title="Number of samples")
    if len(names) <= _MOST_COUNTED:
        for (row, column), value in np.ndenumerate(table):
            if value:
                colour = "white" if share[row, column] > 0.45 else INK
                axes.text(column, row, count(int(value)), ha="center", va="center", color=colour, size=8)


def _found(axes: Axes, found: npt.NDArray[np.intp], sizes: npt.NDArray[np.intp]) -> None:
    rows = np.flatnonzero(sizes)
    low, high = wilson(found[rows], sizes[rows])
    axes.axvline(1 / len(sizes), color=OTHER, lw=1, ls=(0, (3, 3)))
    axes.hlines(rows, low, high, color=OURS, lw=1.4)
    axes.scatter(found[rows] / sizes[rows], rows, s=22, color=OURS, zorder=3, clip_on=False)
    axes.set(xlim=(0, 1), title="Found")
    axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.spines["left"].set_visible(False)
