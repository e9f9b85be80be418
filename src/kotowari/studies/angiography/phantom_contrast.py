"""When contrast comes to a point of a tree and goes again."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["ContrastCourse"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ContrastCourse:
    r"""Concentration of contrast along the way from the root.

    .. math:: c(s, t) = R\Big(\frac{u}{u_r}\Big)\, e^{-\max(0, u - u_p)/u_w}, \quad u = t - t_0 - s/v

    with R rising smoothly (a cubic) from 0 to 1. Our own construction.

    Attributes
    ----------
    begin_s
        When contrast enters the root.
    speed
        Of the front, in pixels a second, above 0.
    rise_s, plateau_s, washout_s
        Time of the rise, time until the wash-out begins, and its time constant; above 0.
    """

    begin_s: float
    speed: float
    rise_s: float
    plateau_s: float
    washout_s: float

    def concentration(self, path: FloatArray, time_s: float) -> FloatArray:
        """Return 0 to 1 at ``path`` pixels from the root, same shape."""
        since = time_s - self.begin_s - path / self.speed
        rise = np.clip(since / self.rise_s, 0, 1)
        found: FloatArray = rise**2 * (3 - 2 * rise) * np.exp(-np.maximum(0, since - self.plateau_s) / self.washout_s)
        return found
