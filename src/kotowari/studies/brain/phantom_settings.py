"""Constants of the simulated brains: who is scanned, how brains differ, and how large the planted effects are."""

from dataclasses import dataclass, fields

from kotowari.core.errors import InputError

__all__ = ["BrainSettings"]

_SHARES = ("patient_share", "site_2_share")


@dataclass(frozen=True)
class BrainSettings:
    """Constants of :func:`kotowari.studies.brain.phantom.simulate_brains`; the defaults are locked to life there.

    Attributes
    ----------
    patient_share, site_2_share
        Shares of the subjects, 0 to 1.
    site_confounded
        Whether patients of more than 420 mg/day (the median) go to site B with probability 0.9 and others with 0.1.
    age_range
        Years; ages are uniform in between.
    dose_loss
        Largest share of grey matter lost at 1,500 mg/day in a region of size 1.
    symptom_loss
        The same for one standard deviation of the part of the symptoms that the dose does not explain.
    diagnosis_loss
        The same for being a patient.
    age_loss, regional_age_loss
        Shares lost a decade everywhere, and in addition where age acts most.
    warp_mm, warp_scale_mm
        Root mean square length of the displacements, and the standard deviation of the Gaussian that smooths them.
    coarse_sd, coarse_scale_mm, fine_sd, fine_scale_mm
        Individual variation of the amount of tissue: standard deviations of its logarithm and smoothing, twice.
    motion_mm
        Standard deviation of the blur of a subject of middling motion; 0 for none.
    motion_dose_r
        Correlation of motion with the dose among patients, above -1 and below 1.
    gain, bias, blur_mm
        Site B: factor of all intensities, largest share of the bias field, standard deviation of its additional blur.
    noise
        Standard deviation of white noise, in units of grey-matter probability.
    """

    patient_share: float = 0.55
    site_2_share: float = 0.41
    site_confounded: bool = False
    age_range: tuple[float, float] = (18.0, 65.0)
    dose_loss: float = 0.152
    symptom_loss: float = 0.03
    diagnosis_loss: float = 0.03
    age_loss: float = 0.02
    regional_age_loss: float = 0.027
    warp_mm: float = 2.4
    warp_scale_mm: float = 12.0
    coarse_sd: float = 0.05
    coarse_scale_mm: float = 25.0
    fine_sd: float = 0.03
    fine_scale_mm: float = 15.0
    motion_mm: float = 1.5
    motion_dose_r: float = 0.3
    gain: float = 1.06
    bias: float = 0.05
    blur_mm: float = 2.0
    noise: float = 0.01

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"BrainSettings: {name} must lie between 0 and 1, got {getattr(self, name)}.")
        if not -1 < self.motion_dose_r < 1:
            raise InputError(f"BrainSettings: motion_dose_r must lie between -1 and 1, got {self.motion_dose_r}.")
        if not 0 < self.age_range[0] < self.age_range[1]:
            raise InputError(f"BrainSettings: age_range must rise from above 0, got {self.age_range}.")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_scale_mm") and not value >= 4:
                raise InputError(f"BrainSettings: {field.name} must be 4 mm or more, got {value}.")
            if field.name.endswith(("_sd", "_mm", "gain", "noise")) and not value >= 0:
                raise InputError(f"BrainSettings: {field.name} must be 0 or more, got {value}.")
