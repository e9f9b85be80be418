"""What goes into the brain study: volumes in one store, participants, and what is asked of whom."""

from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import RunFolderError
from kotowari.core.files import fingerprint
from kotowari.core.progress import Progress
from kotowari.formats.nifti import write_nifti
from kotowari.studies.brain.config import Config
from kotowari.studies.brain.model.atlas import Atlas
from kotowari.studies.brain.model.volume_store import VolumeStore
from kotowari.studies.brain.participants import Cohort, participants_path, read_cohort
from kotowari.studies.brain.phantom import BrainGenerator, simulate_brains
from kotowari.studies.brain.phantom_grid import brain_grid
from kotowari.studies.brain.phantom_participants import participants_table
from kotowari.studies.brain.phantom_regions import parcel_names, parcellate
from kotowari.studies.brain.questions import LOG_SUFFIX, external_rows

__all__ = ["build_store", "lay_atlas", "new_cohort", "planted_truth", "read_brains", "read_inputs"]

BoolArray = npt.NDArray[np.bool_]

_FINEST_MM, _COARSEST_MM = 1.0, 12.0


def read_brains(config: Config) -> Cohort:
    """Return the participants, with the path of each volume; simulated ones have no paths."""
    if config.data.volumes == "phantom":
        generator = _generator(config)
        table, _ = participants_table([generator.participant(k) for k in range(config.phantom.n_subjects)])
        table.index = pd.Index([name.removeprefix("sub-") for name in table.pop("participant_id")])
        return Cohort(table, (), "simulated participants", ())
    return read_cohort(
        Path(config.data.volumes),
        config.data.participants,
        layout=config.data.layout,
        pattern=config.data.pattern,
        session=config.data.session,
        unmatched=config.data.unmatched,
    )


def new_cohort(source: Path, participants: Path | None, config: Config) -> Cohort:
    """Return new participants for a finished model, whose volumes lie as those of the run or in a table of paths."""
    own = config.data
    layout = "table" if source.is_file() else "auto" if own.layout == "table" else own.layout
    return read_cohort(
        source, participants, layout=layout, pattern=own.pattern, session=own.session, unmatched=own.unmatched
    )


def read_inputs(config: Config) -> list[dict[str, str | int]]:
    """Return the fingerprints of the small input files; those of the volumes stand in the store."""
    data = config.data
    named: list[Any] = [data.mask, data.atlas, data.atlas_names]
    if data.volumes != "phantom":
        source = Path(data.volumes)
        named += [participants_path(source, data.participants), source]
    return [fingerprint(path) for path in dict.fromkeys(named) if isinstance(path, Path) and not path.is_dir()]


def build_store(config: Config, cohort: Cohort, folder: Path, progress: Progress) -> VolumeStore:
    """Put all volumes into one store, or open it where it stands; the mask is that of the internal subjects."""
    if config.data.volumes == "phantom":
        rmtree(folder, ignore_errors=True)  # of a start that was stopped or refused, perhaps of other subjects
        own = config.phantom
        brains = simulate_brains(own.n_subjects, seed=own.seed, voxel_mm=own.voxel_mm, plants=own.plants)
        return VolumeStore.from_arrays(
            list(brains.volumes), brains.mask, brains.affine, folder, subjects=cohort.subjects
        )
    stood = (folder / "store.json").is_file()
    try:
        return _build_from_files(config, cohort, folder, progress)
    except RunFolderError:
        if not stood:
            raise
        rmtree(folder)  # of a start that was refused after its volumes were read, and that had others
        return _build_from_files(config, cohort, folder, progress)


def _build_from_files(config: Config, cohort: Cohort, folder: Path, progress: Progress) -> VolumeStore:
    inside = ~external_rows(config, cohort)
    makes_mask = [name for name, own in zip(cohort.subjects, inside, strict=True) if own]
    with progress.bar("Volumes into one store", len(cohort.paths)) as advance:
        return VolumeStore.build(
            cohort.paths,
            config.data.mask,
            folder,
            subjects=cohort.subjects,
            threshold=config.data.mask_threshold,
            mask_subjects=None if config.data.mask else makes_mask,
            resample=config.data.resample,
            workers=config.workers,
            advance=advance,
        )


def lay_atlas(config: Config, store: VolumeStore, folder: Path) -> Atlas:
    """Lay the atlas onto the store; the packaged parcels are written to ``folder`` first."""
    if isinstance(config.data.atlas, Path):
        return Atlas.read(config.data.atlas, config.data.atlas_names, store)
    grid = brain_grid(float(np.clip(min(store.grid.voxel_mm), _FINEST_MM, _COARSEST_MM)))
    path = folder / "parcels.nii.gz"
    write_nifti(path, parcellate(grid), grid.affine)
    return Atlas.read(path, dict(enumerate(parcel_names(), start=1)), store)


def planted_truth(config: Config, target: str, store: VolumeStore) -> BoolArray | None:
    """Return where a target acts in simulated brains, shape of the box; None for what was not planted.

    The positive score is correlated with the dose, so the places of both are its truth.
    """
    name = target.removesuffix(LOG_SUFFIX)
    scores = {"positive": {"positive", "dose"}}.get(name, {name})
    truth = np.zeros(store.shape, dtype=bool)
    for effect in _generator(config).effects.planted:
        if effect.score in scores:
            truth |= effect.truth
    return truth[store.box] & store.mask if truth.any() else None


def _generator(config: Config) -> BrainGenerator:
    own = config.phantom
    return BrainGenerator(seed=own.seed, voxel_mm=own.voxel_mm, plants=own.plants)
