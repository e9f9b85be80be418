"""Images of known truth: an image's own cells implanted into its own background, alone, touching and crowded."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from kotowari.studies.cytology.model.detector_input import Polarity, visible
from kotowari.studies.cytology.model.detector_parts import ImageParts, SingleCell

__all__ = ["compose_scene", "depth_target"]

FloatImage = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

_SPREADS = (0.1, 0.3)  # of the logarithm of a cell's light
_MOST_COVERED = 0.7
_MOST_CELLS = 150
_N_PLACES = 9
_SKIRT = 6.0  # px outside of a cell over which the target falls from one half to nothing
_DIP = 0.5  # of the target, where two cells touch


@dataclass(eq=False)
class _Canvas:
    """A scene while it is built."""

    light: FloatImage
    owner: Labels
    summed: bool
    cells: list[tuple[float, float, float]] = field(default_factory=list)

    def put(self, light: FloatImage, mask: FloatImage, place: tuple[float, float], most_hidden: float) -> bool:
        """Add a cell unless it hides, or is hidden by, more than a share of itself."""
        side, size = mask.shape[0], self.owner.shape[0]
        corner = [round(at - side / 2) for at in place]
        here = tuple(slice(max(0, at), min(size, at + side)) for at in corner)
        if any(part.stop <= part.start for part in here):
            return False
        own = tuple(slice(part.start - at, part.stop - at) for part, at in zip(here, corner, strict=True))
        inside = mask[own] > 0.5
        owner = self.owner[here]
        if inside.sum() < 4 or (inside & (owner > 0)).sum() > most_hidden * inside.sum():
            return False
        self.cells.append((*place, float(np.sqrt((mask > 0.5).sum() / np.pi))))
        owner[inside & (owner == 0)] = len(self.cells)
        below, added = self.light[(slice(None), *here)], light[(slice(None), *own)]
        below[...] = below + added if self.summed else np.where(np.abs(added) > np.abs(below), added, below)
        return True


def compose_scene(
    parts: Sequence[ImageParts], polarity: Polarity, size: int, rng: np.random.Generator
) -> tuple[FloatImage, Labels]:
    """Return a scaled image and its labels.

    Cells of one image are turned, mirrored, sheared, and scaled in size and light; they are put down one by one, some
    against another cell. Half of the scenes have a common direction, as tissue has.

    Parameters
    ----------
    parts
        Of images of one stain; at least one with cells.
    polarity
        Of the cells.
    size
        Side of the scene, px; no longer than any image.
    rng
        Draws everything.

    Returns
    -------
    scaled
        Shape ``(channel, size, size)``, on the scale of :class:`PreparedImage`.
    labels
        Shape ``(size, size)``.
    """
    giving = [part for part in parts if part.cells]
    source = giving[int(rng.integers(len(giving)))]
    ground = source if rng.random() < 0.85 else parts[int(rng.integers(len(parts)))]
    height, width = ground.background.shape[1:]
    top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
    canvas = _Canvas(
        np.zeros((len(ground.background), size, size), np.float32),
        np.zeros((size, size), np.int32),
        summed=bool(rng.random() < 0.5),
    )
    _populate(canvas, source, rng)
    light = ground.background[:, top : top + size, left : left + size] + canvas.light
    seen = visible(_disturbed(light, polarity, rng), polarity)
    scaled = (seen - ground.image.background[:, None, None]) / ground.image.scale
    scaled = scaled * np.exp(rng.normal(0, 0.15)) + rng.normal(0, 0.08)
    return scaled.astype(np.float32), canvas.owner


def depth_target(labels: Labels) -> FloatImage:
    """Return what the network is to say: one half on outlines, 1 in the middle of each cell, 0 far from all.

    Inside, the distance from the outline over its largest value in the cell; outside, a skirt of some pixels; where
    two cells touch, half of that.
    """
    outside = ndimage.distance_transform_edt(labels == 0) if (labels == 0).any() else np.zeros(labels.shape)
    if not labels.any():
        return np.zeros(labels.shape, np.float32)
    target = np.where(labels == 0, 0.5 * np.clip(1 - (outside - 0.5) / _SKIRT, 0, 1), 0).astype(np.float32)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        if box is not None:
            wide = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in box)
            mask = labels[wide] == number
            depth = ndimage.distance_transform_edt(mask)[mask]
            target[wide][mask] = 0.5 + 0.5 * (depth - 0.5) / max(depth.max() - 0.5, 0.5)
    lowest = ndimage.minimum_filter(np.where(labels > 0, labels, labels.max() + 1), 3)
    highest = ndimage.maximum_filter(labels, 3)
    target[(highest > 0) & (lowest <= labels.max()) & (lowest != highest)] *= _DIP
    return target


def _populate(canvas: _Canvas, source: ImageParts, rng: np.random.Generator) -> None:
    size = canvas.owner.shape[0]
    zoom = float(np.exp(rng.normal(0, 0.2)))
    spread = float(rng.choice(_SPREADS))
    room = _MOST_COVERED * size**2 / (np.pi * (zoom * source.radius) ** 2)
    n_cells = int(np.clip(np.exp(rng.uniform(0, np.log(max(room, 2)))), 1, _MOST_CELLS))
    company = 0.9 * rng.random()
    direction = rng.uniform(0, 180) if rng.random() < 0.5 else None
    for _ in range(n_cells):
        cell = source.cells[rng.integers(len(source.cells))]
        turn = rng.uniform(0, 360) if direction is None else direction + rng.normal(0, 15) - cell.direction
        light, mask = _turned(cell, turn, zoom * np.exp(rng.normal(0, 0.1)), rng)
        light = light * min(np.exp(rng.normal(0, spread)), 2.0)
        beside = canvas.cells[rng.integers(len(canvas.cells))] if canvas.cells and rng.random() < company else None
        angle, most_hidden = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.15)
        radius = np.sqrt((mask > 0.5).sum() / np.pi)
        for attempt in range(_N_PLACES):
            place = _place(beside, radius, angle, attempt, size, rng)
            if canvas.put(light, mask, place, most_hidden):
                break


def _place(
    beside: tuple[float, float, float] | None,
    radius: float,
    angle: float,
    attempt: int,
    size: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Anywhere; or beside a cell, farther off with each attempt, until the two just touch."""
    if beside is None:
        return float(rng.uniform(-2, size + 2)), float(rng.uniform(-2, size + 2))
    row, column, other = beside
    distance = (other + radius) * (0.4 + 0.11 * attempt)
    return row + distance * np.sin(angle), column + distance * np.cos(angle)


def _turned(cell: SingleCell, turn: float, zoom: float, rng: np.random.Generator) -> tuple[FloatImage, FloatImage]:
    light, mask = cell.light, cell.mask.astype(np.float32)
    angle = np.deg2rad(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if rng.random() < 0.5:
        rotation[:, 1] *= -1
    back = rotation @ np.array([[1, rng.uniform(-0.15, 0.15)], [0, 1]]) / zoom
    side = int(np.ceil(zoom * np.hypot(*mask.shape))) + 2
    offset = (np.array(mask.shape) - 1) / 2 - back @ np.full(2, (side - 1) / 2)
    turned = [ndimage.affine_transform(plane, back, offset, (side, side), order=1) for plane in (*light, mask)]
    return np.stack(turned[:-1]), turned[-1]


def _disturbed(light: FloatImage, polarity: Polarity, rng: np.random.Generator) -> FloatImage:
    """Blur some scenes, and add noise, for intensities as of counts."""
    if rng.random() < 0.4:
        width = rng.uniform(0.3, 1.0)
        light = np.stack([ndimage.gaussian_filter(plane, width) for plane in light])
    noise = rng.normal(0, 1, light.shape)
    if polarity == "dark":
        return np.asarray(light + noise * rng.uniform(0, 0.03), np.float32)
    own = 0.5 * rng.uniform(0, 0.02) * np.sqrt(np.maximum(light, 0) + 1e-3)
    return np.asarray(np.maximum(light + noise * own, 0), np.float32)
