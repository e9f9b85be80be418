"""Intervals drawn as small inline pictures on one axis, so that rows can be compared by eye."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from markupsafe import Markup

from kotowari.report.numerals import MINUS

__all__ = ["Axis", "draw_axis", "draw_interval", "draw_marker"]

_WIDTH, _HEIGHT, _EDGE = 280.0, 26.0, 12.0
_MIDDLE = _HEIGHT / 2
_BELOW = 21.0  # folds stand below the interval, or its line would hide them
# The shape says the role as well as the colour does.
_MARKERS = {
    "ours": Markup('<circle class="ours" cx="{x}" cy="{y}" r="5"/>'),
    "comparator": Markup('<circle class="hollow" cx="{x}" cy="{y}" r="4.5"/>'),
    "trivial null": Markup('<path class="hollow" d="M{x} {y}m-5.5 0l5.5-5.5l5.5 5.5l-5.5 5.5z"/>'),
    "untrained": Markup('<path class="hollow" d="M{x} {y}m-5.5 4.5l5.5-9.5l5.5 9.5z"/>'),
    "chance": Markup('<path class="cross" d="M{x} {y}m-4-4l8 8m0-8l-8 8"/>'),
}


@dataclass(frozen=True)
class Axis:
    """One axis for all rows of a group.

    Parameters
    ----------
    low, high
        Its ends, ``low < high``.
    ticks
        Round numbers within them.
    chance
        Where chance stands; None when no row says it.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    chance: float | None = None

    @classmethod
    def around(cls, values: Iterable[float], chance: float | None = None) -> Self:
        """Return the axis that holds all ``values`` with a small margin; scores within 0 and 1 stay within."""
        known = [*values, *([] if chance is None else [chance])]
        least, most = min(known, default=0.0), max(known, default=1.0)
        margin = 0.06 * (most - least) or 0.05 * max(abs(most), 1.0)
        low, high = least - margin, most + margin
        if least >= 0 and most <= 1:
            low, high = max(low, 0.0), min(high, 1.0)
        return cls(low, high, _round_ticks(low, high), chance)

    def position(self, value: float) -> float:
        """Return the horizontal place of ``value`` in the picture, in its own units."""
        return round(_EDGE + (value - self.low) / (self.high - self.low) * (_WIDTH - 2 * _EDGE), 2)


def draw_interval(
    axis: Axis, role: str, value: float | None, *, ends: Sequence[float], folds: Sequence[float]
) -> Markup:
    """Return one row: its 95 % interval as a line, its value as the marker of its role, its folds as faint dots below.

    Parameters
    ----------
    axis
        The common axis.
    role
        As in :class:`kotowari.core.Metric`.
    value
        None draws the axis alone.
    ends
        Low and high end of the interval, or empty.
    folds
        Values of single folds.
    """
    inside = [_gridlines(axis)]
    inside += [Markup('<circle class="fold" cx="{}" cy="{}" r="1.6"/>').format(axis.position(f), _BELOW) for f in folds]
    if len(ends) == 2:
        low, high = (axis.position(end) for end in ends)
        stroke = Markup('<path class="interval {}" d="M{low} {y}H{high}M{low} {top}v8M{high} {top}v8"/>')
        inside.append(
            stroke.format("ours" if role == "ours" else "other", low=low, high=high, y=_MIDDLE, top=_MIDDLE - 4)
        )
    if value is not None:
        inside.append(_MARKERS[role].format(x=axis.position(value), y=_MIDDLE))
    return _picture(inside, _HEIGHT)


def draw_axis(axis: Axis) -> Markup:
    """Return the numbers below the rows."""
    place = Markup('<text x="{}" y="12">{}</text>')
    return _picture([place.format(axis.position(tick), f"{tick:g}".replace("-", MINUS)) for tick in axis.ticks], 16.0)


def draw_marker(role: str) -> Markup:
    """Return the marker of a role alone, for the legend that every row carries."""
    picture = Markup('<svg class="marker" viewBox="0 0 14 14" width="14" height="14" aria-hidden="true">{}</svg>')
    return picture.format(_MARKERS[role].format(x=7, y=7))


def _gridlines(axis: Axis) -> Markup:
    line = Markup('<path class="{}" d="M{} 0V{}"/>')
    lines = [line.format("grid", axis.position(tick), _HEIGHT) for tick in axis.ticks]
    if axis.chance is not None:
        lines.append(line.format("chance", axis.position(axis.chance), _HEIGHT))
    return Markup("").join(lines)


def _picture(inside: Iterable[Markup], height: float) -> Markup:
    # The number stands beside the picture in words, so a screen reader may pass over it.
    frame = Markup('<svg class="plot" viewBox="0 0 {} {}" aria-hidden="true">{}</svg>')
    return frame.format(f"{_WIDTH:g}", f"{height:g}", Markup("").join(inside))


def _round_ticks(low: float, high: float) -> tuple[float, ...]:
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(round(number * step, 12) for number in range(first, last + 1))
