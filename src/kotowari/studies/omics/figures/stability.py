"""Whether genes would be found again, an effect could have been found, and the score hangs on the genes."""

import math

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed, significant
from kotowari.studies.omics.figures.style import AGAINST, HALF, INK, OTHER, OURS, Sketch, new_canvas

__all__ = ["faithfulness_picture", "implants_picture", "stability_picture"]

_GOOD, _MIDDLING = 0.75, 0.4
_POWER = 0.8
_DASHED = (0, (3, 3))
FloatArray = npt.NDArray[np.float64]


def stability_picture(arrays: Arrays) -> Sketch | None:
    """Draw how often each gene is selected, against a random choice; nothing where no selection was made."""
    frequency = arrays["frequency"].astype(np.float64)
    if not (np.isfinite(frequency).all() and frequency.any()):
        return None
    n, size = len(frequency), float(frequency.sum())
    shown = int(np.clip(3 * size, 10, n))
    found = np.sort(frequency)[::-1][:shown]
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    rank = np.arange(1, shown + 1)
    axes.plot(
        [0.5, size + 0.5, size + 0.5], [1, 1, 0], color=OTHER, lw=1.2, ls=(0, (1, 1.5)), label="always the same genes"
    )
    axes.fill_between(rank, found, step="mid", color=OURS, alpha=0.12, lw=0)
    axes.step(rank, found, where="mid", color=OURS, lw=1.8, label="these bootstraps")
    by_chance = _random_frequencies(arrays, n, size)[:shown]
    axes.step(rank, by_chance, where="mid", color=AGAINST, lw=1.4, ls=_DASHED, label="random choice")
    axes.legend(loc="upper right", borderaxespad=0.2)
    axes.set(xlim=(0.5, shown + 0.5), ylim=(0, 1.03), xlabel="genes, most often selected first", ylabel="selected in")
    axes.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
    words, title = "", "How often genes are selected again"
    if "stability" in arrays and np.isfinite(arrays["stability"][0]):
        index, low, high = (float(value) for value in arrays["stability"])
        axes.set_title(f"Nogueira index {fixed(index, 2)} ({fixed(low, 2)} to {fixed(high, 2)})")
        words = f" The Nogueira index is {fixed(index, 2)} (1: always the same genes, 0: chance): {_judged(index)}"
    often = int((frequency >= 0.5).sum())
    caption = (
        f"Selection of {size:.0f} of {count(n)} genes, repeated on bootstraps of the patients: {count(often)} genes "
        f"come in half of them or more. The nearer the curve is to the dotted step, the firmer the list.{words}"
    )
    return Sketch("stability", canvas, title, caption, "trust")


def implants_picture(arrays: Arrays) -> Sketch | None:
    """Draw how often planted effects are found, by their size; nothing where none was planted."""
    grades, found, low, high = (
        arrays[f"implant_{name}"].astype(np.float64) for name in ("grades", "frequency", "low", "high")
    )
    if not len(grades):
        return None
    limit = float(arrays["implant_limit"])
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    axes.axhline(_POWER, color=OTHER, lw=1, ls=_DASHED)
    axes.vlines(grades, low, high, color=OURS, lw=1.4, clip_on=False)
    axes.plot(grades, found, "o-", color=OURS, lw=1.2, ms=5, clip_on=False)
    room = 0.08 * (float(np.ptp(grades)) or 1.0)
    axes.set(xlim=(grades.min() - room, grades.max() + room), ylim=(0, 1.03))
    axes.set(xlabel="planted shift (standard deviations of a gene)", ylabel="found in")
    axes.set_yticks([0, 0.5, _POWER, 1], ["0", "50", f"{100 * _POWER:.0f}", "100 %"])
    axes.set_xticks(grades, [f"{grade:g}" for grade in grades])
    if len(grades) > 7:
        axes.tick_params(axis="x", labelrotation=90)
    words = "The bars are 95 % Wilson intervals: long ones mean few repeats."
    if math.isfinite(limit):
        axes.axvspan(limit, grades.max() + room, color=OURS, alpha=0.07, lw=0)
        axes.axvline(limit, color=AGAINST, lw=6, alpha=0.35)
        title = f"Found reliably from {limit:g} sd on"
        words += (
            f" Effects of {limit:g} sd or more would have been found with a power of {_POWER:g}; weaker ones may be "
            "there unseen."
        )
    else:
        title = f"Not reliably found up to {grades.max():g} sd"
        words += f" No tried effect reaches a power of {_POWER:g}, so a negative result of this run says little."
    axes.set_title(title)
    caption = f"Modules of genes were shifted in the user's own table and the analysis was repeated. {words}"
    return Sketch("implants", canvas, "What could have been found", caption, "trust")


def faithfulness_picture(arrays: Arrays) -> Sketch:
    """Draw how the score falls and rises when genes are taken away and given back."""
    share = 100 * arrays["fractions"].astype(np.float64)
    curves = {name: arrays[name].astype(np.float64) for name in ("deletion", "insertion")}
    random = {name: arrays[f"random_{name}"].astype(np.float64) for name in curves if f"random_{name}" in arrays}
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    axes.fill_between(share, curves["deletion"], curves["insertion"], color=INK, alpha=0.05, lw=0)
    for (name, curve), colour in zip(curves.items(), (AGAINST, OURS), strict=True):
        if name in random:
            axes.plot(share, random[name], color=colour, lw=1.1, ls=_DASHED, alpha=0.8)
        axes.plot(share, curve, color=colour, lw=1.9)
    axes.margins(x=0.01, y=0.16)
    _label(axes, share, curves)
    axes.set(xlabel="genes changed, strongest first (%)", ylabel="mean score")
    gap = _gap(share, curves)
    words, title = f"The area between the curves is {significant(gap)}", f"Area {significant(gap)}"
    if len(random) == 2:
        plain = _gap(share, random)
        title += f", random orders (dashed) {significant(plain, 2)}"
        words += (
            f", against {significant(plain, 2)} for random orders (dashed): the score hangs on the named genes more "
            "than on others."
            if gap > plain
            else f", no more than the {significant(plain, 2)} of random orders (dashed): the named genes matter no "
            "more than others, so do not trust their order."
        )
    else:
        words += "; without random orders beside it, it says little."
    axes.set_title(title)
    caption = (
        "On samples kept aside, genes are replaced by their training mean, the strongest first (deletion), and given "
        f"back to an empty sample in the same order (insertion). {words}"
    )
    return Sketch("faithfulness", canvas, "Whether the score hangs on the named genes", caption, "trust")


def _random_frequencies(arrays: Arrays, n: int, size: float) -> FloatArray:
    r"""Return sorted frequencies to expect if every selection drew its genes at random.

    With M selections known, quantile :math:`1 - (i - 1/2)/n` of the binomial distribution of M draws at
    :math:`\bar k / n`; else its mean for every gene.
    """
    share = size / n
    m = int(arrays["n_selections"]) if "n_selections" in arrays else 0
    if m < 1:
        return np.full(n, share)
    chosen = np.array([math.comb(m, j) * share**j * (1 - share) ** (m - j) for j in range(m + 1)])
    levels = 1 - (np.arange(n) + 0.5) / n
    places = np.minimum(np.searchsorted(np.cumsum(chosen), levels), m)
    frequencies: FloatArray = places / m
    return frequencies


def _judged(index: float) -> str:
    if index >= _GOOD:
        return "good, the same genes come again."
    if index >= _MIDDLING:
        return "middling, so read only the genes that are selected often."
    return "poor. Other patients would give another list; read regions and pathways rather than single genes."


def _label(axes: Axes, share: FloatArray, curves: dict[str, FloatArray]) -> None:
    """Name each curve at its end, on the side away from the other one."""
    above = curves["insertion"][-1] >= curves["deletion"][-1]
    for name, colour, up in (("insertion", OURS, above), ("deletion", AGAINST, not above)):
        axes.annotate(
            name,
            (float(share[-1]), float(curves[name][-1])),
            (0, 5 if up else -5),
            textcoords="offset points",
            ha="right",
            va="bottom" if up else "top",
            color=colour,
            weight="bold",
        )


def _gap(share: FloatArray, curves: dict[str, FloatArray]) -> float:
    return float(np.trapezoid(curves["insertion"] - curves["deletion"], share / 100))
