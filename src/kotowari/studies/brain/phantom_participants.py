"""Who is simulated: one row a subject, drawn by number so that nobody depends on how many there are."""

import numpy as np
import pandas as pd

from kotowari.studies.brain.phantom_settings import BrainSettings

__all__ = ["COLUMNS", "HIDDEN", "draw_participant", "draw_scores", "participants_table", "unit_scores"]

_DOSE_SHAPE, _DOSE_SCALE, _DOSE_MOST, _DOSE_MEDIAN = 2.0, 250.0, 1500.0, 420.0
_DOSE_MEAN, _DOSE_SD = _DOSE_SHAPE * _DOSE_SCALE, _DOSE_SHAPE**0.5 * _DOSE_SCALE
_SYMPTOM_FLOOR, _SYMPTOM_SLOPE, _SYMPTOM_SD, _SYMPTOM_LEAST = 10.0, 0.008, 3.0, 7.0
_TIV_ML, _TIV_SD = {"F": 1400.0, "M": 1560.0}, 110.0
_CONFOUNDED_SHARES = (0.1, 0.9)
_QUALITY_MEAN, _QUALITY_SLOPE, _QUALITY_R = 85.0, 3.0, 0.9
_MOTION_SPREAD = 0.35

COLUMNS = ("participant_id", "age", "sex", "site", "diagnosis", "dose", "positive", "tiv", "image_quality")
HIDDEN = ("symptom", "blur_mm")

Row = dict[str, float | str]


def draw_participant(number: int, offset: float, settings: BrainSettings, rng: np.random.Generator) -> Row:
    """Draw one subject: what the table shows and, under the names of ``HIDDEN``, what it does not.

    Parameters
    ----------
    number
        0 or more. Patients are spread evenly over the numbers, so every group of subjects has about their share.
    offset
        0 to 1, the same for all subjects of a phantom.
    settings
        Shares, ages and motion.
    rng
        The subject's own.
    """
    share = settings.patient_share
    patient = int((number + 1 + offset) * share) > int((number + offset) * share)
    sex = "F" if rng.random() < 0.5 else "M"
    row: Row = {
        "participant_id": f"sub-{number + 1:04d}",
        "age": float(rng.uniform(*settings.age_range)),
        "sex": sex,
        "diagnosis": "patient" if patient else "control",
        "tiv": float(rng.normal(_TIV_ML[sex], _TIV_SD)),
    }
    row |= draw_scores(patient, rng)
    dose = float(row["dose"])
    high = patient and dose > _DOSE_MEDIAN
    at_b = _CONFOUNDED_SHARES[high] if settings.site_confounded else settings.site_2_share
    row["site"] = "B" if rng.random() < at_b else "A"
    r = settings.motion_dose_r if patient else 0.0
    motion = r * (dose - _DOSE_MEAN) / _DOSE_SD + np.sqrt(1 - r**2) * rng.normal()
    row["blur_mm"] = float(settings.motion_mm * np.exp(_MOTION_SPREAD * motion))
    seen = _QUALITY_R * motion + np.sqrt(1 - _QUALITY_R**2) * rng.normal()
    row["image_quality"] = float(_QUALITY_MEAN - _QUALITY_SLOPE * seen)
    return row


def draw_scores(patient: bool, rng: np.random.Generator) -> Row:
    """Draw dose (mg/day), positive score and the part of it that the dose does not explain (in sd)."""
    dose = min(float(rng.gamma(_DOSE_SHAPE, _DOSE_SCALE)), _DOSE_MOST)
    symptom = float(rng.normal())
    if not patient:
        return {"dose": 0.0, "positive": np.nan, "symptom": 0.0}
    positive = max(_SYMPTOM_FLOOR + _SYMPTOM_SLOPE * dose + _SYMPTOM_SD * symptom, _SYMPTOM_LEAST)
    return {"dose": dose, "positive": positive, "symptom": symptom}


def participants_table(rows: list[Row]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what a user would have, and what only the phantom knows."""
    table = pd.DataFrame(rows)
    return table[list(COLUMNS)].copy(), table[list(HIDDEN)].copy()


def unit_scores(row: Row) -> dict[str, float]:
    """Scores in the units of the planted losses: 1,500 mg/day, sd of the symptoms, being a patient, decades from 40."""
    return {
        "dose": float(row["dose"]) / _DOSE_MOST,
        "positive": float(row["symptom"]),
        "diagnosis": float(row["diagnosis"] == "patient"),
        "age": (float(row["age"]) - 40.0) / 10.0,
    }
