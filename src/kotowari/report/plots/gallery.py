"""Pictures of a run drawn one after the other, and saved."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from kotowari.core.files import write_bytes
from kotowari.core.jobs import Arrays
from kotowari.core.page import Figure
from kotowari.report.plots.style import Sketch, encode, house_style

__all__ = ["Pictures", "save_sketches", "sketch_each"]

Pictures = Sequence[tuple[Callable[[Arrays], Sketch | None], frozenset[str]]]

_UNWRITABLE = " Signs that the fonts of this machine lack are shown as boxes."


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
