"""What chance alone would give: permuted labels, and networks that learned nothing."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed, p_value, significant
from kotowari.studies.omics.figures.style import (
    AGAINST,
    HALF,
    OTHER,
    OURS,
    SOFT,
    Sketch,
    new_canvas,
)

__all__ = ["null_picture", "random_network_picture", "ranks"]

_FEW_REFITS, _BINS = 50, 20
_LEVEL = 0.05
_N_TOP = 25
_SMALLER_IS_BETTER = {"loss", "error", "mse", "rmse", "mae", "deviance", "brier"}
_ACRONYMS = {"auc", "auroc", "r2", "f1", "mse", "rmse", "mae"}
FloatArray = npt.NDArray[np.float64]


def null_picture(arrays: Arrays) -> Sketch | None:
    """Draw the scores of refits on permuted labels beside the observed one; nothing where either is absent."""
    null, observed = arrays["null_values"].astype(np.float64), float(arrays["observed_value"])
    if not len(null) or not np.isfinite(observed):
        return None
    words = str(arrays.get("null_metric", np.array("score"))).replace("_", " ").split()
    falls = bool(_SMALLER_IS_BETTER & {word.lower() for word in words})
    p = (1 + int((null <= observed if falls else null >= observed).sum())) / (1 + len(null))
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    _stack(axes, null) if len(null) < _FEW_REFITS else _histogram(axes, null)
    _mark(axes, null, observed)
    metric = " ".join(word.upper() if word in _ACRONYMS else word for word in words)
    unit = " (a dot is a refit)" if len(null) < _FEW_REFITS else ""
    axes.set(xlabel=metric + unit, title=f"p = {p_value(p)} from {count(len(null))} refits")
    verdict = (
        "The network learned something of the target."
        if p <= _LEVEL
        else "Permuted labels do as well often enough that the reasons below must not be read as findings."
    )
    caption = (
        f"Everything that saw the labels was refitted {count(len(null))} times on permuted labels; the line is the "
        f"score with the true ones. p = {p_value(p)}; with so many refits it could not be below "
        f"{p_value(1 / (1 + len(null)))}. {verdict}"
    )
    return Sketch("permutation-null", canvas, f"Against permuted labels, p = {p_value(p)}", caption, "trust")


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


def _stack(axes: Axes, null: FloatArray) -> None:
    """Stack a dot for every refit, since a histogram of few would invent a shape."""
    width = (float(np.ptp(null)) or 1.0) / 14
    bins = np.round((null - null.min()) / width).astype(np.intp)
    order = np.argsort(bins, kind="stable")
    height = np.arange(len(null)) - np.searchsorted(bins[order], bins[order])
    axes.scatter(null.min() + bins[order] * width, height + 0.6, s=46, color=OTHER, lw=0)
    axes.set_ylim(0, max(int(height.max()) + 1.2, 5))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _histogram(axes: Axes, null: FloatArray) -> None:
    axes.hist(null, bins=_BINS, color=OTHER, edgecolor="white", lw=0.5)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_ylabel("refits")


def _mark(axes: Axes, null: FloatArray, observed: float) -> None:
    """Draw the observed value, and name both at different heights, so that the names never meet."""
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top * 1.32)
    axes.vlines(observed, 0, top * 1.17, color=OURS, lw=2)
    beyond = observed > float(np.median(null))
    side = "right" if beyond else "left"
    axes.text(observed, top * 1.2, f"true labels {significant(observed, 2)}", ha=side, color=OURS, weight="bold")
    axes.text(
        float(null.min() if beyond else null.max()),
        top * 1.06,
        "permuted labels",
        ha="left" if beyond else "right",
        color=SOFT,
    )


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
