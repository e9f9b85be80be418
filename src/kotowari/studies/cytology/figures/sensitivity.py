"""What other weights of the loss would have given."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import fixed
from kotowari.report.plots.style import HALF, SEQUENTIAL, Sketch, new_canvas
from kotowari.studies.cytology.figures.arrays import kind_name

__all__ = ["sensitivity_picture"]


def sensitivity_picture(arrays: Arrays, place: int) -> Sketch | None:
    """Draw F1 over both weights; nothing where they were not varied."""
    if f"sensitivity_{place}" not in arrays:
        return None
    values, factors = arrays[f"sensitivity_{place}"].astype(np.float64), arrays[f"sensitivity_{place}_factors"]
    if not np.isfinite(values).any():
        return None
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    axes.imshow(values, cmap=SEQUENTIAL, vmin=0, vmax=1)
    words = [f"x {factor:g}" for factor in factors]
    axes.set_xticks(range(len(words)), words)
    axes.set_yticks(range(len(words)), words)
    axes.set(xlabel="weight of total variation", ylabel="weight of sparsity")
    for (row, column), value in np.ndenumerate(values):
        axes.text(
            column, row, fixed(float(value), 2), ha="center", va="center", color="white" if value > 0.5 else "black"
        )
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    axes.set_title(f"F1 from {fixed(low, 2)} to {fixed(high, 2)}")
    caption = (
        f"F1 at IoU 0.5 against {arrays[f'sensitivity_{place}_of']} on the first fold, with both weights of the loss "
        f"multiplied; each square is a fit of its own. The spread, {fixed(high - low, 2)}, is what the choice of the "
        "weights matters."
    )
    whose = kind_name(arrays, place)
    return Sketch(
        f"sensitivity-{place + 1}",
        canvas,
        "Other weights of the loss" + (f" ({whose})" if whose else ""),
        caption,
        "trust",
    )
