"""Orthonormal wavelet filters, computed: Daubechies' filters, symlets, and the rotation angles behind a filter."""

from fractions import Fraction
from functools import lru_cache
from math import comb
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kotowari.core.errors import InputError

__all__ = ["lattice_angles", "lattice_filter", "low_pass_filter"]

Floats = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex128]

_FIRST_ORDER = {"db": 1, "sym": 2}
_LAST_ORDER = 20
_N_FREQUENCIES = 1024  # enough that the choice of zeros of a symlet no longer changes


@lru_cache(maxsize=64)
def low_pass_filter(name: str) -> Floats:
    r"""Return the low-pass taps h of an orthonormal wavelet, :math:`\sum h = \sqrt 2`, shape ``(2 * order,)``, float64.

    .. math::
        |H(\omega)|^2 = 2 \cos^{2N}(\omega/2)\, P(\sin^2(\omega/2)), \quad
        P(y) = \sum_{k=0}^{N-1} \binom{N-1+k}{k} y^k

    ``db1`` to ``db20`` take the zeros outside the unit circle (extremal phase, energy first). ``sym2`` to ``sym20``
    choose from each pair of zeros the one that makes the phase most linear, in the mean square over all frequencies;
    of the two mirror images, the one whose energy comes first. The scaling function fulfils
    :math:`\phi(t) = \sqrt 2 \sum_k h_k \phi(2t - k)`.

    The taps are orthonormal to 1e-14: the zeros of P are refined with residuals in exact rational arithmetic, and the
    product over them is taken on the unit circle, so that nothing is lost by expanding polynomials. The array is
    shared and read-only.

    Raises
    ------
    InputError
        When the name is none of these.

    Source: Daubechies 1992, Ten Lectures on Wavelets, SIAM, chapters 6 and 8. The refinement and the
    mean-square choice of zeros are our own construction; it selects the symlets that PyWavelets tabulates, which
    stores some of them mirrored.

    Examples
    --------
    >>> low_pass_filter("db1").round(4).tolist()
    [0.7071, 0.7071]
    """
    family, order = _family_and_order(name)
    zeros = _inner_zeros(order)
    if family == "sym":
        zeros = _most_linear_phase(zeros)
    taps = _taps(order, zeros)
    energy_late = taps**2 @ np.arange(2 * order) > order - 0.5
    taps = np.ascontiguousarray(taps[::-1]) if energy_late else taps
    taps.setflags(write=False)
    return taps


def lattice_angles(taps: npt.ArrayLike) -> Floats:
    r"""Return the angles :math:`t_1 \dots t_K` of the rotations whose product is the filter, shape ``(n_taps / 2,)``.

    .. math::
        E(z) = R(t_K) \Lambda(z) R(t_{K-1}) \cdots \Lambda(z) R(t_1), \quad
        R(t) = \begin{pmatrix} \cos t & \sin t \\ -\sin t & \cos t \end{pmatrix}, \quad
        \Lambda(z) = \mathrm{diag}(1, z^{-1})

    The first row of E holds the even and the odd taps. The rotations are peeled off from the right, each the one that
    shortens the even and the odd taps by one. Where the outer taps are tiny this loses digits, so Gauss-Newton steps
    follow until :func:`lattice_filter` gives the taps back to 1e-13.

    Parameters
    ----------
    taps
        Low-pass taps of an orthonormal wavelet, an even number of them.

    Raises
    ------
    InputError
        When the taps are not orthonormal to their even shifts (to 1e-10), or when they are so many, with such
        small ones at both ends, that rounding hides the angles.

    Source: Vaidyanathan 1993, Multirate Systems and Filter Banks, chapter 6; the refinement is our own.
    """
    low = np.asarray(taps, dtype=np.float64)
    _require_orthonormal(low)
    return _refined_angles(_peeled_angles(low), low)


def lattice_filter(angles: Tensor) -> Tensor:
    r"""Return the low-pass taps of a lattice of rotations, ``(..., K) -> (..., 2K)``; differentiable.

    The taps are the first row of the polyphase matrix E of :func:`lattice_angles`, even and odd taps in turn. They are
    orthonormal to their even shifts for any angles.

    Examples
    --------
    >>> lattice_filter(torch.tensor([torch.pi / 3, -torch.pi / 12])).round(decimals=4)
    tensor([ 0.4830,  0.8365,  0.2241, -0.1294])
    """
    cos, sin = angles.cos()[..., None, None], angles.sin()[..., None, None]
    top = torch.cat([cos[..., 0, :, :], sin[..., 0, :, :]], dim=-1)
    bottom = torch.cat([-sin[..., 0, :, :], cos[..., 0, :, :]], dim=-1)
    nothing = torch.zeros_like(top)
    for k in range(1, angles.shape[-1]):
        upper, lower = torch.cat([top, nothing], dim=-2), torch.cat([nothing, bottom], dim=-2)
        c, s = cos[..., k, :, :], sin[..., k, :, :]
        top, bottom = c * upper + s * lower, c * lower - s * upper
    return top.flatten(-2)


def _peeled_angles(low: Floats) -> Floats:
    even, odd = low[::2], low[1::2]
    angles: list[float] = []
    while len(even) > 1:
        # rotated back, the odd taps begin with a zero and the even taps end with one; the larger pair tells the angle
        if np.hypot(even[0], odd[0]) >= np.hypot(even[-1], odd[-1]):
            angle = float(np.arctan2(odd[0], even[0]))
        else:
            angle = float(np.arctan2(-even[-1], odd[-1]))
        angles.append(angle)
        cos, sin = np.cos(angle), np.sin(angle)
        even, odd = (cos * even + sin * odd)[:-1], (cos * odd - sin * even)[1:]
    angles.append(float(np.arctan2(odd[0], even[0])))
    return np.array(angles)


def _refined_angles(angles: Floats, low: Floats) -> Floats:
    quarter_turns = np.eye(len(angles)) * (np.pi / 2)  # R'(t) = R(t + pi/2), so the derivatives are filters too
    for _ in range(10):
        rows = lattice_filter(torch.from_numpy(np.vstack([angles, angles + quarter_turns]))).numpy()
        gap = low - rows[0]
        if np.abs(gap).max() <= 1e-13:
            return angles
        angles = angles + np.linalg.lstsq(rows[1:].T, gap, rcond=1e-14)[0]
    raise InputError(f"lattice_angles: rounding hides the angles of these {len(low)} taps. Give a shorter filter.")


def _family_and_order(name: str) -> tuple[str, int]:
    family = name.rstrip("0123456789")
    digits = name[len(family) :]
    if family not in _FIRST_ORDER or not digits or not _FIRST_ORDER[family] <= int(digits) <= _LAST_ORDER:
        raise InputError(f"There is no wavelet filter {name!r}. Take db1 to db20 or sym2 to sym20.")
    return family, int(digits)


def _inner_zeros(order: int) -> Complexes:
    """Zeros inside the unit circle: those of P, through z + 1/z = 2 - 4y."""
    coefficients = [comb(order - 1 + k, k) for k in range(order)]
    slopes = [k * coefficient for k, coefficient in enumerate(coefficients)][1:]
    rough = np.roots(coefficients[::-1]).astype(np.complex128)
    y = np.array([_refined(complex(zero), coefficients, slopes) for zero in rough], dtype=np.complex128)
    middle = 1 - 2 * y
    zeros = middle + np.sqrt(middle * middle - 1)
    return cast(Complexes, np.where(np.abs(zeros) < 1, zeros, 1 / zeros))


def _refined(zero: complex, coefficients: list[int], slopes: list[int]) -> complex:
    """Newton's method; the values are exact, so the zero comes out to rounding however ill-conditioned it is."""
    for _ in range(20):
        change = _exact_value(coefficients, zero) / _exact_value(slopes, zero)
        zero -= change
        if abs(change) <= 1e-15 * abs(zero):
            break
    return zero


def _exact_value(coefficients: list[int], at: complex) -> complex:
    x, y = Fraction(at.real), Fraction(at.imag)
    real = imaginary = Fraction(0)
    for coefficient in reversed(coefficients):
        real, imaginary = real * x - imaginary * y + coefficient, real * y + imaginary * x
    return complex(float(real), float(imaginary))


def _most_linear_phase(zeros: Complexes) -> Complexes:
    """Keep or mirror each zero (pairs of conjugates together) so that the phase deviates least from a line.

    A mirrored zero deviates by the same amount to the other side. So the choice is one of signs s with the least
    s^T G s, G the inner products of the deviations.
    """
    groups = [[zero] if zero.imag == 0 else [zero, zero.conjugate()] for zero in zeros if zero.imag >= 0]
    circle = np.exp(1j * np.pi * np.arange(1, _N_FREQUENCIES) / _N_FREQUENCIES)
    deviations = np.array([sum(np.angle(1 - zero * circle) for zero in group) for group in groups])
    products = deviations @ deviations.T
    choices = np.arange(2 ** (len(groups) - 1))[:, None] >> np.arange(len(groups)) & 1  # the last one stays: no mirrors
    signs = 1 - 2 * choices
    best = signs[np.argmin(np.einsum("ci,ij,cj->c", signs, products, signs))]
    chosen = [zero if sign > 0 else 1 / zero for sign, group in zip(best, groups, strict=True) for zero in group]
    return np.array(chosen, dtype=np.complex128)


def _taps(order: int, zeros: Complexes) -> Floats:
    circle = np.exp(-1j * np.pi * np.arange(2 * order) / order)
    response = np.sqrt(2) * ((1 + circle) / 2) ** order
    for zero in zeros:
        response = response * (circle - zero) / (1 - zero)
    return np.ascontiguousarray(np.fft.ifft(response).real)


def _require_orthonormal(low: Floats) -> None:
    if low.ndim != 1 or len(low) < 2 or len(low) % 2:
        raise InputError(f"lattice_angles: taps must be an even number of values, 2 or more, got shape {low.shape}.")
    shifts = range(0, len(low), 2)
    gap = max(abs(float(low[shift:] @ low[: len(low) - shift]) - (shift == 0)) for shift in shifts)
    if not gap <= 1e-10:
        raise InputError(
            f"lattice_angles: the taps are not orthonormal to their even shifts (off by {gap:.2g}). "
            "Give the low-pass taps of an orthonormal wavelet."
        )
