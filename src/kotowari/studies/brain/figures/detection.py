"""How much grey matter had to be lost to be found in the user's own volumes."""

from dataclasses import replace

from kotowari.core.jobs import Arrays
from kotowari.report.plots.detection import implants_picture
from kotowari.report.plots.style import Sketch

__all__ = ["detection_picture"]


def detection_picture(arrays: Arrays) -> Sketch | None:
    """Draw how often planted losses are found, by their size in percent; nothing where none was planted.

    Parameters
    ----------
    arrays
        As of :func:`kotowari.report.plots.detection.implants_picture`, with grades as shares of the tissue, 0 to 1.
    """
    percent = arrays | {name: 100 * arrays[name] for name in ("implant_grades", "implant_limit")}
    sketch = implants_picture(
        percent, unit="planted loss of grey matter (%)", planted="Losses of grey matter in balls were planted"
    )
    if sketch is None:
        return None
    (axes,) = sketch.canvas.axes
    axes.set_title(axes.get_title(loc="left").replace(" sd", " %"))  # the shared picture counts in sd
    return replace(sketch, caption=sketch.caption.replace(" sd or more", " % or more").replace("table", "volumes"))
