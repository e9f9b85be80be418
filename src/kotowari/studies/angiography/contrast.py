"""How far vessel and background stand apart in a map."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["RING_PX", "contrast_scores"]

RING_PX = 5

BoolImage = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


def contrast_scores(
    vesselness: npt.NDArray[np.floating], truth: BoolImage, field: BoolImage
) -> tuple[float, float, float]:
    r"""Return d', contrast to noise, and contrast to noise within a ring around the vessels.

    .. math:: d' = \frac{m_v - m_b}{\sqrt{(s_v^2 + s_b^2) / 2}}, \quad \mathrm{CNR} = \frac{|m_v - m_b|}{s_b}

    with means m and standard deviations s of vessel and background. The ring is the background within 5 px of a vessel.
    d' is signed: below 0 the map shows vessels darker than their surroundings. Contrast to noise describes and does not
    judge: clipping the background drives it up at will.

    Parameters
    ----------
    vesselness
        Shape ``(height, width)``, finite inside the field.
    truth, field
        Shape ``(height, width)``.

    Returns
    -------
    tuple
        NaN where vessel or background is empty; infinite where means differ without any spread, 0 where they do not.
    """
    vessel = vesselness[truth & field].astype(np.float64)
    background = vesselness[field & ~truth].astype(np.float64)
    if not vessel.size or not background.size:
        return np.nan, np.nan, np.nan
    spread = np.sqrt((vessel.var() + background.var()) / 2)
    near = ndimage.distance_transform_edt(~truth) <= RING_PX
    ring = vesselness[field & ~truth & near].astype(np.float64)
    separation = _ratio(vessel.mean() - background.mean(), spread)
    return separation, _contrast_to_noise(vessel, background), _contrast_to_noise(vessel, ring)


def _contrast_to_noise(vessel: Values, background: Values) -> float:
    return _ratio(abs(vessel.mean() - background.mean()), background.std()) if background.size else np.nan


def _ratio(difference: float, spread: float) -> float:
    if spread > 0:
        return float(difference / spread)
    return float(np.copysign(np.inf, difference)) if difference else 0.0
