"""Bounds on falsely stable edges: the published figures, closed forms, and the law behind the tail."""

import numpy as np
import pytest

from kotowari.core.errors import InputError
from kotowari.studies.genenet.model.edges import false_selections as bounds_module
from kotowari.studies.genenet.model.edges.false_selections import false_selection_bounds
from kotowari.trust.stability import pfer_bound


@pytest.mark.parametrize(
    ("n_possible", "q", "n_pairs", "threshold", "concave"),
    [  # from the authors' own r_concave_tail.R (statslab.cam.ac.uk/~rds37), run with R 4; its search is less fine
        (1000, 50, 50, 0.6, 2.6053291),
        (1000, 50, 50, 0.75, 0.64784634),
        (1000, 50, 50, 0.9, 0.17049569),
        (200, 20, 50, 1.0, 0.010981216),
        (80, 12, 20, 0.6, 2.9704941),
        (31600, 100, 10, 0.75, 0.13689642),
    ],
)
def test_bounds_are_those_of_the_authors(n_possible, q, n_pairs, threshold, concave):
    bound = false_selection_bounds([], threshold=threshold, mean_selected=q, n_possible=n_possible, n_pairs=n_pairs)
    assert concave * (1 - 1e-6) <= bound.concave <= concave * (1 + 1e-3)
    assert bound.worst_case == pytest.approx(pfer_bound(q, threshold, n_possible))
    assert bound.concave < bound.unimodal < bound.worst_case


def test_the_unimodal_bound_has_its_closed_form_and_its_limits():
    def bound(threshold, q=5.0):
        return false_selection_bounds([], threshold=threshold, mean_selected=q, n_possible=100, n_pairs=50).unimodal

    assert bound(0.75) == pytest.approx(0.25 / (2 * (0.5 - 0.01)))
    assert bound(0.9) == pytest.approx(0.25 * 4 * 0.11 / 1.02)
    assert bound(1.0) == pytest.approx(0.25 * 4 * 0.01 / 1.02)
    assert bound(0.745) == bound(0.75)  # shares are multiples of 1/100
    assert np.isnan([bound(0.505), bound(0.9, q=60.0)]).all()
    with pytest.raises(InputError, match="must lie above"):
        bound(0.5)


def test_no_concave_distribution_has_a_larger_tail(rng):
    """Random pmfs g^-2 with g convex; the bound for nearly log-concave ones is a smaller one and does not hold."""
    n, mean, wrong = 20, 0.1, 0
    law = {wanted: bounds_module._largest_tail(mean, wanted / n, n, power=2.0) for wanted in (12, 15, 18, 20)}
    other = {wanted: bounds_module._largest_tail(mean, wanted / n, n, power=50.0) for wanted in law}
    for _ in range(2000):
        points = np.arange(rng.integers(1, n + 1) + 1)
        g = np.exp(rng.normal(0, 3)) + np.exp(rng.normal(0, 3)) * np.maximum(0, points - rng.uniform(-5, n))
        mass = (g + points * np.exp(rng.normal(0, 3))) ** -2.0
        mass /= mass.sum()
        if points @ mass / n <= mean:
            tails = {wanted: mass[wanted:].sum() for wanted in law}
            assert all(tails[wanted] <= law[wanted] * (1 + 1e-9) for wanted in law)
            wrong += any(tails[wanted] > other[wanted] for wanted in law)
    assert wrong > 10
