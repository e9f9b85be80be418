"""The one loop: each sample stops for itself, and what failed is given back at its best."""

from typing import NamedTuple

import pytest
import torch

from kotowari.core.errors import InputError
from kotowari.core.outcome import Status
from kotowari.solvers.iterate import iterate, relative_change


class Point(NamedTuple):
    x: torch.Tensor


class Nested(NamedTuple):
    point: Point
    duals: tuple[torch.Tensor, ...]
    n_steps: int


def shrinking(rates):
    """x <- rate * x + 1, sample by sample; converges to 1 / (1 - rate)."""
    return lambda state: Point(rates[:, None] * state.x + 1)


def change(new, old):
    return relative_change(new.x, old.x)


def start(n_samples):
    return Point(torch.zeros(n_samples, 3, dtype=torch.float64))


def test_each_sample_stops_by_itself_and_is_then_left_alone():
    rates = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    outcome = iterate(start(3), shrinking(rates), change, tol=1e-8, max_steps=500)
    alone = [iterate(start(1), shrinking(rates[i : i + 1]), change, tol=1e-8, max_steps=500) for i in range(3)]
    assert outcome.converged
    assert outcome.n_steps == tuple(one.n_steps[0] for one in alone)
    assert outcome.n_steps[0] < outcome.n_steps[1] < outcome.n_steps[2]
    assert torch.equal(outcome.state.x, torch.cat([one.state.x for one in alone]))


def test_the_trace_keeps_the_number_at_which_a_sample_stopped():
    outcome = iterate(start(2), shrinking(torch.tensor([0.1, 0.9]).double()), change, tol=1e-6, max_steps=300)
    first, last = outcome.trace[outcome.n_steps[0] - 1], outcome.trace[-1]
    assert first[0] == last[0] > 0
    assert len(outcome.trace) == max(outcome.n_steps)


def test_tensors_inside_nested_members_are_frozen_too():
    rates = torch.tensor([[0.1], [0.9]], dtype=torch.float64)

    def step(state):
        x = rates * state.point.x + 1
        return Nested(Point(x), (2 * x, x[:, :1]), state.n_steps + 1)

    x = torch.zeros(2, 3, dtype=torch.float64)
    outcome = iterate(
        Nested(Point(x), (x, x[:, :1]), 0),
        step,
        lambda n, o: relative_change(n.point.x, o.point.x),
        tol=1e-6,
        max_steps=99,
    )
    doubled, single = outcome.state.duals
    assert isinstance(outcome.state.point, Point)
    assert torch.equal(doubled, 2 * outcome.state.point.x)
    assert torch.equal(single, outcome.state.point.x[:, :1])
    assert outcome.state.n_steps == max(outcome.n_steps) > min(outcome.n_steps)


def test_the_step_limit_is_a_status_of_its_own():
    outcome = iterate(start(2), shrinking(torch.tensor([0.1, 0.99]).double()), change, tol=1e-8, max_steps=20)
    assert outcome.statuses == (Status.CONVERGED, Status.MAX_STEPS)
    assert outcome.n_steps[1] == 20


def test_an_exploding_objective_is_found_and_the_best_iterate_kept():
    rates = torch.tensor([0.5, -2.0], dtype=torch.float64)
    origin = Point(torch.ones(2, 3, dtype=torch.float64))
    outcome = iterate(
        origin,
        lambda s: Point(rates[:, None] * s.x),
        change,
        tol=1e-9,
        max_steps=99,
        value=lambda s: s.x.square().sum(1),
    )
    assert outcome.statuses[1] is Status.DIVERGED
    assert torch.equal(outcome.state.x[1], origin.x[1])
    assert outcome.n_steps[1] < 10


@pytest.mark.parametrize("check_every", [1, 7])
def test_the_best_iterate_counts_from_the_true_start_however_seldom_one_looks(check_every):
    origin = Point(torch.ones(1, 3, dtype=torch.float64))
    outcome = iterate(
        origin, lambda s: Point(-9 * s.x), change, tol=0.0, max_steps=70, check_every=check_every,
        value=lambda s: s.x.square().sum(1),
    )  # fmt: skip
    assert outcome.status is Status.DIVERGED
    assert torch.equal(outcome.state.x, origin.x)


def test_a_start_next_to_the_minimum_is_no_reason_to_call_a_detour_divergence():
    """An objective of 1e-12 at the start, then 1, then down again."""
    path = iter([1.0, 0.5, 0.1, 0.01, 1e-3, 1e-3])
    outcome = iterate(
        Point(torch.full((1, 1), 1e-6)), lambda _: Point(torch.full((1, 1), next(path))), change, tol=0.0, max_steps=6,
        value=lambda s: s.x.square().sum(1),
    )  # fmt: skip
    assert outcome.status is Status.CONVERGED


def test_a_constraint_that_does_not_hold_yet_is_no_divergence():
    values = iter([1.0, torch.inf, torch.inf, 2.0, 0.5])
    outcome = iterate(
        start(1), shrinking(torch.tensor([0.5]).double()), change, tol=1e-9, max_steps=4,
        value=lambda _: torch.tensor([next(values)]),
    )  # fmt: skip
    assert outcome.status is Status.MAX_STEPS


def test_a_sample_that_becomes_nan_is_put_back_and_the_others_go_on():
    def step(state):
        x = 0.5 * state.x + 1
        x[0] = torch.where(x[0] > 1.7, torch.nan, x[0])
        return Point(x)

    outcome = iterate(start(2), step, change, tol=1e-9, max_steps=99)
    assert outcome.statuses == (Status.NON_FINITE, Status.CONVERGED)
    torch.testing.assert_close(outcome.state.x[0], torch.full((3,), 1.5, dtype=torch.float64))
    torch.testing.assert_close(outcome.state.x[1], torch.full((3,), 2.0, dtype=torch.float64))


def test_looking_seldom_changes_when_it_stops_and_nothing_else():
    rates = torch.tensor([0.5], dtype=torch.float64)
    often = iterate(start(1), shrinking(rates), change, tol=1e-6, max_steps=100)
    seldom = iterate(start(1), shrinking(rates), change, tol=1e-6, max_steps=100, check_every=8)
    assert often.n_steps[0] < seldom.n_steps[0] < often.n_steps[0] + 8
    assert seldom.n_steps[0] % 8 == 0


@pytest.mark.parametrize("option", [{"tol": -1.0}, {"tol": float("nan")}, {"max_steps": 0}, {"check_every": 0}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(InputError, match="1 or more"):
        iterate(start(1), shrinking(torch.ones(1)), change, **{"tol": 1e-3, "max_steps": 3, **option})
