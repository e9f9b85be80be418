"""The axis of the modulator: where its samples lie, and where they are too few."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from kotowari.core.jobs import Arrays
from kotowari.report.plots.style import LINE, SOFT

__all__ = ["FEW_SAMPLES", "few_words", "limits", "rug", "shade_few"]

# with 20 samples a correlation below 0.44 is within chance (t test, two-sided, 5 %), so weaker edges cannot be seen
FEW_SAMPLES = 20
FloatArray = npt.NDArray[np.float64]


def limits(modulator: FloatArray) -> tuple[float, float]:
    """Return the ends of the axis, a little beyond the samples."""
    room = 0.03 * (float(np.ptp(modulator)) or 1.0)
    return float(modulator.min()) - room, float(modulator.max()) + room


def rug(axes: Axes, modulator: FloatArray) -> None:
    """Mark every sample by a short line at the bottom."""
    opacity = float(np.clip(9 / np.sqrt(len(modulator)), 0.2, 0.8))
    axes.vlines(modulator, 0, 0.045, transform=axes.get_xaxis_transform(), color=SOFT, lw=0.6, alpha=opacity)


def shade_few(axes: Axes, arrays: Arrays) -> None:
    """Grey the ranges in which networks have fewer than :data:`FEW_SAMPLES` effective samples behind them."""
    if "effective_samples" not in arrays or not len(arrays["modulator"]):
        return
    order = np.argsort(arrays["modulator"], kind="stable")
    places, effective = (arrays[name][order].astype(np.float64) for name in ("modulator", "effective_samples"))
    few = effective < FEW_SAMPLES
    turns = np.flatnonzero(few[1:] != few[:-1])
    # the line between two samples passes the limit here
    share = (FEW_SAMPLES - effective[turns]) / (effective[turns + 1] - effective[turns])
    passed = places[turns] + share * (places[turns + 1] - places[turns])
    low, high = limits(places)
    ends = np.concatenate([[low] if few[0] else [], passed, [high] if few[-1] else []])
    for start, stop in ends.reshape(-1, 2):
        axes.axvspan(start, stop, color=LINE, alpha=0.55, lw=0, zorder=0)


def few_words(arrays: Arrays) -> str:
    """Say in a sentence what the grey ranges are; empty where there are none."""
    if "effective_samples" not in arrays:
        return ""
    n_few = int((arrays["effective_samples"] < FEW_SAMPLES).sum())
    if not n_few:
        return ""
    return (
        f" Grey: fewer than {FEW_SAMPLES} effective samples stand behind a network there (it concerns {n_few} of "
        f"{len(arrays['effective_samples'])}), and edges that correlate below 0.44 cannot be told from chance."
    )
