"""Why the study's options are what they are: held-out expression of the targets on the packaged tumours."""

import warnings
from typing import Any

from harness import Figures
from kotowari.studies.genenet.config import Config
from kotowari.studies.genenet.data import read_samples
from kotowari.studies.genenet.fitting import fit_networks
from kotowari.trust.folds import grouped_folds

__all__ = ["option_scores"]

_OPTIONS: dict[str, dict[str, Any]] = {
    "study": {},
    "knn_half": {"pooling": 0.0},
    "knn_quarter": {"pooling": 0.0, "effective_samples": 0.25},
    "gaussian_half": {"pooling": 0.0, "kernel": "gaussian"},
    "gaussian_quarter": {"pooling": 0.0, "kernel": "gaussian", "effective_samples": 0.25},
    "knn_half_adaptive": {"pooling": 0.0, "max_rounds": 3},
}


def option_scores(quick: bool) -> Figures:
    """Return R2 of the targets over five folds for the study's defaults and for one change at a time.

    ``defaults_r2_one_network`` is one elastic net for all samples, which has no kernel. The defaults were settled on
    these tumours and on a second table, so their own figure flatters them.
    """
    config = Config.demo()
    samples = read_samples(config)
    folds = grouped_folds(
        samples.y, groups=samples.groups, n_splits=2 if quick else 5, continuous=False, random_state=0
    )
    found: Figures = {}
    for name, changed in _OPTIONS.items():
        sizes = {"n_targets": 10 if quick else config.data.n_targets}
        options = Config.model_validate({"data": sizes, "network": {**config.network.model_dump(), **changed}})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # ends of the modulator without a network
            parts = [fit_networks(samples, options, fold, 0) for fold in folds]
        mean = sum(float(part["mean"].sum()) for part in parts)
        found[f"defaults_r2_{name}"] = 1 - sum(float(part["varying"].sum()) for part in parts) / mean
        if not changed:
            found["defaults_r2_one_network"] = 1 - sum(float(part["global"].sum()) for part in parts) / mean
    return found
