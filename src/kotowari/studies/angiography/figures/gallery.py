"""All pictures of a run: which arrays each needs, and in which order they stand."""

from functools import partial

from kotowari.report.plots.gallery import Pictures, draw_gallery
from kotowari.studies.angiography.figures.arrays import KINDS, read_pictures
from kotowari.studies.angiography.figures.arrival import arrival_picture
from kotowari.studies.angiography.figures.course import course_picture
from kotowari.studies.angiography.figures.detection import detection_picture
from kotowari.studies.angiography.figures.frames import frames_picture
from kotowari.studies.angiography.figures.methods import methods_picture
from kotowari.studies.angiography.figures.training import training_picture

__all__ = ["PICTURES", "draw"]

PICTURES: Pictures = (
    (frames_picture, frozenset({"shown_words", "shown_0_frame", "shown_0_map"})),
    *(
        (partial(methods_picture, kind=kind), frozenset({f"methods_{kind}_names", f"methods_{kind}_ap"}))
        for kind in KINDS
    ),
    (arrival_picture, frozenset({"shown_words"})),
    (course_picture, frozenset({"shown_words"})),
    (
        detection_picture,
        frozenset({"implant_grades", "implant_frequency", "implant_low", "implant_high", "implant_limit"}),
    ),
    (training_picture, frozenset({"loss", "implant_dice"})),
)


draw = partial(draw_gallery, pictures=PICTURES, read=read_pictures)
