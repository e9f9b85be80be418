"""Numbers as a reader wants them: few digits, true minus signs, a dash where there is none."""

import math
from collections.abc import Iterable

from kotowari.core.runfolder import Metric

__all__ = [
    "DASH",
    "MINUS",
    "TIMES",
    "count",
    "decimals_for",
    "duration",
    "fixed",
    "p_value",
    "score_words",
    "significant",
    "size",
]

DASH = "—"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SMALL, _LARGE = 1e-3, 1e6
_SMALLEST_P = 1e-4  # below, zeros are harder to count than an exponent to read


def significant(value: float | None, digits: int = 3) -> str:
    """Return ``value`` with at most so many significant digits; whole numbers below a million stay whole.

    Examples
    --------
    >>> significant(0.84321), significant(-12.0), significant(0.5), significant(0.0000321), significant(None)
    ('0.843', '−12', '0.5', '3.21 × 10⁻⁵', '—')
    """
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return f"{MINUS if value < 0 else ''}∞"
    magnitude = abs(value)
    if magnitude < _LARGE and magnitude == int(magnitude):
        return fixed(value, 0)
    if not _SMALL <= magnitude < _LARGE:
        return _scientific(value, digits)
    text = fixed(value, max(digits - 1 - math.floor(math.log10(magnitude)), 0))
    return text.rstrip("0").rstrip(".") if "." in text else text


def fixed(value: float | None, decimals: int) -> str:
    """Return ``value`` with so many decimals, or a dash.

    Examples
    --------
    >>> fixed(0.8449, 2), fixed(-0.001, 2)
    ('0.84', '0.00')
    """
    if value is None or not math.isfinite(value):
        return significant(value)
    text = f"{abs(value):.{decimals}f}"
    return f"{MINUS}{text}" if value < 0 and float(text) else text


def p_value(p: float | None, refits: int | None = None) -> str:
    """Return p with two significant digits and, where known, the number of refits behind it.

    Examples
    --------
    >>> p_value(1 / 21, 20), p_value(0.0014), p_value(0.63), p_value(3.4e-6)
    ('0.048 (20 refits)', '0.0014', '0.63', '3.4 × 10⁻⁶')
    """
    if p is None or math.isnan(p):
        return DASH
    if 0 < p < _SMALLEST_P:
        text = _scientific(p, 2)
    else:
        text = fixed(p, 2 if p == 0 else max(1 - math.floor(math.log10(p)), 2))
    return text if refits is None else f"{text} ({count(refits)} refits)"


def count(value: int) -> str:
    """Return a count with thousands set apart.

    Examples
    --------
    >>> count(3899)
    '3,899'
    """
    return f"{value:,}"


def decimals_for(widths: Iterable[float], values: Iterable[float]) -> int:
    """Return how many decimals a column of scores deserves, 0 up to 4.

    The widest 95 % interval decides, since digits far inside it say nothing; without intervals the largest value does.
    """
    scale = max(widths, default=0.0)
    if scale > 0:
        return min(max(1 - math.floor(math.log10(scale)), 0), 4)
    largest = max((abs(value) for value in values), default=0.0)
    return min(max(2 - math.floor(math.log10(largest)), 0), 3) if largest > 0 else 0


def duration(seconds: float | None) -> str:
    """Return a time in the units of a clock.

    Examples
    --------
    >>> duration(0.42), duration(75), duration(7322)
    ('0.4 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds is None:
        return DASH
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def size(n_bytes: int) -> str:
    """Return a file size in decimal units.

    Examples
    --------
    >>> size(512), size(398_120), size(5_200_000)
    ('512 B', '398 kB', '5.2 MB')
    """
    if n_bytes < 1000:
        return f"{n_bytes} B"
    return f"{n_bytes / 1e3:.0f} kB" if n_bytes < 1e6 else f"{n_bytes / 1e6:.1f} MB"


def _scientific(value: float, digits: int) -> str:
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    sign = MINUS if value < 0 else ""
    return f"{sign}{mantissa} {TIMES} 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def score_words(row: Metric) -> str:
    """Return a score with its interval, as it stands in a sentence.

    Examples
    --------
    >>> score_words(Metric("age", "r", "ridge", "ours", 0.514, low=0.4, high=0.6))
    '0.51 (0.40 to 0.60)'
    """
    if row.value is None:
        return "not known"
    if row.low is None or row.high is None:
        return f"{row.value:.2f}"
    return f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"
