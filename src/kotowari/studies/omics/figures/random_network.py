"""What chance alone would give: a network that learned nothing."""

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.style import AGAINST, HALF, OTHER, Sketch, new_canvas

__all__ = ["random_network_picture", "ranks"]

_N_TOP = 25
FloatArray = npt.NDArray[np.float64]


def random_network_picture(arrays: Arrays) -> Sketch:
    """Draw the rank of each gene under the trained network against its rank under random weights."""
    trained, random = (arrays[name].astype(np.float64) for name in ("strength", "random_strength"))
    n = len(trained)
    up, across = ranks(trained), ranks(random)
    agreement = _correlation(up, across)
    top = np.argsort(-trained, kind="stable")[:_N_TOP]
    rest = np.setdiff1d(np.arange(n), top)
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    size = float(np.clip(9000 / n, 0.6, 16))
    axes.scatter(across[rest], up[rest], s=size, color=OTHER, alpha=0.55 if n > 500 else 0.8, lw=0)
    axes.scatter(across[top], up[top], s=18, color=AGAINST, lw=0, clip_on=False, zorder=3)
    axes.text(0, 1.03, f"Rank correlation {fixed(agreement, 2)}", transform=axes.transAxes, weight="bold", size=9)
    axes.text(1, 1.03, f"the {min(_N_TOP, n)} strongest", transform=axes.transAxes, ha="right", color=AGAINST, size=8.5)
    axes.set(xlim=(0.5, n + 0.5), ylim=(0.5, n + 0.5), xlabel="rank with random weights", ylabel="rank when trained")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([1, n], ["weakest", "strongest"])
    axes.yaxis.get_ticklabels()[0].set(rotation=90, va="bottom")
    axes.yaxis.get_ticklabels()[1].set(rotation=90, va="top")
    axes.xaxis.get_ticklabels()[0].set(ha="left")
    axes.xaxis.get_ticklabels()[1].set(ha="right")
    caption = (
        f"Each of the {count(n)} genes by its rank in the trained network and in the same network with random weights "
        f"(rank correlation {fixed(agreement, 2)}). {_judged(agreement)} Whether it is below the agreement of two "
        "trained networks is tested among the checks."
    )
    return Sketch("random-network", canvas, "Against a network that learned nothing", caption, "trust")


def ranks(values: npt.NDArray[np.float64]) -> FloatArray:
    """Return ranks from 1, equal values sharing the mean of theirs.

    Examples
    --------
    >>> ranks(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, which, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    shared: FloatArray = (last - (sizes - 1) / 2)[which]
    return shared


def _correlation(a: FloatArray, b: FloatArray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def _judged(agreement: float) -> str:
    if agreement < 0.3:
        return "They hardly agree: which genes are named depends on what was learned."
    if agreement < 0.7:
        return (
            "They agree in part: some of the order comes from the data and the architecture alone, not from learning."
        )
    return "They agree closely: this order would have come out without any learning, so do not read it as reasons."
