"""Everything that makes vessel maps of frames, ours and what a user would take instead, called alike."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotowari.core.runfolder import Role
from kotowari.studies.angiography.beds import Bed
from kotowari.studies.angiography.config import Separation
from kotowari.studies.angiography.filters import VesselFilter, all_filters
from kotowari.studies.angiography.layers import separate, shown_to
from kotowari.studies.angiography.model.enhancer import VesselEnhancer
from kotowari.studies.angiography.subtraction import all_subtractions
from kotowari.studies.angiography.threshold import VesselThreshold, run_threshold

__all__ = ["NETWORK", "OF_PRIOR", "RUN_LAYER", "TOP_HAT", "UNTRAINED", "Maps", "TunedFilters", "maps_of", "role_of"]

FloatFrames = npt.NDArray[np.float32]
TunedFilters = Mapping[str, tuple[tuple[float, ...], float]]

NETWORK = "network (kotowari)"
RUN_LAYER = "low rank + sparse + TV (kotowari)"
OF_PRIOR = "network taught by the prior alone (kotowari)"
UNTRAINED = "same network, untrained"
TOP_HAT = "top-hat"

_ROLES: dict[str, Role] = {
    NETWORK: "ours",
    RUN_LAYER: "ours",
    OF_PRIOR: "ours",
    UNTRAINED: "untrained",
    TOP_HAT: "trivial null",
}


@dataclass(frozen=True, eq=False)
class Maps:
    """What one method makes of the frames of a bed.

    Parameters
    ----------
    name
        Of the method.
    values
        Shape ``(time, height, width)``, larger for more vessel.
    threshold
        What is called vessel.
    """

    name: str
    values: FloatFrames
    threshold: VesselThreshold


def role_of(name: str) -> Role:
    """Return why a method stands in the table of scores."""
    return _ROLES.get(name, "comparator")


def maps_of(
    bed: Bed, options: Separation, networks: Mapping[str, Path], tuned: TunedFilters, *, is_run: bool
) -> Iterator[Maps]:
    """Yield the maps of every method in turn, so that those of one are held at a time.

    Parameters
    ----------
    bed
        Frames to enhance; nothing but frames, field and the frames without contrast is looked at.
    options
        Of the separation.
    networks
        Name of a method to the folder of its network, none of which saw this recording.
    tuned
        Scales and threshold of filters that were tuned on masks of other patients; empty where there are none.
    is_run
        Whether the frames follow each other; a background over time can only be taken from such.
    """
    layers = separate(bed.frames, bed.field, options) if is_run else None
    for name, folder in networks.items():
        enhancer = VesselEnhancer.load(folder)
        values = enhancer.enhance(shown_to(enhancer, bed.frames, layers), bed.field)
        cut = float(enhancer.threshold_)
        yield Maps(name, values, VesselThreshold(cut, cut, f"Threshold {cut:.3g}, from implants in training."))
    if layers is not None:
        yield Maps(RUN_LAYER, layers.vessel, run_threshold(layers.vessel, bed.field, bed.free))
    for own in all_filters():
        yield _filtered(own, bed, tuned)
    if is_run:
        for subtraction in all_subtractions(int(bed.free.sum()) or 1):
            values = subtraction.enhance(bed.frames, bed.field)
            yield Maps(subtraction.name, values, run_threshold(values, bed.field, bed.free))


def _filtered(own: VesselFilter, bed: Bed, tuned: TunedFilters) -> Maps:
    if own.name not in tuned:
        values = own.enhance(bed.frames, bed.field)
        return Maps(own.name, values, run_threshold(values, bed.field, bed.free))
    own.scales_, cut = tuned[own.name]
    rule = f"Threshold {cut:.3g}, tuned on the masks of other patients."
    return Maps(own.name, own.enhance(bed.frames, bed.field), VesselThreshold(cut, cut, rule))
