"""The foreground of one image beside those that know nothing of cells."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import fixed
from kotowari.report.plots.style import SEQUENTIAL, Sketch, bare, new_canvas, shorten
from kotowari.studies.cytology.figures.arrays import kind_name

__all__ = ["controls_picture"]

_WIDTH = 7.2


def controls_picture(arrays: Arrays, place: int) -> Sketch | None:
    """Draw foregrounds side by side, each on a scale of its own; nothing where there is no control."""
    if f"control_{place}_maps" not in arrays or len(arrays[f"control_{place}_maps"]) < 2:
        return None
    maps, rank = arrays[f"control_{place}_maps"].astype(np.float64), arrays[f"control_{place}_rank"].astype(np.float64)
    names = [str(name) for name in arrays[f"control_{place}_names"]]
    n, ratio = len(maps), maps.shape[1] / maps.shape[2]
    canvas = new_canvas((_WIDTH, 0.55 + (_WIDTH / n - 0.1) * ratio))
    for axes, own, name, like in zip(canvas.subplots(1, n), maps, names, rank, strict=True):
        low, high = (float(end) for end in np.quantile(own, [0.01, 0.995]))
        axes.imshow(own, cmap=SEQUENTIAL, vmin=low, vmax=max(high, low + 1e-9), interpolation="nearest")
        bare(axes)
        axes.set_title(shorten(name, 30), size=8)
        if np.isfinite(like):
            axes.set_xlabel(f"rank correlation {fixed(float(like), 2)}", size=8)
    caption = (
        "Foregrounds of the image shown as the median above, each on a scale of its own, with their rank correlation "
        "over pixels with ours. A trained detector should be more like another seed of itself than like an untrained "
        "network; what it shares with Otsu's map is the brightness of the image itself."
    )
    whose = kind_name(arrays, place)
    return Sketch(
        f"controls-{place + 1}",
        canvas,
        "The map beside its controls" + (f" ({whose})" if whose else ""),
        caption,
        "reason",
    )
