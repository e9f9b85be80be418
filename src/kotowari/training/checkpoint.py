"""A training's state as tensors and plain words: safetensors and JSON, never a pickle."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from kotowari.core.errors import RunFolderError
from kotowari.core.files import write_bytes

__all__ = ["load_network", "read_checkpoint", "save_network", "write_checkpoint"]


def save_network(path: Path, network: nn.Module) -> None:
    """Write parameters and buffers of ``network`` to one safetensors file."""
    write_bytes(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}))


def load_network(path: Path, network: nn.Module) -> None:
    """Fill ``network`` with what :func:`save_network` wrote; another architecture is refused."""
    try:
        network.load_state_dict(load(path.read_bytes()))
    except SafetensorError as error:
        raise RunFolderError(f"{path}: is not a safetensors file ({error}). It was cut short or replaced.") from error
    except RuntimeError as error:
        raise RunFolderError(f"{path}: does not fit this network ({error}). It belongs to another model.") from error


def write_checkpoint(path: Path, groups: dict[str, dict[str, Tensor]], words: dict[str, Any]) -> None:
    """Write named groups of tensors and a few plain values as one file, so that they cannot fall apart."""
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, entries in groups.items()
        for name, tensor in entries.items()
    }
    write_bytes(path, save(tensors, metadata={"words": json.dumps(words)}))


def read_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Read back what :func:`write_checkpoint` wrote."""
    content = path.read_bytes()
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load(content).items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = tensor
    header = int.from_bytes(content[:8], "little")
    words: dict[str, Any] = json.loads(json.loads(content[8 : 8 + header])["__metadata__"]["words"])
    return groups, words


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten the moments of an optimizer to ``<parameter number>.<name>``."""
    return {
        f"{number}.{name}": value
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
