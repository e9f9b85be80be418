"""Every model that was asked, on the same subjects: ours, untrained, trivial nulls, comparators."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import DASH, fixed
from kotowari.report.plots.null import metric_words
from kotowari.report.plots.style import INK, LINE, OTHER, SOFT, WIDE, Sketch, new_canvas, shorten
from kotowari.studies.brain.figures.arrays import names_in_order, numbers, one_word
from kotowari.studies.brain.figures.columns import write_cells
from kotowari.studies.brain.figures.panels import RED
from kotowari.studies.brain.figures.roles import in_order_of_role, name_roles, role_colour

__all__ = ["models_picture"]

_MOST = 15
_NEAR = 0.16  # of a row: how far the two scores of a model lie from its middle
FloatArray = npt.NDArray[np.float64]
Scores = list[FloatArray]  # value, low end, high end


def models_picture(arrays: Arrays, *, place: int = 0) -> Sketch | None:
    """Draw the scores of all models on one target with their intervals; nothing where no score is known."""
    targets = names_in_order(arrays["score_target"])
    if place >= len(targets):
        return None
    own = np.flatnonzero((arrays["score_target"] == targets[place]) & np.isfinite(arrays["score_value"]))
    own = own[in_order_of_role([str(arrays["score_role"][row]) for row in own])][:_MOST]
    if not len(own):
        return None
    n = len(arrays["score_value"])
    inside = [numbers(arrays, f"score_{end}", n)[own] for end in ("value", "low", "high")]
    outside = [numbers(arrays, f"score_external{end}", n)[own] for end in ("", "_low", "_high")]
    threshold = numbers(arrays, "score_threshold", n)[own]
    roles = [str(arrays["score_role"][row]) for row in own]
    has_outside = bool(np.isfinite(outside[0]).any())
    site = shorten(one_word(arrays, "external_site", "other site"), 16)
    canvas = new_canvas((WIDE[0], min(1.15 + 0.255 * max(len(own), 3), WIDE[1])))
    axes = canvas.subplots()
    axes.axvline(float(arrays["score_chance"][own[0]]), color=OTHER, lw=1, ls=(0, (3, 3)), zorder=0)
    colours = [role_colour(role) for role in roles]
    rows = np.arange(len(own), dtype=np.float64)
    lift = _NEAR if has_outside else 0.0
    axes.vlines(threshold, rows - 0.42, rows + 0.42, color=RED, lw=1.3, zorder=1)
    _dots(axes, rows - lift, inside, colours, filled=True)
    _dots(axes, rows + lift, outside, colours, filled=False)
    _names(axes, [shorten(arrays["score_model"][row], 40) for row in own], roles)
    _limits(axes, np.concatenate([*inside, *outside, threshold, arrays["score_chance"][own].astype(np.float64)]))
    _figures(axes, inside, outside[0] if has_outside else None, site)
    name_roles(axes, roles)
    _legend(canvas, site if has_outside else "", bool(np.isfinite(threshold).any()))
    metric = metric_words(str(arrays["score_metric"][own[0]]))
    axes.set_xlabel(f"{metric} of {shorten(targets[place], 30)}")
    caption = _caption(metric, site if has_outside else "", inside[0] > threshold, bool(np.isfinite(threshold).any()))
    title = f"{shorten(targets[place], 30)}: every model on the same subjects"
    return Sketch(f"models-{place + 1}", canvas, title, caption, "result")


def _dots(axes: Axes, rows: FloatArray, scores: Scores, colours: list[str], *, filled: bool) -> None:
    value, low, high = scores
    axes.hlines(rows, low, high, color=colours, lw=1.7 if filled else 0.9, zorder=2)
    axes.scatter(
        value, rows, s=30 if filled else 22, c=colours if filled else "white", edgecolors=colours, lw=1.1, zorder=3
    )


def _names(axes: Axes, names: list[str], roles: list[str]) -> None:
    rows = np.arange(len(names))
    axes.set_yticks(rows, names, color=INK)
    for label, role in zip(axes.get_yticklabels(), roles, strict=True):
        label.set_fontweight("bold" if role == "ours" else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for row in rows[1:]:
        new_role = roles[row] != roles[row - 1]
        axes.axhline(row - 0.5, color=OTHER if new_role else LINE, lw=0.8 if new_role else 0.4, zorder=0)
    axes.set_ylim(max(len(names), 3) - 0.4, -0.6)


def _limits(axes: Axes, seen: FloatArray) -> None:
    seen = seen[np.isfinite(seen)]
    room = 0.05 * (float(np.ptp(seen)) or 1.0)
    axes.set_xlim(float(seen.min()) - room, float(seen.max()) + room)
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _figures(axes: Axes, inside: Scores, outside: FloatArray | None, site: str) -> None:
    """Write scores and intervals in columns beside the rows."""
    if outside is not None:
        axes.annotate(
            shorten(site, 8),
            (1, 1),
            (150, 6),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            size=8,
            color=SOFT,
            annotation_clip=False,
        )
    for row, (value, low, high) in enumerate(zip(*inside, strict=True)):
        known = np.isfinite(low) and np.isfinite(high)
        ends = f"{fixed(low, 2)} to {fixed(high, 2)}" if known else DASH
        cells = [(30, fixed(value, 2), INK), (106, ends, SOFT)]
        if outside is not None:
            cells.append((150, fixed(float(outside[row]), 2), INK))
        write_cells(axes, float(row), cells)


def _legend(canvas: Canvas, site: str, has_threshold: bool) -> None:
    handles = [Line2D([], [], marker="o", ls="", color=SOFT, ms=5, label="out of fold")]
    if site:
        handles.append(Line2D([], [], marker="o", ls="", mfc="white", mec=SOFT, ms=4.5, label=site))
    handles.append(Line2D([], [], color=OTHER, lw=1, ls=(0, (3, 3)), label="chance"))
    if has_threshold:
        handles.append(Line2D([], [], color=RED, marker="|", ls="", ms=8, mew=1.4, label="max-T, 5 %"))
    canvas.legend(
        handles=handles,
        loc="outside upper center",
        ncols=len(handles),
        columnspacing=1.1,
        handletextpad=0.3,
        borderaxespad=0.2,
        labelcolor=SOFT,
    )


def _caption(metric: str, site: str, above: npt.NDArray[np.bool_], tested: bool) -> str:
    outside = f" (filled) and at {site} without a refit (open)" if site else ""
    words = (
        f"{metric} of every model on subjects kept aside{outside}, each with its 95 % interval, grouped by what it is; "
        "the dashed line is guessing. "
    )
    if tested:
        n = int(above.sum())
        words += (
            f"{n} of {len(above)} {'lies' if n == 1 else 'lie'} to the right of the red mark, above which the "
            "family-wise p over all targets and models is 0.05 or less. "
        )
    return words + "Whether ours is better than another is told by the paired gains, not by two intervals that overlap."
