"""How the loss of the networks falls."""

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.style import HALF, OTHER, OURS, Sketch, new_canvas

__all__ = ["training_picture"]


def training_picture(arrays: Arrays) -> Sketch:
    """Draw the loss by epoch, that of the final network thick."""
    loss = arrays["loss"].astype(np.float64)
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    for row, curve in enumerate(loss):
        final = row == len(loss) - 1
        axes.plot(np.arange(1, len(curve) + 1), curve, color=OURS if final else OTHER, lw=2 if final else 0.9)
    axes.set(xlabel="pass over the lessons, round after round", ylabel="loss", title="Loss of training")
    caption = (
        f"{count(len(loss))} networks; thick is the one of all recordings. On fresh vessels put into frames it was "
        f"learned from, it reaches a Dice of {fixed(float(arrays['implant_dice']), 2)}: that sets the threshold and "
        "says nothing of real vessels."
    )
    return Sketch("training", canvas, "Training without masks", caption, "trust")
