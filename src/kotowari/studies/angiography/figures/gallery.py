"""All pictures of a run: which arrays each needs, and in which order they stand."""

from functools import partial
from pathlib import Path

from kotowari.core.page import Figure
from kotowari.report.plots.gallery import Pictures, save_sketches, sketch_each
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


def draw(folder: Path) -> list[Figure]:
    """Draw every picture whose arrays the run folder holds, and say what is seen on each.

    Reads ``work/pictures.npz``; writes ``figures/*.png``, each in one step. Equal arrays give equal bytes.

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
