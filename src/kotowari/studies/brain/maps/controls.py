"""Whether a map says more than an untrained network, a shuffled target, or the brain's own shape would."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.evidence import Check, Verdict
from kotowari.studies.brain.maps.family_wise import ShuffledNull, against_shuffled
from kotowari.studies.brain.maps.map_similarity import high_passed, similarity_table
from kotowari.studies.brain.model.atlas import Atlas
from kotowari.trust.randomisation import randomisation_check, similarity

__all__ = ["MapControls", "judge_map"]

FloatArray = npt.NDArray[np.float64]
Maps = npt.NDArray[Any]
_ALIKE = 0.8
_SEEDS_NEEDED = 5


@dataclass(frozen=True, eq=False)
class MapControls:
    """A map beside its controls.

    Attributes
    ----------
    similarity
        From :func:`kotowari.studies.brain.maps.map_similarity.similarity_table`.
    checks
        One for each control, and one for the untrained network after the broad shape was taken out.
    voxels
        Each voxel of the mask, in C order, against shuffled targets.
    regions
        Each region of the atlas against shuffled targets, by the mean of absolute values; None without an atlas.
    stamp
        Sentence to stand on the map; empty when no control fails.
    """

    similarity: pd.DataFrame
    checks: tuple[Check, ...]
    voxels: ShuffledNull
    regions: ShuffledNull | None
    stamp: str


def judge_map(
    trained: Maps,
    untrained: Maps,
    shuffled: Maps,
    mean_brain: npt.NDArray[Any],
    mask: npt.NDArray[np.bool_],
    *,
    voxel_mm: float | tuple[float, float, float],
    atlas: Atlas | None = None,
    region_null: ShuffledNull | None = None,
    alike: float = _ALIKE,
    level: float = 0.05,
) -> MapControls:
    """Hold a map against its controls; signs do not count.

    Untrained network: with five trained and five untrained maps or more by
    :func:`kotowari.trust.randomisation.randomisation_check`, as they stand and after
    :func:`kotowari.studies.brain.maps.map_similarity.high_passed`. With fewer there is no verdict, except that maps
    whose mean rank correlation is above ``alike`` fail. Shuffled target: passes when a part stands out. Mean grey
    matter: fails above ``alike``. That limit is ours: the share of rank variance in common is then above 64 %.

    Parameters
    ----------
    trained
        Shape ``(fit, *box)``: the map that is shown first, then those of other seeds or folds.
    untrained
        The same from untrained encoders with regressions of their own, shape ``(fit, *box)``.
    shuffled
        From the encoder of the first map and regressions of shuffled targets, shape ``(draw, *box)``.
    mean_brain
        Mean grey matter, shape of the box.
    mask
        Voxels that count, shape of the box.
    voxel_mm
        Edges of a voxel: one number, or three.
    atlas
        Regions to be told from shuffled targets; without them voxels are.
    region_null
        A comparison of the regions of the atlas with shuffled targets that was made otherwise, such as in subjects kept
        aside; None compares the size of the maps.
    alike
        Rank correlation, above 0 up to 1.
    level
        Family-wise, of the comparison with shuffled targets.

    Raises
    ------
    ShapeError
        When maps differ in shape.
    InputError
        When a map is not finite in the mask.
    """
    for name, maps in {"trained": trained, "untrained": untrained, "shuffled": shuffled}.items():
        _require_maps(name, maps, mask)
    _require_maps("mean_brain", np.asarray(mean_brain)[None], mask)
    shown = trained[0]
    controls = {"untrained network": untrained, "shuffled target": shuffled, "mean grey matter": mean_brain}
    table = similarity_table(shown, controls, mask, voxel_mm=voxel_mm)
    figures = table.set_index("control")["spearman"]
    voxels = against_shuffled(shown[mask], shuffled[:, mask], level=level)
    regions = region_null
    if atlas is not None and region_null is None:
        regions = against_shuffled(atlas.means(np.abs(shown)), atlas.means(np.abs(shuffled)), level=level)
    own, other = (high_passed(np.abs(maps), mask, voxel_mm=voxel_mm)[:, mask] for maps in (trained, untrained))
    checks = (
        _randomisation("model randomisation", trained[:, mask], untrained[:, mask], alike),
        _randomisation("model randomisation, broad shape taken out", own, other, alike),
        _shuffled_check(voxels if regions is None else regions, "voxel" if regions is None else "region", level),
        _grey_matter_check(float(figures["mean grey matter"]), alike),
    )
    return MapControls(table, checks, voxels, regions, _stamp(checks))


def _require_maps(name: str, maps: Maps, mask: npt.NDArray[np.bool_]) -> None:
    if maps.shape[1:] != mask.shape or not len(maps):
        raise ShapeError.mismatch("judge_map", name, ("map", *mask.shape), maps.shape)
    if not np.isfinite(maps[:, mask]).all():
        raise InputError(f"judge_map: {name} holds values in the mask that are not finite.")


def _randomisation(name: str, trained: Maps, untrained: Maps, alike: float) -> Check:
    if min(len(trained), len(untrained)) >= _SEEDS_NEEDED:
        found = randomisation_check(trained, untrained)
        return Check(name, found.value, found.threshold, found.verdict, found.sentence)
    agreement = float(np.mean([similarity(a, b).spearman for a, b in product(trained, untrained)]))
    if agreement > alike:
        return Check.at_most(
            name,
            agreement,
            alike,
            f"Maps of trained and untrained networks agree at {agreement:.2f} (limit {alike:g}): not distinguishable "
            "from an untrained network.",
        )
    return Check.not_applicable(
        name,
        f"Maps of {len(trained)} trained and {len(untrained)} untrained networks agree at {agreement:.2f}; "
        f"{_SEEDS_NEEDED} of each are needed to tell whether trained ones agree better with each other.",
    )


def _shuffled_check(found: ShuffledNull, part: str, level: float) -> Check:
    least, n_parts = float(found.p.min()), int((found.p <= level).sum())
    if least <= level:
        tail = f"{n_parts} of {len(found.p)} {part}s are larger than chance makes any"
    elif 1 / (1 + found.n_draws) > level:
        return Check.not_applicable(
            "shuffled target",
            f"{found.n_draws} shuffled targets cannot give a p of {level:g}; the smallest is {least:.2g}.",
        )
    else:
        tail = "not distinguishable from maps of shuffled targets"
    return Check.at_most(
        "shuffled target",
        least,
        level,
        f"Against {found.n_draws} shuffled targets the smallest family-wise p of a {part} is {least:.2g}: {tail}.",
    )


def _grey_matter_check(agreement: float, alike: float) -> Check:
    verdict = "much as the amount of grey matter does" if agreement > alike else "otherwise than the grey matter does"
    return Check.at_most(
        "mean grey matter",
        agreement,
        alike,
        f"The map ranks voxels {verdict} (rank correlation {agreement:.2f}, limit {alike:g}).",
    )


def _stamp(checks: Sequence[Check]) -> str:
    words = {
        "model randomisation": "an untrained network",
        "model randomisation, broad shape taken out": "an untrained network (without the broad shape)",
        "shuffled target": "shuffled targets",
        "mean grey matter": "the mean grey matter",
    }
    failed = [words[check.name] for check in checks if check.verdict is Verdict.FAIL]
    if words["model randomisation"] in failed and len(failed) > 1:
        failed = [word for word in failed if not word.endswith("(without the broad shape)")]
    if not failed:
        return ""
    return f"Not distinguishable from {' and from '.join(failed)}: this map is no evidence for a place."
