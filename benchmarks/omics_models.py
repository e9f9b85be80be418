"""The models of the omics benchmark. Settings were chosen on other folds than the reported ones; README.md says how."""

import os
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import Pipeline

from field import tcga11
from harness import NotMeasured
from kotowari.studies.omics.baselines import univariate_scores
from kotowari.studies.omics.model.estimators import DeepInsightClassifier
from kotowari.training.plan import TrainingPlan

__all__ = [
    "LOGISTIC",
    "OURS",
    "REPORTED",
    "after_selection",
    "cancer_model",
    "field_data",
    "instability_model",
    "planted_model",
    "thin_cancer_model",
    "tumours",
]

OURS = "kotowari"
LOGISTIC = "logistic L2"
REPORTED = 0  # seed of the folds that are reported
_STEPS = 300  # of a training on all tumours
_CHOSEN = 20  # genes, of which microsatellite instability is predicted


def cancer_model(quick: bool) -> DeepInsightClassifier:
    """Tell eleven kinds of cancer apart: no tumour kept aside for stopping, much mixing and dropout, five networks."""
    return DeepInsightClassifier(
        n_members=1 if quick else 5,
        n_pairs=0,
        network_options={"dropout": 0.6},
        validation_fraction=0,
        plan=TrainingPlan(max_epochs=3 if quick else 30, mixup=1.0),
        tune=2 if quick else 4,
        random_state=REPORTED,
    )


def thin_cancer_model(quick: bool, n_samples: int) -> DeepInsightClassifier:
    """Do as :func:`cancer_model` on few tumours: about as many steps as on all of them, no shrinkage, no search."""
    model = cancer_model(quick).set_params(n_members=1 if quick else 3, shrink=False, tune=0)
    plan = model.plan
    epochs = plan.max_epochs if quick else ceil(_STEPS / ceil(n_samples / plan.batch_size))
    return model.set_params(plan=replace(plan, max_epochs=epochs))


def instability_model(quick: bool) -> DeepInsightClassifier:
    """Tell microsatellite instability from stability in few tumours."""
    return DeepInsightClassifier(
        n_members=1 if quick else 3,
        n_pairs=0,
        validation_fraction=0,
        plan=TrainingPlan(max_epochs=3 if quick else 16),
        random_state=REPORTED,
    )


def planted_model(quick: bool, seed: int) -> DeepInsightClassifier:
    """Find planted genes: the defaults of the estimator."""
    plan = TrainingPlan(max_epochs=5) if quick else None
    return DeepInsightClassifier(n_members=1 if quick else 3, plan=plan, random_state=seed)


def after_selection(model: Any) -> Pipeline:
    """Let a model see only the 20 genes with the largest F of its own training rows."""
    chosen = SelectKBest(univariate_scores, k=_CHOSEN).set_output(transform="pandas")
    return Pipeline([("select", chosen), ("model", model)])


def field_data() -> Path:
    """Return the folder of KOTOWARI_DATA.

    Raises
    ------
    NotMeasured
        When it is not set.
    """
    if "KOTOWARI_DATA" not in os.environ:
        raise NotMeasured("KOTOWARI_DATA is not set: no field data to measure on.")
    return Path(os.environ["KOTOWARI_DATA"])


def tumours(quick: bool) -> tuple[pd.DataFrame, npt.NDArray[Any], npt.NDArray[Any]]:
    """Return expression, cancer and patient of the tumours; if quick, of a dozen each and of 400 genes."""
    X, cancers, patients = tcga11(field_data())
    if not quick:
        return X, cancers, patients
    few = np.concatenate([np.flatnonzero(cancers == cancer)[:12] for cancer in np.unique(cancers)])
    variable = np.sort(np.argsort(-X.to_numpy().var(0), kind="stable")[:400])
    return X.iloc[few, variable], cancers[few], patients[few]
