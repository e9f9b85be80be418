"""Fitted harmonising in a folder. Nothing is unpickled."""

from pathlib import Path
from typing import Any

from kotowari.studies.brain.model.covariate_design import CovariateDesign
from kotowari.training.saved_folder import plain, read_arrays, read_facts, write_arrays, write_facts

__all__ = ["COMBAT_FACTS", "read_combat", "write_combat"]

COMBAT_FACTS = "combat.json"
_ARRAYS = "combat.safetensors"
_FITTED = ("shift_", "variance_", "mean_", "deviation_", "coef_", "varies_")


def write_combat(combat: Any, folder: Path) -> None:
    """Write a fitted :class:`kotowari.studies.brain.model.combat.ComBat`.

    Raises
    ------
    RunFolderError
        When the folder cannot be written.
    """
    write_arrays(folder / _ARRAYS, {name: getattr(combat, name) for name in _FITTED})
    words = {
        "options": {name: plain(value) for name, value in combat.get_params().items()},
        "sites": list(combat.sites_),
        "adapted": list(combat.adapted_),
        "covariates": combat.covariates_.to_words(),
        "shape": plain(combat.shape_in_),
    }
    write_facts(folder / COMBAT_FACTS, type(combat).__name__, words, [_ARRAYS])


def read_combat(combat: Any, folder: Path) -> None:
    """Set options and fitted attributes of a new object to what the folder holds.

    Raises
    ------
    InputError
        When a file is missing, damaged, or of another kind.
    """
    facts = read_facts(folder / COMBAT_FACTS, type(combat).__name__)
    combat.set_params(**facts["options"])
    for name, array in read_arrays(folder / _ARRAYS).items():
        setattr(combat, name, array)
    combat.sites_, combat.adapted_ = tuple(facts["sites"]), tuple(facts["adapted"])
    combat.covariates_ = CovariateDesign.from_words(facts["covariates"])
    combat.shape_in_, combat.n_features_in_ = tuple(facts["shape"]), len(combat.mean_)
