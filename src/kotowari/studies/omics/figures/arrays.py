"""The arrays that the pictures are drawn from, and their axes."""

from kotowari.report.plots.arrays import COMMON_AXES, COMMON_GAPS, ArrayAxes

__all__ = ["AXES", "GAPS"]

AXES: ArrayAxes = {
    **COMMON_AXES,
    "genes": ("gene",),
    "pixels": ("gene", 2),
    "shape": (2,),
    "mean_images": ("class", "height", "width"),
    "class_maps": ("class", "height", "width"),
    "relevance_maps": ("class", "height", "width"),
    "strength": ("gene",),
    "class_means": ("class", "gene"),
    "p": ("gene",),
    "q": ("gene",),
    "frequency": ("gene",),
    "fractions": ("step",),
    "deletion": ("step",),
    "insertion": ("step",),
    "random_deletion": ("step",),
    "random_insertion": ("step",),
    "random_strength": ("gene",),
}
GAPS = COMMON_GAPS | {"p", "q", "frequency"}
