"""A fitted autoencoder in a folder: JSON for options, safetensors for arrays and weights. Nothing is unpickled."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from kotowari.core.errors import InputError
from kotowari.core.files import fingerprint, read_json, write_bytes, write_json
from kotowari.studies.brain.model.autoencoder_input import WindowInputs
from kotowari.training.checkpoint import load_network, save_network
from kotowari.training.loop import History
from kotowari.training.precision import PrecisionChoice

__all__ = ["kept_choice", "plain_options", "read_autoencoder", "training_name", "write_autoencoder"]

_ARRAYS = "volumes.safetensors"
_WEIGHTS = "network.safetensors"
_FACTS = "autoencoder.json"
_KIND = "ConvolutionalAutoencoder"
_NOT_OF_THE_MODEL = ("mask", "random_state", "checkpoint", "checkpoint_seconds", "device")


def write_autoencoder(estimator: Any, folder: Path) -> None:
    """Write a fitted autoencoder; the JSON goes last and names the fingerprints of the other files.

    Raises
    ------
    RunFolderError
        When the folder cannot be written.
    """
    arrays = {"mask": estimator.mask_, "mean_brain": estimator.mean_brain_, "mae": estimator.mae_}
    write_bytes(folder / _ARRAYS, to_bytes({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    save_network(folder / _WEIGHTS, estimator.reconstruction_.network)
    facts = {
        "kind": _KIND,
        "schema": 1,
        "files": [fingerprint(folder / name) for name in (_ARRAYS, _WEIGHTS)],
        "options": plain_options(estimator) | {"seed": estimator.seed_},
        "sd": estimator.reconstruction_.sd,
        "mean_brain_mae": estimator.mean_brain_mae_,
        "history": asdict(estimator.history_),
        "precision": asdict(estimator.precision_),
    }
    write_json(folder / _FACTS, facts)


def read_autoencoder(estimator: Any, folder: Path) -> None:
    """Set options and fitted attributes of a new autoencoder to what the folder holds.

    Raises
    ------
    InputError
        When a file is missing, damaged, or of another kind.
    """
    facts = read_json(folder / _FACTS)
    if not isinstance(facts, dict) or facts.get("kind") != _KIND or facts.get("schema") != 1:
        raise InputError(f"{folder / _FACTS}: is no saved {_KIND} that this version reads.")
    for name, written in zip((_ARRAYS, _WEIGHTS), facts["files"], strict=True):
        if fingerprint(folder / name) != written:
            raise InputError(f"{folder / name}: does not belong to the {_FACTS} beside it. Copy or save all again.")
    arrays = _arrays(folder / _ARRAYS)
    estimator.seed_ = facts["options"].pop("seed")
    estimator.set_params(**facts["options"], random_state=estimator.seed_)
    estimator._build(arrays["mask"], arrays["mean_brain"][arrays["mask"]], facts["sd"])
    load_network(folder / _WEIGHTS, estimator.reconstruction_.network)
    estimator.mae_, estimator.mean_brain_mae_ = arrays["mae"], facts["mean_brain_mae"]
    estimator.history_ = History(**facts["history"])
    estimator.precision_ = PrecisionChoice(**facts["precision"])


def plain_options(estimator: Any) -> dict[str, Any]:
    """Return the options that make the model what it is, as plain words and numbers."""
    options = estimator.get_params(deep=False)
    kept = {name: value for name, value in options.items() if name not in _NOT_OF_THE_MODEL}
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in kept.items()}


def training_name(estimator: Any, inputs: WindowInputs, learning: npt.NDArray[np.intp]) -> str:
    """Return a file name that no other training has: of other options, another seed, other subjects or volumes."""
    digest = hashlib.sha256(json.dumps([plain_options(estimator), estimator.seed_], sort_keys=True).encode())
    digest.update(learning.astype(np.int64).tobytes() + np.array(inputs.shape, np.int64).tobytes())
    digest.update(estimator.mask_.tobytes() + estimator.mean_brain_.tobytes())
    return f"autoencoder-{digest.hexdigest()[:16]}"


def kept_choice(path: Path, choose: Callable[[], PrecisionChoice]) -> PrecisionChoice:
    """Return the choice that the file holds, or make it and write it there."""
    if path.is_file():
        return PrecisionChoice(**read_json(path))
    choice = choose()
    write_json(path, asdict(choice))
    return choice


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        arrays: dict[str, npt.NDArray[Any]] = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: is damaged ({error}).") from error
    return arrays
