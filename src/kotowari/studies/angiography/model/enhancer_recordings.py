"""What a vessel enhancer is given to learn from, checked at the door."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.angiography.attenuation import XrayRun

__all__ = ["Recording", "checked_field", "checked_frames", "recordings"]

Frames = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_SMALLEST_SIDE = 32


class Recording(NamedTuple):
    """Frames ``(time, height, width)`` in attenuation, their field of view ``(height, width)``, and whose they are."""

    frames: Frames
    field: Mask
    group: str


def recordings(
    runs: Sequence[XrayRun | npt.ArrayLike], fields: Sequence[npt.ArrayLike | None] | None, groups: Any
) -> list[Recording]:
    """Return runs and single frames alike as recordings.

    Parameters
    ----------
    runs
        Each an :class:`XrayRun`, an array ``(time, height, width)``, or one frame ``(height, width)``.
    fields
        One a run, True inside the field of view; None for that of the run, or for everything.
    groups
        Owner of each run, such as the patient; None makes every run its own.

    Raises
    ------
    DesignError
        When there is nothing to learn from.
    ShapeError, InputError
        When a frame, a field or the list of owners does not fit; the sentence names the run.
    """
    if len(runs) == 0:
        raise DesignError("VesselEnhancer: there is no run and no frame to learn from.")
    if fields is not None and len(fields) != len(runs):
        raise ShapeError.mismatch("VesselEnhancer", "fields", (len(runs),), (len(fields),))
    owners = [str(number) for number in range(len(runs))] if groups is None else [str(name) for name in groups]
    if len(owners) != len(runs):
        raise ShapeError.mismatch("VesselEnhancer", "groups", (len(runs),), (len(owners),))
    found = []
    for number, run in enumerate(runs):
        name = run.name if isinstance(run, XrayRun) else f"run {number}"
        frames = checked_frames(run.frames if isinstance(run, XrayRun) else run, name)
        given = None if fields is None else fields[number]
        if given is None and isinstance(run, XrayRun):
            given = run.field
        found.append(Recording(frames, checked_field(given, frames.shape, name), owners[number]))
    return found


def checked_frames(frames: npt.ArrayLike, name: str) -> Frames:
    """Return frames as float32 ``(time, height, width)``; a single frame becomes a run of one."""
    values = np.asarray(frames, np.float32)
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or len(values) == 0:
        raise ShapeError.mismatch(name, "frames", ("time", "height", "width"), values.shape)
    if min(values.shape[1:]) < _SMALLEST_SIDE:
        raise ShapeError(f"{name}: frames must have {_SMALLEST_SIDE} pixels a side or more, got {values.shape[1:]}.")
    if not np.isfinite(values).all():
        raise InputError(f"{name}: some pixels are not finite. Replace NaN and infinity first.")
    return values


def checked_field(field: npt.ArrayLike | None, shape: tuple[int, ...], name: str) -> Mask:
    """Return a field of view as bool ``(height, width)``; everything for None."""
    if field is None:
        return np.ones(shape[-2:], np.bool_)
    mask = np.asarray(field, np.bool_)
    if mask.shape != shape[-2:]:
        raise ShapeError.mismatch(name, "field", shape[-2:], mask.shape)
    if not mask.any():
        raise InputError(f"{name}: the field of view is empty. Pass a field, or check the pixel values.")
    return mask
