"""All pictures of a run: which arrays each needs, and in which order they stand."""

from collections.abc import Callable
from functools import partial

from kotowari.report.plots.gallery import Pictures, draw_gallery
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


draw = partial(draw_gallery, pictures=PICTURES, read=read_pictures)
