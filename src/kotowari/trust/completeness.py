"""Whether the contributions of the parts add up to what the model said."""

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.core.evidence import Check

__all__ = ["completeness_check"]


def completeness_check(gaps: npt.ArrayLike, *, threshold: float = 1e-2) -> Check:
    """Pass when 95 % of the samples have a gap of at most ``threshold``.

    Parameters
    ----------
    gaps
        Shape ``(sample,)``, from :func:`kotowari.explain.completeness_gap`.
    threshold
        Largest relative gap, above 0.
    """
    values = np.asarray(gaps, dtype=np.float64)
    if not values.size:
        raise InputError("completeness_check: there are no samples.")
    middle, upper, largest = (float(v) for v in np.quantile(values, [0.5, 0.95, 1.0]))
    verdict = "add up to the score" if upper <= threshold else "are not complete: they do not add up to the score"
    return Check.at_most(
        "completeness",
        upper,
        threshold,
        f"The attributions {verdict} (relative gap: median {middle:.2g}, 95 % of samples below {upper:.2g}, "
        f"largest {largest:.2g}).",
    )
