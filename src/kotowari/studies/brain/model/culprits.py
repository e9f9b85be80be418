"""Faults of many volumes gathered, so that one refusal names all of them."""

from collections import defaultdict
from enum import Enum

from kotowari.core.errors import InputError

__all__ = ["Culprits", "Fault"]

_SHOWN = 10


class Fault(Enum):
    """What can be wrong with a volume: what is said of it, and what to do."""

    UNREADABLE = ("Not readable", "Fetch or write them again")
    AXES = ("Not three axes", "Take out of each file the one volume that is meant")
    FORMS = (
        "Sform and qform place the voxels differently, so that programs disagree on them",
        "Set both to the right one (fslorient -copysform2qform, or -copyqform2sform)",
    )
    FLIPPED = (
        "Left and right stored the other way round than in the reference (the affine's determinant has another sign)",
        "Look whether the headers are right; if so, resample=True lays the volumes over each other by millimetres",
    )
    SHAPE = (
        "Another shape than the reference",
        "Normalise all volumes to one template, or let resample=True interpolate these",
    )
    AFFINE = (
        "Another place than the reference, though its shape",
        "Normalise all volumes to one template, or let resample=True interpolate these",
    )
    APART = (
        "So far from the reference that the boxes overlap by less than half, which resampling cannot mend",
        "Normalise them to the template of the others",
    )
    NOT_FINITE = ("NaN or infinite values", "Set these voxels to 0 where they lie outside of the brain")
    CONSTANT = ("One value in every voxel that is read", "Look for a failed segmentation, and leave them out")
    TOO_LARGE = ("Values above 65504, the largest that float16 keeps", "Divide all volumes by one constant")
    TOO_SMALL = (
        "No value as large as 2^-14, below which float16 loses digits",
        "Multiply all volumes by one constant",
    )
    COPY = ("The very values of another volume", "Keep one of each, since no subject may stand in two places")


class Culprits:
    """Gathers faults by kind.

    Parameters
    ----------
    total
        Number of volumes looked at.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._found: dict[Fault, list[str]] = defaultdict(list)

    def add(self, fault: Fault, subject: str, file: str, found: str) -> None:
        """Note one volume: whose it is, its file, and what was found."""
        self._found[fault].append(f"  {subject}  {file}: {found}")

    def raise_any(self) -> None:
        """Raise :class:`InputError` if a fault was noted: a sentence a kind, the first ten culprits below each."""
        if self._found:
            raise InputError("\n".join(self._told(fault) for fault in Fault if fault in self._found))

    def _told(self, fault: Fault) -> str:
        what, remedy = fault.value
        lines = self._found[fault]
        rest = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        return "\n".join([f"{what}: {len(lines)} of {self._total} volumes. {remedy}.", *lines[:_SHOWN], *rest])
