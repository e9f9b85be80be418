"""Options of the stage that turns a foreground map into single cells. Loads no numerics."""

from typing import Self

from pydantic import ConfigDict, Field, model_validator

from kotowari.core.options import Options

__all__ = ["InstanceOptions"]


class InstanceOptions(Options):
    """How a foreground map is cut and split into single cells; lengths are measured against the cells themselves.

    The constants of the splitting were tuned on one half of the nuclei of the Data Science Bowl 2018 (see
    :func:`kotowari.studies.cytology.model.instances.find_instances`); the area limits are what a user changes.
    """

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True)

    noise_floor: float = Field(
        3.0, ge=0, description="lowest cut: median + this many robust standard deviations of the background; 0 = none"
    )
    smoothing: float = Field(1.0, ge=0, description="Gaussian that smooths the contour, px (sd); 0 = none")
    hole_area: float = Field(1.0, ge=0, description="holes up to this share of a typical cell's area are filled")
    edge_share: float = Field(
        0.3, ge=0, lt=1, description="a cell ends where the map falls to this share of its own height; 0 = at the cut"
    )
    intensity_weight: float = Field(
        0.5, ge=0, description="weight of the map's own dips beside the shape when touching cells are split"
    )
    split_depth: float = Field(
        0.1, gt=0, description="a cell splits where its depth dips by this share of the typical radius"
    )
    radius: float | None = Field(
        None, gt=0, description="typical radius of a cell, px; null = found from each image itself"
    )
    min_area: float = Field(15.0, ge=1, description="smallest cell, px")
    area_low: float = Field(0.1, ge=0, description="smallest cell, as a share of the image's median area")
    area_high: float = Field(10.0, gt=0, description="largest cell, as a multiple of the image's median area")

    @model_validator(mode="after")
    def _area_limits_in_order(self) -> Self:
        if self.area_low >= self.area_high:
            raise ValueError(f"area_low ({self.area_low}) must be below area_high ({self.area_high})")
        return self
