"""Criteria: known values, limits, and what they refuse."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core.errors import InputError
from kotowari.studies.genenet.model.profile.criterion import weighted_criterion


def test_known_values():
    # n = 20, s^2 = 0.5, df = 3: 21 log(pi) + 2 * 20 * 4 / 15, and 20 log(pi) + 4 log(20)
    assert weighted_criterion("waicc", 0.5, 3.0, 20.0) == pytest.approx(21 * math.log(math.pi) + 160 / 15)
    assert weighted_criterion("paper", 0.5, 3.0, 20.0) == pytest.approx(21 * math.log(math.pi) + 160 / 15)
    assert weighted_criterion("bic", 0.5, 3.0, 20.0) == pytest.approx(20 * math.log(math.pi) + 4 * math.log(20))


@pytest.mark.parametrize("criterion", ["waicc", "paper", "bic"])
def test_as_many_degrees_of_freedom_as_samples_are_never_chosen(criterion):
    assert weighted_criterion(criterion, 0.0, 18.0, 20.0) == math.inf
    assert weighted_criterion(criterion, 0.0, 17.9, 20.0) < math.inf


@given(st.sampled_from(["waicc", "bic"]), st.floats(1e-6, 1), st.floats(0, 20), st.floats(25, 1000))
def test_a_better_fit_lowers_and_a_larger_model_raises(criterion, square, df, n):
    value = weighted_criterion(criterion, square, df, n)
    assert weighted_criterion(criterion, 0.9 * square, df, n) < value
    assert weighted_criterion(criterion, square, df + 1, n) > value


def test_the_small_sample_term_vanishes_with_many_samples():
    n = 1e9
    cost = weighted_criterion("waicc", 1.0, 5.0, n) - weighted_criterion("waicc", 1.0, 4.0, n)
    assert cost == pytest.approx(2.0, abs=1e-4)


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(InputError, match="criterion must be waicc, paper or bic, got 'cv'"):
        weighted_criterion("cv", 0.5, 1.0, 20.0)
    with pytest.raises(InputError, match="0 or more"):
        weighted_criterion("waicc", -0.5, 1.0, 20.0)
