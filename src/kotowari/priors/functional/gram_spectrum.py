"""Left singular vectors and singular values from the small Gram matrix, with a check that squaring lost nothing."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["LARGEST_GRAM", "LeftSpectrum", "double_of", "gram", "is_resolved", "left_spectrum", "spectrum_of_gram"]

LARGEST_GRAM = 1024
"""Longest short side for which the eigenvalues of the Gram matrix are cheaper than a QR factorisation."""

_CHUNK = 2**17  # entries that are widened to double precision at a time: they stay in the cache


class LeftSpectrum(NamedTuple):
    """Of matrices ``(batch, m, n)`` with m at most n, in double precision.

    Attributes
    ----------
    values
        Singular values, descending, ``(batch, m)``; NaN for a matrix that is not finite.
    vectors
        Left singular vectors as columns, ``(batch, m, m)``.
    """

    values: Tensor
    vectors: Tensor


Counts = Callable[[Tensor, float], Tensor]
"""Maps squared singular values ``(batch, m)`` and the relative error of the Gram matrix to a mask: which matter."""


def left_spectrum(x: Tensor, counts: Counts, *, single: bool = False) -> LeftSpectrum:
    r"""Return singular values and left singular vectors of ``x``, shape ``(batch, m, n)`` with m at most n.

    Squaring a matrix loses its small singular values: a Gram matrix of relative error :math:`\epsilon` knows
    :math:`\sigma_i^2` to :math:`\epsilon \sigma_1^2`. A result stands where every :math:`\sigma_i^2` that counts is
    known to a relative 1e-6 (single precision) or 1e-9 (double); elsewhere that matrix is taken again, by a Gram
    matrix in double precision, and at last by QR and SVD, which do not square.

    Parameters
    ----------
    x
        Real or complex; a matrix that is not finite gets NaN values.
    counts
        Which singular values matter for the caller. It is given those of the whole batch.
    single
        Whether to try the Gram matrix in single precision first: worth it where few large values count.
    """
    if x.shape[1] > LARGEST_GRAM:
        return _by_qr(x)
    double = double_of(x.dtype)
    exact_products = torch.get_float32_matmul_precision() == "highest" and not torch.backends.cuda.matmul.allow_tf32
    single_dtypes = [x.dtype] if single and exact_products and x.dtype in {torch.float32, torch.complex64} else []
    whole: LeftSpectrum | None = None
    left = torch.arange(len(x), device=x.device)
    for dtype in [*single_dtypes, double]:
        whole = _filled(whole, left, spectrum_of_gram(gram(x if whole is None else x[left], dtype)))
        resolved = is_resolved(whole.values, counts, product=dtype, data=x.dtype)
        left = left[~resolved[left]]
        if not len(left):
            return whole
    return _filled(whole, left, _by_qr(x[left]))


def gram(x: Tensor, dtype: torch.dtype) -> Tensor:
    r"""Return :math:`X X^H`, ``(batch, m, n) -> (batch, m, m)``, multiplied in ``dtype``; only its lower triangle.

    A wider ``dtype`` is taken chunk by chunk, so that no wide copy of ``x`` is ever held.
    """
    if x.dtype == dtype:
        return (x[0] @ x[0].mH)[None] if len(x) == 1 else x @ x.mH
    batch, m, _ = x.shape
    total = torch.zeros(batch, m, m, dtype=dtype, device=x.device)
    half = m // 2 if m >= 32 else 0  # smaller products cost more than the saved quarter
    # no power of two: rows that begin at the same place of the cache would push each other out
    for part in torch.split(x, max(512, _CHUNK // (batch * m)) + 16, dim=2):
        wide = part.to(dtype)
        if half:
            _add_product(total[:, :half, :half], wide[:, :half], wide[:, :half])
        _add_product(total[:, half:], wide[:, half:], wide)
    return total


def spectrum_of_gram(grams: Tensor) -> LeftSpectrum:
    """Return the spectrum from the lower triangles of Gram matrices; NaN values where they are not finite."""
    finite = grams.isfinite().flatten(1).all(1)
    grams = grams.to(double_of(grams.dtype))
    if not bool(finite.all()):
        grams = grams.where(finite[:, None, None], 0.0)
    squares, vectors = torch.linalg.eigh(grams)
    values = squares.flip(1).clamp_min(0.0).sqrt()
    return LeftSpectrum(values.where(finite[:, None], torch.nan), vectors.flip(2))


def is_resolved(values: Tensor, counts: Counts, *, product: torch.dtype, data: torch.dtype) -> Tensor:
    """Say for each matrix whether squaring in ``product`` left all that counts accurate for ``data``: ``(batch,)``."""
    accuracy = torch.finfo(product)
    squares = values.square()
    top = squares[:, 0]
    smallest = squares.where(counts(squares, accuracy.eps), torch.inf).amin(1)
    in_range = top > accuracy.tiny / accuracy.eps  # an underflow looks like a zero matrix
    limit = 1e-9 if data == double_of(data) else 1e-6
    return in_range & (accuracy.eps * top <= limit * smallest)


def double_of(dtype: torch.dtype) -> torch.dtype:
    """Return complex128 for a complex dtype, float64 for the others."""
    return torch.complex128 if dtype.is_complex else torch.float64


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if len(total) == 1:  # the kernel of one matrix is faster than that of a batch of one
        total[0].addmm_(left[0], right[0].mH)
    else:
        total.baddbmm_(left, right.mH)


def _filled(whole: LeftSpectrum | None, where: Tensor, found: LeftSpectrum) -> LeftSpectrum:
    if whole is None:
        return found
    for ours, theirs in zip(whole, found, strict=True):
        ours[where] = theirs
    return whole


def _by_qr(x: Tensor) -> LeftSpectrum:
    finite = x.isfinite().flatten(1).all(1)
    clean = x.to(double_of(x.dtype)).where(finite[:, None, None], 0.0)
    factor = torch.linalg.qr(clean.mH, mode="r").R if x.shape[2] > x.shape[1] else clean.mH
    vectors, values, _ = torch.linalg.svd(factor.mH)
    return LeftSpectrum(values.where(finite[:, None], torch.nan), vectors)
