"""How much contrast a vessel needs to be found in the user's own recordings."""

from functools import partial

from kotowari.report.plots.detection import implants_picture

__all__ = ["detection_picture"]

detection_picture = partial(
    implants_picture,
    unit="attenuation of the thickest planted vessel",
    sign="of attenuation",
    planted="Vessel trees of graded attenuation were put",
    data="frames",
)
