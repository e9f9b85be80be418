"""All pictures of a run: which arrays each needs, in which order they stand, and how they are saved."""

from collections.abc import Callable, Iterator
from pathlib import Path

from kotowari.core.files import write_bytes
from kotowari.core.jobs import Arrays
from kotowari.core.page import Figure
from kotowari.studies.omics.figures.arrays import read_arrays
from kotowari.studies.omics.figures.chance import null_picture, random_network_picture
from kotowari.studies.omics.figures.class_images import class_maps_picture, mean_images_picture
from kotowari.studies.omics.figures.gene_map import gene_map_picture
from kotowari.studies.omics.figures.outcome import classes_picture, values_picture
from kotowari.studies.omics.figures.pathways import pathways_picture
from kotowari.studies.omics.figures.stability import faithfulness_picture, implants_picture, stability_picture
from kotowari.studies.omics.figures.style import Sketch, encode, house_style
from kotowari.studies.omics.figures.top_genes import top_genes_picture

__all__ = ["draw"]

_UNWRITABLE = " Signs that the fonts of this machine lack are shown as boxes."

_PICTURES: tuple[tuple[Callable[[Arrays], Sketch | None], frozenset[str]], ...] = (
    (classes_picture, frozenset({"classes", "truth_codes", "out_of_fold"})),
    (values_picture, frozenset({"truth_values", "predicted_values"})),
    (gene_map_picture, frozenset({"genes", "pixels", "shape", "strength"})),
    (top_genes_picture, frozenset({"genes", "strength", "class_means"})),
    (mean_images_picture, frozenset({"mean_images"})),
    (class_maps_picture, frozenset({"mean_images", "class_maps", "relevance_maps"})),
    (null_picture, frozenset({"null_values", "observed_value"})),
    (random_network_picture, frozenset({"strength", "random_strength"})),
    (stability_picture, frozenset({"frequency"})),
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
    arrays = read_arrays(folder / "work" / "pictures.npz")
    figures = []
    with house_style():
        for sketch in _sketches(folder, arrays):
            png, lacks_signs = encode(sketch.canvas)
            write_bytes(folder / "figures" / f"{sketch.name}.png", png)
            caption = sketch.caption + (_UNWRITABLE if lacks_signs else "")
            figures.append(Figure(f"{sketch.name}.png", sketch.title, caption, sketch.section))
    return figures


def _sketches(folder: Path, arrays: Arrays) -> Iterator[Sketch]:
    """Draw one picture after the other, so that one canvas is held at a time."""
    for picture, needed in _PICTURES:
        sketch = picture(arrays) if needed <= arrays.keys() else None
        if sketch is not None:
            yield sketch
    # the test of the selected genes comes before that of the whole ranking
    for path in sorted((folder / "tables").glob("pathways-*.csv"), key=lambda path: ("gsea" in path.stem, path.stem)):
        sketch = pathways_picture(path, arrays)
        if sketch is not None:
            yield sketch
