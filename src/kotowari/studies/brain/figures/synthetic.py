"""What the decoder draws along a clinical axis."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import significant
from kotowari.report.plots.style import Sketch, shorten
from kotowari.studies.brain.figures.arrays import unit_words
from kotowari.studies.brain.figures.panels import Brain
from kotowari.studies.brain.figures.sheet import Sheet, draw_sheet

__all__ = ["STAMP", "synthetic_picture"]

STAMP = "SYNTHETIC (decoded, no subject)"
_SHOWN = 0.15  # of the largest difference: what is nearer to 0 is not painted


def synthetic_picture(arrays: Arrays, *, place: int = 0) -> Sketch | None:
    """Draw the difference between decoded brains at high and at low values; nothing where there is none."""
    if place >= len(arrays["synthetic_targets"]):
        return None
    brain = Brain.of(arrays)
    values = np.where(brain.mask, brain.space.turned(arrays["synthetic_difference"][place]), 0)
    largest = float(np.abs(values).max())
    if not largest:
        return None
    target = shorten(arrays["synthetic_targets"][place], 30)
    unit = unit_words(arrays, "synthetic_units", place)
    low, high = (significant(float(arrays[f"synthetic_{end}"][place])) for end in ("low", "high"))
    title = f"decoded at {target} {high} less {low}{unit}"
    note = f"above {100 * _SHOWN:.0f} % of the largest; L is left"
    shown = np.abs(values) >= _SHOWN * largest
    sheet = Sheet(values, shown, title, note, "difference of tissue, in units of the volumes", STAMP)
    caption = (
        f"Brains that the decoder draws at {target} {high} and at {low}{unit}, one less the other, over the mean "
        "training brain. They are synthetic: no subject looks like this, and a difference shows what the model holds "
        "to be typical, not what the target does to a brain. Left is left; orange is more tissue, blue less."
    )
    return Sketch(f"synthetic-{place + 1}", draw_sheet(brain, sheet), f"Synthetic: along {target}", caption, "reason")
