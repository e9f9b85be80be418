"""What the pictures of a run are drawn from, collected as arrays."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.jobs import Arrays
from kotowari.core.runfolder import Metric
from kotowari.studies.genenet.guard import GENES_ROW
from kotowari.studies.genenet.job import OURS, GenenetJob
from kotowari.studies.genenet.preparation import columns_of
from kotowari.studies.genenet.reasons import CONTRIBUTIONS, shown_samples
from kotowari.trust.comparators import OutOfFold

__all__ = ["pictures"]

_EDGES_DRAWN, _TOP_CONTRIBUTIONS, _HUBS, _COURSES = 300, 20, 12, 6


def pictures(job: GenenetJob) -> Arrays:
    """Collect what the figures are drawn from."""
    stack, axis = job.networks, columns_of(job.axis)[:, 0]
    found: Arrays = {
        "samples": np.array(stack.samples),
        "modulator": axis,
        "modulator_name": np.array(job.modulator_name),
        "effective_samples": np.median(job.profiler.effective_samples_, axis=1),
        "shown_samples": np.array(shown_samples(job)),
    }
    targets = job.kept("targets")
    found |= {name: targets[name] for name in ("target_models", "target_scores")}
    table = pd.read_csv(job.path / "tables" / "edges.csv")
    if len(table):
        found |= _edge_pictures(job, table.head(_EDGES_DRAWN)) | _hub_pictures(job)
    if job.predicts:
        found |= _prediction_pictures(job)
    for name in ("halves", "stability", "implants", "knock"):
        if job.holds(name):
            found |= job.kept(name)
    return found


def _edge_pictures(job: GenenetJob, table: pd.DataFrame) -> Arrays:
    """Return the drawn edges with their coefficients in every sample, and the courses of the first ones."""
    stack = job.networks
    regulators = {name: k for k, name in enumerate(stack.regulators)}
    targets = {name: k for k, name in enumerate(stack.targets)}
    regulator = np.array([regulators[name] for name in table["regulator"]])
    target = np.array([targets[name] for name in table["target"]])
    values = _coefficients(job, regulator, target)
    found: Arrays = {
        "regulators": np.array(stack.regulators),
        "targets": np.array(stack.targets),
        "edge_regulator": regulator,
        "edge_target": target,
        "edge_values": values,
        "edge_change": table["change"].to_numpy(np.float64),
        "edge_p": table["p"].to_numpy(np.float64),
        "edge_frequency": table["frequency"].to_numpy(np.float64),
    }
    courses = job.path / "tables" / "courses.csv"
    if courses.exists():
        found |= _course_pictures(job, pd.read_csv(courses), table)
    return found


def _coefficients(
    job: GenenetJob, regulator: npt.NDArray[np.intp], target: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Return coefficients of named edges in all samples, in sd of the target for one sd of the regulator."""
    stack = job.networks
    listed = stack.edge_list()
    unit = job.X.std(ddof=0)
    wanted = regulator * len(stack.targets) + target
    there = listed.regulator.astype(np.int64) * len(stack.targets) + listed.target
    column = {int(cell): k for k, cell in enumerate(there)}
    values = np.zeros((len(stack.samples), len(wanted)))
    for k, cell in enumerate(wanted):
        if int(cell) in column:  # an edge that exists over a path alone has no coefficient
            values[:, k] = np.asarray(listed.values[:, [column[int(cell)]]].todense()).ravel()
    source = unit[np.array(stack.regulators)[regulator]].to_numpy()
    return np.asarray(values * source / unit[np.array(stack.targets)[target]].to_numpy())


def _course_pictures(job: GenenetJob, courses: pd.DataFrame, table: pd.DataFrame) -> Arrays:
    """Return the courses of the first edges, in sd of the target for one sd of the regulator."""
    first = list(table[["regulator", "target"]].head(_COURSES).itertuples(index=False, name=None))
    own = [courses[(courses["regulator"] == a) & (courses["target"] == b)] for a, b in first]
    kept = [k for k, rows in enumerate(own) if len(rows)]
    if not kept or "modulator" not in courses:
        return {}
    sd = job.X.std(ddof=0)
    unit = np.array([[sd[first[k][0]] / sd[first[k][1]]] for k in kept])
    columns = {"course_value": "estimate", "course_low": "percentile_low", "course_high": "percentile_high"}
    return {
        "course_edges": np.array(kept),
        "course_places": own[kept[0]]["modulator"].to_numpy(np.float64),
        **{name: unit * [own[k][column].to_numpy(np.float64) for k in kept] for name, column in columns.items()},
    }


def _hub_pictures(job: GenenetJob) -> Arrays:
    """Return how many edges the largest hubs have in each third of the samples along the modulator."""
    stack = job.networks
    hubs = stack.hubs()
    names = hubs[hubs["side"] == "regulators"]["gene"].head(_HUBS).tolist()
    place = [stack.regulators.index(name) for name in names]
    listed = stack.edge_list()
    out = np.zeros((len(stack.samples), len(names)))
    for k, regulator in enumerate(place):
        own = np.flatnonzero(listed.regulator == regulator)
        out[:, k] = np.asarray((listed.values[:, own] != 0).sum(axis=1)).ravel()
    thirds = np.array_split(np.argsort(columns_of(job.axis)[:, 0], kind="stable"), 3)
    return {"hub_names": np.array(names), "hub_out": np.array([out[rows].mean(0) for rows in thirds]).T}


def _prediction_pictures(job: GenenetJob) -> Arrays:
    rows = _guard_rows(job)
    kept, verdict = job.kept(CONTRIBUTIONS), job.kept("verdict")
    first = slice(0, min(_TOP_CONTRIBUTIONS, kept["values"].shape[1]))
    found: Arrays = {
        "response_name": np.array(job.response_name),
        "target": np.array(job.response_name),
        "classes": np.array(job.samples.classes, dtype=str),
        "guard_names": np.array([row.model for row in rows]),
        "guard_role": np.array([row.role for row in rows]),
        **{
            f"guard_{end}": np.array([getattr(row, end) for row in rows], dtype=np.float64)
            for end in ("value", "low", "high")
        },
        "guard_metric": np.array(job.main_metric),
        "guard_predicts": verdict["predicts"],
        "guard_sentence": verdict["sentence"],
        "contribution_names": np.array(
            [f"{a} -> {b}" for a, b in zip(kept["regulator"][first], kept["target"][first], strict=True)]
        ),
        "contribution_mean": kept["mean"][first],
        "contribution_importance": kept["importance"][first],
        "contribution_p": kept["p"][first],
        "contribution_samples": kept["values"][:, first].astype(np.float64),
    }
    said = job.out_of_fold(job.fit_parts(), job.first_folds)
    found["row_samples"] = said.rows
    if said.probability is not None:
        found |= {"truth_codes": job.samples.codes[said.rows], "out_of_fold": said.probability}
    elif job.task == "survival":
        found |= {
            "survival_time": job.y[said.rows, 0],
            "survival_event": job.y[said.rows, 1],
            "survival_score": _beside_its_fold(said),
        }
    else:
        found |= {"truth_values": job.y[said.rows], "predicted_values": said.prediction}
    if job.holds("null"):
        null = job.kept("null")
        found |= {
            "null_values": null[job.main_metric],
            "observed_value": null[f"observed {job.main_metric}"],
            "null_metric": np.array(job.main_metric),
        }
    return found


def _beside_its_fold(said: OutOfFold) -> npt.NDArray[np.float64]:
    """Return log hazards less the median of their fold: two fits need not have one scale."""
    hazard = pd.Series(said.prediction)
    return np.asarray(hazard - hazard.groupby(said.fold).transform("median"), dtype=np.float64)


def _guard_rows(job: GenenetJob) -> list[Metric]:
    """Return every row on the response in the main metric: ours first, then what it is held against."""
    rows = [
        row
        for row in job.folder.metrics()
        if row.target == job.response_name and row.metric == job.main_metric and row.low is not None
    ]
    return sorted(rows, key=lambda row: (row.model != OURS, row.model == GENES_ROW))
