"""The map without a network: a linear model in every smoothed voxel, family-wise p by permutation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.seeds import derive_seed
from kotowari.studies.brain.baselines.smoothed_voxels import SmoothedVoxels
from kotowari.studies.brain.maps.family_wise import family_wise_p, largest_allowed
from kotowari.studies.brain.maps.patterns import covariate_basis
from kotowari.studies.brain.model.autoencoder_input import VolumeSource, as_source, row_numbers
from kotowari.trust.permutation import permuted

__all__ = ["MassUnivariate", "mass_univariate"]

FloatArray = npt.NDArray[np.float64]
Volumes = npt.NDArray[np.float32]
_CONSTANT = 1e-10  # share of a variable's sum of squares below which only rounding is left
_TILE = 4096  # voxels in one matrix product
_ROUNDING = 1e-6  # of float32 products


@dataclass(frozen=True, eq=False)
class MassUnivariate:
    """Statistics of every voxel, each of the box's shape, float32.

    Attributes
    ----------
    t
        Student's t of the association of voxel and target; above 0 where more tissue goes with more of the target; 0
        outside of the mask and in constant voxels.
    p
        Two-sided, of the t distribution, not corrected; 1 outside of the mask.
    p_family
        Family-wise over the mask by the largest |t| of each permutation; 1 outside of the mask.
    threshold
        |t| above which ``p_family`` is at most 0.05.
    maxima
        Largest |t| of each permutation.
    degrees_of_freedom
        Subjects less terms of the model.
    """

    t: Volumes
    p: Volumes
    p_family: Volumes
    threshold: float
    maxima: FloatArray
    degrees_of_freedom: int


def mass_univariate(
    X: Any,
    target: npt.ArrayLike,
    *,
    voxel_mm: float | tuple[float, float, float],
    fwhm_mm: float = 8.0,
    rows: Any = None,
    covariates: Any = None,
    blocks: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    n_permutations: int = 999,
    memory_mb: int = 512,
    random_state: int,
) -> MassUnivariate:
    r"""Test every smoothed voxel for an association with a target beyond covariates, as SPM and FSL (randomise) do.

    .. math:: t_v = r_v \sqrt{\frac{\nu}{1 - r_v^2}}, \quad r_v = \mathrm{corr}(M x_v, M y), \quad
        t^{(b)}: \; y^{(b)} = (I - M) y + P_b M y

    with M what takes constant and covariates out. The t of voxel given target equals that of target given voxel, so the
    residuals of the target are permuted (Freedman and Lane) and the voxels, prepared once, enter one matrix product
    with all permutations. Rows must be exchangeable: one a person, or within ``blocks``.

    Parameters
    ----------
    X
        Shape ``(subject, *box)``, or a store.
    target
        One number a subject of ``X``; 0 and 1 for two groups.
    voxel_mm
        Edges of a voxel: one number, or three.
    fwhm_mm
        Full width at half maximum of the smoothing, 0 or more, in millimetres; what lies outside of the mask counts as
        0.
    rows
        Subjects that count; None for all.
    covariates
        A row for each subject of ``X``; None for the constant alone.
    blocks
        Such as sites, one a subject of ``X``: residuals change places only within them.
    mask
        Voxels that count; None for the store's, or for all voxels of an array.
    n_permutations
        999 for claims; 1 or more.
    memory_mb
        Of smoothed voxels in memory at once. Less costs time: volumes are read and smoothed once more for each part,
        with the overlap that smoothing needs.
    random_state
        Seed of the permutations.

    Raises
    ------
    InputError
        When a value is missing or not finite, or an option is out of range.
    DesignError
        When covariates leave nothing of the target, or too few subjects.

    Source: Freedman and Lane 1983, J. Bus. Econ. Stat. 1:292-298; Winkler et al. 2014, NeuroImage 92:381-397, table 2;
    Nichols and Holmes 2002, Hum. Brain Mapp. 15:1-25 (maximum statistic).
    """
    source = as_source(X, mask)
    y = np.asarray(target, dtype=np.float64)
    if y.shape != (len(source.subjects),):
        raise ShapeError.mismatch("mass_univariate", "target", (len(source.subjects),), y.shape)
    chosen = row_numbers(source, rows)
    if not np.isfinite(y[chosen]).all():
        row = chosen[~np.isfinite(y[chosen])][0]
        raise InputError(f"mass_univariate: the target of {source.subjects[row]} is missing or infinite. Leave it out.")
    if n_permutations < 1:
        raise InputError(f"mass_univariate: n_permutations must be 1 or more, got {n_permutations}.")
    basis = covariate_basis(covariates, chosen, len(y))
    freedom = len(chosen) - basis.shape[1] - 1
    if freedom < 1:
        raise DesignError(f"mass_univariate: {len(chosen)} subjects are too few for {basis.shape[1]} terms.")
    where = None if blocks is None else np.asarray(blocks)[chosen]
    directions = _directions(y[chosen], basis, where, n_permutations, random_state)
    smoother = SmoothedVoxels(fwhm_mm, voxel_mm=voxel_mm)
    observed, largest = [], np.zeros(n_permutations)
    for voxels in _voxel_parts(source, chosen, smoother, memory_mb):
        for start in range(0, voxels.shape[1], _TILE):
            correlations = directions @ _standardised(voxels[:, start : start + _TILE], basis)
            observed.append(correlations[0].astype(np.float64))
            np.maximum(largest, np.abs(correlations[1:]).max(1), out=largest)
    return _tested(np.concatenate(observed), largest, freedom, source.mask)


def _directions(
    y: FloatArray, basis: FloatArray, blocks: Any, n_permutations: int, random_state: int
) -> npt.NDArray[np.float32]:
    """Return residuals of the target and of each permutation, of unit length, ``(1 + permutation, row)``."""
    left = y - basis @ (basis.T @ y)
    if left @ left <= _CONSTANT * (y @ y):
        raise DesignError(
            "mass_univariate: the target is constant, or settled by the covariates; nothing is left to test."
        )
    drawn = [left]
    for number in range(1, n_permutations + 1):
        rng = np.random.default_rng(derive_seed(random_state, "permutation", number))
        drawn.append(permuted(left, blocks=blocks, rng=rng))
    moved = np.stack(drawn)
    moved -= (moved @ basis) @ basis.T
    sizes = np.linalg.norm(moved, axis=1, keepdims=True)
    return (moved / np.where(sizes > 0, sizes, 1.0)).astype(np.float32)


def _voxel_parts(
    source: VolumeSource, rows: npt.NDArray[np.intp], smoother: SmoothedVoxels, memory_mb: int
) -> Iterator[Volumes]:
    """Yield smoothed voxels, slab by slab along the first axis, ``(row, voxel)``, in C order of the mask."""
    in_slice = source.mask.reshape(len(source.mask), -1).sum(1)
    per_slab = max(1, memory_mb * 2**20 // (4 * len(rows)))
    for first, last in _slabs(in_slice, per_slab):
        smoother.set_params(mask=source.mask).fit(np.empty((1, *source.mask.shape), np.float32))
        # scipy cuts the kernel off after 4 standard deviations
        reach = int(4.0 * smoother.sd_voxels_[0] + 0.5)
        low, high = max(0, first - reach), min(len(source.mask), last + reach)
        cut = source.mask[low:high]
        keep = np.zeros_like(cut)
        keep[first - low : last - low] = cut[first - low : last - low]
        smoother.set_params(mask=cut).fit(np.empty((1, *cut.shape), np.float32))
        voxels = np.empty((len(rows), int(keep.sum())), np.float32)
        for number, row in enumerate(rows):
            volume = source.volumes([int(row)])[:, low:high]
            if not np.isfinite(volume[0][cut]).all():
                raise InputError(f"{source.subjects[row]}: the volume holds NaN or infinite values in the mask.")
            voxels[number] = smoother.transform(volume)[0][keep[cut]]
        yield voxels


def _slabs(in_slice: npt.NDArray[np.intp], most: int) -> Iterator[tuple[int, int]]:
    """Cut the first axis so that no part holds more than ``most`` voxels, but one slice at least."""
    first, held = 0, 0
    for number, size in enumerate(in_slice):
        if held and size and held + size > most:
            yield first, number
            first, held = number, 0
        held += int(size)
    yield first, len(in_slice)


def _standardised(voxels: Volumes, basis: FloatArray) -> npt.NDArray[np.float32]:
    """Take covariates out and bring each voxel to unit length; 0 where nothing is left."""
    values = voxels.astype(np.float64)
    left = values - basis @ (basis.T @ values)
    squares = (left**2).sum(0)
    varies = squares > _CONSTANT * (values**2).sum(0)
    return np.where(varies, left / np.sqrt(np.where(varies, squares, 1.0)), 0.0).astype(np.float32)


def _tested(correlations: FloatArray, largest: FloatArray, freedom: int, mask: npt.NDArray[np.bool_]) -> MassUnivariate:
    p_family = family_wise_p(np.abs(correlations), largest, tie=_ROUNDING)
    statistic = _t_of(correlations, freedom)
    maxima = _t_of(largest, freedom)
    maps = {"t": (statistic, 0.0), "p": (2 * student.sf(np.abs(statistic), freedom), 1.0), "p_family": (p_family, 1.0)}
    boxes = {}
    for name, (values, elsewhere) in maps.items():
        boxes[name] = np.full(mask.shape, elsewhere, dtype=np.float32)
        boxes[name][mask] = values
    return MassUnivariate(**boxes, threshold=largest_allowed(maxima), maxima=maxima, degrees_of_freedom=freedom)


def _t_of(correlations: FloatArray, freedom: int) -> FloatArray:
    inside = np.clip(correlations, -1 + 1e-12, 1 - 1e-12)
    statistic: FloatArray = inside * np.sqrt(freedom / (1 - inside**2))
    return statistic
