"""Planted regions found by maps, beside maps without a network and without training; and null plants."""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from brain_planted import ENCODER, REGRESSION, Brains, encoder_of, settings
from harness import Figures
from kotowari.core.seeds import derive_seed
from kotowari.studies.brain.baselines.average_pooling import AveragePooling
from kotowari.studies.brain.maps.brain_score import BrainScore
from kotowari.studies.brain.maps.control_fits import fitted_regression, shuffled_regressions
from kotowari.studies.brain.maps.family_wise import against_shuffled
from kotowari.studies.brain.maps.gradients import gradient, gradient_times_input
from kotowari.studies.brain.maps.mass_univariate import mass_univariate
from kotowari.studies.brain.maps.occlusion import occlude_regions
from kotowari.studies.brain.maps.patterns import haufe_pattern
from kotowari.studies.brain.maps.planted_map import planted_map_scores
from kotowari.studies.brain.maps.smoothed import smooth_map
from kotowari.studies.brain.maps.voxel_maps import group_maps
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.regression_cv import Arm, cross_validated
from kotowari.studies.brain.model.regression_permutation import permutation_test
from kotowari.studies.brain.model.regression_targets import Target, target_folds
from kotowari.studies.brain.phantom import BrainPhantom, plant_truth, redraw_scores, simulate_brains
from seeds import by_seed, mean_with_interval, summary

__all__ = ["null_plants", "planted_maps"]

OURS = "smoothed_gradient"
"""The map that stands under ``map_ap_<truth>``."""

_TRUTHS = ("atlas", "cross", "distributed")
_N_SUBJECTS, _N_PLANTS = 150, 20
_N_NULL_BRAINS, _DRAWS = 4, 25
_N_PERMUTATIONS, _N_SHUFFLES = 99, 39
_FWHM_MM, _MAP_FWHM_MM = 8.0, 20.0
_N_EXPLAINED = 24

Boxes = npt.NDArray[Any]


def planted_maps(quick: bool) -> Figures:
    r"""Measure ``map_ap_<truth>``: average precision by voxel of where a dose acts, over 20 plants of each truth.

    Encoder, regression and all maps have the same subjects; ``glm`` is \\|t\\| of the voxels smoothed by 8 mm,
    ``glm_wide`` by the width of our map,
    ``untrained`` the same map of the encoder before training with a regression of its own.
    """
    figures: Figures = {"map_plants": 1 if quick else _N_PLANTS, "map_ours": OURS}
    for truth in _TRUTHS:
        measure = partial(_one_plant, truth, quick=quick)
        rows = by_seed(f"maps-{truth}", range(1 if quick else _N_PLANTS), measure, settings(quick))
        found = summary(rows)
        figures |= {_placed(key, truth): value for key, value in found.items()}
    return figures


def null_plants(quick: bool) -> Figures:
    """Measure ``null_rejections``: draws of dose and symptoms without any effect, with p of 0.05 or less somewhere.

    The encoder of each fold has seen no score, so regressions, permutations and maps alone are done again. Predictions:
    max-T over both targets and the encoder's, the untrained and the pooled features. Maps: max over regions against
    shuffled doses, counted apart.
    """
    n_brains, n_draws = (1, 2) if quick else (_N_NULL_BRAINS, _DRAWS)
    rows = by_seed("null", range(n_brains), lambda seed: _null_draws(seed, n_draws, quick=quick), settings(quick))
    total = n_brains * n_draws
    figures: Figures = {"null_plants": total, "null_permutations": 5 if quick else _N_PERMUTATIONS}
    for key in ("null_rejections", "null_map_rejections"):
        figures[key] = int(sum(row[key] for row in rows))
    figures |= mean_with_interval("null_smallest_p", np.array([row["null_smallest_p"] for row in rows]))
    return figures | {"null_brains": n_brains, "null_map_shuffles": _N_SHUFFLES}


def _one_plant(truth_kind: Any, seed: int, *, quick: bool) -> dict[str, float]:
    voxel_mm = 12 if quick else 8
    phantom = simulate_brains(60 if quick else _N_SUBJECTS, seed=seed, voxel_mm=voxel_mm, plants=truth_kind)
    brains = Brains.of(phantom)
    target = brains.target("dose", phantom.patients)
    explained = target.rows[:: max(1, len(target.rows) // _N_EXPLAINED)]
    encoder = encoder_of(seed, quick=quick, mask=brains.mask).fit(brains.volumes)
    maps: dict[str, Boxes] = {}
    for prefix, own in (("", encoder), ("untrained_", encoder.untrained())):
        features = own.transform(brains.volumes)
        regression = fitted_regression(LatentRegression(**REGRESSION), features, target, brains.subjects)
        score = BrainScore(own, [regression])
        for name, method in {"gradient": gradient, "gradient_x_input": gradient_times_input}.items():
            # the mean, not the mean size: what has another sign in every subject tells no direction
            maps[f"{prefix}{name}"] = np.abs(group_maps(score, brains.volumes, method, rows=explained).signed[0])
        mean = group_maps(score, brains.volumes, gradient, rows=explained).signed[0]
        smooth = smooth_map(mean, brains.mask, voxel_mm=(voxel_mm,) * 3, fwhm_mm=_MAP_FWHM_MM)
        maps[f"{prefix}smoothed_gradient"] = np.abs(smooth)
        regions = occlude_regions(score, brains.volumes, brains.labels, rows=explained)
        maps[f"{prefix}occlusion"] = regions.to_box(regions.ranking[0])
        folds = target_folds(target, random_state=seed)
        said = cross_validated({"": Arm(LatentRegression(**REGRESSION), features)}, target, folds, brains.subjects)[""]
        pattern = haufe_pattern(brains.volumes, said, covariates=brains.subjects.covariates, mask=brains.mask)
        maps[f"{prefix}pattern"] = np.abs(pattern.correlation)
    for name, width in {"glm": _FWHM_MM, "glm_wide": _MAP_FWHM_MM}.items():
        tested = mass_univariate(
            brains.volumes,
            target.values,
            voxel_mm=voxel_mm,
            fwhm_mm=width,
            rows=target.rows,
            covariates=brains.subjects.covariates,
            mask=brains.mask,
            n_permutations=1,
            random_state=seed,
        )
        maps[name] = np.abs(tested.t)
    maps["grey_matter"] = encoder.mean_brain_
    return _scored(maps, plant_truth(phantom, "dose")[brains.window] & brains.mask, brains, voxel_mm)


def _scored(maps: dict[str, Boxes], truth: npt.NDArray[np.bool_], brains: Brains, voxel_mm: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, values in maps.items():
        scores = planted_map_scores(values, truth, brains.mask, voxel_mm=voxel_mm, labels=brains.labels)
        found |= {f"ap|{name}": scores["voxel_ap"], f"auc|{name}": scores["voxel_auc"]}
        found[f"region_ap|{name}"] = scores["region_ap"]
        found["ap|chance"] = scores["voxel_prevalence"]
    for figure in ("ap", "auc", "region_ap"):
        found[f"{figure}|"] = found[f"{figure}|{OURS}"]
        for other in ("glm", "glm_wide", f"untrained_{OURS}"):
            word = "untrained" if other.startswith("untrained") else other
            found[f"{figure}|less_{word}"] = found[f"{figure}|{OURS}"] - found[f"{figure}|{other}"]
        found[f"{figure}|untrained"] = found[f"{figure}|untrained_{OURS}"]
    return found


def _placed(key: str, truth: str) -> str:
    """Return a key as it stands in the file: ``map_<figure>_<truth>``, then the name of the map, then the end."""
    figure, rest = key.split("|")
    return f"map_{figure}_{truth}" + (rest if rest.startswith("_") or not rest else f"_{rest}")


def _null_draws(seed: int, n_draws: int, *, quick: bool) -> dict[str, float]:
    phantom = simulate_brains(60 if quick else _N_SUBJECTS, seed=1000 + seed, voxel_mm=12 if quick else 8)
    brains = Brains.of(phantom)
    patients = np.flatnonzero(phantom.patients)
    folds = target_folds(brains.target("dose", phantom.patients), n_splits=3 if quick else 5, random_state=seed)
    kept = [fold.test for fold in folds]
    fitted = []
    for number, test in enumerate([*kept, np.empty(0, np.intp)]):
        rows = np.setdiff1d(np.arange(len(brains.volumes)), test)
        own = encoder_of(derive_seed(seed, "encoder", number), quick=quick, mask=brains.mask)
        fitted.append(own.fit(brains.volumes, rows=rows))
    regression = LatentRegression(**REGRESSION)
    pooled = AveragePooling(ENCODER["n_blocks"], mask=brains.mask).fit(brains.volumes[:1]).transform(brains.volumes)
    arms = {
        "ours": Arm(regression, [own.transform(brains.volumes) for own in fitted[:-1]]),
        "untrained": Arm(regression, [own.untrained().transform(brains.volumes) for own in fitted[:-1]]),
        "pooling": Arm(regression, pooled),
    }
    smallest = []
    drawn = [redraw_scores(phantom, number) for number in range(n_draws)]
    for number, null in enumerate(drawn):
        targets = [_target(null, name) for name in ("dose", "positive")]
        result = permutation_test(
            {target.name: arms for target in targets},
            targets,
            {target.name: folds for target in targets},
            {target.name: brains.subjects for target in targets},
            n_permutations=5 if quick else _N_PERMUTATIONS,
            random_state=derive_seed(seed, "permutations", number),
        )
        smallest.append(float(result.table["p_family"].min()))
    mapped = _null_maps(brains, fitted[-1], drawn, patients, seed)
    return {
        "null_rejections": float(np.sum(np.array(smallest) <= 0.05)),
        "null_map_rejections": float(np.sum(mapped <= 0.05)),
        "null_smallest_p": float(np.mean(smallest)),
    }


def _target(phantom: BrainPhantom, name: str) -> Target:
    return Target.of(name, phantom.participants[name].to_numpy(np.float64), within=phantom.patients)


def _null_maps(
    brains: Brains, encoder: Any, drawn: list[BrainPhantom], patients: npt.NDArray[np.intp], seed: int
) -> npt.NDArray[np.float64]:
    """Return the smallest family-wise p of a region in every draw; the network runs once a subject and region."""
    features, regressions = encoder.transform(brains.volumes), []
    model = LatentRegression(**REGRESSION)
    for number, null in enumerate(drawn):
        target = _target(null, "dose")
        regressions.append(fitted_regression(model, features, target, brains.subjects))
        regressions += shuffled_regressions(
            model,
            features,
            target,
            brains.subjects,
            n_draws=_N_SHUFFLES,
            random_state=derive_seed(seed, "shuffles", number),
        )
    found = occlude_regions(BrainScore(encoder, regressions), brains.volumes, brains.labels, rows=patients)
    # each map over its own size: the chosen penalties, and so the sizes of scores, differ
    ranking = found.ranking / found.ranking.mean(1, keepdims=True).clip(1e-300)
    by_draw = ranking.reshape(len(drawn), 1 + _N_SHUFFLES, -1)
    return np.array([against_shuffled(maps[0], maps[1:]).p.min() for maps in by_draw])
