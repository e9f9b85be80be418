"""How well the expression of target genes is foretold in samples kept aside."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.style import AGAINST, INK, OTHER, OURS, SOFT, WIDE, Sketch, new_canvas, shorten

__all__ = ["target_scores_picture"]

_SIZE = (WIDE[0], 3.3)
_COLOURS = (OURS, AGAINST, SOFT, OTHER, INK)
_MARKERS = ("o", "o", "^", "s", "D")
_LEAST = -0.5  # below, a score is bad and how bad it is says nothing
FloatArray = npt.NDArray[np.float64]


def target_scores_picture(arrays: Arrays) -> Sketch | None:
    """Draw held-out R2 of each target by ours against the others, and of all models; nothing without scores."""
    names = [name.removesuffix(" (kotowari)") for name in arrays["target_models"]][: len(_COLOURS)]
    scores = arrays["target_scores"].astype(np.float64)[: len(_COLOURS)]
    scores = scores[:, np.isfinite(scores).all(0)]
    if not scores.size:
        return None
    floor = max(_LEAST, float(np.floor(scores.min() * 10) / 10)) if scores.min() < 0 else 0.0
    shown = np.maximum(scores, floor)
    canvas = new_canvas(_SIZE)
    left, right = canvas.subplots(1, 2, width_ratios=[1, 1.15])
    _pairs(left, shown, names, floor)
    _shares(right, shown, names, floor)
    below = int((scores < floor).sum())
    return Sketch(
        "target-scores", canvas, "Expression of targets in samples kept aside", _caption(names, scores, below), "result"
    )


def _pairs(axes: Axes, scores: FloatArray, names: list[str], floor: float) -> None:
    """Set each target's score by ours against that by every other model."""
    ends = (floor - 0.03, 1.0)
    axes.plot(ends, ends, color=OTHER, lw=1, ls=(0, (3, 3)))
    opacity = float(np.clip(14 / np.sqrt(scores.shape[1]), 0.2, 0.8))
    for other, colour, marker in list(zip(scores, _COLOURS, _MARKERS, strict=False))[1:]:
        axes.scatter(other, scores[0], s=13, color=colour, marker=marker, alpha=opacity, lw=0)
    axes.set(xlim=ends, ylim=ends, aspect="equal", title="Every target")
    axes.set(xlabel="R² of the other model", ylabel=f"R² of {shorten(names[0], 20)}")
    axes.text(0.05, 0.95, "ours better", transform=axes.transAxes, va="top", color=SOFT, size=8)


def _shares(axes: Axes, scores: FloatArray, names: list[str], floor: float) -> None:
    """Draw which share of the targets reaches each score."""
    n = scores.shape[1]
    axes.axvline(0, color=OTHER, lw=0.8)
    for row, name, colour in list(zip(scores, names, _COLOURS, strict=False))[::-1]:
        x = np.concatenate([[floor - 0.03], np.sort(row), [1.0]])
        y = np.concatenate([1 - np.arange(n + 1) / n, [0.0]])
        label = f"{shorten(name, 32)}: {fixed(float(np.median(row)), 2)}"
        axes.step(x, y, where="post", color=colour, lw=2 if colour == OURS else 1.3, label=label)
    axes.set(xlim=(floor - 0.03, 1.0), ylim=(0, 1.02), xlabel="R²", title="Share of targets that reach it")
    axes.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1],
        labels[::-1],
        title="median R²",
        loc="upper right",
        borderaxespad=0.1,
        handlelength=1.2,
        fontsize=7.5,
        title_fontsize=7.5,
        alignment="left",
    )


def _caption(names: list[str], scores: FloatArray, below: int) -> str:
    n = scores.shape[1]
    words = [
        f"R² of {count(n)} target genes in samples that took no part in the fit; 0 is the training mean for everyone. "
        "Left: a dot above the dashed line is a target that ours predicts better, in the colour of the other model."
    ]
    for name, other in zip(names[1:], scores[1:], strict=True):
        wins = 100 * float((scores[0] > other).mean())
        gap = float(np.median(scores[0] - other))
        words.append(f"{names[0]} is better than {name} on {wins:.0f} % (median difference {fixed(gap, 3)}).")
    if len(scores) > 1:
        best = int(np.median(scores, axis=1).argmax())
        words.append(
            f"{names[0]} has the highest median; the test beside the scores tells whether that is more than chance."
            if best == 0
            else f"{names[best]} has the higher median: on these data a network that varies costs more than it gives, "
            "so read changes of edges with doubt."
        )
    if below:
        words.append(f"Of {count(below)} below {fixed(_LEAST, 1)} only the edge of the picture is seen.")
    return " ".join(words)
