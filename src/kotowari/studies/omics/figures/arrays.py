"""What the pictures are drawn from: arrays of one run, checked against each other."""

from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.jobs import Arrays

__all__ = ["class_names", "is_classified", "read_arrays", "target_name"]

# lower case names an axis that several arrays share; a number is the length itself
_AXES: dict[str, tuple[str | int, ...]] = {
    "genes": ("gene",),
    "classes": ("label",),
    "pixels": ("gene", 2),
    "shape": (2,),
    "mean_images": ("class", "height", "width"),
    "class_maps": ("class", "height", "width"),
    "relevance_maps": ("class", "height", "width"),
    "strength": ("gene",),
    "class_means": ("class", "gene"),
    "p": ("gene",),
    "q": ("gene",),
    "frequency": ("gene",),
    "n_selections": (),
    "truth_codes": ("row",),
    "out_of_fold": ("row", "class"),
    "truth_values": ("row",),
    "predicted_values": ("row",),
    "null_values": ("refit",),
    "observed_value": (),
    "implant_grades": ("grade",),
    "implant_frequency": ("grade",),
    "implant_low": ("grade",),
    "implant_high": ("grade",),
    "implant_limit": (),
    "fractions": ("step",),
    "deletion": ("step",),
    "insertion": ("step",),
    "random_deletion": ("step",),
    "random_insertion": ("step",),
    "stability": (3,),
    "random_strength": ("gene",),
}
_MAY_LACK_NUMBERS = {"p", "q", "frequency", "stability", "observed_value", "implant_limit"}


def read_arrays(path: Path) -> Arrays:
    """Read ``pictures.npz``; a file that is not there holds no arrays.

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
    for name in sorted(arrays.keys() & _AXES.keys()):
        _require_axes(path, name, arrays[name], lengths)
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


def _require_axes(path: Path, name: str, array: npt.NDArray[Any], lengths: dict[str | int, int]) -> None:
    """Hold an array against the axes that earlier ones had, and remember its own; see that it is finite."""
    axes = _AXES[name]
    wanted = [axis if isinstance(axis, int) else lengths.get(axis, axis) for axis in axes]
    fits = array.ndim == len(axes) and all(
        isinstance(want, str) or want == got for want, got in zip(wanted, array.shape, strict=True)
    )
    if not fits:
        raise ShapeError.mismatch(str(path), name, wanted, array.shape)
    if array.dtype.kind == "f" and name not in _MAY_LACK_NUMBERS and not np.isfinite(array).all():
        raise InputError(
            f"{path}: {name} holds {int((~np.isfinite(array)).sum())} values that are not finite. "
            "Leave the array out where there is nothing to show."
        )
    lengths.update({axis: n for axis, n in zip(axes, array.shape, strict=True) if isinstance(axis, str)})
