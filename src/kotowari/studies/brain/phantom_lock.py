"""Whether a simulated cohort is as hard as life: what a ridge on smoothed voxels reaches, and how large effects are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold

from kotowari.core.errors import DesignError
from kotowari.core.seeds import derive_seed
from kotowari.studies.brain.phantom import BrainPhantom
from kotowari.studies.brain.phantom_participants import unit_scores

__all__ = ["LockReport", "effect_sizes", "phantom_lock", "ridge_dual"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

AGE_R, DOSE_R, LARGEST_D = (0.75, 0.88), (0.20, 0.50), 0.55
_PENALTIES = np.logspace(-3, 3, 13)
_SD_PER_FWHM = 1 / np.sqrt(8 * np.log(2))
_FEWEST = 20


@dataclass(frozen=True, eq=False)
class LockReport:
    """What named baselines reach on a phantom, beside what they reach in life.

    Attributes
    ----------
    baselines
        One row a target and smoothing: ``target`` (age, dose), ``smoothing_mm`` (full width at half maximum), ``r``
        (out of fold, mean over repeats), ``n``, ``low``, ``high`` (the range of life).
    effects
        One row a planted place: ``score``, ``name``, ``loss``, ``planted_d`` (known difference of patients and controls
        over the standard deviation between subjects), ``observed_d``, ``planted_d_per_sd`` (for one standard deviation
        of the score among patients).
    """

    baselines: pd.DataFrame
    effects: pd.DataFrame

    @property
    def age_r(self) -> float:
        """Best r of the smoothed baselines for age."""
        return self._best("age")

    @property
    def dose_r(self) -> float:
        """Best r of the smoothed baselines for the dose, in patients."""
        return self._best("dose")

    @property
    def largest_d(self) -> float:
        """Largest planted effect in size, of either kind; 0 when nothing was planted."""
        sizes = self.effects[["planted_d", "planted_d_per_sd"]].abs().to_numpy()
        return float(sizes.max(initial=0.0))

    @property
    def faults(self) -> tuple[str, ...]:
        """Sentences on what is outside the range of life; empty when locked."""
        found = []
        for what, value, (low, high) in (("age", self.age_r, AGE_R), ("dose", self.dose_r, DOSE_R)):
            if not low <= value <= high:
                found.append(f"Smoothed voxel ridge reaches r = {value:.2f} for {what}; life has {low:g} to {high:g}.")
        if self.largest_d > LARGEST_D:
            found.append(f"The largest planted effect has d = {self.largest_d:.2f}; life has {LARGEST_D:g} at most.")
        return tuple(found)

    @property
    def locked(self) -> bool:
        """Whether the phantom counts."""
        return not self.faults

    def _best(self, target: str) -> float:
        rows = self.baselines[(self.baselines["target"] == target) & (self.baselines["smoothing_mm"] > 0)]
        return float(rows["r"].max())


def phantom_lock(
    phantom: BrainPhantom, *, smoothing_mm: tuple[float, ...] = (8.0, 12.0), n_repeats: int = 3, seed: int = 0
) -> LockReport:
    """Hold a phantom against life: voxel ridge after smoothing, and the size of every planted effect.

    Age is predicted in everyone, the dose in patients only. Sex, site, total volume and image quality (and age, for the
    dose) are removed from voxels and target inside the fold. The best of the smoothed ridges must reach r = 0.75 to
    0.88 for age (tables of FreeSurfer measures give 0.82) and 0.2 to 0.5 for the dose. No planted place may differ by
    more than d = 0.55, just above the largest regional effect that ENIGMA found in schizophrenia. That d is the known
    difference over the standard deviation between subjects, so it has no luck of the draw; ``observed_d`` has.

    Parameters
    ----------
    phantom
        Left as it was.
    smoothing_mm
        Full widths at half maximum, above 0 for those that count; 0 is shown, and does not count.
    n_repeats
        Repeats of the five folds, 1 or more.
    seed
        Of the folds.

    Raises
    ------
    DesignError
        With fewer than 20 patients or 20 controls.

    Source: van Erp et al. 2018, Biol. Psychiatry 84:644-654 (regional thickness in schizophrenia: at most 0.54 in size,
    right fusiform gyrus).
    """
    n_patients = int(phantom.patients.sum())
    if n_patients < _FEWEST or len(phantom.participants) - n_patients < _FEWEST:
        raise DesignError(
            f"phantom_lock: needs {_FEWEST} patients and {_FEWEST} controls or more, got {n_patients} of "
            f"{len(phantom.participants)} subjects. Simulate more."
        )
    everyone = np.ones(len(phantom.participants), dtype=np.bool_)
    rows = []
    for width in smoothing_mm:
        voxels = _smoothed(phantom, width)
        gram = voxels @ voxels.T
        for target, rows_of, (low, high) in (("age", everyone, AGE_R), ("dose", phantom.patients, DOSE_R)):
            nuisance = _nuisance(phantom, with_age=target == "dose")[rows_of]
            y = phantom.participants[target].to_numpy(dtype=np.float64)[rows_of]
            own = gram[np.ix_(rows_of, rows_of)]
            seeds = [derive_seed(seed, target, number) for number in range(n_repeats)]
            r = float(np.mean([_ridge_r(own, y, nuisance, each) for each in seeds]))
            rows.append((target, width, r, int(rows_of.sum()), low, high))
    baselines = pd.DataFrame(rows, columns=["target", "smoothing_mm", "r", "n", "low", "high"])
    return LockReport(baselines, effect_sizes(phantom))


def _smoothed(phantom: BrainPhantom, width_mm: float) -> FloatArray:
    """Voxels of the mask after smoothing, shape ``(subject, voxel)``."""
    sd = width_mm * _SD_PER_FWHM / phantom.voxel_mm
    return np.stack([gaussian_filter(v, sd, mode="constant")[phantom.mask] for v in phantom.volumes]).astype(np.float64)


def _nuisance(phantom: BrainPhantom, *, with_age: bool) -> FloatArray:
    table = phantom.participants
    columns = [table["sex"] == "M", table["site"] == "B", table["tiv"], table["image_quality"]]
    if with_age:
        columns.append(table["age"])
    return np.column_stack(columns).astype(np.float64)


def _ridge_r(gram: FloatArray, y: FloatArray, nuisance: FloatArray, seed: int) -> float:
    """Correlation of the target with its prediction out of fold; nuisance removed and penalty chosen inside the fold.

    Removing the nuisance multiplies the rows of the voxels, so the products of subjects suffice.
    """
    design = np.column_stack([np.ones(len(y)), nuisance])
    prediction, rest = np.empty_like(y), np.empty_like(y)
    for train, test in KFold(5, shuffle=True, random_state=seed).split(y):
        remove = np.eye(len(y))
        remove[:, train] -= design @ np.linalg.pinv(design[train])
        products, target = remove @ gram @ remove.T, remove @ y
        dual = ridge_dual(products[np.ix_(train, train)], target[train])
        prediction[test], rest[test] = products[np.ix_(test, train)] @ dual, target[test]
    return float(np.corrcoef(prediction, rest)[0, 1])


def ridge_dual(products: FloatArray, y: FloatArray) -> FloatArray:
    """Dual coefficients of the ridge whose penalty has the least squared error, each sample left out in turn."""
    values, vectors = np.linalg.eigh(products)
    inverses = 1 / (np.maximum(values, 0) + _PENALTIES[:, None] * np.trace(products) / len(y))
    turned = vectors.T @ y
    duals = (inverses * turned) @ vectors.T
    errors = duals / (inverses @ (vectors**2).T)
    best: FloatArray = duals[np.argmin((errors**2).sum(1))]
    return best


def effect_sizes(phantom: BrainPhantom) -> pd.DataFrame:
    """Return one row a planted place but those of age, as in ``LockReport.effects``."""
    people = zip(phantom.participants.to_dict("records"), phantom.hidden.to_dict("records"), strict=True)
    units = pd.DataFrame([unit_scores(shown | hidden) for shown, hidden in people])
    patients = phantom.patients
    design = np.column_stack([_nuisance(phantom, with_age=True), patients])
    columns = ("score", "name", "loss", "planted_d", "observed_d", "planted_d_per_sd")
    rows = []
    for effect in phantom.effects.planted:
        if effect.score == "age":
            continue
        tissue = phantom.volumes[:, effect.truth].mean(1, dtype=np.float64)
        fit = LinearRegression().fit(design, tissue)
        spread = float(np.sqrt(((tissue - fit.predict(design)) ** 2).sum() / (len(tissue) - design.shape[1] - 1)))
        template = phantom.grey_matter[effect.truth]
        share = float((phantom.effects.loss[effect.score][effect.truth] * template).sum() / template.sum())
        moved = -share * float(tissue.mean()) / spread
        unit = units[effect.score].to_numpy()
        # the own part of the symptoms has mean 0 by construction, and a diagnosis does not vary among patients
        between = 0.0 if effect.score == "positive" else moved * float(unit[patients].mean())
        within = 0.0 if effect.score == "diagnosis" else moved * float(unit[patients].std())
        rows.append((effect.score, effect.name, effect.loss, between, float(fit.coef_[-1]) / spread, within))
    return pd.DataFrame(rows, columns=list(columns))
