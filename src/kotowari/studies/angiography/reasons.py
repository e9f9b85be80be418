"""Why: branches of vessels with length, radius and time of arrival, in every recording; and all files of it."""

from pathlib import Path

import numpy as np
import pandas as pd

from kotowari.core.jobs import Arrays
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.studies.angiography.config import Config
from kotowari.studies.angiography.data import load
from kotowari.studies.angiography.job import AngiographyJob
from kotowari.studies.angiography.layers import Layers
from kotowari.studies.angiography.model.enhancer import VesselEnhancer
from kotowari.studies.angiography.networks import seed_folder
from kotowari.studies.angiography.products import make_products, write_products
from kotowari.studies.angiography.sources import Recording
from kotowari.training.devices import one_thread

__all__ = ["BRANCHES", "tell_recording", "tell_vessels"]

BRANCHES = "branches.csv"


def tell_vessels(job: AngiographyJob, progress: Progress) -> None:
    """Write ``maps/`` and the table of branches; each map is of a network that never saw the patient."""
    names = {recording.name for recording in job.runs}
    jobs = {}
    for row, recording in enumerate(job.recordings):
        layers = job.shards("layers") / f"{recording.name}.npz" if recording.name in names else None
        network = job.network_folder(job.network_of(row))
        others = [seed_folder(job, number) for number in range(1, job.config.trust.n_seeds)]
        jobs[recording.name] = (recording, job.config, network, others, layers, job.path)
    job.run(progress, "Maps, centrelines and files", "products", tell_recording, jobs)
    write_table(job.path / "tables" / BRANCHES, _branches(job))


def tell_recording(
    recording: Recording, config: Config, network: Path, others: list[Path], layers: Path | None, folder: Path
) -> Arrays:
    """Write what is found in one recording.

    Parameters
    ----------
    recording, config
        Which one.
    network
        That never saw its patient.
    others
        Networks of other seeds, for how stable each branch is.
    layers
        What :func:`kotowari.studies.angiography.fitting.separate_recording` left; None for single frames.
    folder
        The run folder.

    Returns
    -------
    dict
        As of :func:`kotowari.studies.angiography.products.write_products`; ``overlap``, the Dice of the masks of each
        other seed with ours over all frames; ``control-<k>``, the map of the fullest frame by each.
    """
    with one_thread():
        run = load(recording, config).run
        parted = None if layers is None else Layers.read(layers)
        products = make_products(run, VesselEnhancer.load(network), parted, config)
        told = write_products(products, folder / "maps", folder / "tables", config)
        overlaps = []
        for other in others:
            again = make_products(run, VesselEnhancer.load(other), parted, config).found
            both = 2 * int((again & products.found).sum())
            all_of = int(again.sum() + products.found.sum())
            overlaps.append(both / all_of if all_of else 1.0)
        return told | {"overlap": np.array(overlaps)}


def _branches(job: AngiographyJob) -> pd.DataFrame:
    tables = []
    for recording in job.recordings:
        table = pd.read_csv(job.path / "tables" / f"{recording.name}-branches.csv")
        table.insert(0, "recording", recording.name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
