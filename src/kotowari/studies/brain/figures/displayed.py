"""Which voxels of a map are shown, and in which words."""

from dataclasses import dataclass

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.studies.brain.figures.arrays import one_word
from kotowari.studies.brain.figures.panels import BoolArray, Brain, Volume, strongest_share

__all__ = ["TOP_SHARE", "DisplayedMap", "displayed_map", "map_unit", "method_words"]

TOP_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class DisplayedMap:
    """A map turned for display, and what of it is shown.

    Attributes
    ----------
    values, shown
        The map, and the voxels that are painted.
    note
        The threshold in a few words.
    sentence
        The threshold in a sentence.
    stamp
        Of the controls; "" for none.
    truth
        Where effects were planted; None where that is not known.
    """

    values: Volume
    shown: BoolArray
    note: str
    sentence: str
    stamp: str
    truth: BoolArray | None


def displayed_map(arrays: Arrays, brain: Brain, place: int) -> DisplayedMap:
    """Show what is family-wise significant where that was tested and found, else the strongest share."""
    values = np.where(brain.mask, brain.space.turned(arrays["map_values"][place]), 0)
    shown = strongest_share(values, brain.mask, TOP_SHARE)
    note = f"strongest {100 * TOP_SHARE:.0f} %"
    sentence = f"The strongest {100 * TOP_SHARE:.0f} % of the voxels are painted; no significance was computed."
    if "map_significant" in arrays:
        significant = brain.space.turned(arrays["map_significant"][place]).astype(bool) & brain.mask & (values != 0)
        if significant.any():
            shown, note = significant, "family-wise p ≤ 0.05"
            sentence = "Painted is what has a family-wise p of 0.05 or less."
        else:
            note = f"not significant; strongest {100 * TOP_SHARE:.0f} %"
            sentence = (
                f"Nothing has a family-wise p of 0.05 or less: the strongest {100 * TOP_SHARE:.0f} % are painted, and "
                "are no finding."
            )
    stamp = str(arrays["map_stamp"][place]) if "map_stamp" in arrays else ""
    truth = None
    if "map_truth" in arrays:
        truth = brain.space.turned(arrays["map_truth"][place]).astype(bool)
    return DisplayedMap(values, shown, note, sentence, " ".join(stamp.split()), truth)


def method_words(arrays: Arrays) -> str:
    """Return the method of the maps after a colon, or nothing."""
    method = one_word(arrays, "map_method")
    return f": {method}" if method else ""


def map_unit(arrays: Arrays, place: int) -> str:
    """Return the words for the colour bar of a map."""
    unit = str(arrays["map_units"][place]).strip() if "map_units" in arrays else ""
    return unit or "value of the map"
