"""A learned number begins as the model's own and never leaves its range."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core.errors import InputError
from kotowari.unrolled.constants import Constant

starts = st.floats(1e-6, 1e6)


@given(starts, st.one_of(st.none(), st.floats(1.001, 1e6)))
def test_the_untrained_number_is_the_models_own(start, ratio):
    constant = Constant(start, bound=None if ratio is None else start * ratio)
    assert float(constant().detach()) == pytest.approx(start, rel=1e-6)


@given(starts, st.floats(1.001, 1e6), st.floats(-1e30, 1e30))
def test_no_parameter_carries_it_out_of_its_range(start, ratio, delta):
    bounded, free = Constant(start, bound=start * ratio), Constant(start)
    with torch.no_grad():
        bounded.delta.fill_(delta)
        free.delta.fill_(delta)
        assert 0 < float(bounded()) <= start * ratio * (1 + 1e-6)
        assert 0 < float(free()) < float("inf")


@given(st.floats(-5, 5), st.floats(0.01, 2))
def test_it_grows_with_its_parameter(delta, more):
    constant = Constant(0.3, bound=1.0)
    with torch.no_grad():
        constant.delta.fill_(delta)
        low = float(constant())
        constant.delta.fill_(delta + more)
        assert float(constant()) > low


def test_near_its_start_it_is_the_logistic_curve_through_it():
    constant = Constant(0.3, bound=1.0).double()
    with torch.no_grad():
        constant.delta.fill_(0.7)
    expected = torch.sigmoid(torch.tensor(0.3 / 0.7, dtype=torch.float64).log() + 0.7)
    torch.testing.assert_close(constant().detach(), expected, rtol=1e-7, atol=0)


def test_a_constant_that_is_not_learned_has_no_gradient():
    assert not Constant(1.0, learn=False)().requires_grad
    assert Constant(1.0)().requires_grad


@pytest.mark.parametrize(("start", "bound", "words"), [(0.0, None, "above 0"), (-1, 2, "above 0"), (2, 2, "below its")])
def test_a_start_out_of_range_is_refused(start, bound, words):
    with pytest.raises(InputError, match=words):
        Constant(start, bound=bound)
