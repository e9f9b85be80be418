"""What vessels are put into: frames of the user's own recordings, freed of the vessels they show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from kotowari.core.seeds import derive_seed
from kotowari.studies.angiography.contrast_free import find_contrast_free
from kotowari.studies.angiography.model.enhancer_removal import (
    connected_vessels,
    narrow_part,
    remove_pixels,
    suspected_vessels,
)

__all__ = ["Background", "find_backgrounds", "inner_field", "recent_frames"]

Frames = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_RUN = 8
_MOST_FRAMES = 12
_RIM = 3
_STRENGTH_QUANTILE = 0.99
_LEAST_STRENGTH = 0.02
_LOW, _HIGH = 0.25, 0.6
_LEAST_AREA = 250.0


@dataclass(frozen=True, eq=False)
class Background:
    """One moment of a recording.

    Parameters
    ----------
    frames
        Shape ``(n_frames, height, width)``, attenuation: this moment last, what came before it first.
    field
        Shape ``(height, width)``, True inside the field of view, less its rim.
    doubt
        Same shape: where the frame may show vessels of its own. Nothing where contrast has not come yet.
    empty
        The frames with ``doubt`` filled from its surroundings.
    strength
        Attenuation that the strongest narrow structures of the recording reach.
    group
        Whose it is.
    has_contrast
        Whether vessels are to be expected.
    """

    frames: Frames
    field: Mask
    doubt: Mask
    empty: Frames
    strength: float
    group: str
    has_contrast: bool

    def without(self, doubt: Mask, seed: int) -> "Background":
        """Return it freed of other pixels."""
        rng = np.random.default_rng(seed)
        empty = np.stack([remove_pixels(frame, doubt, self.field, rng) for frame in self.frames])
        return replace(self, doubt=doubt, empty=empty)

    def without_found(self, enhance: Callable[[Frames, Mask], Frames], seed: int) -> "Background":
        """Return it freed of what a network finds, by ``enhance(frames, field) -> (height, width)``."""
        if not self.has_contrast:
            return self
        found = connected_vessels(enhance(self.frames, self.field), low=_LOW, high=_HIGH, least_area=_LEAST_AREA)
        return self.without(found, seed)


def find_backgrounds(frames: Frames, field: Mask, group: str, n_frames: int, seed: int) -> list[Background]:
    """Choose moments of one recording and free them of vessels as far as a top-hat suspects any.

    Of a run that starts without contrast, half of the moments come from there and stay as they are: catheters, ribs and
    wires of these frames are known to be no vessels. Where no frame shows more than the first ones, contrast may have
    been there all along, and nothing is known.

    Parameters
    ----------
    frames
        Shape ``(time, height, width)``, attenuation.
    field
        Shape ``(height, width)``.
    group
        Whose it is.
    n_frames
        Frames of a moment.
    seed
        Of the grain that is filled in.
    """
    inner = inner_field(field)
    free = find_contrast_free(frames, field) if len(frames) >= _RUN else np.zeros(len(frames), np.bool_)
    if free.all():
        free[:] = False
    filled = _spread(np.flatnonzero(~free))
    strength = max(_strength(frames[k], inner) for k in filled)
    nothing = np.zeros(field.shape, np.bool_)
    moments = []
    for place in [*_spread(np.flatnonzero(free)), *filled]:
        recent = recent_frames(frames, place, n_frames)
        moment = Background(recent, inner, nothing, recent, strength, group, not free[place])
        if moment.has_contrast:
            moment = moment.without(suspected_vessels(recent[-1], inner), derive_seed(seed, "grain", place))
        moments.append(moment)
    return moments


def inner_field(field: Mask) -> Mask:
    """Return the field of view less three pixels, since its edge is a bright line to any filter."""
    return np.asarray(ndimage.binary_erosion(field, iterations=_RIM, border_value=1))


def recent_frames(frames: Frames, place: int, n_frames: int) -> Frames:
    """Return frame ``place`` and those before it, the first one repeated where there are none."""
    return frames[np.maximum(np.arange(place - n_frames + 1, place + 1), 0)]


def _spread(places: npt.NDArray[np.intp]) -> Sequence[int]:
    if len(places) <= _MOST_FRAMES:
        return [int(place) for place in places]
    chosen = places[np.linspace(0, len(places) - 1, _MOST_FRAMES).round().astype(np.intp)]
    return [int(place) for place in chosen]


def _strength(frame: Frames, field: Mask) -> float:
    inside = narrow_part(frame)[field] if field.any() else np.zeros(1, np.float32)
    return max(_LEAST_STRENGTH, float(np.quantile(inside, _STRENGTH_QUANTILE)))
