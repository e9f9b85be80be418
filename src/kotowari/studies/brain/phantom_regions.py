"""Named regions of the simulated brain, and a parcellation of its grey matter."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.special import expit
from sklearn.cluster import KMeans

from kotowari.studies.brain.phantom_grid import BrainGrid, brain_grid

__all__ = ["COARSE_MM", "REGIONS", "Region", "parcel_names", "parcellate"]

FloatArray = npt.NDArray[np.float64]
LabelImage = npt.NDArray[np.int16]

COARSE_MM = 8.0
"""Voxel size of the grid on which parcels are found and blobs are placed, whatever the grid of the volumes."""
_PARCELS_A_SIDE, _EDGE_MM = 25, 2.0


@dataclass(frozen=True)
class Region:
    """An ellipsoid of one hemisphere; voxels at x = 0 belong to the right.

    Attributes
    ----------
    name
        Ends in ``L`` or ``R``.
    centre, radii
        mm along x, y and z.
    """

    name: str
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]

    def distance(self, millimetres: FloatArray) -> FloatArray:
        """Distance from the centre in radii, of positions ``(point, 3)``; infinite in the other hemisphere."""
        scaled = np.linalg.norm((millimetres - np.array(self.centre)) / np.array(self.radii), axis=1)
        right = millimetres[:, 0] >= 0
        return np.where(right == self.name.endswith("R"), scaled, np.inf)

    def weight(self, millimetres: FloatArray) -> FloatArray:
        """1 inside, 0 outside, with a logistic edge of 2 mm."""
        inside: FloatArray = expit((1 - self.distance(millimetres)) * np.mean(self.radii) / _EDGE_MM)
        return inside


_NAMED = (
    ("Anterior cingulate", (-5, 35, 14), (8, 36, 16), (10, 17, 19)),
    ("Middle cingulate", (-6, -14, 41), (8, -9, 40), (10, 21, 12)),
    ("Posterior cingulate", (-6, -43, 25), (7, -42, 23), (11, 15, 15)),
    ("Precuneus", (-8, -57, 48), (10, -56, 44), (13, 17, 18)),
    ("Insula", (-36, 6, 3), (39, 6, 2), (11, 21, 16)),
    ("Hippocampus", (-26, -21, -10), (29, -20, -10), (11, 18, 11)),
    ("Thalamus", (-12, -18, 8), (13, -18, 8), (11, 14, 11)),
    ("Putamen", (-25, 4, 2), (27, 5, 2), (10, 17, 13)),
    ("Medial frontal", (-6, 50, 30), (9, 51, 30), (12, 17, 20)),
    ("Superior temporal", (-54, -21, 8), (57, -21, 7), (12, 25, 11)),
    ("Middle temporal", (-56, -36, -3), (58, -37, -2), (14, 28, 13)),
    ("Inferior temporal", (-51, -28, -24), (54, -31, -23), (14, 26, 12)),
    ("Cerebellum", (-36, -66, -30), (37, -67, -30), (24, 21, 16)),
)
REGIONS: dict[str, Region] = {
    f"{name} {side}": Region(f"{name} {side}", centre, radii)
    for name, left, right, radii in _NAMED
    for side, centre in (("L", left), ("R", right))
}
"""Ellipsoids at about the centres of gravity of the regions of AAL (Tzourio-Mazoyer et al. 2002, NeuroImage
15:273-289), rounded; their radii are ours. They stand for an atlas, since none can be had offline, and are none."""


@lru_cache(maxsize=1)
def parcel_names() -> tuple[str, ...]:
    """Names of the labels 1, 2, ...: the named regions, then the remaining parcels of the left and of the right."""
    rest = (f"Parcel {k + 1:02d} {side}" for side in "LR" for k in range(_PARCELS_A_SIDE))
    return (*REGIONS, *rest)


@lru_cache(maxsize=4)
def parcellate(grid: BrainGrid) -> LabelImage:
    """Cut the grey matter of a grid into 76 compact parcels, left and right apart.

    The 26 named ellipsoids come first, a voxel in two of them goes to the one whose centre is nearer in radii. The rest
    goes to the nearest of 25 centres a hemisphere, found by k-means on the mm of the 8 mm grid; so the parcels are the
    same places at every voxel size. It is a stand-in for an atlas, made by geometry alone.

    Returns
    -------
    array
        Shape of the grid, int16; 0 outside of the mask, else 1 + position in :func:`parcel_names`.
    """
    places = grid.millimetres(grid.mask)
    named = _named(places)
    rest = np.zeros(len(places), dtype=np.int64)
    for number, (centres, own) in enumerate(zip(_centres(), (places[:, 0] < 0, places[:, 0] >= 0), strict=True)):
        rest[own] = 1 + len(REGIONS) + number * _PARCELS_A_SIDE + cKDTree(centres).query(places[own])[1]
    labels = np.zeros(grid.shape, dtype=np.int16)
    labels[grid.mask] = np.where(named > 0, named, rest)
    labels.setflags(write=False)
    return labels


@lru_cache(maxsize=1)
def _centres() -> tuple[FloatArray, FloatArray]:
    """Centres of the nameless parcels of the left and of the right, mm, ordered from back to front."""
    grid = brain_grid(COARSE_MM)
    places = grid.millimetres(grid.mask)
    free = places[_named(places) == 0]
    sides = []
    for side in (free[free[:, 0] < 0], free[free[:, 0] >= 0]):
        found = KMeans(_PARCELS_A_SIDE, n_init=1, random_state=0).fit(side).cluster_centers_
        sides.append(found[np.argsort(found[:, 1], kind="stable")])
    return sides[0], sides[1]


def _named(places: FloatArray) -> npt.NDArray[np.int64]:
    """Label of the named region that holds each place, 0 for none."""
    distance = np.stack([region.distance(places) for region in REGIONS.values()])
    return np.where(distance.min(0) <= 1, 1 + distance.argmin(0), 0)
