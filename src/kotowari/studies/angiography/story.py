"""The report of a run in words: what was asked, what came out, what it does not say; with its pictures and tables."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from kotowari.core.evidence import Evidence, Verdict
from kotowari.core.page import Page, Table
from kotowari.report import write as write_report
from kotowari.report.numerals import score_words
from kotowari.studies.angiography.arms import NETWORK, RUN_LAYER, TOP_HAT
from kotowari.studies.angiography.comparison import AP, GAINS, TARGETS, middle_grade
from kotowari.studies.angiography.figures import draw
from kotowari.studies.angiography.job import AngiographyJob
from kotowari.studies.angiography.looks import notes_of
from kotowari.studies.angiography.pictures import pictures
from kotowari.studies.angiography.reasons import BRANCHES

__all__ = ["tell"]

_READING = (
    "A vessel with contrast attenuates light; frames are taken as log attenuation, in which layers add up. A run is "
    "parted into a background of low rank, a vessel layer that is sparse, even and never below 0, and a rest.",
    "The network looks at one frame, of a run less its background. No mask taught it: random trees were put into your "
    "own frames by the law of attenuation, after their own vessels were taken out as far as they could be found. Its "
    "twin was taught by the prior alone, low rank and sparse as a loss, and is shown frames as they are.",
    "Every recording is judged by a network that never saw its patient. Masks, where there are any, only score; "
    "filters are tuned on masks of other patients, which is an advantage that they have over ours.",
    "Vessels put into your frames are drawn by another law than those that taught the network, over frames without "
    "contrast where a run has such. They say how well vessels would be found over this very background.",
    "The matched trivial null is a top-hat with the same rule of threshold. Chance turns the true vessels over.",
    "Contrast to noise is not scored: any threshold inflates it.",
    "Intervals are 95 % bootstrap intervals over patients. A gain counts where its interval leaves 0 out.",
    "A failed test is shown in red beside the result. It does not make the result false, it says what is not shown.",
)
_LIMITS = (
    "Not for clinical use: no stenosis is measured, and a vessel that is not shown may be there.",
    "A catheter is as thin and dark as a vessel. It is told apart only by being there before contrast; single frames "
    "cannot tell.",
    "Times of arrival are those of a pixel: a vessel that the heart moves into it arrives there when it does.",
    "Vessels that cross in projection meet in the centreline: a crossing is not always a fork.",
    "Outlines follow the lumen as far as attenuation shows it; readers draw them wider or narrower by habit.",
)
_LIKE_SHOWN = ("chance", "beyond top-hat", "stability", "detection limit")


def tell(job: AngiographyJob) -> None:
    """Draw the figures, write the page, and render the report."""
    job.keep("pictures", pictures(job))
    figures = draw(job.path)
    simulated = " simulated" if job.config.data.runs == "phantom" else ""
    Page(
        title=f"Vessels in {len(job.recordings)}{simulated} recordings, found without masks",
        question="Where are the vessels, when does contrast come to them, and what could have been missed?",
        answers=[*_answers(job)],
        data=[*_facts(job)],
        limits=(*_LIMITS, *_limits_of_run(job), *notes_of(job)),
        reading=_READING,
        figures=figures,
        tables=_tables(job),
    ).save(job.path)
    write_report(job.folder)


def _answers(job: AngiographyJob) -> Iterator[str]:
    table = pd.read_csv(job.path / "tables" / BRANCHES)
    n = len(job.recordings)
    each = len(table) / n
    yield f"{len(table):,} branches of vessels in {n} recordings ({len(job.runs)} runs), {each:.0f} a recording."
    for target in TARGETS.values():
        yield from _scores(job, target)
    checks = Evidence.load(job.path / "evidence", "vessels").checks
    for check in checks:
        if check.name.startswith(_LIKE_SHOWN) and check.verdict is not Verdict.NOT_APPLICABLE:
            failed = f" (fails the test: {check.name})" if check.verdict is Verdict.FAIL else ""
            yield f"{check.sentence.removesuffix('.')}{failed}."


def _scores(job: AngiographyJob, target: str) -> Iterator[str]:
    rows = {row.model: row for row in job.folder.metrics("compare") if (row.target, row.metric) == (target, AP)}
    if NETWORK not in rows:
        return
    said = f"On {target}, the network reaches an average precision of {score_words(rows[NETWORK])}"
    if RUN_LAYER in rows:
        said += f", the layer of the whole run {score_words(rows[RUN_LAYER])}"
    others = [row for row in rows.values() if row.role in {"comparator", "trivial null"} and row.value is not None]
    best = max(others, key=lambda row: row.value or 0.0)
    beside = f"the best of {len(others)} comparators, {best.model}, {score_words(best)}"
    yield f"{said}; top-hat {score_words(rows[TOP_HAT])}, {beside}."


def _facts(job: AngiographyJob) -> Iterator[tuple[str, str]]:
    config, facts = job.config, job.facts
    shapes = sorted({f"{height} x {width}" for height, width in facts["shape"].tolist()})
    yield (
        "Recordings",
        f"{len(job.recordings)} of {len(np.unique(job.groups))} patients; {', '.join(shapes[:4])} pixels",
    )
    frames = facts["n_frames"]
    yield "Frames", f"{int(frames.sum()):,}; {int(frames.min())} to {int(frames.max())} a recording"
    yield "Masks", f"{int(job.has_truth.sum())} recordings; used for scores alone"
    yield (
        "Without contrast",
        f"{int(facts['n_free'].sum())} frames at the beginning of {int((facts['n_free'] > 0).sum())} runs",
    )
    own = config.enhancer
    yield (
        "Network",
        f"taught by {own.lesson}, {own.n_rounds} {'round' if own.n_rounds == 1 else 'rounds'} of {own.n_steps} steps",
    )
    layers = config.separation
    yield (
        "Separation",
        f"sparsity {'by the number of frames' if layers.weight is None else format(layers.weight, 'g')}, variation "
        f"{layers.tv_weight:g} in space and "
        f"{layers.time_weight:g} times that in time",
    )
    n_folds = len(job.folds)
    yield "Folds", f"{n_folds} over patients" if n_folds else "none: one patient, whose own frames taught the network"


def _limits_of_run(job: AngiographyJob) -> Iterator[str]:
    trust = job.config.trust
    yield (
        f"Preset {job.config.preset}: {job.config.enhancer.n_steps} steps a round and {trust.implant_repeats} trees at "
        f"each of {len(trust.implant_attenuations)} attenuations. Presets standard and full train longer, plant more."
    )
    yield (
        f"Methods are compared on vessels with a largest attenuation of {middle_grade(job):g}; weaker and stronger "
        "ones are in the picture of the detection limit."
    )
    if not len(job.folds):
        yield "There is one patient only: the network saw these frames (without masks), and no interval can be given."
    if job.config.data.runs == "phantom":
        yield "The runs are simulated. They tell how the methods work, nothing of any patient."


def _tables(job: AngiographyJob) -> list[Table]:
    described = {
        "recordings.csv": (
            "Recordings",
            "What was read; names are neutral, as file names may be a patient's.",
            "patients",
            12,
        ),
        BRANCHES: (
            "Branches of vessels",
            "Centreline in the frame that shows most vessel: length, mean radius, tortuosity, mean of the map, and the "
            "time of arrival at both ends.",
            "reason",
            15,
        ),
        GAINS: (
            "Network less each other method",
            "Difference on the same frames, with 95 % interval over patients.",
            "trust",
            30,
        ),
    }
    there = job.path / "tables"
    return [Table(file, *words) for file, words in described.items() if (there / file).stat().st_size > 1]
