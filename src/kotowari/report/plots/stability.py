"""Whether parts of a model would be found again in other samples."""

import math

import numpy as np
import numpy.typing as npt

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.style import AGAINST, HALF, OTHER, OURS, Sketch, new_canvas

__all__ = ["stability_picture"]

_GOOD, _MIDDLING = 0.75, 0.4
FloatArray = npt.NDArray[np.float64]


def stability_picture(
    arrays: Arrays, *, part: str = "gene", draws: str = "bootstraps of the patients", instead: str = "groups of them"
) -> Sketch | None:
    """Draw how often each part is selected, against a random choice; nothing where no selection was made.

    Parameters
    ----------
    arrays
        Holds ``frequency``, and ``n_selections`` and ``stability`` where they are known.
    part
        What is selected, in the singular.
    draws
        What the selection was repeated on.
    instead
        What to read where single parts are not stable.
    """
    frequency = arrays["frequency"].astype(np.float64)
    if not (np.isfinite(frequency).all() and frequency.any()):
        return None
    n, size = len(frequency), float(frequency.sum())
    shown = int(np.clip(3 * size, 10, n))
    found = np.sort(frequency)[::-1][:shown]
    canvas = new_canvas(HALF)
    axes = canvas.subplots()
    rank = np.arange(1, shown + 1)
    always = f"always the same {part}s"
    axes.plot([0.5, size + 0.5, size + 0.5], [1, 1, 0], color=OTHER, lw=1.2, ls=(0, (1, 1.5)), label=always)
    axes.fill_between(rank, found, step="mid", color=OURS, alpha=0.12, lw=0)
    axes.step(rank, found, where="mid", color=OURS, lw=1.8, label="observed")
    by_chance = _random_frequencies(arrays, n, size)[:shown]
    axes.step(rank, by_chance, where="mid", color=AGAINST, lw=1.4, ls=(0, (3, 3)), label="random choice")
    axes.legend(loc="upper right", borderaxespad=0.2)
    axes.set(xlim=(0.5, shown + 0.5), ylim=(0, 1.03), xlabel=f"{part}s, most often selected first")
    axes.set_ylabel("selected in")
    axes.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
    words, title = "", f"How often {part}s are selected again"
    if "stability" in arrays and np.isfinite(arrays["stability"][0]):
        index, low, high = (float(value) for value in arrays["stability"])
        axes.set_title(f"Nogueira index {fixed(index, 2)} ({fixed(low, 2)} to {fixed(high, 2)})")
        words = f" The Nogueira index is {fixed(index, 2)} (1: always the same {part}s, 0: chance): "
        words += _judged(index, part, instead)
    often = int((frequency >= 0.5).sum())
    caption = (
        f"Selection of {size:.0f} of {count(n)} {part}s, repeated on {draws}: {count(often)} {part}s "
        f"come in half of them or more. The nearer the curve is to the dotted step, the firmer the list.{words}"
    )
    return Sketch("stability", canvas, title, caption, "trust")


def _random_frequencies(arrays: Arrays, n: int, size: float) -> FloatArray:
    r"""Return sorted frequencies to expect if every selection drew its parts at random.

    With M selections known, quantile :math:`1 - (i - 1/2)/n` of the binomial distribution of M draws at
    :math:`\bar k / n`; else its mean for every part.
    """
    share = size / n
    m = int(arrays["n_selections"]) if "n_selections" in arrays else 0
    if m < 1:
        return np.full(n, share)
    chosen = np.array([math.comb(m, j) * share**j * (1 - share) ** (m - j) for j in range(m + 1)])
    levels = 1 - (np.arange(n) + 0.5) / n
    places = np.minimum(np.searchsorted(np.cumsum(chosen), levels), m)
    frequencies: FloatArray = places / m
    return frequencies


def _judged(index: float, part: str, instead: str) -> str:
    if index >= _GOOD:
        return f"good, the same {part}s come again."
    if index >= _MIDDLING:
        return f"middling, so read only the {part}s that are selected often."
    return f"poor. Other patients would give another list; read {instead} rather than single {part}s."
