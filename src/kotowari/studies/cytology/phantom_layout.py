"""Where cells and dirt lie in an image, how they overlap, and which pixel is whose."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from kotowari.studies.cytology.phantom_settings import CellSettings
from kotowari.studies.cytology.phantom_shapes import CellShape, draw_shape, draw_speck, pasted

__all__ = ["CellLayers", "lay_out"]

FloatImage = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
BoolImage = npt.NDArray[np.bool_]

_TRIALS = 30
_LEAST_SEEN = 12
_OFF = 3


@dataclass(frozen=True, eq=False)
class CellLayers:
    """One image before there is light.

    Attributes
    ----------
    body, nucleus, debris
        Optical density or brightness, float32, shape ``(height, width)``; cells that overlap add up.
    labels
        int32: 0 background, else the number of the cell on top, from 1.
    specks
        Pixels of dirt.
    """

    body: FloatImage
    nucleus: FloatImage
    debris: FloatImage
    labels: Labels
    specks: BoolImage


def lay_out(settings: CellSettings, rng: np.random.Generator) -> CellLayers:
    """Place cells one after another, each where it covers and is covered no more than allowed, then dirt.

    A cell that finds no room in 30 trials is left out. The one placed later lies on top; of the one below at least
    1 - ``overlap`` stays in the labels.
    """
    shape = (settings.height, settings.width)
    body, nucleus, debris = (np.zeros(shape, dtype=np.float32) for _ in range(3))
    labels = np.zeros(shape, dtype=np.int32)
    crowd = _Crowd(settings, labels, rng)
    low, high = settings.strengths
    image_strength = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    image_radius = rng.uniform(*settings.radius)
    for _ in range(int(rng.integers(settings.n_cells[0], settings.n_cells[1] + 1))):
        radius = float(np.clip(image_radius * rng.normal(1, 0.12), *settings.radius))
        cell = draw_shape(rng, radius, edge_px=rng.uniform(1.0, 2.5))
        strength = image_strength * float(np.exp(rng.normal(0, settings.cell_spread)))
        layers = _densities(cell, strength, settings, rng)
        centre = crowd.place(cell, radius)
        if centre is None:
            continue
        patch = pasted(cell.body.shape, centre, shape)
        if patch is not None:
            body[patch.image] += layers[0][patch.square]
            nucleus[patch.image] += layers[1][patch.square]
    specks = np.zeros(shape, dtype=np.bool_)
    for _ in range(int(rng.integers(0, settings.n_debris + 1))):
        thickness, covered = draw_speck(rng)
        patch = pasted(covered.shape, (int(rng.integers(shape[0])), int(rng.integers(shape[1]))), shape)
        if patch is not None:
            debris[patch.image] += np.float32(rng.uniform(1.0, 4.0) * image_strength) * thickness[patch.square]
            specks[patch.image] |= covered[patch.square]
    return CellLayers(body, nucleus, debris, _numbered(labels), specks)


def _densities(
    cell: CellShape, strength: float, settings: CellSettings, rng: np.random.Generator
) -> tuple[FloatImage, FloatImage]:
    """Return what body and nucleus of one cell absorb or emit, out of focus or in it."""
    if settings.kind == "fluorescence":
        body = strength * cell.body * np.clip(1 + 0.15 * cell.texture, 0.2, None)
        nucleus = np.zeros_like(body)
    else:
        body = strength * cell.body * np.clip(1 + 0.12 * cell.texture, 0.2, None)
        nucleus = strength * rng.uniform(1.0, 2.0) * cell.nucleus * np.clip(1 + 0.15 * cell.texture, 0.2, None)
    if rng.random() < settings.defocus:
        spread = rng.uniform(1.2, 2.2)
        body, nucleus = (gaussian_filter(layer, spread) for layer in (body, nucleus))
    return body.astype(np.float32), nucleus.astype(np.float32)


@dataclass(eq=False)
class _Crowd:
    """Cells placed so far; writes their numbers into ``labels``."""

    settings: CellSettings
    labels: Labels
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.centres: list[tuple[int, int, float]] = []
        self.areas: dict[int, int] = {}
        self.left: dict[int, int] = {}

    def place(self, cell: CellShape, radius: float) -> tuple[int, int] | None:
        for _ in range(_TRIALS):
            centre = self._candidate(radius)
            patch = pasted(cell.inside.shape, centre, self.labels.shape)
            if patch is None:
                continue
            covered, inside = self.labels[patch.image], cell.inside[patch.square]
            if not self._allowed(covered[inside]):
                continue
            for number, lost in _counted(covered[inside]):
                self.left[number] -= lost
            covered[inside] = len(self.centres) + 1
            self.centres.append((*centre, radius))
            self.areas[len(self.centres)] = self.left[len(self.centres)] = int(inside.sum())
            return centre
        return None

    def _allowed(self, covered: Labels) -> bool:
        if len(covered) < _LEAST_SEEN:
            return False
        below = _counted(covered)
        share = 1 - self.settings.overlap
        if sum(lost for _, lost in below) > self.settings.overlap * len(covered):
            return False
        return all(self.left[number] - lost >= share * self.areas[number] for number, lost in below)

    def _candidate(self, radius: float) -> tuple[int, int]:
        rng, (height, width) = self.rng, self.labels.shape
        if self.centres and rng.random() < self.settings.clustering:
            row, column, other = self.centres[int(rng.integers(len(self.centres)))]
            angle, gap = rng.uniform(0, 2 * np.pi), (radius + other) * rng.uniform(0.75, 1.15)
            return round(row + gap * np.sin(angle)), round(column + gap * np.cos(angle))
        return int(rng.integers(-_OFF, height + _OFF)), int(rng.integers(-_OFF, width + _OFF))


def _counted(covered: Labels) -> list[tuple[int, int]]:
    """Return each cell among the pixels and how many are its own."""
    numbers, counts = np.unique(covered[covered > 0], return_counts=True)
    return list(zip(numbers.tolist(), counts.tolist(), strict=True))


def _numbered(labels: Labels) -> Labels:
    """Give the cells that are seen the numbers from 1 on, without a gap."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32) + np.int32(labels.min() > 0)
