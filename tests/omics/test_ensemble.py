"""One network of an ensemble: made from its own part of the samples, kept in plain files, made again."""

import json

import numpy as np
import pytest

from kotowari.core.errors import InputError, RunFolderError
from kotowari.networks.scaling import InputScaling
from kotowari.studies.omics.model import ensemble as ensemble_module
from kotowari.studies.omics.model.ensemble import (
    Recipe,
    Targets,
    build_member,
    fit_member,
    load_members,
    save_members,
)
from kotowari.training.loop import History
from kotowari.training.plan import TrainingPlan

PLAN = TrainingPlan(max_epochs=2)
NETWORKS = {"residual": {"width": 4}, "two_branch": {"filters": 2, "kernels": [3, 5]}, "squeeze": {"width": 8}}


def exclusive_or(samples=60, side=16, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.random((samples, 1, side, side)).astype(np.float32)
    labels = ((images[:, 0, 0, 0] > 0.5) ^ (images[:, 0, 9, 9] > 0.5)).astype(np.int64)
    return images, Targets.of_classes(labels, 2)


@pytest.fixture
def untrained(monkeypatch):
    """What would have been trained: the training is left out, its arguments are kept."""
    calls = []

    def record(network, inputs, targets, **settings):
        calls.append(settings | {"inputs": inputs, "targets": targets})
        network.eval()
        return History()

    monkeypatch.setattr(ensemble_module, "train", record)
    return calls


def scaling_of(member):
    return next(part for part in member.network.modules() if isinstance(part, InputScaling))


@pytest.mark.parametrize("network", NETWORKS)
def test_members_come_back_from_files_with_the_same_scores(tmp_path, network):
    images, targets = exclusive_or()
    recipe = Recipe(network=network, options=NETWORKS[network], plan=PLAN, n_pairs=4)
    members = [fit_member(images, targets, recipe, seed=seed) for seed in (0, 1)]
    save_members(tmp_path, members)
    loaded = load_members(tmp_path)
    for before, after in zip(members, loaded, strict=True):
        assert before.scores(images).tobytes() == after.scores(images).tobytes()
        assert before.reference.numpy().tobytes() == after.reference.numpy().tobytes()
        assert not after.network.training
    assert members[0].scores(images).tobytes() != members[1].scores(images).tobytes()


def test_the_files_hold_words_and_tensors_only(tmp_path):
    images, targets = exclusive_or()
    save_members(tmp_path, [fit_member(images, targets, Recipe(plan=PLAN), seed=0)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["member-0.safetensors", "members.json"]
    (description,) = json.loads((tmp_path / "members.json").read_text())
    assert description["image_shape"] == [1, 16, 16]
    assert len(description["history"]["train_loss"]) == 2


def test_another_architecture_does_not_take_the_tensors(tmp_path):
    images, targets = exclusive_or()
    save_members(tmp_path, [fit_member(images, targets, Recipe(plan=PLAN, options={"width": 4}), seed=0)])
    words = json.loads((tmp_path / "members.json").read_text())
    words[0]["options"]["width"] = 8
    (tmp_path / "members.json").write_text(json.dumps(words))
    with pytest.raises(RunFolderError, match="does not fit"):
        load_members(tmp_path)


def test_a_built_member_has_the_described_architecture_and_no_training():
    description = {"network": "residual", "options": {"width": 4}, "image_shape": [2, 10, 7], "n_outputs": 3}
    member = build_member(description | {"n_pairs": 5})
    assert member.network.head.pairs.shape == (5, 2)
    assert member.scores(np.zeros((4, 2, 10, 7), np.float32)).shape == (4, 3)


def test_equal_seeds_give_equal_bytes():
    images, targets = exclusive_or()
    runs = [fit_member(images, targets, Recipe(plan=PLAN), seed=seed).scores(images) for seed in (5, 5, 6)]
    assert runs[0].tobytes() == runs[1].tobytes() != runs[2].tobytes()


def test_scores_do_not_depend_on_the_batch():
    images, targets = exclusive_or()
    member = fit_member(images, targets, Recipe(plan=PLAN), seed=0)
    np.testing.assert_allclose(member.scores(images), member.scores(images, batch_size=7), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("classes", [True, False])
def test_an_owner_is_never_both_learned_from_and_stopped_by(untrained, classes):
    images, targets = exclusive_or()
    owners = np.repeat(np.arange(20), 3)
    if not classes:
        targets = Targets(targets.values[:, :1], None)
    for seed in range(5):
        fit_member(images, targets, Recipe(), groups=owners, seed=seed)
    for call in untrained:
        assert not set(owners[call["train_index"]]) & set(owners[call["validation_index"]])
        assert len(call["train_index"]) + len(call["validation_index"]) == 60
        assert len(call["validation_index"]) >= 6


def test_rows_torn_from_their_owners_would_be_seen(untrained):
    images, targets = exclusive_or()
    owners = np.repeat(np.arange(20), 3)
    fit_member(images, targets, Recipe(), seed=0)  # the owners are not told
    (call,) = untrained
    assert set(owners[call["train_index"]]) & set(owners[call["validation_index"]])


def test_scaling_and_pairs_are_learned_from_the_training_part_alone(untrained):
    images, targets = exclusive_or()
    first = fit_member(images, targets, Recipe(), seed=0)
    held = untrained[0]["validation_index"]
    poisoned = images.copy()
    poisoned[held] = np.random.default_rng(1).random(poisoned[held].shape) * 50
    second = fit_member(poisoned, targets, Recipe(), seed=0)
    for name, tensor in first.network.state_dict().items():
        assert tensor.numpy().tobytes() == second.network.state_dict()[name].numpy().tobytes(), name
    assert not np.allclose(first.reference, images.mean(0))


def test_without_a_hold_out_all_samples_are_learned_from(untrained):
    images, targets = exclusive_or()
    fit_member(images, targets, Recipe(validation_fraction=0), seed=0)
    assert untrained[0]["train_index"].tolist() == list(range(60))
    assert len(untrained[0]["validation_index"]) == 0


def test_pairs_are_offered_to_residual_networks_for_classes_only():
    images, targets = exclusive_or(samples=120)
    recipe = Recipe(plan=PLAN, n_pairs=8)
    assert fit_member(images, targets, recipe, seed=0).description["n_pairs"] >= 1
    values = Targets(targets.values[:, :1], None)
    assert fit_member(images, values, recipe, seed=0).description["n_pairs"] == 0
    assert fit_member(images, targets, Recipe(network="squeeze", plan=PLAN), seed=0).description["n_pairs"] == 0


def test_shrinkage_can_be_left_out():
    images, targets = exclusive_or()
    shrunk, plain = (fit_member(images, targets, Recipe(plan=PLAN, shrink=shrink), seed=0) for shrink in (True, False))
    assert (scaling_of(shrunk).gain < scaling_of(plain).gain).all()


def test_images_that_may_only_be_read_are_taken():
    images, targets = exclusive_or()
    member = fit_member(images, targets, Recipe(plan=PLAN), seed=0)
    images.flags.writeable = False
    again = fit_member(images, targets, Recipe(plan=PLAN), seed=0)
    assert member.scores(images).tobytes() == again.scores(images).tobytes()


@pytest.mark.parametrize("wrong", [{"n_pairs": -1}, {"validation_fraction": 0.6}, {"validation_fraction": -0.1}])
def test_a_recipe_out_of_range_is_refused(wrong):
    with pytest.raises(InputError, match="n_pairs must be 0 or more"):
        Recipe(**wrong)


def test_an_unknown_network_is_refused():
    images, targets = exclusive_or()
    with pytest.raises(InputError, match="choose residual"):
        fit_member(images, targets, Recipe(network="transformer"), seed=0)
