"""What was in the picture before any contrast: the catheter in the ostium, and wires on the skin."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotowari.studies.angiography.vessel_rendering import draw_tubes
from kotowari.studies.angiography.vessel_tree import VesselTree, smooth_curve

__all__ = ["Device", "draw_device"]

FloatArray = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Device:
    """Tubes and wires as points in a row.

    Attributes
    ----------
    points, radius, dose
        Shapes ``(point, 2)``, ``(point,)``, ``(point,)``: as in
        :func:`kotowari.studies.angiography.vessel_rendering.draw_tubes`.
    thing
        Shape ``(point,)``: 0 for the catheter, then one number a wire.
    held
        Shape ``(point,)``, 0 to 1: how much of the heart's motion a point follows; 1 at the catheter's tip.
    """

    points: FloatArray
    radius: FloatArray
    dose: FloatArray
    thing: npt.NDArray[np.int64]
    held: FloatArray

    def frame(self, tip_shift: FloatArray, shape: tuple[int, int]) -> tuple[FloatImage, BoolImage]:
        """Return attenuation and mask in a frame in which the ostium has moved by ``tip_shift``, shape ``(2,)``."""
        reach = np.zeros(int(self.thing[-1]) + 1)
        points = self.points + self.held[:, None] * tip_shift
        drawn, mask, _ = draw_tubes(points, self.radius, self.dose, self.thing, reach, shape=shape, least_dose=0.0)
        return drawn, mask


def draw_device(tree: VesselTree, shape: tuple[int, int], attenuation: float, rng: np.random.Generator) -> Device:
    """Draw a catheter from the upper edge into the root of a tree, and up to two thin wires that do not move.

    Parameters
    ----------
    tree
        Whose root the catheter's tip is in.
    shape
        Height and width in pixels.
    attenuation
        Of the catheter through its middle, above 0; wires have less.
    rng
        Stream of this patient's devices.
    """
    side = float(min(shape))
    root = tree.points[0]
    ahead = tree.points[min(3, len(tree.points) - 1)] - root
    back = -ahead / max(float(np.linalg.norm(ahead)), 1e-9)
    elbow = root + back * 0.06 * side + np.array([-0.05 * side, 0.0])
    top = np.array([-4.0, np.clip(elbow[1] + rng.normal(0, 0.1) * side, 2, shape[1] - 3)])
    middle = 0.5 * (elbow + top) + np.array([0.0, rng.normal(0, 0.03) * side])
    curve = smooth_curve(np.array([root, root + back * 0.03 * side, elbow, middle, top]))
    radius = 0.6 * tree.root_radius
    held = np.linspace(1, 0, len(curve)) ** 2
    parts = [(curve, np.full(len(curve), radius), np.full(len(curve), attenuation / (2 * radius)), held)]
    for _ in range(rng.integers(0, 3)):
        column = rng.uniform(0.05, 0.95, 3) * 0.15 * shape[1] + rng.uniform(0, 0.85) * shape[1]
        wire = smooth_curve(np.column_stack([np.array([-4.0, 0.5 * shape[0], shape[0] + 4.0]), column]))
        thin = max(0.5, 0.0025 * side)
        strength = rng.uniform(0.2, 0.5) * attenuation / (2 * thin)
        parts.append((wire, np.full(len(wire), thin), np.full(len(wire), strength), np.zeros(len(wire))))
    sizes = [len(part[0]) for part in parts]
    points, radii, dose, follow = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Device(points, radii, dose, np.repeat(np.arange(len(sizes)), sizes), follow)
