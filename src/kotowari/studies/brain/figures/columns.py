"""Figures written beside the rows of a chart."""

from collections.abc import Iterable

from matplotlib.axes import Axes

__all__ = ["write_cells"]


def write_cells(axes: Axes, place: float, cells: Iterable[tuple[float, str, str]]) -> None:
    """Write words right of the axes at one row: how many points away they end, what they say, in which colour."""
    for x, words, colour in cells:
        axes.annotate(
            words,
            (1, place),
            (x, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
            size=8,
            color=colour,
            annotation_clip=False,
        )
