"""A fitted site adapter in a folder, alone: the encoder is named by its fingerprint only."""

from pathlib import Path
from typing import Any

import numpy as np

from kotowari.core.errors import InputError
from kotowari.studies.brain.model.covariate_design import CovariateDesign
from kotowari.studies.brain.model.site_coordinates import SiteCoordinates
from kotowari.studies.brain.model.site_footprints import SiteFootprints
from kotowari.training.saved_folder import read_arrays, read_facts, write_arrays, write_facts

__all__ = ["read_adapter", "write_adapter"]

_ARRAYS = "site_adapter.safetensors"
_FACTS = "site_adapter.json"
_KIND = "SiteAdapter"
_OPTIONS = ("on", "bias_degree", "reference", "unseen", "n_probes")


def write_adapter(adapter: Any, folder: Path) -> None:
    """Write a fitted adapter; the JSON goes last.

    Raises
    ------
    RunFolderError
        When the folder cannot be written.
    """
    prints, found = adapter.footprints_, adapter.coordinates_
    arrays = {
        "theta": adapter.theta_,
        "t": adapter.t_,
        "kept": adapter.kept_,
        "fields": prints.fields.astype(np.float32),
        "slopes": prints.slopes,
        "centre": prints.centre.astype(np.float32),
        "projection": found.projection.astype(np.float32),
        "level": found.level,
        "coef": found.coef,
        "covariance": found.covariance,
    }
    write_arrays(folder / _ARRAYS, arrays)
    words = {
        "options": {name: getattr(adapter, name) for name in _OPTIONS},
        "sites": list(adapter.sites_),
        "adapted": list(adapter.adapted_),
        "covariates": adapter.covariates_.to_words(),
        "n_reference": found.n_reference,
        "encoder": adapter.encoder_key_,
    }
    write_facts(folder / _FACTS, _KIND, words, [_ARRAYS])


def read_adapter(adapter: Any, folder: Path, encoder_key: str) -> None:
    """Set options and fitted attributes of a new adapter to what the folder holds.

    Raises
    ------
    InputError
        When a file is missing, damaged or of another kind, or the adapter was learned on another encoder.
    """
    facts = read_facts(folder / _FACTS, _KIND)
    if facts["encoder"] != encoder_key:
        raise InputError(f"{folder}: this adapter was learned on another encoder. Give that one, or fit anew.")
    arrays = read_arrays(folder / _ARRAYS)
    adapter.set_params(**facts["options"])
    fields, slopes, centre = (arrays[name].astype(np.float64) for name in ("fields", "slopes", "centre"))
    adapter.footprints_ = SiteFootprints(fields, slopes, centre)
    adapter.coordinates_ = SiteCoordinates(
        arrays["projection"].astype(np.float64),
        arrays["level"],
        arrays["coef"],
        arrays["covariance"],
        facts["n_reference"],
    )
    adapter.covariates_ = CovariateDesign.from_words(facts["covariates"])
    adapter.theta_, adapter.t_, adapter.kept_ = arrays["theta"], arrays["t"], arrays["kept"]
    adapter.sites_, adapter.adapted_ = tuple(facts["sites"]), tuple(facts["adapted"])
    adapter.reference_, adapter.encoder_key_ = adapter.sites_[0], encoder_key
