"""The regions that a prediction hangs on, a row each."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import DASH, count, p_value, significant
from kotowari.report.plots.style import AGAINST, FAINT, INK, LINE, OTHER, OURS, SOFT, WIDE, Sketch, new_canvas, shorten
from kotowari.studies.brain.figures.arrays import names_in_order, numbers

__all__ = ["regions_picture"]

_N_SHOWN, _FEWEST_ROWS = 18, 4
_LEVEL, _OFTEN = 0.05, 0.5
FloatArray = npt.NDArray[np.float64]


def regions_picture(arrays: Arrays, *, place: int = 0) -> Sketch | None:
    """Draw the strongest regions of a target with sign, p and selection frequency; nothing where there is none."""
    targets = names_in_order(arrays["region_target"])
    if place >= len(targets):
        return None
    own = np.flatnonzero(arrays["region_target"] == targets[place])
    strength = arrays["region_strength"].astype(np.float64)
    top = own[np.argsort(-strength[own], kind="stable")][:_N_SHOWN]
    if not strength[top].any():
        return None
    n = len(strength)
    p, frequency = (numbers(arrays, f"region_{name}", n)[top] for name in ("p", "frequency"))
    has_frequency = bool(np.isfinite(frequency).any())
    canvas = new_canvas((WIDE[0], 0.8 + 0.215 * max(len(top), _FEWEST_ROWS)))
    panels = canvas.subplots(
        1, 2 if has_frequency else 1, width_ratios=[2.6, 1] if has_frequency else [1], squeeze=False
    )
    names = [shorten(name, 38, keep_end=True) for name in arrays["region_name"][top]]
    if "region_planted" in arrays:
        names = [f"{'◆ ' * bool(arrays['region_planted'][k])}{name}" for k, name in zip(top, names, strict=True)]
    _bars(panels[0, 0], names, strength[top], arrays["region_sign"][top])
    _p_values(panels[0, 0], p)
    unit = _unit(arrays, targets[place])
    panels[0, 0].set_xlabel(f"strength{f': {unit}' if unit else ''}")
    if has_frequency:
        _frequencies(panels[0, 1], frequency)
    for axes in panels[0]:
        axes.set_ylim(max(len(top), _FEWEST_ROWS) - 0.4, -0.6)
    target = shorten(targets[place], 30)
    caption = _caption(target, len(top), len(own), p, frequency)
    if "region_planted" in arrays:
        caption += " A diamond marks where an effect was planted."
    return Sketch(f"regions-{place + 1}", canvas, f"The strongest regions for {target}", caption, "reason")


def _bars(axes: Axes, names: list[str], strength: FloatArray, signs: npt.NDArray[np.number]) -> None:
    rows = np.arange(len(names))
    colours = [AGAINST if sign > 0 else OURS if sign < 0 else OTHER for sign in signs]
    axes.barh(rows, strength, height=0.66, color=colours)
    axes.set_yticks(rows, names, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(0, (float(strength.max()) or 1.0) * 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    for x, words, colour in ((0, "■ raises", AGAINST), (58, "■ lowers the prediction", OURS)):
        axes.annotate(words, (0, 1), (x, 4), xycoords="axes fraction", textcoords="offset points", size=8, color=colour)


def _p_values(axes: Axes, p: FloatArray) -> None:
    """Write p beside every bar, bold where it is 0.05 or less."""
    if not np.isfinite(p).any():
        return
    axes.annotate(
        "p, family-wise",
        (1, 1),
        (40, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        size=8,
        color=SOFT,
    )
    for row, value in enumerate(p):
        known, marked = np.isfinite(value), value <= _LEVEL
        axes.annotate(
            p_value(float(value)) if known else DASH,
            (1, row),
            (40, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
            size=8,
            weight="bold" if marked else "normal",
            color=INK if marked else SOFT,
            annotation_clip=False,
        )


def _frequencies(axes: Axes, frequency: FloatArray) -> None:
    rows = np.arange(len(frequency))
    axes.barh(rows, np.ones(len(rows)), height=0.66, color=FAINT)
    axes.hlines(rows, 0, np.nan_to_num(frequency), color=LINE, lw=1.4)
    often = frequency >= _OFTEN
    axes.scatter(frequency[often], rows[often], s=20, color=SOFT, clip_on=False, zorder=3)
    axes.scatter(
        frequency[~often], rows[~often], s=20, facecolor="white", edgecolor=SOFT, lw=1, clip_on=False, zorder=3
    )
    axes.axvline(_OFTEN, color=SOFT, lw=0.6, ls=(0, (3, 3)))
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
    axes.set_xlabel("of folds and seeds")
    axes.set_title("Selected in", weight="normal", size=8, color=SOFT, pad=4)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _unit(arrays: Arrays, target: str) -> str:
    if not {"map_targets", "map_units"} <= arrays.keys() or target not in arrays["map_targets"].tolist():
        return ""
    return str(arrays["map_units"][arrays["map_targets"].tolist().index(target)])


def _caption(target: str, n: int, n_all: int, p: FloatArray, frequency: FloatArray) -> str:
    words = [
        f"The {count(n)} strongest of {count(n_all)} regions for the prediction of {target}; orange where more tissue "
        "raises it, blue where it lowers it."
    ]
    if np.isfinite(p).any():
        marked = int((p <= _LEVEL).sum())
        words.append(
            f"{count(marked)} {'has' if marked == 1 else 'have'} a family-wise p of 0.05 or less against shuffled "
            "targets (bold)."
            if marked
            else f"None has a family-wise p of 0.05 or less (smallest {significant(float(np.nanmin(p)), 2)}): the "
            "order is a suggestion, not a finding."
        )
    else:
        words.append("No p was computed, so the order is a suggestion, not a finding.")
    if np.isfinite(frequency).any():
        often = int((frequency >= _OFTEN).sum())
        words.append(f"{count(often)} {'is' if often == 1 else 'are'} among the strongest in half of the fits or more.")
    return " ".join(words)
