"""The headers of all volumes looked through before a value is read: one grid, or a list of those that deviate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kotowari.core.errors import InputError
from kotowari.formats.nifti import NiftiHeader, read_nifti_header
from kotowari.studies.brain.model.culprits import Culprits, Fault
from kotowari.studies.brain.model.grid import Grid, bounds_overlap

__all__ = ["Survey", "header_grid", "survey"]

_FORM_GAP = 0.1  # of a voxel: rounding of the qform's quaternion lies far below
_LEAST_OVERLAP = 0.5


@dataclass(frozen=True, eq=False)
class Survey:
    """What the headers say together.

    Parameters
    ----------
    grid
        The grid of the store.
    space_code
        Code of the first volume that lies on it.
    notes
        What a reader should know.
    """

    grid: Grid
    space_code: int
    notes: tuple[str, ...]


def survey(paths: Sequence[Path], subjects: Sequence[str], *, reference: Grid | None, resample: bool) -> Survey:
    """Read every header and settle on one grid.

    Without a reference it is the grid that most volumes share, the earliest of equals.

    Raises
    ------
    InputError
        When a header cannot be used, or a volume deviates and may not be resampled; names every culprit.
    """
    culprits = Culprits(len(paths))
    headers: dict[int, NiftiHeader] = {}
    for row, path in enumerate(paths):
        try:
            headers[row] = read_nifti_header(path)
        except InputError as error:
            culprits.add(Fault.UNREADABLE, subjects[row], path.name, _without_path(error, path))
            continue
        _look(headers[row], culprits, subjects[row], path.name)
    sound = {row: header_grid(header) for row, header in headers.items() if len(header.shape) == 3}
    if not sound:
        culprits.raise_any()
    grid = reference or _commonest(list(sound.values()))
    deviating = {row: own for row, own in sound.items() if not own.equals(grid)}
    for row, own in deviating.items():
        _judge(grid, own, culprits, (subjects[row], paths[row].name), resample)
    culprits.raise_any()
    first = next(iter([row for row in sound if row not in deviating] or sound))
    return Survey(grid, headers[first].space_code, _notes(grid, deviating, headers))


def header_grid(header: NiftiHeader) -> Grid:
    """Return where the volume of a header with three axes lies."""
    x, y, z = header.shape
    return Grid((x, y, z), header.affine)


def _look(header: NiftiHeader, culprits: Culprits, subject: str, file: str) -> None:
    if len(header.shape) != 3:
        culprits.add(Fault.AXES, subject, file, f"shape {header.shape}")
        return
    if header.form_gap > _FORM_GAP * min(header_grid(header).voxel_mm):
        culprits.add(Fault.FORMS, subject, file, f"up to {header.form_gap:.3g} mm apart")


def _judge(grid: Grid, own: Grid, culprits: Culprits, names: tuple[str, str], resample: bool) -> None:
    if bounds_overlap(grid.bounds(), own.bounds()) < _LEAST_OVERLAP:
        culprits.add(Fault.APART, *names, own.sentence())
    elif not resample and own.handedness != grid.handedness:
        culprits.add(Fault.FLIPPED, *names, own.sentence())
    elif not resample and own.shape != grid.shape:
        culprits.add(Fault.SHAPE, *names, f"{own.sentence()}; reference: {grid.sentence()}")
    elif not resample:
        culprits.add(Fault.AFFINE, *names, f"up to {grid.shift(own):.3g} mm off; {own.sentence()}")


def _commonest(grids: Sequence[Grid]) -> Grid:
    kinds: list[Grid] = []
    counts: list[int] = []
    for grid in grids:
        match = next((i for i, kind in enumerate(kinds) if kind.equals(grid)), None)
        if match is None:
            kinds.append(grid)
            counts.append(1)
        else:
            counts[match] += 1
    return kinds[counts.index(max(counts))]


def _notes(grid: Grid, deviating: dict[int, Grid], headers: dict[int, NiftiHeader]) -> tuple[str, ...]:
    notes = []
    if deviating:
        flipped = sum(own.handedness != grid.handedness for own in deviating.values())
        also = f"; {flipped} of them store left and right the other way round" if flipped else ""
        notes.append(
            f"{len(deviating)} of {len(headers)} volumes lay on another grid and were interpolated trilinearly onto "
            f"the reference ({grid.sentence()}){also}."
        )
    scaled = sum(header.is_scaled for header in headers.values())
    if scaled:
        notes.append(f"{scaled} of {len(headers)} volumes are stored as scaled numbers; their values were restored.")
    return tuple(notes)


def _without_path(error: InputError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")
