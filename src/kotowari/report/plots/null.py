"""What chance alone would give: a score beside those of refits on permuted labels."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, p_value, significant
from kotowari.report.plots.style import HALF, OTHER, OURS, SOFT, Sketch, new_canvas

__all__ = ["draw_null", "metric_words", "null_picture"]

_FEW, _BINS = 50, 20
_LEVEL = 0.05
_SMALLER_IS_BETTER = {"loss", "error", "mse", "rmse", "mae", "deviance", "brier"}
_ACRONYMS = {"auc", "auroc", "r2", "f1", "mse", "rmse", "mae"}
FloatArray = npt.NDArray[np.float64]


def null_picture(arrays: Arrays) -> Sketch | None:
    """Draw the scores of refits on permuted labels beside the observed one; nothing where either is absent."""
    null, observed = arrays["null_values"].astype(np.float64), float(arrays["observed_value"])
    if not len(null) or not np.isfinite(observed):
        return None
    metric = str(arrays.get("null_metric", np.array("score")))
    falls = bool(_SMALLER_IS_BETTER & set(metric.lower().replace("_", " ").split()))
    p = (1 + int((null <= observed if falls else null >= observed).sum())) / (1 + len(null))
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    draw_null(axes, null, observed, names=("permuted labels", "true labels"), unit="refit")
    axes.set_xlabel(metric_words(metric) + axes.get_xlabel())
    axes.set_title(f"p = {p_value(p)} from {count(len(null))} refits")
    verdict = (
        "The model learned something of the target."
        if p <= _LEVEL
        else "Permuted labels do as well often enough that the reasons below must not be read as findings."
    )
    caption = (
        f"Everything that saw the labels was refitted {count(len(null))} times on permuted labels; the line is the "
        f"score with the true ones. p = {p_value(p)}; with so many refits it could not be below "
        f"{p_value(1 / (1 + len(null)))}. {verdict}"
    )
    return Sketch("permutation-null", canvas, f"Against permuted labels, p = {p_value(p)}", caption, "trust")


def draw_null(axes: Axes, null: FloatArray, observed: float, *, names: tuple[str, str], unit: str) -> None:
    """Draw draws by chance as a histogram, or as dots where they are few, and the observed value as a line.

    Parameters
    ----------
    axes
        Where; the label of its x axis says what a dot is, and the caller puts the quantity before it.
    null
        Shape ``(draw,)``, one or more.
    observed
        The value that is judged.
    names
        Of the draws, and of the observed value.
    unit
        What one draw is, in the singular.
    """
    if len(null) < _FEW:
        _stack(axes, null)
        axes.set_xlabel(f" (a dot is a {unit})")
    else:
        ends = min(float(null.min()), observed), max(float(null.max()), observed)
        room = 0.05 * (ends[1] - ends[0]) or 0.5
        axes.hist(null, bins=_BINS, range=ends, color=OTHER, edgecolor="white", lw=0.5)
        axes.set_xlim(ends[0] - room, ends[1] + room)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_ylabel(f"{unit}s")
    _mark(axes, null, observed, names)


def metric_words(metric: str) -> str:
    """Return the name of a score as a reader writes it.

    Examples
    --------
    >>> metric_words("log_loss"), metric_words("auroc")
    ('log loss', 'AUROC')
    """
    return " ".join(word.upper() if word in _ACRONYMS else word for word in metric.replace("_", " ").split())


def _stack(axes: Axes, null: FloatArray) -> None:
    """Stack a dot for every draw, since a histogram of few would invent a shape."""
    width = (float(np.ptp(null)) or 1.0) / 14
    bins = np.round((null - null.min()) / width).astype(np.intp)
    order = np.argsort(bins, kind="stable")
    height = np.arange(len(null)) - np.searchsorted(bins[order], bins[order])
    axes.scatter(null.min() + bins[order] * width, height + 0.6, s=46, color=OTHER, lw=0)
    axes.set_ylim(0, max(int(height.max()) + 1.2, 5))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _mark(axes: Axes, null: FloatArray, observed: float, names: tuple[str, str]) -> None:
    """Draw the observed value, and name both at different heights, on the side of the draws."""
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top * 1.32)
    axes.vlines(observed, 0, top * 1.17, color=OURS, lw=2)
    beyond = observed > float(np.median(null))
    side = "right" if beyond else "left"
    axes.text(observed, top * 1.2, f"{names[1]} {significant(observed, 2)}", ha=side, color=OURS, weight="bold")
    away = (-5.0 if beyond else 5.0, 0.0)
    axes.annotate(names[0], (observed, top * 1.06), away, textcoords="offset points", ha=side, color=SOFT)
