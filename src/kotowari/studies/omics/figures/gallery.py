"""All pictures of a run: which arrays each needs, and in which order they stand."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kotowari.core.jobs import Arrays
from kotowari.core.page import Figure
from kotowari.report.plots.arrays import read_arrays
from kotowari.report.plots.detection import implants_picture
from kotowari.report.plots.gallery import Pictures, save_sketches, sketch_each
from kotowari.report.plots.null import null_picture
from kotowari.report.plots.outcome import classes_picture, values_picture
from kotowari.report.plots.stability import stability_picture
from kotowari.report.plots.style import Sketch
from kotowari.studies.omics.figures.arrays import AXES, GAPS
from kotowari.studies.omics.figures.class_images import class_maps_picture, mean_images_picture
from kotowari.studies.omics.figures.faithfulness import faithfulness_picture
from kotowari.studies.omics.figures.gene_map import gene_map_picture
from kotowari.studies.omics.figures.pathways import pathways_picture
from kotowari.studies.omics.figures.random_network import random_network_picture
from kotowari.studies.omics.figures.top_genes import top_genes_picture

__all__ = ["PICTURES", "draw"]

PICTURES: Pictures = (
    (classes_picture, frozenset({"classes", "truth_codes", "out_of_fold"})),
    (values_picture, frozenset({"truth_values", "predicted_values"})),
    (gene_map_picture, frozenset({"genes", "pixels", "shape", "strength"})),
    (top_genes_picture, frozenset({"genes", "strength", "class_means"})),
    (mean_images_picture, frozenset({"mean_images"})),
    (class_maps_picture, frozenset({"mean_images", "class_maps", "relevance_maps"})),
    (null_picture, frozenset({"null_values", "observed_value"})),
    (random_network_picture, frozenset({"strength", "random_strength"})),
    (partial(stability_picture, instead="regions and pathways"), frozenset({"frequency"})),
    (
        implants_picture,
        frozenset({"implant_grades", "implant_frequency", "implant_low", "implant_high", "implant_limit"}),
    ),
    (faithfulness_picture, frozenset({"fractions", "deletion", "insertion"})),
)


def draw(folder: Path) -> list[Figure]:
    """Draw every picture whose arrays the run folder holds, and say what is seen on each.

    Reads ``work/pictures.npz`` and ``tables/pathways-*.csv``; writes ``figures/*.png``, each in one step. Equal arrays
    give equal bytes. A picture whose arrays are absent is not drawn.

    Parameters
    ----------
    folder
        A run folder.

    Returns
    -------
    list of Figure
        In the order of the report.

    Raises
    ------
    InputError
        When a file of the run is damaged.
    ShapeError
        When two arrays do not fit each other.
    """
    arrays = read_arrays(folder / "work" / "pictures.npz", AXES, gaps=GAPS)
    return save_sketches(folder, _sketches(folder, arrays))


def _sketches(folder: Path, arrays: Arrays) -> Iterator[Sketch]:
    yield from sketch_each(PICTURES, arrays)
    # the test of the selected genes comes before that of the whole ranking
    for path in sorted((folder / "tables").glob("pathways-*.csv"), key=lambda path: ("gsea" in path.stem, path.stem)):
        sketch = pathways_picture(path, arrays)
        if sketch is not None:
            yield sketch
