"""Edges planted into the user's own table: how strong one must be to be found there."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.genenet.phantom import Shape, edge_curve

__all__ = ["EdgeImplant", "PlantedEdges"]

FloatArray = npt.NDArray[np.float64]

_STRANGERS, _TRIES = 0.3, 1000


@dataclass(frozen=True)
class PlantedEdges:
    """What was planted into a real table.

    Attributes
    ----------
    regulators, targets
        Names, one pair an edge; all targets differ.
    coefficients
        Shape ``(edge, sample)``, units of target per unit of regulator.
    """

    regulators: tuple[str, ...]
    targets: tuple[str, ...]
    coefficients: FloatArray


@dataclass(frozen=True)
class EdgeImplant:
    r"""Edges in the user's own table, as :func:`kotowari.trust.run_implants` plants them.

    .. math:: t'_a = t_a + s \frac{\mathrm{sd}(t)}{\mathrm{sd}(r)}\, \mathrm{shape}(u_a)\, (r_a - \bar r)

    with the rank u of the modulator from 0 to 1: an edge of strength s adds s standard deviations of the target for one
    of the regulator where it is fully on. It answers how strong a lone, varying edge must be to be found amid the
    variation of these very samples. Real edges of the target stay. It does not answer which real edges were missed.

    Parameters
    ----------
    X
        Shape ``(sample, gene)``, finite; left as it was.
    modulator
        Shape ``(sample,)``. It stays as it was: take no target that it was computed from.
    regulators, targets
        Genes that may be joined; pairs whose correlation is 0.3 or more already are not drawn.
    n_edges
        Edges planted at once, 1 or more.
    shape
        See :func:`edge_curve`.
    """

    X: pd.DataFrame
    modulator: FloatArray
    regulators: tuple[str, ...]
    targets: tuple[str, ...]
    n_edges: int = 1
    shape: Shape = "switch"

    def __post_init__(self) -> None:
        if np.shape(self.modulator) != (len(self.X),):
            raise ShapeError.mismatch("EdgeImplant", "modulator", (len(self.X),), np.shape(self.modulator))
        absent = [name for name in (*self.regulators, *self.targets) if name not in self.X.columns]
        if absent:
            raise InputError(f"EdgeImplant: the table has no gene {absent[0]!r}.")
        if not 1 <= self.n_edges <= len(self.targets):
            raise InputError(f"EdgeImplant: needs 1 to {len(self.targets)} edges, one a target, got {self.n_edges}.")

    def __call__(self, grade: float, rng: np.random.Generator) -> tuple[pd.DataFrame, PlantedEdges]:
        """Return the table with the edges, and what they are.

        Parameters
        ----------
        grade
            Strength s, 0 or more; 0 plants nothing between the same pairs.
        rng
            One state of it gives the same pairs at every grade.

        Raises
        ------
        DesignError
            When no pair of unrelated genes is found in 1,000 draws.
        """
        pairs = self._pairs(rng)
        ranks = np.argsort(np.argsort(self.modulator, kind="stable"), kind="stable") / max(len(self.X) - 1, 1)
        curve = edge_curve(self.shape, ranks)
        table, coefficients = self.X.astype(np.float64), []
        for regulator, target in pairs:
            source, goal = table[regulator].to_numpy(), table[target].to_numpy()
            coefficients.append(grade * goal.std() / source.std() * curve)
            table[target] = goal + coefficients[-1] * (source - source.mean())
        regulators, targets = zip(*pairs, strict=True)
        return table, PlantedEdges(regulators, targets, np.array(coefficients))

    def _pairs(self, rng: np.random.Generator) -> list[tuple[str, str]]:
        """Draw pairs whose regulators are no planted targets, so that no effect is carried on."""
        pairs: list[tuple[str, str]] = []
        for _ in range(_TRIES):
            regulator, target = str(rng.choice(self.regulators)), str(rng.choice(self.targets))
            planted = {end for _, end in pairs}
            if regulator == target or regulator in planted or target in {end for pair in pairs for end in pair}:
                continue
            x, y = self.X[regulator].to_numpy(dtype=np.float64), self.X[target].to_numpy(dtype=np.float64)
            if min(x.std(), y.std()) > 0 and abs(np.corrcoef(x, y)[0, 1]) < _STRANGERS:
                pairs.append((regulator, target))
            if len(pairs) == self.n_edges:
                return pairs
        raise DesignError(
            f"EdgeImplant: {len(pairs)} of {self.n_edges} pairs with a correlation below {_STRANGERS} were found in "
            f"{_TRIES} draws. Plant fewer, or name more regulators and targets."
        )
