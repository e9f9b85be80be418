"""What the autoencoder gives back of a brain, as means over a group."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import significant
from kotowari.report.plots.style import INK, OTHER, SEQUENTIAL, SOFT, WIDE, Sketch, new_canvas, shorten
from kotowari.studies.brain.figures.arrays import numbers, one_word
from kotowari.studies.brain.figures.panels import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    TISSUE,
    Brain,
    Volume,
    add_panel,
    coordinate,
    draw_plane,
    draw_template,
    mark_sides,
)
from kotowari.studies.brain.figures.roles import role_colour
from kotowari.studies.brain.figures.sheet import peak, planes_through

__all__ = ["reconstruction_picture"]

_LEFT, _RIGHT, _HEAD, _GAP, _FOOT, _SCALES = 0.72, 0.08, 0.12, 0.05, 0.2, 0.5
_BARS = 1.9  # inches for the errors of the models
_FAR = 2.5  # times the median error: a longer bar is cut, so that the others can be told apart
_N_AXIAL = 3
_MOST = 6


def reconstruction_picture(arrays: Arrays) -> Sketch:
    """Draw mean training brain, mean reconstruction and mean absolute error, and the error beside other models'."""
    brain = Brain.of(arrays)
    turned = [
        np.where(brain.mask, brain.space.turned(arrays[f"reconstruction_{name}"]), 0) for name in ("mean", "error")
    ]
    whose = one_word(arrays, "reconstruction_of", "training subjects")
    has_bars = {"reconstruction_names", "reconstruction_role", "reconstruction_mae"} <= arrays.keys()
    n_bars = min(len(arrays["reconstruction_names"]), _MOST) if has_bars else 0
    canvas = _canvas(arrays, brain, turned, n_bars)
    words = ""
    if n_bars:
        mae = arrays["reconstruction_mae"].astype(np.float64)
        others = [f"{shorten(arrays['reconstruction_names'][k], 30)} {significant(mae[k])}" for k in range(n_bars)]
        words = f" Mean absolute error in the mask: {', '.join(others)}."
    caption = (
        f"Mean training brain, mean reconstruction of {whose}, and the mean absolute error at each voxel: means over "
        f"groups, no single subject.{words} Only an error below the mean brain's shows that something of the single "
        "brain came through. Left is left."
    )
    return Sketch("reconstruction", canvas, "What the network gives back of a brain", caption, "trust")


def _canvas(arrays: Arrays, brain: Brain, turned: list[Volume], n_bars: int) -> Canvas:
    mean, error = turned
    planes = [(AXIAL, index) for index in planes_through(brain, np.zeros_like(error), _N_AXIAL)]
    x, y, _ = peak(error, np.zeros_like(brain.mask), brain.mask)
    planes += [(CORONAL, y), (SAGITTAL, x)]
    widths = [brain.width(brain.sides(axis)[0]) for axis, _ in planes]
    tall = max(brain.width(brain.sides(axis)[1]) for axis, _ in planes)
    right = _RIGHT + (_BARS if n_bars else 0.0)
    room = WIDE[1] - _HEAD - _FOOT - _SCALES - 2 * _GAP
    scale = min((WIDE[0] - _LEFT - right - _GAP * len(planes)) / sum(widths), room / (3 * tall))
    canvas = new_canvas((WIDE[0], _HEAD + 3 * tall * scale + 2 * _GAP + _FOOT + _SCALES), constrained=False)
    down = canvas.get_size_inches()[1]
    tissue = Normalize(0, brain.brightest)
    errors = Normalize(0, float(np.percentile(error[brain.mask], 99.5)) or 1.0)
    left = _LEFT
    for (axis, index), width in zip(planes, widths, strict=True):
        height = brain.width(brain.sides(axis)[1]) * scale
        for row, volume in enumerate((None, mean, error)):
            top = _HEAD + row * (tall * scale + _GAP) + (tall * scale - height) / 2
            axes = add_panel(canvas, (left, top, width * scale, height))
            draw_template(axes, brain, axis, index)
            if volume is not None:
                _over(axes, brain, (axis, index), volume, errors if row == 2 else tissue, is_error=row == 2)
            mark_sides(axes, axis, size=7)
        base = 1 - (_HEAD + 3 * tall * scale + 2 * _GAP + 0.02) / down
        words = coordinate(axis, float(brain.space.places(axis)[index]))
        canvas.text((left + width * scale / 2) / WIDE[0], base, words, ha="center", va="top", size=8, color=SOFT)
        left += width * scale + _GAP
    for row, words in enumerate(("mean\ntraining\nbrain", "mean\nrecon-\nstruction", "mean\nabsolute\nerror")):
        base = 1 - (_HEAD + (row + 0.5) * tall * scale + row * _GAP) / down
        canvas.text(0.08 / WIDE[0], base, words, va="center", size=8, weight="bold", linespacing=1.25)
    top = _HEAD + 3 * tall * scale + 2 * _GAP + _FOOT
    _bar(canvas, (_LEFT + 0.1, top + 0.08), tissue, TISSUE, "tissue, in units of the volumes")
    _bar(canvas, (_LEFT + 2.4, top + 0.08), errors, SEQUENTIAL, "mean absolute error, same units")
    if n_bars:
        _models(canvas, arrays, n_bars, top + _SCALES)
    return canvas


def _over(axes: Axes, brain: Brain, plane: tuple[int, int], volume: Volume, norm: Normalize, *, is_error: bool) -> None:
    axis, index = plane
    inside = np.take(brain.mask, index, axis=axis)
    cut = np.where(inside, np.take(volume, index, axis=axis), np.nan if is_error else 0)
    draw_plane(
        axes,
        brain,
        axis,
        cut if is_error else np.pad(cut, 1),
        SEQUENTIAL if is_error else TISSUE,
        norm,
        smooth=not is_error,
    )


def _bar(canvas: Canvas, place: tuple[float, float], norm: Normalize, colours: object, words: str) -> None:
    axes = add_panel(canvas, (*place, 1.9, 0.1))
    axes.set_axis_on()
    high = float(norm.vmax or 1.0)
    axes.imshow(np.linspace(0, high, 256)[None], extent=(0, high, 0, 1), aspect="auto", cmap=colours, norm=norm)  # type: ignore[arg-type]
    axes.set_xticks([0, high / 2, high], ["0", significant(high / 2, 2), significant(high, 2)])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(visible=True, color=OTHER, linewidth=0.5)
    axes.tick_params(length=2, pad=1.5, labelsize=7.5)
    axes.set_xlabel(words, size=8, labelpad=1.5)


def _models(canvas: Canvas, arrays: Arrays, n: int, down: float) -> None:
    """Draw the error of each model as a bar under its name, and a line at the mean brain's where it is among them."""
    across = canvas.get_size_inches()[0]
    height = min(0.42 * n, down - 0.85)
    axes = canvas.add_axes(
        (1 - (_BARS - 0.12) / across, 1 - (0.4 + height) / down, (_BARS - 0.3) / across, height / down)
    )
    n_all = len(arrays["reconstruction_mae"])
    mae = arrays["reconstruction_mae"].astype(np.float64)[:n]
    low, high = (numbers(arrays, f"reconstruction_{end}", n_all)[:n] for end in ("low", "high"))
    near = mae <= _FAR * np.median(mae)
    end = 1.12 * float(np.nanmax([*mae[near], *high[near], 0.0])) or 1.0
    rows = np.arange(n)
    colours = [role_colour(str(role)) for role in arrays["reconstruction_role"][:n]]
    axes.barh(rows, np.minimum(mae, end), height=0.42, color=colours)
    axes.hlines(rows[near], low[near], high[near], color=INK, lw=1.2)
    for row, value in enumerate(mae):
        name = shorten(arrays["reconstruction_names"][row], 20)
        axes.text(0, row - 0.27, f"{name}  {significant(float(value))}", va="bottom", size=8)
        if name == "mean brain":
            axes.vlines(np.full(n, value), rows - 0.3, rows + 0.3, color=SOFT, lw=1.2, ls=(0, (2, 1.5)))
        if not near[row]:
            axes.plot([0.93 * end, 0.96 * end], [row + 0.3, row - 0.3], color="white", lw=3)  # the bar is cut
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set(xlim=(0, end), ylim=(n - 0.6, -0.75))
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.set_xlabel("mean absolute error\nin the mask")
