"""The arrays that the pictures are drawn from: axes, units, and what may be left out."""

from pathlib import Path

from kotowari.core.jobs import Arrays
from kotowari.report.plots.arrays import COMMON_AXES, COMMON_GAPS, ArrayAxes, read_arrays

__all__ = ["AXES", "GAPS", "MOST_KINDS", "PLACES", "kind_name", "read_pictures"]

MOST_KINDS = 2  # pictures of a kind of images are drawn for so many
PLACES = ("best", "median", "worst")


def _of_kind(k: int) -> ArrayAxes:
    """Return the arrays of one kind; every array may be left out."""
    shown = {
        name: axes
        for place in PLACES
        for name, axes in {
            f"overlay_{k}_{place}_image": (f"height {k} {place}", f"width {k} {place}", 3),  # uint8, as it is seen
            f"overlay_{k}_{place}_cells": (f"height {k} {place}", f"width {k} {place}", 3),  # the same with outlines
            f"overlay_{k}_{place}_map": (f"height {k} {place}", f"width {k} {place}"),  # foreground over its cut
        }.items()
    }
    return shown | {
        f"overlay_{k}_words": (3,),  # of the best, the median and the worst image
        f"overlay_{k}_by": (),  # by what they were chosen
        f"overlay_{k}_beside": (),  # whose outlines are drawn in orange
        f"counts_{k}_ours": (f"counted {k}",),  # cells an image
        f"counts_{k}_other": (f"counted {k}",),
        f"counts_{k}_beside": (),  # "the masks" or a method
        f"loss_{k}": (f"fit {k}", f"epoch {k}"),  # NaN after the last epoch
        f"published_{k}_loss": (f"published epoch {k}",),  # of the published recipe, on the first fold
        f"published_{k}_optimum": (),  # what a convex solver reaches on the first batch; NaN where unknown
        f"published_{k}_reached": (),  # what the network reached there; NaN where unknown
        f"areas_{k}": (f"cell {k}",),  # of all cells, in areas_unit
        f"areas_{k}_unit": (),
        f"blank_{k}_ours": (f"field {k}",),  # objects found on each blank field
        f"blank_{k}_otsu": (f"field {k}",),
        f"seen_{k}_ours": (f"seen {k}",),  # and in each image
        f"seen_{k}_otsu": (f"seen {k}",),
        f"placement_{k}_null": (f"shift {k}",),  # F1 against the masks of other images
        f"placement_{k}_observed": (),
        f"control_{k}_names": (f"control {k}",),
        f"control_{k}_maps": (f"control {k}", f"control height {k}", f"control width {k}"),  # each on its own scale
        f"control_{k}_rank": (f"control {k}",),  # rank correlation with the first; NaN for the first
        f"sensitivity_{k}": (f"factor {k}", f"factor {k}"),  # F1 by factor of the weight, and of that of variation
        f"sensitivity_{k}_factors": (f"factor {k}",),
        f"sensitivity_{k}_of": (),  # what F1 is held against
    }


AXES: ArrayAxes = {
    **COMMON_AXES,
    "kind_names": ("kind",),
    # Points of all curves, one after the other
    "curve_kind": ("point",),  # name
    "curve_model": ("point",),  # name
    "curve_images": ("point",),  # unlabelled images, or masks of a supervised network; 0 for what learns nothing
    "curve_f1": ("point",),
    "curve_low": ("point",),  # 95 % interval over slides; NaN where unknown
    "curve_high": ("point",),
    "curve_least": ("point",),  # of all seeds
    "curve_most": ("point",),
    "curve_of": ("point",),  # what F1 is held against
    "implant_unit": (),  # optional words
    **{name: axes for k in range(MOST_KINDS) for name, axes in _of_kind(k).items()},
}
GAPS = (
    COMMON_GAPS
    | {"curve_f1", "curve_low", "curve_high", "curve_least", "curve_most"}
    | {
        name
        for k in range(MOST_KINDS)
        for name in (
            f"loss_{k}",
            f"published_{k}_optimum",
            f"published_{k}_reached",
            f"control_{k}_rank",
            f"sensitivity_{k}",
            f"placement_{k}_observed",
        )
    }
)


def read_pictures(path: Path) -> Arrays:
    """Read ``pictures.npz`` of a run; a file that is not there holds no arrays.

    Raises
    ------
    InputError
        When the file is damaged, or an array holds values that are not finite where there must be none.
    ShapeError
        When two arrays do not fit each other.
    """
    return read_arrays(path, AXES, gaps=GAPS)


def kind_name(arrays: Arrays, k: int) -> str:
    """Return the name of a kind, for a title; empty where there is but one."""
    names = arrays["kind_names"]
    return str(names[k]) if len(names) > 1 else ""
