"""The strongest genes: how strong, for which class, and how often they would be chosen again."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, significant
from kotowari.report.plots.arrays import class_names, is_classified
from kotowari.report.plots.style import (
    AGAINST,
    DIVERGING,
    FAINT,
    INK,
    LINE,
    OURS,
    SIGNIFICANT,
    SOFT,
    WIDE,
    Sketch,
    bare,
    centred,
    new_canvas,
    shorten,
)
from kotowari.studies.omics.figures.class_images import MOST_CLASSES

__all__ = ["top_genes_picture"]

_N_SHOWN = 25
_LEVEL = 0.05
_OFTEN = 0.5
FloatArray = npt.NDArray[np.float64]


def top_genes_picture(arrays: Arrays) -> Sketch:
    """Draw the strongest genes, a row each."""
    strength = arrays["strength"].astype(np.float64)
    top = np.argsort(-strength, kind="stable")[:_N_SHOWN]
    means = arrays["class_means"].astype(np.float64)
    names = class_names(arrays, len(means))
    left_out = ""
    if len(names) > MOST_CLASSES:
        left_out = f" The first {MOST_CLASSES} of {count(len(names))} classes are shown."
        means, names = means[:MOST_CLASSES], names[:MOST_CLASSES]
    q, frequency = (_column(arrays, name, len(strength))[top] for name in ("q", "frequency"))
    has_frequency = bool(np.isfinite(frequency).any())
    canvas = new_canvas((WIDE[0], 0.95 + 0.166 * len(top)))
    widths = [3.2, min(0.5 + 0.32 * len(names), 3.4), *([1.9] if has_frequency else [])]
    panels = canvas.subplots(1, len(widths), width_ratios=widths)
    ends = ("against", "for") if is_classified(arrays) else ("lower", "higher")
    genes = [shorten(gene, 20) for gene in arrays["genes"][top]]
    _bars(panels[0], genes, strength[top], q < _LEVEL)
    _signs(panels[1], means[:, top].T, names, ends)
    if has_frequency:
        _frequencies(panels[2], frequency)
    for axes in panels:
        axes.set_ylim(len(top) - 0.4, -0.6)
    return Sketch(
        "top-genes", canvas, "The strongest genes", _caption(len(top), q, frequency, ends) + left_out, "reason"
    )


def _bars(axes: Axes, genes: list[str], strength: FloatArray, marked: npt.NDArray[np.bool_]) -> None:
    rows = np.arange(len(genes))
    axes.barh(rows, strength, height=0.68, color=OURS)
    axes.set_yticks(rows, genes, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.set_xlim(0, (float(strength.max()) or 1.0) * 1.09)
    axes.set_xlabel("strength (score units)")
    axes.set_title(f"Strength  {SIGNIFICANT} q < {_LEVEL:g}" if marked.any() else "Strength")
    axes.spines["left"].set_visible(False)
    for row in rows[marked]:
        axes.annotate(
            SIGNIFICANT, (strength[row], row), (3, -0.5), textcoords="offset points", va="center", size=8, color=AGAINST
        )


def _signs(axes: Axes, means: FloatArray, names: list[str], ends: tuple[str, str]) -> None:
    """Colour each gene's mean relevance for each class, zero neutral."""
    shown = axes.imshow(means, cmap=DIVERGING, norm=centred(means), aspect="auto", interpolation="nearest")
    bare(axes)
    short = [shorten(name, 14, keep_end=True) for name in names]
    crowded = sum(len(name) for name in short) > 6 * len(short) or len(short) > 4
    axes.set_xticks(range(len(names)), short, rotation=90 if crowded else 0, color=INK)
    axes.tick_params(axis="x", length=0, pad=2)
    axes.set_xticks(np.arange(0.5, len(names) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(means) - 1), minor=True)
    axes.grid(which="minor", color="white", lw=1)
    axes.tick_params(which="minor", length=0)
    axes.set_title("Sign")
    bar = axes.figure.colorbar(shown, ax=axes, fraction=0.12, aspect=70, pad=0.03)
    limit = float(shown.norm.vmax or 1.0)  # type: ignore[arg-type]
    bar.set_ticks([-limit, 0.0, limit], labels=[ends[0], "0", ends[1]])
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)


def _frequencies(axes: Axes, frequency: FloatArray) -> None:
    rows = np.arange(len(frequency))
    axes.barh(rows, np.ones(len(rows)), height=0.68, color=FAINT)
    axes.hlines(rows, 0, np.nan_to_num(frequency), color=LINE, lw=1.4)
    often = frequency >= _OFTEN
    axes.scatter(frequency[often], rows[often], s=20, color=OURS, clip_on=False, zorder=3)
    axes.scatter(
        frequency[~often], rows[~often], s=20, facecolor="white", edgecolor=OURS, lw=1, clip_on=False, zorder=3
    )
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
    axes.axvline(_OFTEN, color=SOFT, lw=0.6, ls=(0, (3, 3)))
    axes.set_xlabel("of the bootstraps")
    axes.set_title("Selected in")
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])


def _column(arrays: Arrays, name: str, n: int) -> FloatArray:
    column: npt.NDArray[Any] = arrays.get(name, np.full(n, np.nan))
    return column.astype(np.float64)


def _caption(n: int, q: FloatArray, frequency: FloatArray, ends: tuple[str, str]) -> str:
    stable = bool(np.isfinite(frequency).any())
    words = [
        f"The {count(n)} strongest genes: mean absolute relevance, and its sign (orange {ends[1]}, blue {ends[0]}).",
        "Beside it, how often a bootstrap of the patients selects the gene."
        if stable
        else "No bootstraps were run, so nothing is known of their stability.",
    ]
    if np.isfinite(q).any():
        marked = int((q < _LEVEL).sum())
        words.append(
            f"{count(marked)} of them {'has' if marked == 1 else 'have'} q < {_LEVEL:g} against permuted labels (star)."
            if marked
            else f"None has q < {_LEVEL:g} against permuted labels (smallest {significant(float(np.nanmin(q)), 2)}): "
            "the order is a suggestion, not a finding."
        )
    else:
        words.append("The refits do not allow a q value, so the order is a suggestion, not a finding.")
    if stable:
        often = int((frequency >= _OFTEN).sum())
        words.append(
            f"{count(often)} {'is' if often == 1 else 'are'} selected in half of the bootstraps or more (filled dot); "
            "a strong gene that is seldom selected would give its place to a neighbour in other patients."
        )
    return " ".join(words)
