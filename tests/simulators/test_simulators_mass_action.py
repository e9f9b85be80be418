"""Reaction networks against closed forms; what is conserved; and rates learned from noisy data."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reaction_toys import brusselator, isomerisation, robertson

from kotowari.core.errors import InputError, ShapeError
from kotowari.simulators.adjoint import Implicit
from kotowari.simulators.explicit import RungeKutta4
from kotowari.simulators.mass_action import MassAction, conserved_moieties


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


@pytest.mark.parametrize("method", [Implicit(1e-10, 1e-13), RungeKutta4(0.002)], ids=["implicit", "rk4"])
def test_an_isomerisation_relaxes_exponentially(method):
    times = torch.linspace(0, 2, 9, dtype=torch.float64)
    with torch.no_grad():
        path = isomerisation(2.0, 0.5, method)(double(1.0, 0.0).unsqueeze(0), times)[0]
    torch.testing.assert_close(path[:, 0], 0.2 + 0.8 * (-2.5 * times).exp(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("method", [Implicit(1e-10, 1e-13), RungeKutta4(0.002)], ids=["implicit", "rk4"])
def test_a_chain_has_its_closed_form(method):
    first, second = 3.0, 1.0
    model = MassAction([[1, 0, 0], [0, 1, 0]], [[0, 1, 0], [0, 0, 1]], [first, second], species="ABC", method=method)
    times = torch.linspace(0, 3, 7, dtype=torch.float64)
    with torch.no_grad():
        path = model(double(1.0, 0.0, 0.0).unsqueeze(0), times)[0]
    middle = first / (second - first) * ((-first * times).exp() - (-second * times).exp())
    torch.testing.assert_close(path[:, 1], middle, rtol=1e-8, atol=1e-11)
    torch.testing.assert_close(path[:, 2], 1 - (-first * times).exp() - middle, rtol=1e-8, atol=1e-11)


def test_the_rate_is_stoichiometry_times_net_flux():
    model = robertson(reversible=True)
    state = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    forward, backward = model.fluxes(state)
    a, b, c = state.unbind(-1)
    torch.testing.assert_close(forward, torch.stack([0.04 * a, 3e7 * b * b, 1e4 * b * c], -1))
    torch.testing.assert_close(backward, torch.stack([1e-3 * b, 10.0 * b * c, 1e-2 * a * c], -1))
    rate = model.rate(torch.zeros(10, dtype=torch.float64), state.reshape(-1, 3))
    torch.testing.assert_close(rate, ((forward - backward) @ model.stoichiometry.T).reshape(-1, 3))


def test_a_reaction_without_a_way_back_has_no_backward_flux():
    model = MassAction([[1, 0], [0, 1]], [[0, 1], [1, 0]], [1.0, 2.0], reverse_rates=[0.0, 3.0], species="AB")
    forward, backward = model.fluxes(double(5.0, 7.0))
    assert forward.tolist() == pytest.approx([5.0, 14.0])
    assert backward.tolist() == pytest.approx([0.0, 15.0])
    assert list(model.constants()) == ["k1", "k2", "k2_reverse"]


def test_chemostatted_species_drive_and_do_not_move():
    model = brusselator([1.0, 0.5, 2.0, 0.1, 1.0, 0.3])
    assert model.state_names == ("X", "Y")
    state = double(1.3, 0.7).unsqueeze(0)
    x, y = 1.3, 0.7
    first, second, third = 1.0 - 0.5 * x, 2.0 * x - 0.1 * y, x * x * y - 0.3 * x**3
    rate = model.rate(torch.zeros(1, dtype=torch.float64), state)[0]
    assert rate.tolist() == pytest.approx([first - second + third, second - third])


def test_a_source_and_a_sink_of_order_zero_and_one():
    model = MassAction([[0], [1]], [[1], [0]], [3.0, 2.0], species=["A"], method=Implicit(1e-10, 1e-13))
    with torch.no_grad():
        path = model(double(0.0).reshape(1, 1), [0.0, 0.7])
    assert float(path[0, -1, 0]) == pytest.approx(1.5 * (1 - np.exp(-1.4)), rel=1e-9)
    assert model.reactions() == ("nothing -> A", "A -> nothing")


def test_sources_alone_fill_linearly():
    model = MassAction([[0, 0]], [[1, 2]], [3.0], species="AB")
    with torch.no_grad():
        path = model(double(0.0, 1.0).unsqueeze(0), [0.0, 2.0])
    assert path[0, -1].tolist() == pytest.approx([6.0, 13.0])


def test_rate_constants_can_come_from_potentials():
    class Potentials(MassAction):
        """Both rates from one barrier and two potentials, so that their ratio is the equilibrium constant."""

        def __init__(self):
            super().__init__([[1, 0]], [[0, 1]], [1.0], reverse_rates=[1.0], species="AB")
            self.potentials = torch.nn.Parameter(double(0.0, 1.0))

        def log_rate_constants(self):
            return self.potentials

    model = Potentials()
    last = model(double(1.0, 0.0).unsqueeze(0), [0.0, 50.0])[0, -1]
    assert (last[0] / last[1]).item() == pytest.approx(np.e, rel=1e-5)
    (slope,) = torch.autograd.grad((last[0] / last[1]).log(), model.potentials)
    assert slope.tolist() == pytest.approx([-1.0, 1.0], rel=1e-4)


def test_what_is_conserved_stays_to_ten_digits():
    model = robertson(Implicit(1e-6, 1e-12), reversible=True)
    with torch.no_grad():
        path = model(double(1.0, 0.0, 0.0).unsqueeze(0), [0.0, 1.0, 1e3, 1e5])
    totals = path @ model.conserved().T
    assert model.conserved().tolist() == [[1.0, 1.0, 1.0]]
    torch.testing.assert_close(totals, totals[:, :1].expand_as(totals), rtol=1e-10, atol=0)


def test_moieties_of_an_enzyme_are_the_enzyme_and_its_substrate():
    # E + S <-> ES -> E + P, species E, S, ES, P
    basis = conserved_moieties([[-1, 1], [-1, 0], [1, -1], [0, 1]])
    assert basis.shape == (2, 4)
    assert torch.linalg.matrix_rank(torch.cat([basis, torch.tensor([[1, 0, 1, 0], [0, 1, 1, 1]])]).double()) == 2


@given(st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=5))
def test_moieties_span_the_left_null_space(rows):
    matrix = torch.tensor(rows, dtype=torch.int64)
    basis = conserved_moieties(rows)
    assert not (basis @ matrix).any()
    assert len(basis) == len(rows) - int(torch.linalg.matrix_rank(matrix.double()))


def test_constants_carry_names_units_and_gradients():
    model = robertson(reversible=True)
    assert {name: value.item() for name, value in model.constants().items()} == pytest.approx(
        {"k1": 0.04, "k2": 3e7, "k3": 1e4, "k1_reverse": 1e-3, "k2_reverse": 10.0, "k3_reverse": 1e-2}
    )
    units = model.constant_units()
    assert (units["k1"], units["k2"]) == ("s^-1", "(mol/L)^-1 s^-1")
    assert model.constants()["k1"].requires_grad
    assert model.reactions() == ("A <-> B", "2 B <-> B + C", "B + C <-> A + C")


def test_rates_are_recovered_from_noisy_trajectories():
    def network(rates):
        # A <-> B, B + C <-> D
        return MassAction(
            [[1, 0, 0, 0], [0, 1, 1, 0]],
            [[0, 1, 0, 0], [0, 0, 0, 1]],
            rates[:2],
            reverse_rates=rates[2:],
            species="ABCD",
            method=Implicit(1e-6, 1e-9),
        )

    generator = torch.Generator().manual_seed(3)
    planted = network([0.8, 2.0, 0.3, 0.5])
    starts = torch.rand(4, 4, generator=generator, dtype=torch.float64) + 0.2
    times = np.linspace(0.0, 5.0, 16)
    with torch.no_grad():
        clean = planted(starts, times)
    noisy = clean * (1 + 0.02 * torch.randn(clean.shape, generator=generator, dtype=torch.float64))
    model = network([1.0, 1.0, 1.0, 1.0])
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=40, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = ((model(starts, times) - noisy) / noisy).square().mean()
        value.backward()
        return value

    with torch.no_grad():
        wrong = (model.log_rates - planted.log_rates).abs().median()
    optimiser.step(loss)
    with torch.no_grad():
        error = (model.log_rates - planted.log_rates).abs().median()
    assert float(error) <= 0.1 < float(wrong)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"rates": [0.0]}, InputError, "rates must be above 0"),
        ({"rates": [1.0, 2.0]}, ShapeError, "1 reactions need as many rates"),
        ({"reverse_rates": [-1.0]}, InputError, "reverse rates 0 or more"),
        ({"reactants": [[-1, 0]]}, InputError, "reactants must hold integers"),
        ({"reactants": [[1.5, 0]]}, InputError, "reactants must hold integers"),
        ({"products": [[0, 1, 0]]}, ShapeError, "products must have one row a reaction and 2 counts"),
        ({"products": [[0, 1], [1, 0]]}, ShapeError, "1 rows of reactants, but 2"),
        ({"species": "AA"}, InputError, "species stand more than once"),
        ({"chemostatted": {"Z": 1.0}}, InputError, "chemostatted Z stands in no species"),
        ({"chemostatted": {"A": -1.0}}, InputError, "concentration of chemostatted A"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, words):
    options = {"reactants": [[1, 0]], "products": [[0, 1]], "rates": [1.0], "species": "AB"} | change
    with pytest.raises(error, match=words):
        MassAction(options.pop("reactants"), options.pop("products"), options.pop("rates"), **options)
