"""How much grey matter had to be lost to be found in the user's own volumes."""

from functools import partial

from kotowari.report.plots.detection import implants_picture

__all__ = ["detection_picture"]

detection_picture = partial(
    implants_picture,
    unit="planted loss of grey matter (%)",
    sign="%",
    factor=100,
    planted="Losses of grey matter in balls were planted",
    data="volumes",
)
