"""Planted doses predicted out of fold and at a second site, ours beside all that a user would take instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from harness import Figures
from kotowari.core.seeds import derive_seed
from kotowari.studies.brain.baselines.arms import COVARIATES_ONLY, volume_arms
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.diagnosis_encoder import DiagnosisEncoder
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.regression_cv import Arm, cross_validated, external_predictions, model_for
from kotowari.studies.brain.model.regression_scores import HeldOut, correlation
from kotowari.studies.brain.model.regression_targets import Target, target_folds
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.studies.brain.phantom import BrainPhantom, simulate_brains
from kotowari.studies.brain.phantom_lock import phantom_lock
from kotowari.trust.folds import Fold
from seeds import by_seed, summary

__all__ = ["ENCODER", "REGRESSION", "Brains", "encoder_of", "planted_dose", "settings"]

# The study's own choices, here and nowhere else in these benchmarks.
ENCODER: dict[str, Any] = {
    "n_blocks": 1,
    "n_channels": 8,
    "residual": "mean",
    "extraction": "extremes",
    "max_epochs": 30,
    "learning_rate": 5e-3,
    "validation_fraction": 0.0,
}
REGRESSION: dict[str, Any] = {"scale": False}
COVARIATES = ("age", "sex", "tiv", "image_quality")
N_SUBJECTS = 250  # of them some 148 at site A, to learn from, and 102 at site B, never learned from
N_SEEDS = 6
_QUICK: dict[str, Any] = {"max_epochs": 1, "n_channels": 4}

_WORDS = {
    "voxels, 0 mm": "ridge",
    "voxels, 8 mm": "ridge_8mm",
    "voxels, 12 mm": "ridge_12mm",
    "principal components, n - 1": "pca",
    COVARIATES_ONLY: "covariates",
}


def planted_dose(quick: bool) -> Figures:
    """Measure ``planted_dose_r`` and its comparators: patients of site A out of fold, patients of site B without refit.

    Encoders of a fold learn from all of site A but the patients kept aside; doses are regressed in patients, age, sex,
    total volume and image quality out of the features. Intervals are over phantoms, by Student's t.
    """
    rows = by_seed(
        "planted", range(1 if quick else N_SEEDS), lambda seed: _one_phantom(seed, quick=quick), settings(quick)
    )
    shown = ["planted_dose_r", "planted_dose_r_site2", "planted_dose_r_pooling", "planted_dose_r_untrained"]
    figures = summary(rows, lists=[*shown, "planted_dose_r_label_trained", "planted_dose_r_smoothed_ridge"])
    return figures | {"planted_seeds": len(rows), "planted_encoder": str(encoder_of(0, quick=quick).get_params())}


def settings(quick: bool) -> Any:
    """Return what the figures of a seed depend on."""
    return sorted({**ENCODER, **REGRESSION, "n": N_SUBJECTS, "quick": quick}.items())


def encoder_of(seed: int, *, quick: bool, **changed: Any) -> ConvolutionalAutoencoder:
    """Return the unfitted encoder of the study."""
    return ConvolutionalAutoencoder(**{**ENCODER, **(_QUICK if quick else {}), **changed, "random_state": seed})


@dataclass(frozen=True, eq=False)
class Brains:
    """A phantom as a cohort: volumes in the mask's box, site A to learn from, site B to be predicted."""

    phantom: BrainPhantom
    volumes: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int16]
    subjects: Subjects
    window: tuple[slice, ...]

    @classmethod
    def of(cls, phantom: BrainPhantom) -> "Brains":
        """Cut a phantom to the box of its mask."""
        held = np.nonzero(phantom.mask)
        window = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in held)
        table = phantom.participants
        subjects = Subjects.of(len(table), covariates=table[list(COVARIATES)])
        mask = phantom.mask[window]
        volumes = phantom.volumes[(slice(None), *window)] * mask
        return cls(phantom, volumes, mask, np.where(mask, phantom.labels[window], 0), subjects, window)

    def at(self, site: str) -> npt.NDArray[np.bool_]:
        """Return whose brains were scanned there."""
        return np.asarray(self.phantom.participants["site"] == site)

    def target(self, score: str, within: npt.NDArray[np.bool_]) -> Target:
        """Return a score as a target in some subjects."""
        return Target.of(score, self.phantom.participants[score].to_numpy(np.float64), within=within)


def _one_phantom(seed: int, *, quick: bool) -> dict[str, float]:
    brains = Brains.of(simulate_brains(80 if quick else N_SUBJECTS, seed=seed, voxel_mm=12 if quick else 8))
    patients = brains.phantom.patients
    here, there = brains.at("A"), brains.at("B")
    target, beyond = brains.target("dose", patients & here), brains.target("dose", patients & there)
    folds = target_folds(target, n_splits=3 if quick else 5, random_state=derive_seed(seed, "folds"))
    arms, figures = _learned_arms(brains, folds, seed, quick=quick)
    arms |= _plain_arms(brains)
    said = cross_validated({name: arm for name, (arm, _) in arms.items()}, target, folds, brains.subjects)
    for name, (arm, X) in arms.items():
        figures[_key("planted_dose_r", name)] = _r(said[name])
        learning = brains.subjects.rows(target.rows)
        final = model_for(arm.model, target)
        final.fit(_rows(X, target.rows), target.values[target.rows], covariates=learning.covariates)
        outside = external_predictions(final, X, beyond, brains.subjects)
        figures[_key("planted_dose_r_site2", name)] = _r(outside)
    figures |= _differences(figures)
    lock = phantom_lock(brains.phantom)
    found = {"age_r": lock.age_r, "dose_r": lock.dose_r, "largest_d": lock.largest_d, "locked": float(lock.locked)}
    return figures | {f"planted_lock_{name}": float(value) for name, value in found.items()}


def _learned_arms(
    brains: Brains, folds: Sequence[Fold], seed: int, *, quick: bool
) -> tuple[dict[str, tuple[Arm, Any]], dict[str, float]]:
    """Fit encoders for each fold and for all of site A; an arm is its features by fold, and those of the last fit."""
    everyone = np.flatnonzero(brains.at("A"))
    diagnosis = brains.phantom.participants["diagnosis"].to_numpy()
    features: dict[str, list[Any]] = {"ours": [], "untrained": [], "label_trained": []}
    errors: dict[str, list[float]] = {"ours": [], "mean": [], "pca": []}
    for number, kept in enumerate([*(fold.test for fold in folds), np.empty(0, np.intp)]):
        rows = np.setdiff1d(everyone, kept)
        own = encoder_of(derive_seed(seed, "encoder", number), quick=quick, mask=brains.mask)
        own.fit(brains.volumes, rows=rows)
        labelled = DiagnosisEncoder.like(clone(own)).fit(brains.volumes, diagnosis[rows], rows=rows)
        fitted = {"ours": own, "untrained": own.untrained(), "label_trained": labelled}
        for name, encoder in fitted.items():
            features[name].append(encoder.transform(brains.volumes))
        if len(kept):
            errors["ours"].append(float(own.errors(brains.volumes, rows=kept).mean()))
            errors["mean"].append(float(own.mean_brain_errors(brains.volumes, rows=kept).mean()))
            errors["pca"].append(_component_error(brains, rows, kept))
    mean = np.mean(errors["mean"])
    figures = {
        "mae_over_mean_brain": float(np.mean(errors["ours"]) / mean),
        "mae_over_mean_brain_pca": float(np.mean(errors["pca"]) / mean),
    }
    regression = LatentRegression(**REGRESSION)
    return {name: (Arm(regression, own[:-1]), own[-1]) for name, own in features.items()}, figures


def _plain_arms(brains: Brains) -> dict[str, tuple[Arm, Any]]:
    depth = ENCODER["n_blocks"]
    found = volume_arms(
        LatentRegression(**REGRESSION),
        brains.volumes,
        brains.subjects.covariates,
        mask=brains.mask,
        voxel_mm=brains.phantom.voxel_mm,
        n_blocks=(depth,),
    )
    words = {**_WORDS, f"average pooling by {1 << depth}": "pooling"}
    return {words[name]: (arm, arm.X) for name, arm in found.items()}


def _component_error(brains: Brains, rows: npt.NDArray[np.intp], kept: npt.NDArray[np.intp]) -> float:
    """Return the error of the voxels kept aside after projection onto all components of the training brains."""
    voxels = brains.volumes[:, brains.mask].astype(np.float64)
    mean = voxels[rows].mean(0)
    axes = np.linalg.svd(voxels[rows] - mean, full_matrices=False)[2][: len(rows) - 1]
    left = voxels[kept] - mean
    return float(np.abs(left - left @ axes.T @ axes).mean())


def _differences(figures: Mapping[str, float]) -> dict[str, float]:
    """Return ours less others, and the better of the smoothed ridges, which flatters them."""
    found: dict[str, float] = {}
    for stem in ("planted_dose_r", "planted_dose_r_site2"):
        found[f"{stem}_smoothed_ridge"] = max(figures[f"{stem}_ridge_8mm"], figures[f"{stem}_ridge_12mm"])
        values = {**figures, **found}
        for other in ("untrained", "pooling", "smoothed_ridge", "pca", "ridge"):
            found[f"{stem}_less_{other}"] = values[stem] - values[f"{stem}_{other}"]
        name = "label_free_minus_label_trained" + stem.removeprefix("planted_dose_r")
        found[name] = values[stem] - values[f"{stem}_label_trained"]
    return found


def _key(stem: str, name: str) -> str:
    return stem if name == "ours" else f"{stem}_{name}"


def _r(said: HeldOut) -> float:
    """Return r; a prediction that does not vary is worth nothing."""
    return float(np.nan_to_num(correlation(said.truth, said.prediction)))


def _rows(X: Any, rows: npt.NDArray[np.intp]) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]
