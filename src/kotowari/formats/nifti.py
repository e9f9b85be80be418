"""NIfTI volumes: values, and where they lie in millimetres; the header alone, the volume whole, a map written."""

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError, ShapeError
from kotowari.core.files import write_bytes
from kotowari.formats.rows import require_file

__all__ = ["NiftiHeader", "Volume", "decode_nifti", "read_nifti", "read_nifti_header", "write_nifti"]

Volume = npt.NDArray[np.floating[Any]]

_GZIP = b"\x1f\x8b"
# sizeof_hdr, the first four bytes, tells the version (nifti1.h, nifti2.h); four bytes of extension flag follow a header
_HEADER_SIZES = {348: "Nifti1Header", 540: "Nifti2Header"}
_LONGEST_HEADER = 544
_PACKED_START = 4096  # a packed header is shorter, with the longest name that gzip may put before it
_WRITABLE = (np.uint8, np.int16, np.int32)
_UNIT_MM = {0: "unknown", 2: "mm"}  # NIFTI_UNITS_UNKNOWN, NIFTI_UNITS_MM


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """What a header says.

    Parameters
    ----------
    shape
        Length of each axis; axes of length 1 behind the third are left out.
    affine
        Voxel index to millimetres (x to the right, y to the front, z up), shape ``(4, 4)``, float64; the sform where it
        has a code, else the qform.
    space_code
        Code of that form: 1 scanner, 2 aligned, 3 Talairach, 4 MNI, 5 another template.
    form_gap
        Largest distance in millimetres between the places that sform and qform give to one corner of the volume; 0
        where only one of the two has a code.
    dtype
        Type of the stored numbers.
    slope, intercept
        A value is ``slope * stored + intercept``; 1 and 0 where the header asks for no scaling.
    offset
        First byte of the stored numbers, once unpacked.
    """

    shape: tuple[int, ...]
    affine: npt.NDArray[np.float64]
    space_code: int
    form_gap: float
    dtype: np.dtype[Any]
    slope: float
    intercept: float
    offset: int

    @property
    def is_scaled(self) -> bool:
        """Whether values differ from the stored numbers."""
        return (self.slope, self.intercept) != (1.0, 0.0)


def read_nifti_header(path: Path) -> NiftiHeader:
    """Return the header of a .nii or .nii.gz file; of the values nothing is read.

    Raises
    ------
    InputError
        When the file is not there, is no NIfTI file with its values inside, is damaged, does not say where it lies, is
        measured in other units than millimetres, or holds colours or complex numbers.
    """
    path = Path(path)
    require_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(_PACKED_START)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    return _parsed(path, _first_bytes(path, start))


def read_nifti(path: Path, *, dtype: npt.DTypeLike = np.float32) -> tuple[Volume, NiftiHeader]:
    """Return the values of a volume, scaled as its header asks, and the header.

    Parameters
    ----------
    path
        A .nii or .nii.gz file with three axes.
    dtype
        float32, or float64 where whole numbers above 2**24 must come back exactly, as in some label images.

    Returns
    -------
    values
        Shape ``(x, y, z)`` as stored; the axes are neither turned nor flipped.
    header
        Where they lie.

    Raises
    ------
    InputError
        When the file cannot be read, is cut short or damaged, or has more or fewer than three axes.
    """
    path = Path(path)
    require_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    return decode_nifti(content, path, dtype=dtype)


def decode_nifti(content: bytes, path: Path, *, dtype: npt.DTypeLike = np.float32) -> tuple[Volume, NiftiHeader]:
    """Return the values and the header of a file that was read already; ``path`` is its name in sentences.

    See :func:`read_nifti` for the rest.
    """
    header = _parsed(path, _first_bytes(path, content))
    if len(header.shape) != 3:
        raise InputError(
            f"{path}: has {len(header.shape)} axes {header.shape} where one volume has three. "
            "Take out the one volume that is meant."
        )
    count = math.prod(header.shape)
    unpacked = _unpacked(path, content)
    wanted = header.offset + count * header.dtype.itemsize
    if len(unpacked) < wanted:
        raise InputError(f"{path}: is cut short ({len(unpacked)} of {wanted} bytes). Fetch or write it again.")
    stored = np.frombuffer(unpacked, header.dtype, count, header.offset).reshape(header.shape, order="F")
    # what overflows becomes infinite here, and whoever checks the values finds it
    with np.errstate(over="ignore", invalid="ignore"):
        if header.is_scaled:
            stored = stored * np.float64(header.slope) + np.float64(header.intercept)
        return stored.astype(dtype), header


def write_nifti(path: Path, values: npt.NDArray[Any], affine: npt.NDArray[np.float64], *, space_code: int = 2) -> None:
    """Replace the file at ``path`` by a volume in one step; the same volume gives the same bytes.

    Numbers are stored unscaled: fractions as float32, whole numbers in their own type. The affine goes into the sform,
    which keeps float32, and into the qform as well where rotation and voxel sizes can express it.

    Parameters
    ----------
    path
        A name that ends in .nii or .nii.gz.
    values
        Shape ``(x, y, z)``: float16, float32, float64, bool, uint8, int16 or int32. NaN may stand.
    affine
        Voxel index to millimetres, shape ``(4, 4)``.
    space_code
        Kind of space: 1 scanner, 2 aligned, 3 Talairach, 4 MNI, 5 another template.

    Raises
    ------
    ShapeError
        When the volume has not three axes or the affine is not four by four.
    InputError
        When the type or the name cannot be written.
    RunFolderError
        When the file cannot be written.
    """
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"{path}: a volume is written to a name that ends in .nii or .nii.gz.")
    if values.ndim != 3:
        raise ShapeError.mismatch("write_nifti", "values", ("x", "y", "z"), values.shape)
    if np.shape(affine) != (4, 4):
        raise ShapeError.mismatch("write_nifti", "affine", (4, 4), np.shape(affine))
    nibabel = _nibabel(f"Writing {path.name}")
    stored = _storable(path, values)
    header = nibabel.Nifti1Header()
    header.set_data_dtype(stored.dtype)
    header.set_data_shape(stored.shape)
    header.set_qform(affine, space_code)
    header.set_sform(affine, space_code)
    header.set_xyzt_units("mm")
    image = nibabel.Nifti1Image(stored, affine, header)
    if _corner_gap(stored.shape, header.get_qform(), header.get_sform()) > 1e-3 * _voxel_mm(affine).min():
        image.header["qform_code"] = 0  # a shear, which a qform cannot hold
    content = image.to_bytes()
    write_bytes(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _storable(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype not in _WRITABLE:
        raise InputError(f"{path}: {values.dtype} cannot be written. Use float32, uint8, int16 or int32.")
    return values


def _first_bytes(path: Path, content: bytes) -> bytes:
    if not content.startswith(_GZIP):
        return content[:_LONGEST_HEADER]
    try:
        return zlib.decompressobj(31).decompress(content[:_PACKED_START], _LONGEST_HEADER)
    except zlib.error as error:
        raise InputError(f"{path}: is not a whole gzip file ({error}). Fetch or pack it again.") from error


def _unpacked(path: Path, content: bytes) -> bytes:
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: is cut short or damaged ({error}). Fetch or pack it again.") from error


def _parsed(path: Path, start: bytes) -> NiftiHeader:
    nibabel = _nibabel(f"Reading {path.name}")
    raw = _raw_header(path, start, nibabel)
    try:
        slope, intercept = raw.get_slope_inter()
        dtype = raw.get_data_dtype()
        shape = tuple(int(length) for length in raw.get_data_shape())
        affine, code, gap = _placed(raw, shape)
    except (KeyError, nibabel.spatialimages.HeaderDataError) as error:  # an unknown code is a missing key to nibabel
        raise InputError(f"{path}: has a header that contradicts itself ({error}). Write it again.") from error
    if np.isinf(raw["scl_slope"]):  # which nibabel takes for no scaling
        raise InputError(f"{path}: has a header that contradicts itself (infinite scl_slope). Write it again.")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    _require_usable(path, shape, dtype, affine, int(raw["xyzt_units"]) & 7)
    return NiftiHeader(
        shape=shape,
        affine=affine,
        space_code=code,
        form_gap=gap,
        dtype=dtype,
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        offset=max(int(raw.get_data_offset()), int(raw["sizeof_hdr"]) + 4),
    )


def _raw_header(path: Path, start: bytes, nibabel: ModuleType) -> Any:
    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")} & set(_HEADER_SIZES)
    size = sizes.pop() if len(start) >= 4 and sizes else 0
    if not size or len(start) < size:
        raise InputError(f"{path}: is no NIfTI file, or is cut short within its header.")
    # without nibabel's own check, which prints to stderr and mends in silence what the file says
    raw = getattr(nibabel, _HEADER_SIZES[size])(binaryblock=start[:size], check=False)
    magic = bytes(raw["magic"].tobytes())[:3]
    if magic not in (b"n+1", b"n+2"):
        kind = "one half of a pair (.hdr, .img)" if magic in (b"ni1", b"ni2") else "an Analyze file"
        raise InputError(f"{path}: is {kind}. Save it as NIfTI with header and values in one .nii file.")
    if raw["pixdim"][0] == 0:
        raw["pixdim"][0] = 1  # nifti1.h, method 2: a qfac of 0 stands for 1
    return raw


def _placed(raw: Any, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.float64], int, float]:
    """Return affine, its code, and how far sform and qform lie apart."""
    sform, sform_code = raw.get_sform(coded=True)
    qform, qform_code = raw.get_qform(coded=True)
    if sform is None:
        affine = np.zeros((4, 4)) if qform is None else qform.astype(np.float64)
        return affine, int(qform_code), 0.0
    gap = 0.0 if qform is None else _corner_gap(shape[:3], sform, qform)
    return sform.astype(np.float64), int(sform_code), gap


def _require_usable(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], affine: npt.NDArray[np.float64], unit: int
) -> None:
    if not affine.any():
        raise InputError(
            f"{path}: has neither an sform nor a qform, so left and right cannot be told. "
            "Set one with the program that made the file."
        )
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise InputError(f"{path}: has an affine that is no map from voxels to millimetres. Write its header again.")
    if unit not in _UNIT_MM:
        raise InputError(f"{path}: is not measured in millimetres (unit code {unit}). Convert it.")
    if dtype.kind not in "iuf":
        raise InputError(f"{path}: holds colours or complex numbers ({dtype}). One number a voxel is needed.")
    if not shape or min(shape) < 1:
        raise InputError(f"{path}: has no voxel (shape {shape}).")


def _corner_gap(shape: tuple[int, ...], first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Return the largest distance in millimetres between two placements of a volume's corner voxels."""
    corners = np.indices((2, 2, 2)).reshape(3, 8) * (np.resize([*shape, 1, 1, 1], 3) - 1)[:, None]
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return float(np.linalg.norm(difference[:3] @ np.vstack([corners, np.ones(8)]), axis=0).max())


def _voxel_mm(affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    sizes: npt.NDArray[np.float64] = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    return sizes


def _nibabel(by: str) -> ModuleType:
    return require_extra("nibabel", extra="brain", by=by)
