"""What the pictures of a run are drawn from, collected as arrays; of groups, never of one subject's volume."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.jobs import Arrays
from kotowari.core.runfolder import Metric
from kotowari.studies.brain.chance import main_metric
from kotowari.studies.brain.comparison import INTERNAL, external_name
from kotowari.studies.brain.data import planted_truth
from kotowari.studies.brain.explaining import in_box
from kotowari.studies.brain.gains import gains
from kotowari.studies.brain.grid import GRID
from kotowari.studies.brain.job import FINAL, BrainJob
from kotowari.studies.brain.maps.map_similarity import similarity_table
from kotowari.studies.brain.maps.planted_map import planted_regions
from kotowari.studies.brain.questions import Question
from kotowari.studies.brain.reasons import controls_of, occlusion_box, stability_of
from kotowari.studies.brain.reconstruction import RECONSTRUCTION
from kotowari.studies.brain.sites import site_pictures
from kotowari.studies.brain.synthetic import synthetic_pictures

__all__ = ["pictures", "shown_questions"]

_MOST_SHOWN = 4
_REGIONS_SHOWN = 12
_LEVEL = 0.05
_GUESS = {"r": 0.0, "AUC": 0.5, "C": 0.5}


def shown_questions(job: BrainJob) -> list[int]:
    """Return the numbers of the targets with maps in the report: those on their own scale first, up to four."""
    order = sorted(
        range(len(job.questions)),
        key=lambda k: (job.questions[k].target.transform != "none", job.questions[k].target.kind == "several"),
    )
    return sorted(order[:_MOST_SHOWN])


def pictures(job: BrainJob) -> Arrays:
    """Collect what the figures are drawn from."""
    store = job.store
    found: Arrays = {
        "map_affine": store.box_grid.affine,
        "mask": store.mask,
        "template": job.mean_brain,
        "quality_row": np.arange(1, len(store) + 1),
        "quality_unit": np.array("ml"),
    }
    quality = job.kept("quality")
    found |= {
        "quality_correlation": quality["likeness"],
        "quality_grey_matter": quality["grey_matter_ml"],
        "quality_outlier": quality["outlying"],
    }
    found |= _maps(job) | _regions(job) | _training(job) | _predictions(job) | _scores(job) | _gains(job)
    found |= _reconstruction(job) | site_pictures(job) | synthetic_pictures(job)
    if (job.path / "tables" / GRID).exists():
        found |= _grid(job)
    if job.holds("null"):
        found |= _chance(job)
    first = next((k for k in shown_questions(job) if job.questions[k].in_patients), 0)
    stability = stability_of(job, first)
    found["frequency"] = stability.frequency
    found["n_selections"] = np.array(len(job.first_folds))
    index = stability.selection
    found["stability"] = np.array([index.index, index.low, index.high])
    if job.holds("implants"):
        found |= job.kept("implants")
    return found


def _maps(job: BrainJob) -> Arrays:
    shown, part = shown_questions(job), job.shard("regions", FINAL)
    controls = [controls_of(job, k) for k in shown]
    planes = {
        "untrained network": [in_box(job.atlas, part[f"untrained-{k}"]) for k in shown],
        "shuffled target": [in_box(job.atlas, part[f"ranking-{k}"][1]) for k in shown],
        "mean grey matter": [job.mean_brain for _ in shown],
        "smoothed voxels, GLM": [job.shard("glm", f"question-{k}")["glm-t"] for k in shown],
    }
    tables = [
        similarity_table(
            occlusion_box(job, k),
            {name: own[place] for name, own in planes.items()},
            job.store.mask & (job.atlas.labels > 0),
            voxel_mm=job.store.grid.voxel_mm,
        )
        for place, k in enumerate(shown)
    ]
    significant = [
        in_box(job.atlas, own.regions.p <= _LEVEL) > 0
        if own.regions is not None
        else np.zeros(job.store.mask.shape, bool)
        for own in controls
    ]
    found: Arrays = {
        "map_targets": np.array([job.questions[k].name for k in shown]),
        "map_values": np.stack([occlusion_box(job, k) for k in shown]),
        "map_units": np.array([_unit(job.questions[k]) for k in shown]),
        "map_method": np.array("occlusion by region"),
        "map_significant": np.stack(significant),
        "map_stamp": np.array([own.stamp for own in controls]),
        "control_names": np.array(list(planes)),
        "control_maps": np.stack([np.stack(own) for own in planes.values()], axis=1).astype(np.float32),
        "control_spearman": np.stack([table["spearman"].to_numpy(np.float64) for table in tables]),
        "control_overlap": np.stack([table["top_overlap"].to_numpy(np.float64) for table in tables]),
        "control_sharp": np.stack([table["spearman_high_pass"].to_numpy(np.float64) for table in tables]),
    }
    if job.config.data.volumes == "phantom":
        truth = [planted_truth(job.config, job.questions[k].name, job.store) for k in shown]
        empty = np.zeros(job.store.mask.shape, bool)
        found["map_truth"] = np.stack([empty if own is None else own for own in truth])
    return found


def _unit(question: Question) -> str:
    return f"change of the score of {question.name}, over the root of the region's voxels"


def _regions(job: BrainJob) -> Arrays:
    tables = []
    for k in shown_questions(job):
        name = job.questions[k].name
        table = pd.read_csv(job.path / "tables" / f"regions-{job.file_word(name)}.csv").head(_REGIONS_SHOWN)
        table["planted"] = _planted(job, name, table["label"].to_numpy())
        tables.append(table.assign(target=name))
    joined = pd.concat(tables, ignore_index=True)
    found: Arrays = {
        "region_target": joined["target"].to_numpy(str),
        "region_name": joined["name"].to_numpy(str),
        "region_strength": joined["strength"].to_numpy(np.float64),
        "region_sign": joined["sign"].map({"+": 1, "-": -1, "0": 0}).to_numpy(np.int64),
        "region_frequency": joined["selection_frequency"].to_numpy(np.float64),
    }
    if job.config.data.volumes == "phantom":
        found["region_planted"] = joined["planted"].to_numpy(bool)
    if "p" in joined:
        found["region_p"] = joined["p"].to_numpy(np.float64)
    return found


def _planted(job: BrainJob, name: str, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which regions hold a planted effect in half of their voxels or more."""
    truth = planted_truth(job.config, name, job.store) if job.config.data.volumes == "phantom" else None
    if truth is None:
        return np.zeros(len(labels), dtype=bool)
    planted, _ = planted_regions(np.zeros(truth.shape), truth, job.atlas.labels)
    return planted[np.searchsorted(job.atlas.numbers, labels)]


def _training(job: BrainJob) -> Arrays:
    names = [*job.fold_names, FINAL]
    parts = [job.encoded(name) for name in names]
    longest = max(len(part["train_loss"]) for part in parts)
    principal = [job.shard("components", name)["mae"].mean() for name in job.fold_names]
    mean = [part["mean_mae"][fold.test].mean() for part, fold in zip(parts, job.first_folds, strict=False)]
    found: Arrays = {
        "training_fits": np.array([*(f"fold {k + 1}" for k in range(len(job.first_folds))), "all internal subjects"]),
        "training_final": np.array(len(names) - 1),
        "training_share": _padded([part["train_loss"] for part in parts], longest),
        "pca_share": np.array(float(np.mean(principal) / np.mean(mean))),
    }
    if all(len(part["validation_loss"]) for part in parts):
        found["validation_share"] = _padded([part["validation_loss"] for part in parts], longest)
    return found


def _padded(rows: list[npt.NDArray[np.float64]], n: int) -> npt.NDArray[np.float64]:
    return np.stack([np.concatenate([row, np.full(n - len(row), np.nan)]) for row in rows])


def _predictions(job: BrainJob) -> Arrays:
    """Return truth and prediction of every target that is one number on its own scale."""
    asked = [one for one in job.questions if one.target.kind == "number" and one.target.transform == "none"]
    tables = [pd.read_csv(job.path / "tables" / f"predictions-{job.file_word(one.name)}.csv") for one in asked]
    if not tables:
        return {}
    joined = pd.concat([table.assign(place=k) for k, table in enumerate(tables)], ignore_index=True)
    inside = joined[joined["where"] == INTERNAL]
    beyond = joined[joined["where"] != INTERNAL]
    found: Arrays = {
        "predicted_targets": np.array([one.name for one in asked]),
        "fold_target": inside["place"].to_numpy(),
        "fold_true": inside["truth"].to_numpy(np.float64),
        "fold_predicted": inside["prediction"].to_numpy(np.float64),
    }
    if len(beyond):
        found |= {
            "external_site": np.array(", ".join(job.config.cohort.external_sites)),
            "external_target": beyond["place"].to_numpy(),
            "external_true": beyond["truth"].to_numpy(np.float64),
            "external_predicted": beyond["prediction"].to_numpy(np.float64),
        }
    return found


def _scores(job: BrainJob) -> Arrays:
    rows = [*job.folder.metrics("fit"), *job.folder.metrics("compare")]
    metric = {question.name: main_metric(question) for question in job.questions}
    own = [row for row in rows if row.metric == metric.get(row.target)]
    beyond = {
        (row.target, row.model): row
        for row in rows
        for name, word in metric.items()
        if row.target == external_name(name) and row.metric == word
    }
    there = [beyond.get((external_name(row.target), row.model)) for row in own]
    return {
        "score_target": np.array([row.target for row in own]),
        "score_model": np.array([row.model for row in own]),
        "score_role": np.array([row.role for row in own]),
        "score_metric": np.array([row.metric for row in own]),
        "score_chance": np.array([_GUESS[row.metric] for row in own]),
        **{f"score_{end}": _ends(own, end) for end in ("value", "low", "high")},
        "score_external": _ends(there, "value"),
        "score_external_low": _ends(there, "low"),
        "score_external_high": _ends(there, "high"),
    }


def _ends(rows: list[Metric | None] | list[Metric], end: str) -> npt.NDArray[np.float64]:
    values = [None if row is None else getattr(row, end) for row in rows]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _gains(job: BrainJob) -> Arrays:
    table = gains(job)
    own_scale = {question.name for question in job.questions if question.target.transform == "none"}
    table = table[(table["where"] == INTERNAL) & table["target"].isin(own_scale)]
    metric = {question.name: main_metric(question) for question in job.questions}
    return {
        "gain_target": table["target"].to_numpy(str),
        "gain_name": ("less " + table["ours less"]).to_numpy(str),
        "gain_metric": np.array([metric[name] for name in table["target"]]),
        "gain_value": table["difference"].to_numpy(np.float64),
        "gain_low": table["low"].to_numpy(np.float64),
        "gain_high": table["high"].to_numpy(np.float64),
    }


def _reconstruction(job: BrainJob) -> Arrays:
    rows = [row for row in job.folder.metrics("compare") if row.target == RECONSTRUCTION]
    kept = job.shard("means", FINAL)
    return {
        "reconstruction_mean": kept["mean"],
        "reconstruction_error": kept["error"],
        "reconstruction_of": np.array("all internal subjects, which were learned from"),
        "reconstruction_names": np.array([row.model for row in rows]),
        "reconstruction_role": np.array([row.role for row in rows]),
        "reconstruction_mae": _ends(rows, "value"),
        "reconstruction_low": _ends(rows, "low"),
        "reconstruction_high": _ends(rows, "high"),
    }


def _grid(job: BrainJob) -> Arrays:
    table = pd.read_csv(job.path / "tables" / GRID)
    names = [question.name for question in job.questions if question.name in table]
    return {
        "grid_blocks": table["blocks"].to_numpy(np.int64),
        "grid_channels": table["channels"].to_numpy(np.int64),
        "grid_mae": table["MAE over mean brain"].to_numpy(np.float64)[:, None],
        "grid_targets": np.array(names),
        "grid_r": np.stack([table[name].to_numpy(np.float64)[:, None] for name in names]),
    }


def _chance(job: BrainJob) -> Arrays:
    kept, table = job.kept("null"), pd.read_csv(job.path / "tables" / "chance.csv")
    names = [question.name for question in job.questions]
    own = table.iloc[[int(np.flatnonzero(table["target"] == name)[0]) for name in names]]
    return {
        "tested_targets": np.array(names),
        "tested_metric": np.array([main_metric(question) for question in job.questions]),
        "tested_null": kept["values"].T,
        "tested_observed": kept["observed"],
        "tested_p": own["p"].to_numpy(np.float64),
        "tested_p_family": own["p_family"].to_numpy(np.float64),
    }
