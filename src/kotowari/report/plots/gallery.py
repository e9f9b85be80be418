"""Pictures of a run drawn one after the other, and saved."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from kotowari.core.files import write_bytes
from kotowari.core.jobs import Arrays
from kotowari.core.page import Figure
from kotowari.report.plots.style import Sketch, encode, house_style

__all__ = ["Pictures", "draw_gallery", "save_sketches", "sketch_each"]

Pictures = Sequence[tuple[Callable[[Arrays], Sketch | None], frozenset[str]]]

_UNWRITABLE = " Signs that the fonts of this machine lack are shown as boxes."


def draw_gallery(folder: Path, *, pictures: Pictures, read: Callable[[Path], Arrays]) -> list[Figure]:
    """Draw every picture whose arrays a run folder holds, and say what is seen on each.

    Reads ``work/pictures.npz``; writes ``figures/*.png``, each in one step. Equal arrays give equal bytes. A picture
    whose arrays are absent, or show nothing, is not drawn.

    Parameters
    ----------
    folder
        A run folder.
    pictures
        Of a study, in the order of its report.
    read
        Reads the arrays and checks them; see :func:`kotowari.report.plots.arrays.read_arrays`.

    Raises
    ------
    InputError
        When the file of the run is damaged.
    ShapeError
        When two arrays do not fit each other.
    """
    return save_sketches(folder, sketch_each(pictures, read(folder / "work" / "pictures.npz")))


def sketch_each(pictures: Pictures, arrays: Arrays) -> Iterator[Sketch]:
    """Draw every picture whose arrays are there, one when asked for, so that one canvas is held at a time.

    Parameters
    ----------
    pictures
        What draws a picture, which may find nothing to show, and the names of the arrays that it cannot do without.
    arrays
        Of the run.
    """
    for picture, needed in pictures:
        sketch = picture(arrays) if needed <= arrays.keys() else None
        if sketch is not None:
            yield sketch


def save_sketches(folder: Path, sketches: Iterable[Sketch]) -> list[Figure]:
    """Write ``figures/*.png`` of a run folder, each in one step, and return what is seen on each.

    What ``sketches`` draws as it is walked through has the house style. Equal drawings give equal bytes.
    """
    figures = []
    with house_style():
        for sketch in sketches:
            png, lacks_signs = encode(sketch.canvas)
            write_bytes(folder / "figures" / f"{sketch.name}.png", png)
            caption = sketch.caption + (_UNWRITABLE if lacks_signs else "")
            figures.append(Figure(f"{sketch.name}.png", sketch.title, caption, sketch.section))
    return figures
