"""The arrays that the pictures are drawn from: axes, units, and what may be left out."""

from pathlib import Path

from kotowari.core.jobs import Arrays
from kotowari.report.plots.arrays import COMMON_AXES, COMMON_GAPS, ArrayAxes, read_arrays

__all__ = ["AXES", "GAPS", "KINDS", "MOST_SHOWN", "read_pictures"]

MOST_SHOWN = 3
KINDS = {"masks": "vessels of the masks", "implants": "vessels put into your frames"}


def _of_shown(k: int) -> ArrayAxes:
    """Return the arrays of one recording that is shown; pictures may be left out."""
    picture = (f"height {k}", f"width {k}")
    return {
        f"shown_{k}_frame": picture,  # attenuation, the frame that shows most vessel
        f"shown_{k}_background": picture,  # attenuation; of runs
        f"shown_{k}_layer": picture,  # attenuation of vessels, or the map where there is no run
        f"shown_{k}_map": picture,  # 0 to 1
        f"shown_{k}_maximum": picture,  # largest value of the layer over time
        f"shown_{k}_arrival": picture,  # seconds (or frames); below 0 where none
        f"shown_{k}_field": picture,
        f"shown_{k}_device": picture,
        f"shown_{k}_course": (f"frame {k}",),  # mean of the map in the field
        f"shown_{k}_share": (f"frame {k}",),  # of the field called vessel
        f"shown_{k}_times": (f"frame {k}",),
        f"shown_{k}_free": (f"frame {k}",),
    }


AXES: ArrayAxes = {
    **COMMON_AXES,
    "shown_words": ("shown",),
    "shown_by": (),
    "loss": ("fit", "epoch"),  # the last fit is the final network; NaN after its last epoch
    "implant_dice": (),
    "implant_ap": ("grade", "repeat"),
    **{
        name: axes
        for kind in KINDS
        for name, axes in {
            f"methods_{kind}_names": (f"method {kind}",),
            f"methods_{kind}_ap": (f"method {kind}", f"recording {kind}"),
            f"methods_{kind}_prevalence": (),
        }.items()
    },
    **{name: axes for k in range(MOST_SHOWN) for name, axes in _of_shown(k).items()},
}
GAPS = COMMON_GAPS | {"loss", *(f"methods_{kind}_ap" for kind in KINDS)}


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
