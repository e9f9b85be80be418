"""A fitted regression on features in a folder, with everything that prepares them. Nothing is unpickled.

``regression.json`` holds options and names, ``regression.safetensors`` all numbers. What has a way of its own to be
saved stands in a folder of its own: ``harmoniser`` and ``features``.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from kotowari.core.errors import CapabilityError
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.combat_saved import COMBAT_FACTS
from kotowari.studies.brain.model.nuisance import NuisanceRegression
from kotowari.studies.brain.model.preparation import Preparation
from kotowari.studies.brain.model.regression_heads import Head
from kotowari.training.saved_folder import plain, read_arrays, read_facts, tupled, write_arrays, write_facts

__all__ = ["read_regression", "write_regression"]

Arrays = Mapping[str, npt.NDArray[Any]]

_FACTS, _ARRAYS = "regression.json", "regression.safetensors"
_HARMONISER, _FEATURES = "harmoniser", "features"
_PARTS = ("features", "harmoniser")
_NUISANCES = ("of_features", "of_target")
# a table, and no name of a module from a file: what a folder holds must not decide what is imported
_TRANSFORMERS = {
    "ConvolutionalAutoencoder": ("kotowari.studies.brain.model.autoencoder", "autoencoder.json"),
}


def write_regression(model: Any, folder: Path) -> None:
    """Write a fitted :class:`kotowari.studies.brain.model.latent_regression.LatentRegression`.

    Raises
    ------
    CapabilityError
        When its own transformer of features is of a kind that cannot be saved.
    RunFolderError
        When the folder cannot be written.
    """
    preparation: Preparation = model.preparation_
    parts = _write_parts(preparation, folder)
    nuisances = dict(zip(_NUISANCES, (preparation.nuisance, model.coding_.nuisance), strict=True))
    known = {name: one for name, one in nuisances.items() if one is not None}
    write_arrays(folder / _ARRAYS, _arrays(model, known))
    options = model.get_params(deep=False)
    words = {
        "options": {name: plain(value) for name, value in options.items() if name not in _PARTS},
        "features": None if preparation.features is None else type(preparation.features).__name__,
        "harmoniser": preparation.harmoniser is not None,
        "nuisances": {name: one.design_.to_words() for name, one in known.items()},
        "classes": model.classes_.tolist(),
        "n_subjects": model.n_subjects_,
        "n_features_in": getattr(model, "n_features_in_", None),
        "feature_names": plain(getattr(model, "feature_names_in_", None)),
    }
    write_facts(folder / _FACTS, type(model).__name__, words, [_ARRAYS, *parts])


def read_regression(model: Any, folder: Path) -> None:
    """Set options and fitted attributes of a new regression to what the folder holds.

    Raises
    ------
    InputError
        When a file is missing, damaged, or of another kind.
    """
    facts = read_facts(folder / _FACTS, type(model).__name__)
    arrays = read_arrays(folder / _ARRAYS)
    model.set_params(**{name: tupled(value) for name, value in facts["options"].items()})
    preparation = _preparation(model, facts, arrays, folder)
    model.preparation_, model.coding_ = preparation, model.coding()
    model.features = None if preparation.features is None else clone(preparation.features)
    model.harmoniser = None if preparation.harmoniser is None else clone(preparation.harmoniser)
    model.preparation_.nuisance, model.coding_.nuisance = (_nuisance(name, facts, arrays) for name in _NUISANCES)
    model.head_ = Head(
        arrays["head/coef"],
        float(arrays["head/intercept"]),
        float(arrays["head/choice"]),
        arrays.get("head/right"),
        arrays.get("head/right_centre"),
    )
    model._take_weights(arrays["weights"], float(arrays["offset"]))
    model.classes_ = np.array(facts["classes"])
    model.n_subjects_ = facts["n_subjects"]
    if facts["n_features_in"] is not None:
        model.n_features_in_ = facts["n_features_in"]
    if facts["feature_names"] is not None:
        model.feature_names_in_ = np.array(facts["feature_names"], dtype=object)


def _write_parts(preparation: Preparation, folder: Path) -> list[str]:
    """Write what has a way of its own to be saved, and return its JSON files as seen from the folder."""
    parts = []
    if preparation.features is not None:
        kind = type(preparation.features).__name__
        if kind not in _TRANSFORMERS:
            raise CapabilityError(
                f"save: {kind} turns volumes into features, and cannot be saved. Fit the regression on its features, "
                "and save the regression alone."
            )
        preparation.features.save(folder / _FEATURES)
        parts.append(f"{_FEATURES}/{_TRANSFORMERS[kind][1]}")
    if preparation.harmoniser is not None:
        preparation.harmoniser.save(folder / _HARMONISER)
        parts.append(f"{_HARMONISER}/{COMBAT_FACTS}")
    return parts


def _arrays(model: Any, nuisances: Mapping[str, NuisanceRegression]) -> Arrays:
    preparation, head = model.preparation_, model.head_
    arrays = {
        "weights": model._weights,
        "offset": np.array(model._offset),
        "centre": preparation.centre,
        "deviation": preparation.deviation,
        "head/coef": head.coef,
        "head/intercept": np.array(head.intercept),
        "head/choice": np.array(head.choice),
    }
    if head.right is not None:
        arrays |= {"head/right": head.right, "head/right_centre": head.right_centre}
    for name, nuisance in nuisances.items():
        arrays |= {f"{name}/{what}": array for what, array in nuisance.to_arrays().items()}
    return arrays


def _preparation(model: Any, facts: Mapping[str, Any], arrays: Arrays, folder: Path) -> Preparation:
    preparation: Preparation = model.preparation()
    if facts["features"] is not None:
        home, _ = _TRANSFORMERS[facts["features"]]
        preparation.features = getattr(import_module(home), facts["features"]).load(folder / _FEATURES)
    if facts["harmoniser"]:
        preparation.harmoniser = ComBat.load(folder / _HARMONISER)
    preparation.centre, preparation.deviation = arrays["centre"], arrays["deviation"]
    return preparation


def _nuisance(name: str, facts: Mapping[str, Any], arrays: Arrays) -> NuisanceRegression | None:
    words = facts["nuisances"].get(name)
    if words is None:
        return None
    prefix = f"{name}/"
    own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
    return NuisanceRegression.restored(words, own)
