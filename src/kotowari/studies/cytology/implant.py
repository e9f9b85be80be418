"""Cells put into the user's own images at free places, with graded contrast: how much of it is needed to be found."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.cytology.implant_density import (
    CutCell,
    Density,
    cut_cells,
    measure_density,
    simulated_cell,
)
from kotowari.studies.cytology.phantom_shapes import pasted

__all__ = ["CellImplant", "PlantedCells"]

FloatImage = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]

_GAP_PX = 2.0
_SD_PER_MAD = 1.4826


@dataclass(frozen=True, eq=False)
class PlantedCells:
    """What was put into real images.

    Attributes
    ----------
    labels
        Each int32, shape of its image without channels: the planted cells alone, from 1; 0 elsewhere.
    centres
        Each of shape ``(cell, 2)``: row and column.
    """

    labels: list[Labels]
    centres: list[npt.NDArray[np.int64]]

    @property
    def n_cells(self) -> int:
        """Cells planted in all images."""
        return sum(len(centres) for centres in self.centres)


@dataclass(frozen=True, eq=False)
class CellImplant:
    r"""Graded cells in the user's own images, as :func:`kotowari.trust.run_implants` plants them.

    .. math:: I' = I\, e^{-g u p} + n \ \text{(dark)}, \qquad I' = I + g u p + n \ \text{(bright)}

    with the grade g, the contrast u of the image's own cells by channel, the profile p of a cell (mean 1) and the
    photon noise n that belongs to the change. Places are drawn where no object is and none was planted. It answers how
    much contrast a cell of this size needs to be found in this background; it does not answer how touching cells are
    told apart.

    Parameters
    ----------
    images
        Each of shape ``(height, width, channel)``, in [0, 1]; left as they were.
    labels
        Each of shape ``(height, width)``: the objects there, from masks or as found; 0 is free.
    polarity
        ``"bright"`` or ``"dark"``: of cells against the background.
    shapes
        ``"simulated"``, or ``"own"``: cells cut from these images, turned by quarter turns and mirrored.
    n_cells
        Wanted an image, 1 or more; a full image takes fewer.
    relative
        Whether the grade is a share of the own cells' contrast; else it is optical density (dark) or light as a share
        of full scale (bright), alike in all channels.
    radius
        Of simulated cells in pixels, 3 or more; None for that of the image's own cells.
    full_scale
        Grey levels above 0, for the rounding of changed pixels; None for no rounding.

    Raises
    ------
    ShapeError, InputError, DesignError
        When an array does not fit, an option is out of range, or there is no cell to measure where one is needed.
    """

    images: Sequence[FloatImage]
    labels: Sequence[Labels]
    polarity: Literal["bright", "dark"]
    shapes: Literal["simulated", "own"] = "simulated"
    n_cells: int = 5
    relative: bool = True
    radius: float | None = None
    full_scale: int | None = 255

    def __post_init__(self) -> None:
        if not len(self.images) or len(self.images) != len(self.labels):
            raise InputError(
                f"CellImplant: needs as many label images as images, got {len(self.labels)} and {len(self.images)}."
            )
        for image, labels in zip(self.images, self.labels, strict=True):
            if image.ndim != 3 or labels.shape != image.shape[:2]:
                raise ShapeError.mismatch("CellImplant", "labels", image.shape[:2], labels.shape)
        if self.n_cells < 1 or (self.radius is not None and not self.radius >= 3):
            raise InputError(
                f"CellImplant: needs n_cells >= 1 and a radius of 3 or more, got {self.n_cells} and {self.radius}."
            )
        if self.polarity not in {"bright", "dark"} or self.shapes not in {"simulated", "own"}:
            raise InputError(
                "CellImplant: polarity must be bright or dark and shapes simulated or own, got "
                f"{self.polarity!r} and {self.shapes!r}."
            )

    @cached_property
    def contrasts(self) -> list[FloatArray]:
        """Contrast of the own cells of each image by channel; the median of the others where an image has none."""
        return self._usual_contrasts([density.contrast for density in self._densities])

    @cached_property
    def radii(self) -> list[float]:
        """Radius of the own cells of each image, in pixels, 3 or more; the median of all where an image has none."""
        found = [_median_radius(labels) for labels in self.labels]
        known = [radius for radius in found if np.isfinite(radius)]
        usual = float(np.median(known)) if known else 8.0
        return [max(3.0, radius if np.isfinite(radius) else usual) for radius in found]

    def __call__(self, grade: float, rng: np.random.Generator) -> tuple[list[FloatImage], PlantedCells]:
        """Return float32 images with cells, and where they are.

        Parameters
        ----------
        grade
            Contrast of each cell's mean, 0 or more; 0 plants nothing at the same places.
        rng
            One state of it gives the same cells and places at every grade.

        Raises
        ------
        DesignError
            When no image has room for a cell, or none of its own could be cut out.
        """
        if not grade >= 0:
            raise InputError(f"CellImplant: grade must be 0 or more, got {grade}.")
        places, photons = rng.spawn(2)
        images, all_labels, all_centres = [], [], []
        for number, (image, occupied) in enumerate(zip(self.images, self.labels, strict=True)):
            change, labels, centres = self._planted(number, occupied, places)
            images.append(self._exposed(image, grade * change, photons))
            all_labels.append(labels)
            all_centres.append(centres)
        planted = PlantedCells(all_labels, all_centres)
        if not planted.n_cells:
            raise DesignError(
                "CellImplant: no image has a free place for a cell. Use emptier images, or smaller cells."
            )
        return images, planted

    @cached_property
    def _densities(self) -> list[Density]:
        return [
            measure_density(image, labels, self.polarity)
            for image, labels in zip(self.images, self.labels, strict=True)
        ]

    @cached_property
    def _cut(self) -> list[list[CutCell]]:
        return [cut_cells(density, labels) for density, labels in zip(self._densities, self.labels, strict=True)]

    def _usual_contrasts(self, measured: list[FloatArray]) -> list[FloatArray]:
        known = [contrast for contrast in measured if np.isfinite(contrast).all() and contrast.mean() > 0]
        if not self.relative:
            return [np.ones(image.shape[2]) for image in self.images]
        if not known:
            raise DesignError(
                f"CellImplant: no image has an object that is {self.polarity}er than its background, so contrast has "
                "no unit. Check polarity and labels, or pass relative=False."
            )
        usual = np.median(known, axis=0)
        return [contrast if np.isfinite(contrast).all() and contrast.mean() > 0 else usual for contrast in measured]

    def _planted(
        self, number: int, occupied: Labels, rng: np.random.Generator
    ) -> tuple[FloatImage, Labels, npt.NDArray[np.int64]]:
        """Return the density of all planted cells at grade 1, their labels and their centres."""
        shape = (occupied.shape[0], occupied.shape[1])
        contrast = self.contrasts[number]
        change = np.zeros((*shape, len(contrast)), dtype=np.float32)
        labels = np.zeros(shape, dtype=np.int32)
        taken = occupied > 0
        centres: list[tuple[int, int]] = []
        for _ in range(self.n_cells):
            cell = self._cell(number, contrast, rng)
            reach = float(np.hypot(*cell.inside.shape)) / 2 if self.shapes == "own" else 1.25 * self._radius(number)
            room = distance_transform_edt(np.pad(~taken, 1))[1:-1, 1:-1] > reach + _GAP_PX
            spots = np.flatnonzero(room)
            if not len(spots):
                continue
            row, column = divmod(int(rng.choice(spots)), shape[1])
            patch = pasted(cell.inside.shape, (row, column), shape)
            if patch is None:
                continue
            change[patch.image] += float(contrast.mean()) * cell.density[patch.square]
            inside = cell.inside[patch.square]
            labels[patch.image][inside] = len(centres) + 1
            taken[patch.image] |= inside
            centres.append((row, column))
        return change, labels, np.array(centres, dtype=np.int64).reshape(-1, 2)

    def _radius(self, number: int) -> float:
        return self.radius or self.radii[number]

    def _cell(self, number: int, contrast: FloatArray, rng: np.random.Generator) -> CutCell:
        if self.shapes == "simulated":
            return simulated_cell(rng, self._radius(number), self.polarity, contrast)
        cells = self._cut[number] or [cell for image in self._cut for cell in image]
        cells = [cell for cell in cells if cell.density.shape[2] == len(contrast)]
        if not cells:
            raise DesignError(
                "CellImplant: no cell lies free enough to be cut out; all touch others or the border. Use "
                "shapes='simulated'."
            )
        cell = cells[int(rng.integers(len(cells)))]
        turns, mirrored = int(rng.integers(4)), -1 if rng.random() < 0.5 else 1
        return CutCell(
            np.rot90(cell.density, turns)[::mirrored].copy(), np.rot90(cell.inside, turns)[::mirrored].copy()
        )

    def _exposed(self, image: FloatImage, density: FloatImage, rng: np.random.Generator) -> FloatImage:
        """Return the image with the density of cells in it, the noise that goes with it, and whole grey levels."""
        out = image.astype(np.float32)
        touched = (density > 1e-5).any(-1)
        noise = rng.standard_normal((int(touched.sum()), out.shape[2])).astype(np.float32)
        before, more = out[touched], density[touched]
        per_light = _variance_per_light(out)
        if self.polarity == "dark":
            left = np.exp(-more)
            after = before * left + noise * np.sqrt(per_light * before * np.maximum(left * (1 - left), 0))
        else:
            after = before + more + noise * np.sqrt(per_light * np.maximum(more, 0))
        after = np.clip(after, 0, 1)
        out[touched] = after if self.full_scale is None else np.rint(after * self.full_scale) / self.full_scale
        return out


def _median_radius(labels: Labels) -> float:
    areas = np.bincount(labels.ravel())[1:]
    return float(np.sqrt(np.median(areas[areas > 0]) / np.pi)) if areas.any() else float("nan")


def _variance_per_light(image: FloatImage) -> float:
    """Return the variance of counting noise over the light, from the Laplacian that is blind to planes."""
    rows = image[:-2] - 2 * image[1:-1] + image[2:]
    rest = (rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]) / 6
    light = np.maximum(image[1:-1, 1:-1], 1 / 255)
    return float((_SD_PER_MAD * np.median(np.abs(rest) / np.sqrt(light))) ** 2)
