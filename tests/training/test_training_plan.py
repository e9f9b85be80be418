"""A plan is plain numbers within their ranges."""

import dataclasses
import json

import pytest

from kotowari.core.errors import InputError
from kotowari.training import TrainingPlan

WRONG = {
    "max_epochs": [0, -1],
    "patience": [0],
    "batch_size": [0],
    "learning_rate": [0.0, -1e-3],
    "weight_decay": [-1e-9],
    "mixup": [-0.1],
    "interpolation": [-0.1, 1.1],
    "noise": [-1.0],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_setting_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(InputError, match=f"TrainingPlan: {name} = {value} is out of range"):
        TrainingPlan(**{name: value})


@pytest.mark.parametrize("name", WRONG)
def test_a_setting_that_is_not_a_number_is_refused(name):
    with pytest.raises(InputError, match=f"TrainingPlan: {name} = nan is out of range"):
        TrainingPlan(**{name: float("nan")})


def test_every_setting_but_the_seed_has_a_range():
    assert set(WRONG) == {setting.name for setting in dataclasses.fields(TrainingPlan)} - {"seed"}


def test_a_plan_comes_back_from_a_file_as_it_went():
    plan = TrainingPlan(max_epochs=3, mixup=0.2, seed=9)
    assert TrainingPlan(**json.loads(json.dumps(plan.to_dict()))) == plan
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.seed = 1
