"""Which edges move the prediction, over all samples and in each one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, significant
from kotowari.report.plots.arrays import class_names, is_classified, target_name
from kotowari.report.plots.style import (
    AGAINST,
    DIVERGING,
    GREY,
    INK,
    OTHER,
    OURS,
    SEQUENTIAL,
    SIGNIFICANT,
    SOFT,
    WIDE,
    Sketch,
    bare,
    centred_root,
    new_canvas,
    shorten,
)
from kotowari.studies.genenet.figures.arrays import ARROW, edge_name

__all__ = ["contributions_picture", "sample_order"]

_N_SHOWN = 25
_FEWEST_ROWS = 5
_LEVEL = 0.05
_MIXED = 0.5  # mean below this share of the mean size
_NAME = 11
_AROUND, _ROW, _STRIP = 0.96, 0.162, 0.14  # inches
_POINTS = 72  # an inch
_LETTERS = 44  # of a class that fit above all samples
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class _Order:
    """Samples from left to right, and what stands above them.

    Attributes
    ----------
    samples
        Positions, in the order of the page.
    truth
        Class or value of each, NaN where it is not known; None where no truth is known.
    words
        How they are ordered.
    """

    samples: IntArray
    truth: FloatArray | None
    words: str


def contributions_picture(arrays: Arrays) -> Sketch | None:
    """Draw the edges that contribute most, and their contributions sample by sample; nothing without an edge."""
    values = arrays["contribution_samples"].astype(np.float64)[:, :_N_SHOWN]
    bar = arrays[_bar_name(arrays)].astype(np.float64)[:_N_SHOWN]
    if not values.size:
        return None
    p = arrays.get("contribution_p", np.full(len(bar), np.nan)).astype(np.float64)[:_N_SHOWN]
    order = sample_order(arrays)
    n_rows = max(len(bar), _FEWEST_ROWS)
    canvas = new_canvas((WIDE[0], _AROUND + _ROW * n_rows))
    bars, heat = canvas.subplots(1, 2, width_ratios=[1.3, 2.6])
    names = [_short(str(name)) for name in arrays["contribution_names"][:_N_SHOWN]]
    _bars(bars, arrays, names, bar, p < _LEVEL)
    _heat(heat, values[order.samples].T)
    _strip(heat, arrays, order, n_rows)
    for axes in (bars, heat):
        axes.set_ylim(len(bar) - 0.5, -0.5)
    caption = _caption(arrays, order, p, values)
    return Sketch("contributions", canvas, "The edges that move the prediction", caption, "reason")


def sample_order(arrays: Arrays) -> _Order:
    """Order samples by the truth, then by the prediction, as far as it is known which sample a prediction is of.

    Without ``row_samples`` it is not known, and samples are ordered by the sum of the shown contributions. For survival
    the predicted log hazard alone orders them: of most samples only a lower bound of the truth is known.
    """
    total = arrays["contribution_samples"].astype(np.float64).sum(1)
    if {"survival_score", "row_samples"} <= arrays.keys():
        hazard = np.full(len(total), np.nan)
        hazard[arrays["row_samples"]] = arrays["survival_score"]
        return _Order(np.lexsort((total, hazard)), None, "the predicted log hazard, low to high")
    known = _truth_and_prediction(arrays)
    if known is None or "row_samples" not in arrays:
        return _Order(np.argsort(total, kind="stable"), None, "their sum in each sample")
    sample, first = np.unique(arrays["row_samples"], return_index=True)  # with repeats, the first prediction counts
    truth, said = (np.full(len(total), np.nan) for _ in range(2))
    truth[sample], said[sample] = known[0][first], known[1][first]
    by = "class, then by the prediction" if is_classified(arrays) else f"measured {target_name(arrays)} (dark is high)"
    return _Order(np.lexsort((total, said, truth)), truth, by)


def _truth_and_prediction(arrays: Arrays) -> tuple[FloatArray, FloatArray] | None:
    if {"truth_codes", "out_of_fold"} <= arrays.keys():
        truth, scores = arrays["truth_codes"].astype(np.intp), arrays["out_of_fold"].astype(np.float64)
        said = scores[:, -1] if scores.shape[1] == 2 else np.take_along_axis(scores, truth[:, None], 1)[:, 0]
        return truth.astype(np.float64), said
    if {"truth_values", "predicted_values"} <= arrays.keys():
        return arrays["truth_values"].astype(np.float64), arrays["predicted_values"].astype(np.float64)
    return None


def _bar_name(arrays: Arrays) -> str:
    """Return which array the bars show: what edges were ranked by, where that is known."""
    return "contribution_importance" if "contribution_importance" in arrays else "contribution_mean"


def _bars(axes: Axes, arrays: Arrays, names: list[str], size: FloatArray, marked: npt.NDArray[np.bool_]) -> None:
    ranked = _bar_name(arrays) == "contribution_importance"
    rows = np.arange(len(names))
    axes.axvline(0, color=OTHER, lw=0.8)
    colours = [SOFT if ranked else AGAINST if up else OURS for up in size >= 0]
    axes.barh(rows, size, height=0.68 * min(1, len(size) / _FEWEST_ROWS), color=colours)
    axes.set_yticks(rows, names, color=INK, size=7.5)
    axes.tick_params(axis="y", length=0)
    low, high = min(float(size.min()), 0.0), max(float(size.max()), 0.0)
    room = 0.14 * ((high - low) or 1.0)
    axes.set_xlim(low - (room if low < 0 else 0), high + (room if high > 0 else 0) if high > low else 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.spines["left"].set_visible(False)
    title = "Importance" if ranked else "Mean"
    axes.set_title(f"{title}  {SIGNIFICANT} p < {_LEVEL:g}" if marked.any() else title)
    axes.set_xlabel("covariance with prediction" if ranked else f"mean contribution{_towards(arrays)}")
    for row in rows[marked]:
        way = 1 if size[row] >= 0 else -1
        place = (float(size[row]), float(row))
        star = axes.annotate(SIGNIFICANT, place, (6.5 * way, -0.5), textcoords="offset points", size=7.5, color=INK)
        star.set(ha="center", va="center")


def _heat(axes: Axes, values: FloatArray) -> None:
    scale = centred_root(values)
    shown = axes.imshow(values, cmap=DIVERGING, norm=scale, aspect="auto", interpolation="nearest")
    bare(axes)
    axes.set_xlabel(f"{count(values.shape[1])} samples")
    bar = axes.figure.colorbar(shown, ax=axes, fraction=0.05, aspect=40, pad=0.02)
    limit = float(scale.vmax or 1.0)
    bar.set_ticks([-limit, 0.0, limit], labels=[significant(tick, 2) for tick in (-limit, 0.0, limit)])
    bar.ax.tick_params(length=0, labelsize=7.5)
    bar.outline.set_visible(False)


def _short(name: str) -> str:
    regulator, arrow, target = name.replace(" -> ", ARROW).partition(ARROW)
    return edge_name(regulator, target, _NAME) if arrow else shorten(name, 2 * _NAME, keep_end=True)


def _towards(arrays: Arrays) -> str:
    names = [str(name) for name in arrays.get("classes", ())]
    return f" to {shorten(names[1], 12, keep_end=True)}" if len(names) == 2 else ""


def _strip(axes: Axes, arrays: Arrays, order: _Order, n_rows: int) -> None:
    """Colour every sample by its class or value, in one row above the contributions."""
    if order.truth is None:
        axes.set_title("Each sample")
        return
    words = "class" if is_classified(arrays) else f"measured {shorten(target_name(arrays), 24)}"
    axes.set_title(f"Each sample, by {words}", y=1.0, pad=6 + _STRIP * _POINTS)
    strip = axes.inset_axes((0, 1 + 0.15 / n_rows, 1, _STRIP / (_ROW * n_rows)))
    bare(strip)
    row = order.truth[order.samples][None, :]
    if not is_classified(arrays):
        strip.imshow(row, cmap=SEQUENTIAL, aspect="auto", interpolation="nearest")
        return
    names = class_names(arrays, len(arrays["classes"]))
    strip.imshow(row, cmap=_class_colours(len(names)), vmin=-0.5, vmax=len(names) - 0.5, aspect="auto")
    for number, name in enumerate(names):
        places = np.flatnonzero(row[0] == number)
        room = int(_LETTERS * len(places) / row.shape[1])
        if room > 2:
            words = shorten(name, room, keep_end=True)
            strip.text(float(places.mean()), 0, words, ha="center", va="center_baseline", color="white", size=7)


def _class_colours(n: int) -> ListedColormap:
    if n <= 2:
        return ListedColormap([OURS, AGAINST][:n])
    shades = [GREY(place) if k % 2 else SEQUENTIAL(place) for k, place in enumerate(np.linspace(0.45, 0.95, n))]
    return ListedColormap(shades)


def _caption(arrays: Arrays, order: _Order, p: FloatArray, values: FloatArray) -> str:
    names = [str(name) for name in arrays.get("classes", ())]
    towards = f"towards {shorten(names[1], 30, keep_end=True)}" if len(names) == 2 else "upwards"
    words = [
        f"The {count(len(p))} edges that matter most for the prediction: each row is an edge, each column a sample, "
        f"ordered by {order.words}. Orange moves the score {towards}, blue the other way (square-root colour scale). "
        "The contributions of all edges of a sample sum to the change of its score from the reference."
    ]
    if _bar_name(arrays) == "contribution_importance":
        words.append(
            "Left: the covariance of an edge's contributions with that change, which over all edges sums to the "
            "variance of the prediction; below zero an edge works against the others."
        )
    if np.isfinite(p).any():
        marked = int((p < _LEVEL).sum())
        words.append(
            f"{count(marked)} {'has' if marked == 1 else 'have'} p < {_LEVEL:g} against permuted responses (star)."
            if marked
            else f"None has p < {_LEVEL:g} against permuted responses (smallest "
            f"{significant(float(np.nanmin(p)), 2)}), so their order is a suggestion."
        )
    else:
        words.append("Without permutations it is not known how large contributions come out by chance.")
    size = np.abs(values).mean(0)
    mixed = int(((size > 0) & (np.abs(values.mean(0)) < _MIXED * size)).sum())
    if mixed:
        pushes = "pushes" if mixed == 1 else "push"
        words.append(f"{count(mixed)} of them {pushes} some samples up and others down.")
    return " ".join(words)
