"""The loop gives the same bytes for the same seed, reads no row it was not given, and keeps the best epoch."""

import math
import random

import numpy as np
import pytest
import torch
from small_training import (
    AUGMENTED,
    CROSS_ENTROPY,
    HELD,
    LEARN,
    PLAN,
    ScriptedLoss,
    fingerprint,
    make_data,
    make_network,
    run,
    trained,
)
from torch import nn

from kotowari.core.errors import DesignError, ShapeError
from kotowari.training import TrainingPlan, squared_error


def poisoned(rows):
    """Data with NaN in all rows but those given, and labels there that are no shares."""
    inputs, targets = make_data()
    other = np.setdiff1d(np.arange(len(inputs)), rows)
    inputs[other], targets[other] = math.nan, math.nan
    return inputs, targets


def validation_loss(network):
    inputs, targets = make_data()
    with torch.no_grad():
        return CROSS_ENTROPY(network(inputs[HELD]), targets[HELD]).item()


def assert_reads_only(rows, train_and_mark):
    """``train_and_mark(data)`` returns the marks of a training; they may depend on ``rows`` alone."""
    assert train_and_mark(make_data()) == train_and_mark(poisoned(rows)), "a row outside of the indices was read"


@pytest.mark.parametrize("plan", [PLAN, AUGMENTED], ids=["plain", "augmented"])
def test_the_same_seed_gives_the_same_bytes_whatever_was_drawn_before(plan):
    torch.manual_seed(1)
    first, history = trained(plan)
    torch.manual_seed(2)
    second, again = trained(plan)
    assert fingerprint(first) == fingerprint(second)
    assert history == again


@pytest.mark.parametrize("plan", [PLAN, AUGMENTED], ids=["plain", "augmented"])
def test_another_seed_gives_other_weights(plan):
    other = TrainingPlan(**plan.to_dict() | {"seed": 6})
    assert fingerprint(trained(plan)[0]) != fingerprint(trained(other)[0])


def test_each_of_the_settings_changes_the_weights():
    changes = {"mixup": 0.3, "interpolation": 0.5, "noise": 0.1, "weight_decay": 1.0, "batch_size": 7, "max_epochs": 5}
    marks = {fingerprint(trained(TrainingPlan(**PLAN.to_dict() | {key: v}), held=[])[0]) for key, v in changes.items()}
    assert len(marks | {fingerprint(trained(held=[])[0])}) == len(changes) + 1


def test_rows_outside_of_the_indices_are_never_read():
    def train_and_mark(data):
        network, history = trained(AUGMENTED, data=data, learn=LEARN[:20], held=HELD[:6])
        return fingerprint(network), history.train_loss, history.validation_loss

    assert_reads_only(np.concatenate([LEARN[:20], HELD[:6]]), train_and_mark)


def test_a_training_that_centres_by_all_rows_is_caught():
    def train_and_mark(data):
        centred = data[0] - data[0].nanmean(0), data[1]
        return fingerprint(trained(data=centred, learn=LEARN[:20], held=HELD[:6])[0])

    with pytest.raises(AssertionError, match="outside of the indices"):
        assert_reads_only(np.concatenate([LEARN[:20], HELD[:6]]), train_and_mark)


def test_the_order_of_rows_in_the_table_does_not_matter():
    inputs, targets = make_data()
    order = np.random.default_rng(0).permutation(len(inputs))
    place = np.argsort(order)
    shuffled = trained(data=(inputs[order], targets[order]), learn=place[LEARN], held=place[HELD])[0]
    assert fingerprint(shuffled) == fingerprint(trained()[0])


def test_training_leaves_data_and_global_generators_as_they_were():
    data = make_data()
    torch.manual_seed(123)
    copies = [tensor.clone() for tensor in data]
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    trained(AUGMENTED, data=data)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(data, copies, strict=True))
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]


def test_a_network_learns_what_can_be_learned_and_ends_in_eval_mode():
    network, history = trained(TrainingPlan(max_epochs=40, patience=40, learning_rate=1e-2, seed=0))
    assert not network.training
    assert validation_loss(network) < 0.5 * validation_loss(make_network().eval())
    assert history.validation_loss[history.best_epoch] == pytest.approx(validation_loss(network), rel=1e-6)
    assert len(history.train_loss) == len(history.validation_loss) == 40


def test_the_weights_of_the_best_epoch_are_kept_when_later_ones_are_worse():
    network = make_network()
    loss = ScriptedLoss(network, [3.0, 2.0, 1.0, 2.0, 1.5, 1.0, 9.0])
    plan = TrainingPlan(max_epochs=7, patience=3, learning_rate=1e-2)
    history = run(network, loss=loss, plan=plan)
    assert history.best_epoch == 2
    assert history.stopped_early
    assert history.validation_loss == [3.0, 2.0, 1.0, 2.0, 1.5, 1.0]
    assert len(set(loss.seen)) == 6
    assert fingerprint(network) == loss.seen[2]


def test_the_same_is_found_on_real_validation_rows_that_contradict_the_training():
    inputs, targets = make_data()
    targets[HELD] = targets[HELD].flip(1)
    network = make_network()
    history = run(network, (inputs, targets), plan=TrainingPlan(max_epochs=30, patience=4, learning_rate=1e-2))
    with torch.no_grad():
        kept = CROSS_ENTROPY(network(inputs[HELD]), targets[HELD]).item()
    assert history.stopped_early
    assert len(history.validation_loss) == history.best_epoch + 1 + 4
    assert kept == pytest.approx(min(history.validation_loss), rel=1e-6)
    assert kept < history.validation_loss[-1]


def test_gains_too_small_to_count_add_up():
    network = make_network()
    loss = ScriptedLoss(network, [1 - 4e-5 * epoch for epoch in range(12)])
    history = run(network, loss=loss, plan=TrainingPlan(max_epochs=12, patience=4))
    assert not history.stopped_early
    assert history.best_epoch == 9  # every third gain makes 1.2e-4


def test_a_loss_that_stands_still_ends_the_training():
    network = make_network()
    history = run(network, loss=ScriptedLoss(network, [1.0] * 12), plan=TrainingPlan(max_epochs=12, patience=4))
    assert (history.best_epoch, history.stopped_early, len(history.train_loss)) == (0, True, 5)


def test_without_validation_rows_the_last_epoch_is_kept():
    network, history = trained(held=np.array([], dtype=int))
    assert (history.best_epoch, history.stopped_early) == (PLAN.max_epochs - 1, False)
    assert history.validation_loss == []
    assert len(history.train_loss) == PLAN.max_epochs
    assert not network.training


def test_every_row_is_seen_once_an_epoch_in_a_new_order_and_new_dropout():
    class Recorder(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))
            self.rows, self.drawn = [], []

        def forward(self, x):
            if self.training:
                self.rows += x[:, 0].int().tolist()
                self.drawn.append(torch.rand(()).item())
            return x * self.weight

    def record(seed):
        recorder = Recorder()
        data = torch.arange(48.0)[:, None], torch.zeros(48, 1)
        plan = TrainingPlan(max_epochs=4, batch_size=7, seed=seed)
        run(recorder, data, loss=squared_error, plan=plan)
        return [tuple(recorder.rows[i : i + 32]) for i in range(0, 128, 32)], recorder.drawn

    orders, drawn = zip(record(0), record(1), strict=True)
    epochs = orders[0] + orders[1]
    assert all(sorted(epoch) == LEARN.tolist() for epoch in epochs)
    assert len(set(epochs)) == 8
    assert len(set(drawn[0] + drawn[1])) == 2 * 4 * 5


def test_the_validation_loss_is_the_mean_over_rows_and_not_over_batches():
    network = make_network()
    plan = TrainingPlan(max_epochs=1, batch_size=3)  # validated in batches of 12, so 16 rows make 12 and 4
    history = run(network, plan=plan)
    assert history.validation_loss == [pytest.approx(validation_loss(network), rel=1e-6)]


def test_the_step_rises_over_the_first_steps_and_falls_along_half_a_cosine():
    class Weight(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))

        def forward(self, x):
            return x * 0 + self.weight

    network, places = Weight(), []

    def slope(outputs, _targets):  # a constant gradient, for which a step of Adam is the learning rate
        places.append(network.weight.item())
        return outputs.mean()

    plan = TrainingPlan(max_epochs=10, batch_size=2, learning_rate=0.01, weight_decay=0.0)
    data = torch.zeros(20, 1, dtype=torch.float64), torch.zeros(20, 1)
    run(network, data, learn=np.arange(20), held=[], loss=slope, plan=plan, precision="64-true")
    steps = -np.diff([*places, network.weight.item()])
    number = np.arange(100)
    expected = np.where(number < 15, (number + 1) / 16, 0.5 * (1 + np.cos(np.pi * (number - 15) / 85)))
    np.testing.assert_allclose(steps, 0.01 * expected, rtol=1e-6)


def test_a_training_without_samples_is_refused():
    with pytest.raises(DesignError, match="train: there is no sample to train on"):
        run(make_network(), learn=np.array([], dtype=int))


def test_inputs_and_targets_of_different_length_are_refused():
    inputs, targets = make_data()
    with pytest.raises(ShapeError, match=r"train: targets must have shape \(48, output\), got \(47, 2\)"):
        run(make_network(), (inputs, targets[:-1]))


def test_a_loss_that_becomes_infinite_is_told_in_one_sentence():
    plan = TrainingPlan(max_epochs=50, learning_rate=1e30)
    with pytest.raises(DesignError, match=r"Training: the loss became (nan|inf) in epoch \d+\. Lower learning_rate"):
        run(make_network(), held=[], loss=squared_error, plan=plan)


def test_validation_rows_that_are_not_numbers_are_told_in_one_sentence():
    with pytest.raises(DesignError, match=r"Training: the validation loss became nan in epoch 1\. .* check the inputs"):
        run(make_network(), poisoned(LEARN))
