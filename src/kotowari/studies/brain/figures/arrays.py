"""The arrays that the pictures are drawn from: axes, units, and what may be left out."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.core.jobs import Arrays
from kotowari.report.plots.arrays import COMMON_AXES, COMMON_GAPS, ArrayAxes, read_arrays

__all__ = ["AXES", "GAPS", "MOST_TARGETS", "names_in_order", "numbers", "one_word", "read_pictures", "unit_words"]

MOST_TARGETS = 4  # pictures that are drawn once a target are drawn for so many

_VOLUME = ("x", "y", "z")

# Every array may be left out; the gallery says which ones a picture cannot do without. "Optional" marks what a picture
# does without. Volumes are in the box of the store, float16 or float32, and of groups: no subject's volume is drawn.
AXES: ArrayAxes = {
    **COMMON_AXES,
    # The space of all volumes
    "map_affine": (4, 4),  # voxel index of the box to mm (x to the right, y to the front, z up); any order of axes
    "mask": _VOLUME,  # bool: the voxels that count
    "template": _VOLUME,  # mean training brain, in units of the volumes, 0 or more
    # Maps, one a target
    "map_targets": ("map",),  # names
    "map_values": ("map", *_VOLUME),  # signed, in map_units; 0 where nothing was measured
    "map_units": ("map",),  # optional words for the colour bar: "change of the prediction (mg/day)"
    "map_method": (),  # optional words, such as "occlusion by region"
    "map_significant": ("map", *_VOLUME),  # optional bool: family-wise p of 0.05 or less
    "map_stamp": ("map",),  # optional sentence of the controls; "" where none fails
    "map_truth": ("map", *_VOLUME),  # optional bool: where effects were planted
    # The maps beside their controls
    "control_names": ("control",),  # such as "untrained network", "shuffled target", "mean grey matter", "GLM"
    "control_maps": ("map", "control", *_VOLUME),  # each on a scale of its own; mean grey matter is 0 or more
    "control_spearman": ("map", "control"),  # optional rank correlation with the map; NaN where it was not computed
    "control_overlap": ("map", "control"),  # optional share of the strongest 5 % in common, 0 to 1; NaN as above
    "control_sharp": ("map", "control"),  # optional rank correlation without the broad shape; NaN as above
    # The grid of models
    "grid_blocks": ("grid",),  # whole numbers
    "grid_channels": ("grid",),  # whole numbers
    "grid_mae": ("grid", "grid seed"),  # MAE over that of the mean brain; NaN where a model was not fitted
    "grid_targets": ("grid target",),  # names
    "grid_r": ("grid target", "grid", "grid seed"),  # out of fold; NaN as above
    # Training
    "training_fits": ("fit",),  # names: "fold 1", ..., "all subjects"
    "training_final": (),  # optional row of the final model
    "training_share": ("fit", "epoch"),  # loss over the mean brain's error; NaN after the last epoch
    "validation_share": ("fit", "epoch"),  # optional, the same of the subjects that stopped the training; NaN as above
    "pca_share": (),  # optional: error of PCA over the mean brain's
    # Predictions of numbers
    "predicted_targets": ("predicted",),  # names
    "predicted_units": ("predicted",),  # optional units; "" for none
    "predicted_adjusted": ("predicted",),  # optional bool: the truth is what covariates leave of the target
    "fold_target": ("prediction",),  # position in predicted_targets
    "fold_true": ("prediction",),  # in the target's unit
    "fold_predicted": ("prediction",),  # by a model that never saw the subject
    "external_site": (),  # optional name
    "external_target": ("external prediction",),  # optional, with the next two
    "external_true": ("external prediction",),
    "external_predicted": ("external prediction",),
    # Scores of all arms
    "score_target": ("score",),  # name
    "score_model": ("score",),  # name
    "score_role": ("score",),  # ours, untrained, trivial null, comparator, chance
    "score_metric": ("score",),  # r, auc, c, ...: one a target
    "score_value": ("score",),  # out of fold; NaN where it could not be computed
    "score_low": ("score",),  # 95 % interval; NaN where unknown
    "score_high": ("score",),
    "score_chance": ("score",),  # what guessing gives
    "score_threshold": ("score",),  # optional: above it the family-wise p is 0.05 or less (max-T); NaN where unknown
    "score_external": ("score",),  # optional: at the external site; NaN where unknown
    "score_external_low": ("score",),  # optional; NaN where unknown
    "score_external_high": ("score",),
    # Paired gains on the same subjects
    "gain_target": ("gain",),  # name
    "gain_name": ("gain",),  # such as "label-free less label-trained", "ours less untrained"
    "gain_metric": ("gain",),  # r, auc, ...
    "gain_value": ("gain",),
    "gain_low": ("gain",),  # 95 % interval
    "gain_high": ("gain",),
    # Chance
    "tested_targets": ("tested",),  # name
    "tested_models": ("tested",),  # optional name
    "tested_metric": ("tested",),  # r, auc, ...
    "tested_null": ("tested", "permutation"),  # the metric with permuted targets
    "tested_observed": ("tested",),
    "tested_p": ("tested",),  # of this target and model alone
    "tested_p_family": ("tested",),  # optional: over all targets and models (max-T)
    "tested_threshold": ("tested",),  # optional: as score_threshold
    # Reconstruction, of training subjects or of subjects kept aside
    "reconstruction_mean": _VOLUME,  # mean of the reconstructions, in units of the volumes
    "reconstruction_error": _VOLUME,  # mean absolute error, in units of the volumes
    "reconstruction_of": (),  # optional words, such as "subjects kept aside"
    "reconstruction_names": ("reconstruction",),  # optional, with the next two: "autoencoder", "mean brain", ...
    "reconstruction_role": ("reconstruction",),  # as score_role
    "reconstruction_mae": ("reconstruction",),  # in units of the volumes
    "reconstruction_low": ("reconstruction",),  # optional 95 % interval; NaN where unknown
    "reconstruction_high": ("reconstruction",),
    # Regions, those of all targets one after the other
    "region_target": ("region",),  # name
    "region_name": ("region",),  # with the side in it
    "region_strength": ("region",),  # 0 or more, in map_units
    "region_sign": ("region",),  # 1 where more tissue raises the score, -1 where it lowers it, 0 where unknown
    "region_p": ("region",),  # optional, family-wise against shuffled targets; NaN where unknown
    "region_frequency": ("region",),  # optional share of folds and seeds that select it, 0 to 1; NaN where unknown
    "region_planted": ("region",),  # optional bool: an effect was planted there
    # Stability of the regions, with n_selections and stability of the shared arrays
    "frequency": ("candidate",),  # share of the fits that select a region, 0 to 1, of all regions
    # Sites
    "site_steps": ("step",),  # "as measured", "ComBat", "site adapter"
    "site_accuracy": ("step",),  # balanced, of telling the site from the features, 0 to 1
    "site_low": ("step",),  # 95 % interval; NaN where unknown
    "site_high": ("step",),
    "site_chance": (),  # what guessing gives
    "site_kept": ("step",),  # optional: r of the target after the step
    "site_kept_low": ("step",),  # optional 95 % interval; NaN where unknown
    "site_kept_high": ("step",),
    "site_kept_target": (),  # optional name
    "site_names": ("site",),  # names
    "site_codes": ("site subject",),  # position in site_names
    "site_axes": ("step", "site subject", 2),  # first two principal axes of the features, in their own units
    # Synthetic volumes along a clinical axis
    "synthetic_targets": ("axis",),  # names
    "synthetic_difference": ("axis", *_VOLUME),  # decoded at high less decoded at low, in units of the volumes
    "synthetic_low": ("axis",),  # value of the target decoded as low
    "synthetic_high": ("axis",),
    "synthetic_units": ("axis",),  # optional; "" for none
    # Quality of the input
    "quality_row": ("checked",),  # number of the subject's row in the table, from 1: names are never drawn
    "quality_correlation": ("checked",),  # of the volume with the mean brain, in the mask
    "quality_grey_matter": ("checked",),  # total in the mask, in quality_unit
    "quality_unit": (),  # optional: "ml" or what the volumes allow
    "quality_outlier": ("checked",),  # bool
}
GAPS = COMMON_GAPS | {
    "control_spearman",
    "control_overlap",
    "control_sharp",
    "grid_mae",
    "grid_r",
    "training_share",
    "validation_share",
    "pca_share",
    "score_value",
    "score_low",
    "score_high",
    "score_threshold",
    "score_external",
    "score_external_low",
    "score_external_high",
    "gain_low",
    "gain_high",
    "tested_p_family",
    "tested_threshold",
    "reconstruction_low",
    "reconstruction_high",
    "region_p",
    "region_frequency",
    "site_low",
    "site_high",
    "site_kept",
    "site_kept_low",
    "site_kept_high",
}
_COUNTED_IN = {
    "fold_target": "predicted_targets",
    "external_target": "predicted_targets",
    "site_codes": "site_names",
    "training_final": "training_fits",
}


def read_pictures(path: Path) -> Arrays:
    """Read ``pictures.npz``; a file that is not there holds no arrays.

    Raises
    ------
    InputError
        When the file is damaged, the affine cannot be inverted, an array holds a position that does not exist, or
        values that are not finite where there must be none.
    ShapeError
        When two arrays do not fit each other.
    """
    arrays = read_arrays(path, AXES, gaps=GAPS)
    for name, counted in _COUNTED_IN.items():
        if name in arrays and counted in arrays and arrays[name].size:
            low, high, n = int(arrays[name].min()), int(arrays[name].max()), len(arrays[counted])
            if low < 0 or high >= n:
                raise InputError(
                    f"{path}: {name} holds the position {low if low < 0 else high}, but there are {n} in {counted}. "
                    "Run the stage that writes it again."
                )
    if "map_affine" in arrays and np.linalg.matrix_rank(arrays["map_affine"][:3, :3]) < 3:
        raise InputError(
            f"{path}: map_affine lays voxels onto a plane, so no slice can be cut. Give the grid's affine."
        )
    if "mask" in arrays and not arrays["mask"].any():
        raise InputError(f"{path}: mask holds no voxel. Run the stage that writes it again.")
    return arrays


def names_in_order(names: npt.NDArray[np.str_]) -> list[str]:
    """Return every name once, in the order of their first appearance.

    Examples
    --------
    >>> names_in_order(np.array(["dose", "age", "dose"]))
    ['dose', 'age']
    """
    return list(dict.fromkeys(str(name) for name in names))


def numbers(arrays: Arrays, name: str, n: int) -> npt.NDArray[np.float64]:
    """Return an array that may be absent; NaN where it is."""
    return arrays[name].astype(np.float64) if name in arrays else np.full(n, np.nan)


def one_word(arrays: Arrays, name: str, otherwise: str = "") -> str:
    """Return words that may be absent."""
    return " ".join(str(arrays[name]).split()) if name in arrays else otherwise


def unit_words(arrays: Arrays, name: str, place: int) -> str:
    """Return the unit of one target in brackets with a space before, or nothing where it has none."""
    unit = str(arrays[name][place]).strip() if name in arrays else ""
    return f" ({unit})" if unit else ""
