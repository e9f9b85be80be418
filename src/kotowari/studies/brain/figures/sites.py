"""Whether the site can still be told from the features, and whether the target can."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import fixed
from kotowari.report.plots.style import AGAINST, INK, LINE, OTHER, OURS, SOFT, WIDE, Sketch, new_canvas, shorten
from kotowari.studies.brain.figures.arrays import numbers, one_word

__all__ = ["sites_picture"]

_COLOURS = (OURS, AGAINST, "#5b9aa0", "#8b5d9e", "#b8a13a", OTHER)  # marks differ too, for every kind of colour vision
_MARKS = ("o", "^", "s", "D", "v", "x")
_MOST_STEPS = 4
FloatArray = npt.NDArray[np.float64]


def sites_picture(arrays: Arrays) -> Sketch | None:
    """Draw how well sites are told apart before and after each step, and what is kept; nothing without a step."""
    n = min(len(arrays["site_steps"]), _MOST_STEPS)
    if not n:
        return None
    steps = [shorten(name, 22) for name in arrays["site_steps"][:n]]
    told = [arrays[f"site_{end}"].astype(np.float64)[:n] for end in ("accuracy", "low", "high")]
    kept = [numbers(arrays, f"site_kept{end}", len(arrays["site_steps"]))[:n] for end in ("", "_low", "_high")]
    has_kept = bool(np.isfinite(kept[0]).any())
    chance = float(arrays["site_chance"])
    target = shorten(one_word(arrays, "site_kept_target", "the target"), 22)
    canvas = new_canvas((WIDE[0], 3.25 + 0.2 * n))
    upper, lower = canvas.subfigures(2, 1, squeeze=False, height_ratios=[0.75 + 0.2 * n, 2.5])[:, 0]
    panels = upper.subplots(1, 2 if has_kept else 1, sharey=True, squeeze=False)[0]
    _intervals(panels[0], told, steps, AGAINST)
    panels[0].axvline(chance, color=OTHER, lw=1, ls=(0, (3, 3)), zorder=0)
    panels[0].set(xlim=(0, 1.12), title="Site told from the features", xlabel="balanced accuracy; dashed: chance")
    panels[0].set_xticks([0, 0.25, 0.5, 0.75, 1])
    if has_kept:
        _intervals(panels[1], kept, steps, OURS)
        panels[1].margins(x=0.12)
        panels[1].axvline(0, color=OTHER, lw=1, ls=(0, (3, 3)), zorder=0)
        panels[1].set(title=f"Kept of {target}", xlabel="r on subjects kept aside")
    for k, axes in enumerate(lower.subplots(1, n, squeeze=False)[0]):
        _scatter(axes, arrays, k)
        axes.set_title(steps[k])
    handles, labels = lower.axes[0].get_legend_handles_labels()
    lower.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6), handletextpad=0.1)
    caption = _caption(told, kept if has_kept else None, chance, steps, target)
    return Sketch("sites", canvas, "What the features know of the site", caption, "trust")


def _intervals(axes: Axes, scores: list[FloatArray], names: list[str], colour: str) -> None:
    value, low, high = scores
    rows = np.arange(len(value))
    axes.hlines(rows, low, high, color=colour, lw=1.8)
    axes.scatter(value, rows, s=32, color=colour, zorder=3)
    axes.set_yticks(rows, names, color=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for row in rows:
        axes.annotate(
            fixed(float(value[row]), 2),
            (float(np.nanmax([value[row], high[row]])), row),
            (6, 0),
            textcoords="offset points",
            va="center",
            size=8,
        )


def _scatter(axes: Axes, arrays: Arrays, step: int) -> None:
    places, codes = arrays["site_axes"][step].astype(np.float64), arrays["site_codes"]
    names = [str(name) for name in arrays["site_names"]]
    for code, name in enumerate(names):
        look = min(code, len(_COLOURS) - 1)
        own = places[codes == code]
        axes.scatter(
            own[:, 0],
            own[:, 1],
            s=13,
            marker=_MARKS[look],
            color=_COLOURS[look],
            alpha=0.75,
            lw=0.8 if _MARKS[look] == "x" else 0,
            label=shorten(name, 18),
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("first axis", labelpad=2)
    if step == 0:
        axes.set_ylabel("second axis", labelpad=2)
    for side in axes.spines.values():
        side.set(visible=True, color=LINE)
    axes.tick_params(labelcolor=SOFT)


def _caption(
    told: list[FloatArray], kept: list[FloatArray] | None, chance: float, steps: list[str], target: str
) -> str:
    value, low, _ = told
    still = [steps[k] for k in range(len(steps)) if low[k] > chance]
    words = (
        "How well a classifier that never saw the subject tells the site from the features (1 is always, the dashed "
        f"line is guessing), and the first two principal axes of the features. {steps[0].capitalize()} the accuracy is "
        f"{fixed(float(value[0]), 2)}, {steps[-1]} {fixed(float(value[-1]), 2)}"
    )
    words += (
        f"; the site is still told above chance: {', '.join(still)}." if still else "; no interval is above chance."
    )
    if kept is not None:
        words += f" A step is worth it where the site is lost and r of {target} is kept."
    return words
