"""A fitted encoder of brains in a folder, and the names of its trainings. Nothing is unpickled."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.files import read_json, write_json
from kotowari.studies.brain.model.autoencoder_input import WindowInputs
from kotowari.training.checkpoint import load_network, save_network
from kotowari.training.loop import History
from kotowari.training.precision import PrecisionChoice
from kotowari.training.saved_folder import plain, read_arrays, read_facts, write_arrays, write_facts

__all__ = ["kept_choice", "plain_options", "read_encoder", "training_name", "write_encoder"]

Arrays = Mapping[str, npt.NDArray[Any]]

_ARRAYS = "volumes.safetensors"
_WEIGHTS = "network.safetensors"
_NOT_OF_THE_MODEL = ("mask", "random_state", "checkpoint", "checkpoint_seconds", "device")


def write_encoder(estimator: Any, path: Path, arrays: Arrays, words: Mapping[str, Any]) -> None:
    """Write a fitted encoder.

    Parameters
    ----------
    estimator
        A :class:`kotowari.studies.brain.model.brain_encoder.BrainEncoder`.
    path
        Of the JSON; the other files stand beside it.
    arrays, words
        What this kind of encoder has beside mask, mean brain, network and history.

    Raises
    ------
    RunFolderError
        When the folder cannot be written.
    """
    write_arrays(path.with_name(_ARRAYS), {"mask": estimator.mask_, "mean_brain": estimator.mean_brain_, **arrays})
    save_network(path.with_name(_WEIGHTS), estimator.reconstruction_)
    facts = {
        "options": plain_options(estimator) | {"seed": estimator.seed_},
        "sd": estimator.reconstruction_.sd,
        "history": asdict(estimator.history_),
        "precision": asdict(estimator.precision_),
        **words,
    }
    write_facts(path, type(estimator).__name__, facts, (_ARRAYS, _WEIGHTS))


def read_encoder(
    estimator: Any, path: Path, take: Callable[[dict[str, Any], dict[str, npt.NDArray[Any]]], None]
) -> None:
    """Set options and fitted attributes of a new encoder to what :func:`write_encoder` wrote.

    Parameters
    ----------
    estimator
        Of the same class.
    path
        Of the JSON.
    take
        Sets what this kind of encoder has beside, from words and arrays; called before the network is put together.

    Raises
    ------
    InputError
        When a file is missing, damaged, or of another kind.
    """
    facts = read_facts(path, type(estimator).__name__)
    arrays = read_arrays(path.with_name(_ARRAYS))
    estimator.seed_ = facts["options"].pop("seed")
    estimator.set_params(**facts["options"], random_state=estimator.seed_)
    take(facts, arrays)
    estimator._build(arrays["mask"], arrays["mean_brain"][arrays["mask"]], facts["sd"])
    load_network(path.with_name(_WEIGHTS), estimator.reconstruction_)
    estimator.history_ = History(**facts["history"])
    estimator.precision_ = PrecisionChoice(**facts["precision"])


def plain_options(estimator: Any) -> dict[str, Any]:
    """Return the options that make the model what it is, as plain words and numbers."""
    options = estimator.get_params(deep=False)
    return {name: plain(value) for name, value in options.items() if name not in _NOT_OF_THE_MODEL}


def training_name(
    estimator: Any, inputs: WindowInputs, learning: npt.NDArray[np.intp], target: npt.NDArray[np.intp] | None = None
) -> str:
    """Return a file name that no other training has: of other options, seed, subjects, volumes or target."""
    digest = hashlib.sha256(json.dumps([plain_options(estimator), estimator.seed_], sort_keys=True).encode())
    digest.update(learning.astype(np.int64).tobytes() + np.array(inputs.shape, np.int64).tobytes())
    digest.update(estimator.mask_.tobytes() + estimator.mean_brain_.tobytes())
    if target is not None:
        digest.update(b"target" + target.astype(np.int64).tobytes())
    return f"{type(estimator).__name__.lower()}-{digest.hexdigest()[:16]}"


def kept_choice(path: Path, choose: Callable[[], PrecisionChoice]) -> PrecisionChoice:
    """Return the choice that the file holds, or make it and write it there."""
    if path.is_file():
        return PrecisionChoice(**read_json(path))
    choice = choose()
    write_json(path, asdict(choice))
    return choice
