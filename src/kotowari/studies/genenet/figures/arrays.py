"""The arrays that the pictures are drawn from, and the names of edges and axes on them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.core.jobs import Arrays
from kotowari.report.plots.arrays import COMMON_AXES, COMMON_GAPS, ArrayAxes, read_arrays
from kotowari.report.plots.style import shorten

__all__ = ["ARROW", "AXES", "GAPS", "column", "edge_name", "edge_names", "modulator_name", "read_pictures"]

ARROW = " → "

# coefficients are in sd of the target for one sd of the regulator, changes of effect in sd of the target
AXES: ArrayAxes = {
    **COMMON_AXES,
    "regulators": ("regulator",),
    "targets": ("target",),
    "samples": ("sample",),
    "modulator": ("sample",),
    "modulator_name": (),
    "effective_samples": ("sample",),
    "edge_regulator": ("edge",),
    "edge_target": ("edge",),
    "edge_values": ("sample", "edge"),
    "edge_change": ("edge",),
    "edge_p": ("edge",),
    "edge_frequency": ("edge",),
    "shown_samples": (3,),
    "course_places": ("place",),
    "course_edges": ("course",),
    "course_low": ("course", "place"),
    "course_value": ("course", "place"),
    "course_high": ("course", "place"),
    "hub_names": ("hub",),
    "hub_out": ("hub", 3),
    "target_models": ("model",),
    "target_scores": ("model", "scored"),
    "guard_names": ("score",),
    "guard_role": ("score",),
    "guard_value": ("score",),
    "guard_low": ("score",),
    "guard_high": ("score",),
    "guard_metric": (),
    "guard_predicts": (),
    "guard_sentence": (),
    "contribution_names": ("top",),
    "contribution_mean": ("top",),
    "contribution_importance": ("top",),
    "contribution_p": ("top",),
    "contribution_samples": ("sample", "top"),
    "response_name": (),
    "row_samples": ("row",),
    "survival_time": ("row",),
    "survival_event": ("row",),
    "survival_score": ("row",),
    "knock_drop": (),
    "knock_random": ("set",),
    "knock_n": (),
    "frequency": ("candidate",),
}
GAPS = COMMON_GAPS | {
    "edge_p",
    "edge_frequency",
    "course_low",
    "course_high",
    "target_scores",
    "guard_value",
    "guard_low",
    "guard_high",
    "contribution_p",
    "frequency",
    "knock_drop",
}
_COUNTED_IN = {
    "edge_regulator": "regulators",
    "edge_target": "targets",
    "shown_samples": "samples",
    "course_edges": "edge_regulator",
    "row_samples": "samples",
}


def read_pictures(path: Path) -> Arrays:
    """Read ``pictures.npz``; a file that is not there holds no arrays.

    Raises
    ------
    InputError
        When the file is damaged, holds a position that does not exist, or values that are not finite.
    ShapeError
        When two arrays do not fit each other.
    """
    arrays = read_arrays(path, AXES, gaps=GAPS)
    for name, counted in _COUNTED_IN.items():
        if name in arrays and counted in arrays and arrays[name].size:
            low, high, n = int(arrays[name].min()), int(arrays[name].max()), len(arrays[counted])
            if low < 0 or high >= n:
                raise InputError(
                    f"{path}: {name} holds the position {low if low < 0 else high}, but there are {n} in {counted}. "
                    "Run the stage that writes it again."
                )
    if "response_name" in arrays:
        arrays["target"] = arrays["response_name"]  # what the shared pictures call it
    return arrays


def edge_names(arrays: Arrays, edges: npt.NDArray[np.intp], limit: int = 12) -> list[str]:
    """Return the names of edges, with at most ``limit`` signs a gene."""
    ends = arrays["regulators"][arrays["edge_regulator"][edges]], arrays["targets"][arrays["edge_target"][edges]]
    return [edge_name(regulator, target, limit) for regulator, target in zip(*ends, strict=True)]


def edge_name(regulator: object, target: object, limit: int = 12) -> str:
    """Return the name of an edge on one line.

    Examples
    --------
    >>> edge_name("ZEB1", "CDH1")
    'ZEB1 → CDH1'
    """
    return ARROW.join(shorten(gene, limit, keep_end=True) for gene in (regulator, target))


def modulator_name(arrays: Arrays, limit: int = 30) -> str:
    """Return the name of the axis along which networks change."""
    return shorten(arrays["modulator_name"], limit) if "modulator_name" in arrays else "modulator"


def column(arrays: Arrays, name: str, n: int) -> npt.NDArray[np.float64]:
    """Return an array that may be absent; NaN where it is."""
    return arrays[name].astype(np.float64) if name in arrays else np.full(n, np.nan)
