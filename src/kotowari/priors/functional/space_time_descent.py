"""The iteration behind the split of a run: one pass over blocks of rows a step, all of it in the memory of the CPU."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.priors.run_rows import RunRows

__all__ = ["Descent", "Look", "RunWeights", "Workers", "workers"]

Array = npt.NDArray[Any]
Block = tuple[int, int]
ResultT = TypeVar("ResultT")

_BLOCK = 2048  # pixels of a block: its arrays stay in the cache
_SQUARED_NORM = 12.0  # bound of that of differences along three axes


class RunWeights(NamedTuple):
    r"""Weights of the terms: :math:`\lambda`, of variation in space and in time, of groups, and :math:`\mu`."""

    sparse: float
    space: float
    time: float
    group: float
    residual: float


class Look(NamedTuple):
    """Where a run stands: the objective, a lower bound of its minimum, and the factors of the low-rank part.

    L is ``left`` times ``right`` times the difference of D and the sparse part of the step before.
    """

    objective: float
    bound: float
    left: Array
    right: Array

    @property
    def gap(self) -> float:
        """The duality gap in parts of the objective."""
        return (self.objective - self.bound) / self.objective if self.objective > 0 else 0.0


class Workers(NamedTuple):
    """Applies a function to blocks, several at a time; results come in the order of the blocks."""

    pool: ThreadPoolExecutor

    def each(self, function: Callable[[Block], ResultT], blocks: list[Block]) -> list[ResultT]:
        """Return the results, one a block."""
        return list(self.pool.map(function, blocks))


@contextmanager
def workers(n_threads: int) -> Iterator[Workers]:
    """Yield workers; products of matrices inside them use one thread each, so that they do not fight for cores."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
        yield Workers(pool)


class Descent:
    r"""State of :math:`\min_{L, S \ge 0} \|L\|_* + h(S) + \frac{1}{2\mu} \|D - L - S\|^2` for one run D.

    The minimum over L alone is smooth in S, with gradient :math:`-(D - S - L)/\mu` at :math:`L = \mathrm{SVT}_\mu(D -
    S)`. A step of Condat and Vu with primal step :math:`\mu` and dual step :math:`\sigma = 1/(24 \mu)` reads

    .. math::
        L = \mathrm{SVT}_\mu(D - \hat S), \quad
        S^+ = \mathrm{prox}_{\mu(\lambda \|\cdot\|_1 + \iota_{\ge 0} + \gamma \|\cdot\|_{2,1})}(D - L - \mu \nabla^* p),
        \quad
        p^+ = \mathrm{clip}(p + \sigma \nabla (2 S^+ - S)), \quad
        \hat S^+ = S^+ + \beta (S^+ - S)

    and converges for :math:`\beta = 0`; inertia is ours. The singular values come from the Gram matrix, which is added
    up in double precision in the same pass, block by block in a fixed order.

    Because S is an exact proximal point, :math:`Y = (D - L - S)/\mu` is feasible for the conjugate of h whatever p is;
    divided by its spectral norm where that is above 1, it gives the lower bound
    :math:`\langle Y, D \rangle - \frac{\mu}{2} \|Y\|^2`.

    Parameters
    ----------
    rows
        D.
    inside
        Field, ``(height, width)``; outside of it everything is 0 and no difference counts.
    weights
        Weights of the terms.
    compact
        Whether S and p are kept as 16-bit integers in place of the precision of the work.
    team
        See :func:`workers`.

    Source: Condat 2013, J. Optim. Theory Appl. 158, algorithm 3.1 and theorem 3.1; Vu 2013, Adv. Comput. Math. 38;
    Candes et al. 2011, J. ACM 58(3) (low rank plus sparse); Zhou et al. 2010, arXiv 1001.2363 (with a residual).
    """

    def __init__(self, rows: RunRows, inside: Array, weights: RunWeights, compact: bool, team: Workers) -> None:
        self.rows, self.weights, self.team = rows, weights, team
        n_frames, height, width = rows.shape
        self.dtype = np.dtype(rows.dtype)
        self.number: Any = self.dtype.type
        self.inside = np.ascontiguousarray(inside, self.dtype)
        step = max(1, _BLOCK // width)
        self.blocks = [(begin, min(begin + step, height)) for begin in range(0, height, step)]
        self.unit, self.dual_unit = 1.0, 1.0
        self.top, self.half = float(np.finfo(self.dtype).max), 0.0
        sparse_dtype, dual_dtype = self.dtype, self.dtype
        reach = self._survey()
        if compact:
            sparse_dtype, dual_dtype = np.dtype(np.uint16), np.dtype(np.int16)
            self.top, self.half = 65535.0, 0.5
            self.unit, self.dual_unit = (reach or 1.0) / self.top, 1.0 / 32767.0
        self.newer = np.zeros(rows.shape, sparse_dtype)
        self.older = np.zeros(rows.shape, sparse_dtype)
        n_parts = 3 if weights.space > 0 or weights.time > 0 else 0
        self.dual = [np.zeros(rows.shape, dual_dtype) for _ in range(n_parts)] or [np.zeros_like(self.newer)] * 3
        self.has_dual = n_parts > 0
        self.beta, self.gram = 0.0, np.zeros((n_frames, n_frames))

    def begin(self) -> None:
        """Take the Gram matrix of D - S at the start, after ``newer`` and ``dual`` were set."""
        self.older[:] = self.newer
        self.beta = 0.0
        self.gram = self._gram()

    def advance(self, beta: float) -> None:
        """Take one step; the next one looks ahead by ``beta``."""
        left, right, _ = self._factors()

        def one(block: Block) -> Array:
            work = self._work(block, left, right)
            self._move_primal(work, block, beta)
            return _product(work[-1])

        self.gram = np.sum(self.team.each(one, self.blocks), axis=0)
        self._swap(beta)
        self.step_dual()

    def look(self) -> Look:
        """Take the primal half of a step and judge where it arrives; :meth:`resume` takes the other half.

        The step before must not have looked ahead.
        """
        left, right, nuclear = self._factors()

        def one(block: Block) -> tuple[Array, float]:
            work = self._work(block, left, right)
            self._move_primal(work, block, -1.0)
            return _product(work[-1]), float(np.vdot(_flat(work[-1]), _flat(work[0]).astype(np.float64)))

        found = self.team.each(one, self.blocks)
        self._swap(0.0)
        gram = np.sum([product for product, _ in found], axis=0)
        inner, square = sum(number for _, number in found), float(np.trace(gram))
        norm = float(np.linalg.eigvalsh(gram)[-1].clip(0)) ** 0.5 / self.weights.residual
        scale = min(1.0 / max(norm, 1.0), inner / square) if square > 0 else 0.0
        bound = (scale * inner - 0.5 * scale**2 * square) / self.weights.residual
        objective = nuclear + self.price() + 0.5 * square / self.weights.residual
        return Look(objective, bound, left, right)

    def background(self, look: Look) -> tuple[Array, Array]:
        """Return L just after a look as ``(frame, rank)`` with orthonormal columns times ``(rank, height, width)``."""
        shares = np.linalg.norm(look.left, axis=0)
        kept = look.right * shares[:, None]
        space = np.empty((len(kept), *self.rows.shape[1:]), self.dtype)

        def one(block: Block) -> None:
            before = self.number(self.unit) * self.older[:, slice(*block)]
            part = space[:, slice(*block)]
            part[:] = (kept @ _flat(self._data(block) - before)).reshape(part.shape)

        self.team.each(one, self.blocks)
        return np.asarray(look.left / shares), space

    def resume(self) -> None:
        """Take the dual half of the step that :meth:`look` began."""
        self.step_dual()
        self.gram = self._gram()

    def price(self) -> float:
        """Return h at the sparse part, its group and variation terms included."""
        from kotowari.priors.functional.space_time_kernel import price_rows  # numba takes a while to load

        def one(block: Block) -> Array:
            totals = np.empty(4)
            price_rows(self.newer, self.inside, block, self.unit, totals)
            return totals

        weights = self.weights
        totals = np.sum(self.team.each(one, self.blocks), axis=0)
        return float(totals @ (weights.sparse, weights.space, weights.time, weights.group))

    def step_dual(self) -> None:
        """Advance the dual of the variation."""
        from kotowari.priors.functional.space_time_kernel import move_dual  # numba takes a while to load

        if not self.has_dual:
            return
        step = self.unit / (2 * _SQUARED_NORM * self.weights.residual)
        parts = [step / weight if weight > 0 else 0.0 for weight in (self.weights.space, self.weights.time)]
        numbers = np.array([*parts, self.dual_unit, 1.0 / self.dual_unit, self.half], self.dtype)
        pair, dual = (self.newer, self.older), tuple(self.dual)
        self.team.each(lambda block: move_dual(pair, dual, self.inside, block, numbers), self.blocks)

    def _survey(self) -> float:
        """Return the range of the entries of D, all of them finite."""

        def one(block: Block) -> tuple[float, float, float]:
            data = self._data(block)
            return float(np.vdot(data, data)), float(data.min()), float(data.max())

        squares, lows, highs = zip(*self.team.each(one, self.blocks), strict=True)
        if not np.isfinite(squares).all():
            raise InputError("separate_run: the frames hold NaN or infinite entries inside the field. Fill them first.")
        return float(max(highs) - min(lows))

    def _gram(self) -> Array:
        products = self.team.each(
            lambda block: _product(self._matrix(block, self._data(block)).astype(np.float64)), self.blocks
        )
        return np.asarray(np.sum(products, axis=0))

    def _factors(self) -> tuple[Array, Array, float]:
        """Return two factors whose product with D - S thresholds its singular values, and what is left of their sum."""
        squares, vectors = np.linalg.eigh(self.gram)
        values = np.sqrt(squares.clip(0))
        used = values > self.weights.residual
        vectors, left_over = vectors[:, used], values[used] - self.weights.residual
        left = vectors * (left_over / values[used])
        return left.astype(self.dtype), np.ascontiguousarray(vectors.T, self.dtype), float(left_over.sum())

    def _data(self, block: Block) -> Array:
        ins = self.inside[slice(*block)]
        return np.where(ins > 0, self.rows(*block), self.number(0))

    def _matrix(self, block: Block, data: Array) -> Array:
        """Return D - S, where S looks ahead."""
        rows = slice(*block)
        newer, unit = self.newer[:, rows], self.number(self.unit)
        if self.beta == 0:
            return np.asarray(data - unit * newer)
        old = self.number(self.unit * self.beta)
        return np.asarray(data - (unit + old) * newer + old * self.older[:, rows])

    def _work(self, block: Block, left: Array, right: Array) -> tuple[Array, ...]:
        data = self._data(block)
        matrix = self._matrix(block, data)
        low = left @ (right @ _flat(matrix))
        return data, low.reshape(data.shape), matrix, np.empty(data.shape)

    def _move_primal(self, work: tuple[Array, ...], block: Block, beta: float) -> None:
        from kotowari.priors.functional.space_time_kernel import move_primal  # numba takes a while to load

        weights = self.weights
        parts = [weights.residual * self.dual_unit * weight for weight in (weights.space, weights.time)]
        group = weights.residual * weights.group
        stored = (self.unit, 1.0 / self.unit, self.half, self.top)
        numbers = np.array([weights.residual * weights.sparse, *parts, group, beta, *stored], self.dtype)
        move_primal(work, (self.older, self.newer), tuple(self.dual), self.inside, block, numbers)

    def _swap(self, beta: float) -> None:
        self.newer, self.older, self.beta = self.older, self.newer, beta


def _flat(block: Array) -> Array:
    return block.reshape(len(block), -1)


def _product(block: Array) -> Array:
    flat = _flat(block)
    return np.asarray(flat @ flat.T)
