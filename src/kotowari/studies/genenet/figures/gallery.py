"""All pictures of a run: which arrays each needs, and in which order they stand."""

from functools import partial

from kotowari.report.plots.detection import implants_picture
from kotowari.report.plots.gallery import Pictures, draw_gallery
from kotowari.report.plots.null import null_picture
from kotowari.report.plots.outcome import classes_picture, values_picture
from kotowari.report.plots.stability import stability_picture
from kotowari.studies.genenet.figures.arrays import read_pictures
from kotowari.studies.genenet.figures.contributions import contributions_picture
from kotowari.studies.genenet.figures.courses import courses_picture
from kotowari.studies.genenet.figures.effective import effective_picture
from kotowari.studies.genenet.figures.hubs import hubs_picture
from kotowari.studies.genenet.figures.knocked import knock_out_picture
from kotowari.studies.genenet.figures.networks import networks_picture
from kotowari.studies.genenet.figures.ranking import ranking_picture
from kotowari.studies.genenet.figures.survival import survival_picture
from kotowari.studies.genenet.figures.target_scores import target_scores_picture
from kotowari.studies.genenet.figures.verdict import verdict_picture

__all__ = ["PICTURES", "draw"]

_EDGES = {"regulators", "targets", "edge_regulator", "edge_target", "edge_values", "edge_change", "shown_samples"}

PICTURES: Pictures = (
    (
        verdict_picture,
        frozenset(
            {"guard_names", "guard_value", "guard_low", "guard_high", "guard_role", "guard_metric", "guard_predicts"}
        ),
    ),
    (classes_picture, frozenset({"classes", "truth_codes", "out_of_fold"})),
    (values_picture, frozenset({"truth_values", "predicted_values"})),
    (survival_picture, frozenset({"survival_time", "survival_event", "survival_score"})),
    (target_scores_picture, frozenset({"target_models", "target_scores"})),
    (networks_picture, frozenset({*_EDGES, "modulator"})),
    (ranking_picture, frozenset(_EDGES)),
    (
        courses_picture,
        frozenset(
            {
                "regulators",
                "targets",
                "edge_regulator",
                "edge_target",
                "course_places",
                "course_value",
                "course_edges",
                "modulator",
            }
        ),
    ),
    (hubs_picture, frozenset({"hub_names", "hub_out"})),
    (contributions_picture, frozenset({"contribution_names", "contribution_mean", "contribution_samples"})),
    (null_picture, frozenset({"null_values", "observed_value"})),
    (knock_out_picture, frozenset({"knock_drop", "knock_random"})),
    (
        partial(
            stability_picture,
            part="edge",
            draws="half samples of the patients",
            instead="hubs and the genes around them",
        ),
        frozenset({"frequency"}),
    ),
    (
        partial(
            implants_picture,
            unit="planted edge (sd of the target for one of the regulator)",
            planted="Edges that vary along the modulator were planted",
        ),
        frozenset({"implant_grades", "implant_frequency", "implant_low", "implant_high", "implant_limit"}),
    ),
    (effective_picture, frozenset({"modulator", "effective_samples"})),
)


draw = partial(draw_gallery, pictures=PICTURES, read=read_pictures)
