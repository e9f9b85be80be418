"""How a beating heart and breathing lungs displace what lies in a picture."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["BodyMotion", "draw_motion"]

FloatArray = npt.NDArray[np.float64]

_HEART_FOLLOWS_BREATH = 0.35


@dataclass(frozen=True, eq=False)
class BodyMotion:
    """Courses in time of heart and breath, and the displacement of the heart's points that follows from them.

    Attributes
    ----------
    beat, turn
        Shape ``(time,)``: contraction of the heart from 0 (rest) to 1, and its movement across, -1 to 1.
    breath
        Shape ``(time,)``: 0 (breathed out) to 1.
    heart_px, breath_px
        Largest displacements in pixels.
    centre
        Of the heart: row and column in pixels.
    side
        Shorter side of the picture in pixels: the unit of length of the displacement.
    shift
        Shape ``(2,)``: direction in which the whole heart moves.
    phases, waves
        Shape ``(2, 2)``: of the sines that make neighbouring parts move differently.
    """

    beat: FloatArray
    turn: FloatArray
    breath: FloatArray
    heart_px: float
    breath_px: float
    centre: FloatArray
    side: float
    shift: FloatArray
    phases: FloatArray
    waves: FloatArray

    def displaced(self, points: FloatArray, frame: int) -> FloatArray:
        """Return where ``points``, shape ``(point, 2)``, lie in a frame; a sum of three fields times their courses."""
        contraction, across = self.fields(points)
        down = _HEART_FOLLOWS_BREATH * self.breath_px * self.breath[frame] * np.array([1.0, 0.0])
        moved: FloatArray = points + self.beat[frame] * contraction + self.turn[frame] * across + down
        return moved

    def fields(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the displacements at full contraction and at the largest movement across, shape ``(point, 2)``."""
        from_centre = (points - self.centre) / (0.5 * self.side)
        waves = np.sin(2 * np.pi * points / self.side @ self.waves + self.phases[0])
        contraction = self.heart_px * (0.7 * self.shift - 0.6 * from_centre + 0.3 * waves)
        turned = from_centre[:, ::-1] * np.array([1.0, -1.0])
        across = 0.35 * self.heart_px * (turned + 0.5 * np.cos(2 * np.pi * points / self.side @ self.waves))
        return contraction, across


def draw_motion(
    shape: tuple[int, int],
    times: FloatArray,
    rng: np.random.Generator,
    *,
    heart_px: float,
    heart_hz: float,
    breath_px: float,
    breath_hz: float,
) -> BodyMotion:
    """Draw the motion of one patient: periodic and smooth, the systole faster than the diastole.

    Our own construction.

    Parameters
    ----------
    shape
        Height and width in pixels.
    times
        Shape ``(time,)``, in s.
    rng
        Stream of this patient's motion.
    heart_px, breath_px
        Largest displacements in pixels, 0 or more.
    heart_hz, breath_hz
        Beats and breaths a second.
    """
    phase = 2 * np.pi * (heart_hz * times + rng.random())
    skewed = phase + 0.6 * np.sin(phase)
    breathing = 2 * np.pi * (breath_hz * times + rng.random())
    direction = rng.uniform(0, 2 * np.pi)
    return BodyMotion(
        beat=(1 - np.cos(skewed)) / 2,
        turn=np.sin(skewed),
        breath=((1 - np.cos(breathing)) / 2) ** 1.5,
        heart_px=heart_px,
        breath_px=breath_px,
        centre=np.array(shape) * rng.uniform(0.45, 0.6, 2),
        side=float(min(shape)),
        shift=np.array([np.sin(direction), np.cos(direction)]),
        phases=rng.uniform(0, 2 * np.pi, (2, 2)),
        waves=rng.uniform(-1.2, 1.2, (2, 2)),
    )
