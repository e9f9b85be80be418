"""Relevance of regions: what the score loses when a region is replaced."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kotowari.core.errors import InputError, ShapeError
from kotowari.explain.hooks import undisturbed
from kotowari.explain.scores import as_reference, as_targets, block_scores, blocks

__all__ = ["RegionEffects", "occlusion", "region_map"]


class RegionEffects(NamedTuple):
    """What each region does to the score.

    Attributes
    ----------
    effects
        Shape ``(batch, region)``, in score units; above 0 where the region speaks for the target.
    labels
        The label of each region in ascending order, shape ``(region,)``.
    """

    effects: Tensor
    labels: Tensor


def occlusion(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    regions: Tensor,
    *,
    reference: Tensor | None = None,
    batch_size: int = 64,
) -> RegionEffects:
    r"""Return what the score loses when a labelled region takes the values of a reference.

    .. math:: e_r = f_c(x) - f_c(x_{\setminus r}), \quad
        x_{\setminus r} = x_0 \text{ inside region } r,\ x \text{ elsewhere}

    Needs no gradient, so it fits any model; it is blind to regions that stand in for each other. All channels of a
    region are replaced together. Leaves ``x`` and ``model`` as they were; nothing is rescaled.

    Parameters
    ----------
    model
        Maps ``x`` to scores, shape ``(batch, class)``, or to one number a sample, ``(batch, 1)`` or ``(batch,)``.
    x
        Shape ``(batch, channel, *space)`` with any number of space axes, or a table ``(batch, feature)``; floating
        and finite.
    target
        Class index, 0 or more: one for all, or one a sample, shape ``(batch,)``. 0 where there is one output.
    regions
        Whole numbers, shape ``space`` (``x.shape[2:]``), or ``x.shape[1:]`` to tell channels or features apart. Each
        label from 0 is a region, 0 too; positions below 0 belong to none and always stay.
    reference
        What takes the place of a region: one input, shape ``x.shape[1:]``, or one a sample. Zeros if None.
    batch_size
        Samples that the model sees at once, 1 or more.

    Returns
    -------
    RegionEffects
        Effects of shape ``(batch, region)`` in score units, and the labels.

    Raises
    ------
    InputError
        When ``x`` is empty or not finite, a target is no class of the model, or no label is 0 or more.
    ShapeError
        When regions or reference do not fit ``x``.

    Source: Zeiler and Fergus 2014, ECCV, section 4.2; regions in place of a sliding square.

    Examples
    --------
    >>> model = nn.Linear(3, 1, bias=False)
    >>> effects, labels = occlusion(model, torch.ones(1, 3), 0, torch.tensor([4, 4, 7]))
    >>> labels.tolist(), torch.allclose(effects[0, 1], model.weight[0, 2])
    ([4, 7], True)
    """
    targets, references = as_targets(target, x), as_reference(reference, x)
    labels = _region_labels(regions, x)
    places = regions.to(x.device)
    with undisturbed(model):
        effects = x.new_empty(len(x), len(labels))
        for part, block, base, chosen in blocks(effects, x, references, targets, batch_size=batch_size):
            whole = block_scores(model, block, chosen)
            for column, label in enumerate(labels):
                part[:, column] = whole - block_scores(model, torch.where(places == label, base, block), chosen)
    return RegionEffects(effects, labels)


def region_map(found: RegionEffects, regions: Tensor) -> Tensor:
    """Give every position the effect of its region, and 0 where there is none.

    Parameters
    ----------
    found
        As from :func:`occlusion`.
    regions
        The regions that it was given.

    Returns
    -------
    Tensor
        Shape ``(batch, *regions.shape)``, in score units. The effect stands whole at each position of a region: it is
        not divided among them, so positions must not be added up.

    Examples
    --------
    >>> found = RegionEffects(torch.tensor([[0.5, -2.0]]), torch.tensor([4, 7]))
    >>> region_map(found, torch.tensor([4, 4, 7, -1])).tolist()
    [[0.5, 0.5, -2.0, 0.0]]
    """
    places = regions.to(found.labels)
    columns = torch.searchsorted(found.labels, places.clamp_min(0))
    return torch.where(places >= 0, found.effects[:, columns], 0.0)


def _region_labels(regions: Tensor, x: Tensor) -> Tensor:
    if regions.is_floating_point() or regions.is_complex() or regions.dtype == torch.bool:
        raise InputError(f"regions: must hold whole numbers, got {regions.dtype}.")
    if regions.ndim == 0 or regions.shape not in {x.shape[1:], x.shape[2:]}:
        raise ShapeError.mismatch("occlusion", "regions", x.shape[2:] or x.shape[1:], regions.shape)
    labels: Tensor = torch.unique(regions[regions >= 0]).to(x.device)
    if len(labels) == 0:
        raise InputError("regions: holds no label from 0 on, so there is no region to replace.")
    return labels
