"""On simulated brains: whether the maps show where the effects were planted, beside the maps of the controls."""

import numpy as np
import pandas as pd

from kotowari.core.page import write_table
from kotowari.studies.brain.data import planted_truth
from kotowari.studies.brain.explaining import in_box
from kotowari.studies.brain.job import FINAL, BrainJob
from kotowari.studies.brain.maps.planted_map import planted_map_scores

__all__ = ["PLANTED", "score_planted"]

PLANTED = "planted.csv"
_MAPS = {
    "smoothed_gradient": "smoothed gradient",
    "untrained smoothed_gradient": "CONTROL smoothed gradient, untrained network",
    "gradient": "gradient",
    "gradient_times_input": "gradient x input",
    "smoothgrad": "SmoothGrad",
    "integrated_gradients": "integrated gradients",
}


def score_planted(job: BrainJob) -> None:
    """Write ``tables/planted.csv``: average precision of each kind of map beside its chance level, a row a target."""
    rows = []
    for number, question in enumerate(job.questions):
        truth = planted_truth(job.config, question.name, job.store)
        if truth is None or not truth.any():
            continue
        regions, voxels = job.shard("regions", FINAL), job.shard("voxels", f"question-{number}")
        plain = job.shard("glm", f"question-{number}")
        maps = {
            "occlusion by region": in_box(job.atlas, regions[f"ranking-{number}"][0]),
            **{told: voxels[name] for name, told in _MAPS.items() if name in voxels},
            "smoothed voxels, GLM": plain["glm-t"],
            "CONTROL occlusion, untrained network": in_box(job.atlas, regions[f"untrained-{number}"]),
            "CONTROL mean grey matter": job.mean_brain,
        }
        if "pattern" in plain:
            maps["pattern of held-out predictions"] = plain["pattern"]
        for name, values in maps.items():
            found = planted_map_scores(
                np.asarray(values, np.float64),
                truth,
                job.store.mask,
                voxel_mm=job.store.grid.voxel_mm,
                labels=job.atlas.labels,
            )
            rows.append({"target": question.name, "map": name, **found})
    if rows:
        write_table(job.path / "tables" / PLANTED, pd.DataFrame(rows))
