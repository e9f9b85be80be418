"""Raw T1 heads found and read: whose each is, its values in RAS order, and refusals before anything is computed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import few, require_extra
from kotowari.core.errors import InputError
from kotowari.formats.nifti import read_nifti
from kotowari.studies.brain.model.grid import Grid
from kotowari.studies.brain.volume_files import VolumeFile, find_volumes

__all__ = ["Head", "find_heads", "read_head"]

Volume = npt.NDArray[np.float32]

_T1 = "*T1w.nii*"
_SUFFIX = re.compile(r"(_T1w)?\.nii(\.gz)?$", re.IGNORECASE)
_FORM_GAP = 0.1  # of a voxel, as for prepared volumes
_LEAST_MM = 100.0  # the smallest axis of a brain at school age is longer
_LARGEST_VOXEL_MM = 4.0
_SHEAR = 1e-3


@dataclass(frozen=True)
class Head:
    """The file of one head.

    Parameters
    ----------
    path
        The T1 volume.
    participant
        Letters and digits only, without ``sub-``.
    session
        Without ``ses-``; may be empty.
    """

    path: Path
    participant: str
    session: str = ""

    @property
    def name(self) -> str:
        """``sub-<participant>`` with ``_ses-<session>`` where there is one."""
        return f"sub-{self.participant}_ses-{self.session}" if self.session else f"sub-{self.participant}"


def find_heads(source: Path, *, pattern: str | None = None) -> list[Head]:
    """Return the T1 heads of a BIDS tree, of a folder, or of a table.

    Parameters
    ----------
    source
        A BIDS tree, any folder up to six deep, or a table with the columns ``participant_id`` and ``path``.
    pattern
        Names of files with ``*`` and ``?``; None for ``*T1w.nii*``.

    Raises
    ------
    InputError
        When nothing is found, or two heads carry one name.
    """
    source = Path(source)
    found = find_volumes(source, pattern=pattern or _T1)
    heads = [Head(file.path, _label(file), file.session) for file in found]
    first: dict[str, Path] = {}
    for head in heads:
        if head.name in first:
            raise InputError(
                f"{source}: {first[head.name].name} and {head.path.name} would both be {head.name}. Choose one head a "
                "session by the pattern, or name the heads in a table with participant_id and path."
            )
        first[head.name] = head.path
    return heads


def read_head(path: Path) -> tuple[Volume, Grid]:
    """Return a head with its axes turned to right, front and top as far as whole turns and flips go.

    Returns
    -------
    values
        Shape ``(x, y, z)``, float32, in the scanner's units.
    grid
        Where they lie; an oblique scan stays oblique.

    Raises
    ------
    InputError
        When the file cannot be read, holds NaN or one value only, is too coarse or too small for a head, is sheared,
        or its sform and qform disagree.
    """
    path = Path(path)
    values, header = read_nifti(path)
    _require_values(path, values)
    orientations = require_extra("nibabel", extra="prep", by="Turning a head").orientations
    turn = orientations.io_orientation(header.affine)
    affine = header.affine @ orientations.inv_ornt_aff(turn, header.shape)
    turned = np.ascontiguousarray(orientations.apply_orientation(values, turn), dtype=np.float32)
    x, y, z = turned.shape
    grid = Grid((x, y, z), affine)
    _require_placed(path, grid, header.form_gap)
    return turned, grid


def _label(file: VolumeFile) -> str:
    stated: Sequence[str] = [file.participant] if file.participant else [_SUFFIX.sub("", file.path.name), *file.hints]
    labels = [label for word in stated if (label := re.sub(r"[^A-Za-z0-9]", "", word))]
    if not labels:
        raise InputError(f"{file.path}: gives no name of a participant. Name the heads in a table.")
    return labels[0]


def _require_values(path: Path, values: npt.NDArray[np.floating]) -> None:
    wrong = int(np.count_nonzero(~np.isfinite(values)))
    if wrong:
        raise InputError(f"{path}: holds {wrong} voxels that are NaN or infinite. Convert the scan again.")
    if values.min() == values.max():
        raise InputError(f"{path}: holds one value only ({values.flat[0]:g}). It is no picture of a head.")


def _require_placed(path: Path, grid: Grid, form_gap: float) -> None:
    sizes = np.array(grid.voxel_mm)
    extent = sizes * grid.shape
    if form_gap > _FORM_GAP * sizes.min():
        raise InputError(
            f"{path}: its sform and qform lie up to {form_gap:.3g} mm apart. Write one of them anew with the program "
            "that made the file."
        )
    if sizes.max() > _LARGEST_VOXEL_MM:
        raise InputError(
            f"{path}: has voxels of {sizes.max():.3g} mm. Tissue cannot be told apart above {_LARGEST_VOXEL_MM:g} mm."
        )
    if extent.min() < _LEAST_MM:
        shown = few(f"{mm:.0f} mm" for mm in extent)
        raise InputError(f"{path}: covers {shown}; a whole head needs {_LEAST_MM:g} mm or more along each axis.")
    axes = grid.affine[:3, :3] / sizes
    if np.abs(axes.T @ axes - np.eye(3)).max() > _SHEAR:
        raise InputError(f"{path}: has axes that are not at right angles. Resample it onto a grid without shear.")
