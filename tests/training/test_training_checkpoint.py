"""A training that was stopped ends with the bytes of one that was not, and no file holds a pickle."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from small_training import AUGMENTED, PLAN, BrokenLoss, fingerprint, make_data, make_network, run, trained
from torch import nn

from kotowari.core.errors import RunFolderError
from kotowari.training import load_network, save_network
from kotowari.training.checkpoint import optimizer_tensors, read_checkpoint, restore_optimizer, write_checkpoint

BATCHES = 4 + 1  # an epoch: 32 rows to learn from by 10, and 16 to validate on by 40


def stopped_training(path, plan, n_epochs):
    """Leave the checkpoint of ``n_epochs`` whole epochs and a begun one."""
    with pytest.raises(KeyboardInterrupt):
        run(
            make_network(),
            plan=plan,
            loss=BrokenLoss(n_epochs * BATCHES + 2),
            checkpoint=path,
            checkpoint_seconds=0.0,
        )


def assert_resuming_changes_nothing(path, plan):
    """The network that goes on was born otherwise: all it knows comes from the checkpoint."""
    unbroken, history = trained(plan)
    resumed, again = trained(plan, seed=1, checkpoint=path)
    assert history == again, "the history differs"
    assert fingerprint(unbroken) == fingerprint(resumed), "the weights differ"


@pytest.mark.parametrize("plan", [PLAN, AUGMENTED], ids=["plain", "augmented"])
@pytest.mark.parametrize("n_epochs", [1, 4])
def test_a_stopped_training_ends_with_the_bytes_of_an_unbroken_one(tmp_path, plan, n_epochs):
    path = tmp_path / "training.safetensors"
    stopped_training(path, plan, n_epochs)
    assert read_checkpoint(path)[1]["epoch"] == n_epochs
    assert_resuming_changes_nothing(path, plan)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_without_the_moments_of_the_optimizer_is_caught(tmp_path):
    path = tmp_path / "training.safetensors"
    stopped_training(path, PLAN, 3)
    groups, words = read_checkpoint(path)
    groups["optimizer"] = {name: torch.zeros_like(tensor) for name, tensor in groups["optimizer"].items()}
    write_checkpoint(path, groups, words)
    with pytest.raises(AssertionError, match="differ"):
        assert_resuming_changes_nothing(path, PLAN)


def test_a_checkpoint_with_an_epoch_counted_twice_is_caught(tmp_path):
    path = tmp_path / "training.safetensors"
    stopped_training(path, PLAN, 3)
    groups, words = read_checkpoint(path)
    write_checkpoint(path, groups, words | {"epoch": 2})
    with pytest.raises(AssertionError, match="the history differs"):
        assert_resuming_changes_nothing(path, PLAN)


def test_a_training_may_be_stopped_again_and_again(tmp_path):
    path = tmp_path / "training.safetensors"
    for _ in range(3):
        stopped_training(path, PLAN, 1)
    assert read_checkpoint(path)[1]["epoch"] == 3
    assert_resuming_changes_nothing(path, PLAN)


def test_writing_checkpoints_changes_nothing(tmp_path):
    written, _ = trained(PLAN, checkpoint=tmp_path / "training.safetensors", checkpoint_seconds=0.0)
    assert fingerprint(written) == fingerprint(trained(PLAN)[0])


def test_no_checkpoint_is_written_before_its_time(tmp_path):
    path = tmp_path / "training.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(make_network(), loss=BrokenLoss(3 * BATCHES), checkpoint=path, checkpoint_seconds=3600.0)
    assert not path.exists()


def test_a_checkpoint_is_read_without_torch_and_holds_no_pickle(tmp_path):
    path = tmp_path / "training.safetensors"
    stopped_training(path, PLAN, 1)
    arrays = load_file(path)
    assert {name.partition("/")[0] for name in arrays} == {"network", "best", "optimizer"}
    assert all(isinstance(array, np.ndarray) and array.dtype != object for array in arrays.values())
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert set(header) == set(arrays) | {"__metadata__"}
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(content)  # noqa: S301  (it is here to fail)


def test_groups_and_words_come_back_as_they_went(tmp_path):
    groups = {
        "network": {"0.weight": torch.randn(3, 2), "a/b": torch.tensor(7), "none": torch.zeros(0, 2)},
        "best": {"0.weight": torch.randn(3, 2).t(), "flags": torch.tensor([True, False])},
    }
    words = {"epoch": 3, "history": {"train_loss": [0.1, 1 / 3], "note": "理"}}
    write_checkpoint(tmp_path / "a.safetensors", groups, words)
    found, read = read_checkpoint(tmp_path / "a.safetensors")
    assert read == words
    assert {group: set(entries) for group, entries in found.items()} == {k: set(v) for k, v in groups.items()}
    for group, entries in groups.items():
        for name, tensor in entries.items():
            assert torch.equal(found[group][name], tensor)
            assert found[group][name].dtype == tensor.dtype


def test_an_optimizer_goes_on_from_its_tensors():
    def step(weight, optimizer, k):
        optimizer.zero_grad()
        ((weight - k) ** 2).sum().backward()
        optimizer.step()

    first = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([first])
    for k in range(3):
        step(first, optimizer, k)
    second = nn.Parameter(first.detach().clone())
    other = torch.optim.AdamW([second])
    restore_optimizer(other, {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()})
    for k in range(3):
        step(first, optimizer, k)
        step(second, other, k)
    assert torch.equal(first, second)


def test_a_network_comes_back_as_it_went(tmp_path):
    network = trained()[0]
    save_network(tmp_path / "member.safetensors", network)
    other = make_network(seed=1)
    load_network(tmp_path / "member.safetensors", other)
    assert fingerprint(other) == fingerprint(network)
    inputs, _ = make_data()
    assert torch.equal(other.eval()(inputs), network(inputs))


def test_a_file_of_another_network_is_refused(tmp_path):
    save_network(tmp_path / "member.safetensors", nn.Linear(3, 2))
    with pytest.raises(RunFolderError, match=r"member\.safetensors: does not fit this network"):
        load_network(tmp_path / "member.safetensors", nn.Linear(4, 2))


@pytest.mark.parametrize(
    "content", [pickle.dumps({"weight": [1.0]}), b"", b"\xff" * 20], ids=["pickle", "empty", "noise"]
)
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "member.safetensors").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"member\.safetensors: is not a safetensors file"):
        load_network(tmp_path / "member.safetensors", nn.Linear(3, 2))
