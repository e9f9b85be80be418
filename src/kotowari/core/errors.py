"""Everything this package raises on purpose.

* KotowariError
  - InputError         a file, table or option that the user gave cannot be used as it is
  - DesignError        the data are sound, but no honest answer can be had from this design
  - ShapeError         an array does not fit the object it was handed to
  - CapabilityError    an object lacks a method that the caller needs
  - ConvergenceError   an iteration stopped without an answer
  - MissingExtraError  a library of an optional extra is not installed
  - RunFolderError     a run folder cannot be read, written or continued
"""

from collections.abc import Sequence

__all__ = [
    "CapabilityError",
    "ConvergenceError",
    "DesignError",
    "InputError",
    "KotowariError",
    "MissingExtraError",
    "RunFolderError",
    "ShapeError",
]


class KotowariError(Exception):
    """Base of every deliberate error, so that callers can catch one name."""


class InputError(KotowariError, ValueError):
    """A file, table or option that the user gave cannot be used as it is."""


class DesignError(KotowariError, ValueError):
    """The data are sound, but no honest answer can be had from this design."""


class ShapeError(KotowariError, ValueError):
    """An array does not fit the object it was handed to."""

    @classmethod
    def mismatch(cls, who: object, what: str, expected: Sequence[object], got: Sequence[int]) -> "ShapeError":
        """Say who complained, what was wanted, and what came."""
        wanted = ", ".join(str(axis) for axis in expected)
        return cls(f"{who}: {what} must have shape ({wanted}), got {tuple(got)}.")


class CapabilityError(KotowariError, TypeError):
    """An object lacks a method that the caller needs."""


class ConvergenceError(KotowariError, RuntimeError):
    """An iteration stopped without an answer."""


class MissingExtraError(KotowariError, ImportError):
    """A library of an optional extra is not installed."""


class RunFolderError(KotowariError, OSError):
    """A run folder cannot be read, written or continued."""
