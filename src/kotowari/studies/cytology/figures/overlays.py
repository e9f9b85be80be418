"""The best, the median and the worst image, with what was found outlined."""

import numpy as np
from matplotlib.axes import Axes

from kotowari.core.jobs import Arrays
from kotowari.report.plots.style import SEQUENTIAL, Sketch, bare, new_canvas
from kotowari.studies.cytology.figures.arrays import PLACES, kind_name

__all__ = ["overlay_picture"]

_WIDTH, _TALLEST = 7.2, 5.0  # the report gives a row of its own to what is wider than 1.4 times its height
_COLUMNS = {"image": "image", "cells": "cells outlined", "map": "foreground / cut"}
_TOP = 3.0  # of the colour scale, in cuts


def overlay_picture(arrays: Arrays, place: int, which: int) -> Sketch | None:
    """Draw one image of a kind, its cells and its foreground; nothing where no image was judged.

    Parameters
    ----------
    arrays
        Of the run.
    place
        Of the kind.
    which
        Of the image: 0 the best, 1 the median, 2 the worst.
    """
    if f"overlay_{place}_words" not in arrays:
        return None
    name = PLACES[which]
    image = arrays[f"overlay_{place}_{name}_image"]
    height = 0.4 + (_WIDTH / 3 - 0.1) * image.shape[0] / image.shape[1]
    canvas = new_canvas((_WIDTH, min(height, _TALLEST)))
    for axes, (part, title) in zip(canvas.subplots(1, 3), _COLUMNS.items(), strict=True):
        _show(axes, arrays[f"overlay_{place}_{name}_{part}"], title)
    whose, words = kind_name(arrays, place), str(arrays[f"overlay_{place}_words"][which])
    caption = (
        f"The {name} image by {arrays[f'overlay_{place}_by']}: {words}. It was judged by a detector that never saw its "
        f"slide. Blue: cells found; orange: {arrays[f'overlay_{place}_beside']}. Right: the foreground in units of its "
        "cut; what is above 1 is taken."
    )
    title = f"What was found: the {name} image" + (f" ({whose})" if whose else "")
    return Sketch(f"overlays-{place + 1}-{name}", canvas, title, caption, "result")


def _show(axes: Axes, pixels: np.ndarray, title: str) -> None:
    if pixels.ndim == 2:
        axes.imshow(pixels, cmap=SEQUENTIAL, vmin=0, vmax=_TOP, interpolation="nearest")
    else:
        axes.imshow(pixels, interpolation="nearest")
    bare(axes)
    axes.set_title(title)
