"""How the error of the autoencoders falls, against that of the mean brain."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.style import AGAINST, OTHER, OURS, SOFT, Sketch, new_canvas
from kotowari.studies.brain.figures.arrays import numbers

__all__ = ["training_picture"]

_SIZE = (7.2, 3.1)
_STEEP = 2.5  # between largest and smallest value: from here on the axis is logarithmic
_TICKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100)
FloatArray = npt.NDArray[np.float64]


def training_picture(arrays: Arrays) -> Sketch | None:
    """Draw the error as a share of the mean brain's by epoch; nothing where no epoch was run."""
    train = arrays["training_share"].astype(np.float64)
    if not np.isfinite(train).any():
        return None
    held = numbers(arrays, "validation_share", train.size).reshape(train.shape)
    pca = float(arrays["pca_share"]) if "pca_share" in arrays else np.nan
    final = int(arrays["training_final"]) if "training_final" in arrays else -1
    names = [str(name) for name in arrays["training_fits"]]
    both = bool(np.isfinite(held).any())
    canvas = new_canvas(_SIZE)
    panels = canvas.subplots(1, 2, sharey=True, squeeze=False)[0] if both else [canvas.subplots()]
    seen = np.concatenate([train.ravel(), held.ravel(), [1.0, pca]])
    for axes, curves, title in zip(
        panels, (train, held), ("Subjects learned from", "Subjects that stop the training"), strict=False
    ):
        _curves(axes, curves, final)
        _levels(axes, pca, train.shape[1], named=axes is panels[-1])
        axes.set_title(title)
        axes.set_xlabel("epoch")
        _scale(axes, seen[np.isfinite(seen)])
    panels[0].set_ylabel("error / mean brain's error")
    last = held if both else train
    judged = final if final >= 0 else 0
    best = float(np.nanmin(last[judged])) if np.isfinite(last[judged]).any() else np.nan
    whose = names[judged] if final >= 0 else f"the first fit ({names[0]})"
    caption = (
        f"Mean absolute error in the mask over that of predicting the mean brain, by epoch, for {count(len(names))} "
        f"fits; the thick line is that of {whose}. Below the dashed line at 1 a network says more of a brain than the "
        f"mean brain does: its smallest value is {fixed(best, 2)}, "
        f"{'below' if best < 1 else 'not below'} 1{_beside(pca)}."
    )
    return Sketch("training", canvas, "Training, against the mean brain", caption, "trust")


def _curves(axes: Axes, curves: FloatArray, final: int) -> None:
    epochs = np.arange(1, curves.shape[1] + 1)
    for row, curve in enumerate(curves):
        thick = row == final
        style: dict[str, Any] = (
            {"color": OURS, "lw": 2.2, "zorder": 4} if thick else {"color": OTHER, "lw": 0.8, "zorder": 2}
        )
        axes.plot(epochs, curve, **style)
        known = np.flatnonzero(np.isfinite(curve))
        if len(known):
            axes.scatter(epochs[known[-1]], curve[known[-1]], s=14 if thick else 6, color=style["color"], zorder=5)


def _levels(axes: Axes, pca: float, n_epochs: int, *, named: bool) -> None:
    """Draw the levels of the mean brain and of PCA; their names at the right end keep off each other."""
    axes.set_xlim(0.5, n_epochs + 0.5)
    for value, words, colour, above in ((1.0, "mean brain", SOFT, not pca > 1), (pca, "PCA", AGAINST, pca > 1)):
        if not np.isfinite(value):
            continue
        axes.axhline(value, color=colour, lw=1, ls=(0, (3, 3)), zorder=3)
        if named:
            axes.annotate(
                words,
                (1, value),
                (3, 0),
                xycoords=axes.get_yaxis_transform(),
                textcoords="offset points",
                va="bottom" if above else "top",
                size=8,
                color=colour,
                annotation_clip=False,
            )


def _scale(axes: Axes, seen: FloatArray) -> None:
    low, high = float(seen.min()), float(seen.max())
    if low > 0 and high / low > _STEEP:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.06, high * 1.06)
        ticks = [tick for tick in _TICKS if low / 1.06 <= tick <= high * 1.06]
        while len(ticks) > 7:
            ticks = [tick for k, tick in enumerate(ticks) if k % 2 == 0 or tick == 1]
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        room = 0.05 * (high - low or 1.0)
        axes.set_ylim(low - room, high + room)


def _beside(pca: float) -> str:
    return f"; principal components reach {fixed(pca, 2)}" if np.isfinite(pca) else ""
