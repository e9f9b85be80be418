"""What stands in the folder of prepared heads: names, the record beside each volume, and whether it is still true."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kotowari.core.errors import InputError
from kotowari.core.files import fingerprint, read_json, write_json
from kotowari.formats.nifti import write_nifti
from kotowari.formats.png import write_png
from kotowari.studies.brain.raw.chain import PreparedHead
from kotowari.studies.brain.raw.heads import Head
from kotowari.studies.brain.raw.quality import Quality

__all__ = ["HeadPaths", "finished_quality", "head_paths", "open_folder", "write_head"]

Recipe = Mapping[str, Any]

_MAKER = "kotowari.studies.brain.raw"
_VOLUME = "space-MNI152_label-GM_desc-modulated_probseg"
_MNI_CODE = 4
_SPACE = "ICBM 2009a nonlinear symmetric (MNI152), as nilearn carries it"
_WHAT = (
    "Probability of grey matter warped to MNI152 times the Jacobian determinant: grey matter per volume of the "
    "template. Made by deepbet and ANTs; like SPM12's mwc1 and CAT12's mwp1, not equal to them."
)


@dataclass(frozen=True)
class HeadPaths:
    """Files of one head.

    Parameters
    ----------
    volume
        Modulated grey matter.
    record
        Where it comes from, and its quality; JSON of the volume's name, as BIDS has it.
    picture
        Slices for the sheet.
    """

    volume: Path
    record: Path
    picture: Path


def head_paths(out: Path, head: Head) -> HeadPaths:
    """Return the names of a head's files under the folder ``out``."""
    folder = out / f"sub-{head.participant}" / (f"ses-{head.session}" if head.session else "")
    stem = folder / "anat" / f"{head.name}_{_VOLUME}"
    picture = folder / "figures" / f"{head.name}_desc-qc_T1w.png"
    return HeadPaths(stem.with_name(f"{stem.name}.nii.gz"), stem.with_name(f"{stem.name}.json"), picture)


def open_folder(out: Path, version: str) -> None:
    """Make ``out`` a data set of BIDS derivatives, or go on in one of ours.

    Raises
    ------
    InputError
        When it is a file, or another data set stands in it, such as the raw scans.
    """
    description = out / "dataset_description.json"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file. Name a folder for the prepared heads.")
    if description.exists():
        stated = read_json(description)
        makers = stated.get("GeneratedBy", []) if isinstance(stated, dict) else []
        if _MAKER not in [maker.get("Name") for maker in makers if isinstance(maker, dict)]:
            raise InputError(f"{out}: holds another data set (dataset_description.json). Name a folder of its own.")
    elif any(out.glob("sub-*")):
        raise InputError(f"{out}: holds folders of participants that were not prepared here. Name a folder of its own.")
    maker = {"Name": _MAKER, "Version": version}
    content = {
        "Name": "Modulated grey matter of T1 heads",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [maker],
    }
    write_json(description, content)


def write_head(paths: HeadPaths, prepared: PreparedHead, source: Mapping[str, Any], recipe: Recipe) -> None:
    """Write volume, picture and, last, the record that makes them count."""
    write_nifti(paths.volume, prepared.modulated, prepared.grid.affine, space_code=_MNI_CODE)
    write_png(paths.picture, prepared.picture)
    numbers = {name: number if math.isfinite(number) else None for name, number in prepared.quality.numbers().items()}
    content = {
        "Description": _WHAT,
        "SpatialReference": _SPACE,
        "Source": dict(source),
        "Recipe": dict(recipe),
        "Volume": fingerprint(paths.volume),
        "Picture": fingerprint(paths.picture),
        "Quality": numbers,
    }
    write_json(paths.record, content)


def finished_quality(paths: HeadPaths, source: Mapping[str, Any], recipe: Recipe) -> Quality | None:
    """Return the figures of a head whose files are whole and come from this scan by this recipe; else None.

    What is not true any more is removed, so that no study takes it for a prepared head.
    """
    with suppress(InputError, KeyError, TypeError):  # absent, edited or damaged: prepared anew
        stated = read_json(paths.record)
        whole = stated["Volume"] == fingerprint(paths.volume) and stated["Picture"] == fingerprint(paths.picture)
        if whole and stated["Source"] == dict(source) and stated["Recipe"] == dict(recipe):
            numbers = stated["Quality"]
            return Quality(**{name: math.nan if number is None else float(number) for name, number in numbers.items()})
    for path in (paths.record, paths.volume, paths.picture):
        path.unlink(missing_ok=True)
    return None
