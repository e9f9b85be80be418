"""Whether a simulated run is as hard as life: what filters, subtraction and robust PCA reach on it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import gaussian_filter, grey_opening
from skimage.filters import frangi
from skimage.morphology import disk

from kotowari.core.errors import DesignError
from kotowari.studies.angiography.phantom import RunPhantom
from kotowari.studies.angiography.ranking import ranking_scores
from kotowari.studies.angiography.robust_background import robust_pca_layers

__all__ = ["BEST_AP", "FILTER_AP", "RunLock", "phantom_lock"]

FloatImage = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

BEST_AP, FILTER_AP = (0.50, 0.80), (0.20, 0.70)
_FILTERS = ("top-hat", "Frangi")
_MOST_FRAMES = 6
_FEWEST_FREE = 3
_LEAST_FILLED = 0.5
_SMOOTHING = 1.0


@dataclass(frozen=True, eq=False)
class RunLock:
    """What named simple methods reach on a simulated run, beside what they reach in life.

    Attributes
    ----------
    methods
        One row a method: ``method`` (top-hat, Frangi, subtraction, robust PCA) and ``ap`` (average precision of the
        pixels in the field, mean over sampled frames with contrast).
    """

    methods: pd.DataFrame

    @property
    def best_ap(self) -> float:
        """Of all methods."""
        return float(self.methods["ap"].max())

    @property
    def filter_ap(self) -> float:
        """Of the better of the two that see one frame alone."""
        return float(self.methods.loc[self.methods["method"].isin(_FILTERS), "ap"].max())

    @property
    def faults(self) -> tuple[str, ...]:
        """Sentences on what is outside the range of life; empty when locked."""
        found = []
        for what, value, (low, high) in (
            ("The best simple method", self.best_ap, BEST_AP),
            ("The better single-frame filter", self.filter_ap, FILTER_AP),
        ):
            if not low <= value <= high:
                found.append(f"{what} has an average precision of {value:.2f}; life has {low:g} to {high:g}.")
        return tuple(found)

    @property
    def locked(self) -> bool:
        """Whether the phantom counts."""
        return not self.faults


def phantom_lock(phantom: RunPhantom) -> RunLock:
    """Hold a simulated run against life.

    The best of four methods must reach an average precision of 0.50 to 0.80, and the better of the two that see one
    frame alone 0.20 to 0.70: vessels of attenuation 0.3 to 0.5 put into a real coronary run at half its resolution give
    0.58 to 0.77 (subtraction) and 0.27 to 0.51 (top-hat, Frangi). No method is tuned: the top-hat's disc has the
    root's diameter, Frangi's scales are 1.5, 2 and 3 px, robust PCA has its usual weight.

    Raises
    ------
    DesignError
        When the run has no vessel in its later half, or fewer than 3 frames before contrast.
    """
    filled = phantom.mask.sum((1, 2))
    free = int(np.argmax(filled > 0)) if filled.any() else 0
    late = np.flatnonzero(filled >= _LEAST_FILLED * filled.max()) if filled.any() else np.empty(0, dtype=np.int64)
    if not len(late) or free < _FEWEST_FREE:
        raise DesignError(
            f"phantom_lock: needs {_FEWEST_FREE} frames before contrast and vessels after them, got {free} and "
            f"{len(late)} frames. Simulate a longer run, with contrast."
        )
    chosen = late[np.unique(np.linspace(0, len(late) - 1, _MOST_FRAMES).round().astype(np.intp))]
    sparse = robust_pca_layers(phantom.frames, phantom.field)
    ground = phantom.frames[:free].mean(0)
    maps: dict[str, Callable[[int], FloatImage]] = {
        "top-hat": lambda number: _top_hat(phantom.frames[number], phantom.tree.root_radius),
        "Frangi": lambda number: frangi(phantom.frames[number], sigmas=(1.5, 2.0, 3.0), black_ridges=False),
        "subtraction": lambda number: gaussian_filter(phantom.frames[number] - ground, _SMOOTHING),
        "robust PCA": lambda number: gaussian_filter(sparse[number], _SMOOTHING),
    }
    rows = []
    for method, seen in maps.items():
        scores = [_average_precision(seen(int(number)), phantom.mask[number], phantom.field) for number in chosen]
        rows.append((method, float(np.mean(scores))))
    return RunLock(pd.DataFrame(rows, columns=["method", "ap"]))


def _top_hat(frame: FloatImage, radius: float) -> FloatImage:
    smooth = gaussian_filter(frame, _SMOOTHING)
    hat: FloatImage = smooth - grey_opening(smooth, footprint=disk(max(3, round(radius))))
    return hat


def _average_precision(seen: FloatImage, truth: BoolImage, field: BoolImage) -> float:
    return ranking_scores(seen[truth & field], seen[field & ~truth])[1]
