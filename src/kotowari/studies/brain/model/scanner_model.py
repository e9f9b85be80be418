"""What one scanner does to a volume that another does not, in a handful of numbers."""

from itertools import product
from typing import Any, final

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.brain.model.autoencoder_input import mask_window

__all__ = ["ScannerModel"]

FloatArray = npt.NDArray[np.float64]
_LEAST_GAIN = 0.2
_STABLE = 0.08  # of an explicit step; the highest frequency of a grid has the eigenvalue -12
_AXES = "xyz"


@final
class ScannerModel:
    r"""Gain, a smooth bias field and sharpness.

    .. math:: S_\theta(x) = \Big(1 + \sum_k \theta_k \varphi_k\Big) \big(x + \theta_b\, \Delta_M x\big)

    with products :math:`\varphi` of powers of the position (-1 to 1 across the mask's box; the first is 1, the gain)
    and the graph Laplacian :math:`\Delta_M` of the mask's voxels, so that nothing outside of the mask counts. A blur of
    standard deviation s voxels is :math:`\theta_b = s^2/2`. :math:`S_0` is the identity.

    Parameters
    ----------
    mask
        Voxels that count, shape ``(x, y, z)``.
    bias_degree
        Highest degree of the bias field, 0 (gain alone) to 3.

    Attributes
    ----------
    terms
        What each number stands for: ``gain``, ``bias x``, ..., ``blur``.

    Raises
    ------
    InputError
        When the degree is out of range.

    Source: our own design; a bias field as a smooth factor is the usual model (Sled et al. 1998, IEEE Trans. Med.
    Imaging 17:87-97).

    Examples
    --------
    >>> ScannerModel(np.ones((4, 4, 4), bool)).terms
    ('gain', 'bias x', 'bias y', 'bias z', 'blur')
    """

    def __init__(self, mask: npt.ArrayLike, bias_degree: int = 1) -> None:
        if bias_degree not in range(4):
            raise InputError(f"ScannerModel: bias_degree must be 0 to 3, got {bias_degree!r}.")
        self.mask, self.bias_degree = np.asarray(mask, dtype=bool), bias_degree
        self._powers = sorted(
            (p for p in product(range(bias_degree + 1), repeat=3) if sum(p) <= bias_degree),
            key=lambda p: (sum(p), *(-power for power in p)),
        )
        self.terms = (*(_name(powers) for powers in self._powers), "blur")
        window = mask_window(self.mask)
        self._positions = []
        for axis, part in enumerate(window):
            middle, half = (part.start + part.stop - 1) / 2, max((part.stop - part.start - 1) / 2, 0.5)
            line = (np.arange(self.mask.shape[axis]) - middle) / half
            self._positions.append(line.reshape([-1 if other == axis else 1 for other in range(3)]))

    def change(self, volumes: npt.NDArray[Any], term: int) -> FloatArray:
        r"""Return :math:`\partial S_\theta(x)/\partial\theta_k` at 0, ``(..., x, y, z)`` to the same shape."""
        x = self._masked(volumes)
        if term == len(self._powers):
            return self._laplacian(x)
        moved: FloatArray = x * self._field(self._powers[term])
        return moved

    def applied(self, volumes: npt.NDArray[Any], theta: npt.ArrayLike) -> FloatArray:
        """Return volumes as a scanner of these numbers would measure them; 0 outside of the mask."""
        numbers = self._numbers(theta)
        blurred: FloatArray = self._diffused(self._masked(volumes), numbers[-1]) * self.gain(numbers)
        return blurred

    def undone(self, volumes: npt.NDArray[Any], theta: npt.ArrayLike) -> FloatArray:
        r"""Return volumes as the reference would measure them; 0 outside of the mask.

        Gain and bias are divided out. Blur is undone to first order only, :math:`x - \theta_b \Delta_M x`, and by
        :math:`\theta_b \le 0.08`, so that no frequency is doubled: what a blur has taken cannot be had back.
        """
        numbers = self._numbers(theta)
        return self._diffused(self._masked(volumes) / self.gain(numbers), -numbers[-1])

    def gain(self, theta: npt.ArrayLike) -> FloatArray:
        """Return the factor of all intensities by position, shape ``(x, y, z)``.

        Raises
        ------
        DesignError
            When it falls below 0.2 in the mask.
        """
        numbers = self._numbers(theta)
        factor = np.ones(self.mask.shape)
        for number, powers in zip(numbers, self._powers, strict=False):
            factor = factor + number * self._field(powers)
        if (factor[self.mask] < _LEAST_GAIN).any():
            raise DesignError(
                "ScannerModel: a site's gain falls below a fifth of the reference's. Look at its volumes: they have "
                "other units, or another preparation."
            )
        return np.where(self.mask, factor, 1.0)

    def _field(self, powers: tuple[int, ...]) -> FloatArray:
        x, y, z = (line**power for line, power in zip(self._positions, powers, strict=True))
        field: FloatArray = x * y * z
        return field

    def _diffused(self, x: FloatArray, amount: float) -> FloatArray:
        """Blur by explicit steps that are stable each; sharpen by one bounded step."""
        if amount < 0:
            return x + max(amount, -_STABLE) * self._laplacian(x)
        n_steps = int(np.ceil(amount / _STABLE))
        for _ in range(n_steps):
            x = x + amount / n_steps * self._laplacian(x)
        return x

    def _laplacian(self, x: FloatArray) -> FloatArray:
        """Sum over neighbours in the mask of their difference from the voxel."""
        total = np.zeros_like(x)
        for axis in range(3):
            low = (..., *(slice(None, -1) if other == axis else slice(None) for other in range(3)))
            high = (..., *(slice(1, None) if other == axis else slice(None) for other in range(3)))
            step = np.where(self.mask[low] & self.mask[high], x[high] - x[low], 0.0)
            total[low] += step
            total[high] -= step
        return total

    def _masked(self, volumes: npt.NDArray[Any]) -> FloatArray:
        if volumes.shape[-3:] != self.mask.shape:
            raise ShapeError.mismatch("ScannerModel", "volumes", ("...", *self.mask.shape), volumes.shape)
        return np.where(self.mask, volumes, 0.0).astype(np.float64)

    def _numbers(self, theta: npt.ArrayLike) -> FloatArray:
        numbers = np.asarray(theta, dtype=np.float64)
        if numbers.shape != (len(self.terms),):
            raise ShapeError.mismatch("ScannerModel", "theta", (len(self.terms),), numbers.shape)
        return numbers


def _name(powers: tuple[int, ...]) -> str:
    letters = "".join(letter * power for letter, power in zip(_AXES, powers, strict=True))
    return f"bias {letters}" if letters else "gain"
