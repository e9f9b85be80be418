"""The classes as images: what they look like on average, and where the network finds its reasons."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import Normalize

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count
from kotowari.report.plots.arrays import class_names, is_classified
from kotowari.report.plots.style import DIVERGING, GREY, Sketch, centred, centred_root, shorten
from kotowari.studies.omics.figures.panels import Block, draw_blocks

__all__ = ["MOST_CLASSES", "class_maps_picture", "mean_images_picture"]

MOST_CLASSES = 12
Images = npt.NDArray[np.float64]


def mean_images_picture(arrays: Arrays) -> Sketch:
    """Draw the mean image of each class, and what sets it apart."""
    images = arrays["mean_images"].astype(np.float64)
    names = class_names(arrays, len(images))
    left_out, images, names = _first(images, names)
    scale = Normalize(min(0.0, float(images.min())), float(images.max()) or 1.0)
    means = Block("Mean image (image units)", list(images), names, GREY, scale)
    if len(images) == 1:
        canvas = draw_blocks([means])
    elif len(images) == 2:
        gap = images[1] - images[0]
        apart = Block(
            "Difference",
            [gap],
            [" less ".join(shorten(name, 9, keep_end=True) for name in names[::-1])],
            DIVERGING,
            centred(gap),
        )
        canvas = draw_blocks([means, apart], across=True)
    else:
        gaps = images - images.mean(0)
        apart = Block("Less the mean of the classes", list(gaps), names, DIVERGING, centred(gaps))
        canvas = draw_blocks([means, apart])
    return Sketch("mean-images", canvas, "What the classes look like", _mean_caption(images, left_out), "reason")


def class_maps_picture(arrays: Arrays) -> Sketch:
    """Draw class activation maps over the mean images, and integrated gradients, each on one scale."""
    names = class_names(arrays, len(arrays["class_maps"]))
    stack = np.stack([arrays[key].astype(np.float64) for key in ("mean_images", "class_maps", "relevance_maps")], 1)
    left_out, stack, names = _first(stack, names)
    images, maps, relevance = stack[:, 0], stack[:, 1], stack[:, 2]
    own = centred(maps)
    canvas = draw_blocks(
        [
            Block("Class activation (score units)", _overlay(images, maps), names, DIVERGING, own),
            Block("Integrated gradients (score units)", list(relevance), names, DIVERGING, centred_root(relevance)),
        ],
        across=len(names) == 1,
    )
    speaks = "speaks for the class, blue against it" if is_classified(arrays) else "raises the value, blue lowers it"
    caption = (
        f"{left_out}Orange {speaks}. Class activation, whose mean over the image is the score but for a constant, "
        "lies over the mean image in grey; it is coarse, so read it for regions. Integrated gradients share the score "
        "out to single pixels (square-root colour scale); read them for genes. Each block has one scale"
        f"{_strongest(names, maps)}. A region that is strong in one block only deserves doubt."
    )
    return Sketch("class-maps", canvas, "Where the network finds its reasons", caption, "reason")


def _overlay(images: Images, maps: Images) -> list[npt.NDArray[Any]]:
    """Return the colours of the maps, darker where the mean image is high; shape ``(height, width, 3)`` each."""
    shade = 1.0 - 0.45 * np.clip(images / (float(images.max()) or 1.0), 0.0, 1.0)
    return list(DIVERGING(centred(maps)(maps))[..., :3] * shade[..., None])


def _first(stack: Images, names: list[str]) -> tuple[str, Images, list[str]]:
    """Keep as many classes as a page can show, and say how many are left out."""
    if len(names) <= MOST_CLASSES:
        return "", stack, names
    return f"The first {MOST_CLASSES} of {count(len(names))} classes. ", stack[:MOST_CLASSES], names[:MOST_CLASSES]


def _mean_caption(images: Images, left_out: str) -> str:
    seen = "Pixels without a gene are white, high expression is dark; all panels share one scale."
    if len(images) == 1:
        return f"The mean image of all samples. {seen} It shows the layout, and is no reason for anything."
    shown = "the difference of the two" if len(images) == 2 else "what sets each class apart from the mean of all"
    spread = float(np.abs(images - images.mean(0)).max() / (float(np.ptp(images)) or 1.0))
    return (
        f"{left_out}Mean image of each class, and {shown}. {seen} No class departs from the mean of the classes by "
        f"more than {100 * spread:.0f} % of the range. A difference here is not a reason yet: it is what any test of "
        "single genes sees, and the network need not use it."
    )


def _strongest(names: Sequence[str], maps: Images) -> str:
    if len(names) == 1:
        return ""
    strongest = shorten(names[int(np.abs(maps).mean((1, 2)).argmax())], 40, keep_end=True)
    return f" for all classes, so that a pale class is one with weak reasons; {strongest} has the strongest"
