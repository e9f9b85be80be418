"""A finished network on new runs and frames."""

from pathlib import Path

import pandas as pd

from kotowari.core.errors import InputError
from kotowari.core.files import fingerprint
from kotowari.core.page import write_table
from kotowari.core.runfolder import RunFolder
from kotowari.studies.angiography.data import run_of
from kotowari.studies.angiography.job import AngiographyJob, open_job
from kotowari.studies.angiography.layers import separate
from kotowari.studies.angiography.model.enhancer import VesselEnhancer
from kotowari.studies.angiography.products import make_products, write_products
from kotowari.studies.angiography.sources import Recording, find_recordings

__all__ = ["apply"]


def apply(folder: RunFolder, table: Path, out: Path, annotations: Path | None = None) -> Path:
    """Enhance the vessels of new recordings with the final network of a run.

    Parameters
    ----------
    folder
        The run.
    table
        A recording, a folder of recordings, or a table of paths, as the run takes them.
    out
        Folder for the files of each recording (as in ``maps/`` and ``tables/`` of a run) and ``vessels.csv``.
    annotations
        Refused: a network reads frames alone.

    Raises
    ------
    InputError
        When the run has no network yet, or a recording cannot be read or was learned from.
    """
    if annotations is not None:
        raise InputError(f"{annotations}: the angiography study reads frames alone. Leave it out.")
    job = open_job(folder)
    if folder.stage_state("fit") != "done":
        raise InputError(f"{folder.path}: has no network yet. Finish it by `kotowari resume {folder.path}`.")
    data = job.config.data.model_copy(update={"runs": table, "mask_suffix": None, "pattern": "*"})
    recordings = find_recordings(data)
    _require_strangers(job, recordings)
    network = VesselEnhancer.load(job.network_folder())
    rows = []
    for recording in recordings:
        run = run_of(recording.name, recording.paths, data)
        is_run = len(run.frames) >= data.min_run_frames
        layers = separate(run.frames, run.field, job.config.separation) if is_run else None
        told = write_products(make_products(run, network, layers, job.config), out / "maps", out / "tables", job.config)
        rows.append(
            {
                "recording": recording.name,
                "frames": len(run.frames),
                "fullest frame": int(told["fullest"]),
                "share called vessel there": float(told["share"][int(told["fullest"])]),
                "branches": int(told["n_branches"]),
                "length, px": float(told["length_px"]),
                "vessels as wide as learned": _is_alike(network, run.field.shape),
                "notes": " ".join(run.notes),
            }
        )
    write_table(out / "vessels.csv", pd.DataFrame(rows))
    return out / "vessels.csv"


def _is_alike(network: VesselEnhancer, shape: tuple[int, ...]) -> bool:
    """Whether pictures have about the size that the network learned from, and with it vessels their width."""
    scale = min(shape) / 300
    return bool(0.5 <= scale / network.scale_ <= 2)


def _require_strangers(job: AngiographyJob, recordings: tuple[Recording, ...]) -> None:
    """Refuse a recording that the network learned from: what it says there is no proof of anything."""
    own = {str(entry["sha256"]) for entry in job.folder.record["inputs"]}
    known = [one for one in recordings if any(fingerprint(path)["sha256"] in own for path in one.paths)]
    if known:
        raise InputError(
            f"{known[0].paths[0].name} ({len(known)} in all) is among the recordings of the run. Leave it out; its "
            f"maps stand in {job.path / 'maps'}."
        )
