"""The best, the middle and the worst recording: frame, background, vessel layer and map."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from kotowari.core.jobs import Arrays
from kotowari.report.plots.style import GREY, INK, SEQUENTIAL, Sketch, bare, new_canvas, shorten
from kotowari.studies.angiography.figures.arrays import MOST_SHOWN

__all__ = ["frames_picture"]

_WIDTH = 7.2
_TITLES = {"frame": "frame", "background": "background", "layer": "vessel layer", "map": "map of the network"}
FloatImage = npt.NDArray[np.float32]


def frames_picture(arrays: Arrays) -> Sketch:
    """Draw the frame of each recording that shows most vessel, beside what it was parted into."""
    words = [str(word) for word in arrays["shown_words"]][:MOST_SHOWN]
    columns = [part for part in _TITLES if any(f"shown_{k}_{part}" in arrays for k in range(len(words)))]
    ratios = [_ratio(arrays[f"shown_{k}_frame"]) for k in range(len(words))]
    side = _WIDTH / len(columns) - 0.1
    canvas = new_canvas((_WIDTH, 0.3 + sum(0.3 + side * ratio for ratio in ratios)))
    grid = canvas.subplots(len(words), len(columns), squeeze=False, gridspec_kw={"height_ratios": ratios})
    for k, row in enumerate(grid):
        for axes, part in zip(row, columns, strict=True):
            _show(axes, arrays, k, part)
            if k == 0:
                axes.set_title(_TITLES[part])
        row[0].set_xlabel(shorten(words[k], 44), color=INK, loc="left", size=8)
    caption = (
        f"Recordings in which our network does best, in the middle and worst on {arrays['shown_by']}; the frame that "
        "shows most vessel, as on a screen: dark is contrast. The vessel layer is that of the whole run in units of "
        "attenuation; the map is the network's, which never saw the patient and looks at one frame at a time."
    )
    return Sketch("frames", canvas, "What was found: best, middle and worst recording", caption, "result")


def _show(axes: Axes, arrays: Arrays, k: int, part: str) -> None:
    bare(axes)
    picture = arrays.get(f"shown_{k}_{part}")
    if picture is None:
        return
    field = arrays[f"shown_{k}_field"]
    if part == "map":
        axes.imshow(picture, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
        return
    if part == "layer":
        axes.imshow(picture, cmap=GREY, vmin=0, vmax=float(np.percentile(picture[field], 99.5)) or 1.0)
        return
    low, high = np.percentile(arrays[f"shown_{k}_frame"][field], [1, 99.5])
    axes.imshow(np.where(field, picture, high), cmap=GREY, vmin=low, vmax=high, interpolation="nearest")


def _ratio(picture: FloatImage) -> float:
    return float(picture.shape[0] / picture.shape[1])
