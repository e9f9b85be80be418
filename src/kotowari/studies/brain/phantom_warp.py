"""Smooth random fields and warps in millimetres, the same at every voxel size."""

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError

__all__ = ["SmoothField", "SmoothWarp"]

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]
Axes = tuple[FloatArray, FloatArray, FloatArray]

_REACH = 3.0


class SmoothField:
    r"""Gaussian random fields of mean 0 and variance 1, :math:`f(x) = c \sum_l w_l \exp(-|x - x_l|^2 / 2 s^2)`.

    The standard normal weights w sit on a lattice of spacing s that does not depend on the voxels, so one state of the
    generator gives one field, read at whatever grid. Its autocorrelation is Gaussian with a standard deviation of
    :math:`\sqrt 2 s`. Derivatives are exact.

    Parameters
    ----------
    axes
        Positions along x, y and z, mm; within the box of :func:`brain_grid`.
    box
        First and last mm along each axis that the lattice must cover, the same for all grids.
    scale_mm
        Standard deviation s of the Gaussian, above 0.
    """

    def __init__(self, axes: Axes, box: tuple[tuple[float, float], ...], scale_mm: float) -> None:
        self._kernels: list[Volume] = []
        self._slopes: list[Volume] = []
        for axis, (first, last) in zip(axes, box, strict=True):
            nodes = np.arange(first - _REACH * scale_mm, last + (_REACH + 1) * scale_mm, scale_mm)
            distance = axis[:, None] - nodes
            kernel = np.exp(-0.5 * (distance / scale_mm) ** 2) / np.pi**0.25  # squares sum to 1 along a row
            self._kernels.append(kernel.astype(np.float32))
            self._slopes.append((-distance / scale_mm**2 * kernel).astype(np.float32))

    def draw(self, rng: np.random.Generator, n_fields: int) -> Volume:
        """Return weights of shape ``(field, x, y, z)`` for :meth:`values` and :meth:`slopes`."""
        return rng.standard_normal((n_fields, *(k.shape[1] for k in self._kernels)), dtype=np.float32)

    def values(self, weights: Volume) -> Volume:
        """Fields of shape ``(field, x, y, z)``."""
        return _spread(weights, *self._kernels)

    def slopes(self, weights: Volume) -> tuple[Volume, Volume, Volume]:
        """Return the derivatives along x, y and z, per mm, each of shape ``(field, x, y, z)``."""
        (a, b, c), (da, db, dc) = self._kernels, self._slopes
        return _spread(weights, da, b, c), _spread(weights, a, db, c), _spread(weights, a, b, dc)


class SmoothWarp:
    r"""Random warps :math:`\phi(x) = x + u(x)` with their Jacobian determinants.

    A modulated map :math:`m(x) = t(\phi(x))\,|J_\phi(x)|` keeps the total tissue of the template t, as SPM's do. At
    2.4 mm and a scale of 12 mm the determinant has a standard deviation of about 0.14, so no warp folds in practice.

    Parameters
    ----------
    field
        Draws the three components.
    length_mm
        Root mean square length of u, 0 or more.
    """

    def __init__(self, field: SmoothField, length_mm: float) -> None:
        self._field = field
        self._length = np.float32(length_mm / np.sqrt(3))

    def draw(self, rng: np.random.Generator) -> tuple[Volume, Volume]:
        """Return a displacement, mm, shape ``(3, x, y, z)``, and its determinant, shape ``(x, y, z)``, above 0.

        Raises
        ------
        InputError
            When the warp folds, that is, the determinant is 0 or less somewhere.
        """
        weights = self._length * self._field.draw(rng, 3)
        dx, dy, dz = self._field.slopes(weights)
        dx[0] += 1
        dy[1] += 1
        dz[2] += 1
        determinant: Volume = (
            dx[0] * (dy[1] * dz[2] - dz[1] * dy[2])
            - dy[0] * (dx[1] * dz[2] - dz[1] * dx[2])
            + dz[0] * (dx[1] * dy[2] - dy[1] * dx[2])
        )
        if determinant.min() <= 0:
            raise InputError(
                f"SmoothWarp: displacements of {self._length * 3**0.5:.3g} mm fold the brain. Make them shorter, or "
                "smooth them more."
            )
        return self._field.values(weights), determinant


def _spread(weights: Volume, a: Volume, b: Volume, c: Volume) -> Volume:
    """Multiply one kernel onto each axis of ``(field, x, y, z)``."""
    along_z = weights @ c.T
    along_y = b @ along_z
    n_fields, n_nodes, *plane = along_y.shape
    along_x = a @ along_y.reshape(n_fields, n_nodes, -1)
    return along_x.reshape(n_fields, len(a), *plane)
