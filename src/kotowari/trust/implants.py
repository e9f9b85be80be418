"""Effects planted into the user's own data: how large they must be before the pipeline finds them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.evidence import Check, Verdict
from kotowari.core.jobs import Arrays, map_jobs
from kotowari.core.progress import Advance
from kotowari.core.seeds import derive_seed

__all__ = ["DetectionLimit", "detection_limit", "run_implants"]

FloatArray = npt.NDArray[np.float64]
Plant = Callable[[float, np.random.Generator], tuple[Any, Any]]
Analyse = Callable[[Any, Any], float | bool]


@dataclass(frozen=True)
class DetectionLimit:
    """The smallest planted effect that is found often enough.

    Parameters
    ----------
    limit
        Smallest tried grade whose fitted frequency reaches ``power``; infinite when none does.
    power
        Wanted frequency of detection, 0 to 1.
    grades
        Tried sizes, rising, shape ``(grade,)``.
    frequency, fitted
        Share of the repeats that found the effect, as counted and as a rising curve.
    low, high
        Wilson interval of each counted frequency.
    n_repeats
        Repeats a grade.
    """

    limit: float
    power: float
    grades: FloatArray
    frequency: FloatArray
    fitted: FloatArray
    low: FloatArray
    high: FloatArray
    n_repeats: int

    @property
    def reached(self) -> bool:
        """Whether any tried grade reaches the power."""
        return math.isfinite(self.limit)

    def arrays(self) -> Arrays:
        """Return what a picture of the limit is drawn from, by name."""
        return {
            "implant_grades": np.asarray(self.grades),
            "implant_frequency": np.asarray(self.frequency),
            "implant_low": np.asarray(self.low),
            "implant_high": np.asarray(self.high),
            "implant_limit": np.array(self.limit),
        }

    def check(self, sentence: str) -> Check:
        """Return the limit as a test, passed where it was reached."""
        verdict = Verdict.PASS if self.reached else Verdict.FAIL
        return Check("detection limit", self.limit if self.reached else None, None, verdict, sentence)

    def sentence(self, data: str, effect: str) -> str:
        """Tell the limit in words.

        Parameters
        ----------
        data
            Such as ``"these 90 tumours"``.
        effect
            With ``{grade}`` where the size stands, such as ``"a module of 20 genes shifted by {grade} sd"``.

        Examples
        --------
        >>> limit = detection_limit([0.5, 0.8], [[False] * 10, [True] * 10])
        >>> limit.sentence("these 90 tumours", "a shift of {grade} sd")
        'With these 90 tumours a shift of >= 0.8 sd would have been found (power 0.8; found in 100 % of 10 repeats, 95 %
        interval 72 to 100 %).'
        """
        if not self.reached:
            largest = effect.format(grade=f"{self.grades[-1]:g}")
            return (
                f"With {data} no tried effect would have been found with power {self.power:g}: even {largest} was "
                f"found in {100 * self.frequency[-1]:.0f} % of {self.n_repeats} repeats; a negative result says little."
            )
        at = int(np.flatnonzero(self.grades == self.limit)[0])
        enough = effect.format(grade=f">= {self.limit:g}")
        return (
            f"With {data} {enough} would have been found (power {self.power:g}; found in "
            f"{100 * self.frequency[at]:.0f} % of {self.n_repeats} repeats, 95 % interval {100 * self.low[at]:.0f} to "
            f"{100 * self.high[at]:.0f} %)."
        )


def detection_limit(
    grades: npt.ArrayLike, found: npt.ArrayLike, *, power: float = 0.8, level: float = 0.95
) -> DetectionLimit:
    """Find the smallest grade whose frequency of detection reaches ``power``.

    Frequencies are fitted by a rising curve (isotonic least squares), so that one lucky repeat at a small grade does
    not set the limit. No value between the tried grades is interpolated.

    Parameters
    ----------
    grades
        Sizes of the effect, rising, shape ``(grade,)``.
    found
        Shape ``(grade, repeat)``, true where the effect was found.
    power
        Above 0 and below 1.
    level
        Of the Wilson intervals, above 0 and below 1.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22:209-212 (interval); Barlow et al. 1972 (isotonic regression).
    """
    sizes, hits = np.asarray(grades, dtype=np.float64), np.asarray(found)
    if hits.ndim != 2 or sizes.shape != hits.shape[:1] or not hits.size:
        raise ShapeError.mismatch("detection_limit", "found", (len(np.atleast_1d(sizes)), "repeat"), hits.shape)
    if hits.dtype != np.bool_:
        raise InputError(
            f"detection_limit: found must be boolean, got {hits.dtype}. Hold the scores against a threshold."
        )
    if (np.diff(sizes) <= 0).any():
        raise InputError("detection_limit: grades must rise.")
    if not 0 < power < 1:
        raise InputError(f"detection_limit: power must lie between 0 and 1, got {power}.")
    frequency = hits.mean(1)
    fitted: FloatArray = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(sizes, frequency)
    enough = np.flatnonzero(fitted >= power - 1e-12)
    low, high = _wilson(frequency, hits.shape[1], level)
    limit = float(sizes[enough[0]]) if len(enough) else math.inf
    return DetectionLimit(limit, power, sizes, frequency, fitted, low, high, hits.shape[1])


def run_implants(
    plant: Plant,
    analyse: Analyse,
    grades: Sequence[float],
    *,
    n_repeats: int,
    random_state: int,
    shards: Path,
    workers: int = 1,
    advance: Advance | None = None,
    cluster: Any = None,
) -> FloatArray:
    """Plant each grade several times, rerun the analysis, and return what it said.

    A repeat uses the same random stream at every grade, so that the same place is planted and only the size differs.

    Parameters
    ----------
    plant
        ``plant(grade, rng)`` returns data with an effect of that size, and the truth.
    analyse
        ``analyse(data, truth)`` reruns all that sees the data; returns a score, or whether the truth was found.
    grades
        Sizes of the effect; 0 gives the rate of false alarms.
    n_repeats
        1 or more; 20 and above make a useful interval.
    random_state
        Seed.
    shards
        Folder that keeps finished repeats, so that a stopped run goes on; one folder for one ``plant`` and ``analyse``.
    workers
        Processes.
    advance
        Called once a finished repeat.
    cluster
        None, or who reruns the analysis in place of processes of this machine, as in :func:`kotowari.core.map_jobs`.

    Returns
    -------
    array
        Shape ``(grade, repeat)``, float64; hold it against a threshold for :func:`detection_limit`.
    """
    seeds = [derive_seed(random_state, "implant", repeat) for repeat in range(n_repeats)]
    keys = [[f"grade-{grade:g}-seed-{seed}" for seed in seeds] for grade in grades]
    jobs = {
        key: (plant, analyse, float(grade), seed)
        for grade, row in zip(grades, keys, strict=True)
        for key, seed in zip(row, seeds, strict=True)
    }
    if len(jobs) < len(grades) * n_repeats:
        raise InputError("run_implants: two grades are equal to six digits. Make them distinct.")
    results = map_jobs(_one_implant, jobs, shards=shards, workers=workers, advance=advance or _silent, cluster=cluster)
    return np.array([[float(results[key]["score"]) for key in row] for row in keys])


def _one_implant(plant: Plant, analyse: Analyse, grade: float, seed: int) -> Arrays:
    data, truth = plant(grade, np.random.default_rng(seed))
    return {"score": np.array(float(analyse(data, truth)))}


def _silent(units: int = 1) -> None:
    del units


def _wilson(frequency: FloatArray, n: int, level: float) -> tuple[FloatArray, FloatArray]:
    z = float(norm.ppf((1 + level) / 2))
    centre = (frequency + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(frequency * (1 - frequency) / n + z**2 / (4 * n**2))
    return np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)
