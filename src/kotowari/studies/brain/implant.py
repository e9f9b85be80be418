"""Tissue loss planted into the user's own volumes: how large it must be to be found there."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from kotowari.core.errors import DesignError, InputError, ShapeError

__all__ = ["BrainImplant", "PlantedLoss"]

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_EDGE_MM = 2.0


@dataclass(frozen=True, eq=False)
class PlantedLoss:
    """What was planted into real volumes.

    Attributes
    ----------
    score
        Shape ``(subject,)``, 0 to 1: whom it hits, and how hard.
    truth
        Shape of one volume: the voxels counted as planted.
    centres_mm
        Shape ``(blob, 3)``.
    """

    score: FloatArray
    truth: BoolArray
    centres_mm: FloatArray


@dataclass(frozen=True, eq=False)
class BrainImplant:
    r"""Graded local loss in the user's own volumes, as :func:`kotowari.trust.run_implants` plants it.

    .. math:: v'_i(x) = v_i(x)\,(1 - g\, s_i\, w(x))

    with the grade g, the score s of subject i from 0 to 1, and a ball w of grey matter with a logistic edge of 2 mm. It
    answers how much tissue must go with a score of this distribution, in a place of this size, for the pipeline to find
    it amid the variation of these very brains. It does not answer which real effects were missed.

    Parameters
    ----------
    volumes
        Shape ``(subject, x, y, z)``, finite; left as they were. Pass the subjects that the analysis uses, such as
        patients only.
    mask
        Shape ``(x, y, z)``: where blobs may lie.
    affine
        Shape ``(4, 4)``, from voxel of these volumes to mm.
    score
        Shape ``(subject,)``, finite and not constant; stretched to 0 to 1. None draws a uniform one at each call.
    permute
        Whether each call hands the score out anew. Left as it is, the score keeps whatever real effect it has, and the
        limit looks better than it is.
    n_blobs
        Balls planted at once, 1 or more.
    volume_cm3
        Volume of each within the mask, above 0.

    Raises
    ------
    ShapeError, InputError
        When an array does not fit or an option is out of range.
    """

    volumes: npt.NDArray[np.floating]
    mask: BoolArray
    affine: FloatArray
    score: FloatArray | None = None
    permute: bool = True
    n_blobs: int = 1
    volume_cm3: float = 2.0

    def __post_init__(self) -> None:
        if self.volumes.ndim != 4:
            raise ShapeError.mismatch("BrainImplant", "volumes", ("subject", "x", "y", "z"), self.volumes.shape)
        if self.mask.shape != self.volumes.shape[1:]:
            raise ShapeError.mismatch("BrainImplant", "mask", self.volumes.shape[1:], self.mask.shape)
        if np.shape(self.affine) != (4, 4):
            raise ShapeError.mismatch("BrainImplant", "affine", (4, 4), np.shape(self.affine))
        if self.n_blobs < 1 or not self.volume_cm3 > 0:
            raise InputError(
                f"BrainImplant: needs n_blobs >= 1 and volume_cm3 > 0, got {self.n_blobs} and {self.volume_cm3}."
            )
        if self.score is not None:
            self._require_score(self.score)

    def __call__(self, grade: float, rng: np.random.Generator) -> tuple[Volume, PlantedLoss]:
        """Return float32 volumes with the loss, and what was planted.

        Parameters
        ----------
        grade
            Share of the tissue lost at the highest score, 0 to 1; 0 plants nothing for the same score and places.
        rng
            One state of it gives the same score and the same places at every grade.

        Raises
        ------
        DesignError
            When the mask holds less than the blobs need, or no two blobs fit apart.
        """
        if not 0 <= grade <= 1:
            raise InputError(f"BrainImplant: grade must lie between 0 and 1, got {grade}.")
        score = self._scores(rng)
        weight, truth, centres = self._blobs(rng)
        volumes = self.volumes.astype(np.float32)
        touched = weight > 0
        volumes[:, touched] *= (1 - grade * score[:, None] * weight[touched]).astype(np.float32)
        return volumes, PlantedLoss(score, truth, centres)

    def _require_score(self, score: FloatArray) -> None:
        if np.shape(score) != self.volumes.shape[:1]:
            raise ShapeError.mismatch("BrainImplant", "score", self.volumes.shape[:1], np.shape(score))
        if not np.isfinite(score).all():
            raise InputError(
                f"BrainImplant: {int((~np.isfinite(score)).sum())} scores are not finite. Leave those subjects out."
            )
        if np.ptp(score) == 0:
            raise InputError("BrainImplant: the score is the same for everyone; nothing can be tied to it.")

    def _scores(self, rng: np.random.Generator) -> FloatArray:
        drawn = rng.random(len(self.volumes)) if self.score is None else np.asarray(self.score, dtype=np.float64)
        if self.score is not None and self.permute:
            drawn = rng.permutation(drawn)
        scaled: FloatArray = (drawn - drawn.min()) / np.ptp(drawn)
        return scaled

    def _blobs(self, rng: np.random.Generator) -> tuple[FloatArray, BoolArray, FloatArray]:
        """Draw balls around voxels of the mask, each far from the others' voxels."""
        places = np.argwhere(self.mask) @ self.affine[:3, :3].T + self.affine[:3, 3]
        size = max(1, round(self.volume_cm3 * 1000 / abs(float(np.linalg.det(self.affine[:3, :3])))))
        free = np.ones(len(places), dtype=np.bool_)
        weight, planted = np.zeros(len(places)), np.zeros(len(places), dtype=np.bool_)
        centres = []
        for number in range(self.n_blobs):
            if free.sum() < size:
                raise DesignError(
                    f"BrainImplant: after {number} of {self.n_blobs} blobs of {self.volume_cm3:g} cm3 the mask has no "
                    "room for another. Plant fewer or smaller ones."
                )
            centre = places[rng.choice(np.flatnonzero(free))]
            away = np.linalg.norm(places - centre, axis=1)
            inside = np.argsort(np.where(planted, np.inf, away), kind="stable")[:size]
            radius = away[inside].max()
            planted[inside] = True
            weight = np.maximum(weight, expit((radius - away) / _EDGE_MM) * (away < radius + 4 * _EDGE_MM))
            free &= away > 2 * radius
            centres.append(centre)
        return self._full(weight), self._full(planted) > 0, np.array(centres)

    def _full(self, values: npt.NDArray[np.generic]) -> FloatArray:
        out = np.zeros(self.mask.shape)
        out[self.mask] = values
        return out
