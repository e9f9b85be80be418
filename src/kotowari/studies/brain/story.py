"""The report of a run in words: what was asked, what came out, what it does not say; with its pictures and tables."""

from collections.abc import Iterator

import numpy as np

from kotowari.core.evidence import Evidence, Verdict
from kotowari.core.page import Page, Table
from kotowari.core.runfolder import Metric
from kotowari.report import write as write_report
from kotowari.report.numerals import score_words
from kotowari.studies.brain.chance import main_metric
from kotowari.studies.brain.comparison import EXTERNAL, INTERNAL, external_name
from kotowari.studies.brain.detection import planted_question
from kotowari.studies.brain.figures import draw
from kotowari.studies.brain.gains import gains, verdict
from kotowari.studies.brain.grid import GRID
from kotowari.studies.brain.job import LABEL_TRAINED, OURS, BrainJob
from kotowari.studies.brain.pictures import pictures
from kotowari.studies.brain.planted import PLANTED
from kotowari.studies.brain.questions import Question
from kotowari.studies.brain.reconstruction import MEAN_BRAIN, PRINCIPAL, RECONSTRUCTION

__all__ = ["tell"]

_LEVEL = 0.05
_NAMED = 5

_READING = (
    "Features are the coarse map of an autoencoder that learned to give volumes back; it saw no diagnosis, no score "
    "and no subject of the fold that is foretold. A ridge on the features foretells each target; covariates are "
    "regressed out of the features with coefficients of the training rows.",
    "Dose and symptoms are asked in patients only: controls at dose 0 would turn the question into one of diagnosis.",
    "Beside each score stand the same network before training, the same encoder trained on the diagnosis, average "
    "pooling over cubes of the encoder's reach (what depth does without learning), ridge on smoothed voxels, principal "
    "components and the covariates alone, all on the same folds. A gain counts where its interval leaves 0 out.",
    "p is family-wise: each permutation moves all targets of a subject alike, and the largest score of all models and "
    "targets is taken.",
    "A region's strength is how much the score changes when the region looks like the mean training brain, over the "
    "root of its voxels; its sign tells whether more tissue goes with a higher score. p of a region asks whether its "
    "part in the score of subjects kept aside goes along with the target, against the largest of all regions for "
    "shuffled targets. A map carries a red stamp where it is not distinguishable from that of an untrained network, "
    "where no region passes that test, or where it ranks places as the amount of grey matter does.",
    "Reconstruction is no measure of use: features of networks that give volumes back better need not foretell better. "
    "Both are printed for each model of the grid, and none is chosen by its error.",
    "A failed test is shown in red beside the result. It does not make the result false, it says what is not shown.",
)
_LIMITS = (
    "Not for clinical use: these are associations over a group, not a diagnosis or a dose of a person.",
    "Less grey matter in an image can be motion, scanner or registration as well as tissue; image quality may be given "
    "as a covariate.",
    "A model of the past is told by its sites: another scanner may shift features, which the external row shows.",
    "Regions that stand in for each other share the weight; occlusion of one alone may then show little.",
)


def tell(job: BrainJob) -> None:
    """Draw the figures, write the tables and the page, and render the report."""
    job.keep("pictures", pictures(job))
    figures = draw(job.path)
    names = [question.name for question in job.questions]
    Page(
        title=f"Label-free features of {len(job.internal)} brains, and what they foretell",
        question=f"Do features learned without labels foretell {_listed(names)}, and which regions carry it?",
        answers=[*_answers(job)],
        data=_facts(job),
        limits=(*_LIMITS, *job.cohort.notes, *job.store.notes, *job.atlas.notes, *_limits_of_run(job)),
        reading=_READING,
        figures=figures,
        tables=_tables(job),
    ).save(job.path)
    write_report(job.folder)


def _answers(job: BrainJob) -> Iterator[str]:
    for question in job.questions:
        yield _score_sentence(job, question)
    yield from _hypothesis(job)
    yield _reconstruction_sentence(job)
    for question in job.questions:
        if question.target.transform == "none":
            yield _region_sentence(job, question)
    limit = [check for check in _evidence(job, planted_question(job)).checks if check.name == "detection limit"]
    yield from (check.sentence for check in limit)


def _score_sentence(job: BrainJob, question: Question) -> str:
    metric = main_metric(question)
    row = _row(job, question.name, OURS, metric)
    beyond = _row(job, external_name(question.name), OURS, metric)
    said = f"{question.name}: {metric} {score_words(row)} out of fold in {row.n} subjects" if row else question.name
    if row is not None and row.p is not None:
        words = "better than chance" if row.p <= _LEVEL else "not distinguishable from chance"
        said += f", {words} (family-wise p = {row.p:.2g})"
    if beyond is not None:
        said += f"; {score_words(beyond)} at the sites kept aside, without any refit ({beyond.n} subjects)"
    others = [
        other
        for other in job.folder.metrics()
        if other.target == question.name and other.metric == metric and other.role in {"comparator", "trivial null"}
    ]
    best = max(others, key=lambda other: -np.inf if other.value is None else other.value)
    return f"{said}. The best of {len(others)} comparators is {best.model}: {score_words(best)}."


def _hypothesis(job: BrainJob) -> Iterator[str]:
    """Say what learning without the diagnosis does to what is foretold in patients."""
    table = gains(job)
    own = table[table["ours less"] == LABEL_TRAINED]
    for question in job.questions:
        if not question.in_patients or question.target.transform != "none":
            continue
        parts = []
        for where in (INTERNAL, EXTERNAL):
            row = own[(own["target"] == question.name) & (own["where"] == where)]
            if len(row):
                value, low, high = (float(row[name].iloc[0]) for name in ("difference", "low", "high"))
                parts.append(f"{verdict(low, high)} {where} ({value:+.2f}, 95 % interval {low:+.2f} to {high:+.2f})")
        if parts:
            yield (
                f"Features learned without labels foretell {question.name} within patients, against the same encoder "
                f"trained on the diagnosis: {'; '.join(parts)}."
            )


def _reconstruction_sentence(job: BrainJob) -> str:
    values = {name: _row(job, RECONSTRUCTION, name, "MAE") for name in (OURS, MEAN_BRAIN, PRINCIPAL)}
    ours, mean, principal = (_value(values[name]) for name in (OURS, MEAN_BRAIN, PRINCIPAL))
    return (
        f"Volumes kept aside are given back with an error of {ours / mean:.2f} of the mean brain's (all components of "
        f"the training volumes: {principal / mean:.2f})."
    )


def _region_sentence(job: BrainJob, question: Question) -> str:
    evidence = _evidence(job, question)
    first = [str(name) for name in evidence.parts["name"][:_NAMED]]
    failed = [check.name for check in evidence.checks if check.verdict is Verdict.FAIL and check.name in _OF_MAPS]
    n = int((evidence.parts["p"] <= _LEVEL).sum())
    words = {0: "no region has", 1: "1 region has"}.get(n, f"{n} regions have")
    said = f"Strongest regions for {question.name}: {', '.join(first)}; {words} a family-wise p <= {_LEVEL}."
    return f"{said} The map fails: {', '.join(failed)}." if failed else said


_OF_MAPS = {
    "model randomisation",
    "model randomisation, broad shape taken out",
    "shuffled target",
    "mean grey matter",
    "stability",
}


def _evidence(job: BrainJob, question: Question) -> Evidence:
    return Evidence.load(job.path / "evidence", job.file_word(question.name))


def _row(job: BrainJob, target: str, model: str, metric: str) -> Metric | None:
    return next(
        (row for row in job.folder.metrics() if (row.target, row.model, row.metric) == (target, model, metric)), None
    )


def _value(row: Metric | None) -> float:
    return np.nan if row is None or row.value is None else row.value


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _facts(job: BrainJob) -> list[tuple[str, str]]:
    config, store, final = job.config, job.store, job.encoded("final")
    own = config.features
    encoder = job.encoder()
    volumes = "simulated on the MNI152 grey matter" if config.data.volumes == "phantom" else str(config.data.volumes)
    edges = " x ".join(f"{edge:g}" for edge in store.grid.voxel_mm)
    facts = [
        ("Volumes", f"{len(store)}, {volumes}; {' x '.join(map(str, store.shape))} voxels of {edges} mm"),
        ("Mask", f"{store.n_voxels:,} voxels"),
        ("Learned from", f"{len(job.internal)} subjects"),
    ]
    if job.external.any():
        names = ", ".join(config.cohort.external_sites)
        facts.append(("Kept aside whole", f"{int(job.external.sum())} subjects of site {names}"))
    if job.diagnosis is not None:
        labels, counts = np.unique(job.diagnosis[job.internal], return_counts=True)
        facts.append(("Diagnosis", ", ".join(f"{a} {b}" for a, b in zip(labels, counts, strict=True))))
    facts += [
        ("Covariates", ", ".join(config.cohort.covariates) or "none"),
        (
            "Network",
            f"{job.n_blocks} blocks of {own.n_channels} channels, "
            f"{sum(one.numel() for one in encoder.reconstruction_.parameters()):,} parameters, "
            f"{int(np.prod(encoder.feature_shape_)):,} features; mean absolute error in the mask, at most "
            f"{own.max_epochs} epochs of Adam at {own.learning_rate:g}; {'; '.join(final['precision'])}",
        ),
        ("Regression", f"{config.targets.method}; harmonising: {config.cohort.harmonise}"),
        (
            "Folds",
            f"{config.validation.n_splits}, {config.validation.n_repeats} times; encoder, harmonising, covariates, "
            "penalty and regression fitted inside",
        ),
        ("Regions", f"{len(job.atlas)}, {_atlas_words(job)}"),
    ]
    return facts


def _atlas_words(job: BrainJob) -> str:
    atlas = job.config.data.atlas
    return "our own parcels of MNI152 space, no published atlas" if isinstance(atlas, str) else atlas.name


def _limits_of_run(job: BrainJob) -> Iterator[str]:
    trust = job.config.trust
    yield (
        f"Preset {job.config.preset}: {trust.n_permutations} permutations give no p below "
        f"{1 / (1 + trust.n_permutations):.3g} for a score, {trust.n_map_shuffles} shuffled targets none below "
        f"{1 / (1 + trust.n_map_shuffles):.3g} for a region. Presets standard and full train longer and run more."
    )
    if job.config.features.grid_blocks:
        yield (
            "The encoders of the grid saw all internal volumes, without labels, before targets were foretold out of "
            "fold from their features; the sites kept aside were unseen."
        )
    outlying = int(job.kept("quality")["outlying"].sum())
    if outlying:
        yield f"{outlying} volumes are unlike the mean brain (tables/volumes.csv); they were not left out."
    if job.config.data.volumes == "phantom":
        yield (
            "The brains are simulated: tissue of the MNI152 template warped smoothly, with effects planted where the "
            "table of planted places says. They tell how the method works, nothing of any illness."
        )


def _tables(job: BrainJob) -> list[Table]:
    described = {
        "gains.csv": (
            "Ours less each control",
            "Difference of the main score on the same subjects, with 95 % interval.",
            "trust",
            40,
        ),
        "chance.csv": (
            "Against chance",
            "p of a model alone, and family-wise over all targets and models.",
            "trust",
            25,
        ),
        GRID: (
            "Grid of models",
            "Error beside what is foretold out of fold and at external sites: no ranking.",
            "result",
            16,
        ),
        PLANTED: (
            "Maps against what was planted",
            "Area under the curve and average precision by voxel and region, beside the share that was planted.",
            "trust",
            40,
        ),
        "maps.csv": (
            "Maps beside their controls",
            "How like the size of each map is to the same map of the untrained network, as it stands and without its "
            "broad shape, and to the amount of grey matter.",
            "trust",
            40,
        ),
        "sites.csv": (
            "Sites in the features",
            "Whether the site can be told in subjects who had no part in the harmonising, and what is kept of targets; "
            "here alone subjects of all sites are learned from.",
            "trust",
            20,
        ),
        "volumes.csv": ("Volumes", "Grey matter in the mask, and likeness to the mean brain.", "patients", 8),
    }
    for question in job.questions:
        word = job.file_word(question.name)
        described[f"regions-{word}.csv"] = (
            f"Regions for {question.name}",
            "Peak in mm; strength as in the map; sign: + where more tissue goes with a higher score; p family-wise "
            "in subjects kept aside, against shuffled targets; selection frequency over the encoders of the folds.",
            "reason",
            12,
        )
        described[f"predictions-{word}.csv"] = (
            f"Predictions of {question.name}",
            "One row a subject kept aside.",
            "result",
            8,
        )
    there = job.path / "tables"
    return [Table(file, *words) for file, words in described.items() if (there / file).exists()]
