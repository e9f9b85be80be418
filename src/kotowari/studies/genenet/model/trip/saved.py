"""A fitted tensor reconstruction model in a folder: JSON for options, safetensors for arrays. Nothing is unpickled."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from kotowari.core.errors import InputError
from kotowari.core.files import fingerprint, read_json, write_bytes, write_json
from kotowari.studies.genenet.model.trip.fit import FittedCore
from kotowari.studies.genenet.model.trip.heads import Head
from kotowari.studies.genenet.model.trip.network_frame import NetworkFrame

__all__ = ["read_trip", "write_trip"]

_ARRAYS = "trip.safetensors"
_FACTS = "trip.json"


def write_trip(estimator: Any, folder: Path, names: tuple[str, ...]) -> None:
    """Write a fitted estimator with the attributes ``names``; the JSON goes last and names the arrays' fingerprint.

    Raises
    ------
    InputError
        When its random state is a generator, which JSON cannot hold.
    RunFolderError
        When the folder cannot be written.
    """
    seed = estimator.random_state
    if seed is not None and not isinstance(seed, (int, np.integer)):
        raise InputError(f"save: random_state must be a number or None to be saved, got {type(seed).__name__}.")
    frame: NetworkFrame = estimator.frame_
    arrays = {"mean": torch.from_numpy(frame.mean)}
    if frame.edges is not None:
        arrays["edges"] = torch.from_numpy(np.asarray(frame.edges, dtype=np.int64))
    for number, member in enumerate(estimator.members_):
        arrays |= {f"{number}/projection/{mode}": c for mode, c in enumerate(member.projections)}
        arrays |= {f"{number}/head/{name}": tensor for name, tensor in member.head.state_dict().items()}
    write_bytes(folder / _ARRAYS, save({name: tensor.contiguous() for name, tensor in arrays.items()}))
    options = {name: _plain(value) for name, value in estimator.get_params().items()}
    facts = {
        "kind": type(estimator).__name__,
        "schema": 1,
        "arrays": fingerprint(folder / _ARRAYS),
        "options": options,
        "mode_shape": list(frame.mode_shape),
        "scale": frame.scale,
        "members": [{"loss": m.loss, "start": m.start, "n_steps": m.n_steps} for m in estimator.members_],
        "attributes": {name: _plain(getattr(estimator, name)) for name in names},
    }
    write_json(folder / _FACTS, facts)


def read_trip(estimator: Any, folder: Path, names: tuple[str, ...]) -> tuple[NetworkFrame, list[FittedCore]]:
    """Set options and the attributes ``names`` of a new estimator, and return the frame and members of the folder.

    Raises
    ------
    InputError
        When a file is missing, damaged, or of another kind.
    """
    facts, kind = read_json(folder / _FACTS), type(estimator).__name__
    if not isinstance(facts, dict) or facts.get("kind") != kind or facts.get("schema") != 1:
        raise InputError(f"{folder / _FACTS}: is no saved {kind} that this version reads.")
    if fingerprint(folder / _ARRAYS) != facts["arrays"]:
        raise InputError(f"{folder / _ARRAYS}: does not belong to the {_FACTS} beside it. Copy or save both again.")
    try:
        arrays = load_file(folder / _ARRAYS)
    except SafetensorError as error:
        raise InputError(f"{folder / _ARRAYS}: is damaged ({error}).") from error
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in facts["options"].items()}
    estimator.set_params(**options)
    edges = arrays["edges"].numpy() if "edges" in arrays else None
    frame = NetworkFrame(tuple(facts["mode_shape"]), arrays["mean"].numpy(), float(facts["scale"]), edges)
    members = [_member(number, told, arrays) for number, told in enumerate(facts["members"])]
    for name in names:
        value = facts["attributes"][name]
        setattr(estimator, name, np.array(value) if isinstance(value, list) else value)
    return frame, members


def _member(number: int, told: dict[str, Any], arrays: dict[str, Tensor]) -> FittedCore:
    def part(name: str) -> dict[str, Tensor]:
        prefix = f"{number}/{name}/"
        return {key.removeprefix(prefix): tensor for key, tensor in arrays.items() if key.startswith(prefix)}

    weights, projections = part("head"), part("projection")
    n_inputs, n_hidden = weights["hidden"].shape
    head = Head(n_inputs, len(weights["bias"]), n_hidden=n_hidden, generator=torch.Generator())
    head.load_state_dict(weights)
    ordered = tuple(projections[str(mode)] for mode in range(len(projections)))
    return FittedCore(ordered, head, told["loss"], told["start"], told["n_steps"])


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return [_plain(entry) for entry in value] if isinstance(value, (tuple, list, np.ndarray)) else value
