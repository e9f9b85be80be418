"""What else absorbs X-rays in a chest: body, spine, heart, diaphragm, ribs and lung, each moving in its own way."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from kotowari.studies.angiography.phantom_motion import BodyMotion

__all__ = ["MovingPart", "draw_parts", "iter_backgrounds"]

FloatArray = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MovingPart:
    """One layer of tissue, larger than the picture by a margin on every side, that is shifted as a whole.

    Attributes
    ----------
    name
        For messages and pictures.
    canvas
        Attenuation, float32, shape ``(height + 2 margin, width + 2 margin)``.
    shifts
        Shape ``(time, 2)``: displacement in rows and columns, smaller than the margin.
    """

    name: str
    canvas: FloatImage
    shifts: FloatArray

    def frame(self, number: int, shape: tuple[int, int]) -> FloatImage:
        """Return the layer in one frame, shape ``shape``, interpolated bilinearly."""
        margin = (self.canvas.shape[0] - shape[0]) // 2
        place = margin - self.shifts[number]
        row, column = (int(np.floor(at)) for at in place)
        down, right = np.float32(place[0] - row), np.float32(place[1] - column)
        window = self.canvas[row : row + shape[0] + 1, column : column + shape[1] + 1]
        rows = window[:-1] + down * (window[1:] - window[:-1])
        found: FloatImage = rows[:, :-1] + right * (rows[:, 1:] - rows[:, :-1])
        return found


def draw_parts(
    shape: tuple[int, int], motion: BodyMotion, clutter: float, rng: np.random.Generator
) -> list[MovingPart]:
    """Draw the eight layers of one patient: rank one each where nothing moves, nearly low rank where they move.

    Body and spine stay; the heart's shadow follows the beat; diaphragm, lung and two sets of ribs follow the breath in
    directions of their own, the lung the beat too. Amounts are drawn anew for each patient. Our own construction.

    Parameters
    ----------
    shape
        Height and width in pixels.
    motion
        Of this patient.
    clutter
        Factor of everything but body and spine.
    rng
        Stream of this patient's tissue.
    """
    margin = int(np.ceil(2 * (motion.heart_px + motion.breath_px))) + 2
    full = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    scale = float(min(shape))
    y, x = ((axis - margin) / scale for axis in np.meshgrid(np.arange(full[0]), np.arange(full[1]), indexing="ij"))
    draw = _Draw(y, x, shape[0] / scale, shape[1] / scale, 1 / scale, rng)
    breath = motion.breath_px * motion.breath[:, None]
    beat = motion.heart_px * motion.beat[:, None]
    still = np.zeros((len(motion.breath), 2))
    layers = {
        "body": (draw.body(), still),
        "spine": (draw.spine(), still),
        "heart": (clutter * draw.heart(motion.centre / scale), 0.8 * beat * motion.shift + 0.35 * breath * (1.0, 0.0)),
        "diaphragm": (clutter * draw.diaphragm(), breath * np.array([1.0, 0.1])),
        "back ribs": (clutter * draw.ribs(0.13, 1.0), breath * np.array([0.35, -0.25])),
        "front ribs": (clutter * draw.ribs(0.10, -1.6), breath * np.array([-0.6, 0.25])),
        "lung": (clutter * draw.texture(0.05, 0.05), 0.7 * breath * (1.0, 0.0) + 0.3 * beat * motion.shift[::-1]),
        "bone": (clutter * draw.texture(0.012, 0.01), still),
    }
    return [MovingPart(name, canvas.astype(np.float32), shifts) for name, (canvas, shifts) in layers.items()]


def iter_backgrounds(parts: list[MovingPart], shape: tuple[int, int]) -> Iterator[FloatImage]:
    """Yield the sum of all layers, 0 or more, frame by frame; what never moves is added up once."""
    still = [part for part in parts if not part.shifts.any()]
    moving = [part for part in parts if part.shifts.any()]
    ground = np.zeros(shape, dtype=np.float32)
    for part in still:
        ground += part.frame(0, shape)
    for number in range(len(parts[0].shifts)):
        frame = ground.copy()
        for part in moving:
            frame += part.frame(number, shape)
        yield np.maximum(frame, 0, out=frame)


@dataclass(frozen=True, eq=False)
class _Draw:
    """Draws layers on coordinates in units of the shorter side; one pixel is ``pixel`` long."""

    y: FloatArray
    x: FloatArray
    height: float
    width: float
    pixel: float
    rng: np.random.Generator

    def body(self) -> FloatArray:
        slope = self.rng.uniform(-0.35, 0.35, 2)
        ground = 0.5 + slope[0] * (self.y - 0.5) + slope[1] * (self.x - 0.5) + self.texture(0.10, 0.18)
        positive: FloatArray = np.maximum(ground, 0.02)
        return positive

    def spine(self) -> FloatArray:
        rng = self.rng
        middle = self.width * (0.5 + rng.choice((-1.0, 1.0)) * rng.uniform(0.12, 0.4)) + rng.normal(0, 0.08) * self.y
        across = (self.x - middle - 0.02 * np.sin(3 * self.y + rng.uniform(0, 6))) / rng.uniform(0.08, 0.12)
        band = expit((1 - np.abs(across)) / 0.12)
        period = rng.uniform(0.13, 0.18)
        discs = 1 - 0.12 * np.cos(2 * np.pi * self.y / period + 0.4 * across**2) ** 6
        amount: FloatArray = rng.uniform(0.35, 0.8) * band * discs
        return amount

    def heart(self, centre: FloatArray) -> FloatArray:
        rng = self.rng
        angle, radii = rng.uniform(0.3, 0.9), rng.uniform((0.26, 0.36), (0.34, 0.48))
        down, right = self.y - centre[0], self.x - centre[1]
        along, aside = np.cos(angle) * right + np.sin(angle) * down, np.cos(angle) * down - np.sin(angle) * right
        away = np.hypot(along / radii[1], aside / radii[0]) + 0.1 * self.texture(1.0, 0.12)
        dome: FloatArray = rng.uniform(0.2, 0.4) * expit((1 - away) / 0.04) * np.sqrt(np.clip(1.3 - away, 0.1, None))
        return dome

    def diaphragm(self) -> FloatArray:
        rng = self.rng
        crown = (
            self.height * rng.uniform(0.68, 0.98)
            + rng.uniform(0.4, 0.9) * (self.x - self.width * rng.uniform(0.1, 0.9)) ** 2
        )
        depth = self.y - crown
        amount: FloatArray = rng.uniform(0.3, 0.6) * expit(depth / 0.006) * (1 + np.clip(depth, 0, 1))
        return amount

    def ribs(self, amount: float, slope: float) -> FloatArray:
        rng = self.rng
        rise = slope * rng.uniform(0.15, 0.35)
        bow = rng.uniform(-0.4, 0.4) * np.sign(slope)
        height = self.y + rise * self.x + bow * (self.x - 0.5 * self.width) ** 2
        spacing, breadth = rng.uniform(0.17, 0.24), rng.uniform(0.24, 0.36)
        place = np.abs((height / spacing + rng.random()) % 1 - 0.5) / breadth
        softness = 0.02 / (spacing * breadth)
        plate = expit((1 - place) / (0.4 * softness))
        rims = np.exp(-(((place - 0.9) / 0.16) ** 2))
        strength: FloatArray = amount * rng.uniform(0.7, 1.3) * (plate + 0.5 * rims)
        return strength

    def texture(self, amount: float, grain: float) -> FloatArray:
        """Return a random field of standard deviation ``amount`` and features of about ``grain`` sides across."""
        field = gaussian_filter(self.rng.standard_normal(self.y.shape), 0.3 * grain / self.pixel, mode="wrap")
        scaled: FloatArray = amount * field / field.std()
        return scaled
