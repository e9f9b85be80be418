"""A device that is not there is refused in a sentence, and one thread means one."""

import pytest
import torch

from kotowari.core.errors import InputError
from kotowari.training.devices import best_device, one_thread, require_device


def fit_out(monkeypatch, *, cuda, mps):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_takes_the_best_that_is_there(monkeypatch, cuda, mps, best):
    fit_out(monkeypatch, cuda=cuda, mps=mps)
    assert best_device() == require_device("auto") == best
    assert require_device("cpu") == "cpu"
    assert require_device(best) == best


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, name):
    fit_out(monkeypatch, cuda=False, mps=False)
    with pytest.raises(InputError, match=f"device '{name}': this machine has none that torch can use"):
        require_device(name)


def test_an_unknown_device_is_refused_with_the_choices():
    with pytest.raises(InputError, match="device 'gpu': choose one of auto, cpu, cuda, mps"):
        require_device("gpu")


def test_one_thread_gives_the_threads_back_even_after_an_error():
    assert torch.get_num_threads() == 1  # so it is in all tests
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt), one_thread():
            _stop_if_threads_are(1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def _stop_if_threads_are(n):
    if torch.get_num_threads() == n:
        raise KeyboardInterrupt
