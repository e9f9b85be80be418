"""What could have been found: vessels put into these very frames, as much contrast as it takes to see them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kotowari.core.evidence import Check
from kotowari.core.progress import Progress
from kotowari.studies.angiography.beds import Bed, implanted_bed
from kotowari.studies.angiography.comparison import judged
from kotowari.studies.angiography.config import Config
from kotowari.studies.angiography.data import load
from kotowari.studies.angiography.job import AngiographyJob
from kotowari.studies.angiography.layers import separate, shown_to
from kotowari.studies.angiography.model.enhancer import VesselEnhancer
from kotowari.studies.angiography.ranking import ranking_scores
from kotowari.studies.angiography.sources import Recording
from kotowari.training.devices import one_thread
from kotowari.trust.implants import detection_limit, run_implants

__all__ = ["FOUND_AP", "FindVessels", "PlantVessels", "implant_check"]

FOUND_AP = 0.5


@dataclass(frozen=True)
class PlantVessels:
    """Plant a tree into one of the recordings, drawn at random among those that have a place for it."""

    recordings: Sequence[Recording]
    config: Config

    def __call__(self, grade: float, rng: np.random.Generator) -> tuple[Bed, int]:
        """Return the bed, and which recording it was made of."""
        seed = int(rng.integers(2**31))
        number = int(rng.integers(len(self.recordings)))
        bed = implanted_bed(load(self.recordings[number], self.config).run, self.config, grade, seed)
        if bed is None:  # beds were tried before, at another grade
            raise RuntimeError(self.recordings[number].name)
        return bed, number


@dataclass(frozen=True)
class FindVessels:
    """Look for planted vessels by the network that never saw the patient."""

    networks: Sequence[Path]
    config: Config

    def __call__(self, bed: Bed, number: int) -> float:
        """Return the average precision in the frame that shows most of the tree; 0 where there is none."""
        with one_thread():
            if not len(bed.known):
                return 0.0
            place = int(bed.truth.sum((1, 2)).argmax())
            frame = int(bed.known[place])
            enhancer = VesselEnhancer.load(self.networks[number])
            is_run = len(bed.frames) >= self.config.data.min_run_frames
            layers = separate(bed.frames, bed.field, self.config.separation) if is_run else None
            shown = shown_to(enhancer, bed.frames, layers)
            first = max(0, frame + 1 - enhancer.n_frames)
            values = enhancer.enhance(shown[first : frame + 1], bed.field)[-1]
            truth = bed.truth[place] & bed.field
            return ranking_scores(values[truth], values[bed.field & ~truth])[1]


def implant_check(job: AngiographyJob, progress: Progress) -> Iterator[Check]:
    """Plant graded vessels, and tell from which attenuation on they are found."""
    trust = job.config.trust
    if not trust.implant_repeats:
        return
    rows = [row for row, recording in enumerate(job.recordings) if judged(job, recording, "implants")]
    if not rows:
        yield Check.not_applicable(
            "detection limit",
            "No run has enough frames before contrast to put vessels into. Name them in data.contrast_free, or record "
            "a second before the injection.",
        )
        return
    plant = PlantVessels([job.recordings[row] for row in rows], job.config)
    analyse = FindVessels([job.network_folder(job.network_of(row)) for row in rows], job.config)
    with progress.bar(
        "Vessels put into the frames", len(trust.implant_attenuations) * trust.implant_repeats
    ) as advance:
        found = run_implants(
            plant,
            analyse,
            trust.implant_attenuations,
            n_repeats=trust.implant_repeats,
            random_state=job.seed("implants"),
            shards=job.shards("implants"),
            workers=job.config.workers,
            advance=advance,
        )
    limit = detection_limit(trust.implant_attenuations, found >= FOUND_AP)
    job.keep("implants", limit.arrays() | {"implant_ap": found})
    yield limit.check(
        limit.sentence(
            f"these {len(rows)} recordings", "a tree whose thickest vessel has an attenuation of {grade} when filled"
        )
        + f" Found means: an average precision of {FOUND_AP} or more in the frame that shows most of it."
    )
