"""All genes at their pixels, coloured by how much they decide."""

import math

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure as Canvas
from matplotlib.image import AxesImage

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed, significant
from kotowari.report.plots.spread import spread
from kotowari.report.plots.style import AGAINST, INK, SEQUENTIAL, SOFT, WIDE, Sketch, bare, new_canvas, shorten

__all__ = ["gene_map_picture"]

_N_NAMED = 10
# inches
_LEFT, _WIDTH, _TALLEST, _BELOW, _ABOVE = 1.37, 4.46, 4.41, 0.59, 0.1
_GAP = 0.19  # inches between two names
_TOP_SHARE = 0.01
_MOST_DECIMALS = 6
_UNIT = "strength (score units)"


def gene_map_picture(arrays: Arrays) -> Sketch:
    """Draw the map of the genes with the strongest named at its sides."""
    strength, pixels = arrays["strength"].astype(np.float64), arrays["pixels"].astype(np.intp)
    image = np.full(tuple(arrays["shape"].tolist()), np.nan)
    order = np.argsort(strength, kind="stable")
    image[tuple(pixels[order].T)] = strength[order]  # the last one written to a pixel is its strongest gene
    tall = max(min(_TALLEST, _WIDTH * image.shape[0] / image.shape[1]), _GAP * _N_NAMED / 2)
    height = tall + _BELOW + _ABOVE
    canvas = new_canvas((WIDE[0], height), constrained=False)
    axes = canvas.add_axes((_LEFT / WIDE[0], _BELOW / height, _WIDTH / WIDE[0], tall / height))
    shown = axes.imshow(
        image, cmap=SEQUENTIAL, norm=PowerNorm(0.5, 0.0, float(strength.max()) or 1.0), interpolation="nearest"
    )
    bare(axes)
    _scale(canvas, shown, float(strength.max()))
    top = order[::-1][:_N_NAMED]
    _name(axes, [shorten(gene, 17) for gene in arrays["genes"][top]], pixels[top], image.shape)
    return Sketch("gene-map", canvas, "Where the decisive genes lie", _caption(strength, pixels), "reason")


def _scale(canvas: Canvas, shown: AxesImage, largest: float) -> None:
    """Put the colours below the map, as wide as its frame."""
    width, height = canvas.get_size_inches()
    box = (_LEFT / width, (_BELOW - 0.25) / height, _WIDTH / width, 0.09 / height)
    bar = canvas.colorbar(shown, cax=canvas.add_axes(box), orientation="horizontal")
    canvas.text((_LEFT - 0.1) / width, (_BELOW - 0.2) / height, _UNIT, ha="right", va="center", color=SOFT, size=8)
    decimals = max(0, 2 - math.floor(math.log10(largest))) if largest > 0 else 0
    ticks = [0.0, largest / 16, largest / 4, largest]
    exact = 0 < decimals < _MOST_DECIMALS
    bar.set_ticks(ticks, labels=[fixed(t, decimals) if exact and t else significant(t, 2) for t in ticks])
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2)


def _name(axes: Axes, names: list[str], pixels: npt.NDArray[np.intp], shape: tuple[int, ...]) -> None:
    """Write the names beside the map, half on each side, and lead a line from each to its pixel."""
    height, width = shape
    gap = _GAP / min(_TALLEST, _WIDTH * height / width)
    by_column = np.argsort(pixels[:, 1], kind="stable")
    half = (len(names) + 1) // 2
    for side, members in ((-1, by_column[:half]), (1, by_column[half:])):
        members = members[np.argsort(pixels[members, 0], kind="stable")]
        need = gap * (len(members) - 1)  # a flat map has less height than its names
        low, high = min(0.02, 0.5 - need / 2), max(0.98, 0.5 + need / 2)
        rows = spread(pixels[members, 0] / height, gap, low, high) * height
        edge = -0.5 if side < 0 else width - 0.5
        for k, row in zip(members, rows, strict=True):
            y, x = pixels[k]
            elbow, text = edge + side * 0.02 * width, edge + side * 0.05 * width
            axes.plot([x, elbow, text], [y, row, row], color=INK, lw=0.6, alpha=0.75, clip_on=False)
            axes.scatter([x], [y], s=36, facecolors="none", edgecolors=AGAINST, linewidths=1.3, clip_on=False)
            axes.text(
                edge + side * 0.06 * width,
                row,
                f"{names[k]}  {k + 1}" if side < 0 else f"{k + 1}  {names[k]}",
                ha="right" if side < 0 else "left",
                va="center",
                size=8.5,
            )
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _caption(strength: npt.NDArray[np.float64], pixels: npt.NDArray[np.intp]) -> str:
    n = len(strength)
    shared = n - len(np.unique(pixels, axis=0))
    top = max(1, round(_TOP_SHARE * n))
    total = float(strength.sum())
    held = float(np.sort(strength)[-top:].sum()) / total if total > 0 else 0.0
    crowd = f" Where genes share a pixel ({count(shared)} do), the strongest is shown." if shared else ""
    return (
        f"Each of the {count(n)} genes stands at its pixel; the darker, the more it moves the score (square-root "
        f"colour scale). The {min(_N_NAMED, n)} strongest are named with their rank.{crowd} Neighbours rise and fall "
        "together, so a dark patch is a group of genes that could stand in for each other, and a lone dark pixel "
        f"speaks for itself. The strongest {count(top)} {'gene holds' if top == 1 else 'genes hold'} "
        f"{100 * held:.0f} % of all strength; {100 * top / n:.0f} % would mean that no gene counts more than another."
    )
