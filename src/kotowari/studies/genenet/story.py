"""The report of a run in words: what was asked, what came out, what it does not say; with its pictures and tables."""

import numpy as np
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.files import read_json
from kotowari.core.page import Page, Table
from kotowari.report import write as write_report
from kotowari.studies.genenet.figures import draw
from kotowari.studies.genenet.job import PROFILER, GenenetJob
from kotowari.studies.genenet.judging import CHANGING
from kotowari.studies.genenet.pictures import pictures
from kotowari.studies.genenet.reasons import CONTRIBUTIONS, EDGES
from kotowari.studies.genenet.target_scores import ONE_NETWORK, TARGETS

__all__ = ["tell"]

_LEVEL = 0.05
_NAMED = 5
_ENRICHMENT = "Sets that hold more of the hubs (the quarter with most edges) than chance gives among all."

_READING = (
    "A network has an edge from a regulator to a target where, among samples of like modulator, the regulator helps to "
    "foretell the target beside all other regulators. It is a relation in these data, not a proof of regulation.",
    "The regulatory effect of an edge in a sample is the coefficient at the sample's modulator times the regulator's "
    "expression less its mean, along the edge and along paths over one gene in between; in standard deviations of the "
    "target. Its change is the 95th less the 5th percentile over the samples, large where the coefficient changes "
    "along the modulator, and also where the regulator itself varies much. The range of the coefficient stands beside.",
    "p of an edge compares its change with the largest change of any edge in networks of permuted genes: each gene was "
    "permuted on its own among samples of like modulator, which keeps its course along the modulator and breaks every "
    "relation of genes.",
    "Stability is the share of half samples in which an edge is among the selected ones.",
    "Coefficients at a held-out sample are a function of its modulator alone, so they can foretell nothing that the "
    'modulator does not. The word "predicts" is used only where the score lies above chance, above the spline of the '
    "modulator, above ridge on the raw genes and above its own course along the modulator, each with an interval above "
    "0, and where 1 % or more of the variance of the predictions lies off that course.",
    "A failed test is shown in red beside the result. It does not make the result false, it says what is not shown.",
)
_LIMITS = (
    "Bulk tissue is a mixture: stroma and purity move many genes together, and edges may stand for the mixture. A "
    "second modulator or an adjustment can take it into account.",
    "Near the ends of the modulator few samples stand behind a network; the picture of effective samples shows where.",
    "Edges between genes that move together are exchangeable: another regulator of the same module may stand in.",
    "The regularised coefficients are shrunk; bands of the courses show how they move with the samples, not where the "
    "true value lies.",
)


_SURVIVAL_READING = (
    "A prediction of survival is a log hazard: the rate at which events come, relative to other samples. The C-index "
    "is the share of pairs of samples of one fold in which the one with the earlier event was given the higher hazard; "
    "0.5 is chance. A pair counts where it is known who was first: at equal times an event comes before an end of "
    "observation, two events are not compared, and equal hazards count half."
)
_SURVIVAL_LIMITS = (
    "Cox's model takes hazards to be proportional over time, and the end of observation to say nothing of the hazard. "
    "Neither was tested.",
    "Hazards are relative. No time of survival and no probability is predicted, and treatment and stage are not "
    "accounted for unless data.adjust names them.",
)


def tell(job: GenenetJob) -> None:
    """Draw the figures, write the tables and the page, and render the report."""
    job.keep("pictures", pictures(job))
    figures = draw(job.path)
    samples, whole = job.samples, job.whole
    asked = f" and tell {job.response_name}" if job.predicts else ""
    Page(
        title=f"Gene networks of {len(samples.X)} samples along {job.modulator_name}",
        question=f"Which edges of a gene network change along {job.modulator_name}{asked}, and does that hold?",
        answers=_answers(job),
        data=_facts(job),
        limits=(
            *_LIMITS,
            *(_SURVIVAL_LIMITS if job.task == "survival" else ()),
            *samples.notes,
            *_limits_of_run(job),
        ),
        reading=(*_READING, _SURVIVAL_READING) if job.task == "survival" else _READING,
        figures=figures,
        tables=_tables(job, len(whole.regulators)),
    ).save(job.path)
    write_report(job.folder)


def _answers(job: GenenetJob) -> list[str]:
    checks = {check["name"]: check for check in read_json(job.path / "evidence" / f"{EDGES}.json")["checks"]}
    tests = [checks[name]["sentence"] for name in ("edges against chance", "coefficients that change")]
    answers = [_edge_sentence(job, *tests), _target_sentence(job)]
    if job.predicts:
        answers.append(str(job.kept("verdict")["sentence"]))
        answers += [_comparison_sentence(job), _contribution_sentence(job)]
    if "detection limit" in checks:
        answers.append(checks["detection limit"]["sentence"])
    return answers


def _edge_sentence(job: GenenetJob, chance: str, change: str) -> str:
    table = pd.read_csv(job.path / "tables" / "edges.csv")
    if table.empty:
        return "No network has an edge: in every fit the criterion chose no regulator."
    turning = table.sort_values("coefficient change", ascending=False, kind="stable")
    if not turning["coefficient change"].fillna(0.0).any():
        return f"The regulatory effects that vary most over the samples are {_first(table)}. {chance} {change}"
    return (
        f"The regulatory effects that vary most over the samples are {_first(table)}. {chance} The coefficients that "
        f"change most along {job.modulator_name} are {_first(turning)}. {job.kept(CHANGING)['verdict']}"
    )


def _first(table: pd.DataFrame) -> str:
    pairs = table[["regulator", "target"]].head(_NAMED).itertuples(index=False)
    return ", ".join(f"{a} -> {b}" for a, b in pairs)


def _target_sentence(job: GenenetJob) -> str:
    rows = {row.model: row for row in job.folder.metrics() if row.target == TARGETS}
    value, low, high = (float(end) for end in job.kept("targets")["gain"])
    words = "better than" if low > 0 else "worse than" if high < 0 else "not distinguishable from"
    return (
        f"Held-out expression of the targets: R2 {rows[PROFILER].value:.3f} by networks along the modulator, {words} "
        f"one network for all samples ({rows[ONE_NETWORK].value:.3f}): {value:+.3f}, 95 % interval {low:+.3f} to "
        f"{high:+.3f}."
    )


def _comparison_sentence(job: GenenetJob) -> str:
    """Say who is best, since the guard speaks of two comparators alone."""
    rows = [
        row
        for row in job.folder.metrics()
        if row.target == job.response_name and row.metric == job.main_metric and row.role == "comparator"
    ]
    best = max(rows, key=lambda row: -np.inf if row.value is None else row.value)
    return f"The best of {len(rows)} comparators is {best.model}, {best.metric} {best.value:.3f}."


def _contribution_sentence(job: GenenetJob) -> str:
    kept = job.kept(CONTRIBUTIONS)
    first = [f"{a} -> {b}" for a, b in zip(kept["regulator"][:_NAMED], kept["target"][:_NAMED], strict=True)]
    n_significant = int((kept["p"] <= _LEVEL).sum())
    words = {0: "no edge has", 1: "1 edge has"}.get(n_significant, f"{n_significant} edges have")
    return f"The edges with the largest part in that are {', '.join(first)}; {words} a family-wise p <= {_LEVEL}."


def _facts(job: GenenetJob) -> list[tuple[str, str]]:
    samples, config, whole = job.samples, job.config, job.whole
    effective = np.median(job.profiler.effective_samples_)
    facts = [
        ("Table", f"{samples.source}: {len(samples.X)} samples x {len(samples.genes):,} genes"),
        ("Owners", f"{len(np.unique(samples.groups))}, never split between training and test"),
        ("Modulator", _modulator_words(job)),
        ("Networks", f"{len(whole.regulators)} regulators, {len(whole.targets)} targets"),
        (
            "Kernel",
            f"{config.network.kernel}, {effective:.0f} effective samples behind the median network; penalty by "
            f"{config.network.criterion}, {_counted(config.network.max_rounds, 'round')} of weights at most; one "
            f"network for all has a share of {job.profiler.pooling_:.0%} in each",
        ),
        (
            "Folds",
            f"{config.validation.n_splits}, {_counted(config.validation.n_repeats, 'time')}; modulator, adjustment, "
            "choice of targets, networks and prediction fitted inside",
        ),
    ]
    if job.profiler.node_gap_ is not None:
        words = f"{config.network.n_nodes}; coefficients differ from the full solution by {job.profiler.node_gap_:.1%}"
        facts.append(("Nodes", words))
    if samples.covariates is not None:
        facts.append(("Adjusted for", ", ".join(map(str, samples.covariates.columns))))
    if samples.classes and samples.y is not None:
        counts = {name: int((samples.y == name).sum()) for name in samples.classes}
        facts.append((job.response_name, ", ".join(f"{name} {count}" for name, count in counts.items())))
    if job.task == "survival":
        time, seen = job.y.T
        words = f"{int(seen.sum())} events in {len(seen)} samples, observed for {np.median(time):.4g} in the median"
        facts.append((job.response_name, words))
    return facts


def _counted(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def _modulator_words(job: GenenetJob) -> str:
    samples = job.samples
    if samples.modulator is not None:
        return job.modulator_name
    method = job.config.modulator.method.replace("_", " ")
    words = (
        f"{job.modulator_name}: {method} of {len(samples.signature_up)} genes that rise and "
        f"{len(samples.signature_down)} that fall"
    )
    if left := job.whole.left_out:
        words += f", of which {len(left)} do not move with the others and were left out ({few(left)})"
    share = job.whole.explained
    return words if np.isnan(share) else f"{words}; it carries {share:.0%} of their variance"


def _limits_of_run(job: GenenetJob) -> list[str]:
    trust = job.config.trust
    limits = [
        f"Preset {job.config.preset}: {trust.n_permutations} permutations give no p below "
        f"{1 / (1 + trust.n_permutations):.3g} for a score, {trust.n_edge_permutations} networks of permuted genes "
        f"none below {1 / (1 + trust.n_edge_permutations):.3g} for an edge, and {trust.n_subsamples} pairs of half "
        "samples a coarse stability. Presets standard and full run more."
    ]
    for side in ("regulators", "targets"):
        if not (job.path / "tables" / f"pathways-{side}.csv").exists():
            limits.append(f"Too few of the {side} stand in a pathway of Reactome under the same name to ask pathways.")
    held = sum(int(job.fold_networks(k)["n_held"]) for k in range(len(job.first_folds)))
    if held:
        limits.append(
            f"{held} held-out samples lay beyond the modulator of their training samples; their networks were taken at "
            "its end."
        )
    if job.samples.circular:
        limits.append(
            "The response is the modulator itself. The genes of its signature are neither regulators nor targets, and "
            "a held-out sample's network is taken at the modulator that ridge foretells from its other genes."
        )
    return limits


def _tables(job: GenenetJob, n_regulators: int) -> list[Table]:
    units = "; log hazards, to be compared within a fold" if job.task == "survival" else ""
    described = {
        "edges.csv": (
            "All edges",
            "change, low, high: of the regulatory effect over the samples, sd of the target. p, q: of that change "
            "against permuted genes. Coefficient change: sd of the target for one of the regulator, with p against "
            "constant coefficients. p are family-wise, q from pooled p, so a q may be smaller. frequency: of half "
            "samples that select it.",
            "reason",
            25,
        ),
        "contributions.csv": (
            "Edges in the prediction",
            "Importance: share in the held-out predictions; p family-wise; q from pooled p, so it may be smaller.",
            "reason",
            25,
        ),
        "hubs.csv": (
            "Hubs",
            f"Regulators and targets with the most edges; {n_regulators} regulators were offered.",
            "reason",
            15,
        ),
        "pathways-regulators.csv": ("Pathways of the regulators", _ENRICHMENT, "pathways", 12),
        "pathways-targets.csv": ("Pathways of the targets", _ENRICHMENT, "pathways", 12),
        "courses.csv": (
            "Courses",
            "Coefficients along the modulator, units of the table, with bootstrap intervals.",
            "trust",
            10,
        ),
        "predictions.csv": ("Predictions on samples kept aside", f"One row a sample and repeat{units}.", "result", 10),
        "modulator.csv": (
            "Modulator of every sample",
            "Where the sample stands, and how many effective samples are behind its network (median target).",
            "trust",
            10,
        ),
    }
    there = job.path / "tables"
    return [Table(file, *words) for file, words in described.items() if (there / file).exists()]
