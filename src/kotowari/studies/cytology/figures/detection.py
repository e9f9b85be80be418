"""How strong a cell had to be to be found in the user's own images."""

from functools import partial

from kotowari.report.plots.detection import implants_picture

__all__ = ["detection_picture"]

detection_picture = partial(
    implants_picture,
    unit="contrast of planted cells (% of your cells')",
    sign="%",
    factor=100,
    planted="Cells of graded contrast were planted",
    data="images",
)
