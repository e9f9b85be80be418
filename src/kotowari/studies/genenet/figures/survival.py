"""Survival of the samples that were given a high hazard, beside that of the others."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count
from kotowari.report.plots.arrays import target_name
from kotowari.report.plots.style import AGAINST, OURS, SOFT, Sketch, new_canvas, shorten

__all__ = ["kaplan_meier", "survival_picture"]

_SIZE = (7.2, 3.6)
_PLACES = 6
_CLEAR = 14  # points from the axis, since the first number stands on it
_NAMES = ("lower half of predicted hazards", "upper half")
FloatArray = npt.NDArray[np.float64]
Half = tuple[FloatArray, npt.NDArray[np.bool_]]


def survival_picture(arrays: Arrays) -> Sketch | None:
    """Draw Kaplan-Meier curves of both halves of the predicted hazards; nothing where all are equal."""
    time, seen = arrays["survival_time"].astype(np.float64), arrays["survival_event"] > 0
    high = arrays["survival_score"].astype(np.float64) > 0
    if not high.any() or high.all():
        return None
    halves = [(time[rows], seen[rows]) for rows in (~high, high)]
    canvas = new_canvas(_SIZE)
    curves, table = canvas.subplots(2, 1, height_ratios=[5, 1], sharex=True)
    _curves(curves, halves)
    _at_risk(table, halves)
    words = shorten(target_name(arrays), 40)
    curves.set_title(f"{words[:1].upper()}{words[1:]}, samples kept aside")
    table.set_xlabel("time, in units of the annotations")
    early = [int(own.sum()) for _, own in halves]
    caption = (
        f"{count(len(time))} samples, {count(int(seen.sum()))} events: {count(early[1])} in the upper half of the "
        f"predicted hazards and {count(early[0])} in the lower. Each sample was given its hazard by a model that "
        "never saw it, and was put into a half among the samples of its own fold. The curves are the share that is "
        "free of the event, by Kaplan and Meier; a tick is a sample whose observation ended. The models of the folds "
        "share most of their samples, so a log-rank p of these two curves would not hold: it is not given, and the "
        "refits on permuted responses judge instead."
    )
    return Sketch("survival", canvas, "Survival by predicted hazard", caption, "result")


def kaplan_meier(time: FloatArray, seen: npt.NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    r"""Return the times of events, and the share free of the event from each on, :math:`\prod (1 - d_k / n_k)`.

    Parameters
    ----------
    time, seen
        Time of the event or of the end of observation, and whether the event was seen, shape ``(sample,)``.

    Source: Kaplan and Meier 1958, J. Am. Stat. Assoc. 53:457-481.

    Examples
    --------
    >>> places, share = kaplan_meier(np.array([1.0, 2.0, 3.0]), np.array([True, False, True]))
    >>> places.tolist(), share.round(2).tolist()
    ([1.0, 3.0], [0.67, 0.0])
    """
    places, n_events = np.unique(time[seen], return_counts=True)
    n_at_risk = (time >= places[:, None]).sum(1)
    share: FloatArray = np.cumprod(1 - n_events / n_at_risk)
    return places, share


def _curves(axes: Axes, halves: list[Half]) -> None:
    for (time, seen), name, colour in zip(halves, _NAMES, (OURS, AGAINST), strict=True):
        places, share = kaplan_meier(time, seen)
        x, y = np.append(0.0, places), np.append(1.0, share)
        axes.step(np.append(x, time.max()), np.append(y, y[-1]), where="post", color=colour, lw=1.8, label=name)
        ended = time[~seen]
        height = y[np.searchsorted(x, ended, side="right") - 1]
        axes.plot(ended, height, ls="", marker="|", ms=6, mew=0.9, color=colour)
    axes.set(ylim=(0, 1.03), ylabel="share without the event")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, borderaxespad=0)  # above, clear of any curve


def _at_risk(axes: Axes, halves: list[Half]) -> None:
    """Write how many samples of each half are still observed, under the ticks of the time axis."""
    last = max(float(time.max()) for time, _ in halves)
    axes.set_xlim(0, 1.02 * last)
    axes.xaxis.set_major_locator(MaxNLocator(_PLACES))
    places = [place for place in axes.get_xticks() if 0 <= place <= last]
    for row, ((time, _), colour) in enumerate(zip(halves, (OURS, AGAINST), strict=True)):
        for place in places:
            axes.text(place, row, count(int((time >= place).sum())), ha="center", va="center", size=8, color=colour)
    axes.set(ylim=(1.6, -0.6))
    axes.set_yticks([0.5], ["observed"], color=SOFT)
    axes.tick_params(axis="y", length=0, pad=_CLEAR)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
