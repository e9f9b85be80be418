"""A fitted enhancer in a folder: JSON for words, safetensors for weights. Nothing is unpickled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from kotowari.training.checkpoint import load_network, save_network
from kotowari.training.saved_folder import read_facts, write_facts

__all__ = ["FACTS", "read_weights", "read_words", "write_enhancer"]

FACTS = "enhancer.json"
_KIND, _WEIGHTS = "VesselEnhancer", "network.safetensors"


def write_enhancer(folder: Path, network: nn.Module, words: Mapping[str, Any]) -> None:
    """Write weights and plain words.

    Raises
    ------
    RunFolderError
        When the folder cannot be written.
    """
    save_network(folder / _WEIGHTS, network)
    write_facts(folder / FACTS, _KIND, words, [_WEIGHTS])


def read_words(folder: Path) -> dict[str, Any]:
    """Return what :func:`write_enhancer` wrote beside the weights.

    Raises
    ------
    InputError
        When something is missing, changed, or of another kind.
    """
    return read_facts(folder / FACTS, _KIND)


def read_weights(folder: Path, network: nn.Module) -> None:
    """Fill a network with the saved weights."""
    load_network(folder / _WEIGHTS, network)
