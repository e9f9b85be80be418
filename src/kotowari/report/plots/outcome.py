"""What was predicted for samples kept aside, against the truth."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed, significant
from kotowari.report.plots.arrays import class_names, target_name
from kotowari.report.plots.confusion import confusion_picture
from kotowari.report.plots.style import AGAINST, INK, LINE, OTHER, OURS, SOFT, Sketch, new_canvas, shorten

__all__ = ["classes_picture", "roc_points", "values_picture"]

_SIZE = (7.2, 3.3)
_BINS = 50
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


def classes_picture(arrays: Arrays) -> Sketch | None:
    """Draw a ROC curve for two classes, a confusion matrix beyond; nothing where all samples are of one class."""
    truth, said = arrays["truth_codes"].astype(np.intp), arrays["out_of_fold"].astype(np.float64)
    names = class_names(arrays, said.shape[1])
    if len(np.unique(truth)) < 2:
        return None
    if len(names) > 2:
        return confusion_picture(truth, said.argmax(1), names)
    return _two_classes(truth == 1, said[:, 1], names)


def values_picture(arrays: Arrays) -> Sketch:
    """Draw predicted against measured values, and how large the errors are."""
    measured, predicted = (arrays[name].astype(np.float64) for name in ("truth_values", "predicted_values"))
    target = shorten(target_name(arrays), 30)
    canvas = new_canvas(_SIZE)
    left, right = canvas.subplots(1, 2, width_ratios=[1, 1.15])
    ends = [float(min(measured.min(), predicted.min())), float(max(measured.max(), predicted.max()))]
    left.plot(ends, ends, color=OTHER, lw=1, ls=(0, (3, 3)))
    left.scatter(measured, predicted, s=14, color=OURS, alpha=_opacity(len(measured)), lw=0)
    margin = 0.04 * (ends[1] - ends[0] or 1.0)
    left.set(xlim=(ends[0] - margin, ends[1] + margin), ylim=(ends[0] - margin, ends[1] + margin), aspect="equal")
    left.set(xlabel=f"measured {target}", ylabel="predicted", title="Samples kept aside")
    errors, plain = np.abs(predicted - measured), np.abs(measured - measured.mean())
    _share_below(right, plain, OTHER, "the mean for everyone")
    _share_below(right, errors, OURS, "model")
    right.set(
        xlim=(0, None), ylim=(0, 1.02), xlabel="absolute error", ylabel="share of samples", title="Size of the errors"
    )
    right.legend(loc="lower right")
    gain = 1 - float(errors.mean() / plain.mean()) if plain.mean() > 0 else 0.0
    verdict = (
        f"smaller by {100 * gain:.0f} % than that of predicting the mean for everyone"
        if gain > 0
        else "no smaller than that of predicting the mean for everyone, so nothing was learned that holds"
    )
    caption = (
        f"{count(len(measured))} samples, each predicted by a model that never saw it; on the dashed line prediction "
        f"and measurement agree. A cloud flatter than the line means that extremes are pulled to the middle. The mean "
        f"absolute error is {significant(float(errors.mean()))}, {verdict}."
    )
    return Sketch("predicted-measured", canvas, "Predicted against measured", caption, "result")


def roc_points(positive: npt.NDArray[np.bool_], score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return false and true positive rates from strict to lax; equal scores move together.

    Examples
    --------
    >>> false, true = roc_points(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))
    >>> false.tolist(), true.tolist()
    ([0.0, 0.0, 1.0], [0.0, 0.5, 1.0])
    """
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    true, false = np.cumsum(positive[order])[last], np.cumsum(~positive[order])[last]
    return np.append(0.0, false / false[-1]), np.append(0.0, true / true[-1])


def _two_classes(positive: npt.NDArray[np.bool_], score: FloatArray, names: list[str]) -> Sketch:
    false, true = roc_points(positive, score)
    area = float(np.trapezoid(true, false))
    canvas = new_canvas(_SIZE)
    left, right = canvas.subplots(1, 2, width_ratios=[1, 1.15])
    left.fill_between(false, true, color=OURS, alpha=0.08, lw=0)
    left.plot([0, 1], [0, 1], color=OTHER, lw=1, ls=(0, (3, 3)))
    left.plot(false, true, color=OURS, lw=1.8, clip_on=False)
    left.text(0.97, 0.06, f"area {fixed(area, 2)}", ha="right", size=10, weight="bold", color=OURS)
    left.text(0.55, 0.5, "chance", size=8, color=SOFT)
    left.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal", title="ROC curve")
    short = [shorten(name, 18, keep_end=True) for name in names]
    left.set(xlabel=f"{short[0]} called {short[1]}", ylabel=f"{short[1]} found")
    for axis in (left.xaxis, left.yaxis):
        axis.set_ticks([0, 0.5, 1], ["0", "0.5", "1"])
    _swarms(right, positive, score, short)
    wrong = [int(((score >= 0.5) & ~positive).sum()), int(((score < 0.5) & positive).sum())]
    n = [int((~positive).sum()), int(positive.sum())]
    caption = (
        f"Every sample was predicted by a model that never saw it. Left: the share of {short[1]} that is found, "
        f"against the share of {short[0]} called so by mistake; the diagonal is guessing, and the area under the curve "
        f"is the chance that a sample of {short[1]} is ranked above one of {short[0]}, here over all pairs of samples. "
        f"Right: the probabilities behind it; at one half, {count(wrong[1])} of {count(n[1])} {short[1]} and "
        f"{count(wrong[0])} of {count(n[0])} {short[0]} samples fall on the wrong side. Samples near the middle should "
        "not be decided by this model."
    )
    return Sketch("roc", canvas, f"{short[0]} or {short[1]}, on samples kept aside", caption, "result")


def _swarms(axes: Axes, positive: npt.NDArray[np.bool_], score: FloatArray, names: list[str]) -> None:
    """Draw every probability as a dot in the row of its true class."""
    axes.axvline(0.5, color=OTHER, lw=1, ls=(0, (3, 3)))
    for row, (mask, colour) in enumerate(((~positive, OURS), (positive, AGAINST))):
        x = score[mask]
        axes.scatter(x, row + _offsets(x), s=13, color=colour, alpha=_opacity(len(x)), lw=0, clip_on=False)
    axes.axhline(0.5, color=LINE, lw=0.7)
    axes.set(xlim=(0, 1), ylim=(-0.5, 1.5), title="Probability of each sample", xlabel=f"probability of {names[1]}")
    axes.set_yticks([0, 1], [f"truly\n{name}" for name in names], color=INK)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _offsets(x: FloatArray) -> FloatArray:
    """Return how far dots are moved from their row so that equal ones stand beside each other, at most 0.42."""
    bins = np.minimum((x * _BINS).astype(np.intp), _BINS - 1)
    order = np.argsort(bins, kind="stable")
    starts = np.searchsorted(bins[order], bins[order])
    place = np.empty(len(x), np.intp)
    place[order] = np.arange(len(x)) - starts
    side = np.where(place % 2 == 0, 1, -1) * ((place + 1) // 2)
    offsets: FloatArray = side.astype(np.float64) * min(0.075, 0.42 / int(np.abs(side).max(initial=1)))
    return offsets


def _share_below(axes: Axes, errors: FloatArray, colour: str, label: str) -> None:
    x = np.append(0.0, np.sort(errors))
    y = np.arange(len(x)) / len(errors)
    axes.step(x, y, where="post", color=colour, lw=1.8 if colour == OURS else 1.2, label=label)


def _opacity(n: int) -> float:
    return float(np.clip(30 / np.sqrt(max(n, 1)) / 2, 0.15, 0.85))
