"""Places for names that must not overlap."""

import numpy as np
import numpy.typing as npt

__all__ = ["spread"]


def spread(places: npt.NDArray[np.float64], gap: float, low: float, high: float) -> npt.NDArray[np.float64]:
    """Move sorted places apart until neighbours keep ``gap``, inside ``low`` to ``high``, as little as a sweep allows.

    Examples
    --------
    >>> spread(np.array([0.5, 0.5, 0.9]), 0.25, 0.0, 1.0).tolist()
    [0.375, 0.625, 0.9]
    """
    n = len(places)
    steps = gap * np.arange(n)
    # places less their steps must not fall: the nearest such numbers are the means of pooled neighbours
    blocks: list[tuple[float, int]] = []
    for value in places - steps:
        mean, size = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, n_before = blocks.pop()
            mean, size = (before * n_before + mean * size) / (n_before + size), n_before + size
        blocks.append((mean, size))
    pooled = np.concatenate([np.full(size, mean) for mean, size in blocks]) if blocks else places
    moved: npt.NDArray[np.float64] = np.clip(pooled, low, high - gap * (n - 1)) + steps
    return moved
