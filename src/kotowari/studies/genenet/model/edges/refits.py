"""Refits of all networks on changed tables: what each of them starts from, and where their results are kept."""

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from kotowari.core.cluster import Cluster
from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.jobs import Arrays, map_jobs
from kotowari.core.progress import Advance
from kotowari.studies.genenet.model.profile.input import (
    expression_table,
    gene_positions,
    require_finite,
    require_varying,
)
from kotowari.studies.genenet.model.profile.profiler import NetworkProfiler
from kotowari.studies.genenet.model.profile.weights import modulator_table
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["RefitTable", "refits_at_once", "run_refits", "unit_of_rows"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Cells = npt.NDArray[np.int64]

# options that no coefficient depends on; every refit runs in one process, on one thread
_NO_RESULT: dict[str, Any] = {"folder": None, "n_jobs": 1, "verbose": False, "cluster": None}


@dataclass(frozen=True, eq=False)
class RefitTable:
    """The genes that take part, the modulator, and the unfitted profiler that every refit clones.

    A possible edge has a number, its cell: target times the number of regulators, plus regulator. Refits that leave out
    genes keep these numbers.

    Attributes
    ----------
    profiler
        Unfitted; without folder, cluster and threads.
    values
        Shape ``(sample, gene)``: the regulators, and the targets that are no regulators.
    genes, regulators, targets
        Names; ``genes`` those of the columns.
    modulator
        Shape ``(sample, modulator)``.
    """

    profiler: NetworkProfiler
    values: Floats
    genes: tuple[str, ...]
    regulators: tuple[str, ...]
    targets: tuple[str, ...]
    modulator: Floats

    @classmethod
    def of(
        cls,
        profiler: NetworkProfiler,
        X: Any,
        modulator: npt.ArrayLike,
        regulators: Sequence[Any] | None,
        targets: Sequence[Any] | None,
    ) -> Self:
        """Check the table as :meth:`NetworkProfiler.fit` does, and keep what refits need.

        Raises
        ------
        InputError, ShapeError, DesignError
            As in :meth:`NetworkProfiler.fit`.
        """
        table = expression_table(X)
        axis = modulator_table(modulator, len(table.values), np.array(table.samples))
        places = [
            gene_positions(names, table.genes, what=what)
            for what, names in (("regulators", regulators), ("targets", targets))
        ]
        used = np.array(list(dict.fromkeys(np.concatenate(places).tolist())))
        require_finite(table, used)
        for column, what in zip(places, ("regulators", "targets"), strict=True):
            require_varying(table, column, what=what)
        names = [tuple(table.genes[k] for k in column) for column in (used, *places)]
        # clone() would copy a cluster, which cannot be copied
        unfitted = NetworkProfiler(**(profiler.get_params() | _NO_RESULT))
        return cls(unfitted, table.values[:, used], names[0], names[1], names[2], axis)

    @property
    def n_possible(self) -> int:
        """Pairs of a regulator and a target that may have an edge: all but those of a gene with itself."""
        return len(self.regulators) * len(self.targets) - len(set(self.regulators) & set(self.targets))

    def key(self, name: str, *parts: npt.NDArray[Any] | str | int) -> str:
        """Return a name for a job, with a digest of the table, the profiler and whatever else its result depends on."""
        digest = hashlib.blake2b(digest_size=12)
        options = [item for item in sorted(self.profiler.get_params().items()) if item[0] not in _NO_RESULT]
        for part in (self.values, self.modulator, self.genes, self.regulators, self.targets, *options, *parts):
            for piece in part if isinstance(part, tuple) else (part,):
                digest.update(_bytes_of(piece) + b"\x1f")
        return f"{name}-{digest.hexdigest()}"

    def fit(self, values: Floats, modulator: Floats, **options: Any) -> NetworkProfiler:
        """Fit a clone to a changed table of the same genes, without the warnings of the profiler.

        A gene that does not vary among the rows takes no part: as a regulator it has no edge, as a target no network.

        Parameters
        ----------
        values
            Shape ``(row, gene)``.
        modulator
            Shape ``(row, modulator)``.
        options
            Options of the profiler to be changed.

        Raises
        ------
        DesignError
            When no regulator or no target varies.
        """
        varies = dict(zip(self.genes, np.ptp(values, axis=0) > 1e-12 * np.abs(values).max(0), strict=True))
        sides = [np.array([varies[name] for name in names]) for names in (self.regulators, self.targets)]
        if not all(side.any() for side in sides):
            raise DesignError(
                f"A refit on {len(values)} rows has no regulator, or no target, that varies among them. Bring more "
                "samples, or genes that are measured in more of them."
            )
        fresh: NetworkProfiler = clone(self.profiler).set_params(**options)
        if fresh.penalty_factors is not None:
            factors = np.atleast_2d(np.asarray(fresh.penalty_factors, dtype=np.float64))[:, sides[0]]
            fresh.set_params(penalty_factors=factors[sides[1]] if len(factors) > 1 else factors)
        regulators, targets = (
            [name for name, kept in zip(names, side, strict=True) if kept]
            for names, side in zip((self.regulators, self.targets), sides, strict=True)
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "NetworkProfiler:", UserWarning)
            frame = pd.DataFrame(values, columns=list(self.genes))
            return fresh.fit(frame, modulator, regulators=regulators, targets=targets)

    @staticmethod
    def networks_of(fitted: NetworkProfiler) -> NetworkStack:
        """Return the networks of the rows, without a warning where they have no edge."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "NetworkProfiler: no network has an edge", UserWarning)
            return fitted.networks()

    def edge_cells(self, stack: NetworkStack) -> Cells:
        """Return the cell of every edge of a stack, shape ``(edge,)``."""
        sources = self.positions("regulators", stack.regulators)
        ends = self.positions("targets", stack.targets)
        cells: Cells = ends[stack.edge_target] * len(self.regulators) + sources[stack.edge_regulator]
        return cells

    def positions(self, side: str, names: Sequence[str]) -> Cells:
        """Return where names stand among ``"regulators"`` or ``"targets"``.

        Raises
        ------
        InputError
            When one is not there.
        """
        place = {name: k for k, name in enumerate(getattr(self, side))}
        if absent := [name for name in names if name not in place]:
            raise InputError(f"edges: {absent[0]!r} is not among the {side}.")
        return np.array([place[name] for name in names], dtype=np.int64)

    def names(self, cells: Cells) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
        """Return the names of regulator and target of cells."""
        target, regulator = np.divmod(cells, len(self.regulators))
        return np.array(self.regulators, dtype=object)[regulator], np.array(self.targets, dtype=object)[target]


def run_refits(
    function: Callable[..., Arrays],
    jobs: Mapping[str, tuple[Any, ...]],
    *,
    shards: Path | None,
    workers: int,
    advance: Advance | None,
    cluster: Any = None,
) -> dict[str, Arrays]:
    """Call ``function(*arguments)`` for every job; with ``shards`` as :func:`kotowari.core.jobs.map_jobs` does.

    Raises
    ------
    InputError
        When several workers, or a cluster, have no folder for shards.
    """
    if workers < 1 or (workers > 1 and shards is None):
        raise InputError(f"workers: 1, or more with a folder for shards; got {workers} and {shards}.")
    if cluster is not None and shards is None:
        raise InputError("cluster: results are kept in a folder as they come. Name one for shards.")
    tick = advance or _silent
    if shards is not None:
        return map_jobs(function, jobs, shards=shards, workers=workers, advance=tick, cluster=cluster)
    results = {}
    for key, arguments in jobs.items():
        results[key] = function(*arguments)
        tick()
    return results


def refits_at_once(key: str, *, shards: Path | None, workers: int, cluster: Cluster | None) -> int:
    """Return the size of the batch of refits that begins with ``key``; no cluster is asked for one that is kept."""
    if shards is not None and (shards / f"{key}.npz").is_file():
        return 1
    return workers if cluster is None else cluster.n_processes


def unit_of_rows(groups: npt.ArrayLike | None, n_rows: int) -> Rows:
    """Return the number of the unit, such as a patient, of every row, from 0; every row its own for None.

    Raises
    ------
    ShapeError, InputError
        When the groups have another length, or one is missing.
    """
    if groups is None:
        return np.arange(n_rows)
    owners = np.asarray(groups)
    if owners.shape != (n_rows,):
        raise ShapeError.mismatch("groups", "values", (n_rows,), owners.shape)
    missing = np.flatnonzero(pd.isna(owners))
    if len(missing):
        raise InputError(f"groups: that of row {missing[0]} is missing. Give every row its group, or no groups at all.")
    return np.asarray(np.unique(owners.astype(str), return_inverse=True)[1], dtype=np.intp)


def _bytes_of(part: Any) -> bytes:
    if isinstance(part, np.ndarray):
        return f"{part.dtype} {part.shape} ".encode() + np.ascontiguousarray(part).tobytes()
    return repr(part).encode()


def _silent(units: int = 1) -> None:
    del units
