"""Regions of a label image within the box of a store, and the table of a map over them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.checks import few
from kotowari.core.errors import InputError, ShapeError
from kotowari.formats.nifti import read_nifti
from kotowari.studies.brain.model.atlas_names import read_label_names
from kotowari.studies.brain.model.grid import Grid, bounds_overlap, tight_box
from kotowari.studies.brain.model.resample import resample
from kotowari.studies.brain.model.volume_store import VolumeStore
from kotowari.studies.brain.model.volume_survey import header_grid

__all__ = ["Atlas"]

_LEAST_OVERLAP = 0.75
_ONE_SIDED = 0.9
_LARGEST_LABEL = 2**31 - 1
_SIDE_WORD = re.compile(r"(?:^|[\W_])(l|r|lh|rh|left|right)(?=$|[\W_])", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Atlas:
    """Named regions on the voxels of a store's mask.

    Parameters
    ----------
    labels
        Number of each voxel's region, shape of the box, int32; 0 outside of the mask and where there is no region.
    numbers
        Numbers of the regions that have a voxel, rising.
    names
        One a region.
    grid
        Grid of the box.
    notes
        What a reader should know: regions without voxels, labels without name, share of the mask that is named.
    """

    labels: npt.NDArray[np.int32]
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    grid: Grid
    notes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, names: Path | Mapping[int, str] | None, store: VolumeStore) -> "Atlas":
        """Read a label image and lay it onto the mask of a store, by the nearest voxel in millimetres.

        The space is told by the boxes that labels and mask fill: a head in its own space that happens to be centred
        like the template passes, so look at the atlas laid over a volume once.

        Parameters
        ----------
        path
            A NIfTI file of whole numbers, 0 for no region, in the space of the volumes and on any grid.
        names
            Table of label and name, see :func:`kotowari.studies.brain.model.atlas_names.read_label_names`; None names
            regions by their number.
        store
            The volumes.

        Raises
        ------
        InputError
            When the image holds no labels, lies in another space (the boxes of labels and mask, in millimetres, share
            less than 75 % of the smaller), or names regions left that lie right.
        """
        path = Path(path)
        values, header = read_nifti(path, dtype=np.float64)
        labels = _whole_numbers(path, values)
        own, target = header_grid(header), store.box_grid
        _require_one_space(path, own, labels > 0, target, store.mask)
        in_box = resample(labels, own, target, method="nearest") * store.mask
        table = names if isinstance(names, Mapping) or names is None else read_label_names(Path(names))
        atlas = _assembled(path, in_box, table or {}, labels, target, store.mask)
        _require_sides(path, atlas)
        return atlas

    @cached_property
    def n_voxels(self) -> npt.NDArray[np.int64]:
        """Voxels of each region, shape ``(region,)``."""
        return np.diff(self._bounds)

    @cached_property
    def sides(self) -> tuple[str, ...]:
        """L, R or both for each region: one side where nine tenths of its voxels have x below, or above, 0 mm."""
        x = self.grid.positions(np.argwhere(self.labels))[:, 0]
        x = x[np.argsort(self.labels[self.labels > 0], kind="stable")]
        left = np.add.reduceat(x < 0, self._bounds[:-1], dtype=np.int64) / self.n_voxels
        right = np.add.reduceat(x > 0, self._bounds[:-1], dtype=np.int64) / self.n_voxels
        return tuple(
            "L" if on_left >= _ONE_SIDED else "R" if on_right >= _ONE_SIDED else "both"
            for on_left, on_right in zip(left, right, strict=True)
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def mask_of(self, region: int) -> npt.NDArray[np.bool_]:
        """Return the voxels of one region, counted from 0 in the order of :attr:`names`, shape of the box."""
        mask = np.zeros(self.labels.size, dtype=bool)
        mask[self._order[self._bounds[region] : self._bounds[region + 1]]] = True
        return mask.reshape(self.labels.shape)

    def masks(self) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
        """Yield name and voxels of each region, one at a time."""
        for region, name in enumerate(self.names):
            yield name, self.mask_of(region)

    def means(self, volumes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the mean over each region: ``(..., *box) -> (..., region)``."""
        if volumes.shape[-3:] != self.labels.shape:
            raise ShapeError.mismatch("Atlas", "volumes", ("...", *self.labels.shape), volumes.shape)
        flat = volumes.reshape(*volumes.shape[:-3], -1)[..., self._order]
        sums: npt.NDArray[np.float64] = np.add.reduceat(flat, self._bounds[:-1], axis=-1, dtype=np.float64)
        return sums / self.n_voxels

    def table(self, values: npt.NDArray[Any]) -> pd.DataFrame:
        """Return what a map holds in each region.

        Parameters
        ----------
        values
            Shape of the box; finite in every region.

        Returns
        -------
        DataFrame
            One row a region: ``label``, ``name``, ``side``, ``voxels``, ``mean``, ``peak`` (the value that is farthest
            from 0, with its sign; the first in C order of equals) and ``peak_x_mm``, ``peak_y_mm``, ``peak_z_mm``.

        Raises
        ------
        ShapeError
            When the map has another shape than the box.
        InputError
            When a value in a region is not finite.
        """
        means = self.means(values)
        flat = values.reshape(-1)
        if not np.isfinite(flat[self._order]).all():
            raise InputError("Atlas: the map holds NaN or infinite values in a region. Set what was not tested to 0.")
        peaks = np.array([part[np.abs(flat[part]).argmax()] for part in np.split(self._order, self._bounds[1:-1])])
        places = self.grid.positions(np.stack(np.unravel_index(peaks, self.labels.shape), axis=1))
        return pd.DataFrame(
            {
                "label": self.numbers,
                "name": self.names,
                "side": self.sides,
                "voxels": self.n_voxels,
                "mean": means,
                "peak": flat[peaks].astype(np.float64),
                **{f"peak_{axis}_mm": places[:, i] for i, axis in enumerate("xyz")},
            }
        )

    @cached_property
    def _order(self) -> npt.NDArray[np.intp]:
        """Flat places of all voxels with a region, region by region, in C order within each."""
        inside = np.flatnonzero(self.labels)
        return inside[np.argsort(self.labels.reshape(-1)[inside], kind="stable")]

    @cached_property
    def _bounds(self) -> npt.NDArray[np.int64]:
        sorted_labels = self.labels.reshape(-1)[self._order]
        starts = np.searchsorted(sorted_labels, np.array(self.numbers))
        return np.append(starts, len(sorted_labels)).astype(np.int64)


def _whole_numbers(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    with np.errstate(invalid="ignore"):
        wrong = ~((values == np.round(values)) & (values >= 0) & (values <= _LARGEST_LABEL))
    if wrong.any():
        raise InputError(
            f"{path}: is no label image (it holds {values[wrong][0]:g}). Labels are whole numbers, 0 for no region; of "
            "a probabilistic atlas take the image of most likely labels."
        )
    if not values.any():
        raise InputError(f"{path}: holds no label. Check that it is the atlas.")
    return values.astype(np.int32)


def _require_one_space(
    path: Path, own: Grid, labelled: npt.NDArray[np.bool_], target: Grid, mask: npt.NDArray[np.bool_]
) -> None:
    atlas, brain = own.bounds(tight_box(labelled)), target.bounds(tight_box(mask))
    overlap = bounds_overlap(atlas, brain)
    if overlap < _LEAST_OVERLAP:
        raise InputError(
            f"{path}: the atlas lies in another space than the volumes: its labels fill {_told(atlas)}, the mask "
            f"{_told(brain)}; {overlap:.0%} of the smaller is shared, {_LEAST_OVERLAP:.0%} is needed. "
            "Give an atlas in the template space of the volumes."
        )


def _told(bounds: npt.NDArray[np.float64]) -> str:
    ranges = (f"{axis} {low:.0f} to {high:.0f}" for axis, low, high in zip("xyz", *bounds, strict=True))
    return f"{', '.join(ranges)} mm"


def _assembled(
    path: Path,
    in_box: npt.NDArray[np.int32],
    table: Mapping[int, str],
    labels: npt.NDArray[np.int32],
    grid: Grid,
    mask: npt.NDArray[np.bool_],
) -> Atlas:
    numbers = [int(number) for number in np.unique(in_box) if number]
    if not numbers:
        raise InputError(f"{path}: no voxel of the mask has a label. Give an atlas in the space of the volumes.")
    known = [int(number) for number in np.unique(labels) if number]
    lost = [table.get(number, f"label {number}") for number in known if number not in set(numbers)]
    nameless = [number for number in numbers if number not in table]
    notes = [f"{np.count_nonzero(in_box) / mask.sum():.0%} of the mask's voxels lie in a region of {path.name}."]
    if lost:
        notes.append(f"{len(lost)} of {len(known)} regions have no voxel in the mask: {few(lost)}.")
    if nameless and table:
        notes.append(f"{len(nameless)} labels have no name and are called by their number: {few(nameless)}.")
    names = tuple(table.get(number, f"label {number}") for number in numbers)
    return Atlas(in_box, tuple(numbers), names, grid, tuple(notes))


def _require_sides(path: Path, atlas: Atlas) -> None:
    """Refuse an atlas whose names speak of the other side than its voxels."""
    told = [
        (name, hit[1][0].upper(), side)
        for name, side in zip(atlas.names, atlas.sides, strict=True)
        if side != "both" and (hit := _SIDE_WORD.search(name))
    ]
    crossed = [name for name, word, side in told if word != side]
    if len(crossed) * 2 > len(told):
        raise InputError(
            f"{path}: left and right are exchanged: {len(crossed)} of {len(told)} regions lie on the other side than "
            f"their name says ({few(crossed)}). Correct the header of the atlas, or its names."
        )
