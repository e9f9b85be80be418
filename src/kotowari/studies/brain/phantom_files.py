"""Simulated brains as the files of a user, in each of the layouts that are read."""

from pathlib import Path
from typing import Literal

import pandas as pd

from kotowari.core.errors import InputError, RunFolderError
from kotowari.core.files import write_bytes
from kotowari.formats.nifti import write_nifti
from kotowari.studies.brain.phantom import BrainPhantom

__all__ = ["FileLayout", "write_brains"]

FileLayout = Literal["bids", "spm", "table"]

_NAMES: dict[FileLayout, str] = {
    "bids": "{subject}/anat/{subject}_space-MNI152_label-GM_desc-modulated_probseg.nii.gz",
    "spm": "mwc1{subject}.nii",
    "table": "volumes/{subject}.nii.gz",
}
_TABLE = "participants.tsv"
_MNI152 = 4  # NIFTI_XFORM_MNI_152


def write_brains(phantom: BrainPhantom, folder: str | Path, *, layout: FileLayout = "bids") -> Path:
    """Write simulated brains as a user would have them, beside a table of what is known of each subject.

    The three layouts hold the same volumes, as float32 in the affine of the phantom::

        bids   participants.tsv
               sub-0001/anat/sub-0001_space-MNI152_label-GM_desc-modulated_probseg.nii.gz
        spm    participants.tsv
               mwc1sub-0001.nii
        table  participants.tsv, with a column path
               volumes/sub-0001.nii.gz

    ``participants.tsv`` has a row a subject: ``participant_id``, ``age`` (years), ``sex``, ``site``, ``diagnosis``,
    ``dose`` (mg/day), ``positive`` (score), ``tiv`` (ml) and ``image_quality`` (percent). Numbers are written in full;
    what is not known of a subject is ``n/a``, as BIDS has it. The same phantom gives the same bytes. The truth is not
    written.

    Parameters
    ----------
    phantom
        From :func:`kotowari.studies.brain.phantom.simulate_brains`; left as it was.
    folder
        Made where it is not there; must not hold a ``participants.tsv`` yet.
    layout
        How the volumes lie.

    Returns
    -------
    Path
        What ``data.volumes`` and :func:`kotowari.studies.brain.participants.read_cohort` take: the folder, or the table
        where the layout is ``"table"``.

    Raises
    ------
    InputError
        When there is no such layout.
    RunFolderError
        When the folder holds a table already, or cannot be written.
    """
    if layout not in _NAMES:
        raise InputError(f"write_brains: layout must be one of {', '.join(_NAMES)}, got {layout!r}.")
    folder = Path(folder)
    if (folder / _TABLE).exists():
        raise RunFolderError(f"{folder}: holds a {_TABLE} already. Choose another folder.")
    table = phantom.participants.copy()
    files = [_NAMES[layout].format(subject=name) for name in table["participant_id"]]
    for volume, file in zip(phantom.volumes, files, strict=True):
        write_nifti(folder / file, volume, phantom.affine, space_code=_MNI152)
    if layout == "table":
        table.insert(1, "path", files)
    write_bytes(folder / _TABLE, _as_tsv(table))  # last: it tells that all volumes are there
    return folder / _TABLE if layout == "table" else folder


def _as_tsv(table: pd.DataFrame) -> bytes:
    text: str = table.to_csv(sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    return text.encode()
