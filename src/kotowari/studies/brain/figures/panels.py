"""Parts of pictures of the brain: planes in millimetres, a signed scale, marks of the sides, a stamp."""

import textwrap
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.figure import Figure as Canvas

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import MINUS, significant
from kotowari.report.plots.style import DIVERGING, INK, OTHER, SOFT
from kotowari.studies.brain.figures.orientation import DisplaySpace, display_space

__all__ = [
    "AXIAL",
    "CORONAL",
    "RED",
    "SAGITTAL",
    "Brain",
    "Scale",
    "add_panel",
    "coordinate",
    "draw_bar",
    "draw_outline",
    "draw_plane",
    "draw_template",
    "mark_sides",
    "print_stamp",
    "stamp_height",
    "strongest_share",
]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Volume = npt.NDArray[Any]

SAGITTAL, CORONAL, AXIAL = 0, 1, 2  # named by the axis they stand on
RED = "#b3261e"
TISSUE: Colormap = LinearSegmentedColormap.from_list("tissue", ["#ffffff", "#d5d7db", "#7f8590"])
_GAP = (0.91, 0.905, 0.885, 1.0)
_PALEST = 0.28  # where the scale of shown values begins, between neutral and darkest
_LETTERS = "xyz"
_STAMP_LETTERS = 92  # of bold type on one line of a wide canvas


@dataclass(frozen=True, eq=False)
class Brain:
    """The space of a run, its mask and its mean brain, turned for display.

    Attributes
    ----------
    space
        How volumes lie.
    mask, template
        Turned; the template is 0 outside of the mask, and None where there is none.
    """

    space: DisplaySpace
    mask: BoolArray
    template: Volume | None

    @classmethod
    def of(cls, arrays: Arrays) -> "Brain":
        """Read space, mask and template of a run."""
        mask = arrays["mask"].astype(bool)
        space = display_space(arrays["map_affine"], mask.shape)
        inside = space.turned(mask)
        template = np.where(inside, space.turned(arrays["template"]), 0) if "template" in arrays else None
        return cls(space, inside, template)

    @cached_property
    def brightest(self) -> float:
        """Value of the template that is drawn darkest."""
        return 1.0 if self.template is None else float(np.percentile(self.template[self.mask], 99)) or 1.0

    @cached_property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Where the mask begins and ends along each axis with a voxel around it, in mm."""
        ends = []
        for axis in range(3):
            inside = np.flatnonzero(self.mask.any(axis=tuple(other for other in range(3) if other != axis)))
            places, step = self.space.places(axis), self.space.step[axis]
            ends.append((float(places[inside[0]] - step), float(places[inside[-1]] + step)))
        return tuple(ends)

    def sides(self, axis: int) -> tuple[int, int]:
        """Return the axes that run to the right and up in a plane across ``axis``."""
        right, up = (other for other in range(3) if other != axis)
        return right, up

    def width(self, axis: int) -> float:
        """Return how many millimetres the brain fills along an axis."""
        low, high = self.bounds[axis]
        return high - low


@dataclass(frozen=True)
class Scale:
    """A signed scale, alike for both signs, that leaves values nearer to 0 than ``least`` grey.

    Attributes
    ----------
    bound
        Largest value, above 0.
    least
        Smallest shown value, 0 up to ``bound``.
    """

    bound: float
    least: float = 0.0

    @classmethod
    def of(cls, values: Volume, shown: BoolArray) -> "Scale":
        """Span the values that are shown."""
        sizes = np.abs(values[shown]).astype(np.float64)
        if not sizes.size or not sizes.max():
            return cls(1.0, 1.0)
        return cls(float(sizes.max()), min(float(sizes.min()), 0.98 * float(sizes.max())))

    @property
    def norm(self) -> Normalize:
        """From -bound to bound."""
        return Normalize(-self.bound, self.bound)

    @property
    def colours(self) -> Colormap:
        """Blue below, orange above 0, darker with size, grey between."""
        places = np.linspace(-1, 1, 511)
        start = self.least / self.bound
        depth = _PALEST + (1 - _PALEST) * np.clip((np.abs(places) - start) / max(1 - start, 1e-9), 0, 1)
        colours = DIVERGING(0.5 + 0.5 * np.sign(places) * depth)
        colours[np.abs(places) < start - 1 / 511] = _GAP
        return ListedColormap(colours)


def strongest_share(values: Volume, mask: BoolArray, share: float) -> BoolArray:
    """Mark the voxels of the mask that are farthest from 0: ``share`` of them and their equals, never a 0."""
    sizes = np.where(mask, np.abs(values), 0)
    marked: BoolArray = (sizes > 0) & (sizes >= np.quantile(sizes[mask], 1 - share))
    return marked


def add_panel(canvas: Canvas, place: tuple[float, float, float, float]) -> Axes:
    """Add axes without a frame at ``(left, top, width, height)`` inches from the upper left corner."""
    left, top, width, height = place
    across, down = canvas.get_size_inches()
    axes = canvas.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.set_axis_off()
    return axes


def draw_template(axes: Axes, brain: Brain, axis: int, index: int) -> None:
    """Draw the mean brain of a plane in grey on its silhouette, and set the limits to the brain."""
    body = _silhouette(np.take(brain.mask, index, axis=axis))
    draw_outline(axes, brain, axis, body, colour=OTHER, width=0.5, rounding=2.25)
    if brain.template is not None:
        plane = np.pad(np.take(brain.template, index, axis=axis), 1)  # the edge fades over a voxel, as elsewhere
        draw_plane(axes, brain, axis, np.where(plane > 0, plane, 0), TISSUE, Normalize(0, brain.brightest), smooth=True)
    _frame(axes, brain, axis)


def draw_plane(
    axes: Axes, brain: Brain, axis: int, plane: Volume, colours: Colormap, norm: Normalize, *, smooth: bool = False
) -> None:
    """Draw values of a plane, shape ``(right, up)`` or a voxel wider on every side; what is NaN is not painted."""
    axes.imshow(
        plane.T,
        extent=_extent(brain, axis, plane.shape),
        origin="lower",
        cmap=colours,
        norm=norm,
        interpolation="bilinear" if smooth else "nearest",
    )
    _frame(axes, brain, axis)


def draw_outline(
    axes: Axes,
    brain: Brain,
    axis: int,
    inside: BoolArray,
    *,
    colour: str = INK,
    width: float = 0.7,
    rounding: float = 0.75,
) -> None:
    """Draw the outline of what is true in a plane, shape ``(right, up)``, along the edges of its voxels.

    Corners are rounded over ``rounding`` voxels.
    """
    # each voxel as 4 x 4 points, so that the line runs along its edge
    fine = np.kron(np.pad(inside, 2), np.ones((4, 4)))
    n_points = 1 + 2 * round(2 * rounding)
    for along in (0, 1):
        fine = np.apply_along_axis(np.convolve, along, fine, np.ones(n_points) / n_points, mode="same")
    x, y = (
        brain.space.low[side] + brain.space.step[side] * ((np.arange(n) + 0.5) / 4 - 2.5)
        for side, n in zip(brain.sides(axis), fine.shape, strict=True)
    )
    if fine.max() > 0.5:
        axes.contour(x, y, fine.T, levels=[0.5], colors=[colour], linewidths=width)
    _frame(axes, brain, axis)


def mark_sides(axes: Axes, axis: int, *, size: float = 7.5) -> None:
    """Write which side is which: L and R in axial and coronal planes, P and A in sagittal ones."""
    for x, word, align in zip((0.01, 0.99), "PA" if axis == SAGITTAL else "LR", ("left", "right"), strict=True):
        axes.text(x, 0.01, word, transform=axes.transAxes, ha=align, va="bottom", size=size, color=SOFT, weight="bold")


def coordinate(axis: int, mm: float) -> str:
    """Return where a plane lies.

    Examples
    --------
    >>> coordinate(2, -12.0)
    'z = −12'
    """
    rounded = round(float(mm), 1)
    text = f"{abs(rounded):g}"
    return f"{_LETTERS[axis]} = {MINUS if rounded < 0 else ''}{text}"


def draw_bar(axes: Axes, scale: Scale, unit: str) -> None:
    """Draw a signed scale as a bar with its unit; the part that is not painted is grey."""
    axes.set_axis_on()
    axes.imshow(
        np.linspace(-scale.bound, scale.bound, 511)[None],
        extent=(-scale.bound, scale.bound, 0, 1),
        aspect="auto",
        cmap=scale.colours,
        norm=scale.norm,
    )
    ticks = [-scale.bound, 0.0, scale.bound]
    if 0.25 < scale.least / scale.bound < 0.8:
        ticks += [-scale.least, scale.least]
    axes.set_xticks(sorted(ticks), [significant(tick, 2) for tick in sorted(ticks)])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(visible=True, color=OTHER, linewidth=0.5)
    axes.tick_params(length=2, pad=1.5, labelsize=7.5)
    axes.set_xlabel(unit, size=8, labelpad=2)


def stamp_height(words: str) -> float:
    """Return how many inches :func:`print_stamp` takes of a wide canvas."""
    lines = _stamp_lines(words)
    return 0.155 * len(lines) + 0.25 if lines else 0.0


def print_stamp(canvas: Canvas, words: str) -> None:
    """Print a sentence in red across the top of a wide canvas."""
    lines = _stamp_lines(words)
    if not lines:
        return
    canvas.text(
        0.5,
        1 - (stamp_height(words) - 0.02) / 2 / canvas.get_size_inches()[1],
        "\n".join(lines),
        ha="center",
        va="center",
        color=RED,
        weight="bold",
        size=8.5,
        linespacing=1.2,
        bbox={"boxstyle": "square,pad=0.35", "facecolor": "#fdf1ef", "edgecolor": RED, "linewidth": 1.2},
    )


def _stamp_lines(words: str) -> list[str]:
    line = " ".join(words.split())
    n_lines = min(-(-len(line) // _STAMP_LETTERS), 3)
    return textwrap.wrap(line, max(len(line) // max(n_lines, 1) + 12, 20))[:3]


def _silhouette(inside: BoolArray) -> BoolArray:
    """Fill a plane of the mask: what has voxels of it on all four sides."""
    ways = [np.maximum.accumulate(inside, along) for along in (0, 1)]
    back = [np.flip(np.maximum.accumulate(np.flip(inside, along), along), along) for along in (0, 1)]
    filled: BoolArray = np.logical_and.reduce([*ways, *back])
    return filled


def _extent(brain: Brain, axis: int, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    ends = []
    for side, n in zip(brain.sides(axis), shape, strict=True):
        margin = (n - brain.space.shape[side]) / 2 * float(brain.space.step[side])
        low, high = brain.space.bounds(side)
        ends += [low - margin, high + margin]
    return ends[0], ends[1], ends[2], ends[3]


def _frame(axes: Axes, brain: Brain, axis: int) -> None:
    right, up = brain.sides(axis)
    axes.set(xlim=brain.bounds[right], ylim=brain.bounds[up], aspect="equal")
