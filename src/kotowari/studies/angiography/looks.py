"""What each recording is, as a table and as arrays."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kotowari.core.jobs import Arrays
from kotowari.studies.angiography.job import AngiographyJob

__all__ = ["facts_of", "notes_of", "recordings_table"]


def facts_of(looked: Mapping[str, Arrays]) -> Arrays:
    """Return what later stages ask of all recordings, one entry each."""
    return {
        name: np.array([own[name] for own in looked.values()])
        for name in ("n_frames", "shape", "n_free", "has_truth", "frame_s", "pixel_mm", "field_share")
    }


def recordings_table(job: AngiographyJob, looked: Mapping[str, Arrays]) -> pd.DataFrame:
    """Return one row a recording; no name of a file, which may be that of a patient."""
    rows = []
    for recording in job.recordings:
        own = looked[recording.name]
        low, middle, high = own["attenuation"].tolist()
        rows.append(
            {
                "recording": recording.name,
                "patient": recording.patient,
                "frames": int(own["n_frames"]),
                "height": int(own["shape"][0]),
                "width": int(own["shape"][1]),
                "seconds a frame": float(own["frame_s"]),
                "mm a pixel": float(own["pixel_mm"]),
                "field of view": float(own["field_share"]),
                "frames without contrast": int(own["n_free"]),
                "masks": bool(own["has_truth"]),
                "attenuation 1 %": low,
                "attenuation 50 %": middle,
                "attenuation 99 %": high,
                "notes": " ".join(str(note) for note in own["notes"]),
            }
        )
    return pd.DataFrame(rows)


def notes_of(job: AngiographyJob) -> list[str]:
    """Return what was decided of the recordings on reading, each sentence once, with how many it is said of."""
    found: dict[str, int] = {}
    for recording in job.recordings:
        for note in job.shard("looks", recording.name)["notes"]:
            found[str(note)] = found.get(str(note), 0) + 1
    return [note if n == 1 else f"{note} ({n} recordings)" for note, n in found.items()]
