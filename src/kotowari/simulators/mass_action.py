"""Chemical reaction networks with mass-action kinetics."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm

import torch
from torch import Tensor, nn

from kotowari.core.checks import few, require_unique
from kotowari.core.errors import InputError, ShapeError
from kotowari.simulators.adjoint import Implicit
from kotowari.simulators.explicit import RungeKutta4
from kotowari.simulators.simulator import DifferentialEquation

__all__ = ["MassAction", "conserved_moieties"]

Counts = Sequence[Sequence[int]]


class MassAction(DifferentialEquation):
    r"""A chemical reaction network whose fluxes follow the law of mass action.

    .. math::
        J^+_r = k^+_r \prod_X X^{\nu^+_{rX}}, \quad J^-_r = k^-_r \prod_X X^{\nu^-_{rX}}, \quad
        \dot X = \sum_r (\nu^-_{rX} - \nu^+_{rX}) (J^+_r - J^-_r)

    without the factorials that counts of molecules would bring. Chemostatted species keep their concentration and are
    no states. Learned are the logarithms of the rate constants; a subclass that has them from elsewhere (standard
    potentials, say) overrides ``log_rate_constants``.

    Parameters
    ----------
    reactants, products
        How many molecules of each species go into and come out of each reaction, :math:`\nu^+` and :math:`\nu^-`:
        integers of 0 or more, shape ``(n_reactions, n_species)``.
    rates
        Forward rate constants, above 0, one a reaction; of order m in ``state_unit``^(1 - m) / ``time_unit``.
    reverse_rates
        Backward rate constants, one a reaction: above 0, or 0 where the reaction has no way back, which no learning
        opens again. All are 0 by default.
    species
        Names of all species, chemostatted ones among them.
    chemostatted
        Concentration of each species that is held fixed, 0 or more.
    state_unit, time_unit
        Units of concentrations and of the time.
    method
        How to integrate; see :class:`~kotowari.simulators.simulator.DifferentialEquation`.

    Attributes
    ----------
    state_names
        The species that are not chemostatted, in the order given.
    log_rates
        Parameter, shape ``(n_directed,)``, float64: all forward reactions, then the backward ones that there are.
    stoichiometry
        What one event of each reaction adds to each state, shape ``(n_states, n_reactions)``.

    Raises
    ------
    InputError, ShapeError
        When counts, rates or names do not fit together.
    """

    _slots: Tensor
    _one_hot: Tensor
    _change: Tensor
    _held: Tensor
    stoichiometry: Tensor

    def __init__(
        self,
        reactants: Counts,
        products: Counts,
        rates: Sequence[float],
        *,
        species: Sequence[str],
        reverse_rates: Sequence[float] | None = None,
        chemostatted: Mapping[str, float] | None = None,
        state_unit: str = "mol/L",
        time_unit: str = "s",
        method: Implicit | RungeKutta4 | None = None,
    ) -> None:
        require_unique(species, what="species", where="MassAction")
        held = dict(chemostatted or {})
        _require_held(held, species)
        states = [name for name in species if name not in held]
        super().__init__(states, state_unit=state_unit, time_unit=time_unit, method=method)
        order = [list(species).index(name) for name in (*states, *held)]
        before = [[row[column] for column in order] for row in _require_counts("reactants", reactants, species)]
        after = [[row[column] for column in order] for row in _require_counts("products", products, species)]
        if len(before) != len(after):
            raise ShapeError(f"MassAction: {len(before)} rows of reactants, but {len(after)} rows of products.")
        forward, backward = _require_rates(rates, reverse_rates, len(before))
        self.n_reactions = len(before)
        self.reversible = tuple(number for number, rate in enumerate(backward) if rate > 0)
        self.species = (*states, *held)
        self._before, self._after = before, after
        self.log_rates = nn.Parameter(_float64([*forward, *[backward[number] for number in self.reversible]]).log())
        self._store(list(held.values()))

    def _store(self, held: list[float]) -> None:
        n_states = self.n_states
        difference = torch.tensor(self._after, dtype=torch.float64) - torch.tensor(self._before, dtype=torch.float64)
        change = difference[:, :n_states]
        reversible = list(self.reversible)
        consumed = [*self._before, *[self._after[number] for number in reversible]]
        slots = _slots(consumed, pad=len(self.species))
        one_hot = nn.functional.one_hot(slots, len(self.species) + 1)[..., :n_states]
        self.register_buffer("stoichiometry", change.T.contiguous(), persistent=False)
        self.register_buffer("_change", torch.cat([change, -change[reversible]]), persistent=False)
        self.register_buffer("_slots", slots, persistent=False)
        self.register_buffer("_one_hot", one_hot.to(torch.float64), persistent=False)
        self.register_buffer("_held", _float64([*held, 1.0]), persistent=False)

    def log_rate_constants(self) -> Tensor:
        """Return the logarithms of all rate constants, ordered as ``log_rates``."""
        return self.log_rates

    def rate(self, time: Tensor, state: Tensor) -> Tensor:  # noqa: ARG002  # the law does not depend on time
        """Return the rate of change of the states: ``(batch, n_states)`` to the same."""
        return self._directed_fluxes(state) @ self._change.to(state.dtype)

    def jacobian(self, time: Tensor, state: Tensor) -> Tensor:  # noqa: ARG002
        """Return the derivative of the rate in the state, ``(batch, n_states, n_states)``, by its formula."""
        factors, rates = self._factors(state), self._rate_constants(state)
        slopes = state.new_zeros(len(state), len(rates), self.n_states)
        for number in range(len(factors)):
            others = rates
            for other in (*factors[:number], *factors[number + 1 :]):
                others = others * other
            slopes = slopes + others.unsqueeze(-1) * self._one_hot[number].to(state.dtype)
        return self._change.T.to(state.dtype) @ slopes

    def fluxes(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the forward and the backward flux of each reaction.

        Parameters
        ----------
        state
            Concentrations, shape ``(..., n_states)``, such as a trajectory.

        Returns
        -------
        tuple of Tensor
            Two of shape ``(..., n_reactions)``, in ``state_unit`` / ``time_unit``; backward is 0 without a way back.
        """
        directed = self._directed_fluxes(state.reshape(-1, self.n_states))
        backward = directed.new_zeros(len(directed), self.n_reactions)
        backward[:, list(self.reversible)] = directed[:, self.n_reactions :]
        shape = (*state.shape[:-1], self.n_reactions)
        return directed[:, : self.n_reactions].reshape(shape), backward.reshape(shape)

    def conserved(self) -> Tensor:
        """Return the conserved moieties as :func:`conserved_moieties` of the states: ``(n_moieties, n_states)``."""
        return conserved_moieties(self.stoichiometry.to(torch.int64).tolist()).to(self.stoichiometry)

    def reactions(self) -> tuple[str, ...]:
        """Return each reaction as a line such as ``"2 A + B <-> C"``."""
        arrows = ["<->" if number in self.reversible else "->" for number in range(self.n_reactions)]
        return tuple(
            f"{self._side(before)} {arrow} {self._side(after)}"
            for before, arrow, after in zip(self._before, arrows, self._after, strict=True)
        )

    def constants(self) -> dict[str, Tensor]:
        """Return the rate constants: ``k1`` of the first reaction, ``k1_reverse`` of its way back, and so on."""
        return dict(zip(self._constant_names(), self.log_rate_constants().exp().unbind(), strict=True))

    def constant_units(self) -> dict[str, str]:
        """Return the unit of each rate constant."""
        consumed = [*self._before, *[self._after[number] for number in self.reversible]]
        return {
            name: _rate_unit(sum(counts), self.state_unit, self.time_unit)
            for name, counts in zip(self._constant_names(), consumed, strict=True)
        }

    def _constant_names(self) -> list[str]:
        forward = [f"k{number + 1}" for number in range(self.n_reactions)]
        return [*forward, *[f"k{number + 1}_reverse" for number in self.reversible]]

    def _side(self, counts: list[int]) -> str:
        terms = zip(counts, self.species, strict=True)
        return " + ".join(f"{n} {name}" if n > 1 else name for n, name in terms if n) or "nothing"

    def _rate_constants(self, state: Tensor) -> Tensor:
        return self.log_rate_constants().exp().to(state.dtype)

    def _factors(self, state: Tensor) -> tuple[Tensor, ...]:
        """Return the concentrations that multiply each directed reaction, one tensor for each molecule it takes."""
        extended = torch.cat([state, self._held.to(state.dtype).expand(len(state), -1)], dim=1)
        factors = extended.index_select(1, self._slots.flatten()).reshape(len(state), *self._slots.shape)
        return factors.unbind(1)

    def _directed_fluxes(self, state: Tensor) -> Tensor:
        fluxes = self._rate_constants(state)
        for factor in self._factors(state):
            fluxes = fluxes * factor
        return fluxes.expand(len(state), -1)


def conserved_moieties(stoichiometry: Counts) -> Tensor:
    """Return the sums of concentrations that no reaction changes: a basis of the left null space.

    Exact: the rational row reduction of the transpose, each basis vector scaled to coprime integers. Entries can be
    negative; a basis without negative entries need not exist.

    Parameters
    ----------
    stoichiometry
        Integers, shape ``(n_species, n_reactions)``.

    Returns
    -------
    Tensor
        Integers, shape ``(n_moieties, n_species)``.

    Examples
    --------
    >>> conserved_moieties([[-1, 0], [1, -1], [0, 1]])
    tensor([[1, 1, 1]])
    """
    n_species = len(stoichiometry)
    rows = [[Fraction(entry) for entry in column] for column in zip(*stoichiometry, strict=True)]
    pivots: list[int] = []
    for column in range(n_species):
        rank = len(pivots)
        found = next((number for number in range(rank, len(rows)) if rows[number][column]), None)
        if found is None:
            continue
        rows[rank], rows[found] = rows[found], rows[rank]
        rows[rank] = [entry / rows[rank][column] for entry in rows[rank]]
        for number in range(len(rows)):
            if number != rank and rows[number][column]:
                factor = rows[number][column]
                rows[number] = [ours - factor * theirs for ours, theirs in zip(rows[number], rows[rank], strict=True)]
        pivots.append(column)
    free = [column for column in range(n_species) if column not in pivots]
    basis = [_whole([_null_entry(rows, pivots, column, species) for species in range(n_species)]) for column in free]
    return torch.tensor(basis, dtype=torch.int64).reshape(len(free), n_species)


def _null_entry(rows: list[list[Fraction]], pivots: list[int], free: int, species: int) -> Fraction:
    if species in pivots:
        return -rows[pivots.index(species)][free]
    return Fraction(species == free)


def _whole(vector: list[Fraction]) -> list[int]:
    common = lcm(*[entry.denominator for entry in vector])
    whole = [int(entry * common) for entry in vector]
    divisor = gcd(*whole)
    return [entry // divisor for entry in whole]


def _slots(consumed: list[list[int]], *, pad: int) -> Tensor:
    """Return which concentration stands at each factor of each reaction, ``(n_slots, n_directed)``; ``pad`` is a 1."""
    molecules = [[column for column, count in enumerate(counts) for _ in range(count)] for counts in consumed]
    order = max((len(row) for row in molecules), default=0)
    return torch.tensor([row + [pad] * (order - len(row)) for row in molecules], dtype=torch.int64).T.contiguous()


def _rate_unit(order: int, state_unit: str, time_unit: str) -> str:
    per_time = f"{time_unit}^-1"
    return {0: f"{state_unit} {per_time}", 1: per_time}.get(order, f"({state_unit})^{1 - order} {per_time}")


def _float64(numbers: Sequence[float]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def _require_held(held: dict[str, float], species: Sequence[str]) -> None:
    unknown = [name for name in held if name not in species]
    if unknown:
        raise InputError(f"MassAction: chemostatted {few(unknown)} stands in no species. Species: {few(species)}.")
    for name, concentration in held.items():
        if not 0 <= concentration < float("inf"):
            raise InputError(f"MassAction: the concentration of chemostatted {name} must be 0 or more, and finite.")


def _require_counts(what: str, counts: Counts, species: Sequence[str]) -> list[list[int]]:
    table = [[int(entry) for entry in row] for row in counts]
    if not table or any(len(row) != len(species) for row in table):
        raise ShapeError(f"MassAction: {what} must have one row a reaction and {len(species)} counts a row.")
    if any(
        entry < 0 or entry != given
        for row, raw in zip(table, counts, strict=True)
        for entry, given in zip(row, raw, strict=True)
    ):
        raise InputError(f"MassAction: {what} must hold integers of 0 or more.")
    return table


def _require_rates(
    rates: Sequence[float], reverse_rates: Sequence[float] | None, n_reactions: int
) -> tuple[list[float], list[float]]:
    forward = [float(rate) for rate in rates]
    backward = [0.0] * n_reactions if reverse_rates is None else [float(rate) for rate in reverse_rates]
    if len(forward) != n_reactions or len(backward) != n_reactions:
        raise ShapeError(
            f"MassAction: {n_reactions} reactions need as many rates, got {len(forward)} and {len(backward)} reverse."
        )
    finite = all(rate < float("inf") for rate in (*forward, *backward))
    if not finite or not all(rate > 0 for rate in forward) or not all(rate >= 0 for rate in backward):
        raise InputError("MassAction: rates must be above 0 and reverse rates 0 or more, and all must be finite.")
    return forward, backward
