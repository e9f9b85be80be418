"""Real tables of regions: age and autism at sites that training never saw, beside ridge, with and without ComBat."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness import Figures, NotMeasured
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.regression_cv import Arm, cross_validated
from kotowari.studies.brain.model.regression_permutation import permutation_test
from kotowari.studies.brain.model.regression_scores import HeldOut, correlation, held_out_scores, paired_gain
from kotowari.studies.brain.model.regression_targets import Target, leave_site_out
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.trust.folds import Fold

__all__ = ["real_tables"]

_PENALTIES = np.logspace(-2, 5, 15)
_ADAPTED = 10  # unlabelled subjects of the new site that ComBat may see; they are not scored
_HEADS = 702  # MUSE's number of the volume in the skull


def real_tables(quick: bool) -> Figures:
    """Measure ``abide_age_r``, ``abide_autism_auc`` and ``ixi_age_mae`` beside scikit-learn's on the same folds."""
    if "KOTOWARI_DATA" not in os.environ:
        raise NotMeasured("KOTOWARI_DATA is not set.")
    folder = Path(os.environ["KOTOWARI_DATA"]) / "brain"
    return _abide(folder, quick=quick) | _ixi(folder, quick=quick)


def _abide(folder: Path, *, quick: bool) -> Figures:
    table = pd.read_csv(folder / "abide" / "abide_freesurfer.csv.gz", dtype={"subject_id": str, "site": str})
    table = table.iloc[::4] if quick else table
    table = table[table.groupby("site")["site"].transform("size") >= 2 * _ADAPTED // (4 if quick else 1)]
    table = table.reset_index(drop=True)
    X, sites = table.iloc[:, 6:].to_numpy(np.float64), table["site"].to_numpy()
    age = Target.of("age", table["age"].to_numpy(np.float64), transform="log")
    autism = Target.of("asd", np.where(table["asd"] == 1, "autism", "control"), kind="class")
    figures: Figures = {"abide_n": len(table), "abide_sites": len(np.unique(sites))}
    for target, name, statistic in ((age, "abide_age", "r"), (autism, "abide_autism", "AUC")):
        covariates = table[["sex"]] if target is age else table[["sex", "age"]]
        folds = leave_site_out(target, sites)
        subjects = Subjects.of(len(table), sites=sites, covariates=covariates)
        figures |= _judged(X, target, folds, subjects, name, statistic, quick=quick)
        beside = _plain(X, target, folds)
        figures |= {f"{name}_{key}_ridge": value for key, value in _figures(beside, statistic).items()}
    return figures


def _judged(
    X: npt.NDArray[np.float64],
    target: Target,
    folds: list[Fold],
    subjects: Subjects,
    name: str,
    statistic: str,
    *,
    quick: bool,
) -> Figures:
    """Judge the regression as it is, and with ComBat that has seen some unlabelled subjects of the new site."""
    plain = LatentRegression(nuisance="none")
    harmonised = LatentRegression(nuisance="none", harmoniser=ComBat(unseen="refuse"))
    few = _ADAPTED // (4 if quick else 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = cross_validated({"ours": Arm(plain, X)}, target, folds, subjects)["ours"]
        adapted = cross_validated({"combat": Arm(harmonised, X)}, target, folds, subjects, n_adapt=few)["combat"]
        chance = permutation_test(
            {target.name: {"ours": Arm(plain, X)}},
            [target],
            {target.name: folds},
            {target.name: subjects},
            n_permutations=5 if quick else 99,
            blocks=subjects.sites,
            random_state=0,
        )
    same = _among(said, adapted.rows)
    gain = paired_gain(adapted, same, random_state=0)
    word = statistic.lower()
    found: Figures = {f"{name}_{key}": value for key, value in _figures(said, statistic, interval=True).items()}
    found |= {f"{name}_{key}_combat": value for key, value in _figures(adapted, statistic).items()}
    found[f"{name}_{word}_combat_gain"] = gain.value
    found |= {f"{name}_{word}_combat_gain_low": gain.low, f"{name}_{word}_combat_gain_high": gain.high}
    found[f"{name}_harmonising_helps"] = bool(gain.low > 0)
    return found | {f"{name}_p": float(chance.table["p"].iloc[0])}


def _ixi(folder: Path, *, quick: bool) -> Figures:
    volumes = pd.read_csv(folder / "ixi" / "muse_volumes_n291.csv.gz")
    table = pd.read_csv(folder / "ixi" / "demographics_n291.csv").merge(volumes, on="ID")
    table = table.iloc[::3].reset_index(drop=True) if quick else table
    regions = [column for column in volumes.columns if column.isdigit()]
    X = table[regions].to_numpy(np.float64)
    X = X / X[:, [regions.index(str(_HEADS))]]
    X = X[:, X.std(0) > 0]
    age_column = next(column for column in table.columns if column.lower() == "age")
    target = Target.of("age", table[age_column].to_numpy(np.float64))
    folds = [
        Fold(train, test)
        for repeat in range(1 if quick else 5)
        for train, test in KFold(10, shuffle=True, random_state=repeat).split(X)
    ]
    said = cross_validated({"": Arm(LatentRegression(nuisance="none"), X)}, target, folds, Subjects.of(len(X)))[""]
    found: Figures = {f"ixi_age_{key}": value for key, value in _figures(said, "r", interval=True).items()}
    found |= {f"ixi_age_{key}_ridge": value for key, value in _figures(_plain(X, target, folds), "r").items()}
    return found | {"ixi_n": len(X)}


def _plain(X: npt.NDArray[np.float64], target: Target, folds: list[Fold]) -> HeldOut:
    """Fit scikit-learn's ridge, or its logistic regression, with a penalty chosen by inner folds."""
    numbers = target.kind == "number"
    log = target.transform == "log"
    values = np.log(target.values) if log else target.values
    parts = []
    for fold in folds:
        head: Any = RidgeCV(_PENALTIES)
        if not numbers:
            head = LogisticRegressionCV(Cs=np.logspace(-5, 0, 6), cv=5, scoring="roc_auc", max_iter=2000)
        model = make_pipeline(StandardScaler(), head)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X[fold.train], values[fold.train])
        found = model.predict(X[fold.test]) if numbers else model.decision_function(X[fold.test])
        parts.append(np.exp(found) if log else found)
    rows = np.concatenate([fold.test for fold in folds])
    number = np.concatenate([np.full(len(fold.test), k) for k, fold in enumerate(folds)])
    return HeldOut(rows, number, target.values[rows], np.concatenate(parts), target.kind)


def _figures(said: HeldOut, statistic: str, *, interval: bool = False) -> dict[str, float]:
    """Return r and MAE of ages, or AUC over pairs of one site and over all pairs."""
    if statistic == "r" and not interval:
        logs = correlation(np.log(said.truth), np.log(np.maximum(said.prediction, 1e-3)))
        mae = float(np.abs(said.truth - said.prediction).mean())
        return {"r": correlation(said.truth, said.prediction), "r_log": logs, "mae": mae}
    if not interval:
        rows = held_out_scores(said, target="", model="", role="ours", n_draws=1, random_state=0)
        return {
            "auc": float(rows[0].value or np.nan),
            "auc_all_pairs": float(roc_auc_score(said.truth, said.prediction)),
        }
    found = _figures(said, statistic)
    for row in held_out_scores(said, target="", model="", role="ours", random_state=0):
        key = row.metric.lower()
        if key in found and row.low is not None and row.high is not None:
            found |= {f"{key}_low": row.low, f"{key}_high": row.high}
    return found


def _among(said: HeldOut, rows: npt.NDArray[np.intp]) -> HeldOut:
    """Return the predictions of some rows, in their order."""
    place = {int(row): number for number, row in enumerate(said.rows)}
    chosen = np.array([place[int(row)] for row in rows])
    return HeldOut(said.rows[chosen], said.fold[chosen], said.truth[chosen], said.prediction[chosen], said.kind)
