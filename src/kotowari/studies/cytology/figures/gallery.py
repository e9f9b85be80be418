"""All pictures of a run: which arrays each needs, and in which order they stand."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from kotowari.core.page import Figure
from kotowari.report.plots.gallery import Pictures, save_sketches, sketch_each
from kotowari.report.plots.style import Sketch
from kotowari.studies.cytology.figures.arrays import MOST_KINDS, PLACES, read_pictures
from kotowari.studies.cytology.figures.blank import blank_picture
from kotowari.studies.cytology.figures.controls import controls_picture
from kotowari.studies.cytology.figures.counts import counts_picture
from kotowari.studies.cytology.figures.curves import curves_picture
from kotowari.studies.cytology.figures.detection import detection_picture
from kotowari.studies.cytology.figures.overlays import overlay_picture
from kotowari.studies.cytology.figures.placement import placement_picture
from kotowari.studies.cytology.figures.sensitivity import sensitivity_picture
from kotowari.studies.cytology.figures.sizes import sizes_picture
from kotowari.studies.cytology.figures.training import training_picture

__all__ = ["PICTURES", "draw"]

_CURVES = {"images", "f1", "low", "high", "least", "most", "kind", "model", "of"}


def _each(picture: Callable[..., Sketch | None], *more: str) -> Pictures:
    """Return a picture once a kind."""
    needed = frozenset({"kind_names", *more})
    return tuple((partial(picture, place=place), needed) for place in range(MOST_KINDS))


PICTURES: Pictures = (
    *(
        (partial(overlay_picture, place=place, which=which), frozenset({"kind_names"}))
        for place in range(MOST_KINDS)
        for which in range(len(PLACES))
    ),
    *_each(counts_picture),
    *_each(curves_picture, *(f"curve_{name}" for name in _CURVES)),
    *_each(sizes_picture),
    *_each(controls_picture),
    *_each(blank_picture),
    *_each(placement_picture),
    (
        detection_picture,
        frozenset({"implant_grades", "implant_frequency", "implant_low", "implant_high", "implant_limit"}),
    ),
    *_each(training_picture),
    *_each(sensitivity_picture),
)


def draw(folder: Path) -> list[Figure]:
    """Draw every picture whose arrays the run folder holds, and say what is seen on each.

    Reads ``work/pictures.npz``; writes ``figures/*.png``, each in one step. Equal arrays give equal bytes. A picture
    whose arrays are absent, or show nothing, is not drawn.

    Parameters
    ----------
    folder
        A run folder.

    Returns
    -------
    list of Figure
        In the order of the report.

    Raises
    ------
    InputError
        When the file of the run is damaged.
    ShapeError
        When two arrays do not fit each other.
    """
    return save_sketches(folder, sketch_each(PICTURES, read_pictures(folder / "work" / "pictures.npz")))
