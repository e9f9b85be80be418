"""Which device to compute on, and how many threads."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kotowari.core.errors import InputError

__all__ = ["best_device", "one_thread", "require_device"]


def best_device() -> str:
    """Return ``"cuda"``, ``"mps"`` or ``"cpu"``, the first that this machine has."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def require_device(name: str) -> str:
    """Return the device to use for ``name``; ``"auto"`` chooses, and a device that is not there is refused."""
    if name == "auto":
        return best_device()
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name not in there:
        raise InputError(f"device {name!r}: choose one of auto, {', '.join(there)}.")
    if not there[name]:
        raise InputError(f"device {name!r}: this machine has none that torch can use. Choose auto or cpu.")
    return name


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one CPU thread, so that sums are added in one order whatever the machine and the number of workers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
