"""All methods on frames whose vessels are known: the user's masks, or vessels put into the user's own frames."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.jobs import Arrays
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.core.runfolder import Metric
from kotowari.studies.angiography.arms import NETWORK, TunedFilters, role_of
from kotowari.studies.angiography.beds import BedKind
from kotowari.studies.angiography.filters import all_filters
from kotowari.studies.angiography.fitting import SCORES, BedTask, judge_bed, tune_filters
from kotowari.studies.angiography.job import AngiographyJob
from kotowari.studies.angiography.networks import networks_for
from kotowari.studies.angiography.scores import mean_over_runs
from kotowari.studies.angiography.sources import Recording
from kotowari.trust.intervals import Interval

__all__ = ["AP", "FREE", "GAINS", "TARGETS", "compare_methods", "judged", "middle_grade", "scores_table"]

AP, FREE = "average precision", "error: share called vessel without contrast"
GAINS = "gains.csv"
TARGETS: dict[BedKind, str] = {"masks": "vessels of the masks", "implants": "vessels put into your frames"}
_METRICS = {
    "average_precision": AP,
    "auc": "AUC",
    "dice": "Dice",
    "cl_dice": "centreline Dice",
    "centreline_px": "error: centreline distance, px",
    "d_prime": "d prime",
}
_FEWEST_MASKED = 4


def compare_methods(job: AngiographyJob, progress: Progress) -> None:
    """Score every method on masks and implants, and write rows, paired gains and what is called vessel by mistake."""
    tuned = _tuned(job, progress)
    tasks = {}
    for row, recording in enumerate(job.recordings):
        for kind in TARGETS:
            if kind == "masks" and not job.has_truth[row]:
                continue
            tasks[f"{kind}-{recording.name}"] = (_task(job, row, kind, tuned),)
    job.run(progress, "All methods on known vessels", "compare", judge_bed, tasks)
    rows, gains = [], []
    for kind, target in TARGETS.items():
        table = scores_table(job, kind)
        if len(table):
            rows += _rows(job, table, target)
            gains.append(_gains(job, table, target))
    write_table(job.path / "tables" / GAINS, pd.concat(gains, ignore_index=True) if gains else pd.DataFrame())
    job.folder.write_metrics("compare", rows)


def judged(job: AngiographyJob, recording: Recording, kind: BedKind) -> Arrays:
    """Return what was judged on one bed; empty where none could be made."""
    path = job.shards("compare") / f"{kind}-{recording.name}.npz"
    return job.shard("compare", path.stem) if path.is_file() else {}


def middle_grade(job: AngiographyJob) -> float:
    """Return the attenuation of the vessels on which methods are compared: the middle of those tried."""
    grades = job.config.trust.implant_attenuations
    return grades[len(grades) // 2]


def scores_table(job: AngiographyJob, kind: BedKind) -> pd.DataFrame:
    """Return the scores of all methods, one row a method and frame: recording, patient, method, frame, scores."""
    tables = []
    for recording in job.recordings:
        told = judged(job, recording, kind)
        for k in _methods(told):
            table = pd.DataFrame(told[f"scores-{k}"], columns=list(SCORES))
            false = told.get(f"false-{k}")
            table.insert(0, "frame", told["frames"])
            table.insert(0, "method", str(told[f"name-{k}"]))
            table.insert(0, "patient", recording.patient)
            table.insert(0, "recording", recording.name)
            table["without contrast"] = np.nan if false is None else false.mean()
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _methods(told: Arrays) -> list[int]:
    return sorted(int(name.removeprefix("name-")) for name in told if name.startswith("name-"))


def _task(job: AngiographyJob, row: int, kind: BedKind, tuned: Mapping[str, TunedFilters]) -> BedTask:
    recording = job.recordings[row]
    return BedTask(
        recording,
        job.config,
        kind,
        networks_for(job, row),
        grade=middle_grade(job),
        seed=job.seed("implants of the comparison", recording.name),
        tuned=tuned.get(job.network_of(row)) if kind == "masks" else None,
    )


def _tuned(job: AngiographyJob, progress: Progress) -> dict[str, TunedFilters]:
    """Tune the filters on the masks of each training part, where it has enough; by name of the fold's network."""
    jobs = {}
    for k, fold in enumerate(job.folds):
        masked = [job.recordings[row] for row in fold.train if job.has_truth[row]]
        if len(masked) >= _FEWEST_MASKED:
            jobs[f"fold-{k}"] = (masked, job.config)
    found = job.run(progress, "Filters tuned on training masks", "tuned", tune_filters, jobs) if jobs else {}
    return {
        name: {
            own.name: (tuple(float(scale) for scale in told[f"scales-{k}"]), float(told[f"threshold-{k}"]))
            for k, own in enumerate(all_filters())
        }
        for name, told in found.items()
    }


def _rows(job: AngiographyJob, table: pd.DataFrame, target: str) -> list[Metric]:
    rows = []
    for method, own in table.groupby("method", sort=False):
        for column, metric in _METRICS.items():
            rows.append(_row(str(method), target, metric, _mean(job, own, own[column].to_numpy()), own))
        if own["without contrast"].notna().any():
            interval = _mean(job, own, own["without contrast"].to_numpy())
            rows.append(_row(str(method), target, FREE, interval, own))
    known = table[table["method"] == NETWORK]  # which judges runs and single frames alike
    chance = _mean(job, known, known["prevalence"].to_numpy())
    rows.append(replace(_row("share of vessels", target, AP, chance, known), role="chance"))
    return sorted(rows, key=lambda row: row.metric != AP)


def _mean(job: AngiographyJob, own: pd.DataFrame, values: npt.NDArray[np.float64]) -> Interval:
    return mean_over_runs(
        values,
        own["recording"],
        own["patient"],
        n_draws=job.config.trust.n_bootstraps,
        random_state=job.seed("intervals"),
    )


def _row(method: str, target: str, metric: str, interval: Interval, own: pd.DataFrame) -> Metric:
    value, low, high = (None if not np.isfinite(end) else end for end in (interval.value, interval.low, interval.high))
    return Metric(target, metric, method, role_of(method), value, low=low, high=high, n=own["recording"].nunique())


def _gains(job: AngiographyJob, table: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return what our network has above every other method on the same frames, with intervals over patients."""
    keys = ["recording", "patient", "frame"]
    ours = table[table["method"] == NETWORK].set_index(keys)
    rows = []
    for method, other in table.groupby("method", sort=False):
        if method == NETWORK:
            continue
        for column in ("average_precision", "dice"):
            both = ours[[column]].join(other.set_index(keys)[[column]], lsuffix=" ours", how="inner").reset_index()
            difference = (both[f"{column} ours"] - both[column]).to_numpy()
            interval = _mean(job, both, difference)
            rows.append((target, method, _METRICS[column], interval.value, interval.low, interval.high))
    return pd.DataFrame(rows, columns=["target", "network less", "metric", "difference", "low", "high"])
