"""One file on its way into a store: read once, checked, laid onto the grid, cropped, rounded."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.formats.nifti import Volume, decode_nifti
from kotowari.studies.brain.model.culprits import Fault
from kotowari.studies.brain.model.grid import Box, Grid
from kotowari.studies.brain.model.resample import resample
from kotowari.studies.brain.model.volume_survey import header_grid

__all__ = ["HalfArray", "Row", "VolumeFaultError", "VolumeReader", "require_varying"]

HalfArray = npt.NDArray[np.float16]

_LARGEST = 65504.0  # of float16
_SMALLEST_NORMAL = 2.0**-14


@dataclass(frozen=True)
class Row:
    """One volume that is in a store.

    Parameters
    ----------
    number
        Its row.
    name, sha256, bytes
        The file that it came from.
    values_sha256
        Of the values as stored, so that two files of one content are found.
    """

    number: int
    name: str
    sha256: str
    bytes: int
    values_sha256: str


class VolumeFaultError(InputError):
    """A volume that cannot enter a store.

    Parameters
    ----------
    fault
        What is wrong.
    found
        What was found, in a phrase.
    """

    def __init__(self, fault: Fault, found: str) -> None:
        super().__init__(f"{fault.value[0]}: {found}")
        self.fault = fault
        self.found = found


@dataclass(frozen=True, eq=False)
class VolumeReader:
    """How a volume becomes a row.

    Parameters
    ----------
    grid
        Grid of the store; a volume on another one is interpolated.
    box
        What is kept of it.
    mask
        Shape of the box; None where it is not known yet.
    """

    grid: Grid
    box: Box
    mask: npt.NDArray[np.bool_] | None

    def read(self, number: int, path: Path) -> tuple[Row, HalfArray]:
        """Return row and values of a file.

        Raises
        ------
        VolumeFaultError
            When the file cannot be read, or its values cannot be kept.
        """
        try:
            content = path.read_bytes()
            values, header = decode_nifti(content, path)
        except InputError as error:
            raise VolumeFaultError(Fault.UNREADABLE, str(error).removeprefix(f"{path}: ")) from error
        except OSError as error:
            raise VolumeFaultError(Fault.UNREADABLE, f"cannot be read ({error.strerror}).") from error
        stored = self.take(values, header_grid(header))
        digests = (hashlib.sha256(part).hexdigest() for part in (content, stored.data))
        return Row(number, path.name, next(digests), len(content), next(digests)), stored

    def take(self, values: Volume, own: Grid) -> HalfArray:
        """Return a volume that lies on its own grid as it is stored, shape of the box.

        Raises
        ------
        VolumeFaultError
            When its values cannot be kept.
        """
        _require_storable(values)
        if not own.equals(self.grid):
            values = resample(values, own, self.grid, method="linear")
        cropped = np.ascontiguousarray(values[self.box])
        if self.mask is not None:
            require_varying(cropped[self.mask], "in the mask")
        return cropped.astype(np.float16)


def require_varying(values: npt.NDArray[np.floating], where: str) -> None:
    """Raise :class:`VolumeFaultError` when all values are one."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise VolumeFaultError(Fault.CONSTANT, f"{low:.4g} {where}")


def _require_storable(values: Volume) -> None:
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise VolumeFaultError(Fault.NOT_FINITE, f"{int((~np.isfinite(values)).sum())} of {values.size} voxels")
    require_varying(values, "everywhere")
    peak = max(-low, high)
    if peak > _LARGEST:
        raise VolumeFaultError(Fault.TOO_LARGE, f"up to {peak:.6g}")
    if peak < _SMALLEST_NORMAL:
        raise VolumeFaultError(Fault.TOO_SMALL, f"up to {peak:.4g}")
