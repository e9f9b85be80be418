"""The figures of the omics study beside those of its comparators and peers; README.md names every key."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import layouts
import omics_genes as genes
from harness import Figure, Figures, Part, import_seconds, peers, run, slug
from kotowari.datasets import load_tcga_colorectal
from kotowari.studies.omics.baselines import comparators
from kotowari.trust.comparators import OutOfFold, cross_validate, paired_scores, score_table
from kotowari.trust.folds import Fold, grouped_folds
from kotowari.trust.intervals import not_inferior
from omics_models import (
    LOGISTIC,
    OURS,
    REPORTED,
    after_selection,
    cancer_model,
    instability_model,
    thin_cancer_model,
    tumours,
)

_MARGIN = 0.015  # of non-inferiority, named with the goal
_SIZES = (5, 10, 20, 40)  # training tumours a class of the learning curves

FIGURES = (
    Figure("tsne_speedup", "t-SNE, CPU against scikit-learn's", above=1, beside="tsne_peer_cpu_s"),
    Figure("tsne_kl_ratio", "t-SNE, divergence against scikit-learn's", at_most=1.02, beside="tsne_peer_kl"),
    Figure("layout20k_cpu_s", "20,000 genes on 224 x 224, s", at_most=5),
    Figure("layout20k_peak_gb", "the same, GB", at_most=1),
    Figure("layout_cost_ratio", "mean squared shift against the optimum", at_most=1.15),
    Figure("images_peak_gb", "images of 10,000 x 20,000, GB", at_most=2),
    Figure("tcga11_accuracy", "11 cancers", at_least=0.97, beside="tcga11_best_comparator_accuracy"),
    Figure("tcga11_macro_f1", "11 cancers", beside="tcga11_best_comparator_macro_f1"),
    Figure("tcga11_noninferior", "both, by 1.5 points", at_least=1, beside="tcga11_difference_accuracy_low"),
    *(Figure(f"tcga11_curve_{n}", f"{n} a class, accuracy", beside=f"tcga11_curve_{n}_logistic") for n in _SIZES),
    Figure("msi_auc", "microsatellite instability", at_least="msi_best_comparator_auc"),
    Figure("planted_gene_ap", "genes with an effect of their own", at_least=0.8, beside="planted_univariate_ap"),
    Figure("planted_gene_auroc", "the same", at_least=0.95, beside="planted_univariate_auroc"),
    Figure("xor_ap", "genes that matter in pairs only", above="xor_best_comparator_ap"),
    Figure("gene_stability", "Nogueira index", at_least=0.75, beside="gene_stability_pydeepinsight"),
    Figure("gene_stability_low", "its lower bound", at_least=0.6),
    Figure("report_pathways_found", "of eight, q < 0.05", beside="report_pathways_found_layout_aware"),
    Figure("import_s", "import kotowari, s", at_most=0.1),
)


@dataclass(frozen=True)
class _Task:
    """What is predicted from what, and how it is judged."""

    name: str
    X: pd.DataFrame
    y: npt.NDArray[Any]
    patients: npt.NDArray[Any]
    metrics: tuple[str, ...]
    quick: bool

    @property
    def drawing(self) -> dict[str, Any]:
        """Options of the bootstraps over patients."""
        return {"groups": self.patients, "n_draws": 100 if self.quick else 2000, "random_state": REPORTED}


def eleven_cancers(quick: bool) -> Figures:
    """Judge the cancer-type model and its comparators by nested folds of the patients."""
    task, model = _cancers(quick), cancer_model(quick)
    folds = grouped_folds(task.y, groups=task.patients, n_splits=3 if quick else 5, random_state=REPORTED)
    said = cross_validate({OURS: model} | _comparators(task), task.X, task.y, folds, groups=task.patients)
    figures = _flat_table(task, said)
    kept = [not_inferior(float(figures[f"tcga11_difference_{slug(m)}_low"] or 0), _MARGIN) for m in task.metrics]
    return figures | {"tcga11_noninferior": all(kept), "tcga11_trials": model.tune, "tcga11_members": model.n_members}


def learning_curves(quick: bool) -> Figures:
    """Judge the cancer-type model, without a search, and logistic regression on few tumours a class."""
    task = _cancers(quick)
    folds = grouped_folds(task.y, groups=task.patients, n_splits=3 if quick else 5, random_state=REPORTED)
    logistic = _comparators(task)[LOGISTIC]
    figures: Figures = {}
    for size in _SIZES[:1] if quick else _SIZES:
        few = [_thinned(fold, task.y, size, number) for number, fold in enumerate(folds)]
        models = {OURS: thin_cancer_model(quick, len(few[0].train)), LOGISTIC: logistic}
        said = cross_validate(models, task.X, task.y, few, groups=task.patients)
        key, scores = f"tcga11_curve_{size}", _scores(task, said)
        lead = _lead(task, said, LOGISTIC, "accuracy")
        figures |= _with_interval(key, *scores[OURS, "accuracy"])
        figures |= _with_interval(f"{key}_logistic", *scores[LOGISTIC, "accuracy"])
        figures |= _with_interval(f"{key}_difference", lead.value, lead.low, lead.high)
    return figures


def instability(quick: bool) -> Figures:
    """Judge the model of microsatellite instability and its comparators on the packaged tumours."""
    data = load_tcga_colorectal()
    X = data.X.iloc[:, :400] if quick else data.X
    y, patients = data.annotations["msi_status"].to_numpy(), data.annotations["patient"].to_numpy()
    task = _Task("msi", X, y, patients, ("AUC",), quick)
    n_splits, n_repeats = (3, 1) if quick else (5, 5)
    folds = grouped_folds(y, groups=patients, n_splits=n_splits, n_repeats=n_repeats, random_state=REPORTED)
    others = _comparators(task)
    plain = instability_model(quick)
    models = {OURS: after_selection(plain), "all genes": plain, "selected logistic": after_selection(others[LOGISTIC])}
    said = cross_validate(models | others, X, y, folds, groups=patients)
    beside = {name: said.pop(name) for name in ("all genes", "selected logistic")}
    figures = _flat_table(task, said)
    for name, scores in _scores(task, beside).items():
        figures |= _with_interval(f"msi_{slug(name[0])}_auc", *scores)
    return figures | {"msi_members": plain.n_members}


def import_time(quick: bool) -> Figures:
    """Time ``import kotowari`` beyond the interpreter's own start."""
    added, bare = import_seconds("kotowari", "0", rounds=5 if quick else 25)
    return {"import_s": added, "import_bare_s": bare}


PARTS = (
    Part("import", ("import_s",), import_time),
    Part("tsne", ("tsne_speedup", "tsne_kl_ratio"), lambda quick: layouts.tsne(quick=quick)),
    Part(
        "layout20k",
        ("layout20k_cpu_s", "layout20k_peak_gb"),
        lambda quick: layouts.assignment_20k(quick=quick),
    ),
    Part("layout_cost", ("layout_cost_ratio",), lambda quick: layouts.cost_ratio(quick=quick)),
    Part("images", ("images_peak_gb",), lambda quick: layouts.images_memory(quick=quick)),
    Part("peers", ("peers",), lambda quick: peers("omics", quick=quick)),
    Part(
        "tcga11",
        (
            "tcga11_accuracy",
            "tcga11_macro_f1",
            "tcga11_best_comparator_accuracy",
            "tcga11_best_comparator_macro_f1",
            "tcga11_noninferior",
        ),
        eleven_cancers,
    ),
    Part("curves", tuple(f"tcga11_curve_{size}" for size in _SIZES), learning_curves),
    Part("msi", ("msi_auc", "msi_best_comparator_auc"), instability),
    Part(
        "planted",
        ("planted_gene_ap", "planted_gene_auroc", "xor_ap", "xor_best_comparator_ap"),
        genes.planted_genes,
    ),
    Part(
        "stability", ("gene_stability", "gene_stability_low", "gene_stability_pydeepinsight"), genes.stable_selections
    ),
    Part("pathways", ("report_pathways_found",), genes.report_pathways),
)


# --------------------------------------------------------------------------------------------------- tables of scores


def _cancers(quick: bool) -> _Task:
    X, y, patients = tumours(quick)
    return _Task("tcga11", X, y, patients, ("accuracy", "macro F1"), quick)


def _comparators(task: _Task) -> dict[str, Any]:
    found: dict[str, Any] = comparators(
        "classification", n_features=task.X.shape[1], random_state=REPORTED, quick=task.quick
    )
    return found


def _flat_table(task: _Task, said: Mapping[str, OutOfFold]) -> Figures:
    """Return the scores of all models, the best comparator by each metric, and our lead over it."""
    figures, scores = {}, _scores(task, said)
    for metric in task.metrics:
        others = {name: scores[name, metric][0] for name in said if name != OURS}
        best = max(others, key=lambda name: others[name])
        lead = _lead(task, said, best, metric)
        for name in said:
            key = f"{task.name}_{slug(metric)}" if name == OURS else f"{task.name}_{slug(name)}_{slug(metric)}"
            figures |= _with_interval(key, *scores[name, metric])
        figures |= {
            f"{task.name}_best_comparator_{slug(metric)}": others[best],
            f"{task.name}_best_comparator_{slug(metric)}_name": best,
            f"{task.name}_difference_{slug(metric)}": lead.value,
            f"{task.name}_difference_{slug(metric)}_low": lead.one_sided_low,
        }
    return figures


def _scores(task: _Task, said: Mapping[str, OutOfFold]) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Return value and ends of the interval by model and metric."""
    roles = {name: "ours" if name == OURS else "comparator" for name in said}
    table = score_table(task.y, said, target=task.name, roles=roles, **task.drawing)
    return {(row.model, row.metric): (row.value, row.low, row.high) for row in table if row.metric in task.metrics}


def _lead(task: _Task, said: Mapping[str, OutOfFold], other: str, metric: str) -> Any:
    return paired_scores(task.y, said[OURS], said[other], metric=metric, **task.drawing)


def _with_interval(key: str, value: float, low: float, high: float) -> Figures:
    return {key: value, f"{key}_low": low, f"{key}_high": high}


def _thinned(fold: Fold, y: npt.NDArray[Any], size: int, number: int) -> Fold:
    """Keep at most ``size`` training samples of every class."""
    rng = np.random.default_rng([REPORTED, size, number])
    own = [fold.train[y[fold.train] == klass] for klass in np.unique(y)]
    return Fold(np.sort(np.concatenate([rng.permutation(rows)[:size] for rows in own])), fold.test)


main = partial(run, "omics", FIGURES, PARTS, ("scikit-learn", "openTSNE", "lightgbm", "optuna", "gseapy"))

if __name__ == "__main__":
    sys.exit(main())
