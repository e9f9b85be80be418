"""The network at three places along the modulator, all in one layout."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.path import Path

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, significant
from kotowari.report.plots.style import AGAINST, INK, LINE, OTHER, OURS, SOFT, WIDE, Sketch, new_canvas, shorten
from kotowari.studies.genenet.figures.arrays import modulator_name
from kotowari.studies.genenet.figures.layout import layered_order

__all__ = ["networks_picture"]

_MOST_EDGES, _MOST_NODES = 40, 28
_PLACES = ("Low", "Middle", "High")
_HUB = 3  # edges from which on a name is set in bold
_THINNEST, _THICKEST = 0.5, 3.4  # points
# inches
_NAMES, _GAP, _ABOVE, _BELOW = 0.98, 0.2, 0.62, 0.36
_ROW = (0.147, 0.27)  # between two names: at least, at most
_LOWEST = 0.9
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class _Drawing:
    """Where everything stands; sources and targets are counted among those shown.

    Attributes
    ----------
    source, target
        Ends of each shown edge.
    heights
        Of all sources, and of all targets: inches from the bottom of the panel.
    values
        Coefficients, ``(panel, edge)``.
    names
        Of all sources, and of all targets.
    """

    source: IntArray
    target: IntArray
    heights: tuple[FloatArray, FloatArray]
    values: FloatArray
    names: tuple[list[str], list[str]]
    tall: float


def networks_picture(arrays: Arrays) -> Sketch | None:
    """Draw the edges of the largest change at low, middle and high modulator; nothing where there is no edge."""
    edges = _shown(arrays)
    if not len(edges):
        return None
    drawing = _placed(arrays, edges)
    height = drawing.tall + _ABOVE + _BELOW
    canvas = new_canvas((WIDE[0], height), constrained=False)
    width = (WIDE[0] - 2 * _NAMES - 2 * _GAP) / 3
    sizes = _strengths(drawing)
    for panel in range(3):
        left = _NAMES + panel * (width + _GAP)
        box = (left / WIDE[0], _BELOW / height, width / WIDE[0], drawing.tall / height)
        axes = canvas.add_axes(box)
        _edges(axes, drawing, drawing.values[panel])
        for side in (0, 1):
            _nodes(axes, side, drawing.heights[side], sizes[side][panel])
            if panel == 2 * side:
                _names(axes, side, drawing, width)
        axes.set(xlim=(0, 1), ylim=(0, drawing.tall))
        axes.set_axis_off()
        _heading(canvas, arrays, panel, drawing, (left / WIDE[0], (height - 0.19) / height))
    _key(canvas)
    return Sketch("networks", canvas, "The network along the modulator", _caption(arrays, drawing), "reason")


def _shown(arrays: Arrays) -> IntArray:
    """Return the first edges in the order of their change that a page has room for.

    An effect over a gene in between alone has no coefficient, and so no line to draw.
    """
    order: IntArray = np.argsort(-np.abs(arrays["edge_change"]), kind="stable")
    order = order[(arrays["edge_values"] != 0).any(0)[order]][:_MOST_EDGES]
    for ends in (arrays["edge_regulator"][order], arrays["edge_target"][order]):
        first = np.unique(ends, return_index=True)[1]
        new = np.zeros(len(ends), dtype=np.intp)
        new[first] = 1
        order = order[: int((np.cumsum(new) <= _MOST_NODES).sum())]
    return order


def _placed(arrays: Arrays, edges: IntArray) -> _Drawing:
    regulators, source = np.unique(arrays["edge_regulator"][edges], return_inverse=True)
    targets, target = np.unique(arrays["edge_target"][edges], return_inverse=True)
    orders = layered_order(source, target)
    most = max(len(regulators), len(targets))
    tall = float(max(_LOWEST, min(_ROW[1] * most, WIDE[1] - _ABOVE - _BELOW)))
    row = min(tall / most, _ROW[1])
    sources, sinks = ((tall / 2 + row * ((len(order) - 1) / 2 - order)).astype(np.float64) for order in orders)
    return _Drawing(
        source,
        target,
        (sources, sinks),
        arrays["edge_values"][arrays["shown_samples"]][:, edges].astype(np.float64),
        ([str(name) for name in arrays["regulators"][regulators]], [str(name) for name in arrays["targets"][targets]]),
        tall,
    )


def _strengths(drawing: _Drawing) -> tuple[FloatArray, FloatArray]:
    """Return summed absolute coefficients of all sources and all targets, 1 for the largest; ``(panel, node)``."""
    sums = []
    for ends, heights in zip((drawing.source, drawing.target), drawing.heights, strict=True):
        total = [np.bincount(ends, weights=np.abs(values), minlength=len(heights)) for values in drawing.values]
        sums.append(np.array(total) / (float(np.max(total)) or 1.0))
    return sums[0], sums[1]


def _edges(axes: Axes, drawing: _Drawing, values: FloatArray) -> None:
    """Draw every edge as a curve; one that is absent here is a hairline, so that the eye keeps its place."""
    ends = zip(drawing.heights[0][drawing.source], drawing.heights[1][drawing.target], strict=True)
    codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
    curves = [Path([(0, start), (0.45, start), (0.55, stop), (1, stop)], codes) for start, stop in ends]
    size = np.abs(values) / (float(np.abs(drawing.values).max()) or 1.0)
    order = np.argsort(size, kind="stable")
    there = order[size[order] > 0]
    axes.add_collection(
        PathCollection([curves[k] for k in order], facecolors="none", edgecolors=LINE, linewidths=0.5, zorder=1)
    )
    axes.add_collection(
        PathCollection(
            [curves[k] for k in there],
            facecolors="none",
            edgecolors=[AGAINST if values[k] > 0 else OURS for k in there],
            linewidths=_THINNEST + (_THICKEST - _THINNEST) * size[there],
            alpha=0.8,
            zorder=2,
        )
    )


def _nodes(axes: Axes, side: int, heights: FloatArray, strength: FloatArray) -> None:
    colours = [INK if there else OTHER for there in strength > 0]
    face = [INK if there and side == 0 else "white" for there in strength > 0]
    axes.scatter(
        np.full(len(heights), side),
        heights,
        s=7 + 42 * strength,
        c=face,
        edgecolors=colours,
        linewidths=0.9,
        clip_on=False,
        zorder=3,
    )


def _names(axes: Axes, side: int, drawing: _Drawing, width: float) -> None:
    n_edges = np.bincount((drawing.source, drawing.target)[side])
    for name, height, n in zip(drawing.names[side], drawing.heights[side], n_edges, strict=True):
        axes.text(
            side + (2 * side - 1) * 0.1 / width,
            height,
            shorten(name, 11, keep_end=True),
            ha="left" if side else "right",
            va="center_baseline",
            size=7.5,
            weight="bold" if n >= _HUB else "normal",
        )


def _heading(canvas: Canvas, arrays: Arrays, panel: int, drawing: _Drawing, corner: tuple[float, float]) -> None:
    x, y = corner
    line = 0.145 / canvas.get_figheight()
    sample = int(arrays["shown_samples"][panel])
    value = significant(float(arrays["modulator"][sample]), 2)
    there = int((drawing.values[panel] != 0).sum())
    words = f"{there} of {len(drawing.source)} edges"
    if "effective_samples" in arrays:
        words += f", {arrays['effective_samples'][sample]:.0f} eff. samples"
    canvas.text(x, y, _PLACES[panel], weight="bold", size=9)
    canvas.text(x, y - line, f"{modulator_name(arrays, 16)} {value}", color=SOFT, size=7.5)
    canvas.text(x, y - 2 * line, words, color=SOFT, size=7.5)


def _key(canvas: Canvas) -> None:
    handles = [
        Line2D([], [], color=AGAINST, lw=2.2, label="raises the target"),
        Line2D([], [], color=OURS, lw=2.2, label="lowers it"),
        Line2D([], [], color=LINE, lw=0.8, label="absent here"),
        Line2D([], [], marker="o", ls="", color=INK, ms=5, label="regulator"),
        Line2D([], [], marker="o", ls="", markerfacecolor="white", markeredgecolor=INK, ms=5, label="target"),
    ]
    canvas.legend(
        handles=handles,
        loc="lower center",
        ncols=5,
        bbox_to_anchor=(0.5, 0.0),
        borderaxespad=0.15,
        handlelength=1.6,
        columnspacing=1.8,
        labelcolor=SOFT,
    )


def _caption(arrays: Arrays, drawing: _Drawing) -> str:
    n, of = len(drawing.source), arrays["edge_values"].shape[1]
    there = drawing.values != 0
    turned = int(((drawing.values > 0).any(0) & (drawing.values < 0).any(0)).sum())
    appear, vanish = int((~there[0] & there[2]).sum()), int((there[0] & ~there[2]).sum())
    which = f"The {count(n)} edges" if n > 1 else "The edge"
    words = [
        f"{which} whose effect varies most over the samples (of {count(of)} kept for this page), in the "
        "networks of three samples: regulators on the left, targets on the right, in the same places throughout. Width "
        "is the size of the coefficient, a dot's area the sum of the sizes at it, each on one scale for all three; "
        f"genes with {_HUB} edges or more are in bold.",
        f"Between the low and the high end {count(appear)} {'appears' if appear == 1 else 'appear'} and "
        f"{count(vanish)} {'vanishes' if vanish == 1 else 'vanish'}",
    ]
    words[-1] += (
        f"; {count(turned)} {'changes' if turned == 1 else 'change'} sign." if turned else "; none changes sign."
    )
    if "effective_samples" in arrays:
        words.append("A network with few effective samples behind it is a rough one.")
    words.append("An edge says that its ends move together given all other regulators, not that one causes the other.")
    return " ".join(words)
