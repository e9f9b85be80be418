"""How strong an effect had to be to be found in the user's own data."""

import math

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.report.plots.style import AGAINST, HALF, OTHER, OURS, Sketch, new_canvas

__all__ = ["implants_picture"]

_POWER = 0.8


def implants_picture(
    arrays: Arrays,
    *,
    unit: str = "planted shift (standard deviations of a gene)",
    sign: str = "sd",
    factor: float = 1.0,
    planted: str = "Modules of genes were shifted",
    data: str = "table",
) -> Sketch | None:
    """Draw how often planted effects are found, by their size; nothing where none was planted.

    Parameters
    ----------
    arrays
        Holds ``implant_grades``, ``implant_frequency``, ``implant_low``, ``implant_high`` and ``implant_limit``.
    unit, sign
        Of the grades as they are shown: in words for the axis, and as it follows a number.
    factor
        From grades in the arrays to those shown, such as 100 for percent.
    planted, data
        What was done, and to which data of the user's own.
    """
    grades, found, low, high = (
        arrays[f"implant_{name}"].astype(np.float64) for name in ("grades", "frequency", "low", "high")
    )
    if not len(grades):
        return None
    grades, limit = factor * grades, factor * float(arrays["implant_limit"])
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    axes.axhline(_POWER, color=OTHER, lw=1, ls=(0, (3, 3)))
    axes.vlines(grades, low, high, color=OURS, lw=1.4, clip_on=False)
    axes.plot(grades, found, "o-", color=OURS, lw=1.2, ms=5, clip_on=False)
    room = 0.08 * (float(np.ptp(grades)) or 1.0)
    axes.set(xlim=(grades.min() - room, grades.max() + room), ylim=(0, 1.03))
    axes.set(xlabel=unit, ylabel="found in")
    axes.set_yticks([0, 0.5, _POWER, 1], ["0", "50", f"{100 * _POWER:.0f}", "100 %"])
    axes.set_xticks(grades, [f"{grade:g}" for grade in grades])
    if len(grades) > 7:
        axes.tick_params(axis="x", labelrotation=90)
    words = "The bars are 95 % Wilson intervals: long ones mean few repeats."
    if math.isfinite(limit):
        axes.axvspan(limit, grades.max() + room, color=OURS, alpha=0.07, lw=0)
        axes.axvline(limit, color=AGAINST, lw=6, alpha=0.35)
        title = f"Found reliably from {limit:g} {sign} on"
        words += (
            f" Effects of {limit:g} {sign} or more would have been found with a power of {_POWER:g}; weaker ones "
            "may be there unseen."
        )
    else:
        title = f"Not reliably found up to {grades.max():g} {sign}"
        words += f" No tried effect reaches a power of {_POWER:g}, so a negative result of this run says little."
    axes.set_title(title)
    caption = f"{planted} in the user's own {data} and the analysis was repeated. {words}"
    return Sketch("implants", canvas, "What could have been found", caption, "trust")
