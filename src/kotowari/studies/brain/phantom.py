"""Simulated brains of which it is known what age, dose, symptoms and diagnosis do to them, and where."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import InputError
from kotowari.core.seeds import derive_seed
from kotowari.studies.brain.phantom_effects import (
    SCORES,
    Effects,
    Plants,
    plant_effects,
    smooth_field,
)
from kotowari.studies.brain.phantom_grid import brain_grid
from kotowari.studies.brain.phantom_participants import (
    Row,
    draw_participant,
    draw_scores,
    participants_table,
    unit_scores,
)
from kotowari.studies.brain.phantom_regions import parcel_names, parcellate
from kotowari.studies.brain.phantom_settings import BrainSettings
from kotowari.studies.brain.phantom_sites import bias_field, blurred
from kotowari.studies.brain.phantom_warp import SmoothWarp

__all__ = ["BrainGenerator", "BrainPhantom", "plant_truth", "redraw_scores", "simulate_brains"]

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
LabelImage = npt.NDArray[np.int16]

_TIV_ML = 1500.0


@dataclass(frozen=True, eq=False)
class BrainPhantom:
    """Brains of which it is known what acts where.

    Attributes
    ----------
    volumes
        Modulated grey matter, float32, shape ``(subject, x, y, z)``, 0 or more; left to right, back to front, bottom
        to top.
    affine
        Shape ``(4, 4)``, from voxel to MNI mm.
    mask
        Grey matter of the template above 0.2, shape ``(x, y, z)``.
    grey_matter
        The template, shape ``(x, y, z)``.
    labels, label_names
        Parcels, int16, 0 outside of the mask; name k belongs to label k + 1.
    participants
        ``participant_id``, ``age`` (years), ``sex`` (F, M), ``site`` (A, B), ``diagnosis`` (control, patient), ``dose``
        (mg/day, 0 in controls), ``positive`` (score, NaN in controls, who are not rated), ``tiv`` (ml),
        ``image_quality`` (percent; falls with motion, with a correlation of 0.9).
    hidden
        What no user has: ``symptom`` (the part of ``positive`` that the dose does not explain, in sd; 0 in controls),
        ``blur_mm`` (by motion). Rows as in ``participants``.
    effects
        What was planted, and where.
    settings, seed, description
        How it was made; the last in a sentence.
    """

    volumes: Volume
    affine: FloatArray
    mask: BoolArray
    grey_matter: Volume
    labels: LabelImage
    label_names: tuple[str, ...]
    participants: pd.DataFrame
    hidden: pd.DataFrame
    effects: Effects
    settings: BrainSettings
    seed: int
    description: str

    @property
    def patients(self) -> BoolArray:
        """Rows of the patients."""
        return np.asarray(self.participants["diagnosis"] == "patient")

    @property
    def voxel_mm(self) -> float:
        """Edge of a voxel."""
        return float(self.affine[0, 0])


class BrainGenerator:
    """Simulated subjects by number: subject k of a seed is the same, however many are drawn and in whatever order.

    At one seed, subjects have the same anatomy, age, dose, ... at every effect and in each shape of truth, and all but
    the noise is the same at every voxel size. Takes the parameters of :func:`simulate_brains`.
    """

    def __init__(
        self,
        *,
        seed: int,
        voxel_mm: float = 8.0,
        plants: Plants = "atlas",
        effect: float = 1.0,
        settings: BrainSettings | None = None,
    ) -> None:
        self.seed = seed
        self.settings = settings or BrainSettings()
        self.grid = brain_grid(voxel_mm)
        self.plants = plants
        self._root = derive_seed(seed, "brain phantom")
        places = np.random.default_rng([self._root, derive_seed(0, "places", plants)])
        self.effects = plant_effects(self.grid, plants, self.settings, effect=effect, rng=places)
        self._offset = float(np.random.default_rng([self._root, derive_seed(0, "offset")]).random())
        self._positions = self.grid.millimetres(self.grid.support)
        self._loss = {score: loss[self.grid.support] for score, loss in self.effects.loss.items()}
        self._warp = SmoothWarp(smooth_field(self.grid, self.settings.warp_scale_mm), self.settings.warp_mm)
        self._coarse = smooth_field(self.grid, self.settings.coarse_scale_mm)
        self._fine = smooth_field(self.grid, self.settings.fine_scale_mm)
        self._bias = bias_field(self.grid, self.settings.bias)

    def participant(self, number: int) -> Row:
        """Draw subject ``number``, 0 or more: the columns of ``participants`` and of ``hidden``."""
        if number < 0:
            raise InputError(f"BrainGenerator: subjects are numbered from 0, got {number}.")
        return draw_participant(number, self._offset, self.settings, np.random.default_rng([self._root, number, 0]))

    def volume(self, number: int) -> Volume:
        """Modulated grey matter of subject ``number``, shape ``(x, y, z)``."""
        return self._scanned(self.participant(number), np.random.default_rng([self._root, number, 1]))

    def iter_volumes(self, n: int, start: int = 0) -> Iterator[Volume]:
        """Yield the volumes of the subjects ``start`` to ``start + n - 1``, one in memory at a time."""
        return (self.volume(number) for number in range(start, start + n))

    def _scanned(self, row: Row, rng: np.random.Generator) -> Volume:
        """Return the volume of one subject: anatomy, then effects, then the scanner."""
        support, settings = self.grid.support, self.settings
        tissue = self._anatomy(rng) * np.float32(float(row["tiv"]) / _TIV_ML)
        for score, amount in unit_scores(row).items():
            if score in self._loss:
                tissue *= 1 - np.float32(amount) * self._loss[score]
        volume = np.zeros(self.grid.shape, dtype=np.float32)
        volume[support] = tissue
        at_b = row["site"] == "B"
        variance = float(row["blur_mm"]) ** 2 + at_b * settings.blur_mm**2
        volume = blurred(volume, variance / self.grid.voxel_mm**2)
        if at_b:
            volume *= np.float32(settings.gain) * self._bias
        volume[support] += np.float32(settings.noise) * rng.standard_normal(len(tissue), dtype=np.float32)
        np.maximum(volume, 0, out=volume)
        return volume

    def _anatomy(self, rng: np.random.Generator) -> Volume:
        """Warp and modulate the template, and vary the amount of tissue, at the voxels of the support."""
        support, settings = self.grid.support, self.settings
        displacement, determinant = self._warp.draw(rng)
        tissue = self.grid.sample(self._positions + displacement[:, support].T) * determinant[support]
        coarse = self._coarse.values(self._coarse.draw(rng, 1))[0, support]
        fine = self._fine.values(self._fine.draw(rng, 1))[0, support]
        tissue *= np.exp(np.float32(settings.coarse_sd) * coarse + np.float32(settings.fine_sd) * fine)
        return tissue


def simulate_brains(
    n: int = 150,
    *,
    seed: int,
    voxel_mm: float = 8.0,
    plants: Plants = "atlas",
    effect: float = 1.0,
    settings: BrainSettings | None = None,
) -> BrainPhantom:
    r"""Simulate modulated grey matter of patients and controls at two sites, from the real MNI152 template.

    .. math::
        v = \mathrm{scan}\Big[\, t(\phi(x))\,|J_\phi(x)|\; e^{f(x)}\, \frac{\mathrm{TIV}}{1500\,\mathrm{ml}}
            \prod_s \big(1 - s\, \ell_s(x)\big) \Big]

    with a smooth random warp of 2.4 mm, individual variation f of the amount of tissue, and the losses of four scores
    s: age (decades from 40; everywhere, and more in the prefrontal cortex and some regions), dose (in 1,500 mg/day),
    the part of the symptoms that the dose does not explain (in sd), and diagnosis (0 or 1). The scan blurs by motion,
    adds noise, and at site B has a gain of 1.06, a bias field and more blur.

    Doses are gamma(2, 250) up to 1,500 mg/day in patients and 0 in controls; the positive score is
    10 + 0.008 dose + N(0, 3) in patients, 7 or more. Motion rises with the dose (r = 0.3 in patients): it blurs, and
    must not be called atrophy. With ``plants="none"`` that blur is all that a dose has to do with a volume; a null
    without any association is ``motion_dose_r=0``, or :func:`redraw_scores`.

    Parameters
    ----------
    n
        Subjects, 1 or more. The first k subjects are the same at every n.
    seed
        0 or more; each seed gives subjects of its own.
    voxel_mm
        1 to 12.
    plants
        Shape of the truth: ``"atlas"`` (named regions), ``"cross"`` (balls across parcels), ``"distributed"`` (patches
        all over) or ``"none"``; see :func:`kotowari.studies.brain.phantom_effects.plant_effects`.
    effect
        Factor of the losses by dose, symptoms and diagnosis, 0 or more.
    settings
        Every other constant; None takes the defaults.

    Raises
    ------
    InputError
        When an option is out of range.
    MissingExtraError
        When nilearn is not installed.

    Locked by :func:`kotowari.studies.brain.phantom_lock.phantom_lock` at n = 150 and effect 1, mean and range over
    seeds 0 to 15 (better ridge of voxels smoothed by 8 and 12 mm; dose in patients only; largest planted d):

    * atlas: age r 0.81 (0.76 to 0.88), dose r 0.30 (0.03 to 0.52), d 0.50 (0.41 to 0.56); at 10 mm 0.81, 0.31, 0.49;
    * cross: 0.81 (0.76 to 0.88), 0.30 (0.09 to 0.49), 0.51 (0.43 to 0.58); at 10 mm 0.81, 0.29, 0.51;
    * distributed: 0.81 (0.75 to 0.88), 0.26 (0.06 to 0.44), 0.51 (0.43 to 0.59); at 10 mm 0.81, 0.29, 0.50.

    With some 82 patients a cohort scatters about these means: of 16 seeds, 8 to 13 are locked one by one.

    Source: our own design. Regions are ellipsoids at published centres, not an atlas.

    Examples
    --------
    >>> phantom = simulate_brains(4, seed=0, voxel_mm=12)
    >>> phantom.volumes.shape, int(plant_truth(phantom, "dose").any())
    ((4, 16, 19, 16), 1)
    """
    if n < 1 or seed < 0:
        raise InputError(f"simulate_brains: needs n >= 1 and seed >= 0, got {n} and {seed}.")
    generator = BrainGenerator(seed=seed, voxel_mm=voxel_mm, plants=plants, effect=effect, settings=settings)
    grid = generator.grid
    participants, hidden = participants_table([generator.participant(number) for number in range(n)])
    volumes = np.empty((n, *grid.shape), dtype=np.float32)
    for number, volume in enumerate(generator.iter_volumes(n)):
        volumes[number] = volume
    return BrainPhantom(
        volumes=volumes,
        affine=grid.affine,
        mask=grid.mask,
        grey_matter=grid.grey_matter,
        labels=parcellate(grid),
        label_names=parcel_names(),
        participants=participants,
        hidden=hidden,
        effects=generator.effects,
        settings=generator.settings,
        seed=seed,
        description=_description(n, plants, effect, voxel_mm),
    )


def redraw_scores(phantom: BrainPhantom, seed: int) -> BrainPhantom:
    """Give the patients new doses and symptoms that have nothing to do with their volumes.

    A null phantom at the cost of a table: volumes are shared with ``phantom``, not copied. Effects of age and diagnosis
    stay true; those of dose and symptoms are no longer effects and leave the truth.

    Parameters
    ----------
    phantom
        Left as it was.
    seed
        0 or more; each gives other scores.
    """
    table, hidden = phantom.participants.copy(), phantom.hidden.copy()
    root = derive_seed(phantom.seed, "brain phantom", "redrawn", seed)
    drawn = pd.DataFrame(
        [draw_scores(patient, np.random.default_rng([root, k])) for k, patient in enumerate(phantom.patients.tolist())],
        index=table.index,
    )
    table[["dose", "positive"]] = drawn[["dose", "positive"]]
    hidden["symptom"] = drawn["symptom"]
    return replace(
        phantom,
        participants=table,
        hidden=hidden,
        effects=phantom.effects.without("dose", "positive"),
        description=phantom.description + " Dose and symptoms drawn anew, without any effect.",
    )


def plant_truth(phantom: BrainPhantom, score: str, *, kind: str | None = None, linked: bool = False) -> BoolArray:
    """Where a score acts.

    Parameters
    ----------
    phantom
        Left as it was.
    score
        ``"dose"``, ``"positive"``, ``"diagnosis"`` or ``"age"`` (where age acts most).
    kind
        ``"atlas"``, ``"cross"``, ``"distributed"`` or ``"age"``; None takes all.
    linked
        For ``"positive"``: whether the places of the dose count too. The two scores are correlated (r of about 0.67),
        so a map of the positive score alone rightly shows both.

    Returns
    -------
    array
        Boolean, shape ``(x, y, z)``; false everywhere when nothing was planted.

    Raises
    ------
    InputError
        When there is no such score.
    """
    if score not in (*SCORES, "age"):
        raise InputError(f"plant_truth: score must be one of {', '.join(SCORES)}, age, got {score!r}.")
    scores = (score, "dose") if linked and score == "positive" else (score,)
    truth = np.zeros(phantom.mask.shape, dtype=np.bool_)
    for effect in phantom.effects.planted:
        if effect.score in scores and kind in (None, effect.kind):
            truth |= effect.truth
    return truth


def _description(n: int, plants: Plants, effect: float, voxel_mm: float) -> str:
    subjects = f"{n} simulated brains at {voxel_mm:g} mm from the MNI152 grey matter"
    if plants == "none" or effect == 0:
        return f"{subjects}, in which dose, symptoms and diagnosis take no tissue."
    where = {"atlas": "named regions", "cross": "balls across parcels", "distributed": "patches all over"}[plants]
    return f"{subjects}; dose, symptoms and diagnosis take or add tissue in {where}."
