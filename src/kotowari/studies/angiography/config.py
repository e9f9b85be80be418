"""Every option of the angiography study, with unit and default. Loads no torch, so that `init` answers at once."""

from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from kotowari.core.options import Options, PresetOptions

__all__ = ["Config", "Preset"]

Preset = Literal["quick", "standard", "full"]


class Data(Options):
    """What goes in."""

    runs: Path | Literal["phantom"] = Field(
        "phantom",
        description="folder of DICOM XA, npz, videos, TIFF or folders of images, or csv (path, patient, mask, frame); "
        "or phantom: simulated runs",
    )
    pattern: str = Field("*", description="names of files in the folder with * and ?")
    mask_suffix: str | None = Field(
        None, description="files named <run><suffix>.png (or .tif) are vessel masks, for scoring only, such as _gt"
    )
    patient_pattern: str | None = Field(
        None, description="regular expression whose first group in a file name is the patient; null = one a file"
    )
    min_run_frames: int = Field(8, ge=2, description="fewer frames are taken as single frames without a run")
    frame_s: float | None = Field(None, gt=0, description="seconds a frame where the file tells none")
    scale: Literal["auto", "linear", "log"] = Field(
        "auto", description="whether grey values are light or its logarithm; auto: as the file says, else by skewness"
    )
    contrast_free: int | None = Field(
        None, ge=0, description="frames before contrast at the start of each run; null = found"
    )


class Phantom(Options):
    """Simulated runs, where data.runs is phantom."""

    n_runs: int = Field(4, ge=2, description="runs, one a patient")
    n_frames: int = Field(40, ge=8, description="frames a run")
    side: int = Field(128, ge=64, description="height and width, pixels")
    photons: float = Field(1000.0, gt=0, description="photons a pixel in clear field")
    seed: int = Field(1, ge=0, description="each seed gives other patients")


class Separation(Options):
    """The vessel layer of a whole run: low rank plus sparse with total variation."""

    weight: float | None = Field(
        None, gt=0, description="of sparsity, in units of 1 / root of the longer side; null = by the number of frames"
    )
    tv_weight: float = Field(2e-3, ge=0, description="of total variation in space")
    time_weight: float = Field(1.0, ge=0, description="of differences in time against those in space")
    group_weight: float = Field(0.0, ge=0, description="of the same pixels over time, in units of the sparsity")
    tol: float = Field(5e-3, gt=0, description="duality gap, in parts of the objective, at which it stops")
    max_steps: int = Field(300, ge=1, description="iterations at most")


class Enhancer(Options):
    """The network that works frame by frame, taught without masks."""

    lesson: Literal["implants", "prior", "both"] = Field(
        "implants", description="what teaches it: vessels put into your own frames, the prior as the loss, or both"
    )
    n_steps: int = Field(250, ge=1, description="steps of the optimiser in each round")
    n_rounds: int = Field(1, ge=1, le=5, description="rounds; from the second its own maps remove the vessels first")
    n_frames: Literal["auto", 1, 2, 3, 4, 5] = Field(
        "auto", description="frames seen at once, the newest and those before it; auto: 3 where all are runs, else 1"
    )
    widths: tuple[int, ...] = Field(
        (16, 24, 32, 48), description="channels of the levels of the network, fine to coarse"
    )
    n_views: int = Field(1, ge=1, le=8, description="turns and mirror images that a map is averaged over")


class Output(Options):
    """What is written of each run."""

    dicom: bool = Field(True, description="vessel layer as a derived DICOM without any patient data")
    video: bool = Field(True, description="MP4 of frames, vessel layer and map side by side")
    frames: bool = Field(False, description="PNG of the map of every frame")
    rate: float | None = Field(None, gt=0, description="frames a second of the video; null = as recorded")


class Validation(Options):
    """How it is judged."""

    n_splits: int = Field(2, ge=2, description="folds over patients; a network never saw a run that it is judged on")


class Trust(Options):
    """How the maps are tested."""

    n_seeds: int = Field(2, ge=2, description="networks of other seeds for the stability of maps")
    n_bootstraps: int = Field(500, ge=100, description="draws of patients for intervals")
    implant_attenuations: tuple[float, ...] = Field(
        (0.02, 0.05, 0.1, 0.2), description="graded vessels put into your own contrast-free frames, peak attenuation"
    )
    implant_repeats: int = Field(3, ge=0, description="vessel trees at every grade; 0 = none")


_PRESETS: dict[Preset, dict[str, dict[str, Any]]] = {
    "quick": {},
    "standard": {
        "enhancer": {"n_steps": 500, "n_rounds": 2, "widths": (32, 48, 64, 96)},
        "validation": {"n_splits": 4},
        "trust": {"n_seeds": 3, "n_bootstraps": 2000, "implant_repeats": 10},
    },
    "full": {
        "separation": {"tol": 1e-3, "max_steps": 1000},
        "enhancer": {"n_steps": 800, "n_rounds": 3, "n_views": 8, "widths": (32, 48, 64, 96)},
        "validation": {"n_splits": 5},
        "trust": {
            "n_seeds": 5,
            "n_bootstraps": 10_000,
            "implant_attenuations": (0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3),
            "implant_repeats": 20,
        },
    },
}


class Config(PresetOptions):
    """Options of one run of the angiography study."""

    presets = _PRESETS

    study: Literal["angiography"] = Field("angiography", description="which study this file configures")
    preset: Preset = Field(
        "quick", description="sizes of everything that is not set below: quick (minutes), standard or full (hours)"
    )
    data: Data = Data()
    phantom: Phantom = Phantom()
    separation: Separation = Separation()
    enhancer: Enhancer = Enhancer()
    output: Output = Output()
    validation: Validation = Validation()
    trust: Trust = Trust()
    seed: int = Field(0, ge=0, description="seed of the whole run")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("cpu", description="where networks are trained")
    workers: int = Field(2, ge=1, description="processes for independent fits, one thread each")

    @model_validator(mode="after")
    def _grades_rise(self) -> Self:
        grades = self.trust.implant_attenuations
        if any(after <= before for before, after in pairwise((0.0, *grades))):
            raise ValueError("trust.implant_attenuations: name values above 0 that rise.")
        return self

    @classmethod
    def demo(cls, preset: Preset = "quick") -> Self:
        """Contrast runs through a simulated growing vessel tree over moving ribs, diaphragm and heart."""
        # contrast comes after 15 % of a simulated run
        return cls(preset=preset, data=Data(contrast_free=5))
