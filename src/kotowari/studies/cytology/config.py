"""Every option of the cytology study, with unit and default. Loads no torch, so that `init` answers at once."""

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from kotowari.core.options import Options, PresetOptions
from kotowari.studies.cytology.instance_options import InstanceOptions

__all__ = ["Config", "Preset"]

Preset = Literal["quick", "standard", "full"]
_FEWEST_PLANTED = 8  # of two slides to learn from and two to judge


class Data(Options):
    """What goes in."""

    images: Path | Literal["phantom"] = Field(
        "phantom",
        description="folder of TIFF, PNG or JPEG images, or a CSV with a column path (and slide, mask); or phantom",
    )
    masks: Path | None = Field(
        None, description="folder of label images of the same names; they score the result and are never learned from"
    )
    slide: str | None = Field(
        None,
        description="regular expression whose first group names the slide or subject in a file's name; null = column "
        "slide of the CSV, else each file by itself",
    )
    pages: Literal["together", "apart"] = Field(
        "together", description="pages of a TIFF are of one slide (together), or each stands by itself (apart)"
    )
    channel: int | None = Field(
        None, ge=0, description="channel to read alone, counted from 0; null = grey or colour as it stands"
    )
    um_per_pixel: float | None = Field(None, gt=0, description="edge of a pixel, micrometres; null = as the files say")
    stain: Literal["auto", "fluorescence", "bright-field", "phase"] = Field(
        "auto", description="auto: found image by image"
    )
    polarity: Literal["auto", "bright", "dark"] = Field(
        "auto", description="whether cells are brighter or darker than the background"
    )

    @field_validator("slide")
    @classmethod
    def _slide_has_a_group(cls, value: str | None) -> str | None:
        if value is None:
            return value
        try:
            n_groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression ({error})") from error
        if not n_groups:
            raise ValueError(f"{value!r} has no group in parentheses, such as '^(.+)_[0-9]+$'")
        return value


class Phantom(Options):
    """Simulated smears, where data.images is phantom."""

    n_images: int = Field(24, ge=4, description="images, two of a slide")
    kind: Literal["grey", "colour", "fluorescence"] = Field(
        "grey",
        description="bright-field in grey or colour: cytoplasm and a darker nucleus; fluorescence: bright nuclei",
    )
    height: int = Field(128, ge=64, description="pixels")
    width: int = Field(160, ge=64, description="pixels")
    seed: int = Field(1, ge=0, description="each seed gives other smears")


class Detector(Options):
    """The network that learns from unlabelled images."""

    recipe: Literal["kotowari", "published"] = Field(
        "kotowari",
        description="kotowari: the images' own clearest cells implanted into their own background; published: low rank "
        "plus sparse",
    )
    max_epochs: int = Field(12, ge=1, description="passes over what it learns from")
    n_channels: int = Field(8, ge=1, description="channels of the first level of the U-Net")
    patch: int = Field(64, ge=32, multiple_of=16, description="longest side of a training image, pixels")
    n_scenes: int = Field(256, ge=16, description="images with implanted cells to learn from")
    published_epochs: int = Field(6, ge=0, description="epochs of the published recipe, a comparator; 0 = not run")


class Instances(InstanceOptions):
    """How every method's foreground is cut into cells."""


class Validation(Options):
    """How it is judged."""

    n_splits: int = Field(
        2, ge=2, description="folds over slides; every image is judged by a detector that never saw it"
    )
    n_labelled: tuple[int, ...] = Field(
        (2,), description="masks that a supervised U-Net learns from, the price of annotation; none = []"
    )
    labelled_epochs: int = Field(4, ge=1, description="passes of the supervised U-Net over its crops")
    cellpose: Path | None = Field(
        None, description="weights of a cellpose model, to be run beside; it may have been trained on such images"
    )
    stardist: Path | None = Field(
        None, description="folder of a stardist model, to be run beside; it may have been trained on such images"
    )
    curve_sizes: tuple[int, ...] = Field(
        (5, 10), description="unlabelled images to learn from, as far as there are so many; none = []"
    )
    curve_seeds: int = Field(2, ge=2, description="fits at every size, each of other images")


class Trust(Options):
    """How the result is tested."""

    n_seeds: int = Field(2, ge=2, description="fits of the first fold that differ in their seed alone")
    n_blank: int = Field(2, ge=1, description="blank fields an image, made of its own background")
    n_removed: int = Field(12, ge=1, description="cells taken out of the images one by one")
    implant_contrasts: tuple[float, ...] = Field(
        (0.25, 0.5, 1.0), description="contrasts of cells put into your own images, as shares of that of your cells"
    )
    implant_repeats: int = Field(4, ge=0, description="plantings at every contrast; 0 = none")
    n_planted: int = Field(
        12, ge=0, description="simulated images of the found stain, whose cells are known; 8 or more, or 0"
    )
    sensitivity: tuple[float, ...] = Field(
        (), description="factors on both weights of the published loss, each pair fitted anew; none = []"
    )


_PRESETS: dict[Preset, dict[str, dict[str, Any]]] = {
    "quick": {},
    "standard": {
        "detector": {"max_epochs": 12, "n_channels": 16, "patch": 128, "n_scenes": 512, "published_epochs": 30},
        "validation": {
            "n_splits": 5,
            "n_labelled": (1, 5, 20),
            "labelled_epochs": 20,
            "curve_sizes": (5, 10, 20, 50, 100),
            "curve_seeds": 3,
        },
        "trust": {
            "n_seeds": 3,
            "n_blank": 4,
            "n_removed": 50,
            "implant_contrasts": (0.125, 0.25, 0.5, 0.75, 1.0),
            "implant_repeats": 10,
            "n_planted": 32,
        },
    },
    "full": {
        "detector": {"max_epochs": 20, "n_channels": 16, "patch": 128, "n_scenes": 1024, "published_epochs": 100},
        "validation": {
            "n_splits": 5,
            "n_labelled": (1, 5, 20),
            "labelled_epochs": 40,
            "curve_sizes": (5, 10, 20, 50, 100),
            "curve_seeds": 5,
        },
        "trust": {
            "n_seeds": 5,
            "n_blank": 10,
            "n_removed": 200,
            "implant_contrasts": (0.125, 0.25, 0.375, 0.5, 0.75, 1.0),
            "implant_repeats": 20,
            "n_planted": 64,
            "sensitivity": (0.25, 0.5, 1.0, 2.0, 4.0),
        },
    },
}


class Config(PresetOptions):
    """Options of one run of the cytology study."""

    presets = _PRESETS

    study: Literal["cytology"] = Field("cytology", description="which study this file configures")
    preset: Preset = Field(
        "quick",
        description="sizes of everything that is not set below: quick (minutes), standard (hours), full (a day)",
    )
    data: Data = Data()
    phantom: Phantom = Phantom()
    detector: Detector = Detector()
    instances: Instances = Instances()
    validation: Validation = Validation()
    trust: Trust = Trust()
    seed: int = Field(0, ge=0, description="seed of the whole run")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("cpu", description="where networks are trained")
    workers: int = Field(2, ge=1, description="processes for independent fits, one thread each")

    @model_validator(mode="after")
    def _lists_are_sensible(self) -> Self:
        rising = {
            "validation.n_labelled": self.validation.n_labelled,
            "validation.curve_sizes": self.validation.curve_sizes,
            "trust.implant_contrasts": self.trust.implant_contrasts,
            "trust.sensitivity": self.trust.sensitivity,
        }
        for name, values in rising.items():
            if any(value <= 0 for value in values) or list(values) != sorted(set(values)):
                raise ValueError(f"{name}: {list(values)} should be numbers above 0 that rise")
        if self.validation.curve_sizes and self.validation.curve_sizes[0] < 2:
            raise ValueError("validation.curve_sizes: begin with 2 or more; of one image no background can be told")
        if 0 < self.trust.n_planted < _FEWEST_PLANTED:
            raise ValueError(
                f"trust.n_planted: {self.trust.n_planted} simulated images are too few. Set {_FEWEST_PLANTED}, or 0"
            )
        if self.trust.sensitivity and 1.0 not in self.trust.sensitivity:
            raise ValueError("trust.sensitivity: leave 1 among the factors, which is what the run uses")
        if self.data.images == "phantom" and self.data.masks is not None:
            raise ValueError("data.masks: simulated images bring their own truth. Name data.images, or leave it out")
        return self

    @classmethod
    def demo(cls, preset: Preset = "quick") -> Self:
        """Two dozen simulated smears, whose cells are known."""
        return cls(preset=preset)
