"""The tests of a run: against simple methods and chance, of the layers, of seeds, of time, and what could be found."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from kotowari.core.evidence import Check, Evidence
from kotowari.core.progress import Progress
from kotowari.studies.angiography.arms import NETWORK, TOP_HAT, UNTRAINED
from kotowari.studies.angiography.comparison import AP, FREE, GAINS, TARGETS
from kotowari.studies.angiography.controlling import changed_runs
from kotowari.studies.angiography.detection import implant_check
from kotowari.studies.angiography.job import AngiographyJob
from kotowari.studies.angiography.reasons import BRANCHES

__all__ = ["STABLE", "judge"]

STABLE = 0.8
_LEVEL = 0.05
_MOST_REST = 1.5
_MOST_FREE = 0.005
_SAME = 0.9


def judge(job: AngiographyJob, progress: Progress) -> None:
    """Run every test, and write the evidence with its verdicts."""
    checks = [
        *_chance(job),
        *_gains(job),
        *_false_vessels(job),
        *_layers(job),
        *_stability(job),
        *_changes(job, progress),
        *implant_check(job, progress),
    ]
    _evidence(job, tuple(checks)).save(job.path / "evidence", "vessels")


def _chance(job: AngiographyJob) -> Iterator[Check]:
    for row in job.folder.metrics("compare"):
        if row.metric == AP and row.model == NETWORK and row.p is not None:
            words = "better than" if row.p <= _LEVEL else "not distinguishable from"
            yield Check.at_most(
                f"chance, {row.target}",
                row.p,
                _LEVEL,
                f"Average precision {row.value:.2f} is {words} what the same maps reach against the vessels turned "
                f"over ({row.n_null} draws over {row.n} recordings, p = {row.p:.2g}).",
            )


def _gains(job: AngiographyJob) -> Iterator[Check]:
    """Hold our network against the matched trivial null and its untrained twin: a gain counts where 0 lies outside."""
    table = pd.read_csv(job.path / "tables" / GAINS)
    for target in TARGETS.values():
        own = table[(table["target"] == target) & (table["metric"] == AP)]
        for name, method in {"beyond top-hat": TOP_HAT, "beyond the untrained network": UNTRAINED}.items():
            row = own[own["network less"] == method]
            if not len(row):
                continue
            value, low, high = (float(row[column].iloc[0]) for column in ("difference", "low", "high"))
            title = f"{name}, {target}"
            if not np.isfinite(low):
                yield Check.not_applicable(
                    title, f"Average precision differs by {value:+.2f}; a single patient gives no interval."
                )
                continue
            words = "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
            sentence = f"Average precision less that of {method}: {value:+.2f} ({low:+.2f} to {high:+.2f}), {words}."
            yield Check.at_least(title, low, 0.0, sentence)


def _false_vessels(job: AngiographyJob) -> Iterator[Check]:
    rows = [row for row in job.folder.metrics("compare") if row.metric == FREE and row.model == NETWORK]
    if not rows:
        yield Check.not_applicable("frames without contrast", "No recording has frames that are known to hold none.")
    for row in rows:
        value = float("nan") if row.value is None else row.value
        yield Check.at_most(
            f"frames without contrast, {row.target}",
            value,
            _MOST_FREE,
            f"{100 * value:.2f} % of the field is called vessel in frames without contrast; a catheter counts as such.",
        )


def _layers(job: AngiographyJob) -> Iterator[Check]:
    if not job.runs:
        yield Check.not_applicable("completeness", "Single frames have no layers to add up.")
        return
    shards = {recording.name: job.shard("layers", recording.name) for recording in job.runs}
    rest = float(np.median([float(own["rest"] / own["noise"]) for own in shards.values()]))
    yield Check.at_most(
        "completeness",
        rest,
        _MOST_REST,
        "Background, vessels and rest add up to the frames. The rest, which neither layer takes, is to be noise: its "
        f"root mean square is {rest:.2f} times the noise of the frames in the median run.",
    )
    gap, bar = max(float(own["gap"]) for own in shards.values()), job.config.separation.tol
    yield Check.at_most(
        "optimum of the separation",
        gap,
        bar,
        f"No other split of a run is better by more than {gap:.2g} of the objective (duality gap; asked for {bar:g}).",
    )


def _stability(job: AngiographyJob) -> Iterator[Check]:
    overlap = np.array([job.shard("products", recording.name)["overlap"].mean() for recording in job.recordings])
    yield Check.at_least(
        "stability",
        float(np.median(overlap)),
        STABLE,
        f"Masks of {job.config.trust.n_seeds} seeds overlap with a Dice of {np.median(overlap):.2f} in the median "
        f"recording, {overlap.min():.2f} in the worst.",
    )


def _changes(job: AngiographyJob, progress: Progress) -> Iterator[Check]:
    """See what a change that should not matter does, and that the order of time does matter to the layer."""
    changed = changed_runs(job, progress)
    same = np.array([float(own["gain"]) for own in changed.values()])
    yield Check.at_least(
        "gain of the detector",
        float(np.median(same)),
        _SAME,
        f"With 0.8 times the light the mask keeps a Dice of {np.median(same):.2f} with itself.",
    )
    timed = [own for own in changed.values() if "ordered" in own]
    if timed:
        ordered, shuffled = (float(np.mean([float(own[name]) for own in timed])) for name in ("ordered", "shuffled"))
        yield Check.at_least(
            "order of time",
            ordered - shuffled,
            0.0,
            f"The vessel layer reaches an average precision of {ordered:.3f}, and {shuffled:.3f} with the frames in "
            "random order: else the variation over time were idle.",
        )


def _evidence(job: AngiographyJob, checks: tuple[Check, ...]) -> Evidence:
    table = pd.read_csv(job.path / "tables" / BRANCHES)
    overlap = {recording.name: job.shard("products", recording.name)["overlap"].mean() for recording in job.recordings}
    names = [
        f"{recording}, branch {branch}" for recording, branch in zip(table["recording"], table["branch"], strict=True)
    ]
    return Evidence(
        target="vessels",
        parts={
            "name": np.array(names, dtype=np.str_),
            "score": table["mean_vesselness"].to_numpy(np.float64),
            "stability": np.array([overlap[name] for name in table["recording"]], np.float64),
            "group": table["recording"].to_numpy(np.str_),
        },
        method="mean of the network's map along each branch of the centreline, in the frame that shows most vessel",
        checks=checks,
        reference="no vessel",
        derived_from=("frames",),
    )
