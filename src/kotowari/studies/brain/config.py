"""Every option of the brain study, with unit and default. Loads no torch, so that `init` answers at once."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from kotowari.core.options import Options, PresetOptions

__all__ = ["Config", "Preset"]

Preset = Literal["quick", "standard", "full"]
Plants = Literal["atlas", "cross", "distributed", "none"]


class Data(Options):
    """What goes in."""

    volumes: Path | Literal["phantom"] = Field(
        "phantom",
        description="folder (BIDS derivatives, SPM12, CAT12) or table of NIfTI paths; or phantom: simulated brains",
    )
    participants: Path | None = Field(
        None, description="participants.tsv; null = the one beside the volumes, or the table of paths itself"
    )
    layout: Literal["auto", "bids", "spm", "table"] = Field("auto", description="how the volumes lie")
    pattern: str | None = Field(None, description="names of files with * and ?; null = grey matter of BIDS, SPM or CAT")
    session: str | None = Field(None, description="label of the session, where participants have several")
    unmatched: Literal["refuse", "drop"] = Field(
        "refuse", description="volumes without a row of the table, and rows without a volume"
    )
    mask: Path | None = Field(None, description="NIfTI of 0 and 1; null = made from the mean volume")
    mask_threshold: float = Field(0.2, gt=0, lt=1, description="share of the mean volume's 99th percentile in the mask")
    resample: bool = Field(False, description="interpolate volumes that lie on another grid, rather than refuse them")
    atlas: Path | Literal["parcels"] = Field(
        "parcels",
        description="label image in the space of the volumes; or parcels: our own coarse ones of MNI152 space",
    )
    atlas_names: Path | None = Field(None, description="table of label and name; null = regions called by number")


class Phantom(Options):
    """Simulated brains, where data.volumes is phantom."""

    n_subjects: int = Field(100, ge=20, description="patients and controls at two sites")
    voxel_mm: float = Field(8.0, ge=1, le=12, description="edge of a voxel, mm")
    plants: Plants = Field("atlas", description="where dose, symptoms and diagnosis act: shape of the truth")
    seed: int = Field(1, ge=0, description="each seed gives other subjects")


class Cohort(Options):
    """Who the subjects are, by columns of participants.tsv."""

    site: str | None = Field("site", description="column of the site or scanner; null = one site")
    external_sites: tuple[str, ...] = Field(
        ("B",), description="sites kept aside whole: predicted without any refit; none = []"
    )
    diagnosis: str | None = Field("diagnosis", description="column of the diagnosis, which no feature is learned from")
    patients: str = Field("patient", description="what the column of the diagnosis says of a patient")
    covariates: tuple[str, ...] = Field(
        ("age", "sex", "tiv", "image_quality"),
        description="columns regressed out of the features inside the fold",
    )
    group: str | None = Field(None, description="column of who belongs together (family); never split")
    harmonise: Literal["none", "combat"] = Field(
        "none", description="combat: site effects taken out of the features inside the fold"
    )
    unseen: Literal["refuse", "reference"] = Field(
        "refuse", description="an external site under combat: refused, or taken as it is, which is said"
    )
    n_adapt: int = Field(
        0, ge=0, description="unlabelled subjects of an external site that set its effects and are then not scored"
    )


class Targets(Options):
    """What is predicted, in whom."""

    everyone: tuple[str, ...] = Field(("age",), description="columns of numbers, in all subjects")
    patients: tuple[str, ...] = Field(("dose", "positive"), description="columns of numbers, in patients only")
    logarithm: tuple[str, ...] = Field(
        ("dose",), description="those of the above, all values above 0, that are predicted on a log scale as well"
    )
    together: tuple[str, ...] = Field(
        ("dose", "positive"), description="columns predicted together by partial least squares, in patients"
    )
    classes: tuple[str, ...] = Field((), description="columns of two classes, in all subjects")
    survival: tuple[str, ...] = Field((), description="outcomes in patients, each two columns as time:event")
    method: Literal["ridge", "linear", "pls"] = Field("ridge", description="linear: least squares, as in the paper")


class Features(Options):
    """The label-free autoencoder."""

    n_blocks: Annotated[int, Field(ge=1, le=5)] | Literal["auto"] = Field(
        "auto", description="blocks of two convolutions and a pool; auto: features of about 16 mm (8 mm: 1, 1.5 mm: 3)"
    )
    n_channels: int = Field(8, ge=1, description="channels of every block")
    stem: Literal["plain", "strided"] = Field("plain", description="strided: halves the volume at the door")
    residual: Literal["mean", "none"] = Field("mean", description="mean: learns the deviation from the mean brain")
    extraction: Literal["map", "extremes"] = Field(
        "extremes", description="extremes: largest and smallest value before the rectifier; map: the coarse map itself"
    )
    mask_ratio: float = Field(0.0, ge=0, lt=1, description="share of cubes hidden in training")
    beta: float = Field(0.0, ge=0, description="weight of the divergence of a variational autoencoder")
    noise: float = Field(0.0, ge=0, description="noise on what the network sees in training, units of the volumes")
    max_epochs: int = Field(30, ge=1, description="most epochs")
    learning_rate: float = Field(5e-3, gt=0, description="of Adam")
    batch_size: int = Field(4, ge=1, description="volumes a step")
    validation_fraction: float = Field(
        0.0, ge=0, le=0.5, description="share of the subjects that decides when to stop; 0 = all epochs"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where a trial on this machine shows it right and faster"
    )
    grid_blocks: tuple[int, ...] = Field((1, 2, 3), description="depths of the grid; none = no grid")
    grid_channels: tuple[int, ...] = Field((4, 16), description="widths of the grid")


MapMethod = Literal["smoothed_gradient", "gradient", "gradient_times_input", "smoothgrad", "integrated_gradients"]


class Maps(Options):
    """Which maps are drawn beside occlusion by region."""

    methods: tuple[MapMethod, ...] = Field(
        ("smoothed_gradient", "gradient", "gradient_times_input", "smoothgrad", "integrated_gradients"),
        description="maps by gradients, voxel by voxel",
    )
    smoothing_mm: float = Field(20.0, ge=0, description="full width at half maximum of the smoothed gradient, mm")
    n_explained: int = Field(24, ge=2, description="subjects whose maps are averaged, spread over the table")
    max_points: int = Field(64, ge=16, description="most points on the path of integrated gradients")


class Validation(Options):
    """How it is judged."""

    n_splits: int = Field(5, ge=2, description="folds, each with encoders of its own")
    n_repeats: int = Field(1, ge=1, description="repeats of the folds with another shuffle")


class Trust(Options):
    """How predictions and maps are tested."""

    n_permutations: int = Field(99, ge=0, description="refits on permuted targets")
    n_map_shuffles: int = Field(99, ge=1, description="shuffled targets behind p of a region")
    n_voxel_shuffles: int = Field(39, ge=1, description="maps of shuffled targets, by smoothed gradient")
    n_glm_permutations: int = Field(199, ge=1, description="permutations of the map without a network")
    smoothing_mm: float = Field(8.0, ge=0, description="full width at half maximum of the map without a network, mm")
    n_strongest: int = Field(5, ge=1, description="regions of a fit that count as chosen")
    implant_losses: tuple[float, ...] = Field(
        (0.1, 0.2, 0.3, 0.4), description="shares of tissue planted as lost into your own volumes"
    )
    implant_cm3: float = Field(20.0, gt=0, description="volume in which it is planted, cm3")
    implant_repeats: int = Field(4, ge=0, description="plantings at every share; 0 = none")


_PRESETS: dict[Preset, dict[str, dict[str, Any]]] = {
    "quick": {},
    "standard": {
        "features": {"max_epochs": 60, "grid_blocks": (1, 2, 3, 4), "grid_channels": (1, 4, 16, 32)},
        "maps": {"n_explained": 60, "max_points": 128},
        "validation": {"n_repeats": 2},
        "trust": {
            "n_permutations": 199,
            "n_map_shuffles": 199,
            "n_voxel_shuffles": 99,
            "n_glm_permutations": 999,
            "implant_repeats": 10,
        },
    },
    "full": {
        "features": {"max_epochs": 100, "grid_blocks": (1, 2, 3, 4), "grid_channels": (1, 4, 16, 32)},
        "maps": {"n_explained": 1000, "max_points": 256},
        "validation": {"n_repeats": 5},
        "trust": {
            "n_permutations": 999,
            "n_map_shuffles": 999,
            "n_voxel_shuffles": 199,
            "n_glm_permutations": 4999,
            "implant_repeats": 20,
        },
    },
}


class Config(PresetOptions):
    """Options of one run of the brain study."""

    presets = _PRESETS

    study: Literal["brain"] = Field("brain", description="which study this file configures")
    preset: Preset = Field(
        "quick", description="sizes of everything that is not set below: quick (minutes), standard (hours), full (days)"
    )
    data: Data = Data()
    phantom: Phantom = Phantom()
    cohort: Cohort = Cohort()
    targets: Targets = Targets()
    features: Features = Features()
    maps: Maps = Maps()
    validation: Validation = Validation()
    trust: Trust = Trust()
    seed: int = Field(0, ge=0, description="seed of the whole run")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("cpu", description="where networks are trained")
    workers: int = Field(2, ge=1, description="processes for independent fits, one thread each")

    @model_validator(mode="after")
    def _something_is_predicted(self) -> Self:
        targets = self.targets
        if not (targets.everyone or targets.patients or targets.classes or targets.survival or targets.together):
            raise ValueError("targets: nothing is to be predicted. Name a column in everyone, patients or classes.")
        unknown = set(targets.logarithm) - {*targets.everyone, *targets.patients}
        if unknown:
            raise ValueError(f"targets.logarithm: {min(unknown)} stands neither in everyone nor in patients. Add it.")
        wrong = [name for name in targets.survival if name.count(":") != 1]
        if wrong:
            raise ValueError(f"targets.survival: {wrong[0]!r} should name two columns, as time:event.")
        if len(targets.together) == 1:
            raise ValueError("targets.together: names one column; two or more are predicted together.")
        if self.cohort.diagnosis is None and (targets.patients or targets.survival or targets.together):
            raise ValueError("cohort.diagnosis: name the column that tells patients, in whom targets are asked.")
        if self.cohort.site is None and (self.cohort.external_sites or self.cohort.harmonise != "none"):
            raise ValueError("cohort.site: name the column, or set external_sites to [] and harmonise to none.")
        unknown_site = self.cohort.harmonise == "combat" and self.cohort.external_sites and not self.cohort.n_adapt
        if unknown_site and self.cohort.unseen == "refuse":
            raise ValueError(
                "cohort.n_adapt: combat knows no site that it never saw. Give 10 or more subjects of each external "
                "site to set its effects, or set cohort.unseen to reference."
            )
        return self

    @classmethod
    def demo(cls, preset: Preset = "quick") -> Self:
        """One hundred simulated brains of two sites on the grey matter of the MNI152 template."""
        return cls(preset=preset)
