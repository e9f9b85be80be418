"""All volumes of a study in one file: cropped to the mask's box, mapped from disk, with the way back to millimetres."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.files import read_json
from kotowari.core.progress import Advance
from kotowari.formats.nifti import write_nifti
from kotowari.studies.brain.model.grid import Box, Grid
from kotowari.studies.brain.model.store_mask import MaskSource
from kotowari.studies.brain.model.volume_build import SCHEMA, BuildPlan, build_store, store_arrays

__all__ = ["VolumeStore"]

FloatArray = npt.NDArray[np.float32]
RowNumbers = Sequence[int] | npt.NDArray[np.integer[Any]] | slice


class VolumeStore:
    """Volumes of one grid as float16 on disk, cropped to the box of a mask.

    float16 rounds a value by at most 2^-11 of its size (0.05 %), and by at most 2^-25 where it is below 2^-14. Voxels
    of the box outside of the mask keep their values. Opening reads no volume; a store may be pickled, and is opened
    anew where it arrives.

    Parameters
    ----------
    folder
        What :meth:`build` made.

    Attributes
    ----------
    folder
        Where the store lies.
    subjects
        Names of the rows.
    shape
        Voxels along each axis of the full grid.
    affine
        Voxel index of the full grid to millimetres, shape ``(4, 4)``, read-only.
    box
        Where the box lies in the full grid, three slices.
    mask
        The voxels that count, shape of the box, read-only.
    notes
        What a reader should know: volumes interpolated, origin of the mask, rounding.

    Raises
    ------
    InputError
        When the folder holds no whole store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        record = _read_record(self.folder)
        x, y, z = record["shape"]
        self.subjects: tuple[str, ...] = tuple(record["subjects"])
        self.shape: tuple[int, int, int] = (x, y, z)
        self.affine = np.array(record["affine"], dtype=np.float64)
        in_x, in_y, in_z = (slice(start, stop) for start, stop in record["box"])
        self.box: Box = (in_x, in_y, in_z)
        self.notes: tuple[str, ...] = tuple(record["notes"])
        self._inputs: list[dict[str, str | int]] = record["inputs"]
        self._space_code = int(record["space_code"])
        self.mask: npt.NDArray[np.bool_] = _load(self.folder / "mask.npy")
        self.affine.flags.writeable = self.mask.flags.writeable = False
        _ = self._mapped()

    @classmethod
    def build(
        cls,
        paths: Sequence[Path],
        mask: "Path | VolumeStore | None",
        folder: Path,
        *,
        subjects: Sequence[str],
        threshold: float = 0.2,
        mask_subjects: Sequence[str] | None = None,
        resample: bool = False,
        workers: int = 1,
        advance: Advance | None = None,
    ) -> Self:
        """Build a store from files, or open it where it stands already; a killed build goes on.

        Parameters
        ----------
        paths
            NIfTI files, one a subject.
        mask
            A NIfTI file of 0 and one other value; another store, whose grid and mask are taken over, as new subjects
            of a finished model need it; None to make a mask from the mean volume, which needs the disk space of the
            uncropped volumes on the way.
        folder
            Where the store will lie: not there yet, empty, or this very store.
        subjects
            One name a file.
        threshold
            Share of the mean volume's 99th percentile (of its voxels above 0) above which a voxel belongs to the mask;
            above 0, below 1.
        mask_subjects
            Whose volumes make the mean, so that subjects kept aside have no part in the mask; None stands for all.
        resample
            Interpolate volumes (trilinear) and mask (nearest) that lie on another grid than most volumes, rather than
            refuse them.
        workers
            Threads that read; the result is the same with any number.
        advance
            Called once a volume that is in the store.

        Raises
        ------
        InputError
            When a volume or the mask cannot be used: another grid, sform against qform, left and right exchanged, 4-D,
            NaN, one value only, values that float16 cannot keep, cut short, the same values twice. Every culprit is
            named; the sound volumes are kept for the next call.
        RunFolderError
            When the folder holds something else, cannot be written, or another process builds in it.
        """
        if isinstance(mask, VolumeStore):
            full = mask.to_full(mask.mask)
            source = MaskSource(grid=mask.grid, mask=full, threshold=threshold, subjects=_names(mask_subjects))
        else:
            path = None if mask is None else Path(mask)
            source = MaskSource(path=path, threshold=threshold, subjects=_names(mask_subjects))
        files = tuple(Path(path) for path in paths)
        plan = BuildPlan(files, tuple(subjects), source, resample=resample, workers=workers)
        build_store(plan, Path(folder), advance or _ignore)
        return cls(folder)

    @classmethod
    def from_arrays(
        cls,
        values: Sequence[npt.NDArray[Any]],
        mask: npt.NDArray[np.bool_],
        affine: npt.NDArray[np.float64],
        folder: Path,
        *,
        subjects: Sequence[str],
    ) -> Self:
        """Build a store from volumes in memory, shape ``(subject, x, y, z)`` of the full grid, such as simulated ones.

        Raises
        ------
        InputError
            When the numbers of volumes and subjects differ, the mask is empty, or a volume cannot be kept.
        ShapeError
            When a volume has another shape than the mask.
        RunFolderError
            When the folder is not empty or cannot be written.
        """
        if np.ndim(mask) != 3 or any(np.shape(volume) != np.shape(mask) for volume in values):
            raise ShapeError.mismatch(cls.__name__, "mask", ("x", "y", "z", "as each volume"), np.shape(mask))
        x, y, z = np.shape(mask)
        grid = Grid((x, y, z), np.array(affine, dtype=np.float64))
        store_arrays(values, np.asarray(mask, dtype=bool), grid, subjects, Path(folder))
        return cls(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a store that was built."""
        return cls(folder)

    @property
    def grid(self) -> Grid:
        """The full grid."""
        return Grid(self.shape, self.affine)

    @property
    def box_grid(self) -> Grid:
        """The grid of the box."""
        return self.grid.cropped(self.box)

    @property
    def n_voxels(self) -> int:
        """Number of voxels in the mask."""
        return len(self._inside)

    @property
    def inputs(self) -> list[dict[str, str | int]]:
        """Name, sha256 and size of every file, and the sha256 of its stored values; empty for simulated volumes."""
        return [dict(entry) for entry in self._inputs]

    @cached_property
    def values(self) -> npt.NDArray[np.float16]:
        """Everything, mapped from disk, shape ``(subject, *box)``; pages that were touched count as memory in use."""
        return self._mapped()

    def __len__(self) -> int:
        return len(self.subjects)

    def __repr__(self) -> str:
        return f"VolumeStore({len(self)} subjects, box {self.mask.shape} of {self.shape}, {self.n_voxels} voxels)"

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self.folder,)

    def volumes(self, rows: RowNumbers) -> FloatArray:
        """Return volumes as float32, shape ``(row, *box)``; the memory is that of the result."""
        numbers = self._numbers(rows)
        mapped = self._mapped()  # let go at the end, and with it the pages of the file
        result = np.empty((len(numbers), *self.mask.shape), dtype=np.float32)
        for i, number in enumerate(numbers):
            result[i] = mapped[number]
        return result

    def vectors(self, rows: RowNumbers) -> FloatArray:
        """Return the values in the mask as float32, shape ``(row, n_voxels)``, voxels in C order of the box."""
        numbers = self._numbers(rows)
        mapped = self._mapped()
        result = np.empty((len(numbers), self.n_voxels), dtype=np.float32)
        for i, number in enumerate(numbers):
            result[i] = mapped[number].reshape(-1)[self._inside]
        return result

    def to_box(self, vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Put values of the mask's voxels into the box, 0 outside of the mask: ``(..., n_voxels) -> (..., *box)``."""
        if vectors.shape[-1:] != (self.n_voxels,):
            raise ShapeError.mismatch(self, "vectors", ("...", self.n_voxels), vectors.shape)
        result = np.zeros((*vectors.shape[:-1], self.mask.size), dtype=vectors.dtype)
        result[..., self._inside] = vectors
        return result.reshape(*vectors.shape[:-1], *self.mask.shape)

    def to_full(self, box_array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Put an array of the box into the full grid, 0 outside of the box: ``(*box) -> (*shape)``."""
        if box_array.shape != self.mask.shape:
            raise ShapeError.mismatch(self, "array of the box", self.mask.shape, box_array.shape)
        full = np.zeros(self.shape, dtype=box_array.dtype)
        full[self.box] = box_array
        return full

    def positions(self, index: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return millimetres for voxel indices within the box, ``(..., 3) -> (..., 3)``."""
        return self.box_grid.positions(index)

    def save_map(self, path: Path, box_array: npt.NDArray[Any]) -> None:
        """Write an array of the box as NIfTI in the input's affine and full shape, float32 or whole numbers."""
        write_nifti(path, self.to_full(box_array), self.affine, space_code=self._space_code)

    @cached_property
    def _inside(self) -> npt.NDArray[np.intp]:
        return np.flatnonzero(self.mask)

    def _mapped(self) -> npt.NDArray[np.float16]:
        values: npt.NDArray[np.float16] = _load(self.folder / "values.npy", mmap_mode="r")
        if values.shape != (len(self.subjects), *self.mask.shape) or values.dtype != np.float16:
            raise InputError(f"{self.folder}: values.npy is not that of store.json. Build the store again.")
        return values

    def _numbers(self, rows: RowNumbers) -> npt.NDArray[np.intp]:
        every = np.arange(len(self.subjects))
        chosen = rows if isinstance(rows, slice) or len(rows) else np.empty(0, np.intp)
        try:
            # an array of truth values chooses where it is true, and is refused when its length is another
            numbers = every[chosen if isinstance(chosen, slice) else np.asarray(chosen)]
        except IndexError as error:
            raise InputError(f"{self!r}: {error}. Rows run from 0 to {len(self) - 1}.") from error
        return numbers


def _read_record(folder: Path) -> dict[str, Any]:
    if not (folder / "store.json").is_file():
        raise InputError(f"{folder}: holds no whole store of volumes. Build it; a build that was stopped goes on.")
    record: dict[str, Any] = read_json(folder / "store.json")
    if record.get("schema") != SCHEMA:
        raise InputError(f"{folder}: was built by another version (schema {record.get('schema')}). Build it again.")
    return record


def _load(path: Path, mmap_mode: Any = None) -> Any:
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: is missing, cut short or damaged ({error}). Build the store again.") from error


def _names(subjects: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if subjects is None else tuple(subjects)


def _ignore(units: int = 1) -> None:
    del units
