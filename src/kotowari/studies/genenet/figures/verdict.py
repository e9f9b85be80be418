"""The guard's verdict: what the networks say beyond the modulator and the genes."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import DASH, MINUS, decimals_for, fixed
from kotowari.report.plots.arrays import target_name
from kotowari.report.plots.null import metric_words
from kotowari.report.plots.style import AGAINST, INK, LINE, OTHER, OURS, SOFT, WIDE, Sketch, new_canvas, shorten

__all__ = ["verdict_picture"]

_ROLES = {"ours": OURS, "trivial null": AGAINST, "comparator": SOFT, "chance": OTHER, "untrained": OTHER}
_MOST = 18
FloatArray = npt.NDArray[np.float64]


def verdict_picture(arrays: Arrays) -> Sketch | None:
    """Draw the score of every row with its interval, ours first; nothing where no score is known."""
    value = arrays["guard_value"].astype(np.float64)
    roles = [str(role) for role in arrays["guard_role"]]
    place = {role: k for k, role in enumerate(_ROLES)}
    order = sorted(np.flatnonzero(np.isfinite(value)), key=lambda k: place.get(roles[k], len(place)))[:_MOST]
    if not order:
        return None
    rows = np.array(order)
    low, high = (arrays[name].astype(np.float64)[rows] for name in ("guard_low", "guard_high"))
    canvas = new_canvas((WIDE[0], 0.98 + 0.24 * max(len(rows), 3)))
    axes = canvas.subplots()
    names = [shorten(arrays["guard_names"][k], 34) for k in rows]
    shown = [roles[k] for k in rows]
    _intervals(axes, names, shown, (value[rows], low, high))
    axes.set_xlabel(f"{metric_words(str(arrays['guard_metric']))} on samples kept aside")
    response = shorten(target_name(arrays), 30)
    predicts = bool(arrays["guard_predicts"])
    axes.set_title(f"The networks predict {response}" if predicts else f"Not shown to predict {response}", pad=20)
    sentence = " ".join(str(arrays["guard_sentence"]).split()) if "guard_sentence" in arrays else ""
    caption = (
        f"{sentence}{' ' if sentence else ''}Each row is a model with its 95 % interval on the same folds; the dashed "
        "line is the best score that is not ours. A network is a function of its modulator, so whatever it says must "
        "be more than a curve of the modulator says, and more than the genes say without any network. The paired "
        "intervals decide, not whether two bars overlap."
    )
    title = f"Networks against the modulator alone: {'they predict' if predicts else 'not shown to predict'}"
    return Sketch("guard", canvas, title, caption, "result")


def _intervals(
    axes: Axes, names: list[str], roles: list[str], scores: tuple[FloatArray, FloatArray, FloatArray]
) -> None:
    value, low, high = scores
    rows = np.arange(len(value))
    colours = [_ROLES.get(role, SOFT) for role in roles]
    others = [v for v, role in zip(value, roles, strict=True) if role != "ours"]
    if others:
        axes.axvline(max(others), color=OTHER, lw=1, ls=(0, (3, 3)), zorder=0)
    axes.hlines(rows, low, high, color=colours, lw=1.8)
    axes.scatter(value, rows, s=34, c=colours, zorder=3)
    axes.set_yticks(rows, names, color=INK)
    for label, role in zip(axes.get_yticklabels(), roles, strict=True):
        label.set_fontweight("bold" if role == "ours" else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    reach = np.concatenate([value, low[np.isfinite(low)], high[np.isfinite(high)]])
    room = 0.05 * (float(np.ptp(reach)) or 1.0)
    axes.set(xlim=(float(reach.min()) - room, float(reach.max()) + room), ylim=(max(len(rows), 3) - 0.4, -0.6))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    for row in rows[1:]:
        axes.axhline(row - 0.5, color=LINE, lw=0.4, zorder=0)
    _figures(axes, value, low, high)
    for k, role in enumerate(dict.fromkeys(roles)):
        axes.annotate(
            f"● {role}",
            (0, 1),
            (70 * k, 6),
            xycoords="axes fraction",
            textcoords="offset points",
            color=_ROLES.get(role, SOFT),
            size=8,
        )


def _figures(axes: Axes, value: FloatArray, low: FloatArray, high: FloatArray) -> None:
    """Write every score and its interval in a column beside the rows."""
    known = np.isfinite(low) & np.isfinite(high)
    decimals = max(decimals_for(list(high[known] - low[known]), list(value)), 2)
    for row in range(len(value)):
        words = fixed(float(value[row]), decimals)
        ends = f"{fixed(float(low[row]), decimals)} to {fixed(float(high[row]), decimals)}" if known[row] else DASH
        axes.annotate(
            f"{words.rjust(decimals + 2 + words.startswith(MINUS))}   {ends}",
            (1.02, row),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            size=8,
            color=INK if known[row] else SOFT,
            annotation_clip=False,
        )
