"""All pictures of a run: which arrays each needs, and in which order they stand."""

from functools import partial

from kotowari.report.plots.gallery import Pictures, draw_gallery
from kotowari.report.plots.outcome import classes_picture
from kotowari.studies.brain.figures.arrays import MOST_TARGETS, read_pictures
from kotowari.studies.brain.figures.beside_controls import controls_picture
from kotowari.studies.brain.figures.chance import chance_picture
from kotowari.studies.brain.figures.detection import detection_picture
from kotowari.studies.brain.figures.gains import gains_picture
from kotowari.studies.brain.figures.glass import glass_picture
from kotowari.studies.brain.figures.grid import grid_picture
from kotowari.studies.brain.figures.models import models_picture
from kotowari.studies.brain.figures.predicted import predicted_picture
from kotowari.studies.brain.figures.quality import quality_picture
from kotowari.studies.brain.figures.reconstruction import reconstruction_picture
from kotowari.studies.brain.figures.regions import regions_picture
from kotowari.studies.brain.figures.sites import sites_picture
from kotowari.studies.brain.figures.slices import slices_picture
from kotowari.studies.brain.figures.stability import region_stability_picture
from kotowari.studies.brain.figures.synthetic import synthetic_picture
from kotowari.studies.brain.figures.training import training_picture

__all__ = ["PICTURES", "draw"]

_SPACE = {"map_affine", "mask"}
_MAPS = {*_SPACE, "template", "map_targets", "map_values"}
_EACH = range(MOST_TARGETS)

PICTURES: Pictures = (
    *(
        (
            partial(models_picture, place=place),
            frozenset(
                {
                    "score_target",
                    "score_model",
                    "score_role",
                    "score_metric",
                    "score_value",
                    "score_low",
                    "score_high",
                    "score_chance",
                }
            ),
        )
        for place in _EACH
    ),
    (
        gains_picture,
        frozenset({"gain_target", "gain_name", "gain_metric", "gain_value", "gain_low", "gain_high"}),
    ),
    *(
        (
            partial(predicted_picture, place=place),
            frozenset({"predicted_targets", "fold_target", "fold_true", "fold_predicted"}),
        )
        for place in _EACH
    ),
    (classes_picture, frozenset({"classes", "truth_codes", "out_of_fold"})),
    (grid_picture, frozenset({"grid_blocks", "grid_channels", "grid_mae", "grid_targets", "grid_r"})),
    *((partial(slices_picture, place=place), frozenset(_MAPS)) for place in _EACH),
    *((partial(glass_picture, place=place), frozenset(_MAPS - {"template"})) for place in _EACH),
    *(
        (partial(controls_picture, place=place), frozenset({*_MAPS, "control_names", "control_maps"}))
        for place in _EACH
    ),
    *(
        (
            partial(regions_picture, place=place),
            frozenset({"region_target", "region_name", "region_strength", "region_sign"}),
        )
        for place in _EACH
    ),
    *(
        (
            partial(synthetic_picture, place=place),
            frozenset(
                {
                    *_SPACE,
                    "template",
                    "synthetic_targets",
                    "synthetic_difference",
                    "synthetic_low",
                    "synthetic_high",
                }
            ),
        )
        for place in _EACH
    ),
    (
        chance_picture,
        frozenset({"tested_targets", "tested_metric", "tested_null", "tested_observed", "tested_p"}),
    ),
    (region_stability_picture, frozenset({"frequency"})),
    (
        detection_picture,
        frozenset({"implant_grades", "implant_frequency", "implant_low", "implant_high", "implant_limit"}),
    ),
    (
        sites_picture,
        frozenset(
            {
                "site_steps",
                "site_accuracy",
                "site_low",
                "site_high",
                "site_chance",
                "site_names",
                "site_codes",
                "site_axes",
            }
        ),
    ),
    (training_picture, frozenset({"training_fits", "training_share"})),
    (reconstruction_picture, frozenset({*_SPACE, "template", "reconstruction_mean", "reconstruction_error"})),
    (
        quality_picture,
        frozenset({"quality_row", "quality_correlation", "quality_grey_matter", "quality_outlier"}),
    ),
)


draw = partial(draw_gallery, pictures=PICTURES, read=read_pictures)
