"""What pictures are drawn from: arrays of one run, checked against each other."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.jobs import Arrays

__all__ = ["COMMON_AXES", "COMMON_GAPS", "ArrayAxes", "class_names", "is_classified", "read_arrays", "target_name"]

ArrayAxes = Mapping[str, tuple[str | int, ...]]

# lower case names an axis that several arrays share; a number is the length itself
COMMON_AXES: ArrayAxes = {
    "classes": ("label",),
    "target": (),
    "truth_codes": ("row",),
    "out_of_fold": ("row", "class"),
    "truth_values": ("row",),
    "predicted_values": ("row",),
    "null_values": ("refit",),
    "null_metric": (),
    "observed_value": (),
    "n_selections": (),
    "stability": (3,),
    "implant_grades": ("grade",),
    "implant_frequency": ("grade",),
    "implant_low": ("grade",),
    "implant_high": ("grade",),
    "implant_limit": (),
}
COMMON_GAPS = frozenset({"stability", "observed_value", "implant_limit"})


def read_arrays(path: Path, axes: ArrayAxes, *, gaps: frozenset[str] = frozenset()) -> Arrays:
    """Read ``pictures.npz``; a file that is not there holds no arrays.

    Parameters
    ----------
    path
        The file.
    axes
        Name of an array to its axes: a word is the name of an axis, of one length in all arrays; a number is the length
        itself. Arrays that are not named are not checked.
    gaps
        Names of arrays that may hold values that are not finite.

    Raises
    ------
    InputError
        When the file is damaged, or an array holds values that are not finite where there must be none.
    ShapeError
        When two arrays do not fit each other.
    """
    if not path.is_file():
        return {}
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as packed:  # no file stays open on an error
            arrays: Arrays = {name: packed[name] for name in packed.files}
    except (BadZipFile, EOFError, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Run the stage that writes it again.") from error
    lengths: dict[str | int, int] = {}
    for name in sorted(arrays.keys() & axes.keys()):
        _require_axes(path, name, arrays[name], axes[name], lengths)
        if name not in gaps:
            _require_finite(path, name, arrays[name])
    return arrays


def class_names(arrays: Arrays, n: int) -> list[str]:
    """Return the names of ``n`` scores: the classes, or the target where it is a value.

    Raises
    ------
    ShapeError
        When there are classes, but not ``n``.
    """
    if not is_classified(arrays) and n == 1:
        return [target_name(arrays)]
    names = [str(name) for name in arrays.get("classes", ())]
    if len(names) != n:
        raise ShapeError.mismatch("pictures.npz", "classes", (n,), (len(names),))
    return names


def is_classified(arrays: Arrays) -> bool:
    """Tell whether classes were predicted, not a value."""
    return "classes" in arrays and arrays["classes"].size > 0


def target_name(arrays: Arrays) -> str:
    """Return what was predicted."""
    return str(arrays["target"]) if "target" in arrays else "the target"


def _require_axes(
    path: Path, name: str, array: npt.NDArray[Any], axes: tuple[str | int, ...], lengths: dict[str | int, int]
) -> None:
    """Hold an array against the axes that earlier ones had, and remember its own."""
    wanted = [axis if isinstance(axis, int) else lengths.get(axis, axis) for axis in axes]
    fits = array.ndim == len(axes) and all(
        isinstance(want, str) or want == got for want, got in zip(wanted, array.shape, strict=True)
    )
    if not fits:
        raise ShapeError.mismatch(str(path), name, wanted, array.shape)
    lengths.update({axis: n for axis, n in zip(axes, array.shape, strict=True) if isinstance(axis, str)})


def _require_finite(path: Path, name: str, array: npt.NDArray[Any]) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            f"{path}: {name} holds {int((~np.isfinite(array)).sum())} values that are not finite. "
            "Leave the array out where there is nothing to show."
        )
