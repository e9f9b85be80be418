"""What chance alone would give: our score on each target beside those with permuted targets."""

import numpy as np
from matplotlib.lines import Line2D

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, p_value
from kotowari.report.plots.null import draw_null, metric_words
from kotowari.report.plots.style import HALF, SOFT, WIDE, Sketch, new_canvas, shorten
from kotowari.studies.brain.figures.arrays import MOST_TARGETS, numbers
from kotowari.studies.brain.figures.panels import RED

__all__ = ["chance_picture"]

_LEVEL = 0.05


def chance_picture(arrays: Arrays) -> Sketch | None:
    """Draw the null distribution of every target with the observed score; nothing where no target was tested."""
    known = [
        k
        for k in range(len(arrays["tested_targets"]))
        if np.isfinite(arrays["tested_observed"][k]) and arrays["tested_null"].shape[1]
    ][:MOST_TARGETS]
    if not known:
        return None
    n_columns = 2 if len(known) == 4 else len(known)
    n_rows = -(-len(known) // n_columns)
    canvas = new_canvas(HALF if n_columns == 1 else (WIDE[0], 2.4 * n_rows + 0.4))
    panels = canvas.subplots(n_rows, n_columns, squeeze=False).ravel()
    n = len(arrays["tested_targets"])
    thresholds, family = (numbers(arrays, f"tested_{name}", n) for name in ("threshold", "p_family"))
    for axes, k in zip(panels, known, strict=False):
        null, observed = arrays["tested_null"][k].astype(np.float64), float(arrays["tested_observed"][k])
        draw_null(axes, null, observed, names=("permuted target", "observed"), unit="permutation")
        axes.set_xlabel(metric_words(str(arrays["tested_metric"][k])) + axes.get_xlabel())
        words = f"p = {p_value(float(arrays['tested_p'][k]))}"
        if np.isfinite(family[k]):
            words += f", family-wise {p_value(float(family[k]))}"
        axes.set_title(shorten(arrays["tested_targets"][k], 24), pad=17)
        axes.annotate(words, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", size=7.5, color=SOFT)
        if axes is not panels[0]:
            axes.set_ylabel("")
        if np.isfinite(thresholds[k]):
            axes.vlines(thresholds[k], 0, 0.75 * axes.get_ylim()[1], color=RED, lw=1.3, ls=(0, (4, 2)))
    if np.isfinite(thresholds[known]).any():
        line = Line2D([], [], color=RED, lw=1.3, ls=(0, (4, 2)), label="family-wise limit (max-T, 5 %)")
        canvas.legend(handles=[line], loc="outside lower right", borderaxespad=0.2)
    decisive = family if np.isfinite(family[known]).all() else arrays["tested_p"].astype(np.float64)
    found = [shorten(arrays["tested_targets"][k], 30) for k in known if decisive[k] <= _LEVEL]
    verdict = f"{_listed(found)} lie{'s' if len(found) == 1 else ''} beyond it" if found else "No target lies beyond it"
    model = f" of {shorten(arrays['tested_models'][known[0]], 40)}" if "tested_models" in arrays else ""
    caption = (
        f"The score{model} (blue) beside {count(arrays['tested_null'].shape[1])} refits on permuted targets. The "
        f"family-wise p counts every target and model that was tried (max-T), and its limit is 0.05: {verdict}."
    )
    return Sketch("permutation-null", canvas, "Against permuted targets", caption, "trust")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
