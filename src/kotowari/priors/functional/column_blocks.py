"""One pass over the data for one step of the inexact augmented Lagrangian method of low rank plus sparse."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kotowari.core.outcome import Outcome, Status
from kotowari.priors.functional.gram_spectrum import LeftSpectrum, left_spectrum, spectrum_of_gram

__all__ = ["ColumnBlocks", "LowRankSparse", "absorb"]

_WIDTH = 2064  # columns of a block: it stays in the cache, and no power of two keeps its rows apart there
_COMPILED_FROM = 2**19  # entries from which the compiled pass is worth loading its compiler


class LowRankSparse(NamedTuple):
    """Two parts of the data, and the multiplier of their sum: a subgradient of both penalties at their parts."""

    low_rank: Tensor
    sparse: Tensor
    multiplier: Tensor


Absorb = Callable[[Tensor, Tensor, Tensor, Tensor, float, float], float]


class ColumnBlocks:
    r"""One real matrix D, ``(m, n)`` with m at most n, cut into blocks of columns that stay in the cache.

    With :math:`Z = Y/\mu`, :math:`M = D - S + Z` and :math:`C = \mathrm{clip}(D - L + Z, \pm\lambda/\mu)`, a step of
    :func:`~kotowari.solvers.inexact_alm.inexact_alm_step` reads

    .. math:: L = \mathrm{SVT}_{1/\mu}(M), \quad Z^+ = C/\rho, \quad M^+ = L - Z + C + Z^+, \quad D - L - S = C - Z

    so that D, Z and M are all that it touches. The Gram matrix of :math:`M^+` is added up in the same pass, in the
    precision of D as long as the error of the thresholded matrix stays far below the residual, then in double.

    Parameters
    ----------
    matrix
        D, finite.
    weight
        :math:`\lambda` above 0.
    growth
        :math:`\rho` of at least 1.
    """

    def __init__(self, matrix: Tensor, *, weight: float, growth: float) -> None:
        self.shape, self.weight, self.growth = matrix.shape, weight, growth
        m, n = matrix.shape
        width = min(_WIDTH, n)
        low, high = (float(bound) for bound in torch.aminmax(matrix))
        self.scale = max(-low, high) or 1.0  # the problem is homogeneous, and squares of entries of size 1 are safe
        padded = torch.nn.functional.pad(matrix, (0, -n % width))  # columns of zeros stay zero
        self.data = (padded / self.scale).reshape(m, -1, width).transpose(0, 1).contiguous()
        self.norm = float(torch.linalg.vector_norm(self.data)) or 1.0
        self.residual = 1.0
        self.product = matrix.dtype  # in which Gram matrices are multiplied
        self.gram = self._gram_of(self.data)
        spectral_norm = float(spectrum_of_gram(self.gram[None]).values[0, 0]) or 1.0
        self.penalty = 1.25 / spectral_norm
        self.most = 1e7 * self.penalty
        pull = 1.0 / (max(spectral_norm, 1.0 / weight) * self.penalty)
        self.pull = self.data * pull
        self.matrix = self.data + self.pull
        self.gram *= (1.0 + pull) ** 2
        self.absorb = _absorb_for(self.data)

    def solve(self, tol: float, max_steps: int) -> Outcome[LowRankSparse]:
        r"""Take steps until :math:`\|D - L - S\| \le \mathrm{tol} \|D\|`; the parts have the shape of D.

        The residual is that of the recursion, except the last one, which is taken from the parts themselves.
        """
        trace: list[tuple[float]] = []
        while len(trace) < max_steps - 1:
            self._advance()
            trace.append((self.residual,))
            if self.residual <= tol:
                break
        parts = self._last_step()
        trace.append((self.residual,))
        status = Status.CONVERGED if self.residual <= tol else Status.MAX_STEPS
        return Outcome(parts, (status,), (len(trace),), tuple(trace))

    def _advance(self) -> None:
        left, right = self._factors()
        grown = min(self.growth * self.penalty, self.most)
        clip, decay = self.weight / self.penalty, self.penalty / grown
        total = 0.0
        self.gram = torch.zeros_like(self.gram, dtype=self.product)
        low_rank = torch.empty_like(self.data[0])
        for data, pull, matrix in zip(self.data, self.pull, self.matrix, strict=True):
            torch.mm(left, right @ matrix, out=low_rank)
            total += self.absorb(low_rank, pull, matrix, data, clip, decay)
            wide = matrix.to(self.product)
            self.gram.addmm_(wide, wide.mT)
        self.penalty, self.residual = grown, float(total**0.5) / self.norm

    def _last_step(self) -> LowRankSparse:
        """Take the last step, which writes the parts and the multiplier where M, D and Z stood."""
        left, right = self._factors()
        clip = self.weight / self.penalty
        total = 0.0
        for data, pull, matrix in zip(self.data, self.pull, self.matrix, strict=True):
            low_rank = left @ (right @ matrix)
            rest = data - low_rank
            clipped = (rest + pull).clamp_(-clip, clip)
            sparse = rest + pull - clipped
            total += float(torch.linalg.vector_norm(rest.sub_(sparse))) ** 2
            matrix.copy_(low_rank).mul_(self.scale)
            data.copy_(sparse).mul_(self.scale)
            pull.copy_(clipped).mul_(self.penalty)
        self.residual = total**0.5 / self.norm
        return LowRankSparse(*(self._joined(part) for part in (self.matrix, self.data, self.pull)))

    def _factors(self) -> tuple[Tensor, Tensor]:
        """Return two factors whose product with M is M with its singular values thresholded."""
        bar = 1.0 / self.penalty
        values, vectors = self._spectrum(bar)
        rank = int((values[0] > bar).sum())
        used = vectors[0, :, :rank]
        left = used * (1.0 - bar / values[0, :rank])
        return left.to(self.data.dtype), used.mT.contiguous().to(self.data.dtype)

    def _spectrum(self, bar: float) -> LeftSpectrum:
        found = spectrum_of_gram(self.gram[None])
        if self._is_enough(found, bar):
            return found
        if self.product != torch.float64:
            self.product = torch.float64
            self.gram = self._gram_of(self.matrix)
            return self._spectrum(bar)
        return left_spectrum(self._joined(self.matrix)[None], lambda squares, _: squares > bar**2)

    def _is_enough(self, found: LeftSpectrum, bar: float) -> bool:
        """Say whether the Gram matrix changes the thresholded one by less than a tenth of the residual."""
        squares = found.values[0].square()
        error = torch.finfo(self.product).eps * squares[0]
        counted = squares[squares + error > bar**2]
        return not len(counted) or bool(error <= 0.1 * self.residual * (squares[0] * counted[-1]).sqrt())

    def _gram_of(self, blocks: Tensor) -> Tensor:
        total = torch.zeros(self.shape[0], self.shape[0], dtype=self.product, device=blocks.device)
        for block in blocks:
            wide = block.to(self.product)
            total.addmm_(wide, wide.mT)
        return total

    def _joined(self, blocks: Tensor) -> Tensor:
        m, n = self.shape
        return blocks.transpose(0, 1).reshape(m, -1)[:, :n].contiguous()


def absorb(low_rank: Tensor, pull: Tensor, matrix: Tensor, data: Tensor, clip: float, decay: float) -> float:
    r"""Write :math:`Z^+` over ``pull`` and :math:`M^+` over ``matrix``, and return :math:`\|C - Z\|^2`."""
    low_rank = low_rank - pull
    torch.sub(data, low_rank, out=matrix).clamp_(-clip, clip)
    total = float(torch.linalg.vector_norm(matrix - pull)) ** 2
    torch.mul(matrix, decay, out=pull)
    matrix.add_(low_rank).add_(pull)
    return total


def _absorb_for(data: Tensor) -> Absorb:
    """Return :func:`absorb`, or the same as one compiled loop where there is a compiler and enough to do."""
    if data.device.type != "cpu" or data.numel() < _COMPILED_FROM or find_spec("numba") is None:
        return absorb
    return _compiled_absorb()


@cache
def _compiled_absorb() -> Absorb:
    from numba import njit

    loop: Callable[..., float] = njit(cache=True, fastmath={"contract", "nnan", "nsz", "reassoc"})(_absorb_loop)

    def run(low_rank: Tensor, pull: Tensor, matrix: Tensor, data: Tensor, clip: float, decay: float) -> float:
        arrays = [tensor.view(-1).numpy() for tensor in (low_rank, pull, matrix, data)]
        number = arrays[0].dtype.type
        return float(loop(*arrays, number(clip), number(decay)))

    return run


def _absorb_loop(low_rank: Any, pull: Any, matrix: Any, data: Any, clip: Any, decay: Any) -> Any:
    total = clip * 0
    for i in range(data.size):
        old = pull[i]
        free = data[i] - low_rank[i] + old
        clipped = min(max(free, -clip), clip)
        total += (clipped - old) * (clipped - old)
        new = decay * clipped
        pull[i] = new
        matrix[i] = data[i] - free + clipped + new
    return total
