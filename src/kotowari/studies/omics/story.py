"""The report of a run in words: what was asked, what came out, what it does not say; with its pictures and tables."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from kotowari.core.checks import few
from kotowari.core.files import read_json
from kotowari.core.jobs import Arrays
from kotowari.core.page import Page, Table, write_table
from kotowari.core.runfolder import Metric
from kotowari.explain.cam import class_activation_map
from kotowari.explain.upsample import upsample
from kotowari.report import write as write_report
from kotowari.studies.omics.figures import draw
from kotowari.studies.omics.job import OmicsJob
from kotowari.studies.omics.reasons import painted, selected_genes
from kotowari.training.devices import one_thread

__all__ = ["tell"]

_GENES_SHOWN = 8
_LEVEL = 0.05

_READING = (
    "Every score stands beside what a user would otherwise take, beside the same network on permuted pixels (does the "
    "image help at all?), beside an untrained network, and beside permuted labels (chance); all on the same folds.",
    "An interval is a 95 % bootstrap interval over patients: it speaks of other patients, not of other training runs.",
    "A gene's score is the part of the class score, in log odds, that the gene accounts for on samples the network had "
    "not seen (integrated gradients from the mean training image), averaged over the samples of a class.",
    "p compares it with refits on permuted labels, pooled over genes; q is Benjamini and Hochberg's. Stability is the "
    "share of patient bootstraps in which the gene is among the selected.",
    "Pathways have two p values: counting takes genes as drawn one by one, which is too easy when neighbouring pixels "
    "are selected together; the layout-aware p moves the selected region over the same layout. Trust a set that passes "
    "both.",
    "A failed test is shown in red beside the result. It does not make the result false, it says what is not shown.",
)
_LIMITS = (
    "A relevant gene is one that the network uses. It need not cause anything: genes that move together share their "
    "relevance, and a marker may stand for its neighbours.",
    "The probabilities are not calibrated.",
    "Classes and patients are those of this table. Another hospital, platform or normalisation is another question.",
)


def tell(job: OmicsJob) -> None:
    """Draw the figures, write the tables and the page, and render the report."""
    job.keep("pictures", _pictures(job))
    figures = draw(job.path)
    tables = [*_result_tables(job), *_patient_tables(job)]
    samples = job.samples
    Page(
        title=f"{samples.target} from the expression of {len(samples.genes):,} genes",
        question=f"Can {samples.target} be told from the genes of a sample, and which genes and pathways tell it?",
        answers=_answers(job),
        data=_facts(job),
        limits=(*_LIMITS, *samples.notes, *_limits_of_preset(job)),
        reading=_READING,
        figures=figures,
        tables=tables,
    ).save(job.path)
    write_report(job.folder)


def _answers(job: OmicsJob) -> list[str]:
    ours = _row(job, "ours")
    found = job.kept("genes")
    answers = [_score_sentence(job, ours), _comparison_sentence(job), _gene_sentence(job, found)]
    answers += _pathway_sentence(job)
    checks = read_json(job.path / "evidence" / "genes.json")["checks"]
    answers += [check["sentence"] for check in checks if check["name"] == "detection limit"]
    return answers


def _score_sentence(job: OmicsJob, ours: Metric) -> str:
    target, n = job.samples.target, len(job.samples.X)
    figure = f"{ours.metric} {ours.value:.3f} (95 % interval {ours.low:.3f} to {ours.high:.3f})"
    if ours.p is None:
        return f"{target} was predicted with {figure} from {n} samples; chance was not measured."
    shown = f"these {n} samples: {figure}, p = {ours.p:.2g} from {ours.n_null} full refits."
    if ours.p <= _LEVEL:
        return f"{target} can be predicted from {shown}"
    return f"It is not shown that {target} can be predicted from {shown}"


def _comparison_sentence(job: OmicsJob) -> str:
    kept = job.kept("differences")
    rows = {
        row.model: row for row in job.folder.metrics() if row.role == "comparator" and row.metric == job.main_metric
    }
    best = max(rows.values(), key=lambda row: -np.inf if row.value is None else row.value)
    k = kept["names"].tolist().index(best.model)
    value, low, high = (float(kept[end][k]) for end in ("value", "low", "high"))
    words = "better than" if low > 0 else "worse than" if high < 0 else "not distinguishable from"
    return (
        f"The network is {words} the best of {len(rows)} comparators, {best.model} ({best.value:.3f}): "
        f"{value:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}."
    )


def _gene_sentence(job: OmicsJob, found: Arrays) -> str:
    names = np.array(job.samples.genes)
    first = names[np.argsort(-found["strength"], kind="stable")[:_GENES_SHOWN]]
    n_significant = int((found["q"] < _LEVEL).sum())
    if not np.isfinite(found["q"]).any():
        return (
            f"The genes of the highest score are {', '.join(first)}; too few refits stand behind them to give q values."
        )
    if n_significant == 0:
        return f"No gene has q < {_LEVEL}; the highest scores belong to {', '.join(first)}."
    return f"{n_significant} genes have q < {_LEVEL}, first {few(first, _GENES_SHOWN)}."


def _pathway_sentence(job: OmicsJob) -> list[str]:
    path = job.path / "tables" / "pathways-over-representation.csv"
    if not path.exists():
        return []
    table = pd.read_csv(path)
    counted = table["q"] < _LEVEL
    both = counted & (table["layout_q"] < _LEVEL) if "layout_q" in table else counted
    _, how = selected_genes(job, job.kept("genes"))
    names = f": {few(table['set'][both], 4)}" if both.any() else ""
    return [
        f"Of {len(table)} pathways asked of {how}, {int(counted.sum())} are over-represented by counting "
        f"(q < {_LEVEL}) and {int(both.sum())} also against the layout{names}."
    ]


def _facts(job: OmicsJob) -> list[tuple[str, str]]:
    samples, config = job.samples, job.config
    shape = job.drawn("final").transformer.shape_
    facts = [
        ("Table", f"{samples.source}: {len(samples.X)} samples x {len(samples.genes):,} genes"),
        ("Owners", f"{len(np.unique(samples.groups))}, never split between training and test"),
    ]
    if samples.classes:
        counts = {name: int((samples.y == name).sum()) for name in samples.classes}
        facts.append((samples.target, ", ".join(f"{name} {count}" for name, count in counts.items())))
    trust, validation = config.trust, config.validation
    n_null = trust.n_permutations * len(job.first_folds)
    facts += [
        ("Image", f"{shape[0]} x {shape[1]} pixels, {config.layout.method}, assignment {config.layout.assignment}"),
        ("Network", f"{config.network.name}, {config.network.n_members} a fold"),
        (
            "Folds",
            f"{validation.n_splits}, repeated {validation.n_repeats} times; layout, scaling and network fitted inside",
        ),
        (
            "Refits",
            f"{n_null} on permuted labels ({trust.n_permutations} permutations), {trust.n_bootstraps} bootstraps "
            f"on {trust.n_layouts} layouts",
        ),
    ]
    return facts


def _limits_of_preset(job: OmicsJob) -> list[str]:
    trust = job.config.trust
    smallest = 1 / (1 + trust.n_permutations)
    return [
        f"Preset {job.config.preset}: {trust.n_permutations} permutations give no p below {smallest:.3g} "
        f"for a score, and {trust.n_bootstraps} bootstraps a coarse stability. Presets standard and full run more.",
        "Permuted-label refits keep the layout of their fold, which never saw a label; bootstraps use layouts of all "
        "samples; planted effects are sought on the layout of the final model.",
    ]


def _result_tables(job: OmicsJob) -> list[Table]:
    tables = [
        Table("genes.csv", "All genes", "Score: mean over classes of the absolute relevance, log odds.", "reason", 25),
        Table("predictions.csv", "Predictions on samples kept aside", "One row a sample and repeat.", "result", 10),
    ]
    described = {
        "pathways-over-representation.csv": (
            "Over-represented pathways",
            "k selected genes of a set of that size; expected by chance; p and q by counting; layout p and q by moving "
            "the selected region over the layout.",
        ),
        "pathways-gsea.csv": (
            "Preranked enrichment",
            "Running sum over the ranking of all genes; with two classes, positive speaks for the second.",
        ),
    }
    for file, (title, caption) in described.items():
        if (job.path / "tables" / file).exists():
            tables.append(Table(file, title, caption, "pathways", 12))
    return tables


def _patient_tables(job: OmicsJob) -> list[Table]:
    """Write, for each sample, the genes that spoke most for and against its predicted class."""
    samples, tables = job.samples, []
    parts = job.fit_parts()
    for fold, part in zip(job.first_folds, parts.values(), strict=True):
        z = _standardised(samples.X, fold.train)
        for row, relevance, scores in zip(fold.test, part["predicted"], part["scores"], strict=True):
            order = np.argsort(relevance, kind="stable")
            chosen = np.concatenate([order[::-1][:_GENES_SHOWN], order[:_GENES_SHOWN][::-1]])
            file = f"sample-{row}.csv"
            shown = pd.DataFrame(
                {
                    "gene": np.array(samples.genes)[chosen],
                    "speaks": np.where(relevance[chosen] > 0, "for", "against"),
                    "relevance": relevance[chosen],
                    "expression (sd from training mean)": z[row][chosen],
                }
            )
            write_table(job.path / "tables" / file, shown)
            title, caption = _patient_words(job, int(row), scores)
            tables.append(Table(file, title, caption, "patients", 2 * _GENES_SHOWN))
    return sorted(tables, key=lambda table: int(table.file[7:-4]))


def _patient_words(job: OmicsJob, row: int, scores: npt.NDArray[np.float32]) -> tuple[str, str]:
    samples = job.samples
    name = str(samples.X.index[row])
    if not samples.classes:
        return f"{name}: measured {samples.y[row]:.3g}", "Genes that raise and lower the predicted value."
    shares = np.exp(scores - scores.max())
    said = int(scores.argmax())
    right = "right" if samples.classes[said] == samples.y[row] else "wrong"
    return (
        f"{name}: predicted {samples.classes[said]} ({shares[said] / shares.sum():.2f}), is {samples.y[row]}",
        f"The prediction is {right}. Genes that spoke for and against {samples.classes[said]}, log odds.",
    )


def _pictures(job: OmicsJob) -> Arrays:
    """Collect what the figures are drawn from."""
    samples, found, drawn = job.samples, job.kept("genes"), job.drawn("final")
    transformer = drawn.transformer
    pictures: Arrays = {
        "genes": np.array(samples.genes),
        "target": np.array(samples.target),
        "classes": np.array(samples.classes, dtype=str),
        "pixels": transformer.pixels_,
        "shape": np.array(transformer.shape_),
    }
    pictures |= {name: found[name] for name in ("strength", "class_means", "p", "q", "frequency")}
    pictures["relevance_maps"] = np.array(
        [painted(row, transformer.pixels_, transformer.shape_) for row in found["class_means"]]
    )
    if samples.classes:
        pictures["mean_images"] = np.array(
            [drawn.images[samples.codes == c, 0].mean(0) for c in range(len(samples.classes))]
        )
        pictures["class_maps"] = _class_maps(job)
    said = job.out_of_fold(job.fit_parts(), job.first_folds, samples.y)
    if said.probability is not None:
        pictures |= {"truth_codes": samples.codes[said.rows], "out_of_fold": said.probability}
    else:
        pictures |= {"truth_values": samples.y[said.rows], "predicted_values": said.prediction}
    for name in ("stability", "implants", "randomisation", "faithfulness"):
        if job.holds(name):
            pictures |= job.kept(name)
    if job.holds("null"):
        null = job.kept("null")
        pictures |= {
            "null_values": null[job.main_metric],
            "observed_value": null[f"observed {job.main_metric}"],
            "null_metric": np.array(job.main_metric),
        }
    return pictures


def _class_maps(job: OmicsJob) -> npt.NDArray[np.float64]:
    """Return each class's mean activation map over its own samples by the final model, at the size of the images."""
    estimator = job.estimator_kind.load(job.path / "model" / "final")
    drawn, shape = job.drawn("final"), job.drawn("final").transformer.shape_
    maps = np.zeros((drawn.n_outputs, *shape))
    with one_thread():
        for member in estimator.members_:
            for number in range(drawn.n_outputs):
                own = torch.as_tensor(drawn.images[drawn.codes == number])
                coarse = class_activation_map(member.network, own, number).mean(0, keepdim=True)
                cell = -(-np.array(shape) // np.array(coarse.shape[1:]))
                height, width = (int(n) for n in cell * np.array(coarse.shape[1:]))
                fine = upsample(coarse, (height, width))[0, : shape[0], : shape[1]]
                maps[number] += fine.numpy() / len(estimator.members_)
    return maps


def _standardised(X: pd.DataFrame, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    values = X.to_numpy(np.float64)
    sd = np.nanstd(values[rows], axis=0)
    z: npt.NDArray[np.float64] = (values - np.nanmean(values[rows], axis=0)) / np.where(sd > 0, sd, 1.0)
    return z


def _row(job: OmicsJob, role: str) -> Metric:
    (row,) = (row for row in job.folder.metrics() if row.role == role and row.metric == job.main_metric)
    return row
