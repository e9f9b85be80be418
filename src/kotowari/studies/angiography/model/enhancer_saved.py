"""A fitted enhancer in a folder: JSON for words, safetensors for weights. Nothing is unpickled."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from kotowari.core.errors import InputError
from kotowari.core.files import fingerprint, read_json, write_json
from kotowari.training.checkpoint import load_network, save_network

__all__ = ["FACTS", "read_weights", "read_words", "write_enhancer"]

FACTS = "enhancer.json"
_WEIGHTS = "network.safetensors"
_SCHEMA = 1


def write_enhancer(folder: Path, network: nn.Module, words: Mapping[str, Any]) -> None:
    """Write weights and plain words; the JSON goes last, since it names the fingerprint of the weights.

    Raises
    ------
    RunFolderError
        When the folder cannot be written.
    """
    save_network(folder / _WEIGHTS, network)
    facts = {"kind": "VesselEnhancer", "schema": _SCHEMA, "weights": fingerprint(folder / _WEIGHTS), **words}
    write_json(folder / FACTS, facts | {"key": _key(facts)})


def read_words(folder: Path) -> dict[str, Any]:
    """Return what :func:`write_enhancer` wrote beside the weights.

    Raises
    ------
    InputError
        When something is missing, changed, or of another kind.
    """
    path = folder / FACTS
    facts = read_json(path)
    if not isinstance(facts, dict) or facts.get("kind") != "VesselEnhancer" or facts.get("schema") != _SCHEMA:
        raise InputError(f"{path}: is no saved VesselEnhancer that this version reads.")
    if facts.pop("key", None) != _key(facts):
        raise InputError(f"{path}: was changed after it was saved. Copy or save the folder again.")
    if fingerprint(folder / _WEIGHTS) != facts["weights"]:
        raise InputError(f"{folder / _WEIGHTS}: does not belong to {FACTS}. Copy or save the folder again.")
    return facts


def read_weights(folder: Path, network: nn.Module) -> None:
    """Fill a network with the saved weights."""
    load_network(folder / _WEIGHTS, network)


def _key(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
