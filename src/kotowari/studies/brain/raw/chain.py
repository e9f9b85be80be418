"""One head from scan to modulated grey matter: the order of the steps, and what happens between them."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.brain.model.grid import Box, Grid, tight_box
from kotowari.studies.brain.raw.modulation import jacobian_determinant, pull
from kotowari.studies.brain.raw.qc_picture import head_picture
from kotowari.studies.brain.raw.quality import Quality, measure_quality
from kotowari.studies.brain.raw.states import NativeHead, NormalisedHead
from kotowari.studies.brain.raw.template import MniTemplate, mni_template
from kotowari.studies.brain.raw.tools import Deformation, HeadTools

__all__ = ["PreparedHead", "prepare_head"]

Volume = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

_MARGIN_MM = 15.0  # leaves the skull in the picture, and the bias field its surroundings


@dataclass(frozen=True, eq=False)
class PreparedHead:
    """What is kept of a head.

    Parameters
    ----------
    modulated
        Grey matter times the change of volume, shape of ``grid``.
    grid
        In MNI millimetres.
    quality
        Its figures.
    picture
        Three slices with the outline of its grey matter, shape ``(height, width, 3)``, uint8.
    """

    modulated: Volume
    grid: Grid
    quality: Quality
    picture: npt.NDArray[np.uint8]


def prepare_head(
    values: Volume, grid: Grid, tools: HeadTools, *, template_mm: float = 1.5, registration_mm: float = 2.0
) -> PreparedHead:
    r"""Return the modulated grey matter of one head.

    Brain extraction, bias field, registration to MNI152, segmentation with the template's tissues as priors, and

    .. math:: m(x) = g(x + u(x)) \max(\det(I + \nabla u(x)), 0)

    with :math:`g` the probability of grey matter and :math:`u` the way from template to head, so that
    :math:`\int m = \int g`. The result is like the ``mwc1`` of SPM12 and the ``mwp1`` of CAT12, not equal to them:
    tissue model, priors and registration differ, and its values must not be mixed with theirs in one study.

    Parameters
    ----------
    values
        Shape of ``grid``.
    grid
        Its axes run to the right, front and top; see :func:`.heads.read_head`.
    tools
        Who does the steps; :class:`.ants_tools.AntsTools` as a rule.
    template_mm, registration_mm
        Voxels of the result, and of the template that the head is registered to.

    Raises
    ------
    InputError
        When no brain is found, or it touches the edge so that a part of it must be missing.
    ShapeError
        When a tool returns another shape than asked for.
    ConvergenceError
        When a tool fails.

    Source: modulation as Good et al. 2001, NeuroImage 14:21-36; the chain is our own.
    """
    template = mni_template(template_mm)
    mask = _fitting("brain_mask", tools.brain_mask(values, grid), grid.shape)
    box = _box(mask, grid)
    cut, near = np.ascontiguousarray(values[box]), grid.cropped(box)
    mask = np.ascontiguousarray(mask[box])
    head = _fitting("without_bias", tools.without_bias(cut, near, mask), near.shape)
    coarse = mni_template(registration_mm)
    way = tools.register(np.where(mask, head, np.float32(0)), near, coarse, template.grid)
    _require_fields(way, near, template.grid)
    priors = _priors(template, near, way)
    tissues = _fitting("tissues", tools.tissues(head, near, mask, priors), (3, *near.shape))
    native = NativeHead(near, head, mask, tissues)
    normalised = _normalised(native, way, template)
    return PreparedHead(
        modulated=normalised.modulated,
        grid=template.grid,
        quality=measure_quality(native, normalised, template, max(grid.voxel_mm)),
        picture=head_picture(normalised, template),
    )


def _normalised(native: NativeHead, way: Deformation, template: MniTemplate) -> NormalisedHead:
    head, grey, inside = (
        pull(values, native.grid, way.to_head, template.grid)
        for values in (native.head, native.tissues[1], native.mask.astype(np.float32))
    )
    return NormalisedHead(head, grey, inside, jacobian_determinant(way.to_head, template.grid))


def _priors(template: MniTemplate, grid: Grid, way: Deformation) -> Volume:
    """Return fluid, grey and white matter of the template as they lie in the head, adding up to 1."""
    grey, white = (
        np.maximum(pull(tissue, template.grid, way.to_template, grid), 0) for tissue in (template.grey, template.white)
    )
    both = np.maximum(grey + white, 1)
    grey, white = grey / both, white / both
    return np.stack([np.maximum(1 - grey - white, 0), grey, white])


def _box(mask: Mask, grid: Grid) -> Box:
    if not mask.any():
        raise InputError("No brain was found in the scan. Look at it; is it a whole T1 head?")
    x, y, z = (
        slice(max(axis.start - reach, 0), min(axis.stop + reach, length))
        for axis, reach, length in zip(
            tight_box(mask), np.ceil(_MARGIN_MM / np.array(grid.voxel_mm)).astype(int).tolist(), grid.shape, strict=True
        )
    )
    return x, y, z


def _fitting(step: str, found: npt.NDArray[Scalar], shape: tuple[int, ...]) -> npt.NDArray[Scalar]:
    if found.shape != shape:
        raise ShapeError.mismatch(step, "its result", shape, found.shape)
    return found


def _require_fields(way: Deformation, head: Grid, template: Grid) -> None:
    _fitting("register", way.to_head, (*template.shape, 3))
    _fitting("register", way.to_template, (*head.shape, 3))
