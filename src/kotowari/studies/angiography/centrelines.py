"""Centrelines of the vessels of one map: branches with length, radius and tortuosity, ends and crossings."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.skeleton_graph import SkeletonBranch, SkeletonGraph, skeleton_graph
from kotowari.studies.angiography.topology import skeleton

__all__ = ["BRANCH_COLUMNS", "NODE_COLUMNS", "Centrelines", "draw_centrelines", "find_centrelines"]

BoolImage = npt.NDArray[np.bool_]
FloatImage = npt.NDArray[np.floating]

BRANCH_COLUMNS = (
    "branch",
    "length_px",
    "length_mm",
    "radius_px",
    "radius_mm",
    "tortuosity",
    "mean_vesselness",
    "n_free_ends",
    "row_start",
    "column_start",
    "row_end",
    "column_end",
)
NODE_COLUMNS = ("node", "kind", "row", "column")
_LEAST_VESSEL_PX = 30
_LEAST_SPUR_PX = 5.0
_MOST_PRUNINGS = 20
_LINE_COLOUR = (255, 176, 0)
_CROSSING_COLOUR = (0, 158, 255)


@dataclass(frozen=True, eq=False)
class Centrelines:
    """What the vessels of one picture look like as lines.

    Attributes
    ----------
    lines
        Shape ``(height, width)``: the skeleton, spurs gone.
    branches
        One row a branch, columns :data:`BRANCH_COLUMNS`. Lengths and radii in px and, where the size of a pixel is
        known, in mm, else NaN; tortuosity is length over chord, 1 or more, NaN for a closed loop.
    nodes
        One row an end or a crossing, columns :data:`NODE_COLUMNS`; ``kind`` is ``"end"`` or ``"crossing"``.
    """

    lines: BoolImage
    branches: pd.DataFrame
    nodes: pd.DataFrame


def find_centrelines(
    mask: BoolImage,
    vesselness: FloatImage | None = None,
    *,
    pixel_mm: float | None = None,
    least_vessel_px: int = _LEAST_VESSEL_PX,
    least_spur_px: float = _LEAST_SPUR_PX,
) -> Centrelines:
    """Find the centrelines of a vessel mask.

    Regions too small for a vessel go first. Then the skeleton is taken apart at its crossings, and side branches with a
    free end that stick out of their vessel by less than ``least_spur_px``, which the outline and not the blood makes,
    are cut until none is left. Vessels that cross in projection meet here: a crossing is not always a fork.

    Parameters
    ----------
    mask
        Shape ``(height, width)``: vessel, such as :meth:`VesselThreshold.mask` gives it.
    vesselness
        Same shape, for the column ``mean_vesselness``; None leaves it NaN.
    pixel_mm
        Size of a pixel, above 0.
    least_vessel_px
        Area of the smallest region kept, in pixels, 0 or more.
    least_spur_px
        0 or more.

    Raises
    ------
    ShapeError, InputError
        When shapes do not fit or an option is out of range.
    """
    if mask.ndim != 2:
        raise ShapeError.mismatch("find_centrelines", "mask", ("height", "width"), mask.shape)
    if vesselness is not None and vesselness.shape != mask.shape:
        raise ShapeError.mismatch("find_centrelines", "vesselness", mask.shape, vesselness.shape)
    if least_vessel_px < 0 or not least_spur_px >= 0 or (pixel_mm is not None and not pixel_mm > 0):
        raise InputError(
            f"find_centrelines: least_vessel_px = {least_vessel_px} and least_spur_px = {least_spur_px} must be "
            f"0 or more, pixel_mm = {pixel_mm} above 0."
        )
    solid = _without_specks(mask, least_vessel_px)
    radius = np.maximum(ndimage.distance_transform_edt(np.pad(solid, 1, mode="edge"))[1:-1, 1:-1] - 0.5, 0)
    lines, graph = _pruned(skeleton(solid), radius, least_spur_px)
    rows = [_row(number, branch, radius, vesselness, pixel_mm) for number, branch in enumerate(graph.branches)]
    return Centrelines(lines, pd.DataFrame(rows, columns=list(BRANCH_COLUMNS)), _nodes(graph))


def draw_centrelines(frame: FloatImage, centrelines: Centrelines) -> npt.NDArray[np.uint8]:
    """Draw the centrelines in orange and the crossings in blue over a frame as a radiograph shows it, vessels dark.

    Parameters
    ----------
    frame
        Log attenuation, shape ``(height, width)``; grey from its 1st to its 99th percentile.
    centrelines
        Of a picture of that shape.

    Returns
    -------
    ndarray
        uint8, shape ``(height, width, 3)``.
    """
    if frame.shape != centrelines.lines.shape:
        raise ShapeError.mismatch("draw_centrelines", "frame", centrelines.lines.shape, frame.shape)
    low, high = np.percentile(frame, [1, 99])
    share = np.clip((frame - low) / (high - low if high > low else 1.0), 0, 1)
    picture = np.repeat((255 * (1 - share)).astype(np.uint8)[..., None], 3, axis=2)
    picture[centrelines.lines] = _LINE_COLOUR
    crossing = centrelines.nodes[centrelines.nodes["kind"] == "crossing"]
    at = np.zeros(frame.shape, np.bool_)
    at[crossing["row"].astype(float).round().astype(int), crossing["column"].astype(float).round().astype(int)] = True
    picture[ndimage.binary_dilation(at, np.ones((3, 3)))] = _CROSSING_COLOUR
    return picture


def _without_specks(mask: BoolImage, least_px: int) -> BoolImage:
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    kept = sizes >= least_px
    kept[0] = False
    solid: BoolImage = kept[labels]
    return solid


def _pruned(lines: BoolImage, radius: FloatImage, least_px: float) -> tuple[BoolImage, SkeletonGraph]:
    graph = skeleton_graph(lines)
    for _ in range(_MOST_PRUNINGS):
        spurs = [branch for branch in graph.branches if _is_spur(branch, radius, least_px)]
        if not spurs:
            break
        lines = lines.copy()
        for spur in spurs:
            lines[tuple(spur.pixels.T)] = False
        lines = skeleton(lines)
        graph = skeleton_graph(lines)
    return lines, graph


def _is_spur(branch: SkeletonBranch, radius: FloatImage, least_px: float) -> bool:
    """Say whether a side branch hardly leaves its vessel, from whose middle its length is counted."""
    if branch.n_free_ends != 1:
        return False
    root = np.round(branch.path[[0, -1]]).astype(int)
    return branch.length_px - float(radius[tuple(root.T)].max()) < least_px


def _row(
    number: int, branch: SkeletonBranch, radius: FloatImage, vesselness: FloatImage | None, pixel_mm: float | None
) -> dict[str, object]:
    at = tuple(branch.pixels.T)
    length, chord, width = branch.length_px, branch.chord_px, float(radius[at].mean())
    scale = np.nan if pixel_mm is None else pixel_mm
    start, end = branch.path[0], branch.path[-1]
    return {
        "branch": number,
        "length_px": length,
        "length_mm": length * scale,
        "radius_px": width,
        "radius_mm": width * scale,
        "tortuosity": max(1.0, length / chord) if chord > 0 else np.nan,
        "mean_vesselness": np.nan if vesselness is None else float(vesselness[at].mean()),
        "n_free_ends": branch.n_free_ends,
        "row_start": float(start[0]),
        "column_start": float(start[1]),
        "row_end": float(end[0]),
        "column_end": float(end[1]),
    }


def _nodes(graph: SkeletonGraph) -> pd.DataFrame:
    points = [("crossing", *point) for point in graph.crossings] + [("end", *point) for point in graph.ends]
    rows = [(number, kind, float(row), float(column)) for number, (kind, row, column) in enumerate(points)]
    return pd.DataFrame(rows, columns=list(NODE_COLUMNS))
