"""Gene sets that hold more of the selected genes than chance gives, or crowd at an end of the ranking."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from kotowari.core.errors import InputError
from kotowari.core.jobs import Arrays
from kotowari.report.numerals import MINUS, count, significant
from kotowari.report.plots.style import (
    AGAINST,
    INK,
    LINE,
    OTHER,
    OURS,
    SIGNIFICANT,
    SOFT,
    WIDE,
    Sketch,
    new_canvas,
    shorten,
)

__all__ = ["pathways_picture"]

_N_SHOWN = 15
_LEVEL = 0.05
_SMALLEST = 1e-300
_NAME, _GENES = 44, 34
_WORDS = ("set", "genes", "leading_edge", "description")  # where NA is a name, not a gap
FloatArray = npt.NDArray[np.float64]


def pathways_picture(path: Path, arrays: Arrays) -> Sketch | None:
    """Draw the first sets of one table; nothing where it is empty.

    Raises
    ------
    InputError
        When the table cannot be read, or is neither an over-representation nor a preranked enrichment.
    """
    try:
        table = pd.read_csv(path, converters=dict.fromkeys(_WORDS, str))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error}). Run the stage that writes it again.") from error
    name = path.stem
    if {"set", "nes", "p", "q"} <= set(table):
        return _ranking(table, name, arrays) if len(table) else None
    if {"set", "k", "size", "p", "q"} <= set(table):
        return _over_representation(table, name) if len(table) else None
    raise InputError(f"{path}: has neither the columns set, k, size, p, q nor set, nes, p, q.")


def _over_representation(table: pd.DataFrame, name: str) -> Sketch:
    top = table.sort_values(["p", "set"], kind="stable").head(_N_SHOWN)
    p, q = top["p"].to_numpy(float), top["q"].to_numpy(float)
    by_layout = top["layout_p"].to_numpy(float) if "layout_p" in top else np.full(len(top), np.nan)
    canvas, axes = _panel(top, q)
    rows = np.arange(len(top))
    counted, placed = _strength(p), _strength(by_layout)
    axes.hlines(rows, np.fmin(counted, placed), np.fmax(counted, placed), color=LINE, lw=2)
    axes.scatter(counted, rows, s=34, color=OURS, zorder=3, clip_on=False, label="counting genes")
    if np.isfinite(placed).any():
        axes.scatter(
            placed,
            rows,
            s=34,
            marker="D",
            facecolor="white",
            edgecolor=AGAINST,
            lw=1.3,
            zorder=3,
            label="against random regions",
        )
    level = -np.log10(_LEVEL)
    axes.axvline(level, color=OTHER, lw=1, ls=(0, (3, 3)), label=f"p = {_LEVEL:g}")
    axes.set_xlim(0, max(float(np.nanmax(np.concatenate([counted, placed]))) * 1.06, 1.6))
    axes.set_xlabel(f"{MINUS}log10 p")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, handletextpad=0.4, borderaxespad=0, columnspacing=1.2)
    _beside(axes, [f"{k} of {n}   {shorten(genes, _GENES)}" for k, n, genes in zip(*_details(top), strict=True)])
    caption = _counted_caption(table, by_layout)
    return Sketch(name, canvas, "Pathways of the selected genes", caption, "pathways")


def _ranking(table: pd.DataFrame, name: str, arrays: Arrays) -> Sketch | None:
    scored = table[np.isfinite(table["nes"])]
    if scored.empty:
        return None
    top = scored.sort_values(["p", "set"], kind="stable").head(_N_SHOWN)
    top = top.sort_values("nes", ascending=False, kind="stable")
    nes, q = top["nes"].to_numpy(float), top["q"].to_numpy(float)
    canvas, axes = _panel(top, q)
    rows = np.arange(len(top))
    axes.axvline(0, color=OTHER, lw=0.8)
    colours = np.where(nes >= 0, AGAINST, OURS)
    axes.hlines(rows, 0, nes, color=colours, lw=2, alpha=0.35)
    axes.scatter(nes, rows, s=34, c=colours, zorder=3)
    limit = float(np.abs(nes).max()) * 1.12 or 1.0
    axes.set(xlim=(-limit, limit), xlabel="normalised enrichment score")
    classes = [shorten(name, 20, keep_end=True) for name in arrays.get("classes", np.array([], str))]
    if len(classes) == 2:
        for side, label, colour in ((0, f"towards {classes[0]}", OURS), (1, f"towards {classes[1]}", AGAINST)):
            axes.text(side, 1.01, label, transform=axes.transAxes, ha="right" if side else "left", color=colour, size=8)
    edges = top["leading_edge"] if "leading_edge" in top else [""] * len(top)
    _beside(axes, [shorten(genes.replace(";", ", "), _GENES + 8) for genes in edges])
    firm = int((table["q"] < _LEVEL).sum())
    if len(classes) == 2:
        ends = f"right: its genes speak for {classes[1]}, left: for {classes[0]}"
    else:
        ends = "right: the strong end" if classes else "right: its genes raise the value"
    caption = (
        f"Where the genes of a set crowd in the ranking of all genes ({ends}); beside it, the genes that carry it. "
        f"{count(firm)} of {count(len(table))} sets {'has' if firm == 1 else 'have'} q < {_LEVEL:g} (star). The test "
        "permutes genes as if they were independent, which sets of genes that move together are not: take it as a hint "
        "on direction, and the layout-aware test as the stricter one."
    )
    return Sketch(name, canvas, "Pathways along the whole ranking", caption, "pathways")


def _panel(top: pd.DataFrame, q: FloatArray) -> tuple[Canvas, Axes]:
    """Return canvas and axes with a row a set, named at the left, stars for small q."""
    canvas = new_canvas((WIDE[0], 1.0 + 0.245 * max(len(top), 3)))
    axes = canvas.subplots()
    described = top["description"] if "description" in top else [""] * len(top)
    names = []
    for set_, words, small in zip(top["set"], described, q < _LEVEL, strict=True):
        told = f"{set_} {words}" if len(set(described)) > 1 else set_  # one word for all is the name of a database
        names.append(shorten(told, _NAME) + (f"  {SIGNIFICANT}" if small else "    "))
    axes.set_yticks(np.arange(len(top)), names, color=INK)
    axes.set_ylim(len(top) - 0.4, -0.8)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return canvas, axes


def _beside(axes: Axes, notes: list[str]) -> None:
    for row, note in enumerate(notes):
        axes.annotate(
            note,
            (1, row),
            (8, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            size=7.5,
            color=SOFT,
        )


def _strength(p: FloatArray) -> FloatArray:
    strength: FloatArray = -np.log10(np.maximum(p, _SMALLEST)) + 0.0
    return strength


def _details(top: pd.DataFrame) -> tuple[list[int], list[int], list[str]]:
    genes = top["genes"] if "genes" in top else [""] * len(top)
    return (
        top["k"].astype(int).tolist(),
        top["size"].astype(int).tolist(),
        [names.replace(";", ", ") for names in genes],
    )


def _counted_caption(table: pd.DataFrame, by_layout: FloatArray) -> str:
    firm = table[table["q"] < _LEVEL]
    words = (
        "The sets that hold more of the selected genes than their share of all measured genes gives; beside each, how "
        f"many of its genes are selected. {count(len(firm))} of {count(len(table))} "
        f"{'has' if len(firm) == 1 else 'have'} q < {_LEVEL:g} (star)."
    )
    if not np.isfinite(by_layout).any():
        return f"{words} Counting takes genes as independent, which neighbours in an image are not."
    kept = int((firm["layout_p"] < _LEVEL).sum())
    verdict = (
        f"Of these, {count(kept)} also {'has' if kept == 1 else 'have'} p < {_LEVEL:g} against random regions of the "
        "same shape on the same map (diamond)."
        if len(firm)
        else "Diamonds stand for random regions of the same shape on the same map (smallest p "
        f"{significant(float(np.nanmin(by_layout)), 2)})."
    )
    return (
        f"{words} {verdict} A dot far right with its diamond near zero is a set whose genes are neighbours in the "
        "image and were selected together, not a finding of its own."
    )
