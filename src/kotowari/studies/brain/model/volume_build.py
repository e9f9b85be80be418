"""A store of volumes built from files: once, in one piece, and gone on with after a kill."""

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import few, require_unique
from kotowari.core.errors import InputError, RunFolderError
from kotowari.core.files import fingerprint, read_json, write_bytes, write_json
from kotowari.core.progress import Advance
from kotowari.studies.brain.model.culprits import Culprits, Fault
from kotowari.studies.brain.model.grid import Grid, tight_box
from kotowari.studies.brain.model.store_mask import MaskSource, mean_mask
from kotowari.studies.brain.model.volume_reader import Row, VolumeFaultError, VolumeReader, require_varying
from kotowari.studies.brain.model.volume_rows import VolumeRows
from kotowari.studies.brain.model.volume_survey import survey

__all__ = ["BuildPlan", "build_store", "store_arrays"]

SCHEMA = 1

_KEPT = ("values.npy", "mask.npy", "store.json")
_WORKING = ("whole.npy", "whole.jsonl", "values.jsonl", "plan.json", ".lock")
_ALIGNED = 2  # NIFTI_XFORM_ALIGNED_ANAT

_ROUNDING = (
    "Values are kept as float16: rounded by at most 2^-11 of their size (0.05 %), and by at most 2^-25 where they are "
    "below 2^-14."
)


@dataclass(frozen=True, eq=False)
class BuildPlan:
    """What goes into a store.

    Parameters
    ----------
    paths, subjects
        One file and one name a row.
    mask
        Where the mask comes from.
    resample
        Whether a volume on another grid is interpolated rather than refused.
    workers
        Threads that read.
    """

    paths: tuple[Path, ...]
    subjects: tuple[str, ...]
    mask: MaskSource
    resample: bool
    workers: int

    def __post_init__(self) -> None:
        if not self.paths or len(self.paths) != len(self.subjects):
            raise InputError(
                f"VolumeStore: {len(self.paths)} files and {len(self.subjects)} subjects were given. "
                "One subject a file is needed, and one file at least."
            )
        require_unique(self.subjects, what="subjects", where="VolumeStore")
        require_unique(self.paths, what="files", where="VolumeStore")
        unknown = set(self.mask.subjects or ()) - set(self.subjects)
        if unknown:
            raise InputError(f"VolumeStore: mask_subjects names {few(sorted(unknown))}, which no volume belongs to.")
        if self.workers < 1:
            raise InputError(f"VolumeStore: workers must be 1 or more, got {self.workers}.")

    def words(self) -> dict[str, Any]:
        """Return what distinguishes this store from others, beside the content of its files."""
        return {"subjects": list(self.subjects), "mask": self.mask.words(), "resample": self.resample}


def build_store(plan: BuildPlan, folder: Path, advance: Advance) -> None:
    """Make the folder of a store, unless the very store stands there already.

    Everything is written into a hidden folder beside, which takes its name in one step when it is whole.

    Raises
    ------
    InputError
        When a volume or the mask cannot be used; names every culprit. Sound volumes are kept for the next call.
    RunFolderError
        When the folder holds something else, cannot be written, or another process builds it.
    """
    if _stands(plan, folder):
        advance(len(plan.paths))
        return
    with _made_beside(folder) as part:
        found = survey(plan.paths, plan.subjects, reference=plan.mask.grid, resample=plan.resample)
        mask = plan.mask.on(found.grid, resample=plan.resample)
        _begin(part, plan.words() | _placed(found.grid))
        x, y, z = found.grid.shape
        box = (slice(0, x), slice(0, y), slice(0, z)) if mask is None else tight_box(mask)
        reader = VolumeReader(found.grid, box, None if mask is None else mask[box])
        # a mask of the mean is known only when every volume was read: until then, all of each is kept
        name = "whole.npy" if mask is None else "values.npy"
        rows = VolumeRows(part / name, (len(plan.paths), *found.grid.cropped(box).shape))
        kept = _read_all(plan, reader, rows, advance)
        if mask is None:
            mask = mean_mask(plan.mask, plan.subjects, rows.values, found.grid.shape)
            _crop(plan, rows, mask, part)
        words = plan.words() | {
            "inputs": [{key: word for key, word in asdict(row).items() if key != "number"} for row in kept],
            "notes": [_ROUNDING, *found.notes, *plan.mask.notes(found.grid, mask[tight_box(mask)])],
        }
        _finish(part, found.grid, found.space_code, mask, words)


def store_arrays(
    values: Sequence[npt.NDArray[Any]], mask: npt.NDArray[np.bool_], grid: Grid, subjects: Sequence[str], folder: Path
) -> None:
    """Make the folder of a store from volumes in memory, shape ``(subject, *grid.shape)``, such as simulated ones."""
    if len(values) != len(subjects) or not len(subjects) or not mask.any():
        raise InputError(
            f"VolumeStore: {len(values)} volumes, {len(subjects)} subjects and a mask of {int(mask.sum())} voxels were "
            "given. One subject a volume is needed, one volume at least, and a voxel in the mask."
        )
    require_unique(subjects, what="subjects", where="VolumeStore")
    _require_free(folder)
    box = tight_box(mask)
    culprits, reader = Culprits(len(subjects)), VolumeReader(grid, box, mask[box])
    with _made_beside(folder) as part:
        _begin(part, {})
        rows = VolumeRows(part / "values.npy", (len(subjects), *mask[box].shape))
        for number, subject in enumerate(subjects):
            try:
                rows.write(number, reader.take(np.asarray(values[number], np.float32), grid))
            except VolumeFaultError as error:
                culprits.add(error.fault, subject, "an array", error.found)
        culprits.raise_any()
        words = {"subjects": list(subjects), "mask": {"from": "array"}, "inputs": [], "notes": [_ROUNDING]}
        _finish(part, grid, _ALIGNED, mask, words)


def _read_all(plan: BuildPlan, reader: VolumeReader, rows: VolumeRows, advance: Advance) -> list[Row]:
    kept = rows.standing(plan.paths)
    advance(len(kept))
    culprits = Culprits(len(plan.paths))

    def read(number: int) -> tuple[int, Row | VolumeFaultError]:
        try:
            row, values = reader.read(number, plan.paths[number])
        except VolumeFaultError as error:
            return number, error
        rows.write(number, values)
        return number, row

    waiting = [number for number in range(len(plan.paths)) if number not in kept]
    for number, result in _in_threads(read, waiting, plan.workers):
        if isinstance(result, Row):
            rows.note(result)
            kept[number] = result
        else:
            culprits.add(result.fault, plan.subjects[number], plan.paths[number].name, result.found)
        advance(1)
    in_order = [kept[number] for number in sorted(kept)]
    _find_copies(plan, in_order, culprits)
    culprits.raise_any()
    return in_order


def _find_copies(plan: BuildPlan, kept: Sequence[Row], culprits: Culprits) -> None:
    first: dict[str, Row] = {}
    for row in kept:
        other = first.setdefault(row.values_sha256, row)
        if other is not row:
            found = f"the same as {plan.subjects[other.number]}, {other.name}"
            culprits.add(Fault.COPY, plan.subjects[row.number], row.name, found)


def _crop(plan: BuildPlan, whole: VolumeRows, mask: npt.NDArray[np.bool_], part: Path) -> None:
    box = tight_box(mask)
    culprits = Culprits(len(plan.paths))
    (part / "values.npy").unlink(missing_ok=True)  # a killed build may have left one of another box
    cropped = VolumeRows(part / "values.npy", (len(plan.paths), *mask[box].shape))
    for number, subject in enumerate(plan.subjects):
        values = np.ascontiguousarray(whole.values(number)[box])
        try:
            require_varying(values[mask[box]], "in the mask")
        except VolumeFaultError as error:
            culprits.add(error.fault, subject, plan.paths[number].name, error.found)
        cropped.write(number, values)
    culprits.raise_any()


def _finish(part: Path, grid: Grid, space_code: int, mask: npt.NDArray[np.bool_], words: Mapping[str, Any]) -> None:
    """Write the mask and then the record, and take away what only a killed build would have needed."""
    box = tight_box(mask)
    buffer = BytesIO()
    np.save(buffer, np.ascontiguousarray(mask[box]), allow_pickle=False)
    write_bytes(part / "mask.npy", buffer.getvalue())
    record = {
        "schema": SCHEMA,
        "values": "values.npy, float16, axes (subject, x, y, z) in C order; x, y, z as in the input, the box of them",
        **_placed(grid),
        "space_code": space_code,
        "box": [[axis.start, axis.stop] for axis in box],
        "n_voxels": int(mask.sum()),
        **words,
    }
    write_json(part / "store.json", record)


def _placed(grid: Grid) -> dict[str, Any]:
    return {"shape": list(grid.shape), "affine": grid.affine.tolist()}


def _begin(part: Path, words: Mapping[str, Any]) -> None:
    """Leave what an earlier build of the same plan wrote, and clear away any other."""
    plan = part / "plan.json"
    if plan.is_file() and read_json(plan) == dict(words) and words:
        return
    for name in (*_KEPT, *_WORKING):
        (part / name).unlink(missing_ok=True)
    write_json(plan, dict(words))


def _stands(plan: BuildPlan, folder: Path) -> bool:
    """Tell whether the folder holds this very store; refuse a folder that holds anything else."""
    if not (folder / "store.json").is_file():
        _require_free(folder)
        return False
    record = read_json(folder / "store.json")
    same_words = all(record.get(key) == word for key, word in plan.words().items())
    if not same_words or [entry["sha256"] for entry in record["inputs"]] != [
        fingerprint(path)["sha256"] for path in plan.paths
    ]:
        raise RunFolderError(
            f"{folder}: holds a store of other subjects, files or options. Choose another folder, or delete this one."
        )
    return True


def _require_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunFolderError(f"{folder}: is there already and is no store of volumes. Choose another folder.")


@contextmanager
def _made_beside(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder that becomes ``folder`` when the block ends well; one process at a time."""
    part = folder.with_name(f".{folder.name}.part")
    try:
        part.mkdir(parents=True, exist_ok=True)
        with (part / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunFolderError(f"{folder}: another process builds this store. Wait until it ends.") from error
            yield part
            for name in _WORKING:
                (part / name).unlink(missing_ok=True)
            if folder.is_dir():
                folder.rmdir()  # empty, as was seen before
            part.rename(folder)
    except RunFolderError:
        raise
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be written ({error.strerror}). Choose another folder.") from error


def _in_threads(function: Callable[[int], Any], numbers: Sequence[int], workers: int) -> Iterator[Any]:
    """Yield results as they come; those not begun are dropped when the caller stops."""
    if workers == 1:
        yield from map(function, numbers)
        return
    with ThreadPoolExecutor(workers) as pool:
        try:
            for done in as_completed([pool.submit(function, number) for number in numbers]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)
