"""What was predicted for subjects kept aside, and for those of another site, against the truth."""

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed, significant
from kotowari.report.plots.style import AGAINST, LINE, OTHER, OURS, Sketch, new_canvas, shorten
from kotowari.studies.brain.figures.arrays import one_word, unit_words

__all__ = ["Agreement", "agreement_words", "predicted_picture"]

_SIZE = (4.2, 4.1)
FloatArray = npt.NDArray[np.float64]
Agreement = tuple[float, float, float, float]


def predicted_picture(arrays: Arrays, *, place: int = 0) -> Sketch | None:
    """Draw predicted against true values of one target; nothing where it has fewer than three predictions."""
    if place >= len(arrays["predicted_targets"]):
        return None
    inside = _pairs(arrays, "fold", place)
    if inside.shape[1] < 3:
        return None
    outside = _pairs(arrays, "external", place)
    target = shorten(arrays["predicted_targets"][place], 30)
    unit = unit_words(arrays, "predicted_units", place)
    site = shorten(one_word(arrays, "external_site", "other site"), 16)
    adjusted = "predicted_adjusted" in arrays and bool(arrays["predicted_adjusted"][place])
    canvas = new_canvas(_SIZE)
    axes = canvas.subplots()
    seen = np.concatenate([inside.ravel(), outside.ravel()])
    low, high = float(seen.min()), float(seen.max())
    room = 0.05 * (high - low or 1.0)
    ends = (low - room, high + room)
    axes.plot(ends, ends, color=OTHER, lw=1, ls=(0, (3, 3)), zorder=1)
    axes.axhline(float(inside[0].mean()), color=LINE, lw=0.8, zorder=0)
    opacity = float(np.clip(7.5 / np.sqrt(inside.shape[1]), 0.25, 0.8))
    axes.scatter(
        inside[0], inside[1], color=OURS, lw=0, s=16, alpha=opacity, label=f"kept aside: {agreement_words(inside)}"
    )
    if outside.shape[1] > 2:
        words = f"{site}: {agreement_words(outside)}"
        axes.scatter(outside[0], outside[1], s=18, facecolor="none", edgecolor=AGAINST, lw=0.9, label=words)
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.set_xlabel(f"true {target}{unit}{', less covariates' if adjusted else ''}")
    axes.set_ylabel(f"predicted{unit}")
    canvas.legend(loc="outside upper left", fontsize=7, handletextpad=0.1, labelspacing=0.3, borderpad=0.1)
    error, plain = _errors(inside)
    gain = 1 - error / plain if plain > 0 else 0.0
    verdict = f"{100 * gain:.0f} % less than" if gain > 0 else "no less than"
    caption = (
        f"{count(inside.shape[1])} predictions by models that never saw the subject"
        f"{_external_words(outside, site)}. On the dashed line prediction and truth agree; the mean absolute error is "
        f"{significant(error, 2)}, {verdict} that of predicting the mean for everyone (grey line)."
    )
    return Sketch(f"predicted-{place + 1}", canvas, f"Predicted against true {target}", caption, "result")


def agreement_words(pairs: FloatArray) -> str:
    """Return n, r, Spearman's rank correlation, R2 and mean absolute error of true and predicted values."""
    r, rank, explained, error = _agreement(pairs)
    return (
        f"n {pairs.shape[1]}, r {fixed(r, 2)}, Spearman {fixed(rank, 2)}, R² {fixed(explained, 2)}, "
        f"MAE {significant(error, 2)}"
    )


def _agreement(pairs: FloatArray) -> Agreement:
    truth, said = pairs
    total = float(((truth - truth.mean()) ** 2).sum())
    explained = 1 - float(((truth - said) ** 2).sum()) / total if total > 0 else np.nan
    return _correlation(truth, said), _correlation(_ranks(truth), _ranks(said)), explained, _errors(pairs)[0]


def _correlation(a: FloatArray, b: FloatArray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else np.nan


def _ranks(values: FloatArray) -> FloatArray:
    """Return ranks from 1; equal values share the mean of theirs."""
    _, inverse, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(sizes) - (sizes - 1) / 2)[inverse]
    return ranks


def _errors(pairs: FloatArray) -> tuple[float, float]:
    """Return the mean absolute error of the prediction, and of the mean for everyone."""
    truth, said = pairs
    return float(np.abs(truth - said).mean()), float(np.abs(truth - truth.mean()).mean())


def _pairs(arrays: Arrays, part: str, place: int) -> FloatArray:
    """Return true and predicted values of a target, shape ``(2, prediction)``."""
    names = [f"{part}_{name}" for name in ("target", "true", "predicted")]
    if not set(names) <= arrays.keys():
        return np.empty((2, 0))
    whose, truth, said = (arrays[name] for name in names)
    return np.array([truth[whose == place], said[whose == place]], np.float64)


def _external_words(outside: FloatArray, site: str) -> str:
    n = outside.shape[1]
    return f" (filled), and {count(n)} at {site} by a model that was not refitted (open)" if n > 2 else ""
