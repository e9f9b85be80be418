"""The edges whose effect varies most over the samples, a row each."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, significant
from kotowari.report.plots.style import (
    AGAINST,
    FAINT,
    INK,
    LINE,
    OTHER,
    OURS,
    SIGNIFICANT,
    SOFT,
    WIDE,
    Sketch,
    new_canvas,
)
from kotowari.studies.genenet.figures.arrays import column, edge_names

__all__ = ["ranking_picture"]

_N_SHOWN = 25
_LEVEL, _OFTEN = 0.05, 0.5
_FEWEST_ROWS = 4
FloatArray = npt.NDArray[np.float64]


def ranking_picture(arrays: Arrays) -> Sketch | None:
    """Draw the change of the strongest edges, from what to what, and how sure they are; nothing without an edge."""
    change = np.abs(arrays["edge_change"].astype(np.float64))
    top = np.argsort(-change, kind="stable")[:_N_SHOWN]
    if not len(top):
        return None
    p, frequency = (column(arrays, name, len(change))[top] for name in ("edge_p", "edge_frequency"))
    has_frequency = bool(np.isfinite(frequency).any())
    canvas = new_canvas((WIDE[0], 0.99 + 0.164 * max(len(top), _FEWEST_ROWS)))
    widths = [2.3, 2.6, *([1.3] if has_frequency else [])]
    panels = canvas.subplots(1, len(widths), width_ratios=widths)
    _bars(panels[0], edge_names(arrays, top, 11), change[top], p < _LEVEL)
    _dumbbells(panels[1], arrays["edge_values"][arrays["shown_samples"]][:, top].astype(np.float64))
    if has_frequency:
        _frequencies(panels[2], frequency)
    for axes in panels:
        axes.set_ylim(max(len(top), _FEWEST_ROWS) - 0.4, -0.6)
    caption = _caption(len(top), p, frequency)
    return Sketch("edge-ranking", canvas, "The edges whose effect varies most", caption, "reason")


def _bars(axes: Axes, names: list[str], change: FloatArray, marked: npt.NDArray[np.bool_]) -> None:
    rows = np.arange(len(names))
    axes.barh(rows, change, height=0.68, color=OURS)
    axes.set_yticks(rows, names, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.set_xlim(0, (float(change.max()) or 1.0) * 1.12)
    axes.set_xlabel("sd of the target")
    axes.set_title(f"Change of effect  {SIGNIFICANT} p < {_LEVEL:g}" if marked.any() else "Change of effect")
    axes.spines["left"].set_visible(False)
    for row in rows[marked]:
        axes.annotate(
            SIGNIFICANT, (change[row], row), (3, -0.5), textcoords="offset points", va="center", size=8, color=AGAINST
        )


def _dumbbells(axes: Axes, values: FloatArray) -> None:
    """Draw each coefficient at the low end (hollow), in the middle (tick) and at the high end (filled)."""
    low, middle, high = values
    rows = np.arange(len(low))
    colours = [AGAINST if rises else OURS for rises in high >= low]
    axes.axvline(0, color=OTHER, lw=0.8)
    axes.hlines(rows, values.min(0), values.max(0), color=colours, lw=2, alpha=0.4)
    axes.scatter(middle, rows, s=26, marker="|", c=colours, lw=1.1, zorder=3)
    axes.scatter(low, rows, s=34, facecolors="white", edgecolors=colours, lw=1.1, zorder=4)
    axes.scatter(high, rows, s=15, c=colours, zorder=5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    room = 0.06 * (float(np.ptp(np.append(values, 0.0))) or 1.0)
    axes.set_xlim(min(float(values.min()), 0.0) - room, max(float(values.max()), 0.0) + room)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel("sd of target per sd of regulator")
    axes.set_title("Coefficient")
    handles = [
        Line2D([], [], marker="o", ls="", markerfacecolor="white", markeredgecolor=SOFT, ms=5.5, label="low end"),
        Line2D([], [], marker="o", ls="", color=SOFT, ms=4, label="high end"),
    ]
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        handletextpad=0.1,
        columnspacing=0.8,
        borderaxespad=0.1,
        labelcolor=SOFT,
    )


def _frequencies(axes: Axes, frequency: FloatArray) -> None:
    rows = np.arange(len(frequency))
    axes.barh(rows, np.ones(len(rows)), height=0.68, color=FAINT)
    axes.hlines(rows, 0, np.nan_to_num(frequency), color=LINE, lw=1.4)
    often = frequency >= _OFTEN
    axes.scatter(frequency[often], rows[often], s=20, color=OURS, clip_on=False, zorder=3)
    axes.scatter(
        frequency[~often], rows[~often], s=20, facecolor="white", edgecolor=OURS, lw=1, clip_on=False, zorder=3
    )
    axes.axvline(_OFTEN, color=SOFT, lw=0.6, ls=(0, (3, 3)))
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
    axes.set(xlabel="of half samples", title="Selected in")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _caption(n: int, p: FloatArray, frequency: FloatArray) -> str:
    first = f"The {count(n)} edges" if n > 1 else "The edge"
    words = [
        f"{first} whose regulatory effect varies most over the samples. Middle: the coefficient at the "
        "low end (hollow), in the middle (tick) and at the high end (filled); orange rises, blue falls. A large change "
        "of effect beside a steady coefficient comes from the expression of the regulator, or over a gene in between."
    ]
    if np.isfinite(p).any():
        marked = int((p < _LEVEL).sum())
        words.append(
            f"{count(marked)} of them {'has' if marked == 1 else 'have'} p < {_LEVEL:g} (star) against genes permuted "
            "within bins of the modulator, corrected for all edges by the largest of each refit."
            if marked
            else f"None has p < {_LEVEL:g} against genes permuted within bins of the modulator (smallest "
            f"{significant(float(np.nanmin(p)), 2)}): the order is a suggestion, not a finding."
        )
    else:
        words.append("No permutations were run, so the order is a suggestion, not a finding.")
    if np.isfinite(frequency).any():
        often = int((frequency >= _OFTEN).sum())
        words.append(
            f"{count(often)} {'is' if often == 1 else 'are'} selected in 50 % of the half samples or more (filled dot)."
        )
    else:
        words.append("No half samples were drawn, so nothing is known of their stability.")
    return " ".join(words)
