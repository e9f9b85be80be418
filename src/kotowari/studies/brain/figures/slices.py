"""The map of a target in planes over the mean training brain."""

from kotowari.core.jobs import Arrays
from kotowari.report.plots.style import Sketch, shorten
from kotowari.studies.brain.figures.displayed import displayed_map, map_unit, method_words
from kotowari.studies.brain.figures.panels import Brain
from kotowari.studies.brain.figures.sheet import Sheet, draw_sheet

__all__ = ["slices_picture"]


def slices_picture(arrays: Arrays, *, place: int = 0) -> Sketch | None:
    """Draw eight axial planes through what is strongest, and a sagittal and a coronal one through the peak.

    Nothing where there is no such map, or it is 0 everywhere.

    Parameters
    ----------
    arrays
        Of the run.
    place
        Which map.
    """
    if place >= len(arrays["map_targets"]):
        return None
    brain = Brain.of(arrays)
    shown = displayed_map(arrays, brain, place)
    if not shown.shown.any():
        return None
    target = shorten(arrays["map_targets"][place], 40)
    title = f"{target}{method_words(arrays)}"
    note = f"{shown.note}; L is left"
    sheet = Sheet(shown.values, shown.shown, title, note, map_unit(arrays, place), shown.stamp, shown.truth)
    caption = (
        f"Where the prediction of {target} comes from, over the mean training brain; lines in the sagittal plane are "
        f"the axial ones. {shown.sentence} Left is left; orange raises, blue lowers the prediction."
        f"{' Black lines surround what was planted.' if shown.truth is not None else ''}"
        f"{' The red stamp comes from the controls: do not read places from this map.' if shown.stamp else ''}"
    )
    return Sketch(f"slices-{place + 1}", draw_sheet(brain, sheet), f"Where {target} is read from", caption, "reason")
