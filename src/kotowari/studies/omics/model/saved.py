"""A fitted transformer in a folder: JSON for names and options, safetensors for arrays. Nothing is unpickled."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from kotowari.core.errors import InputError
from kotowari.core.files import fingerprint, read_json, write_bytes, write_json
from kotowari.studies.omics.model.embedding import given_places
from kotowari.studies.omics.model.images import PixelMap
from kotowari.studies.omics.model.scaling import scaler_class

__all__ = ["read_transformer", "write_transformer"]

_ARRAYS = "transformer.safetensors"
_FACTS = "transformer.json"
_KIND = "DeepInsightTransformer"


def write_transformer(transformer: Any, folder: Path) -> None:
    """Write a fitted transformer; the JSON goes last and names the fingerprint of the arrays.

    Raises
    ------
    InputError
        When its random state is a generator, which JSON cannot hold.
    RunFolderError
        When the folder cannot be written.
    """
    seed = transformer.random_state
    if seed is not None and not isinstance(seed, (int, np.integer)):
        raise InputError(f"save: random_state must be a number or None to be saved, got {type(seed).__name__}.")
    arrays = {
        "pixels": np.stack([pixel_map.pixels for pixel_map in transformer.maps_]),
        "coordinates": transformer.coordinates_,
        "shifts": transformer.shifts_,
        "columns": transformer.columns_,
        "lower": np.stack([scaler.lower for scaler in transformer.scalers_]),
        "upper": np.stack([scaler.upper for scaler in transformer.scalers_]),
    }
    options = transformer.get_params() | {"random_state": None if seed is None else int(seed)}
    if transformer.coordinates is not None:
        arrays["given"] = given_places(transformer.coordinates, transformer.genes_)
        options["coordinates"] = "given"
    if transformer.layers is not None:
        options["layers"] = {str(name): [str(c) for c in columns] for name, columns in transformer.layers.items()}
    write_bytes(folder / _ARRAYS, to_bytes({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    facts = {
        "kind": _KIND,
        "schema": 1,
        "arrays": fingerprint(folder / _ARRAYS),
        "options": options | {"shape": _plain(transformer.shape)},
        "names": list(getattr(transformer, "feature_names_in_", ())),
        "genes": list(transformer.genes_),
        "layers": list(transformer.layers_),
        "shape": list(transformer.shape_),
    }
    write_json(folder / _FACTS, facts)


def read_transformer(transformer: Any, folder: Path) -> None:
    """Set options and fitted attributes of a new transformer to what the folder holds.

    Raises
    ------
    InputError
        When a file is missing, damaged, or of another kind.
    """
    facts, arrays = _read(folder)
    options = facts["options"]
    options["shape"] = options["shape"] if isinstance(options["shape"], str) else tuple(options["shape"])
    if options["coordinates"] is not None:
        options["coordinates"] = arrays["given"]
    transformer.set_params(**options)
    transformer.shape_ = (int(facts["shape"][0]), int(facts["shape"][1]))
    transformer.layers_, transformer.genes_ = tuple(facts["layers"]), tuple(facts["genes"])
    transformer.columns_, transformer.shifts_ = arrays["columns"], arrays["shifts"]
    transformer.coordinates_ = arrays["coordinates"]
    transformer.maps_ = tuple(PixelMap(pixels, transformer.shape_) for pixels in arrays["pixels"])
    ranges = zip(arrays["lower"], arrays["upper"], strict=True)
    transformer.scalers_ = tuple(scaler_class(transformer.scaling)(lower, upper) for lower, upper in ranges)
    transformer.n_features_in_ = transformer.columns_.size
    if facts["names"]:
        transformer.feature_names_in_ = np.array(facts["names"], dtype=object)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    facts = read_json(folder / _FACTS)
    if not isinstance(facts, dict) or facts.get("kind") != _KIND or facts.get("schema") != 1:
        raise InputError(f"{folder / _FACTS}: is no saved {_KIND} that this version reads.")
    if fingerprint(folder / _ARRAYS) != facts["arrays"]:
        raise InputError(f"{folder / _ARRAYS}: does not belong to the {_FACTS} beside it. Copy or save both again.")
    try:
        return facts, load_file(folder / _ARRAYS)
    except SafetensorError as error:
        raise InputError(f"{folder / _ARRAYS}: is damaged ({error}).") from error


def _plain(shape: Any) -> Any:
    return shape if isinstance(shape, str) else [int(side) for side in shape]
