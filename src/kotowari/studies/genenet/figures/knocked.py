"""What the score loses without the edges that are said to matter."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, p_value, significant
from kotowari.report.plots.null import draw_null
from kotowari.report.plots.style import HALF, Sketch, new_canvas

__all__ = ["knock_out_picture"]

_LEVEL = 0.05


def knock_out_picture(arrays: Arrays) -> Sketch | None:
    """Draw the loss of score without the top edges beside that without random ones; nothing where either is absent."""
    random, drop = arrays["knock_random"].astype(np.float64), float(arrays["knock_drop"])
    random = random[np.isfinite(random)]
    if not len(random) or not np.isfinite(drop):
        return None
    n = int(arrays["knock_n"]) if "knock_n" in arrays else 0
    top = f"the {count(n)} top edges" if n > 1 else "the top edge" if n else "the top edges"
    p = (1 + int((random >= drop).sum())) / (1 + len(random))
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    draw_null(axes, random, drop, names=("random edges", top.removeprefix("the ")), unit="random set")
    axes.set_xlabel(f"score lost{axes.get_xlabel()}")
    axes.set_title(f"p = {p_value(p)} from {count(len(random))} random sets")
    verdict = (
        "The score hangs on these edges more than on others of equal norm."
        if p <= _LEVEL
        else "Other edges of equal norm cost as much often enough, so the prediction does not hang on the named edges."
    )
    caption = (
        f"In samples kept aside {top} were set to their training mean, and the score fell by {significant(drop, 2)}. "
        f"The same was done with {count(len(random))} random sets of edges of equal norm: p = {p_value(p)}. {verdict}"
    )
    return Sketch("knock-out", canvas, f"Without {top}", caption, "trust")
