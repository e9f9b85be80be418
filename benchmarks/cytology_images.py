"""Nuclei of the Data Science Bowl 2018 as the cytology benchmarks use them: kinds, halves, and what is kept aside."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness import NotMeasured
from kotowari.formats.image import read_pages
from kotowari.formats.label_image import read_labels

__all__ = ["KINDS", "POLARITY", "Picture", "halves", "nuclei", "pool_and_rest"]

KINDS = ("fluorescence", "stained")
POLARITY = {"fluorescence": "bright", "stained": "dark"}
_WORDS = {"fluorescence": "grey", "stained": "colour"}
_POOL = 50  # fluorescent images that a curve may learn from; of the stained ones those at even places
_QUICK = 6


@dataclass(frozen=True, eq=False)
class Picture:
    """One image, and what is to be found in it.

    Parameters
    ----------
    row
        Place in the index, from 0. The images at even places served to develop the method and the instance stage.
    image
        Shape ``(height, width, channel)``, float32 in [0, 1].
    truth
        Shape ``(height, width)``, labels; never given to what learns without labels.
    """

    row: int
    image: npt.NDArray[np.float32]
    truth: npt.NDArray[np.integer]

    @property
    def is_odd(self) -> bool:
        """Whether it was kept away from all development."""
        return self.row % 2 == 1


def nuclei(kind: str, *, quick: bool) -> list[Picture]:
    """Return the images of a kind in the order of the index: 93 fluorescent ones (grey), 27 stained ones (colour).

    Raises
    ------
    NotMeasured
        When the environment variable KOTOWARI_DATA does not lead to them.
    """
    if "KOTOWARI_DATA" not in os.environ:
        raise NotMeasured("KOTOWARI_DATA is not set.")
    folder = Path(os.environ["KOTOWARI_DATA"]) / "cytology" / "dsb2018"
    if not (folder / "index.csv").is_file():
        raise NotMeasured("KOTOWARI_DATA holds no cytology/dsb2018.")
    table = pd.read_csv(folder / "index.csv")
    own = table[table["kind"] == _WORDS[kind]]
    pictures = []
    for row, name in own["image_id"].iloc[: _QUICK if quick else None].items():
        image = read_pages(folder / "images" / f"{name}.png").unit[0]
        image = image[..., :1] if kind == "fluorescence" else image
        pictures.append(Picture(int(str(row)), image, read_labels(folder / "labels" / f"{name}.png")))
    return pictures


def halves(pictures: list[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Return two halves by place alone, two by two, so that each has as many images at even places as at odd ones."""
    parts: tuple[list[Picture], list[Picture]] = ([], [])
    for place, picture in enumerate(pictures):
        parts[place // 2 % 2].append(picture)
    return parts


def pool_and_rest(pictures: list[Picture], kind: str) -> tuple[list[Picture], list[Picture]]:
    """Return what a curve may learn from, and what it is judged by: only images that no development has seen.

    Learned from are all images at even places and, in fluorescence, the last ones at odd places, 50 in all.
    """
    even = [picture for picture in pictures if not picture.is_odd]
    odd = [picture for picture in pictures if picture.is_odd]
    n_more = max(0, _POOL - len(even)) if kind == "fluorescence" and len(pictures) > _POOL else 0
    return even + odd[len(odd) - n_more :], odd[: len(odd) - n_more]
