"""How well cells are found by the number of images that were learned from."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, NullLocator

from kotowari.core.jobs import Arrays
from kotowari.report.plots.style import AGAINST, HALF, OTHER, OURS, SOFT, Sketch, new_canvas
from kotowari.studies.cytology.figures.arrays import kind_name

__all__ = ["curves_picture"]

_STYLE = ((OURS, "o"), (AGAINST, "s"), (SOFT, "^"))
BoolArray = npt.NDArray[np.bool_]


def curves_picture(arrays: Arrays, place: int) -> Sketch | None:
    """Draw F1 with intervals over slides by the number of images; nothing where one number alone was tried."""
    names = arrays["kind_names"]
    if place >= len(names):
        return None
    own = arrays["curve_kind"] == names[place]
    images = arrays["curve_images"].astype(np.float64)
    if len(np.unique(images[own & (images > 0)])) < 2:
        return None
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    models = list(dict.fromkeys(str(name) for name in arrays["curve_model"][own]))
    learning = [name for name in models if (images[own & (arrays["curve_model"] == name)] > 0).any()]
    for number, name in enumerate(learning):
        _curve(axes, arrays, own & (arrays["curve_model"] == name), name, _STYLE[number % len(_STYLE)])
    for name in models:
        if name not in learning:
            (row,) = np.flatnonzero(own & (arrays["curve_model"] == name))[:1]
            axes.axhline(
                float(arrays["curve_f1"][row]), color=OTHER, lw=1.2, ls=(0, (3, 3)), label=f"{name} (no learning)"
            )
    axes.set_xscale("log")
    ticks = sorted({int(n) for n in images[own & (images > 0)]})
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(ylim=(0, 1.02), xlabel="images learned from", ylabel="F1 at IoU 0.5")
    axes.legend(loc="lower right")
    against = str(arrays["curve_of"][own][0])
    caption = (
        f"F1 at IoU 0.5 against {against}, on the images of the first fold, by the number of images learned from: "
        "unlabelled ones for ours, masks for a supervised network. Bars are 95 % intervals over slides, bands reach "
        "from the lowest to the highest seed. All methods share the instance stage."
    )
    whose = kind_name(arrays, place)
    title = "What more images give" + (f" ({whose})" if whose else "")
    return Sketch(f"curves-{place + 1}", canvas, title, caption, "result")


def _curve(axes: Axes, arrays: Arrays, own: BoolArray, name: str, style: tuple[str, str]) -> None:
    rows = np.flatnonzero(own)
    rows = rows[np.argsort(arrays["curve_images"][rows], kind="stable")]
    x = arrays["curve_images"][rows].astype(np.float64)
    value, low, high, least, most = (
        arrays[f"curve_{part}"][rows].astype(np.float64) for part in ("f1", "low", "high", "least", "most")
    )
    colour, sign = style
    axes.fill_between(x, least, most, color=colour, alpha=0.15, lw=0)
    axes.vlines(x, low, high, color=colour, lw=1.2)
    axes.plot(x, value, color=colour, marker=sign, ms=4.5, lw=1.4, label=name)
