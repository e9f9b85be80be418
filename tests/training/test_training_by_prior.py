"""A network learns from a prior alone, stops where it is told against the optimum, and goes on to the same bytes."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from small_training import fingerprint
from torch import nn

from kotowari.core.errors import CapabilityError, DesignError, InputError, ShapeError
from kotowari.networks.unet import UNet
from kotowari.priors.loss_weights import Continuation
from kotowari.priors.losses import LowRankSparseLoss
from kotowari.training.by_prior import PriorHistory, train_by_prior
from kotowari.training.checkpoint import read_checkpoint, write_checkpoint
from kotowari.training.plan import TrainingPlan

ROWS = np.arange(20)
LEARN, HELD = ROWS[:12], ROWS[12:]
PLAN = TrainingPlan(max_epochs=4, patience=4, batch_size=6, learning_rate=1e-2, weight_decay=0.0, seed=3)


def make_unet(seed=0, width=4):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(width=width, depth=1, dual_frame=True)


def make_data(n=20, side=20):
    """Ramps with gains, and two dark discs an image; the discs are the truth."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:side, :side]
    images, truth = np.zeros((n, 1, side, side)), np.zeros((n, side, side), dtype=bool)
    for number in range(n):
        images[number, 0] = rng.uniform(0.7, 0.9) + rng.uniform(-0.1, 0.1) * (x + y) / side
        for row, column in rng.uniform(3, side - 3, (2, 2)):
            disc = (y - row) ** 2 + (x - column) ** 2 <= 6
            images[number, 0][disc] -= 0.25
            truth[number] |= disc
    noisy = images + 0.02 * rng.normal(size=images.shape)
    return torch.tensor(noisy, dtype=torch.float32), truth


def run(network, data=None, *, loss=None, plan=PLAN, learn=LEARN, held=HELD, **options):
    data = make_data()[0] if data is None else data
    loss = loss or LowRankSparseLoss()
    options = {"with_optimum": False} | options
    return train_by_prior(network, data, loss=loss, plan=plan, train_index=learn, validation_index=held, **options)


def average_precision(network, data, truth):
    with torch.no_grad():
        found = network.eval()(data)[:, 0].abs().numpy()
    return np.mean([average_precision_score(t.ravel(), f.ravel()) for t, f in zip(truth, found, strict=True)])


class PlainLoss:
    """Not a module: passes on to a loss, and notes or breaks on the way."""

    def __init__(self, inner, n_calls=None):
        self.inner, self.left, self.progress, self.batches = inner, n_calls, [], []

    def __call__(self, found, data):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        self.batches.append(data[:, 0, 0, 0].tolist())
        return self.inner(found, data)

    def at(self, progress):
        self.progress.append(progress)

    def parts(self, found, data):
        return self.inner.parts(found, data)

    def optimum(self, data):
        return self.inner.optimum(data)

    def share(self, found, data):
        return self.inner.share(found, data)


class BreakingLoss(nn.Module):
    """A module with learned weights that raises, as if the user had stopped the training, after so many steps."""

    def __init__(self, inner, n_steps=-1):
        super().__init__()
        self.inner, self.left = inner, n_steps

    def forward(self, found, data):
        if self.training:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
        return self.inner(found, data)

    def at(self, progress):
        self.inner.at(progress)

    def parts(self, found, data):
        return self.inner.parts(found, data)

    def optimum(self, data):
        return self.inner.optimum(data)

    def share(self, found, data):
        return self.inner.share(found, data)


def learned_loss(n_steps=-1):
    amount = Continuation(1.0, 0.1)
    return BreakingLoss(LowRankSparseLoss(smooth="moreau", learned=True, amount=amount, tv_weight=0.0), n_steps)


# ----------------------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("face", ["none", "eps", "moreau", "target"])
def test_the_prior_alone_teaches_a_network_where_the_foreground_is(face):
    data, truth = make_data()
    plan = TrainingPlan(max_epochs=60, patience=60, batch_size=12, learning_rate=3e-2, weight_decay=0.0)
    network, loss = make_unet(width=8), LowRankSparseLoss(smooth=face, amount=0.3)
    untrained = average_precision(make_unet(width=8), data[HELD], truth[HELD])
    history = run(network, data, loss=loss, plan=plan, held=[], with_optimum=True)
    trained = average_precision(network, data[HELD], truth[HELD])
    assert trained > 0.75
    assert trained > untrained + 0.3
    assert 1.0 < history.ratio < 1.15
    assert 0.02 < history.share < 0.3


def test_what_is_told_at_the_end_is_that_of_the_first_batch_and_the_network_that_was_kept():
    data, loss, network = make_data()[0], LowRankSparseLoss(smooth="eps"), make_unet()
    history = run(network, data, loss=loss, with_optimum=True)
    assert isinstance(history, PriorHistory)
    assert not network.training
    assert not loss.training
    first = data[LEARN[:6]]
    with torch.no_grad():
        found = network(first)
    assert history.objective == pytest.approx(loss(found, first).item(), rel=1e-6)
    assert history.share == pytest.approx((found.norm() / first.norm()).item(), rel=1e-6)
    assert set(history.parts) == {"nuclear", "sparse", "tv"}
    best = loss.optimum(first)
    assert (history.optimum, history.bound) == pytest.approx((best.objective, best.bound))
    assert history.ratio == pytest.approx(history.objective / best.objective)


def test_without_asking_for_the_optimum_there_is_no_ratio():
    assert math.isnan(run(make_unet()).ratio)


def test_the_validation_loss_is_the_loss_itself_whatever_the_face():
    data, network = make_data()[0], make_unet()
    plan = TrainingPlan(**PLAN.to_dict() | {"max_epochs": 1})
    loss = LowRankSparseLoss(smooth="target")
    history = run(network, data, loss=loss, plan=plan)
    with torch.no_grad():
        values = [LowRankSparseLoss(smooth="none")(network(rows), rows).item() for rows in data[HELD].split(4)]
    assert history.validation_loss == [pytest.approx(np.mean(values), rel=1e-6)]


def test_a_trivial_foreground_is_told_once_a_training():
    network = make_unet()
    nn.init.zeros_(network.head.weight)
    with pytest.warns(UserWarning, match="the foreground is nothing of the data") as told:
        run(network, plan=TrainingPlan(**PLAN.to_dict() | {"learning_rate": 1e-9}))
    assert len(told) == 1


# -------------------------------------------------------------------------------------------------------- order, seeds


def test_a_loss_that_follows_the_progress_hears_of_every_step_from_0_to_1():
    loss = PlainLoss(LowRankSparseLoss())
    run(make_unet(), loss=loss)
    np.testing.assert_allclose(loss.progress, np.linspace(0, 1, 4 * 2))


def test_batches_of_frames_are_neighbours_of_one_recording():
    data = make_data()[0]
    groups = np.repeat(["one", "two"], 10)
    data[:, 0, 0, 0] = torch.arange(20.0)  # tells the rows apart
    loss = PlainLoss(LowRankSparseLoss())
    run(make_unet(), data, loss=loss, learn=ROWS, held=[], groups=groups, consecutive=True)
    expected = [list(range(begin, begin + 5)) for begin in (0, 5, 10, 15)]
    epochs = [loss.batches[begin : begin + 4] for begin in range(0, 16, 4)]
    assert all(sorted(epoch) == expected for epoch in epochs)
    assert len({str(epoch) for epoch in epochs}) > 1


def test_the_whole_set_fits_into_one_step():
    loss = PlainLoss(LowRankSparseLoss())
    run(make_unet(), loss=loss, plan=TrainingPlan(**PLAN.to_dict() | {"batch_size": 100}), held=[])
    assert [len(batch) for batch in loss.batches] == [12] * 4


def test_rows_outside_of_the_indices_are_never_read():
    data = make_data()[0]
    poisoned = data.clone()
    poisoned[[11, 19]] = math.nan
    marks = set()
    for images in (data, poisoned):
        network = make_unet()
        run(network, images, learn=LEARN[:-1], held=HELD[:-1])
        marks.add(fingerprint(network))
    assert len(marks) == 1


def test_noise_is_seen_by_the_network_and_not_by_the_loss():
    data, seen = make_data()[0], []

    class Watching(PlainLoss):
        def __call__(self, found, images):
            seen.append(images)
            return super().__call__(found, images)

    plan = TrainingPlan(**PLAN.to_dict() | {"noise": 0.1, "batch_size": 100, "max_epochs": 1})
    network, calm = make_unet(), make_unet()
    run(network, data, loss=Watching(LowRankSparseLoss()), plan=plan, held=[])
    torch.testing.assert_close(seen[0].sort(0).values, data[LEARN].sort(0).values)
    run(calm, data, plan=TrainingPlan(**plan.to_dict() | {"noise": 0.0}), held=[])
    assert fingerprint(network) != fingerprint(calm)


# -------------------------------------------------------------------------------------------- learned weights, resume


def assert_resuming_changes_nothing(path):
    """Network and loss that go on were born otherwise: all they know comes from the checkpoint."""
    unbroken, loss = make_unet(), learned_loss()
    history = run(unbroken, loss=loss)
    resumed, other = make_unet(1), learned_loss()
    nn.init.constant_(other.inner.scales.log_scale, 0.3)
    again = run(resumed, loss=other, checkpoint=path)
    assert history.train_loss == again.train_loss, "the history differs"
    assert fingerprint(unbroken) == fingerprint(resumed), "the weights differ"
    assert fingerprint(loss) == fingerprint(other), "the scales differ"


def stopped_training(path):
    with pytest.raises(KeyboardInterrupt):
        run(make_unet(), loss=learned_loss(2 * 2 + 1), checkpoint=path, checkpoint_seconds=0.0)


def test_a_stopped_training_with_learned_weights_ends_with_the_bytes_of_an_unbroken_one(tmp_path):
    path = tmp_path / "training.safetensors"
    stopped_training(path)
    assert set(read_checkpoint(path)[0]) == {"network", "best", "loss", "best_loss", "optimizer"}
    assert_resuming_changes_nothing(path)
    assert not path.exists()


@pytest.mark.parametrize("group", ["loss", "optimizer"])
def test_a_checkpoint_that_forgot_the_learned_weights_is_caught(tmp_path, group):
    path = tmp_path / "training.safetensors"
    stopped_training(path)
    groups, words = read_checkpoint(path)
    numbers = [int(name.partition(".")[0]) for name in groups["optimizer"]]
    forgotten = [name for name in groups[group] if group == "loss" or name.startswith(f"{max(numbers)}.")]
    assert forgotten
    groups[group] |= {name: torch.zeros_like(groups[group][name]) for name in forgotten}
    write_checkpoint(path, groups, words)
    with pytest.raises(AssertionError, match="differ"):
        assert_resuming_changes_nothing(path)


def test_learned_weights_are_learned_along_and_do_not_decay():
    loss = learned_loss()
    run(make_unet(), loss=loss)
    assert (loss.inner.scales.weights - 1).abs().min() > 1e-3

    class Idle(nn.Module):
        """Has a weight whose gradient is 0: only decay would move it."""

        def __init__(self):
            super().__init__()
            self.inner, self.weight = LowRankSparseLoss(), nn.Parameter(torch.ones(1))

        def forward(self, found, data):
            return self.inner(found, data) + 0.0 * self.weight.sum()

        parts = staticmethod(LowRankSparseLoss().parts)
        optimum = staticmethod(LowRankSparseLoss().optimum)
        share = staticmethod(LowRankSparseLoss().share)

    idle = Idle()
    run(make_unet(), loss=idle, plan=TrainingPlan(**PLAN.to_dict() | {"weight_decay": 0.5}))
    assert idle.weight.item() == 1.0


# --------------------------------------------------------------------------------------------------- what is refused


def test_a_loss_that_cannot_tell_its_parts_is_refused():
    with pytest.raises(CapabilityError, match="it has no parts and no optimum and no share"):
        run(make_unet(), loss=nn.MSELoss())


@pytest.mark.parametrize("option", ["mixup", "interpolation"])
def test_what_needs_targets_is_refused(option):
    with pytest.raises(InputError, match="mixup and interpolation need targets"):
        run(make_unet(), plan=TrainingPlan(**PLAN.to_dict() | {option: 0.5}))


def test_a_row_without_company_is_refused():
    groups = np.repeat(["one", "two"], [11, 9])
    with pytest.raises(DesignError, match="row 11 would be alone in a training batch"):
        run(make_unet(), groups=groups)
    with pytest.raises(DesignError, match="row 12 would be alone in a validation batch"):
        run(make_unet(), held=HELD[:1])


def test_groups_that_do_not_name_every_row_are_refused():
    with pytest.raises(ShapeError, match=r"train_by_prior: groups must have shape \(20\), got \(19,\)"):
        run(make_unet(), groups=np.zeros(19))


def test_an_empty_training_set_is_refused():
    with pytest.raises(DesignError, match="there is no sample to train on"):
        run(make_unet(), learn=[], held=[])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"held": LEARN[:2]}, DesignError, "row 0 is both in training and in validation"),
        ({"learn": [0, 1, 99]}, InputError, "row 99 is not among the"),
    ],
)
def test_rows_that_leak_or_are_not_there_are_refused(change, error, words):
    with pytest.raises(error, match=words):
        run(make_unet(), make_data()[0], **({"learn": LEARN, "held": HELD} | change))


def test_data_that_cannot_be_learned_from_are_refused():
    data = make_data()[0]
    with pytest.raises(InputError, match=r"must hold floats, got torch\.uint8"):
        run(make_unet(), (255 * data).byte(), learn=LEARN, held=HELD)
    data[3] = math.nan
    with pytest.raises(InputError, match="row 3 holds NaN"):
        run(make_unet(), data, learn=LEARN, held=HELD)
