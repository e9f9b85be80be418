"""A run folder as a study would leave it: MSI status of 90 colorectal tumours from 3,899 genes. Figures are made up."""

import io

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from kotowari.core import Check, Evidence, Figure, Frame, Metric, Page, RunFolder, Table
from kotowari.core.files import write_bytes, write_json
from kotowari.core.page import write_table

STAGES = ("read", "split", "fit", "compare", "null", "reasons", "trust", "report")
REFITS = 20
GENE_LIST = """
EPM2AIP1 MLH1 DDX27 RPL22L1 TRIM7 HPSE CAB39L AXIN2 NKD1 RAB32 AGR2 TNNC2 GNLY CXCL13 MUC5AC GZMB SPAG5 PLAGL2
ASCL2 CDX2 HNRNPL VAV3 SHROOM2 QPRT TYMS BHLHB9 NOX1 EREG TFF2 IDO1
"""
GENES = GENE_LIST.split()
# model, role, AUC, half width, balanced accuracy, log loss
MODELS = (
    ("image network", "ours", 0.842, 0.098, 0.741, 0.431),
    ("logistic, L2", "comparator", 0.825, 0.098, 0.729, 0.447),
    ("logistic, elastic net", "comparator", 0.849, 0.094, 0.747, 0.419),
    ("linear SVM", "comparator", 0.840, 0.097, 0.738, 0.452),
    ("random forest", "comparator", 0.816, 0.099, 0.633, 0.463),
    ("gradient boosting", "comparator", 0.822, 0.101, 0.702, 0.458),
    ("k nearest neighbours", "comparator", 0.758, 0.118, 0.611, None),
    ("MLP on the table", "comparator", 0.810, 0.103, 0.716, 0.498),
    ("permuted pixels", "trivial null", 0.836, 0.097, 0.731, 0.440),
    ("image network, untrained", "untrained", 0.604, 0.142, 0.548, 0.688),
    ("permuted labels", "chance", 0.503, 0.131, 0.499, 0.701),
)


def png(width_in, height_in, draw):
    """Draw one picture and return its bytes."""
    canvas = Canvas(figsize=(width_in, height_in), dpi=110, layout="constrained")
    draw(canvas.add_subplot())
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png")
    return buffer.getvalue()


def metric_rows(rng):
    rows = []
    for model, role, auc, half, balanced, loss in MODELS:
        p = 1 / (REFITS + 1) if role == "ours" else None
        n, n_null = 90, None if p is None else REFITS
        ends = {"low": auc - half, "high": min(auc + 0.9 * half, 1.0)}
        rows.append(Metric("MSI status", "auc", model, role, auc, p=p, n=n, n_null=n_null, **ends))
        rows.append(Metric("MSI status", "balanced_accuracy", model, role, balanced, p=p, n=n, n_null=n_null))
        rows.append(Metric("MSI status", "log_loss", model, role, loss, n=n))
        if role != "chance":
            folds = np.clip(auc + 0.05 * rng.standard_normal(5), 0, 1)
            rows += [Metric("MSI status", "auc", model, role, float(v), fold=i, n=18) for i, v in enumerate(folds)]
    return rows


def gene_evidence(rng):
    n_genes = 3899
    score = np.sort(rng.gamma(0.6, 0.35, n_genes))[::-1]
    names = np.array([*GENES, *(f"GENE{i}" for i in range(n_genes - len(GENES)))])
    p = np.clip(np.arange(1, n_genes + 1) / n_genes * 1.4, 1 / (REFITS + 1) / n_genes, 1.0)
    groups = np.array([f"pixel {i // 2}" if i < 4 else "" for i in range(n_genes)])
    map_ = rng.gamma(0.6, 0.35, (64, 64))
    return Evidence(
        target="MSI",
        parts={
            "name": names,
            "score": score,
            "sign": np.where(rng.random(n_genes) < 0.4, -1, 1),
            "stability": np.clip(1.05 * np.exp(-np.arange(n_genes) / 40), 0, 1),
            "p": p,
            "q": np.minimum(p * 3, 1.0),
            "group": groups,
            "n_null": np.full(n_genes, REFITS),
        },
        method="gradient times input, mean over held-out tumours, minus the mean under permuted labels",
        map=map_,
        frame=Frame(("height", "width"), ("pixel", "pixel"), (64, 64)),
        checks=(
            Check.at_most("completeness", 0.0007, 0.01, "The gene scores of a tumour add up to its logit."),
            Check.at_most(
                "randomised network",
                0.61,
                0.34,
                "Scores of an untrained network are as similar as those of two trained ones.",
            ),
            Check.at_least(
                "stability", 0.52, 0.75, "Between bootstraps of the patients about half of the chosen genes change."
            ),
            Check.at_least("planted genes", 0.83, 0.8, "Genes planted into simulated tumours are found again."),
            Check.at_least(
                "detection limit", 0.8, 0.5, "A module of 20 genes shifted by 0.8 sd or more would be found."
            ),
        ),
        reference="a tumour at the training mean",
        derived_from=("expression", "MSI status"),
    )


def cam_evidence(rng):
    score = np.sort(rng.normal(0, 0.4, 300))[::-1]
    return Evidence(
        target="MSI",
        parts={"name": np.array([*GENES[::-1], *(f"LOC{i}" for i in range(270))]), "score": score},
        method="class activation map, shared among the genes of a pixel",
        checks=(
            Check.at_most("logit identity", 4e-7, 1e-5, "Mean of the map plus bias is the logit."),
            Check.at_least(
                "deletion", -0.02, 0.0, "Removing the genes that the map names hurts less than removing random genes."
            ),
            Check.not_applicable("planted genes", "The map was not tested on planted genes in preset quick."),
        ),
    )


def page_words():
    figures = (
        Figure(
            "roc.png",
            "ROC curve",
            "Held-out tumours of all five folds; the band is a bootstrap over patients.",
            "result",
        ),
        Figure("confusion.png", "Confusion", "Rows are the true status, columns the predicted one.", "result"),
        Figure("map.png", "Class activation", "Mean over 19 MSI tumours; bright pixels speak for MSI.", "reason"),
        Figure(
            "layout.png", "Where the genes lie", "Genes that go together in training tumours lie together.", "reason"
        ),
        Figure(
            "deletion.png", "Deletion", "AUC as the genes are set to their mean, in the order of the score.", "trust"
        ),
        Figure("missing.png", "Implants", "How large an implanted effect had to be to be found.", "trust"),
        Figure("P07.png", "Tumour P07 (MSI, called MSI)", "Genes for (right) and against (left).", "patients"),
    )
    tables = (
        Table("genes.csv", "Genes in all folds", "Frequency over 20 bootstraps of the patients.", "reason", rows=8),
        Table("pathways.csv", "Pathways", "Background: the 3,899 measured genes.", "pathways"),
        Table("P07.csv", "Tumour P07 (MSI, called MSI)", "Positive relevance speaks for MSI.", "patients", rows=6),
        Table("P31.csv", "Tumour P31 (MSI, called MSS)", "Positive relevance speaks for MSI.", "patients", rows=6),
    )
    return Page(
        title="Which genes tell microsatellite-unstable colorectal tumours apart",
        question="Can MSI status be told from the expression of 3,899 genes in 90 tumours, and which genes decide?",
        answers=(
            "MSI status is told from held-out tumours with an AUC of 0.84 [0.74, 0.93]; the elastic net, the best "
            "comparator, reaches 0.85. The image brings no gain in score here.",
            "Permuting the pixels costs nothing (0.84), so the layout itself does not help.",
            "MLH1 and its neighbour EPM2AIP1 lead the gene list, as the biology of sporadic MSI would have it.",
            "With these 90 tumours a module of 20 genes shifted by 0.8 sd or more would have been found.",
        ),
        data=(
            ("Table", "90 tumours, 3,899 genes, log2 expression"),
            ("Classes", "MSI 19, MSS 71"),
            ("Splits", "5 folds by patient, stratified; 4 inner folds"),
            ("Layout", "t-SNE, cosine, bisect on 64 by 64 pixels"),
        ),
        limits=(
            "19 MSI tumours carry the standard error of the AUC to about 0.06: a difference below 0.1 cannot be seen.",
            "One cohort and one platform; nothing is said about another hospital.",
            "A high score names a gene that the network uses, not a cause.",
        ),
        reading=(
            "Look first at the failed tests, then at the comparators, then at the reasons.",
            "p counts how many refits on permuted labels did at least as well; q is corrected for all genes.",
        ),
        figures=figures,
        tables=tables,
    )


def write_figures(folder, rng):
    grid = rng.gamma(0.6, 0.35, (64, 64))
    x = np.linspace(0, 1, 50)
    pictures = {
        "roc": png(5, 4.6, lambda ax: (ax.plot(x, x**0.25), ax.plot(x, x, "--"), ax.set_xlabel("1 - specificity"))),
        "confusion": png(5, 4.6, lambda ax: ax.imshow([[14, 5], [8, 63]], cmap="Blues")),
        "map": png(5, 4.6, lambda ax: ax.imshow(grid, cmap="magma")),
        "layout": png(5, 4.6, lambda ax: ax.scatter(*rng.normal(size=(2, 3899)), s=1)),
        "deletion": png(9, 3.6, lambda ax: ax.plot(x, 0.5 + 0.34 * np.exp(-3 * x))),
        "P07": png(7, 3.6, lambda ax: ax.barh(GENES[:8], rng.normal(size=8))),
    }
    for name, content in pictures.items():
        write_bytes(folder / f"{name}.png", content)


def write_tables(folder, rng):
    genes = pd.DataFrame(
        {"gene": GENES, "frequency": np.linspace(1, 0.2, 30), "bootstraps": 20, "entrez": range(4292, 4322)}
    )
    write_table(folder / "genes.csv", genes)
    pathways = pd.DataFrame(
        {
            "pathway": ["Mismatch repair", "Interferon gamma signalling", "Extracellular matrix organisation"],
            "genes": [9, 41, 88],
            "p_value": [3.2e-6, 0.0021, 0.31],
            "q_value": [0.0071, 0.21, None],
            "layout_aware_p": [0.005, 0.06, 0.44],
        }
    )
    write_table(folder / "pathways.csv", pathways)
    for name in ("P07", "P31"):
        relevance = np.sort(rng.normal(size=30))[::-1]
        write_table(
            folder / f"{name}.csv", pd.DataFrame({"gene": GENES, "z": rng.normal(size=30), "relevance": relevance})
        )


def build_run(path):
    """Write a finished run."""
    rng = np.random.default_rng(0)
    run = RunFolder.create(
        path,
        study="omics",
        config={
            "preset": "quick",
            "layout": {"method": "tsne", "pixels": [64, 64]},
            "target": "MSI",
            "folds": 5,
            "blur": None,
        },
        seed=7,
        command=["kotowari", "run", "msi study.yaml", "--preset", "quick"],
        stages=STAGES,
    )
    run.note_inputs([{"name": "expression.csv.gz", "sha256": "9f" * 32, "bytes": 398_120}])
    run.write_metrics("compare", metric_rows(rng))
    gene_evidence(rng).save(path / "evidence", "genes")
    cam_evidence(rng).save(path / "evidence", "maps")
    page_words().save(path)
    write_json(path / "splits.json", {"folds": [[0, 1], [2, 3]]})
    write_figures(path / "figures", rng)
    write_tables(path / "tables", rng)
    for stage, seconds in zip(STAGES[:-1], (0.41, 0.05, 38.2, 21.7, 96.4, 12.9, 44.0), strict=True):
        run.mark_stage(stage, "done", seconds)
    run.mark_stage("report", "running")
    return run
