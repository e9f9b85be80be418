"""The reasons of the omics study on trial: planted genes found, selections repeated, reported pathways looked for."""

from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import clone

from harness import Figures
from kotowari.datasets import load_reactome
from kotowari.explain.cam import class_activation_map
from kotowari.explain.upsample import upsample
from kotowari.formats.gmt import read_gmt
from kotowari.studies.omics.baselines import (
    comparators,
    mlp_integrated_gradients,
    published_rule_selection,
    tree_shap_scores,
    univariate_scores,
)
from kotowari.studies.omics.fitting import Drawn, class_scores, joined_scores, patient_bootstrap
from kotowari.studies.omics.model.estimators import DeepInsightClassifier
from kotowari.studies.omics.model.transformer import DeepInsightTransformer
from kotowari.studies.omics.phantom import Phantom, planted_table
from kotowari.trust.enrichment import over_representation
from kotowari.trust.folds import Fold, grouped_folds, hold_out
from kotowari.trust.gsea import preranked_gsea
from kotowari.trust.layout_null import layout_aware_p
from kotowari.trust.planted import planted_scores
from kotowari.trust.stability import Stability, selection_stability
from omics_models import REPORTED, cancer_model, field_data, planted_model, tumours

__all__ = ["planted_genes", "report_pathways", "stable_selections"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_LEVEL = 0.05
_POINTS = 16  # of integrated gradients where only means over samples are wanted
_STABILITY_GENES = 2000  # of the phantom whose selections are repeated sixty times
_SELECTED_SHARE = 0.1  # of the genes, by score, in the tests that count genes

# key -> gene set file, and name of the set in it
_REPORTED_SETS = {
    "emt": ("hallmark_v7.0", "HALLMARK_EPITHELIAL_MESENCHYMAL_TRANSITION"),
    "coagulation": ("hallmark_v7.0", "HALLMARK_COAGULATION"),
    "angiogenesis": ("hallmark_v7.0", "HALLMARK_ANGIOGENESIS"),
    "hypoxia": ("hallmark_v7.0", "HALLMARK_HYPOXIA"),
    "inflammatory_response": ("hallmark_v7.0", "HALLMARK_INFLAMMATORY_RESPONSE"),
    "extracellular_matrix": ("reactome_msigdb_v6.2", "REACTOME_EXTRACELLULAR_MATRIX_ORGANIZATION"),
    "gpcr": ("reactome_msigdb_v6.2", "REACTOME_SIGNALING_BY_GPCR"),
    # the set of receptor tyrosine kinases stands in the packaged Reactome of 2019; the older file has parts of it only
    "rtk": ("packaged", "R-HSA-9006934"),
}


# ----------------------------------------------------------------------------------------------------- planted genes


def planted_genes(quick: bool) -> Figures:
    """Score the decoded relevance, and what a user would take instead, against planted genes.

    Every method learns from the same three quarters of the samples and explains the others; means over the seeds.
    """
    seeds = range(1 if quick else 3)
    scored = [_planted_once(seed, quick) for seed in seeds]
    figures: Figures = {key: fmean(one[key] for one in scored) for key in scored[0]}
    for key in ("planted_gene_ap", "planted_gene_auroc", "xor_ap"):
        figures |= {f"{key}_lowest": min(one[key] for one in scored), f"{key}_highest": max(one[key] for one in scored)}
    others = {name: float(figures[f"xor_{name}_ap"] or 0) for name in ("treeshap", "mlp_ig")}
    best = max(others, key=lambda name: others[name])
    return figures | {"xor_best_comparator_ap": others[best], "xor_best_comparator": best, "planted_seeds": len(seeds)}


def _planted_once(seed: int, quick: bool) -> dict[str, float]:
    phantom = _phantom(seed, quick)
    X, y = phantom.X.to_numpy(dtype=np.float64), phantom.y
    fold = hold_out(y, fraction=0.25, continuous=False, random_state=seed)
    drawn = _drawn(phantom, fold.train, seed)
    fitted = _fitted(planted_model(quick, seed), drawn, fold)
    boosting = comparators("classification", n_features=X.shape[1], random_state=seed, quick=quick)["gradient boosting"]
    scores = {
        "gene": _strength(fitted, drawn, fold.test),
        "univariate": univariate_scores(X[fold.train], y[fold.train]),
        "treeshap": tree_shap_scores(boosting.fit(X[fold.train], y[fold.train]), X[fold.test], random_state=seed),
        "mlp_ig": mlp_integrated_gradients(X, y, fold=fold, random_state=seed, quick=quick),
    }
    said = fitted.scores_of_images(drawn.images[fold.test]).argmax(1)
    figures = {"planted_accuracy": float((said == y[fold.test]).mean())}
    for name, score in scores.items():
        every, marginal, pairs = (
            _scored(score, truth, left_out)
            for truth, left_out in (
                (phantom.planted, np.zeros_like(phantom.planted)),
                (phantom.marginal, phantom.interaction),
                (phantom.interaction, phantom.marginal),
            )
        )
        own = "" if name == "gene" else f"{name}_"
        figures |= {
            f"planted_{name}_ap": every["average_precision"],
            f"planted_{name}_auroc": every["auroc"],
            f"planted_{own}marginal_ap": marginal["average_precision"],
            f"xor_{own}ap": pairs["average_precision"],
            "planted_chance_ap": every["prevalence"],
            "xor_chance_ap": pairs["prevalence"],
        }
    return figures


def _scored(score: FloatArray, truth: BoolArray, left_out: BoolArray) -> dict[str, float]:
    finite = np.nan_to_num(score, posinf=np.finfo(np.float64).max)
    return planted_scores(finite[~left_out], truth[~left_out])


# --------------------------------------------------------------------------------------------------------- stability


def stable_selections(quick: bool) -> Figures:
    """Select genes in bootstraps of the patients on several layouts, and measure how far the selections agree.

    Selected are as many genes as were planted; relevance is that of the patients left out of the bootstrap. The
    published rules read the class activation maps of the same networks.
    """
    n_bootstraps, n_layouts = (2, 2) if quick else (20, 3)
    phantom = _phantom(REPORTED, quick, n_genes=_STABILITY_GENES)
    rows, n_selected = np.arange(len(phantom.y)), int(phantom.planted.sum())
    model = planted_model(quick, REPORTED).set_params(n_members=1)
    chosen: dict[str, list[BoolArray]] = {"ours": [], "pydeepinsight": [], "deepfeature": []}
    for layout in range(n_layouts):
        drawn = _drawn(phantom, rows, layout)
        for number in range(n_bootstraps):
            fold = patient_bootstrap(drawn.groups, drawn.codes, number)
            fitted = _fitted(model, drawn, fold)
            strength = _strength(fitted, drawn, fold.test, n_points=_POINTS)
            chosen["ours"].append(_top(strength, n_selected))
            maps = _class_maps(fitted, drawn, fold.test)
            labels, pixels = drawn.y[fold.test], drawn.transformer.pixels_
            chosen["pydeepinsight"].append(published_rule_selection(maps, pixels, labels=labels))
            chosen["deepfeature"].append(published_rule_selection(maps, pixels))
    found = {name: selection_stability(np.array(rows)) for name, rows in chosen.items()}
    figures: Figures = {
        **_flat_stability("gene_stability", found["ours"]),
        **_flat_stability("gene_stability_pydeepinsight", found["pydeepinsight"]),
        **_flat_stability("gene_stability_deepfeature", found["deepfeature"]),
        "gene_stability_bootstraps": n_bootstraps,
        "gene_stability_layouts": n_layouts,
        "gene_stability_genes": phantom.X.shape[1],
    }
    for name, rows_of in chosen.items():
        hits = [float(phantom.planted[row].mean()) for row in rows_of if row.any()]
        figures[f"gene_stability_{name}_precision"] = fmean(hits) if hits else None
    return figures


def _flat_stability(key: str, found: Stability) -> Figures:
    values = {"": found.index, "_low": found.low, "_high": found.high, "_selected": found.mean_size}
    return {f"{key}{end}": float(value) if np.isfinite(value) else None for end, value in values.items()}


def _top(score: FloatArray, n_selected: int) -> BoolArray:
    chosen = np.zeros(len(score), bool)
    chosen[np.argsort(-score, kind="stable")[:n_selected]] = True
    return chosen


def _class_maps(fitted: DeepInsightClassifier, drawn: Drawn, rows: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """Return the map of each sample for its own class, at the size of the image."""
    images, codes = torch.as_tensor(drawn.images[rows]), torch.as_tensor(drawn.codes[rows])
    coarse = [class_activation_map(member.network, images, codes) for member in fitted.members_]
    return upsample(torch.stack(coarse).mean(0), drawn.transformer.shape_).numpy()


# ---------------------------------------------------------------------------------------------------------- pathways


def report_pathways(quick: bool) -> Figures:
    """Look for the eight pathways of the source report among the genes that tell eleven cancers apart.

    Scores are the relevance of tumours kept aside, fold by fold. ``found`` counts sets with q < 0.05 among all sets of
    their file; the layout-aware test uses the layout of all tumours.
    """
    strength, genes = _cancer_strength(quick)
    X, _, _ = tumours(quick)
    layout = DeepInsightTransformer(random_state=REPORTED).fit(X)
    chosen = _top(strength, round(_SELECTED_SHARE * len(genes)))
    mask = np.zeros(layout.shape_, bool)
    mask[tuple(layout.pixels_[chosen].T)] = True
    names, ranked = np.array(genes)[chosen].tolist(), pd.Series(strength, index=genes)
    figures: Figures = {"report_pathways_genes": len(names)}
    found = dict.fromkeys(("counted", "by_layout", "ranked"), 0)
    for file in dict.fromkeys(file for file, _ in _REPORTED_SETS.values()):
        sets = load_reactome() if file == "packaged" else read_gmt(field_data() / "omics" / "gene_sets" / f"{file}.gmt")
        n_draws, rng = (199 if quick else 9999), np.random.default_rng(REPORTED)
        tables = {
            "counted": over_representation(names, genes, sets),
            "by_layout": layout_aware_p(mask, genes, layout.pixels_, sets, n_draws=n_draws, rng=rng),
            "ranked": _at_the_top(
                preranked_gsea(ranked, sets, n_permutations=100 if quick else 1000, random_state=REPORTED)
            ),
        }
        for key, (home, name) in _REPORTED_SETS.items():
            if home != file:
                continue
            for test, table in tables.items():
                own = table.loc[table["set"] == name]
                q = float(own["q"].iloc[0]) if len(own) else None
                found[test] += q is not None and q < _LEVEL
                figures[f"pathway_{key}_{test}_q"] = q
            own = tables["counted"].loc[tables["counted"]["set"] == name]
            figures |= {f"pathway_{key}_{word}": float(own[word].iloc[0]) for word in ("k", "expected") if len(own)}
    return figures | {
        "report_pathways_found": found["counted"],
        "report_pathways_found_layout_aware": found["by_layout"],
        "report_pathways_found_ranked": found["ranked"],
    }


def _cancer_strength(quick: bool) -> tuple[FloatArray, list[str]]:
    """Return the out-of-fold strength of every gene for the cancer-type model, without a search, and the genes."""
    X, y, patients = tumours(quick)
    codes = np.unique(y, return_inverse=True)[1]
    model = cancer_model(quick).set_params(tune=0)
    parts = {}
    for number, fold in enumerate(grouped_folds(y, groups=patients, n_splits=5, random_state=REPORTED)):
        layout = DeepInsightTransformer(random_state=number).fit(X.iloc[fold.train])
        drawn = Drawn(layout, layout.transform(X), y, codes, patients, int(codes.max()) + 1)
        fitted = _fitted(model, drawn, fold)
        parts[str(number)] = _class_scores(fitted, drawn, fold.test, n_points=_POINTS)
    return joined_scores(parts)[1], [str(gene) for gene in X.columns]


def _at_the_top(table: pd.DataFrame) -> pd.DataFrame:
    """Let only sets count that crowd among high scores; a set at the other end holds genes that do not decide."""
    return table.assign(q=table["q"].where(table["nes"] > 0, 1.0))


# ----------------------------------------------------------------------------------------------------- fit and explain


def _phantom(seed: int, quick: bool, n_genes: int = 6000) -> Phantom:
    size = {"n_samples": 200, "n_genes": 500} if quick else {"n_genes": n_genes}
    return planted_table(random_state=seed, **size)


def _drawn(phantom: Phantom, rows: npt.NDArray[np.intp], seed: int) -> Drawn:
    """Draw all samples by a layout of some."""
    layout = DeepInsightTransformer(random_state=seed).fit(phantom.X.iloc[rows])
    owners = np.arange(len(phantom.y))
    return Drawn(layout, layout.transform(phantom.X), phantom.y, phantom.y, owners, int(phantom.y.max()) + 1)


def _fitted(model: DeepInsightClassifier, drawn: Drawn, fold: Fold) -> DeepInsightClassifier:
    images, y, owners = (values[fold.train] for values in (drawn.images, drawn.y, drawn.groups))
    return clone(model).fit_images(drawn.transformer, images, y, groups=owners)


def _class_scores(
    fitted: DeepInsightClassifier, drawn: Drawn, rows: npt.NDArray[np.intp], n_points: int | None = None
) -> dict[str, Any]:
    codes = drawn.codes[rows]
    relevance, _ = fitted.relevance_of_images(drawn.images[rows], codes, n_points=n_points)
    return class_scores(relevance, drawn.y[rows], codes, drawn.n_outputs)


def _strength(
    fitted: DeepInsightClassifier, drawn: Drawn, rows: npt.NDArray[np.intp], n_points: int | None = None
) -> FloatArray:
    """Mean over classes of the absolute mean relevance of a class's samples, shape ``(gene,)``."""
    return joined_scores({"": _class_scores(fitted, drawn, rows, n_points)})[1]
