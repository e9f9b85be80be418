"""An iteration says of every sample why it stopped."""

import pytest

from kotowari.core.errors import ConvergenceError
from kotowari.core.outcome import Outcome, Status


def outcome(*statuses):
    return Outcome(state=None, statuses=statuses, n_steps=(1,) * len(statuses))


def test_the_worst_sample_speaks_for_all():
    assert outcome(Status.CONVERGED, Status.CONVERGED).status is Status.CONVERGED
    assert outcome(Status.CONVERGED, Status.MAX_STEPS).status is Status.MAX_STEPS
    assert outcome(Status.DIVERGED, Status.MAX_STEPS).status is Status.DIVERGED
    assert outcome(Status.DIVERGED, Status.NON_FINITE, Status.CONVERGED).status is Status.NON_FINITE
    assert outcome().converged


def test_advice_counts_the_samples_that_it_is_about():
    assert outcome(Status.MAX_STEPS).advice == Status.MAX_STEPS.value
    assert outcome(Status.CONVERGED, Status.MAX_STEPS).advice == f"1 of 2 samples: {Status.MAX_STEPS.value}"
    assert outcome(Status.CONVERGED, Status.CONVERGED).advice == Status.CONVERGED.value


def test_an_answer_is_handed_on_and_a_failure_is_raised_with_its_advice():
    good = outcome(Status.CONVERGED)
    assert good.or_raise() is good
    with pytest.raises(ConvergenceError, match=r"2 of 3 samples: The step limit was reached\. Raise max_steps"):
        outcome(Status.MAX_STEPS, Status.CONVERGED, Status.MAX_STEPS).or_raise()
