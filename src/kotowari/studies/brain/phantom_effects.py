"""Effects planted into simulated brains: which score acts where, how strongly, and the truth of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label

from kotowari.core.errors import InputError
from kotowari.studies.brain.phantom_grid import BrainGrid, brain_grid
from kotowari.studies.brain.phantom_regions import COARSE_MM, REGIONS, parcellate
from kotowari.studies.brain.phantom_settings import BrainSettings
from kotowari.studies.brain.phantom_warp import SmoothField

__all__ = ["SCORES", "Effects", "Kind", "PlantedEffect", "Plants", "plant_effects", "smooth_field"]

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Kind = Literal["atlas", "cross", "distributed"]
Plants = Literal["atlas", "cross", "distributed", "none"]

SCORES = ("dose", "positive", "diagnosis")
"""Scores whose effects are planted; age acts in every phantom."""

_ATLAS: dict[str, dict[str, float]] = {
    "dose": {
        "Insula L": 1.15,
        "Insula R": 1.15,
        "Posterior cingulate L": 1.4,
        "Posterior cingulate R": 1.4,
        "Precuneus L": 1.2,
        "Precuneus R": 1.2,
        "Middle temporal R": 0.95,
        "Superior temporal R": 0.95,
        "Cerebellum L": 0.9,
        "Cerebellum R": 0.9,
        "Putamen L": -1.2,
        "Putamen R": -1.2,
    },
    "positive": {
        "Inferior temporal R": 1.2,
        "Anterior cingulate L": 1.0,
        "Anterior cingulate R": 1.0,
        "Middle cingulate L": 0.7,
        "Middle cingulate R": 0.7,
        "Middle temporal L": -1.0,
    },
    "diagnosis": {
        "Hippocampus L": 1.0,
        "Hippocampus R": 1.0,
        "Medial frontal L": 0.7,
        "Medial frontal R": 0.7,
        "Superior temporal L": 1.0,
        "Thalamus L": -0.7,
    },
}
_BLOBS: dict[str, tuple[tuple[float, float], ...]] = {  # radius in mm, size
    "dose": (
        (25.0, 0.8),
        (25.0, -0.8),
        (22.0, 0.9),
        (22.0, 0.9),
        (20.0, -1.0),
        (20.0, 1.0),
        (18.0, -1.0),
        (16.0, 1.2),
    ),
    "positive": ((20.0, 0.9), (18.0, -1.0), (16.0, 1.2)),
    "diagnosis": ((20.0, 0.9), (18.0, -1.0), (16.0, 1.2)),
}
_EDGE_MM, _GAP_MM, _TRIES, _FEWEST_PARCELS, _LEAST_SHARE = 2.0, 4.0, 10000, 3, 0.15
_FIELD_MM, _FIELD_LEVEL, _SMALLEST_CM3 = 10.0, 1.2, 2.5
_PATCH_SIZE, _PATCH_CM3, _PATCH_POWER, _PATCH_RANGE = 0.92, 10.0, -0.35, (0.5, 1.3)
_AGING = ("Insula", "Hippocampus", "Anterior cingulate", "Superior temporal")
_PREFRONTAL = (np.array([0.0, 42.0, 18.0]), np.array([62.0, 34.0, 48.0]))


@dataclass(frozen=True, eq=False)
class PlantedEffect:
    """One place where one score acts.

    Attributes
    ----------
    name
        Region, or number of the blob.
    score
        ``"dose"``, ``"positive"``, ``"diagnosis"`` or ``"age"``.
    kind
        Shape of the truth; ``"age"`` for the effects of age.
    loss
        Largest share of tissue lost for one unit of the score (see :func:`simulate_brains`); negative for a gain.
    truth
        Voxels counted as planted, shape of the grid.
    """

    name: str
    score: str
    kind: str
    loss: float
    truth: BoolArray


@dataclass(frozen=True, eq=False)
class Effects:
    """All planted effects.

    Attributes
    ----------
    planted
        One entry a place.
    loss
        For each score the share lost for one unit of it, shape of the grid.
    """

    planted: tuple[PlantedEffect, ...]
    loss: dict[str, Volume]

    def without(self, *scores: str) -> "Effects":
        """Return the effects of the other scores."""
        kept = tuple(effect for effect in self.planted if effect.score not in scores)
        return Effects(kept, {score: loss for score, loss in self.loss.items() if score not in scores})


def plant_effects(
    grid: BrainGrid, plants: Plants, settings: BrainSettings, *, effect: float, rng: np.random.Generator
) -> Effects:
    """Place the effects of dose, symptoms, diagnosis and age.

    Parameters
    ----------
    grid, settings
        Where, and the losses for one unit of each score.
    plants
        ``"atlas"``: in named regions, the same for every seed; the dose and the symptoms act mostly in the regions that
        Yamaguchi et al. 2021 (Front Neurosci 15:652987) name, sizes, signs and the places of the diagnosis are ours.
        ``"cross"``: in balls that lie in three parcels or more with at least 15 % of their grey matter each, drawn so
        that none meets another. ``"distributed"``: in dozens of small patches of either sign all over the grey matter.
        ``"none"``: nowhere; age acts all the same.
    effect
        Factor of all sizes except those of age, 0 or more; 0 plants nothing.
    rng
        Draws the places of ``"cross"`` and ``"distributed"``.

    Returns
    -------
    Effects
        Places of all scores; both signs and several sizes for each.

    Raises
    ------
    InputError
        When an option is out of range.
    """
    if plants not in get_args(Plants):
        raise InputError(f"plants must be one of {', '.join(get_args(Plants))}, got {plants!r}.")
    if not 0 <= effect < np.inf:
        raise InputError(f"effect must be 0 or more, got {effect}.")
    unit = {"dose": settings.dose_loss, "positive": settings.symptom_loss, "diagnosis": settings.diagnosis_loss}
    unit = {score: effect * size for score, size in unit.items()}
    makers = {"atlas": _atlas, "cross": _cross, "distributed": _distributed}
    planted: list[PlantedEffect] = []
    loss: dict[str, Volume] = {}
    if plants != "none" and effect > 0:
        for found, pattern in makers[plants](grid, unit, rng):
            planted.append(found)
            loss.setdefault(found.score, np.zeros(grid.shape, dtype=np.float32))
            loss[found.score] += np.float32(found.loss) * pattern
    aging, loss["age"] = _aging(grid, settings)
    return Effects((*planted, aging), loss)


_Found = Iterator[tuple[PlantedEffect, Volume]]


def _atlas(grid: BrainGrid, unit: dict[str, float], rng: np.random.Generator) -> _Found:
    del rng
    labels, names = parcellate(grid), list(REGIONS)
    for score in SCORES:
        for name, size in _ATLAS[score].items():
            own = 1 + names.index(name)
            weight = REGIONS[name].weight(grid.millimetres(grid.support))
            neighbour = (labels > 0) & (labels <= len(names)) & (labels != own)
            pattern = np.where(neighbour, np.float32(0), _full(grid, weight))
            yield PlantedEffect(name, score, "atlas", size * unit[score], labels == own), pattern


def _cross(grid: BrainGrid, unit: dict[str, float], rng: np.random.Generator) -> _Found:
    taken: list[tuple[FloatArray, float]] = []
    places = grid.millimetres(grid.support)
    for score in SCORES:
        for number, (radius, size) in enumerate(_BLOBS[score], start=1):
            centre = _border_place(radius, taken, rng)
            taken.append((centre, radius))
            beyond = np.linalg.norm(places - centre, axis=1) - radius
            pattern = _full(grid, 1 / (1 + np.exp(np.clip(beyond / _EDGE_MM, -50, 50))))
            truth = grid.mask & (_full(grid, beyond <= 0) > 0)
            yield PlantedEffect(f"blob {number}", score, "cross", size * unit[score], truth), pattern


def _border_place(radius: float, taken: list[tuple[FloatArray, float]], rng: np.random.Generator) -> FloatArray:
    """Draw a centre whose ball lies in several parcels and apart from the balls that are there already."""
    grid = brain_grid(COARSE_MM)
    places, labels = grid.millimetres(grid.mask), parcellate(grid)[grid.mask]
    for _ in range(_TRIES):
        centre = places[rng.integers(len(places))]
        if any(np.linalg.norm(centre - other) < radius + reach + _GAP_MM for other, reach in taken):
            continue
        inside = labels[np.linalg.norm(places - centre, axis=1) <= radius]
        if (np.bincount(inside) >= _LEAST_SHARE * len(inside)).sum() >= _FEWEST_PARCELS:
            found: FloatArray = centre
            return found
    raise InputError(f"No place for a ball of {radius:g} mm was found in {_TRIES} draws. Take another seed.")


def _distributed(grid: BrainGrid, unit: dict[str, float], rng: np.random.Generator) -> _Found:
    field = smooth_field(grid, _FIELD_MM)
    fewest = _SMALLEST_CM3 * 1000 / grid.voxel_mm**3
    for score in SCORES:
        values = field.values(field.draw(rng, 1))[0]
        for sign in (1.0, -1.0):
            patches, n_patches = label((sign * values > _FIELD_LEVEL) & grid.mask)
            sizes = np.bincount(patches.ravel(), minlength=n_patches + 1)
            for number in range(1, n_patches + 1):
                if sizes[number] < fewest:
                    continue
                truth = patches == number
                volume = sizes[number] * grid.voxel_mm**3 / 1000 / _PATCH_CM3
                size = sign * _PATCH_SIZE * float(np.clip(volume**_PATCH_POWER, *_PATCH_RANGE)) * unit[score]
                name = f"patch {number} {'loss' if sign > 0 else 'gain'}"
                yield PlantedEffect(name, score, "distributed", size, truth), truth.astype(np.float32)


def _aging(grid: BrainGrid, settings: BrainSettings) -> tuple[PlantedEffect, Volume]:
    """Loss a decade: everywhere, and more in the prefrontal cortex and some regions."""
    places = grid.millimetres(grid.support)
    centre, radii = _PREFRONTAL
    weights = [1 / (1 + np.exp(np.clip(8 * (np.linalg.norm((places - centre) / radii, axis=1) - 1), -50, 50)))]
    weights += [region.weight(places) for name, region in REGIONS.items() if name[:-2] in _AGING]
    most = np.max(weights, axis=0)
    truth = grid.mask & (_full(grid, most) > 0.5)
    effect = PlantedEffect("prefrontal and others", "age", "age", settings.regional_age_loss, truth)
    return effect, _full(grid, settings.age_loss + settings.regional_age_loss * most)


def smooth_field(grid: BrainGrid, scale_mm: float) -> SmoothField:
    """Random fields on a grid whose lattice is the same for every voxel size."""
    return SmoothField(grid.axes, ((-90.0, 90.0), (-126.0, 90.0), (-72.0, 108.0)), scale_mm)


def _full(grid: BrainGrid, values: npt.NDArray[np.generic]) -> Volume:
    out = np.zeros(grid.shape, dtype=np.float32)
    out[grid.support] = values
    return out
