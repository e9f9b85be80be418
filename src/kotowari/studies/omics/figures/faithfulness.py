"""Whether the score hangs on the named genes."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import significant
from kotowari.report.plots.style import AGAINST, HALF, INK, OURS, Sketch, new_canvas

__all__ = ["faithfulness_picture"]

_DASHED = (0, (3, 3))
FloatArray = npt.NDArray[np.float64]


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
