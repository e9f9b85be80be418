"""The vessel layer of a whole run: low rank plus sparse with total variation, in the words of this study."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays, load_arrays
from kotowari.priors.space_time import separate_run
from kotowari.studies.angiography.config import Separation
from kotowari.studies.angiography.model.enhancer import VesselEnhancer

__all__ = ["Layers", "separate", "shown_to"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Layers:
    """A run parted: frames = background + vessels + rest.

    Parameters
    ----------
    time, space
        Factors of the background, shapes ``(time, rank)`` and ``(rank, height, width)``.
    vessel
        Shape ``(time, height, width)``, 0 or more, in units of attenuation.
    rest, noise
        Root mean square of what is left in the field, and the standard deviation of the noise that it was to be.
    gap
        Duality gap in parts of the objective: no other split is better by more.
    converged
        Whether the gap is as small as it was asked to be.
    trace
        Step, objective and gap, shape ``(look, 3)``.
    """

    time: FloatArray
    space: FloatArray
    vessel: FloatArray
    rest: float
    noise: float
    gap: float
    converged: bool
    trace: npt.NDArray[np.float64]

    def without_background(self, frames: FloatArray) -> FloatArray:
        """Return the frames of the run less their background, of both signs."""
        less: FloatArray = frames - np.tensordot(self.time, self.space, axes=1).astype(np.float32)
        return less

    def background_frame(self, number: int) -> FloatArray:
        """Return the background of one frame, shape ``(height, width)``."""
        return np.asarray(np.tensordot(self.time[number], self.space, axes=1), np.float32)

    def arrays(self) -> Arrays:
        """Return all parts by name, the vessels in half precision."""
        return {name: np.asarray(value) for name, value in vars(self).items()} | {
            "vessel": self.vessel.astype(np.float16)
        }

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of :meth:`arrays`."""
        told = load_arrays(path)
        numbers = {name: float(told[name]) for name in ("rest", "noise", "gap")}
        return cls(
            told["time"],
            told["space"],
            told["vessel"].astype(np.float32),
            converged=bool(told["converged"]),
            trace=told["trace"],
            **numbers,
        )


def separate(frames: FloatArray, field: npt.NDArray[np.bool_], options: Separation) -> Layers:
    """Part a run into background, vessels and rest, on one thread; see :func:`kotowari.priors.separate_run`.

    Parameters
    ----------
    frames
        Shape ``(time, height, width)``, attenuation.
    field
        Shape ``(height, width)``.
    options
        Weights, tolerance and step limit.
    """
    parted = separate_run(frames, field, **options.model_dump(), n_threads=1)
    rest = parted.residual[:, field]
    return Layers(
        np.asarray(parted.time, np.float32),
        np.asarray(parted.space, np.float32),
        np.asarray(parted.sparse, np.float32),
        float(np.sqrt(np.mean(np.square(rest), dtype=np.float64))),
        float(parted.noise),
        float(parted.gap),
        parted.status.name == "CONVERGED",
        np.array(parted.trace, np.float64),
    )


def shown_to(network: VesselEnhancer, frames: FloatArray, layers: Layers | None) -> FloatArray:
    """Return frames as a network is shown them: of a run less its background, of both signs; single ones as they are.

    Vessels over ribs and a beating heart are found better without these. A network that the prior taught finds the
    background itself, and is shown frames as they are.
    """
    return frames if layers is None or network.lesson == "prior" else layers.without_background(frames)
